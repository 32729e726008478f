// What the program says on its standard streams.

internal import SystemIO

/// How loud a message is.
package enum LogLevel: Int, Comparable {
  case debug, info, warning, error

  package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

  /// The word before a message.
  package var name: String {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }
}

/// Writes text to standard output; a broken pipe ends the program quietly.
package func writeOut(_ text: String) throws { try writeOut(Array(text.utf8)) }

package func writeOut(_ bytes: [UInt8]) throws {
  ProgressDisplay.clear()
  try Sink.standardOutput().write(bytes)
}

/// Writes text to standard error; failures have nowhere to go.
package func writeError(_ text: String) {
  ProgressDisplay.clear()
  writeToStandardError(Array(text.utf8))
}

/// Writes to standard error; failures have nowhere to go.
func writeToStandardError(_ bytes: [UInt8]) {
  let name = "standard error"
  guard let descriptor = try? Descriptor(taking: 2, path: name, isOwned: false) else { return }
  try? Sink(descriptor, path: name).write(bytes)
}
