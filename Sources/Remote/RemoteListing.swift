// The objects of a store whose keys begin alike.

internal import Bytes
public import SystemIO

extension RemoteImages {
  /// Most objects of a list.
  private static let keyLimit = 1_000_000
  /// Bytes of a page of it: 1,000 keys of 1,024 bytes, each as three letters, and what is said of them.
  private static let pageLimit = 8 << 20

  public func list(_ prefix: String) throws(SystemError) -> [String] {
    guard let place = RemoteURL.Prefix(prefix) else {
      throw SystemError(
        "list", RemoteFiles.unsupported, RemoteURL(prefix)?.shown ?? "a URL",
        "only s3://BUCKET/PREFIX is listed")
    }
    let settings = try S3Settings()
    let session = try HTTPSession(prefix)
    var urls: [String] = []
    var token: String?
    repeat {
      try Interrupt.check(prefix)
      var request = HTTPRequest(url: settings.url(place.bucket, ""))
      request.credentials = settings.credentials
      request.region = settings.region
      request.authorities = settings.authorities
      request.room = RemoteImages.pageLimit
      // A query is signed in the order of its names.
      request.url +=
        "?" + (token.map { "continuation-token=\(RemoteURL.escapedWord($0))&" } ?? "")
        + "encoding-type=url&list-type=2&prefix=\(RemoteURL.escapedWord(place.prefix))"
      let text = try session.perform(request, expected: [200], prefix).text
      let page = try RemoteImages.page(text, prefix)
      urls += page.keys.lazy.filter { $0.hasPrefix(place.prefix) && !$0.hasSuffix("/") }
        .map { "s3://\(place.bucket)/\($0)" }
      // Each page has some: a list that never ends is none.
      guard page.token == nil || !page.keys.isEmpty && page.token != token,
        urls.count <= RemoteImages.keyLimit
      else { throw Failure.protocolError("the list of objects has no end").error(prefix) }
      token = page.token
    } while token != nil
    return urls.sorted()
  }

  /// The keys of a page, and what asks for the next one.
  static func page(
    _ text: String, _ name: String
  ) throws(SystemError) -> (keys: [String], token: String?) {
    guard text.contains("<ListBucketResult") else {
      throw Failure.protocolError("the server does not answer with a list of objects").error(name)
    }
    let isEscaped = HTTPAnswer.element("EncodingType", in: text) == "url"
    let keys = text.split(separator: "<Contents>").dropFirst().compactMap { part -> String? in
      guard let key = HTTPAnswer.element("Key", in: String(part)) else { return nil }
      let plain = RemoteUpload.plain(key)
      return isEscaped ? RemoteURL.unescaped(plain) : plain
    }
    guard HTTPAnswer.element("IsTruncated", in: text) == "true" else { return (keys, nil) }
    guard let token = HTTPAnswer.element("NextContinuationToken", in: text), !token.isEmpty,
      token.utf8.count <= 4096
    else {
      throw Failure.protocolError("the server cuts the list of objects, and does not say where")
        .error(name)
    }
    return (keys, RemoteUpload.plain(token))
  }
}

extension RemoteURL {
  /// A bucket, and how keys in it begin: all of them where the prefix is empty.
  struct Prefix: Equatable {
    let bucket: String
    let prefix: String

    /// "s3://bucket" or "s3://bucket/prefix"; nil for others.
    init?(_ text: String) {
      // A URL of an object is one with a key.
      let place = text.dropFirst("s3://".count)
      guard text.lowercased().hasPrefix("s3://"),
        case .s3(let bucket, _)? = RemoteURL(place.contains("/") ? text + "x" : text + "/x")
      else { return nil }
      self.bucket = bucket
      prefix = String(place.dropFirst(bucket.count + 1))
    }
  }

  /// A word of a query.
  static func escapedWord(_ text: String) -> String { escaped(text).replacing("/", with: "%2F") }

  /// A key as lists have it: with escapes, and "+" for a space.
  static func unescaped(_ text: String) -> String {
    var out: [UInt8] = []
    var bytes = Array(text.utf8)[...]
    while let byte = bytes.popFirst() {
      if byte == UInt8(ascii: "%"), bytes.count >= 2,
        let value = UInt8(String(decoding: bytes.prefix(2), as: UTF8.self), radix: 16)
      {
        out.append(value)
        bytes = bytes.dropFirst(2)
      } else {
        out.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
