// Errors of the layers below as Lua sees them, and a script's error as an end of the program.

public import Bytes
public import LuaRuntime
public import Stream
public import SystemIO

extension LuaError: XensaveErrorConvertible {
  public var xensaveError: XensaveError {
    XensaveError(
      kind == .interrupted ? .interrupted : .script, message, underlying: self, detail: traceback)
  }
}

// What cannot be returned as nil and an error, because the script reads a property, is raised.
extension SystemError: LuaErrorConvertible {}
extension StreamError: LuaErrorConvertible {}
extension FormatError: LuaErrorConvertible {
  /// A wrong field name or value is the script's mistake.
  public var luaError: LuaError { LuaError(description) }
}
extension XensaveError: LuaErrorConvertible {}

extension XensaveErrorConvertible {
  public var luaError: LuaError {
    let error = xensaveError
    switch error.code {
    case .interrupted:
      return LuaError(error.description, kind: .interrupted, code: error.word)
    case .system, .brokenPipe, .truncated, .malformed, .unsupported, .limit:
      return LuaError(error.description, code: error.word)
    // The script's mistake, which is raised with the place in the script.
    default: return LuaError(error.description)
    }
  }
}

extension LuaFailure {
  /// `nil, err` of what the world did: a table with the fields of the error.
  package init(_ error: any Error) {
    let error = XensaveError(error)
    var fields: [(name: String, value: LuaValue)] = []
    if let path = error.path { fields.append(("path", .text(path))) }
    if let offset = error.offset { fields.append(("offset", .unsigned(offset))) }
    if let record = error.record { fields.append(("record", .text(record))) }
    if let errno = error.errno { fields.append(("errno", .integer(Int64(errno)))) }
    if let stage = error.stage { fields.append(("stage", .text(stage))) }
    if let hint = error.hint { fields.append(("hint", .text(hint))) }
    if let code = error.childExitCode { fields.append(("exit_code", .integer(Int64(code)))) }
    if !error.aftermath.isEmpty {
      fields.append(("aftermath", .list(error.aftermath.map { .text($0) })))
    }
    self.init(error.description, code: error.word, fields)
  }
}

extension LuaFrame {
  /// Returns nil and the error to the script; what is the script's own mistake is raised.
  package func fail(_ error: any Error) throws -> Int32 {
    if error is LuaError || error is FormatError { throw error }
    return fail(LuaFailure(error))
  }
}
