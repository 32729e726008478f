// Verifying an image while it is written to where it cannot be read again.

internal import ImageCheck
internal import SystemIO

/// A verifier that reads what a sink writes, through a pipe and on a thread of its own.
final class PassingCheck {
  /// What the thread leaves. Safe to share: it is looked at after the thread's job has ended.
  private final class Outcome {
    var report: VerifyReport?
    var error: (any Error)?
  }

  private let sink: Sink
  private let outcome = Outcome()
  private let thread: WorkerThread

  init(_ sink: Sink) throws {
    let name = sink.path
    let pipe = try Pipe()
    let source = try Source(pipe.reading.duplicate(path: name), path: name)
    let mirror = Sink(try pipe.writing.duplicate(path: name), path: name)
    self.sink = sink
    thread = try WorkerThread()
    sink.mirror = mirror
    let outcome = outcome
    thread.start {
      do { outcome.report = try Verifier(source).run() } catch { outcome.error = error }
      // Where it ended early, nobody writes for it any more.
      source.cut()
    }
  }

  deinit { sink.mirror = nil }

  /// What the verifier says of all that was written.
  func finish() throws -> VerifyReport {
    sink.mirror = nil
    thread.wait()
    if let error = outcome.error { throw error }
    guard let report = outcome.report else {
      throw XensaveError(.fault, "\(sink.path): nothing was checked")
    }
    return report
  }
}
