// Guest memory laid out as a bounded number of cells.

internal import Bytes
internal import Format

/// The pfns of an image on a line that leaves out its largest gaps, cut into cells of one size.
///
/// What an image says of its pfns is not trusted: there are never more cells than were asked for, and
/// no more stretches than `stretchLimit`.
public struct MapAxis: Sendable, Equatable {
  /// A part of the guest's memory without a gap that is worth leaving out.
  public struct Stretch: Sendable, Equatable {
    /// Whole cells: both ends are multiples of `pagesPerCell`.
    public let pfns: Range<UInt64>
    /// The index of its first cell.
    public let firstCell: Int
    public let cellCount: Int
  }

  /// A power of two.
  public let pagesPerCell: UInt64
  /// Ascending and disjoint.
  public let stretches: [Stretch]

  /// Most stretches: only the largest gaps are left out.
  public static let stretchLimit = 12
  /// Pages from which on a gap may be left out.
  static let gapLimit: UInt64 = 256

  /// The line for ascending disjoint ranges of pfns, in at most `limit` cells.
  public init(_ pfns: some Sequence<Range<UInt64>>, limit: Int) {
    let parts = MapAxis.parts(pfns)
    var size: UInt64 = 1
    var stretches = MapAxis.cut(parts, size)
    while MapAxis.count(stretches) > max(1, limit), size < PageSet.limit {
      size *= 2
      stretches = MapAxis.cut(parts, size)
    }
    pagesPerCell = size
    self.stretches = stretches
  }

  public var cellCount: Int { MapAxis.count(stretches) }

  private static func count(_ stretches: [Stretch]) -> Int {
    stretches.last.map { $0.firstCell + $0.cellCount } ?? 0
  }

  /// Whole cells of `size` pages around each part; parts that come to touch are one.
  private static func cut(_ parts: [Range<UInt64>], _ size: UInt64) -> [Stretch] {
    var ranges: [Range<UInt64>] = []
    for part in parts {
      let first = part.lowerBound & ~(size - 1)
      let end = (part.upperBound + size - 1) & ~(size - 1)
      if let last = ranges.last, last.upperBound >= first {
        ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, end)
      } else {
        ranges.append(first..<end)
      }
    }
    var out: [Stretch] = []
    for range in ranges {
      out.append(
        Stretch(
          pfns: range, firstCell: count(out),
          cellCount: Int(clamping: (range.upperBound - range.lowerBound) / size)))
    }
    return out
  }

  /// The parts between the largest gaps.
  private static func parts(_ pfns: some Sequence<Range<UInt64>>) -> [Range<UInt64>] {
    var bounds: Range<UInt64>?
    var gaps: [Range<UInt64>] = []
    for range in pfns where !range.isEmpty {
      guard let known = bounds else {
        bounds = range
        continue
      }
      if range.lowerBound >= known.upperBound + gapLimit {
        gaps.append(known.upperBound..<range.lowerBound)
        if gaps.count >= 64 * stretchLimit { gaps = largest(gaps) }
      }
      bounds = known.lowerBound..<max(known.upperBound, range.upperBound)
    }
    guard let bounds else { return [] }
    var out: [Range<UInt64>] = []
    var start = bounds.lowerBound
    for gap in largest(gaps).sorted(by: { $0.lowerBound < $1.lowerBound }) {
      out.append(start..<gap.lowerBound)
      start = gap.upperBound
    }
    return out + [start..<bounds.upperBound]
  }

  private static func largest(_ gaps: [Range<UInt64>]) -> [Range<UInt64>] {
    func size(_ gap: Range<UInt64>) -> UInt64 { gap.upperBound - gap.lowerBound }
    return Array(
      gaps.sorted { (size($1), $0.lowerBound) < (size($0), $1.lowerBound) }
        .prefix(stretchLimit - 1))
  }

  // MARK: - Cells

  /// The pfns of a cell.
  public func pfns(of cell: Int) -> Range<UInt64> {
    guard let stretch = stretches.last(where: { $0.firstCell <= cell }) else { return 0..<0 }
    let first = stretch.pfns.lowerBound + UInt64(cell - stretch.firstCell) * pagesPerCell
    return first..<first + pagesPerCell
  }

  /// The cell of a pfn; nil for one that is on no stretch.
  public func cell(of pfn: UInt64) -> Int? {
    // A dozen at most: no search is faster.
    for stretch in stretches where pfn < stretch.pfns.upperBound {
      guard pfn >= stretch.pfns.lowerBound else { return nil }
      return stretch.firstCell + Int((pfn - stretch.pfns.lowerBound) / pagesPerCell)
    }
    return nil
  }

  /// Calls `body` for the part of `pfns` in each cell.
  public func forEachCell(
    of pfns: Range<UInt64>, _ body: (_ cell: Int, _ pfns: Range<UInt64>) -> Void
  ) {
    for stretch in stretches {
      let part = pfns.clamped(to: stretch.pfns)
      if part.isEmpty { continue }
      var first = part.lowerBound
      while first < part.upperBound {
        let cell = Int((first - stretch.pfns.lowerBound) / pagesPerCell)
        let end = stretch.pfns.lowerBound + UInt64(cell + 1) * pagesPerCell
        body(stretch.firstCell + cell, first..<min(end, part.upperBound))
        first = min(end, part.upperBound)
      }
    }
  }
}
