// What filters log, on its way from their thread to the system's log.

internal import Reports
internal import Synchronization

/// Lines that wait for the main thread: that of the filters may open no socket, and the system's log is
/// one.
final class FilterLines: Sendable {
  private let waiting = Mutex<[(level: LogLevel, text: String)]>([])

  func add(_ level: LogLevel, _ text: String) { waiting.withLock { $0.append((level, text)) } }

  func take() -> [(level: LogLevel, text: String)] {
    waiting.withLock { lines in
      defer { lines = [] }
      return lines
    }
  }
}
