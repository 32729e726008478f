// Pages in which two images differ.

internal import Bytes
public import Format
internal import SystemIO

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

/// Goes over the pages in which two images differ, ascending by pfn, at the caller's pace;
/// neighbours of one kind are one run. Reads both images once, in pieces, at the same time.
public struct PageDifferences {
  private let first: PageImage
  private let second: PageImage
  private let mine = Arena(capacity: pieceByteCount)
  private let theirs = Arena(capacity: pieceByteCount)
  /// The runs of both that come next, and the pfn up to which all has been looked at.
  private var a = 0
  private var b = 0
  private var position: UInt64 = 0
  /// Runs that are complete, and the last one, which may go on.
  private var complete: [PageDifference] = []
  private var pending: PageDifference?

  /// Reads the second image; nil where the two are read in turn.
  private let thread: BackgroundThread?

  private static let pieceByteCount = 4 * PageImage.pieceByteCount

  public init(_ first: PageImage, _ second: PageImage) {
    self.first = first
    self.second = second
    // An image that is compared with itself has one position to read from.
    thread = first === second ? nil : try? BackgroundThread()
  }

  /// The next run; nil at the end.
  public mutating func next() throws(PagesError) -> PageDifference? {
    while complete.isEmpty {
      guard a < first.index.runs.count || b < second.index.runs.count else {
        defer { pending = nil }
        return pending
      }
      try step()
    }
    return complete.removeFirst()
  }

  private mutating func note(
    _ kind: PageDifference.Kind, _ pfns: Range<UInt64>, _ types: [PageType] = []
  ) {
    if var run = pending {
      if run.kind == kind, run.last + 1 == pfns.lowerBound, run.types == types {
        run.last = pfns.upperBound - 1
        pending = run
        return
      }
      complete.append(run)
    }
    pending = PageDifference(
      kind: kind, first: pfns.lowerBound, last: pfns.upperBound - 1, types: types)
  }

  /// Looks at what comes next: a run of one image only, or a piece of both.
  private mutating func step() throws(PagesError) {
    let (left, right) = (first.index.runs, second.index.runs)
    let mine = a < left.count ? max(left[a].pfn, position) : .max
    let theirs = b < right.count ? max(right[b].pfn, position) : .max
    position = min(mine, theirs)
    if mine != theirs {
      let isMine = mine < theirs
      let end = min((isMine ? left[a] : right[b]).end, max(mine, theirs))
      note(isMine ? .onlyInFirst : .onlyInSecond, position..<end)
      position = end
    } else {
      let (x, y) = (left[a], right[b])
      let end = min(x.end, y.end)
      if x.type != y.type {
        note(.type, position..<end, [x.type, y.type])
        position = end
      } else if !x.hasData {
        position = end
      } else {
        try compare(x, y, end)
      }
    }
    if a < left.count, left[a].end <= position { a += 1 }
    if b < right.count, right[b].end <= position { b += 1 }
  }

  /// Compares the contents of two runs from `position` on, a piece of them.
  private mutating func compare(
    _ x: PageRun, _ y: PageRun, _ end: UInt64
  ) throws(PagesError) {
    let count = Int(
      min(end - position, UInt64(PageDifferences.pieceByteCount / pageByteCount)))
    let octets = count * pageByteCount
    try readBoth(x.offset(of: position), y.offset(of: position), octets)
    let (mine, theirs) = (self.mine, self.theirs)
    let differing = mine.withBytes(0..<octets) { p -> [Int] in
      theirs.withBytes(0..<octets) { q -> [Int] in
        if PageLoops.isEqual(p, at: 0, q, at: 0, count: octets) { return [] }
        return (0..<count).filter {
          !PageLoops.isEqual(p, at: $0 * pageByteCount, q, at: $0 * pageByteCount)
        }
      }
    }
    for page in differing {
      let pfn = position + UInt64(page)
      note(.contents, pfn..<pfn + 1)
    }
    position += UInt64(count)
  }

  /// What the thread has met with, read when its job has ended.
  private final class Failure {
    var error: PagesError?
  }

  private func readBoth(_ a: UInt64, _ b: UInt64, _ octets: Int) throws(PagesError) {
    let (second, theirs, failure) = (second, theirs, Failure())
    let readSecond = {
      do throws(PagesError) { try second.read(b, octets, into: theirs) } catch {
        failure.error = error
      }
    }
    if let thread { thread.start(readSecond) } else { readSecond() }
    // Whatever comes of the first, the second's buffer is at rest behind this.
    defer { thread?.wait() }
    try first.read(a, octets, into: mine)
    thread?.wait()
    if let error = failure.error { throw error }
  }
}

extension PageImage {
  /// Calls `body` for the differences to `other`, as `PageDifferences` gives them.
  public func forEachDifference(
    to other: PageImage, _ body: (PageDifference) -> Void
  ) throws(PagesError) {
    var walk = PageDifferences(self, other)
    try reading("comparing pages", dataByteCount) { () throws(PagesError) in
      while let next = try walk.next() { body(next) }
    }
  }
}
