// Why a rewrite came to nothing.

public import Stream
public import SystemIO

/// A rewrite that was given up. Nothing of its output is left, and the original is as it was.
public struct RewriteError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The source could not be read on, or the sink not written.
    case stream(StreamError)
    /// The filter failed; what it threw, for whoever wrote it.
    case filter(any Error & Sendable)
    /// What came out would not be restored: the findings of its verification.
    case rejected(count: Int)
    /// The result has no place for something of the source.
    case refused
    /// The file cannot be edited in place now.
    case edit(EditError)
    /// What a script asks for makes no sense (a record is returned twice, ...).
    case usage
    /// It cannot go where it is to go (source and destination are the same, ...).
    case destination
  }
  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
  public init(_ error: StreamError) { self.init(.stream(error), error.description) }
  public init(_ error: EditError) { self.init(.edit(error), error.description) }
  public init(_ error: SystemError) { self.init(StreamError(error)) }

  /// What it is, in a word, as scripts see it.
  public var code: String {
    switch kind {
    case .stream(let error): error.code
    case .filter: "filter"
    case .rejected: "rejected"
    case .refused: "refused"
    case .edit(let error): error.code
    case .usage, .destination: "usage"
    }
  }

  /// The system's error behind it, if there is one.
  public var systemError: SystemError? {
    if case .stream(let error) = kind, case .system(let system) = error.kind { return system }
    return nil
  }
}
