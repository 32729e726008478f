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
    _ body: (PageBatch) throws -> Void
  ) throws {
    let filler = BatchFiller(capacity) { (offset, count, buffer, place) in
      try self.read(offset, count, into: buffer, at: place)
    }
    // How much of the contents a selector looks at is its own affair: entries are counted.
    let given = ProgressCounter()
    let total = pages == nil ? index.pageCount : nil
    try Progress.phase("looking at pages", of: total, unit: "pages", done: { given.value }) {

      for whole in index.runs {
        for run in PageImage.cut(whole, to: pages) {
          try filler.add(run, counting: given, body)
        }
      }
      try filler.flush(body)
    }
  }

  /// The parts of a run that lie in `pages`.
  private static func cut(_ run: PageExtent, to pages: PageSet?) -> [PageExtent] {
    guard let pages else { return [run] }
    var out: [PageExtent] = []
    var rangeIndex = pages.index(of: run.pfn)
    while rangeIndex < pages.ranges.count, pages.ranges[rangeIndex].lowerBound < run.end {
      out.append(run.part(pages.ranges[rangeIndex]))
      rangeIndex += 1
    }
    return out
  }

  /// The pfns of the pages that a selector is true of.
  public func select(_ program: SelectorProgram) throws -> PageSet {
    var set = PageSet()
    // Without contents there is nothing that would be worth a thread.
    var copies: [SelectorProgram] = []
    let isDone =
      program.needsContents
      ? try mapBatches(
        of: program.batchCapacity,
        {
          let copy = SelectorProgram(program.selector)
          copies.append(copy)
          return { (batch) in try PageImage.chosen(by: copy, of: batch) }
        },
        { (found: PageSet) in for range in found.ranges { set.append(range) } })
      : false
    for copy in copies { program.add(copy) }
    guard !isDone else { return set }
    try forEachBatch(of: program.batchCapacity) { batch in
      for range in try PageImage.chosen(by: program, of: batch).ranges { set.append(range) }
    }
    return set
  }

  private static func chosen(
    by program: SelectorProgram, of batch: PageBatch
  ) throws -> PageSet {
    var set = PageSet()
    try program.run(batch).forEach {
      let pfn = batch.entries[$0].pfn
      set.append(pfn..<pfn + 1)
    }
    return set
  }

  public func select(_ selector: Selector) throws -> PageSet {
    try select(SelectorProgram(selector))
  }

  /// How many pages each of the selectors is true of, in one pass.
  public func count(_ programs: [SelectorProgram]) throws -> [UInt64] {
    var counts = [UInt64](repeating: 0, count: programs.count)
    try forEachBatch(of: programs.map(\.batchCapacity).min() ?? BatchMask.capacity) {
      batch in
      for (position, program) in programs.enumerated() {
        counts[position] += UInt64(try program.run(batch).count)
      }
    }
    return counts
  }

  /// The pages of zeros among those with contents.
  public func zeroPages() throws -> PageSet {
    var set = PageSet()
    try mapChunks({
      { pfn, bytes, count in
        var found = PageSet()
        for page in 0..<count where bytes.isZeroPage(at: page * pageByteCount) {
          found.append(pfn + UInt64(page)..<pfn + UInt64(page) + 1)
        }
        return found
      }
    }) { _, found in
      for range in found.ranges { set.append(range) }
    }
    return set
  }

  /// The hash of every page with contents, ascending by pfn; 8 bytes a page for who keeps them.
  public func forEachHash(_ body: (_ pfn: UInt64, _ hash: UInt64) -> Void) throws {
    try mapChunks({
      { _, bytes, count in
        (0..<count).map { PageLoops.hash(bytes, at: $0 * pageByteCount) }
      }
    }) { chunk, hashes in
      for (page, hash) in hashes.enumerated() { body(chunk.pfn + UInt64(page), hash) }
    }
  }

  /// The hashes of the pages with contents, for `Selector.hashIn`: 8 bytes a page.
  public func hashes() throws -> HashSet {
    var all: [UInt64] = []
    try forEachHash { all.append($1) }
    return HashSet(all)
  }

  /// The entropy of every page with contents, in bits a byte: 0 for one value only, near 8 for what
  /// is compressed or encrypted.
  public func forEachEntropy(
    in pages: PageSet? = nil, _ body: (_ pfn: UInt64, _ bits: Double) -> Void
  ) throws {
    try mapChunks(
      in: pages,
      {
        let table = Entropy()
        return { _, bytes, count in (0..<count).map { table.bits(bytes, at: $0 * pageByteCount) } }
      }
    ) { chunk, bits in
      for (page, bits) in bits.enumerated() { body(chunk.pfn + UInt64(page), bits) }
    }
  }
}

/// Entropy of pages, by a table of n log2 n.
public struct Entropy {
  private let terms: [Double]
  private let counts = ByteCounts()

  public init() { terms = (0...pageByteCount).map { $0 == 0 ? 0 : Double($0) * log2(Double($0)) } }

  /// Bits a byte of the page at `offset`, from 0 to 8.
  public func bits(_ bytes: RawSpan, at offset: Int) -> Double {
    counts.count(bytes, at: offset)
    var sum = 0.0
    for byte in UInt8.min...UInt8.max { sum += terms[counts[byte]] }
    return max(0, log2(Double(pageByteCount)) - sum / Double(pageByteCount))
  }
}

/// What a search has found.
public struct SearchResult: Sendable, Equatable {
  /// Guest-physical addresses of the first bytes, ascending; at most as many as were asked for.
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
  ) throws -> SearchResult {
    var search = MemorySearch(pattern, limit: limit)
    try reading("searching", pages == nil ? dataByteCount : nil) {
      try forEachRun(in: pages) { run in
        var done = 0
        while done < Int(run.pageCount) {
          let count = min(Int(run.pageCount) - done, PageImage.chunkByteCount / pageByteCount)
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
