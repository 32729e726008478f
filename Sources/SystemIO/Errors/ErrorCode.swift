// The codes of errors and the exit codes of the program: the two tables that the help, the manual
// page, the Lua reference and the tests read.

/// Exit codes. `table` is what the help, the manual page and the README say of them.
public enum ExitCode {
  public static let good: Int32 = 0
  /// The image has findings, or a script or its data failed.
  public static let findings: Int32 = 1
  public static let usage: Int32 = 2
  /// A system call failed, or another edit of the image is under way.
  public static let system: Int32 = 3
  /// A fault of this program.
  public static let fault: Int32 = 70
  /// Stopped by a signal: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.
  public static var interrupted: Int32 { stopped(by: Interrupt.signal) }
  /// The code for a signal; 130 where none is known.
  public static func stopped(by signal: Int32) -> Int32 { 128 + (signal > 0 ? signal : 2) }
  /// The reader of our output is gone.
  public static let brokenPipe: Int32 = 141

  public static let table: [(code: Int32, meaning: String)] = [
    (good, "good"), (findings, "findings, or a script failed"), (usage, "usage"),
    (system, "a system call failed"), (fault, "a fault of the program"),
    (129, "ended by SIGHUP"), (130, "interrupted"), (brokenPipe, "the reader of a pipe is gone"),
    (143, "ended by SIGTERM"),
  ]

  /// The table as one sentence: "0 good; 1 findings, or ...".
  public static var sentence: String {
    table.map { "\($0.code) \($0.meaning)" }.joined(separator: "; ")
  }
}

/// What kind of failure an error is. The raw value is the word that programs and scripts see.
public enum ErrorCode: String, Sendable, CaseIterable {
  // What the system says. Scripts see the symbol of errno instead of the word "system".
  case system
  case interrupted
  case brokenPipe = "epipe"
  // What is wrong with a stream.
  case truncated
  case malformed = "bad_stream"
  case unsupported
  case limit
  // What is wrong with what was asked for.
  case usage
  case syntax
  case notFound = "not_found"
  case invalid
  case refused
  case rejected
  case script = "filter"
  case findings
  // Edits in place.
  case busy
  case unfinished
  case changed
  // Domains. Scripts see the name of the operation instead of the word "hook".
  case hook
  case aborted
  case notSuspended = "not_suspended"
  case unknownPageType = "page_type"
  case logDirtyLength = "log_dirty"
  case unsuitable
  case noHypervisor = "no_hypervisor"
  case receiver
  // libxl and its save helper.
  case noReply = "no_reply"
  case message = "bad_message"
  /// A fault of this program.
  case fault

  /// A row of the table of codes.
  public struct Row: Sendable {
    /// With what the program ends where this is why.
    public let exitCode: Int32
    /// One clause, for the manual page and the Lua reference.
    public let meaning: String
  }

  /// The row of this code. `interrupted` has the code of the signal that came.
  public var row: Row {
    switch self {
    case .system:
      Row(
        exitCode: ExitCode.system,
        meaning: "a system call failed; scripts see the symbol of errno: enoent, eacces, ...")
    case .interrupted: Row(exitCode: ExitCode.interrupted, meaning: "stopped by a signal")
    case .brokenPipe: Row(exitCode: ExitCode.brokenPipe, meaning: "the reader of a pipe is gone")
    case .truncated: .finding("the stream ends before it should")
    case .malformed: .finding("no image, or framing that makes no sense")
    case .unsupported: .finding("a format or version that is not read")
    case .limit: .finding("a length or count above what any saver writes")
    case .usage: Row(exitCode: ExitCode.usage, meaning: "the call makes no sense")
    case .syntax:
      Row(exitCode: ExitCode.usage, meaning: "the text of a selector or expression is wrong")
    case .notFound: .finding("the image does not hold what is asked for")
    case .invalid: .finding("a file is not what it should be (a delta, its base)")
    case .refused: .finding("the result would not restore, or has no place for something")
    case .rejected: .finding("what was written does not pass verification")
    case .script: .finding("a script or filter failed")
    case .findings: .finding("the image or the data is not good")
    case .busy: Row(exitCode: ExitCode.system, meaning: "another program edits the file")
    case .unfinished: .finding("an earlier edit was interrupted and has to be undone first")
    case .changed:
      Row(exitCode: ExitCode.system, meaning: "the file is not what it was when it was looked at")
    case .hook:
      Row(
        exitCode: ExitCode.system,
        meaning: "the hypervisor or libxl refused; scripts see the operation: suspend, map, ...")
    case .aborted: .finding("the policy ended the save")
    case .notSuspended: .finding("the domain is not suspended although it said so")
    case .unknownPageType: .finding("a page has a type that no stream can hold")
    case .logDirtyLength: .finding("log-dirty reported more or fewer pages than the domain has")
    case .unsuitable: .finding("this domain cannot be saved, or restored from this stream")
    case .noHypervisor:
      Row(exitCode: ExitCode.system, meaning: "there is no hypervisor, or one that is not known")
    case .receiver: .finding("the command that was to receive the domain failed")
    case .noReply:
      Row(exitCode: ExitCode.system, meaning: "libxl is gone where an answer was due")
    case .message:
      Row(exitCode: ExitCode.system, meaning: "a message that libxl or its helper cannot read")
    case .fault: Row(exitCode: ExitCode.fault, meaning: "a fault of the program")
    }
  }

  /// With what the program ends where this is why.
  public var exitCode: Int32 { row.exitCode }
}

extension ErrorCode.Row {
  fileprivate static func finding(_ meaning: String) -> ErrorCode.Row {
    ErrorCode.Row(exitCode: ExitCode.findings, meaning: meaning)
  }
}
