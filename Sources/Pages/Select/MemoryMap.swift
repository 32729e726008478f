// What the memory of a guest is made of, cell by cell.

internal import Bytes
internal import Format
internal import SystemIO

/// Counts of pages in the cells of an image's memory.
///
/// Costs some 200 bytes a cell, whatever the size of the guest; where duplicates are asked for, 16 to
/// 32 bytes for each distinct page while they are counted.
public struct MemoryMap: Sendable {
  /// What is asked of the contents. Nothing: types alone, for which no contents are read.
  public struct Questions: OptionSet, Sendable {
    public let rawValue: Int
    public init(rawValue: Int) { self.rawValue = rawValue }

    public static let zeros = Questions(rawValue: 1)
    public static let copies = Questions(rawValue: 2)
    public static let entropy = Questions(rawValue: 4)
  }

  /// The pages of one cell.
  public struct Cell: Sendable {
    /// Pages by type, `PageType.rawValue`.
    public internal(set) var types: InlineArray<16, UInt64> = .init(repeating: 0)
    /// Pages whose contents are zeros.
    public internal(set) var zeroCount: UInt64 = 0
    /// Pages, not of zeros, whose contents an earlier page has, too.
    public internal(set) var copyCount: UInt64 = 0
    /// Pages, not of zeros, of which `entropySum` is the sum in bits a byte.
    public internal(set) var entropyCount: UInt64 = 0
    public internal(set) var entropySum = 0.0

    init() {}

    public var pageCount: UInt64 {
      var sum: UInt64 = 0
      for type in 0..<16 { sum += types[type] }
      return sum
    }

    /// Pages with contents.
    public var dataCount: UInt64 {
      var sum: UInt64 = 0
      for type in 0..<16 where PageType(rawValue: UInt8(type)).hasData { sum += types[type] }
      return sum
    }

    /// Page tables, pinned or not.
    public var tableCount: UInt64 {
      var sum: UInt64 = 0
      for type in 0..<16 where PageType(rawValue: UInt8(type)).isPageTable { sum += types[type] }
      return sum
    }

    /// The mean of the pages that were looked at, in bits a byte; nil where there were none.
    public var entropy: Double? {
      entropyCount == 0 ? nil : entropySum / Double(entropyCount)
    }

    mutating func add(_ other: Cell) {
      for type in 0..<16 { types[type] += other.types[type] }
      zeroCount += other.zeroCount
      copyCount += other.copyCount
      entropyCount += other.entropyCount
      entropySum += other.entropySum
    }
  }

  public let axis: MapAxis
  public let questions: Questions
  /// Of every so many pages one was looked at for its entropy; a power of two.
  public let entropyStep: UInt64
  public internal(set) var cells: [Cell]
  /// Pages that the image says are absent, in gaps that the axis leaves out: of an HVM guest those of the
  /// hole below 4 GiB.
  public internal(set) var absentLeftOut: UInt64 = 0

  /// All cells together.
  public var total: Cell {
    var sum = Cell()
    for cell in cells { sum.add(cell) }
    return sum
  }
}

extension PageImage {
  /// The map of the pages as a restore would see them, in at most `cellLimit` cells. All that is asked
  /// of contents is answered in one pass. With `entropySamples`, the entropy of no more than so many
  /// pages of a cell is taken.
  public func memoryMap(
    _ questions: MemoryMap.Questions, cellLimit: Int, entropySamples: UInt64? = nil
  ) throws -> MemoryMap {
    // What is absent makes no memory, unless there is nothing else.
    let there = index.runs.lazy.filter { $0.type != .xtab }
    let axis = MapAxis(
      (there.isEmpty ? index.runs.lazy.filter { _ in true } : there).map(\.pfns), limit: cellLimit)
    var step: UInt64 = 1
    if let entropySamples {
      while axis.pagesPerCell / step > max(1, entropySamples) { step *= 2 }
    }
    var map = MemoryMap(
      axis: axis, questions: questions, entropyStep: step,
      cells: [MemoryMap.Cell](repeating: MemoryMap.Cell(), count: axis.cellCount))
    for run in index.runs {
      var left = UInt64(run.pageCount)
      axis.forEachCell(of: run.pfns) { cell, pfns in
        map.cells[cell].types[Int(run.type.rawValue)] += pfns.upperBound - pfns.lowerBound
        left -= pfns.upperBound - pfns.lowerBound
      }
      map.absentLeftOut += left
    }
    guard !questions.isEmpty else { return map }
    var seen = SeenHashes()
    // Whoever prepares pages that collide does not know the seed.
    let seed = UInt64.random(in: 0...UInt64.max)
    try mapChunks({
      let entropy = questions.contains(.entropy) ? Entropy() : nil
      return { pfn, bytes, count in
        (0..<count).map { page in
          PageFacts(
            bytes, at: page * pageByteCount,
            hashing: questions.contains(.copies) ? seed : nil,
            (pfn + UInt64(page)) & (step - 1) == 0 ? entropy : nil)
        }
      }
    }) { chunk, facts in
      for (page, fact) in facts.enumerated() {
        guard let cell = axis.cell(of: chunk.pfn + UInt64(page)) else { continue }
        map.cells[cell].add(fact, &seen)
      }
    }
    return map
  }
}

/// What one page says by itself.
private struct PageFacts {
  let isZero: Bool
  var hash: UInt64?
  var entropy: Float?

  @inline(__always)
  init(_ bytes: RawSpan, at offset: Int, hashing seed: UInt64?, _ table: Entropy?) {
    isZero = bytes.isZeroPage(at: offset)
    if isZero { return }
    if let seed { hash = PageLoops.hash(bytes, at: offset, seed: seed) }
    if let table { entropy = Float(table.bits(bytes, at: offset)) }
  }
}

extension MemoryMap.Cell {
  fileprivate mutating func add(_ fact: PageFacts, _ seen: inout SeenHashes) {
    if fact.isZero { zeroCount += 1 }
    if let hash = fact.hash, !seen.insert(hash) { copyCount += 1 }
    if let bits = fact.entropy {
      entropyCount += 1
      entropySum += Double(bits)
    }
  }
}

/// Hashes that came before: 8 bytes a place, of which a quarter to a half are used.
struct SeenHashes {
  private var table = [UInt64](repeating: 0, count: 1024)
  private var used = 0

  /// Whether it was not there yet.
  mutating func insert(_ hash: UInt64) -> Bool {
    if used * 2 >= table.count { grow() }
    // 0 is a free place.
    let hash = hash == 0 ? 1 : hash
    let place = SeenHashes.place(of: hash, in: table)
    guard table[place] == 0 else { return false }
    table[place] = hash
    used += 1
    return true
  }

  private static func place(of hash: UInt64, in table: [UInt64]) -> Int {
    var place = Int(truncatingIfNeeded: hash) & (table.count - 1)
    while table[place] != 0, table[place] != hash { place = (place + 1) & (table.count - 1) }
    return place
  }

  private mutating func grow() {
    var larger = [UInt64](repeating: 0, count: table.count * 2)
    for hash in table where hash != 0 {
      larger[SeenHashes.place(of: hash, in: larger)] = hash
    }
    table = larger
  }
}
