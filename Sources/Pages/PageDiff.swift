// Pages in which two images differ.

internal import Bytes
public import Format

/// Consecutive pages that differ between two images in the same way.
public struct PageDifference: Sendable, Equatable {
  public enum Kind: String, Sendable {
    /// Only the first image mentions them.
    case onlyInFirst = "only_in_first"
    case onlyInSecond = "only_in_second"
    /// Their types differ (and maybe their contents).
    case type
    /// Same type, other contents.
    case contents
  }
  public let kind: Kind
  public let first: UInt64
  public internal(set) var last: UInt64
  /// Types where the kind says so: in the first and in the second image.
  public let types: [PageType]

  public var pageCount: UInt64 { last - first + 1 }
}

extension PageImage {
  /// Calls `body` for the differences to `other`, ascending by pfn; neighbours of one kind are one
  /// run. Reads both images once, in pieces.
  public func forEachDifference(
    to other: PageImage, _ body: (PageDifference) -> Void
  ) throws(PagesError) {
    try reading("comparing pages", dataByteCount) { () throws(PagesError) in
      try compare(to: other, body)
    }
  }

  private func compare(
    to other: PageImage, _ body: (PageDifference) -> Void
  ) throws(PagesError) {
    var pending: PageDifference?
    func note(
      _ kind: PageDifference.Kind, _ pfns: Range<UInt64>, _ types: [PageType] = []
    ) {
      if var run = pending {
        if run.kind == kind, run.last + 1 == pfns.lowerBound, run.types == types {
          run.last = pfns.upperBound - 1
          pending = run
          return
        }
        body(run)
      }
      pending = PageDifference(
        kind: kind, first: pfns.lowerBound, last: pfns.upperBound - 1, types: types)
    }
    let mine = Arena(capacity: PageImage.pieceByteCount / 2)
    let theirs = Arena(capacity: PageImage.pieceByteCount / 2)
    let piece = UInt64(PageImage.pieceByteCount / 2 / pageByteCount)
    var a = 0
    var b = 0
    var position: UInt64 = 0
    let (left, right) = (index.runs, other.index.runs)
    while a < left.count || b < right.count {
      let first = a < left.count ? max(left[a].pfn, position) : .max
      let second = b < right.count ? max(right[b].pfn, position) : .max
      position = min(first, second)
      if first != second {
        let isFirst = first < second
        let run = isFirst ? left[a] : right[b]
        let end = min(run.end, max(first, second))
        note(isFirst ? .onlyInFirst : .onlyInSecond, position..<end)
        position = end
      } else {
        let (x, y) = (left[a], right[b])
        let end = min(x.end, y.end)
        if x.type != y.type {
          note(.type, position..<end, [x.type, y.type])
          position = end
        } else if !x.hasData {
          position = end
        }
        while position < end {
          let count = Int(min(end - position, piece))
          try read(x.offset(of: position), count * pageByteCount, into: mine)
          try other.read(y.offset(of: position), count * pageByteCount, into: theirs)
          mine.withBytes(0..<count * pageByteCount) { p in
            theirs.withBytes(0..<count * pageByteCount) { q in
              if PageLoops.isEqual(p, at: 0, q, at: 0, count: count * pageByteCount) { return }
              for page in 0..<count
              where !PageLoops.isEqual(p, at: page * pageByteCount, q, at: page * pageByteCount) {
                let pfn = position + UInt64(page)
                note(.contents, pfn..<pfn + 1)
              }
            }
          }
          position += UInt64(count)
        }
      }
      if a < left.count, left[a].end <= position { a += 1 }
      if b < right.count, right[b].end <= position { b += 1 }
    }
    if let pending { body(pending) }
  }
}
