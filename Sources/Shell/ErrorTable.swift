// Errors of the layers below as Lua sees them, and as exit codes.

internal import Bytes
internal import Format
internal import Image
internal import Live
internal import LuaRuntime
internal import Stream
internal import SystemIO

/// Exit codes. `table` is what the help, the manual page and the README say of them.
enum ExitCode {
  static let good: Int32 = 0
  /// The image has findings, or a script or its data failed.
  static let findings: Int32 = 1
  static let usage: Int32 = 2
  /// A system call failed, or another edit of the image is going on.
  static let system: Int32 = 3
  /// A fault of this program.
  static let fault: Int32 = 70
  /// Stopped by a signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
  static var interrupted: Int32 { stopped(by: Interrupt.signal) }
  /// The code for a signal; 130 where none is known.
  static func stopped(by signal: Int32) -> Int32 { 128 + (signal > 0 ? signal : 2) }
  /// The reader of our output is gone.
  static let brokenPipe: Int32 = 141

  static let table: [(code: Int32, meaning: String)] = [
    (good, "good"), (findings, "findings, or a script failed"), (usage, "usage"),
    (system, "a system call failed"), (fault, "a fault of the program"),
    (129, "ended by SIGHUP"), (130, "interrupted"), (brokenPipe, "the reader of a pipe is gone"),
    (143, "ended by SIGTERM"),
  ]

  /// The table as one sentence: "0 good; 1 findings, or ...".
  static var sentence: String {
    table.map { "\($0.code) \($0.meaning)" }.joined(separator: "; ")
  }
}

/// An end of the program with a message: what, where, and a hint.
struct Failure: Error, CustomStringConvertible {
  let exitCode: Int32
  let message: String
  var description: String { message }
  /// More lines for the curious (a traceback).
  var detail: String?

  init(_ exitCode: Int32, _ message: String, detail: String? = nil) {
    self.exitCode = exitCode
    self.message = message
    self.detail = detail
  }

  init(_ error: SystemError) {
    self.init(
      error.isInterrupt
        ? ExitCode.interrupted : error.isBrokenPipe ? ExitCode.brokenPipe : ExitCode.system,
      error.description)
  }

  init(_ error: StreamError) {
    if case .system(let system) = error.kind {
      self.init(system)
    } else {
      self.init(ExitCode.findings, error.description)
    }
  }

  init(_ error: RewriteError) {
    switch error.kind {
    case .stream(let stream): self.init(stream)
    case .filter(let inner as LuaError): self.init(inner)
    case .filter, .rejected, .refused: self.init(ExitCode.findings, error.description)
    case .edit(let edit): self.init(edit)
    case .usage: self.init(ExitCode.findings, error.description)
    case .destination: self.init(ExitCode.usage, error.description)
    }
  }

  init(_ error: EditError) {
    switch error.kind {
    case .system(let system): self.init(Failure(system).exitCode, error.description)
    case .busy, .changed: self.init(ExitCode.system, error.description)
    case .unfinished, .refused: self.init(ExitCode.findings, error.description)
    case .usage: self.init(ExitCode.usage, error.description)
    }
  }

  init(_ error: LuaError) {
    self.init(
      error.kind == .interrupted ? ExitCode.interrupted : ExitCode.findings, error.message,
      detail: error.traceback)
  }
}

extension LuaFailure {
  /// `nil, err` of a stream that could not be read on.
  init(_ error: StreamError) {
    var fields: [(name: String, value: LuaValue)] = [("path", .text(error.path))]
    if case .system(let system) = error.kind {
      fields.append(("errno", .integer(Int64(system.number))))
    } else {
      fields.append(("offset", .unsigned(error.offset)))
      if !error.place.isEmpty { fields.append(("record", .text(error.place))) }
    }
    self.init(error.description, code: error.code, fields)
  }

  init(_ error: SystemError) { self.init(StreamError(error)) }

  /// `nil, err` of a domain that could not be saved, restored or asked.
  init(_ error: LiveError) {
    var fields: [(name: String, value: LuaValue)] = []
    if let step = error.step { fields.append(("stage", .text("\(step)"))) }
    if let number = error.number { fields.append(("errno", .integer(Int64(number)))) }
    if !error.aftermath.isEmpty {
      fields.append(("aftermath", .list(error.aftermath.map { .text($0) })))
    }
    self.init(error.description, code: error.code, fields)
  }

  init(_ error: RewriteError) {
    switch error.kind {
    case .stream(let stream): self.init(stream)
    case .filter: self.init(error.description, code: "filter")
    case .rejected: self.init(error.description, code: "rejected")
    case .refused: self.init(error.description, code: "refused")
    case .edit(let edit): self.init(error.description, code: edit.code)
    case .usage, .destination: self.init(error.description, code: "usage")
    }
  }
}

extension LuaError {
  /// A wrong field name or value is the script's mistake.
  init(_ error: FormatError) { self.init(error.description) }

  /// What goes wrong with the stream while a record is being looked at cannot be returned from a
  /// property: it is raised, with the code for pcall.
  init(_ error: StreamError) {
    self.init(
      error.description,
      kind: error.code == "interrupted" ? .interrupted : .script, code: error.code)
  }
}

/// Runs `body`; what the stream throws is raised in the script.
func raising<R>(_ body: () throws(StreamError) -> R) throws(LuaError) -> R {
  do { return try body() } catch { throw LuaError(error) }
}

/// Runs `body`; a wrong name or value is raised in the script.
func checking<R>(_ body: () throws(FormatError) -> R) throws(LuaError) -> R {
  do { return try body() } catch { throw LuaError(error) }
}
