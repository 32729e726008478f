// Errors of the layers below as Lua sees them, and a script's error as an end of the program.

package import Bytes
internal import Format
package import ImageEdit
package import Jobs
package import Live
package import LuaRuntime
package import Reports
package import Stream
package import SystemIO

extension LuaError: EndsProgram {
  package var failure: Failure {
    Failure(
      kind == .interrupted ? ExitCode.interrupted : ExitCode.findings, message, detail: traceback)
  }
}

extension Failure {
  package init(_ error: LuaError) { self = error.failure }
}

extension LuaFailure {
  /// `nil, err` of a stream that could not be read on.
  package init(_ error: StreamError) {
    var fields: [(name: String, value: LuaValue)] = [("path", .text(error.path))]
    if case .system(let system) = error.kind {
      fields.append(("errno", .integer(Int64(system.number))))
    } else {
      fields.append(("offset", .unsigned(error.offset)))
      if !error.place.isEmpty { fields.append(("record", .text(error.place))) }
    }
    self.init(error.description, code: error.code, fields)
  }

  package init(_ error: SystemError) { self.init(StreamError(error)) }

  /// `nil, err` of a domain that could not be saved, restored or asked.
  package init(_ error: LiveError) {
    var fields: [(name: String, value: LuaValue)] = []
    if let step = error.step { fields.append(("stage", .text("\(step)"))) }
    if let number = error.number { fields.append(("errno", .integer(Int64(number)))) }
    if !error.aftermath.isEmpty {
      fields.append(("aftermath", .list(error.aftermath.map { .text($0) })))
    }
    self.init(error.description, code: error.code, fields)
  }

  package init(_ error: RewriteError) {
    if case .stream(let stream) = error.kind {
      self.init(stream)
    } else {
      self.init(error.description, code: error.code)
    }
  }
}

extension LuaError {
  /// A wrong field name or value is the script's mistake.
  package init(_ error: FormatError) { self.init(error.description) }

  /// What goes wrong with the stream while a record is being looked at cannot be returned from a
  /// property: it is raised, with the code for pcall.
  package init(_ error: StreamError) {
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
package func checking<R>(_ body: () throws(FormatError) -> R) throws(LuaError) -> R {
  do { return try body() } catch { throw LuaError(error) }
}

extension LuaFailure {
  package init(_ problem: DomainSave.Problem) {
    switch problem {
    case .live(let error): self.init(error)
    case .rewrite(let error): self.init(error)
    case .receiver(let code, let command):
      self.init(
        "the receiver ended with exit code \(code): \(command)", code: problem.code,
        [("exit_code", .integer(Int64(code)))])
    }
  }
}
