// What a URL of an image says.

internal import Bytes

/// A URL of an object: `s3://bucket/key`, `https://...` or `http://...`.
enum RemoteURL: Equatable {
  case s3(bucket: String, key: String)
  /// As it goes to the server.
  case web(String)

  /// Bytes that a URL may have.
  private static let limit = 8192

  /// nil where it makes no sense.
  init?(_ text: String) {
    guard text.utf8.count <= RemoteURL.limit, let colon = text.firstIndex(of: ":"),
      text[colon...].hasPrefix("://"), !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F })
    else { return nil }
    let rest = text[text.index(colon, offsetBy: 3)...]
    let host = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !host.isEmpty else { return nil }
    switch text[..<colon].lowercased() {
    case "s3":
      let bucket = rest.prefix { $0 != "/" }
      let key = rest.dropFirst(bucket.count + 1)
      guard !key.isEmpty, RemoteURL.isBucket(bucket) else { return nil }
      self = .s3(bucket: String(bucket), key: String(key))
    case "http", "https":
      guard !text.contains(" ") else { return nil }
      self = .web(String(text.prefix { $0 != "#" }))
    default: return nil
    }
  }

  /// Letters, digits, dots and lines: also what old buckets are called.
  private static func isBucket(_ name: Substring) -> Bool {
    name.utf8.count <= 255 && name.first != "."
      && name.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0)
          || [0x2D, 0x2E, 0x5F].contains($0)
      }
  }

  /// As messages have it: without the name and password before a host, and without a query, which may be
  /// a signature.
  var shown: String {
    switch self {
    case .s3(let bucket, let key): return "s3://\(bucket)/\(key)"
    case .web(let url):
      guard let slashes = url.firstRange(of: "://") else { return url }
      let rest = url[slashes.upperBound...].prefix { $0 != "?" }
      let host = rest.prefix { $0 != "/" }
      let path = rest[host.endIndex...]
      return url[..<slashes.upperBound] + (host.split(separator: "@").last.map(String.init) ?? "")
        + path
    }
  }

  /// A key as a path of a URL: all but what needs no escape, and "/".
  static func escaped(_ text: String) -> String {
    var out: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x2F, 0x5F, 0x7E: out.append(byte)
      default: out += "%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))".utf8
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
