// The error of a system call.

internal import Glibc

/// A system call that failed, or was stopped on request.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The call, by its name in section 2 of the manual.
  public let call: String
  /// errno; 0 when `interrupted`.
  public let errno: Int32
  /// The file, as the user named it.
  public let path: String
  /// What a server said, or what was expected of it: words that stand for those of errno.
  public let explanation: String?

  public init(_ call: String, _ errno: Int32, _ path: String, _ explanation: String? = nil) {
    self.call = call
    self.errno = errno
    self.path = path
    self.explanation = explanation
  }

  /// Stopped by SIGINT between two chunks of work.
  public static func interrupted(_ path: String) -> SystemError { SystemError("", 0, path) }

  /// Whether the user stopped the work.
  public var isInterrupt: Bool { errno == 0 }
  /// Whether an object of a server is another one than when it was opened.
  var isChange: Bool { explanation != nil && errno == ESTALE }
  /// Whether the reader of a pipe is gone.
  public var isBrokenPipe: Bool { errno == EPIPE }
  /// Whether the process has as many descriptors as it may have.
  public var isOutOfDescriptors: Bool { errno == EMFILE }

  /// The symbol of errno in lower case, "enoent", where it is one of the usual ones.
  public var symbol: String {
    switch errno {
    case 0: "interrupted"
    case ENOENT: "enoent"
    case EACCES: "eacces"
    case EEXIST: "eexist"
    case EISDIR: "eisdir"
    case ENOTDIR: "enotdir"
    case ENOSPC: "enospc"
    case EDQUOT: "edquot"
    case EFBIG: "efbig"
    case EIO: "eio"
    case EPIPE: "epipe"
    case EROFS: "erofs"
    case EPERM: "eperm"
    case EMFILE: "emfile"
    case EBADF: "ebadf"
    case EINVAL: "einval"
    case ELOOP: "eloop"
    case ESTALE: "estale"
    case ETIMEDOUT: "etimedout"
    case EOPNOTSUPP: "eopnotsupp"
    default: "errno\(errno)"
    }
  }

  public var description: String {
    if isInterrupt { return "\(path): interrupted" }
    if let explanation { return "\(path): \(explanation)" }
    return "\(path): \(call): \(reason)"
  }

  /// The system's words for errno.
  public var reason: String {
    if let explanation { return explanation }
    // Safety: strerror returns a NUL-terminated string that is copied at once.
    return unsafe String(cString: strerror(errno))
  }
}
