// A lock that two threads share.

internal import Synchronization

/// A lock. Whoever holds it may not ask for it again.
final class Lock: Sendable {
  private let mutex = Mutex(())

  /// Runs `body` while nobody else holds the lock.
  func with<R>(_ body: () throws -> R) throws -> R {
    var result: Result<R, any Error>?
    mutex.withLock { _ in result = Result(catching: body) }
    guard let result else { preconditionFailure("the lock's body has run") }
    return try result.get()
  }

  func with<R>(_ body: () -> R) -> R {
    var result: R?
    mutex.withLock { _ in result = body() }
    guard let result else { preconditionFailure("the lock's body has run") }
    return result
  }
}
