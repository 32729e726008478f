// The error of the layer that frames streams.

public import Bytes
public import SystemIO

/// A stream that cannot be read on: its framing is lost, it is cut off, or the system refused.
public struct StreamError: Error, Sendable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    /// The stream ends before it should.
    case truncated
    /// It is no image, or its framing makes no sense.
    case malformed
    /// A format or version that this release does not read.
    case unsupported
    /// A length or count above what any saver writes; nothing was allocated for it.
    case limit
    /// A system call failed.
    case system(SystemError)
  }

  public let kind: Kind
  /// The file, as the user named it.
  public let path: String
  /// Bytes from the start of the source.
  public let offset: UInt64
  /// "record 17 (X86_TSC_INFO)" or "image header", where it is known.
  public let place: String
  /// What was expected and what was found.
  public let problem: String

  public init(
    _ kind: Kind, path: String, offset: UInt64, place: String = "", _ problem: String
  ) {
    self.kind = kind
    self.path = path
    self.offset = offset
    self.place = place
    self.problem = problem
  }

  public init(_ error: SystemError, offset: UInt64 = 0) {
    self.init(.system(error), path: error.path, offset: offset, error.description)
  }

  public var description: String {
    if case .system = kind { return problem }
    return "\(path): offset \(offset.hex()): " + (place.isEmpty ? "" : "\(place): ") + problem
  }
}

extension StreamError: XensaveErrorConvertible {
  public var xensaveError: XensaveError {
    let code: ErrorCode
    switch kind {
    case .truncated: code = .truncated
    case .malformed: code = .malformed
    case .unsupported: code = .unsupported
    case .limit: code = .limit
    case .system(let error): return error.xensaveError
    }
    return XensaveError(
      code, description, path: path, offset: offset, record: place.isEmpty ? nil : place,
      underlying: self)
  }

  /// Whether the user stopped the work.
  public var isInterrupt: Bool {
    if case .system(let error) = kind { return error.isInterrupt }
    return false
  }
}

extension FormatError: XensaveErrorConvertible {
  public var xensaveError: XensaveError {
    XensaveError(kind == .truncated ? .truncated : .invalid, description, underlying: self)
  }
}
