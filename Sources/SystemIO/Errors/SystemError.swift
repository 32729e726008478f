// The error of a system call.

internal import Glibc

/// A system call that failed, or was stopped on request.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The call, by its name in section 2 of the manual.
  public let call: String
  /// errno; 0 when `interrupted`.
  public let number: Int32
  /// The file, as the user named it.
  public let path: String

  public init(_ call: String, _ number: Int32, _ path: String) {
    self.call = call
    self.number = number
    self.path = path
  }

  /// Stopped by SIGINT between two pieces of work.
  public static func interrupted(_ path: String) -> SystemError { SystemError("", 0, path) }

  /// Whether the user stopped the work.
  public var isInterrupt: Bool { number == 0 }
  /// Whether the reader of a pipe is gone.
  public var isBrokenPipe: Bool { number == EPIPE }

  /// The symbol of the number in lower case, "enoent", where it is one of the usual ones.
  public var symbol: String {
    switch number {
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
    default: "errno\(number)"
    }
  }

  public var description: String {
    if isInterrupt { return "\(path): interrupted" }
    return "\(path): \(call): \(reason)"
  }

  /// The system's words for the number.
  public var reason: String {
    // Safety: strerror returns a NUL-terminated string that is copied at once.
    unsafe String(cString: strerror(number))
  }
}
