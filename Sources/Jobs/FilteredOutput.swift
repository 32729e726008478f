// A filter between a save and where it goes.

internal import ImageEdit
internal import Stream
internal import SystemIO

/// Passes what a save writes through a filter while it is written. The save writes to `sink`, which
/// is a pipe; another thread rewrites what comes out of it. Where the filter fails, the save's next
/// write does; where the save fails, the filter's end of the stream is one that no restore takes.
final class FilteredOutput {
  /// What the save writes to.
  let sink: Sink
  private let result = Result()
  private let thread: WorkerThread

  /// Written by the thread, read when it has ended.
  private final class Result {
    var report: ChangeReport?
    var error: (any Error)?
  }

  /// `lock` is held while the filter runs: whoever else uses its Lua state holds it too.
  init(to output: Sink, _ filter: any RewriteFilter, _ lock: Lock) throws {
    let pipe = try Pipe()
    let source = try Source(pipe.reading.duplicate(path: "the save"), path: "the save")
    sink = Sink(try pipe.writing.duplicate(path: "the filter"), path: "the filter")
    let result = result
    var rewriter: Rewriter? = Rewriter(source, to: output, filter: LockedFilter(filter, lock))
    thread = try WorkerThread()
    thread.start {
      do { result.report = try rewriter?.run() } catch { result.error = error }
      // Its end of the pipe goes now, whoever still holds the source (a record that a script keeps):
      // a save that still writes hears of it.
      rewriter = nil
      source.cut()
    }
  }

  /// Ends the stream and waits for what is after the filter. Throws the filter's error.
  func finish() throws -> ChangeReport {
    sink.cut()
    thread.wait()
    if let error = result.error { throw error }
    return result.report ?? ChangeReport()
  }

  /// The error that the filter has ended with, once the save has failed.
  func failure() -> (any Error)? {
    sink.cut()
    thread.wait()
    guard let error = result.error else { return nil }
    // That the stream stops is the save's doing.
    if error is StreamError || error is SystemError { return nil }
    return error
  }
}

/// A filter that runs only while a lock is held.
private final class LockedFilter: RewriteFilter {
  private let filter: any RewriteFilter
  private let lock: Lock

  init(_ filter: any RewriteFilter, _ lock: Lock) {
    self.filter = filter
    self.lock = lock
  }

  func begin() throws {
    try lock.with { try filter.begin() }
  }
  func header(_ header: inout Header) throws {
    try lock.with { try filter.header(&header) }
  }
  func record(_ record: EditableRecord) throws -> FilterResult {
    try lock.with { try filter.record(record) }
  }
  func finish() throws {
    try lock.with { try filter.finish() }
  }
}
