// Reading the contents of pages ahead of who looks at them.

internal import Bytes
internal import Format
internal import SystemIO

/// Consecutive pages of an image that are read at once.
struct PageChunk {
  let pfn: UInt64
  /// Where their contents begin in the file.
  let offset: UInt64
  let count: Int
  var byteCount: Int { count * pageByteCount }
}

/// Goes over the last occurrences with contents, ascending by pfn, in chunks.
struct ChunkCursor {
  private let runs: [PageExtent]
  private let pages: PageSet?
  private let limit: Int
  private var run = 0
  /// The range of `pages` that comes next, where the pages are limited to a set.
  private var range = 0
  /// Of the current run or its part in `range`: pages that are after us.
  private var done = 0

  /// Pieces of at most `limit` pages; `pages` limits them to a set.
  init(_ index: PageIndex, _ pages: PageSet?, _ limit: Int) {
    runs = index.runs
    self.pages = pages
    self.limit = limit
    if let pages, let first = runs.first { range = pages.index(of: first.pfn) }
  }

  mutating func next() -> PageChunk? {
    while run < runs.count {
      guard runs[run].hasData, let part = part(runs[run]) else {
        skipRun()
        continue
      }
      let count = min(Int(part.pageCount) - done, limit)
      let pfn = part.pfn + UInt64(done)
      done += count
      if done == Int(part.pageCount) { skipPart() }
      return PageChunk(pfn: pfn, offset: part.offset(of: pfn), count: count)
    }
    return nil
  }

  /// What of a run is to be read next; nil for no more of it.
  private func part(_ run: PageExtent) -> PageExtent? {
    guard let pages else { return run }
    guard range < pages.ranges.count, pages.ranges[range].lowerBound < run.end else { return nil }
    return run.part(pages.ranges[range])
  }

  private mutating func skipPart() {
    done = 0
    guard let pages else { return run += 1 }
    // A range that continues after the run has a part in the next one as well.
    if pages.ranges[range].upperBound <= runs[run].end { range += 1 } else { skipRun() }
  }

  private mutating func skipRun() {
    done = 0
    run += 1
    guard let pages, run < runs.count else { return }
    range = pages.index(of: runs[run].pfn)
  }
}

/// Reads chunks on a thread of its own: the next one while the one before is looked at.
final class PageReader {
  /// Four times what fits the second cache: handing over has its price.
  static let chunkByteCount = 4 * PageImage.chunkByteCount

  private let source: Source
  private var buffers = (
    reading: PageAlignedBuffer(capacity: PageReader.chunkByteCount),
    read: PageAlignedBuffer(capacity: PageReader.chunkByteCount)
  )
  /// From the second chunk on; nil where there can be no thread.
  private var thread: WorkerThread?
  private var isFirst = true
  private let outcome = Outcome()

  /// Touched by the thread while it has a job, and by nobody else then.
  private final class Outcome {
    var error: (any Error)?
  }

  init(_ image: PageImage) throws {
    // Whoever looks at the pages may read others from the image meanwhile.
    source = try image.source.duplicate()
  }

  deinit { thread?.wait() }

  /// Begins to read a chunk. The one before must have been asked for.
  func start(_ chunk: PageChunk) {
    let (source, buffer, outcome) = (source, buffers.reading, outcome)
    let job = {
      do {
        source.seek(chunk.offset)
        let got = try source.read(into: buffer, 0..<chunk.byteCount)
        if got != chunk.byteCount { throw shorter(source) }
      } catch { outcome.error = error }
    }
    // Nothing is looked at while the first chunk is read.
    if isFirst { isFirst = false } else { thread = thread ?? (try? WorkerThread()) }
    if let thread { thread.start(job) } else { job() }
  }

  /// The bytes of the chunk that was begun; good until the next but one begins.
  func finish() throws -> PageAlignedBuffer {
    thread?.wait()
    if let error = outcome.error { throw error }
    buffers = (buffers.read, buffers.reading)
    return buffers.read
  }
}
