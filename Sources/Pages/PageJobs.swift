// Spreading work on pages over the processor's cores.

internal import Bytes
internal import Format
internal import SystemIO

/// How many threads look at pages at the same time.
public enum PageJobs {
  // Safety: set by the command line, before any work begins.
  nonisolated(unsafe) private static var asked: Int?

  /// More are not asked for.
  public static let limit = 256
  /// Without being asked for: each has its memory.
  private static let usualLimit = 32
  /// Bytes that one job looks at: handing over has its price.
  static let jobByteCount = 4 << 20
  /// Pieces of one job: where pages lie scattered.
  static let chunkLimit = 256
  /// Bytes from which on a pass is worth the start of threads.
  static let least: UInt64 = 16 << 20

  /// From now on so many; nil for as many as this process may use cores.
  public static func set(_ count: Int?) { unsafe asked = count }

  static var count: Int { unsafe asked ?? min(Environment.coreCount, usualLimit) }

  /// Threads for a pass over so many bytes; 1 where it stays with the caller's (and one that reads ahead).
  static func count(for bytes: UInt64) -> Int { bytes < least ? 1 : count }
}

/// Runs jobs on threads. What comes of them is handed on in their order, on the caller's thread: no more
/// of it is in memory than one result a thread.
final class OrderedJobs<Job, Result> {
  /// Touched by its thread while that has a job, and by nobody else then.
  private final class Slot {
    let thread: WorkerThread
    let work: (Job) throws -> Result
    var result: Result?
    var error: (any Error)?

    init(_ thread: WorkerThread, _ work: @escaping (Job) throws -> Result) {
      self.thread = thread
      self.work = work
    }

    func start(_ job: Job) {
      thread.start {
        do { self.result = try self.work(job) } catch { self.error = error }
      }
    }

    func finish() throws -> Result? {
      thread.wait()
      if let error { throw error }
      defer { result = nil }
      return result
    }
  }

  private var slots: [Slot] = []

  /// At most `count` threads; `make` gives each what it does, with memory of its own. Nil where there
  /// can be none.
  init?(
    _ count: Int, _ make: () throws -> (Job) throws -> Result
  ) throws {
    for _ in 0..<count {
      guard let thread = try? WorkerThread() else { break }
      slots.append(Slot(thread, try make()))
    }
    if slots.isEmpty { return nil }
  }

  /// Runs what `next` gives until that is nil. Where anything throws, no job is at work any more when
  /// this ends.
  func run(
    _ next: () -> Job?, _ body: (Result) throws -> Void
  ) throws {
    defer { for slot in slots { slot.thread.wait() } }
    var (started, finished) = (0, 0)
    func start() {
      guard let job = next() else { return }
      slots[started % slots.count].start(job)
      started += 1
    }
    for _ in slots { start() }
    while finished < started {
      let result = try slots[finished % slots.count].finish()
      finished += 1
      // The thread whose result this is continues before it is looked at.
      start()
      if let result { try body(result) }
    }
  }
}

extension PageImage {
  /// As `forEachChunk`, but `look` works on several threads: `make` gives each thread its own. What
  /// comes of each chunk goes to `body` in order, on the caller's thread.
  func mapChunks<R>(
    in pages: PageSet? = nil,
    _ make: () -> (_ pfn: UInt64, _ bytes: RawSpan, _ count: Int) -> R,
    _ body: (_ chunk: PageChunk, _ result: R) throws -> Void
  ) throws {
    let count = PageJobs.count(for: dataByteCount)
    let jobs =
      count > 1
      ? try OrderedJobs(count) { try self.chunkWorker(make()) } : nil
    guard let jobs else {
      let look = make()
      return try forEachChunk(in: pages) { (pfn, bytes, count) in
        let offset = index.page(pfn)?.offset ?? 0
        try body(PageChunk(pfn: pfn, offset: offset, count: count), look(pfn, bytes, count))
      }
    }
    var cursor = ChunkCursor(index, pages, PageImage.chunkByteCount / pageByteCount)
    let done = ProgressCounter()
    let total = pages == nil ? dataByteCount : nil
    try Progress.phase("reading pages", of: total, done: { done.value }) {
      try jobs.run({ cursor.nextJob() }) { results in
        Progress.beat()
        for (chunk, result) in results {
          done.value += UInt64(chunk.byteCount)
          try body(chunk, result)
        }
      }
    }
  }

  /// What one thread does with chunks.
  private func chunkWorker<R>(
    _ look: @escaping (UInt64, RawSpan, Int) -> R
  ) throws -> ([PageChunk]) throws -> [(PageChunk, R)] {
    let reader = try PageWorker(self)
    return { (chunks) in
      var out: [(PageChunk, R)] = []
      out.reserveCapacity(chunks.count)
      for chunk in chunks {
        try reader.read(chunk.offset, chunk.byteCount, into: reader.buffer, at: 0)
        reader.buffer.withBytes(0..<chunk.byteCount) { bytes in
          out.append((chunk, look(chunk.pfn, bytes, chunk.count)))
        }
      }
      return out
    }
  }

  /// As `forEachBatch`, but batches are looked at on several threads, and what comes of each goes to
  /// `body` in order. False, and nothing is done, where one thread is as good.
  func mapBatches<R>(
    of capacity: Int,
    _ make: () -> (PageBatch) throws -> R,
    _ body: (R) throws -> Void
  ) throws -> Bool {
    let count = PageJobs.count(for: dataByteCount)
    guard count > 1,
      let jobs = try OrderedJobs(
        count, { try self.batchWorker(capacity, make()) })
    else { return false }
    var cursor = RunCursor(index.runs)
    let done = ProgressCounter()
    try Progress.phase("looking at pages", of: index.pageCount, unit: "pages", done: { done.value })
    {
      try jobs.run({ cursor.nextJob() }) { found in
        Progress.beat()
        done.value += found.pageCount
        for result in found.results { try body(result) }
      }
    }
    return true
  }

  /// What one thread does with runs.
  private func batchWorker<R>(
    _ capacity: Int, _ look: @escaping (PageBatch) throws -> R
  ) throws -> ([PageExtent]) throws -> (pageCount: UInt64, results: [R]) {
    let reader = try PageWorker(self)
    let filler = BatchFiller(capacity) { (offset, count, buffer, place) in
      try reader.read(offset, count, into: buffer, at: place)
    }
    return { (runs) in
      var results: [R] = []
      let add = { (batch: PageBatch) in results.append(try look(batch)) }
      for run in runs { try filler.add(run, add) }
      try filler.flush(add)
      return (runs.reduce(0) { $0 + UInt64($1.pageCount) }, results)
    }
  }
}

/// What one thread reads pages with.
final class PageWorker {
  private let source: Source
  /// A chunk that fits the processor's second cache.
  let buffer = PageAlignedBuffer(capacity: PageImage.chunkByteCount)

  init(_ image: PageImage) throws {
    source = try image.source.duplicate()
  }

  func read(_ offset: UInt64, _ count: Int, into buffer: PageAlignedBuffer, at place: Int) throws {
    buffer.reserve(place + count)
    source.seek(offset)
    let got = try source.read(into: buffer, place..<place + count)
    guard got == count else { throw shorter(source) }
  }
}

extension ChunkCursor {
  /// The chunks of the next job; nil at the end.
  mutating func nextJob() -> [PageChunk]? {
    var (chunks, byteCount): ([PageChunk], Int) = ([], 0)
    while byteCount < PageJobs.jobByteCount, chunks.count < PageJobs.chunkLimit, let chunk = next()
    {
      chunks.append(chunk)
      byteCount += chunk.byteCount
    }
    return chunks.isEmpty ? nil : chunks
  }
}

/// Goes over runs in parts.
private struct RunCursor {
  private let runs: [PageExtent]
  private var run = 0
  private var done: UInt64 = 0

  init(_ runs: [PageExtent]) { self.runs = runs }

  /// The runs of the next job; nil at the end.
  mutating func nextJob() -> [PageExtent]? {
    var (out, left): ([PageExtent], UInt64) = ([], UInt64(PageJobs.jobByteCount / pageByteCount))
    while left > 0, out.count < PageJobs.chunkLimit, run < runs.count {
      let current = runs[run]
      let first = current.pfn + done
      let part = current.part(first..<min(current.end, first + left))
      out.append(part)
      left -= UInt64(part.pageCount)
      done += UInt64(part.pageCount)
      if first + UInt64(part.pageCount) == current.end { (run, done) = (run + 1, 0) }
    }
    return out.isEmpty ? nil : out
  }
}
