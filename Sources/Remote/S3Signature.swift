// The signature of a request to an object store: AWS Signature Version 4.

internal import Bytes
internal import Glibc
internal import Hash

/// What says who asks. Source: AWS, Authenticating Requests (AWS Signature Version 4).
///
/// libcurl can sign, too: releases before 8.10 put one of two headers at the wrong place where the name of
/// one begins with the other's, as those of requests that copy ranges do.
enum S3Signature {
  /// Seconds since 1970 as signatures have them: "20130524T000000Z".
  static func date(_ seconds: Int) -> String {
    var time = time_t(seconds)
    var parts = unsafe tm()
    // Safety: both live for the call, and the text is no longer than the room for it.
    unsafe gmtime_r(&time, &parts)
    var text = [CChar](repeating: 0, count: 32)
    let count = unsafe strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &parts)
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The headers to send: those of the request, which are signed as they are, and what the signature needs.
  /// nil where the URL has no host. Path and query of the URL are escaped; `payload` is the SHA-256 of the
  /// body in hexadecimal, or "UNSIGNED-PAYLOAD"; `seconds` count from 1970.
  static func headers(
    of method: String, _ url: String, _ headers: [String], payload: String, region: String,
    _ credentials: S3Credentials, at seconds: Int
  ) -> [String]? {
    guard let (host, path, query) = parts(url) else { return nil }
    let date = date(seconds)
    var lines =
      headers + ["Host: \(host)", "x-amz-content-sha256: \(payload)", "x-amz-date: \(date)"]
    if let token = credentials.token { lines.append("x-amz-security-token: \(token)") }
    let fields = lines.map { line in
      let name = line.prefix { $0 != ":" }
      return (name: name.lowercased(), value: trimmed(line[name.endIndex...].dropFirst()))
    }.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    let names = fields.map(\.name).joined(separator: ";")
    let request =
      ([method, path, query] + fields.map { "\($0.name):\($0.value)" } + ["", names, payload])
      .joined(separator: "\n")
    let scope = "\(date.prefix(8))/\(region)/s3/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(date)\n\(scope)\n" + SHA256.hash(Array(request.utf8)).hexDigits
    var key = Array("AWS4\(credentials.secret)".utf8)
    for word in scope.split(separator: "/") {
      key = SHA256.authenticate(Array(word.utf8), key: key)
    }
    let signature = SHA256.authenticate(Array(text.utf8), key: key).hexDigits
    return lines + [
      "Authorization: AWS4-HMAC-SHA256 Credential=\(credentials.key)/\(scope), SignedHeaders=\(names), "
        + "Signature=\(signature)"
    ]
  }

  /// The host as it is sent, the path, and the query in the order that is signed.
  private static func parts(_ url: String) -> (host: String, path: String, query: String)? {
    guard let start = url.firstRange(of: "://") else { return nil }
    let scheme = url[..<start.lowerBound].lowercased()
    let rest = url[start.upperBound...]
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    var host = String(authority.split(separator: "@").last ?? "")
    let usual = scheme == "https" ? ":443" : ":80"
    if host.hasSuffix(usual) { host.removeLast(usual.count) }
    guard !host.isEmpty else { return nil }
    let path = rest[authority.endIndex...].prefix { $0 != "?" }
    let query = rest[path.endIndex...].dropFirst().split(separator: "&").map { word in
      let name = word.prefix { $0 != "=" }
      return (name: name, value: word[name.endIndex...].dropFirst())
    }.sorted { ($0.name, $0.value) < ($1.name, $1.value) }
    return (
      host, path.isEmpty ? "/" : String(path),
      query.map { "\($0.name)=\($0.value)" }.joined(separator: "&")
    )
  }

  /// Without blanks at the ends, and with one where there are several.
  private static func trimmed(_ value: Substring) -> String {
    value.split { $0 == " " || $0 == "\t" }.joined(separator: " ")
  }
}
