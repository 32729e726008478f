// Why an emu-manager gives up, in the words that xenopsd gets.

internal import Glibc
internal import SystemIO

/// The end of a save or restore that was not completed.
///
/// xenopsd shows the text of `error:` to people, and some of them know the texts of the stock programs:
/// what those report is reported in the same words.
struct ManagerFailure: Error, Sendable, Equatable {
  enum Cause: Sendable, Equatable {
    /// A system call, or a rule of the protocols that an errno stands for (EINVAL for a message that
    /// makes no sense, ETIME for one that did not come).
    case system(Int32)
    /// xenguest has closed its socket.
    case disconnected
    /// xenguest has ended by a signal.
    case killed
    /// xenguest has ended with an exit status other than 0.
    case exited
    /// xenguest reported a status other than "completed".
    case erroneous
    /// xenopsd sent `abort`: nothing is reported.
    case aborted
    /// What only this program does: policies, filters, its configuration.
    case own(String)
  }

  /// The emulator that failed: "xenguest" or "qemu"; nil where it was none of them.
  let emulator: String?
  let cause: Cause
  /// More for the log.
  let detail: String
  /// Whether something did not come in time: then nothing else of that program is waited for long.
  let isTimeout: Bool

  init(_ cause: Cause, emulator: String? = nil, _ detail: String) {
    self.cause = cause
    self.emulator = emulator
    self.detail = detail
    isTimeout = cause == .system(ETIME)
  }

  /// What went wrong in a part that only this program has.
  init(own error: XensaveError) {
    self.init(.own(error.description), error.description)
  }

  /// Something that did not come in time.
  static func late(_ what: String, emulator: String? = nil) -> ManagerFailure {
    ManagerFailure(.system(ETIME), emulator: emulator, what)
  }

  /// A message that makes no sense.
  static func nonsense(_ what: String, emulator: String? = nil) -> ManagerFailure {
    ManagerFailure(.system(EINVAL), emulator: emulator, what)
  }

  /// What comes after `error:`; nil where nothing is reported. It has no line end, and with
  /// `error:` and one it is no longer than a line may be.
  var report: String? {
    let text: String
    switch cause {
    case .aborted: return nil
    case .system(let errno): text = ManagerFailure.reason(errno)
    case .disconnected: text = "unexpectedly disconnected"
    case .killed: text = "was killed by a signal"
    case .exited: text = "exited with an error"
    case .erroneous: text = "erroneous"
    case .own(let words): return ManagerFailure.oneLine("xensave-lua " + words)
    }
    return ManagerFailure.oneLine((emulator.map { $0 + " " } ?? "") + text)
  }

  private static func oneLine(_ text: String) -> String {
    let room = ControlLine.limit - "error:".utf8.count
    var out = ""
    for scalar in text.unicodeScalars {
      let next = scalar.properties.generalCategory == .control ? " " : String(scalar)
      guard out.utf8.count + next.utf8.count <= room else { break }
      out += next
    }
    return out
  }

  /// The system's words for an errno.
  static func reason(_ errno: Int32) -> String { SystemError("", errno, "").reason }
}

extension ManagerFailure: XensaveErrorConvertible {
  var xensaveError: XensaveError {
    let errno: Int32? = if case .system(let errno) = cause { errno } else { nil }
    let code: ErrorCode =
      switch cause {
      case .aborted: .aborted
      case .own: .unsuitable
      default: .noReply
      }
    return XensaveError(code, detail, errno: errno, operation: emulator)
  }
}
