// What went wrong with a request, in the words of an error.

internal import Glibc
internal import SystemIO

/// Why a request failed, and whether it may be made again.
struct Failure: Equatable {
  var errno: Int32
  var text: String
  var mayPass = false

  static let invalid = EINVAL

  func error(_ name: String) -> SystemError { SystemError("request", errno, name, text) }

  /// Of a server's words what may be shown: one line of letters.
  static func shown(_ text: String, _ limit: Int = 200) -> String {
    String(
      decoding: text.utf8.lazy.map { $0 > 0x20 && $0 < 0x7F ? $0 : 0x20 }.prefix(limit),
      as: UTF8.self)
  }

  static func changed(_ what: String) -> Failure {
    Failure(errno: ESTALE, text: "the object has changed since it was opened: \(what)")
  }

  static func protocolError(_ what: String) -> Failure { Failure(errno: EPROTO, text: what) }

  /// The failure of an answer; nil where it is what was asked for.
  static func of(_ answer: HTTPAnswer, expected: Set<Int>) -> Failure? {
    if answer.isTooLong, answer.status < 300 {
      return protocolError(
        "the server sent more bytes than were asked for (\(answer.byteCount) and more)")
    }
    // The body of an error may be cut: what its status says is enough.
    if answer.code != 0, !(answer.isTooLong && answer.status >= 300) { return transport(answer) }
    guard !expected.contains(answer.status) else { return nil }
    return status(answer)
  }

  /// What libcurl reports: the numbers of CURLcode.
  private static func transport(_ answer: HTTPAnswer) -> Failure {
    let words = shown(answer.problem)
    switch answer.code {
    case 6: return Failure(errno: EHOSTUNREACH, text: words, mayPass: true)
    case 7: return Failure(errno: ECONNREFUSED, text: words, mayPass: true)
    case 18, 52, 55, 56, 16, 92:
      return Failure(
        errno: ECONNRESET, text: "the connection was cut (\(words))", mayPass: true)
    case 28:
      return Failure(errno: ETIMEDOUT, text: "the server does not answer (\(words))", mayPass: true)
    case 35: return Failure(errno: EPROTO, text: "TLS: \(words)", mayPass: true)
    case 47: return Failure(errno: ELOOP, text: "the server redirects again and again")
    case 60, 77, 83, 91: return Failure(errno: EPERM, text: "its certificate: \(words)")
    default: return Failure(errno: EIO, text: words)
    }
  }

  /// What the server says by its status.
  private static func status(_ answer: HTTPAnswer) -> Failure {
    let said = answer.said
    let words = said.isEmpty ? "HTTP status \(answer.status)" : "\(said) (\(answer.status))"
    switch answer.status {
    case 300..<400:
      var text = "the server redirects this request (\(answer.status))"
      if !answer.region.isEmpty {
        text += ": the bucket is in region \(shown(answer.region, 40)) (AWS_REGION)"
      } else if !answer.location.isEmpty {
        text += " to \(shown(String(answer.location.prefix { $0 != "?" })))"
      }
      return Failure(errno: EREMOTE, text: text)
    case 401, 403:
      return Failure(errno: EACCES, text: "the server refuses: \(words)")
    case 404, 410: return Failure(errno: ENOENT, text: "there is no such object: \(words)")
    case 412: return changed(words)
    case 408, 429, 500, 502, 503, 504:
      return Failure(errno: EAGAIN, text: "the server cannot answer now: \(words)", mayPass: true)
    case 400 where said.hasPrefix("RequestTimeout"):
      return Failure(errno: ETIMEDOUT, text: "the server refuses: \(words)", mayPass: true)
    case 400 where said.hasPrefix("ExpiredToken"):
      return Failure(errno: EACCES, text: "the server refuses: \(words)")
    case 416:
      return changed("it is shorter now (416)")
    case 501: return Failure(errno: EOPNOTSUPP, text: "the server cannot do that: \(words)")
    default: return Failure(errno: EIO, text: "the server answers: \(words)")
    }
  }
}
