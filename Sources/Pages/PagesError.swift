// Why work on pages came to nothing.

internal import Bytes
public import ImageEdit
public import Stream
public import SystemIO

/// Work on an image's pages that cannot be done: one sentence, and what kind of reason it is.
public struct PagesError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// The image could not be read on, or the output not written.
    case stream(StreamError)
    /// The text of a selector or page set is wrong; columns count from 1.
    case syntax(column: Int)
    /// The image does not hold what is asked for (a page, a vCPU, a mapping).
    case notFound
    /// The edit would give an image that does not restore.
    case refused
    /// A file is not what it should be (a delta, its base).
    case invalid
    /// The call itself makes no sense.
    case usage
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
  public init(_ error: StreamError) { self.init(.stream(error), error.description) }
  public init(_ error: SystemError) { self.init(StreamError(error)) }

  /// One word for programs: "not_found", "refused", or what the stream's error says.
  public var code: String {
    switch kind {
    case .stream(let error): error.code
    case .syntax: "syntax"
    case .notFound: "not_found"
    case .refused: "refused"
    case .invalid: "invalid"
    case .usage: "usage"
    }
  }

  /// The same as the error of a rewrite: what a filter throws.
  public var rewriteError: RewriteError {
    if case .stream(let error) = kind { return RewriteError(error) }
    return RewriteError(.filter(self), description)
  }
}

/// Runs `body`; what the system refuses becomes a `PagesError`.
func io<R>(_ body: () throws(SystemError) -> R) throws(PagesError) -> R {
  do { return try body() } catch { throw PagesError(error) }
}

/// Runs `body`; what the stream lacks becomes a `PagesError`.
func streaming<R>(_ body: () throws(StreamError) -> R) throws(PagesError) -> R {
  do { return try body() } catch { throw PagesError(error) }
}
