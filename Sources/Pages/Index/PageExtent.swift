// Runs of pages, and the map that keeps the last occurrence of each.

internal import Bytes
public import Format

/// Consecutive pfns of one type whose contents, where they have any, follow one another in the file.
public struct PageExtent: Sendable, Equatable {
  /// The first page's pfn and type, as an entry of PAGE_DATA without its reserved bits.
  private let word: UInt64
  /// Bytes from the start of the source to the first page's contents; 0 where there are none.
  public let offset: UInt64
  /// How many pages, at least 1.
  public let pageCount: UInt32
  /// The pass over the guest's memory, from 0: a new one begins where pfns do not continue ascending.
  public let round: UInt32

  init(_ type: PageType, pfn: UInt64, count: UInt32, offset: UInt64, round: UInt32) {
    word = PageEntry(type, pfn: pfn).rawValue
    self.offset = offset
    pageCount = count
    self.round = round
  }

  public var pfn: UInt64 { word & PageEntry.pfnMask }
  public var type: PageType { PageType(rawValue: UInt8(word >> 60)) }
  /// One above the last pfn.
  public var end: UInt64 { pfn + UInt64(pageCount) }
  public var pfns: Range<UInt64> { pfn..<end }
  public var hasData: Bool { type.hasData }

  /// Bytes from the start of the source to the contents of `pfn`, which is in the run; 0 for none.
  public func offset(of pfn: UInt64) -> UInt64 {
    hasData ? offset + (pfn - self.pfn) * UInt64(pageByteCount) : 0
  }

  /// The part of it that lies in `range`, which overlaps it.
  func part(_ range: Range<UInt64>) -> PageExtent {
    let first = max(pfn, range.lowerBound)
    let last = min(end, range.upperBound)
    return PageExtent(
      type, pfn: first, count: UInt32(last - first), offset: offset(of: first), round: round)
  }

  /// This run and the one after it as one, if they are.
  func joined(_ next: PageExtent) -> PageExtent? {
    guard next.pfn == end, next.type == type, next.round == round,
      !hasData || next.offset == offset(of: next.pfn),
      UInt64(pageCount) + UInt64(next.pageCount) <= UInt64(UInt32.max)
    else { return nil }
    return PageExtent(
      type, pfn: pfn, count: pageCount + next.pageCount, offset: offset, round: round)
  }
}

extension [PageExtent] {
  /// Appends a run, joined to the last one where that is possible.
  mutating func appendJoining(_ run: PageExtent) {
    if let last, let joined = last.joined(run) {
      self[count - 1] = joined
    } else {
      append(run)
    }
  }

  /// The number of the first run that ends above `pfn`; the runs are ascending and disjoint.
  func firstIndex(endingAbove pfn: UInt64) -> Int {
    partitioningIndex { $0.end > pfn }
  }
}

/// The last occurrence of each pfn, built from runs in the order of the stream.
///
/// Levels of ascending disjoint runs, newest last; each is at least twice as long as the next, so
/// that n runs are merged in O(n log n). A first round appends to one level only.
struct PageRunMap {
  private var levels: [[PageExtent]] = []

  /// Puts ascending disjoint runs over all that came before.
  mutating func push(_ newer: [PageExtent]) {
    guard let first = newer.first else { return }
    if let top = levels.last?.last, top.end <= first.pfn {
      for run in newer { levels[levels.count - 1].appendJoining(run) }
    } else {
      levels.append(newer)
    }
    while levels.count >= 2, levels[levels.count - 2].count < 2 * levels[levels.count - 1].count {
      mergeTop()
    }
  }

  /// Everything in one level; empties the map.
  mutating func take() -> [PageExtent] {
    while levels.count >= 2 { mergeTop() }
    defer { levels = [] }
    return levels.first ?? []
  }

  private mutating func mergeTop() {
    let newer = levels.removeLast()
    let older = levels.removeLast()
    levels.append(PageRunMap.overlay(older, newer))
  }

  /// The runs of `older` where `newer` has none, and those of `newer`.
  static func overlay(_ older: [PageExtent], _ newer: [PageExtent]) -> [PageExtent] {
    var out: [PageExtent] = []
    out.reserveCapacity(older.count + newer.count)
    var index = 0
    var rest = older.first
    func following() -> PageExtent? {
      index += 1
      return index < older.count ? older[index] : nil
    }
    for run in newer {
      while let current = rest {
        if current.end <= run.pfn {
          out.appendJoining(current)
          rest = following()
          continue
        }
        if current.pfn < run.pfn { out.appendJoining(current.part(current.pfn..<run.pfn)) }
        if current.end <= run.end {
          rest = following()
          continue
        }
        if current.pfn < run.end { rest = current.part(run.end..<current.end) }
        break
      }
      out.appendJoining(run)
    }
    while let current = rest {
      out.appendJoining(current)
      rest = following()
    }
    return out
  }
}
