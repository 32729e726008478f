// Errors of the layers below as messages and exit codes.

internal import Bytes
internal import Format
package import ImageEdit
internal import Live
package import Pages
package import Stream
package import SystemIO

/// Exit codes. `table` is what the help, the manual page and the README say of them.
package enum ExitCode {
  package static let good: Int32 = 0
  /// The image has findings, or a script or its data failed.
  package static let findings: Int32 = 1
  package static let usage: Int32 = 2
  /// A system call failed, or another edit of the image is going on.
  package static let system: Int32 = 3
  /// A fault of this program.
  package static let fault: Int32 = 70
  /// Stopped by a signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
  package static var interrupted: Int32 { stopped(by: Interrupt.signal) }
  /// The code for a signal; 130 where none is known.
  package static func stopped(by signal: Int32) -> Int32 { 128 + (signal > 0 ? signal : 2) }
  /// The reader of our output is gone.
  package static let brokenPipe: Int32 = 141

  package static let table: [(code: Int32, meaning: String)] = [
    (good, "good"), (findings, "findings, or a script failed"), (usage, "usage"),
    (system, "a system call failed"), (fault, "a fault of the program"),
    (129, "ended by SIGHUP"), (130, "interrupted"), (brokenPipe, "the reader of a pipe is gone"),
    (143, "ended by SIGTERM"),
  ]

  /// The table as one sentence: "0 good; 1 findings, or ...".
  package static var sentence: String {
    table.map { "\($0.code) \($0.meaning)" }.joined(separator: "; ")
  }
}

/// An error of a layer above this one, which says itself how it ends the program.
package protocol EndsProgram: Error {
  var failure: Failure { get }
}

/// An end of the program with a message: what, where, and a hint.
package struct Failure: Error, CustomStringConvertible {
  package let exitCode: Int32
  package let message: String
  package var description: String { message }
  /// More lines for the curious (a traceback).
  package var detail: String?

  package init(_ exitCode: Int32, _ message: String, detail: String? = nil) {
    self.exitCode = exitCode
    self.message = message
    self.detail = detail
  }

  /// What any error means: one of the layers below is told as such wherever it comes from, and only
  /// what nobody knows is a fault of the program.
  package init(any error: any Error) {
    self = Failure(known: error) ?? Failure(ExitCode.fault, "\(error)")
  }

  package init?(known error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let error as SystemError: self.init(error)
    case let error as StreamError: self.init(error)
    case let error as RewriteError: self.init(error)
    case let error as EditError: self.init(error)
    case let error as PagesError: self.init(error)
    case let error as any EndsProgram: self = error.failure
    default: return nil
    }
  }

  package init(_ error: SystemError) {
    self.init(
      error.isInterrupt
        ? ExitCode.interrupted : error.isBrokenPipe ? ExitCode.brokenPipe : ExitCode.system,
      error.description)
  }

  package init(_ error: StreamError) {
    if case .system(let system) = error.kind {
      self.init(system)
    } else {
      self.init(ExitCode.findings, error.description)
    }
  }

  package init(_ error: RewriteError) {
    switch error.kind {
    case .stream(let stream): self.init(stream)
    case .filter(let inner as any EndsProgram): self = inner.failure
    case .filter, .rejected, .refused: self.init(ExitCode.findings, error.description)
    case .edit(let edit): self.init(edit)
    case .usage: self.init(ExitCode.findings, error.description)
    case .destination: self.init(ExitCode.usage, error.description)
    }
  }

  package init(_ error: PagesError) {
    switch error.kind {
    case .stream(let stream): self.init(stream)
    case .syntax, .usage: self.init(ExitCode.usage, error.description)
    case .notFound, .refused, .invalid: self.init(ExitCode.findings, error.description)
    }
  }

  package init(_ error: EditError) {
    switch error.kind {
    case .system(let system): self.init(Failure(system).exitCode, error.description)
    case .busy, .changed: self.init(ExitCode.system, error.description)
    case .unfinished, .refused: self.init(ExitCode.findings, error.description)
    case .usage: self.init(ExitCode.usage, error.description)
    }
  }
}
