// Questions about all pages of an image: which, how many, how random, and what stands in them.

internal import Bytes
internal import Format
internal import Glibc
internal import SystemIO

extension PageImage {
  /// Calls `body` for all pages that the image mentions, in batches of at most `capacity` (of 1024):
  /// 64 where contents are looked at, which fit the processor's cache.
  public func forEachBatch(
    in pages: PageSet? = nil, of capacity: Int = BatchMask.capacity,
    _ body: (PageBatch) throws(PagesError) -> Void
  ) throws(PagesError) {
    precondition(capacity > 0 && capacity <= BatchMask.capacity)
    let batch = PageBatch()
    var entries: [PageEntry] = []
    /// Runs of contents of this batch: number of the first data page, count, offset in the file.
    var pieces: [(first: Int, count: Int, offset: UInt64)] = []
    var dataCount = 0
    func flush() throws(PagesError) {
      guard !entries.isEmpty else { return }
      let held = pieces
      batch.begin(entries) { (range, arena, place) throws(PagesError) in
        for piece in held
        where piece.first < range.upperBound && piece.first + piece.count > range.lowerBound {
          let first = max(piece.first, range.lowerBound)
          let last = min(piece.first + piece.count, range.upperBound)
          try self.read(
            piece.offset + UInt64((first - piece.first) * pageByteCount),
            (last - first) * pageByteCount, into: arena,
            at: place + (first - range.lowerBound) * pageByteCount)
        }
      }
      try body(batch)
      entries.removeAll(keepingCapacity: true)
      pieces.removeAll(keepingCapacity: true)
      dataCount = 0
    }
    // How much of the contents a selector looks at is its own affair: entries are counted.
    let given = ProgressCounter()
    let total = pages == nil ? index.pageCount : nil
    try Progress.phase("looking at pages", of: total, unit: "pages", done: { given.value }) {
      () throws(PagesError) in
      for whole in index.runs {
        for run in PageImage.cut(whole, to: pages) {
          var done = 0
          while done < Int(run.pageCount) {
            let count = min(Int(run.pageCount) - done, capacity - entries.count)
            let pfn = run.pfn + UInt64(done)
            for number in 0..<count {
              entries.append(PageEntry(run.type, pfn: pfn + UInt64(number)))
            }
            if run.hasData {
              pieces.append((dataCount, count, run.offset(of: pfn)))
              dataCount += count
            }
            done += count
            given.value += UInt64(count)
            if entries.count == capacity { try flush() }
          }
        }
      }
      try flush()
    }
  }

  /// The parts of a run that lie in `pages`.
  private static func cut(_ run: PageRun, to pages: PageSet?) -> [PageRun] {
    guard let pages else { return [run] }
    var out: [PageRun] = []
    var number = pages.index(of: run.pfn)
    while number < pages.ranges.count, pages.ranges[number].lowerBound < run.end {
      out.append(run.part(pages.ranges[number]))
      number += 1
    }
    return out
  }

  /// The pfns of the pages that a selector is true of.
  public func select(_ program: SelectorProgram) throws(PagesError) -> PageSet {
    var set = PageSet()
    try forEachBatch(of: program.batchCapacity) { batch throws(PagesError) in
      try program.run(batch).forEach {
        let pfn = batch.entries[$0].pfn
        set.append(pfn..<pfn + 1)
      }
    }
    return set
  }

  public func select(_ selector: Selector) throws(PagesError) -> PageSet {
    try select(SelectorProgram(selector))
  }

  /// How many pages each of the selectors is true of, in one pass.
  public func count(_ programs: [SelectorProgram]) throws(PagesError) -> [UInt64] {
    var counts = [UInt64](repeating: 0, count: programs.count)
    try forEachBatch(of: programs.map(\.batchCapacity).min() ?? BatchMask.capacity) {
      batch throws(PagesError) in
      for (number, program) in programs.enumerated() {
        counts[number] += UInt64(try program.run(batch).count)
      }
    }
    return counts
  }

  /// The pages of zeros among those with contents.
  public func zeroPages() throws(PagesError) -> PageSet {
    var set = PageSet()
    try forEachPiece { pfn, bytes, count throws(PagesError) in
      for page in 0..<count where PageLoops.isZero(bytes, at: page * pageByteCount) {
        set.append(pfn + UInt64(page)..<pfn + UInt64(page) + 1)
      }
    }
    return set
  }

  /// The hash of every page with contents, ascending by pfn; 8 octets a page for who keeps them.
  public func forEachHash(_ body: (_ pfn: UInt64, _ hash: UInt64) -> Void) throws(PagesError) {
    try forEachPiece { pfn, bytes, count throws(PagesError) in
      for page in 0..<count {
        body(pfn + UInt64(page), PageLoops.hash(bytes, at: page * pageByteCount))
      }
    }
  }

  /// The hashes of the pages with contents, for `Selector.hashIn`: 8 octets a page.
  public func hashes() throws(PagesError) -> HashSet {
    var all: [UInt64] = []
    try forEachHash { all.append($1) }
    return HashSet(all)
  }

  /// The entropy of every page with contents, in bits an octet: 0 for one value only, near 8 for what
  /// is compressed or encrypted.
  public func forEachEntropy(
    in pages: PageSet? = nil, _ body: (_ pfn: UInt64, _ bits: Double) -> Void
  ) throws(PagesError) {
    let table = Entropy()
    try forEachPiece(in: pages) { pfn, bytes, count throws(PagesError) in
      for page in 0..<count {
        body(pfn + UInt64(page), table.bits(bytes, at: page * pageByteCount))
      }
    }
  }
}

/// Entropy of pages, by a table of n log2 n.
public struct Entropy {
  private let terms: [Double]
  private let counts = OctetCounts()

  public init() { terms = (0...pageByteCount).map { $0 == 0 ? 0 : Double($0) * log2(Double($0)) } }

  /// Bits an octet of the page at `offset`, from 0 to 8.
  public func bits(_ bytes: RawSpan, at offset: Int) -> Double {
    counts.count(bytes, at: offset)
    var sum = 0.0
    for octet in UInt8.min...UInt8.max { sum += terms[counts[octet]] }
    return max(0, log2(Double(pageByteCount)) - sum / Double(pageByteCount))
  }
}

/// What a search has found.
public struct SearchResult: Sendable, Equatable {
  /// Guest-physical addresses of the first octets, ascending; at most as many as were asked for.
  public internal(set) var addresses: [UInt64] = []
  /// Occurrences in all. Overlapping ones count.
  public internal(set) var count: UInt64 = 0
  public init() {}
}

/// Text as it stands in memory.
public enum SearchText {
  public static func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }
  /// Little-endian, as Windows keeps it.
  public static func utf16(_ text: String) -> [UInt8] {
    text.utf16.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
  }
}

extension PageImage {
  /// Finds what `pattern` says in the guest's physical memory, across page boundaries where the pfns
  /// are consecutive. Keeps at most `limit` addresses.
  public func search(
    _ pattern: SearchPattern, limit: Int = 1000, in pages: PageSet? = nil
  ) throws(PagesError) -> SearchResult {
    var search = MemorySearch(pattern, limit: limit)
    try reading("searching", pages == nil ? dataByteCount : nil) { () throws(PagesError) in
      try forEachRun(in: pages) { run throws(PagesError) in
        var done = 0
        while done < Int(run.pageCount) {
          let count = min(Int(run.pageCount) - done, PageImage.pieceByteCount / pageByteCount)
          let pfn = run.pfn + UInt64(done)
          try search.look(self, run, pfn, count: count, at: pfn << 12)
          done += count
        }
      }
    }
    search.finish()
    return search.result
  }
}
