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
/// neighbours of one kind are one run. Reads both images once, in chunks, at the same time.
public struct PageDifferences {
  private let first: PageImage
  private let second: PageImage
  private let mine = PageAlignedBuffer(capacity: chunkByteCount)
  private let theirs = PageAlignedBuffer(capacity: chunkByteCount)
  /// The runs of both that come next, and the pfn up to which all has been looked at.
  private var a = 0
  private var b = 0
  private var position: UInt64 = 0
  /// Runs that are complete, and the last one, which may continue.
  private var complete: [PageDifference] = []
  /// How many of them were given.
  private var givenCount = 0
  private var pending: PageDifference?

  /// Reads the second image; nil where the two are read in turn, or by several threads.
  private let thread: WorkerThread?
  /// What the threads compare next, with what has been found without a look at contents; nil where one
  /// thread does it all.
  fileprivate let crew: DiffCrew?

  private static let chunkByteCount = 4 * PageImage.chunkByteCount

  public init(_ first: PageImage, _ second: PageImage) {
    self.first = first
    self.second = second
    let count = PageJobs.count(for: min(first.dataByteCount, second.dataByteCount))
    crew = first === second || count == 1 ? nil : DiffCrew(count, first, second)
    // An image that is compared with itself has one position to read from.
    thread = first === second || crew != nil ? nil : try? WorkerThread()
  }

  /// The next run; nil at the end.
  public mutating func next() throws -> PageDifference? {
    while givenCount == complete.count {
      complete.removeAll(keepingCapacity: true)
      givenCount = 0
      guard hasMore else {
        defer { pending = nil }
        return pending
      }
      try step()
      if let crew, crew.isFull || !hasMore {
        for item in try crew.run() { note(item.kind, item.pfns, item.types) }
      }
    }
    defer { givenCount += 1 }
    return complete[givenCount]
  }

  private var hasMore: Bool {
    a < first.index.runs.count || b < second.index.runs.count
  }

  /// Notes what is known without contents, after what the threads have still to look at.
  private mutating func find(
    _ kind: PageDifference.Kind, _ pfns: Range<UInt64>, _ types: [PageType] = []
  ) {
    if let crew {
      crew.add(.found(DiffCrew.Finding(kind: kind, pfns: pfns, types: types)))
    } else {
      note(kind, pfns, types)
    }
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

  /// Looks at what comes next: a run of one image only, or a chunk of both.
  private mutating func step() throws {
    let (left, right) = (first.index.runs, second.index.runs)
    let mine = a < left.count ? max(left[a].pfn, position) : .max
    let theirs = b < right.count ? max(right[b].pfn, position) : .max
    position = min(mine, theirs)
    if mine != theirs {
      let isMine = mine < theirs
      let end = min((isMine ? left[a] : right[b]).end, max(mine, theirs))
      find(isMine ? .onlyInFirst : .onlyInSecond, position..<end)
      position = end
    } else {
      let (x, y) = (left[a], right[b])
      let end = min(x.end, y.end)
      if x.type != y.type {
        find(.type, position..<end, [x.type, y.type])
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

  /// Compares the contents of two runs from `position` on, a chunk of them.
  private mutating func compare(
    _ x: PageExtent, _ y: PageExtent, _ end: UInt64
  ) throws {
    let count = Int(
      min(end - position, UInt64(PageDifferences.chunkByteCount / pageByteCount)))
    let bytes = count * pageByteCount
    if let crew {
      crew.add(
        .look(pfn: position, count, x.offset(of: position), y.offset(of: position)))
      position += UInt64(count)
      return
    }
    try readBoth(x.offset(of: position), y.offset(of: position), bytes)
    let (mine, theirs) = (self.mine, self.theirs)
    let differing = PageDifferences.differing(mine, theirs, count)
    for page in differing {
      let pfn = position + UInt64(page)
      note(.contents, pfn..<pfn + 1)
    }
    position += UInt64(count)
  }

  /// The pages of two chunks that are not the same.
  static func differing(_ mine: PageAlignedBuffer, _ theirs: PageAlignedBuffer, _ count: Int)
    -> [Int]
  {
    let bytes = count * pageByteCount
    return mine.withBytes(0..<bytes) { p -> [Int] in
      theirs.withBytes(0..<bytes) { q -> [Int] in
        if PageLoops.isEqual(p, at: 0, q, at: 0, count: bytes) { return [] }
        return (0..<count).filter {
          !PageLoops.isEqual(p, at: $0 * pageByteCount, q, at: $0 * pageByteCount)
        }
      }
    }
  }

  /// What the thread has met with, read when its job has ended.
  private final class Failure {
    var error: (any Error)?
  }

  private func readBoth(_ a: UInt64, _ b: UInt64, _ bytes: Int) throws {
    let (second, theirs, failure) = (second, theirs, Failure())
    let readSecond = {
      do { try second.read(b, bytes, into: theirs) } catch {
        failure.error = error
      }
    }
    if let thread { thread.start(readSecond) } else { readSecond() }
    // Whatever comes of the first, the second's buffer is at rest after this.
    defer { thread?.wait() }
    try first.read(a, bytes, into: mine)
    thread?.wait()
    if let error = failure.error { throw error }
  }
}

/// Threads that compare the contents of two images: a batch of chunks is spread over them, and comes
/// back in order.
fileprivate final class DiffCrew {
  struct Finding {
    let kind: PageDifference.Kind
    let pfns: Range<UInt64>
    var types: [PageType] = []
  }
  enum Item {
    case found(Finding)
    /// Pages to be compared, and where their contents lie in both.
    case look(pfn: UInt64, Int, UInt64, UInt64)
  }

  private let jobs: OrderedJobs<[Item], [Finding]>
  private let threads: Int
  private var items: [Item] = []
  private var pageCount = 0
  /// Bytes of the first image that were compared.
  let done = ProgressCounter()

  /// Nil where there can be no threads.
  init?(_ count: Int, _ first: PageImage, _ second: PageImage) {
    let made = try? OrderedJobs<[Item], [Finding]>(count) {
      let (mine, theirs) = (try PageWorker(first), try PageWorker(second))
      return { (items) in try DiffCrew.compare(items, mine, theirs) }
    }
    guard let made = made ?? nil else { return nil }
    jobs = made
    threads = count
  }

  func add(_ item: Item) {
    items.append(item)
    if case .look(_, let count, _, _) = item { pageCount += count }
  }

  /// Whether there is enough for all of them.
  var isFull: Bool {
    pageCount * pageByteCount >= threads * PageJobs.jobByteCount
      || items.count >= threads * PageJobs.chunkLimit
  }

  /// What was found in all that was added.
  func run() throws -> [Finding] {
    defer {
      done.value += UInt64(pageCount * pageByteCount)
      items.removeAll(keepingCapacity: true)
      pageCount = 0
    }
    var place = 0
    // Four jobs a thread: one that is slow keeps nobody waiting long.
    let most = max(1, pageCount / (4 * threads))
    var out: [Finding] = []
    try jobs.run({
      guard place < self.items.count else { return nil }
      var (end, pages) = (place, 0)
      while end < self.items.count, pages < most {
        if case .look(_, let count, _, _) = self.items[end] { pages += count }
        end += 1
      }
      defer { place = end }
      return Array(self.items[place..<end])
    }) { found in out += found }
    return out
  }

  private static func compare(
    _ items: [Item], _ mine: PageWorker, _ theirs: PageWorker
  ) throws -> [Finding] {
    var out: [Finding] = []
    for item in items {
      switch item {
      case .found(let finding): out.append(finding)
      case .look(let first, let total, let a, let b):
        // So much of both fits the processor's second cache.
        let chunk = PageImage.chunkByteCount / pageByteCount / 2
        for start in stride(from: 0, to: total, by: chunk) {
          let count = min(chunk, total - start)
          let place = UInt64(start * pageByteCount)
          try mine.read(a + place, count * pageByteCount, into: mine.buffer, at: 0)
          try theirs.read(b + place, count * pageByteCount, into: theirs.buffer, at: 0)
          for page in PageDifferences.differing(mine.buffer, theirs.buffer, count) {
            let pfn = first + UInt64(start + page)
            out.append(Finding(kind: .contents, pfns: pfn..<pfn + 1))
          }
        }
      }
    }
    return out
  }
}

extension PageImage {
  /// Calls `body` for the differences to `other`, as `PageDifferences` gives them.
  public func forEachDifference(
    to other: PageImage, _ body: (PageDifference) -> Void
  ) throws {
    var walk = PageDifferences(self, other)
    let (crew, source) = (walk.crew, source)
    try Progress.phase(
      "comparing pages", of: dataByteCount, done: { crew?.done.value ?? source.bytesRead }
    ) {
      while let next = try walk.next() { body(next) }
    }
  }
}
