// A thread for one test.

internal import Glibc
internal import Synchronization

/// Runs a closure on a thread of its own.
public final class TestThread: Sendable {
  private let isDone = Mutex(false)
  private let body: @Sendable () -> Void

  public init(_ body: @escaping @Sendable () -> Void) {
    self.body = body
    var thread = pthread_t()
    // Safety: this object is retained here and released once by the thread that takes it.
    let myself = unsafe Unmanaged.passRetained(self).toOpaque()
    let result = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let myself = unsafe Unmanaged<TestThread>.fromOpaque(argument).takeRetainedValue()
        myself.body()
        myself.isDone.withLock { $0 = true }
        return nil
      }, myself)
    precondition(result == 0)
    pthread_detach(thread)
  }

  /// Waits for the end of the closure. A test must not hang, so after 60 s this traps.
  public func join() {
    for _ in 0..<6000 {
      if isDone.withLock({ $0 }) { return }
      usleep(10_000)
    }
    fatalError("the thread does not end")
  }
}
