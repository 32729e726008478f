// Errors on their way between Lua and Swift.

/// An error of a script, or one that a Swift function gives to a script.
///
/// Misuse (a wrong argument, an unknown field) is raised in the script with the script's position.
/// What the world did (a missing file) is returned to it as `nil, err`.
public struct LuaError: Error, Sendable, CustomStringConvertible {
  /// What a script error is about.
  public enum Kind: Sendable, Equatable {
    /// The script is wrong, or it called error().
    case script
    /// The text could not be compiled.
    case syntax
    /// The memory limit was reached.
    case memory
    /// Stopped by the user or a deadline.
    case interrupted
  }

  public let kind: Kind
  /// The message. For errors from scripts it begins with "file:line:".
  public let message: String
  /// One word for programs ("truncated", "enoent"), or "".
  public let code: String
  /// Lua's traceback, if the error came out of a script.
  public var traceback: String?

  public init(_ message: String, kind: Kind = .script, code: String = "") {
    self.message = message
    self.kind = kind
    self.code = code
  }

  public var description: String { message }

  /// Whether the message begins with a script's position: "file:line:".
  public var hasPosition: Bool {
    let line = message.split(separator: "\n", maxSplits: 1).first ?? ""
    return line.split(separator: ":").dropFirst().dropLast(line.hasSuffix(":") ? 0 : 1)
      .contains { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
  }
}

/// An error of another layer, which says how it is raised in a script.
public protocol LuaErrorConvertible: Error {
  var luaError: LuaError { get }
}

extension LuaError {
  /// What is raised in a script for any error.
  public init(raising error: any Error) {
    self =
      error as? LuaError ?? (error as? any LuaErrorConvertible)?.luaError ?? LuaError("\(error)")
  }
}

/// What `nil, err` carries: a table for the script, with the fields of the error.
public struct LuaFailure: Sendable {
  public let message: String
  public let code: String
  /// Further fields: offset, record, path, errno.
  public let fields: [(name: String, value: LuaValue)]

  public init(_ message: String, code: String, _ fields: [(name: String, value: LuaValue)] = []) {
    self.message = message
    self.code = code
    self.fields = fields
  }
}
