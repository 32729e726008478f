// The compressed pages of Remus checkpoints. Xen: RELEASE-4.5.0 tools/libxc/xc_compression.c.

internal import Bytes
internal import Format
internal import SystemIO

/// Puts pages together from what changed of them since they were last sent.
///
/// Batches bring entries only; their pages come later, in the same order, as one buffer in any
/// number of pieces. Each page is one of
///
///     00                          the page is as it was
///     80  4096 bytes             the whole page
///     run, run, ...               1024 words of 4 bytes in all; each run is
///       1nnnnnnn                    n words as they were
///       0nnnnnnn  4n bytes         n new words
///
/// The pages as they were stand in a scratch file, by pfn. In memory are at most 256 pages, the
/// entries that wait (8 MiB) and one bit a page (32 MiB for the greatest guest).
struct PageInflater {
  /// Pages of a record that is made here.
  static let pagesPerRecord = 256

  /// A page or record that cannot be: what is wrong with it.
  struct Failure: Error {
    let problem: String
    var isLimit = false
  }

  /// Entries that wait, from `first` on.
  private var queue: [PageEntry] = []
  private var first = 0
  private let store: ScratchFile
  private var stored: [UInt64] = []

  /// The next record: its entries, and the pages of those that have data.
  private(set) var entries: [PageEntry] = []
  let pages = PageAlignedBuffer(capacity: pagesPerRecord * pageByteCount)
  private(set) var pageCount = 0

  private enum Step {
    case page, run
    /// Bytes that are still to be copied.
    case data(Int)
  }
  private var step = Step.page
  /// Bytes of the current page that are done.
  private var done = 0

  init() throws(SystemError) { store = try ScratchFile() }

  /// Whether the next record has to be written before `inflate` can continue.
  var isFull: Bool {
    pageCount == Self.pagesPerRecord || entries.count >= LegacyLimit.batch
  }

  /// Begins the next record.
  mutating func beginRecord() {
    entries.removeAll(keepingCapacity: true)
    pageCount = 0
  }

  /// Keeps pages that came whole: `pages` holds those of the entries that have data.
  mutating func keep(_ batch: LegacyBatch, _ pages: PageAlignedBuffer) throws(SystemError) {
    var offset = 0
    for entry in batch.entries where entry.type.hasData {
      try keep(entry.pfn, pages, offset)
      offset += pageByteCount
    }
  }

  private mutating func keep(
    _ pfn: UInt64, _ buffer: PageAlignedBuffer, _ offset: Int
  ) throws(SystemError) {
    try store.write(buffer, offset..<offset + pageByteCount, at: pfn * UInt64(pageByteCount))
    let word = Int(pfn / 64)
    if word >= stored.count {
      stored += [UInt64](repeating: 0, count: max(word + 1, 2 * stored.count) - stored.count)
    }
    stored[word] |= 1 << (pfn % 64)
  }

  private func isStored(_ pfn: UInt64) -> Bool {
    let word = Int(pfn / 64)
    return word < stored.count && stored[word] >> (pfn % 64) & 1 != 0
  }

  /// Takes in the entries of a batch whose pages come compressed.
  mutating func expect(_ batch: LegacyBatch) throws(Failure) {
    if first > 4096, first > queue.count / 2 {
      queue.removeFirst(first)
      first = 0
    }
    guard queue.count - first + batch.entries.count <= LegacyLimit.pendingPages else {
      throw Failure(
        problem: "expected at most \(LegacyLimit.pendingPages) entries to wait for their pages",
        isLimit: true)
    }
    queue += batch.entries
  }

  /// Takes bytes `range` of `input` until it has them all or the record is full. Returns how many.
  mutating func inflate(
    _ input: PageAlignedBuffer, _ range: Range<Int>
  ) throws -> Int {
    var here = range.lowerBound
    while here < range.upperBound {
      if case .page = step {
        takeWithoutData()
        if isFull { break }
        guard first < queue.count else {
          throw Failure(problem: "expected no more compressed pages than entries with data")
        }
      }
      let slot = pageCount * pageByteCount
      switch step {
      case .page:
        let marker = byte(input, here)
        if marker == 0x80 {
          here += 1
          step = .data(pageByteCount)
        } else {
          try loadBase(slot)
          step = .run
          if marker == 0 {
            here += 1
            try finishPage(slot)
          }
        }
      case .run:
        let marker = byte(input, here)
        let count = Int(marker & 0x7F) * 4
        guard count > 0, count <= pageByteCount - done else {
          throw Failure(
            problem: "run of pfn \(queue[first].pfn.hex()): expected 1 to "
              + "\((pageByteCount - done) / 4) words, got \(count / 4)")
        }
        here += 1
        if marker & 0x80 == 0 {
          step = .data(count)
        } else {
          done += count
          if done == pageByteCount { try finishPage(slot) }
        }
      case .data(let count):
        let chunk = min(count, range.upperBound - here)
        precondition(slot + done + chunk <= pages.capacity && here + chunk <= input.capacity)
        // Safety: both ranges were checked against their buffers' ends just now.
        unsafe pages.pointer(slot + done)
          .copyMemory(from: input.pointer(here), byteCount: chunk)
        here += chunk
        done += chunk
        step = chunk == count ? .run : .data(count - chunk)
        if done == pageByteCount { try finishPage(slot) }
      }
    }
    return here - range.lowerBound
  }

  /// Takes the entries without data at the end of a checkpoint. Returns whether it has them all;
  /// if not, the record is full.
  mutating func finish() throws(Failure) -> Bool {
    takeWithoutData()
    guard !isFull else { return first == queue.count }
    if case .page = step, first == queue.count { return true }
    throw Failure(
      problem: "\(queue.count - first) entries wait for compressed pages at the checkpoint's end")
  }

  private func byte(_ buffer: PageAlignedBuffer, _ offset: Int) -> UInt8 {
    buffer.withBytes(offset..<offset + 1) { $0.load(0, as: UInt8.self) }
  }

  private mutating func takeWithoutData() {
    while first < queue.count, !queue[first].type.hasData, entries.count < LegacyLimit.batch {
      entries.append(queue[first])
      first += 1
    }
  }

  private func loadBase(_ slot: Int) throws {
    let pfn = queue[first].pfn
    guard isStored(pfn) else {
      throw Failure(
        problem: "pfn \(pfn.hex()): expected the whole page, got changes of one that did not come "
          + "since compression began")
    }
    try store.read(
      into: pages, slot..<slot + pageByteCount, at: pfn * UInt64(pageByteCount))
  }

  private mutating func finishPage(_ slot: Int) throws {
    try keep(queue[first].pfn, pages, slot)
    entries.append(queue[first])
    first += 1
    pageCount += 1
    step = .page
    done = 0
  }
}
