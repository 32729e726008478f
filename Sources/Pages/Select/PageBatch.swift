// Batches of pages that selectors run over.

internal import Bytes
public import Format
internal import SystemIO

/// A set of entries of one batch: 1024 bits.
public struct BatchMask: Sendable, Equatable {
  public static let capacity = 1024
  var words = InlineArray<16, UInt64>(repeating: 0)

  public init() {}

  /// The first `count` entries.
  public init(first count: Int) {
    precondition(count <= BatchMask.capacity)
    for word in 0..<16 {
      let left = count - 64 * word
      words[word] = left >= 64 ? .max : left > 0 ? (1 << UInt64(left)) - 1 : 0
    }
  }

  public static func == (a: BatchMask, b: BatchMask) -> Bool {
    for word in 0..<16 where a.words[word] != b.words[word] { return false }
    return true
  }

  public var isEmpty: Bool {
    var sum: UInt64 = 0
    for word in 0..<16 { sum |= words[word] }
    return sum == 0
  }
  public var count: Int {
    var sum = 0
    for word in 0..<16 { sum &+= words[word].nonzeroBitCount }
    return sum
  }
  public func contains(_ index: Int) -> Bool { words[index >> 6] >> UInt64(index & 63) & 1 != 0 }
  mutating func insert(_ index: Int) { words[index >> 6] |= 1 << UInt64(index & 63) }

  /// The entries for which `rule` holds of the words of both.
  func combined(_ other: BatchMask, _ rule: (UInt64, UInt64) -> UInt64) -> BatchMask {
    var out = BatchMask()
    for word in 0..<16 { out.words[word] = rule(words[word], other.words[word]) }
    return out
  }

  /// Calls `body` for each entry, ascending.
  public func forEach(_ body: (Int) -> Void) {
    for word in 0..<16 {
      var bits = words[word]
      while bits != 0 {
        body(word << 6 + bits.trailingZeroBitCount)
        bits &= bits &- 1
      }
    }
  }
}

/// A batch of at most 1024 pages, and a way to their contents.
///
/// The contents are loaded 64 pages at a time and only where a test still has to look at them.
public final class PageBatch {
  /// Entries of PAGE_DATA, type and pfn.
  public private(set) var entries: [PageEntry] = []
  private var dataIndex: [Int32] = []
  private let buffer: PageAlignedBuffer
  private var loaded = BatchMask()
  /// Brings the contents of data pages `range` of this batch into the buffer at an offset.
  private var loader: (Range<Int>, PageAlignedBuffer, Int) throws -> Void

  /// An empty batch; `buffer` is 4 MiB of scratch, of which only what is used takes memory.
  init(
    _ buffer: PageAlignedBuffer = PageAlignedBuffer(capacity: BatchMask.capacity * pageByteCount)
  ) {
    self.buffer = buffer
    loader = { _, _, _ in }
  }

  /// Begins a new batch. `loader` brings in the contents of data pages, by their number among those
  /// entries that have any.
  func begin(
    _ entries: [PageEntry],
    _ loader: @escaping (Range<Int>, PageAlignedBuffer, Int) throws -> Void
  ) {
    precondition(entries.count <= BatchMask.capacity)
    self.entries = entries
    self.loader = loader
    loaded = BatchMask()
    dataIndex.removeAll(keepingCapacity: true)
    var next: Int32 = 0
    for entry in entries {
      dataIndex.append(entry.type.hasData ? next : -1)
      if entry.type.hasData { next += 1 }
    }
  }

  /// Makes sure that the contents of entries `wanted` among 64 (all with data) are in the buffer.
  func load(_ word: Int, _ wanted: UInt64) throws {
    var missing = wanted & ~loaded.words[word]
    loaded.words[word] |= missing
    while missing != 0 {
      // One read for neighbours; gaps of a few pages are read too.
      let first = missing.trailingZeroBitCount
      var last = first
      var bits = missing >> UInt64(first)
      while bits > 1 {
        bits &= ~1
        let gap = bits.trailingZeroBitCount
        if gap > 4 { break }
        bits >>= UInt64(gap)
        last += gap
      }
      missing &= last >= 63 ? 0 : UInt64.max << UInt64(last + 1)
      let a = Int(dataIndex[word << 6 + first])
      let b = Int(dataIndex[word << 6 + last])
      try loader(a..<b + 1, buffer, a * pageByteCount)
      for index in word << 6 + first..<word << 6 + last + 1 where dataIndex[index] >= 0 {
        loaded.insert(index)
      }
    }
  }

  /// Bytes of the page of a data entry that was loaded.
  @inline(__always)
  func offset(_ index: Int) -> Int { Int(dataIndex[index]) * pageByteCount }

  func withBytes<R>(_ body: (RawSpan) -> R) -> R {
    buffer.withBytes(0..<buffer.capacity, body)
  }
}

/// Puts runs of pages into batches.
final class BatchFiller {
  private let batch = PageBatch()
  private let capacity: Int
  private let read: (UInt64, Int, PageAlignedBuffer, Int) throws -> Void
  private var entries: [PageEntry] = []
  /// Runs of contents of this batch: number of the first data page, count, offset in the file.
  private var chunks: [(first: Int, count: Int, offset: UInt64)] = []
  private var dataCount = 0

  /// Batches of at most `capacity` pages; `read` brings bytes of the file into a buffer.
  init(
    _ capacity: Int,
    _ read:
      @escaping (_ offset: UInt64, _ count: Int, PageAlignedBuffer, _ place: Int) throws -> Void
  ) {
    precondition(capacity > 0 && capacity <= BatchMask.capacity)
    self.capacity = capacity
    self.read = read
  }

  /// Adds a run, and calls `body` for each batch that is full.
  func add(
    _ run: PageExtent, counting given: ProgressCounter? = nil,
    _ body: (PageBatch) throws -> Void
  ) throws {
    var done = 0
    while done < Int(run.pageCount) {
      let count = min(Int(run.pageCount) - done, capacity - entries.count)
      let pfn = run.pfn + UInt64(done)
      for offset in 0..<count { entries.append(PageEntry(run.type, pfn: pfn + UInt64(offset))) }
      if run.hasData {
        chunks.append((dataCount, count, run.offset(of: pfn)))
        dataCount += count
      }
      done += count
      given?.value += UInt64(count)
      if entries.count == capacity { try flush(body) }
    }
  }

  /// Calls `body` for what is left.
  func flush(_ body: (PageBatch) throws -> Void) throws {
    guard !entries.isEmpty else { return }
    let (held, read) = (chunks, read)
    batch.begin(entries) { (range, buffer, place) in
      for chunk in held
      where chunk.first < range.upperBound && chunk.first + chunk.count > range.lowerBound {
        let first = max(chunk.first, range.lowerBound)
        let last = min(chunk.first + chunk.count, range.upperBound)
        try read(
          chunk.offset + UInt64((first - chunk.first) * pageByteCount),
          (last - first) * pageByteCount, buffer,
          place + (first - range.lowerBound) * pageByteCount)
      }
    }
    try body(batch)
    entries.removeAll(keepingCapacity: true)
    chunks.removeAll(keepingCapacity: true)
    dataCount = 0
  }
}
