// The one error of everything above the stream: what, where, and what to do about it.

/// Work that was not done. Nothing of its output is left, and the original is as it was.
///
/// The layers that read bytes (`Bytes`, `Format`, `Stream`, this one) throw errors of their own,
/// typed; those pass unchanged through the layers above. `XensaveError(_:)` makes one of any error
/// where a program or a script looks at it.
public struct XensaveError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure it is.
  public let code: ErrorCode
  /// What was expected and what was found, without a full stop.
  public private(set) var message: String
  /// The file, as the user named it.
  public let path: String?
  /// Bytes from the start of the file.
  public let offset: UInt64?
  /// "record 17 (X86_TSC_INFO)" or "image header", where it is known.
  public let record: String?
  /// What to do about it.
  public let hint: String?
  /// The error of a lower layer that is the reason.
  public let underlying: (any Error)?
  /// errno, where the failure has one.
  public let errno: Int32?
  /// The operation on a domain that was refused: "suspend".
  public let operation: String?
  /// The exit code of another program that failed.
  public let childExitCode: Int32?
  /// Which part of a save or restore failed: "live round 2".
  public var stage: String?
  /// What could not be put back as it was: failures of cleaning up, in their order.
  public var aftermath: [String] = []
  /// More lines for the curious, such as a traceback.
  public var detail: String?

  public init(
    _ code: ErrorCode, _ message: String, path: String? = nil, offset: UInt64? = nil,
    record: String? = nil, hint: String? = nil, underlying: (any Error)? = nil,
    errno: Int32? = nil, operation: String? = nil, childExitCode: Int32? = nil,
    detail: String? = nil
  ) {
    self.code = code
    self.message = message
    self.path = path
    self.offset = offset
    self.record = record
    self.hint = hint
    self.underlying = underlying
    self.errno = errno
    self.operation = operation
    self.childExitCode = childExitCode
    self.detail = detail
  }

  /// Any error as this one. One that no layer knows is a fault of the program.
  public init(_ error: any Error) {
    self =
      XensaveError.known(error) ?? XensaveError(.fault, "\(error)", underlying: error)
  }

  /// The same, or nil for an error that no layer knows.
  public static func known(_ error: any Error) -> XensaveError? {
    (error as? any XensaveErrorConvertible)?.xensaveError
  }

  /// What the system said, with words around it.
  public init(_ error: SystemError, _ message: String, hint: String? = nil) {
    self.init(
      error.code, message, path: error.path, hint: hint, underlying: error, errno: error.errno)
  }

  /// The same with a place before its message.
  public func prefixed(_ place: String) -> XensaveError {
    var out = self
    out.message = "\(place): \(message)"
    return out
  }

  /// The word that programs and scripts see: that of the code, the symbol of errno, or the operation.
  public var word: String {
    switch code {
    case .system: (underlying as? SystemError)?.symbol ?? code.rawValue
    case .hook: operation ?? code.rawValue
    default: code.rawValue
    }
  }

  /// With what the program ends where this is why.
  public var exitCode: Int32 { code.exitCode }

  /// The system's error that is the reason, if there is one.
  public var systemError: SystemError? { underlying as? SystemError }

  /// One line: where, what, and the hint.
  public var description: String {
    var text = stage.map { "\($0): " } ?? ""
    if let operation { text += operation + ": " }
    text += message
    if let hint { text += ": " + hint }
    for line in aftermath { text += "; then " + line }
    return text
  }
}

extension XensaveError {
  /// Whether a system call failed or the user has asked to stop. That is no answer to a question about
  /// what a file holds, so nothing else is tried after it.
  public var isOfSystem: Bool { [.system, .interrupted, .changed, .brokenPipe].contains(code) }
}

/// An error of a lower layer, which says what it is above.
public protocol XensaveErrorConvertible: Error {
  var xensaveError: XensaveError { get }
}

extension XensaveError: XensaveErrorConvertible {
  public var xensaveError: XensaveError { self }
}

extension SystemError: XensaveErrorConvertible {
  public var xensaveError: XensaveError { XensaveError(self, description) }

  /// What kind of failure it is.
  public var code: ErrorCode {
    isInterrupt ? .interrupted : isBrokenPipe ? .brokenPipe : isChange ? .changed : .system
  }
}
