// Requests of HTTP, several at a time.

internal import Bytes
internal import CCurl
internal import Glibc
internal import SystemIO

/// One request.
struct HTTPRequest {
  var method = "GET"
  var url: String
  /// "Name: value".
  var headers: [String] = []
  /// Bytes of the object that are asked for.
  var range: Range<UInt64>?
  var body: HTTPBody?
  var credentials: S3Credentials?
  var region = ""
  /// Where the object lies, for requests that take a part of it: the store, and "/bucket/key".
  var place: ObjectPlace?
  var authorities: String?
  /// Whether redirects are followed: not where requests are signed for one host.
  var followsRedirects = false
  /// Bytes that an answer may have.
  var room = 1 << 16
}

/// An object of an object store.
struct ObjectPlace: Equatable {
  /// nil for AWS's own.
  let endpoint: String?
  /// "/bucket/key", escaped.
  let path: String
}

/// What a request sends: it stays while that is under way.
final class HTTPBody {
  let buffer: PageAlignedBuffer
  let count: Int

  init(_ buffer: PageAlignedBuffer, _ count: Int) {
    self.buffer = buffer
    self.count = count
  }

  init(_ text: String) {
    let bytes = Array(text.utf8)
    count = bytes.count
    buffer = PageAlignedBuffer(capacity: max(bytes.count, 1))
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe buffer.store(0, bytes.span.bytes)
  }
}

/// What came of one.
struct HTTPAnswer {
  /// libcurl's; 0 for an answer, whatever it says.
  var code = 0
  var status = 0
  var isTooLong = false
  var byteCount = 0
  var etag = ""
  var contentRange = ""
  var contentLength = ""
  var modified = ""
  var location = ""
  var region = ""
  var problem = ""
  /// What an answer of an object store says of an error: "NoSuchKey: The key does not exist".
  var said = ""

  /// The value of an element of XML, as an object store answers with: the first of its name.
  static func element(_ name: String, in text: String) -> String? {
    guard let start = text.firstRange(of: "<\(name)>")?.upperBound,
      let end = text[start...].firstRange(of: "</\(name)>")?.lowerBound
    else { return nil }
    return String(text[start..<end])
  }
}

/// A request that was begun: its answer and the bytes of it.
@safe
final class HTTPExchange {
  private let raw: OpaquePointer
  /// Held while libcurl may read it.
  private let body: HTTPBody?
  private let session: HTTPSession

  fileprivate init(_ raw: OpaquePointer, _ body: HTTPBody?, _ session: HTTPSession) {
    unsafe self.raw = raw
    self.body = body
    self.session = session
  }

  deinit { unsafe ccurl_free(raw) }

  var hasEnded: Bool { unsafe ccurl_has_ended(raw) }

  private var result: ccurl_result {
    var result = unsafe ccurl_result()
    unsafe ccurl_result(raw, &result)
    return unsafe result
  }

  var byteCount: Int { unsafe result.byte_count }

  /// Copies bytes of the answer from `offset` on, which it must have.
  func copy(_ offset: Int, _ count: Int, into buffer: PageAlignedBuffer, at place: Int) {
    let result = unsafe result
    precondition(offset >= 0 && count >= 0 && count <= (unsafe result.byte_count) - offset)
    precondition(place >= 0 && count <= buffer.capacity - place)
    guard count > 0, let bytes = unsafe result.bytes else { return }
    // Safety: both ranges were checked against their ends.
    unsafe buffer.pointer(place).copyMemory(from: bytes + offset, byteCount: count)
  }

  /// The bytes as text.
  var text: String {
    let result = unsafe result
    guard let bytes = unsafe result.bytes else { return "" }
    // Safety: the result says how many bytes there are.
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: bytes, count: result.byte_count), as: UTF8.self)
  }

  var answer: HTTPAnswer {
    let result = unsafe result
    func text(_ pointer: UnsafePointer<CChar>?) -> String {
      // Safety: the texts of a result end in NUL.
      unsafe pointer.map { unsafe String(cString: $0) } ?? ""
    }
    var answer = unsafe HTTPAnswer(
      code: Int(result.code), status: Int(result.status), isTooLong: result.is_too_long,
      byteCount: result.byte_count, etag: text(result.etag),
      contentRange: text(result.content_range), contentLength: text(result.content_length),
      modified: text(result.modified), location: text(result.location),
      region: text(result.region), problem: text(result.problem))
    if answer.status >= 300 || answer.status == 200 { answer.said = said }
    return answer
  }

  /// The code and message of an error in XML; "" where it is none.
  private var said: String {
    guard byteCount > 0, byteCount <= 1 << 16 else { return "" }
    let text = text
    guard text.contains("<Error>"), let code = HTTPAnswer.element("Code", in: text) else {
      return ""
    }
    let message = HTTPAnswer.element("Message", in: text) ?? ""
    return Failure.shown(message.isEmpty ? code : "\(code): \(message)")
  }
}

/// Connections to servers; for one thread at a time.
@safe
final class HTTPSession {
  private let raw: OpaquePointer
  /// Seconds without a byte after which a request has failed.
  let patience: Int

  /// Opens libcurl, too, the first time.
  init(_ name: String) throws(SystemError) {
    var problem = [CChar](repeating: 0, count: 256)
    // Nobody chooses what root loads.
    let library = Environment.isRoot ? nil : Environment.variable("XENSAVE_LIBCURL")
    // Safety: the buffer has the room that is told; the name lives for the call.
    guard let opened = unsafe ccurl_open(library, &problem, problem.count) else {
      let reason = HTTPSession.text(problem)
      throw SystemError(
        "dlopen", ENOENT, name,
        "URLs need libcurl, which is not here" + (reason.isEmpty ? "" : " (\(reason))")
          + ": install libcurl4")
    }
    unsafe raw = opened
    patience =
      Environment.variable("XENSAVE_REMOTE_TIMEOUT").flatMap { Int($0) }
      .map { min(max($0, 1), 3600) } ?? 30
  }

  deinit { unsafe ccurl_close(raw) }

  /// SHA-256 of no bytes.
  private static let hashOfNothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

  private static func text(_ letters: [CChar]) -> String {
    String(decoding: letters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Lets requests continue, and waits so long at most until one has ended.
  func run(milliseconds: Int) { unsafe ccurl_run(raw, Int32(clamping: milliseconds)) }

  func start(_ request: HTTPRequest, _ name: String) throws(SystemError) -> HTTPExchange {
    var headers = request.headers
    if let credentials = request.credentials {
      // What is sent is not hashed: its length is looked at, and TLS keeps it as it is.
      let payload = request.body == nil ? HTTPSession.hashOfNothing : "UNSIGNED-PAYLOAD"
      guard
        let signed = S3Signature.headers(
          of: request.method, request.url, headers, payload: payload, region: request.region,
          credentials, at: time(nil))
      else { throw SystemError("request", EINVAL, name, "a URL without a host") }
      headers = signed
    }
    for text in headers + [request.url] where text.utf8.contains(where: { $0 < 0x20 }) {
      throw SystemError("request", EINVAL, name, "a line break in a header or URL")
    }
    var strings: [UnsafeMutablePointer<CChar>?] = unsafe []
    // Safety: what strdup returns is freed at the end, and used in between only.
    defer { unsafe strings.forEach { unsafe free($0) } }
    func keep(_ text: String?) -> UnsafePointer<CChar>? {
      guard let text else { return nil }
      let copy = unsafe strdup(text)
      unsafe strings.append(copy)
      return unsafe UnsafePointer(copy)
    }
    var lines: [UnsafePointer<CChar>?] = unsafe headers.map { unsafe keep($0) }
    unsafe lines.append(nil)
    var raw = unsafe ccurl_request()
    unsafe raw.method = unsafe keep(request.method)
    unsafe raw.url = unsafe keep(request.url)
    if let range = request.range {
      unsafe raw.range = unsafe keep("\(range.lowerBound)-\(range.upperBound - 1)")
    }
    unsafe raw.ca_file = unsafe keep(request.authorities)
    unsafe raw.follows = request.followsRedirects
    unsafe raw.stall_seconds = patience
    unsafe raw.room = request.room
    if let body = request.body {
      unsafe raw.body = unsafe UnsafeRawPointer(body.buffer.pointer())
      unsafe raw.body_count = body.count
    }
    var problem = [CChar](repeating: 0, count: 256)
    let begun = unsafe lines.withUnsafeBufferPointer { lines in
      unsafe raw.headers = lines.baseAddress
      // Safety: everything that the request points to lives until the call has returned.
      return unsafe ccurl_start(self.raw, &raw, &problem, problem.count)
    }
    guard let begun = unsafe begun else {
      throw SystemError("request", EINVAL, name, HTTPSession.text(problem))
    }
    return unsafe HTTPExchange(begun, request.body, self)
  }
}
