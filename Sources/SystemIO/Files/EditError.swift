// Why an edit in place, or its undoing, came to nothing.

/// An edit of a file in place that was not made, or could not be brought to its end.
public struct EditError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The system refused. Where the file was written to already, the description says how to undo.
    case system(SystemError)
    /// Another program edits the file at this moment.
    case busy
    /// An earlier edit was interrupted and has to be undone first.
    case unfinished
    /// The file is not what it was when it was looked at.
    case changed
    /// The journal, or the file beside it, is not to be trusted.
    case refused
    /// This cannot be edited in place at all.
    case usage
  }

  public let kind: Kind
  /// One line, which begins with the file.
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  init(_ error: SystemError) { self.init(.system(error), error.description) }

  /// One word for programs.
  public var code: String {
    switch kind {
    case .system(let error): error.symbol
    case .busy: "busy"
    case .unfinished: "unfinished"
    case .changed: "changed"
    case .refused: "refused"
    case .usage: "usage"
    }
  }

  /// What undoes an edit that was not finished.
  static func remedy(_ path: String) -> String { "`xensave-lua recover \(path)` undoes it" }
}

/// Runs `body`; what the system refuses becomes an `EditError`.
func editing<R: ~Copyable>(_ body: () throws(SystemError) -> R) throws(EditError) -> R {
  do { return try body() } catch { throw EditError(error) }
}
