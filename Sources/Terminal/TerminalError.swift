// The error of this target.

internal import Glibc

/// A system call on a terminal or on the history file that failed.
public struct TerminalError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The name of the call, such as "tcgetattr".
  public let call: String
  /// The value of `errno` after the call.
  public let code: CInt
  /// The file concerned; nil for a terminal.
  public let path: String?

  /// An error of `call` with the given `errno`.
  public init(call: String, code: CInt, path: String? = nil) {
    self.call = call
    self.code = code
    self.path = path
  }

  /// One sentence: file, call, reason.
  public var description: String {
    // Safety: strerror returns a string that ends in NUL for every number; it is copied at once.
    let reason = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
    return path.map { "\(escapeForDisplay($0)): \(call): \(reason)" } ?? "\(call): \(reason)"
  }

  /// The error that `errno` tells of right after `call` failed.
  static func last(_ call: String, path: String? = nil) -> TerminalError {
    TerminalError(call: call, code: errno, path: path)
  }
}
