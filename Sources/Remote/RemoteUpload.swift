// A new object of an object store, sent in parts while it is written.

internal import Bytes
internal import Glibc
internal import SystemIO

/// An upload. What is written is gathered into parts, of which a few are under way; what fits one part is
/// sent as one object at the end. Nothing is to be seen of it before `commit`.
///
/// | parts | bytes of one | all of them |
/// |---|---|---|
/// | 1 to 4,000 | 8 MiB | 31 GiB |
/// | to 7,000 | 32 MiB | 125 GiB |
/// | to 10,000 | 128 MiB | 500 GiB |
final class RemoteUpload: RemoteWriter {
  let name: String
  private let target: HTTPRequest
  private let session: HTTPSession
  /// Whether the name must be free.
  private let isNew: Bool

  private var buffer = PageAlignedBuffer(capacity: partByteCount(0))
  private var filled = 0
  /// The server's name for the upload; nil before the first part.
  private var id: String?
  /// The tags of parts that are there; "" of those under way.
  private var tags: [String] = []
  private var sending: [Part] = []
  private var byteCount: UInt64 = 0
  /// What went wrong: nothing more is sent.
  private var failure: SystemError?
  private var isDone = false
  /// Buffers of parts that were sent.
  private var free: [PageAlignedBuffer] = []

  private static let partLimit = 10_000
  /// Whether the server has refused to take ranges of another object.
  private var isRefused = false
  /// The object that ranges were taken of without its ETag being compared: that is done at the end.
  private var unmatched: RemoteObject?
  /// The least that a part has, but the last one; what is taken at once; and from how many bytes on that
  /// is worth a request.
  private static let leastByteCount = 5 << 20
  private static let takenByteCount: UInt64 = 64 << 20
  private static let worthByteCount: UInt64 = 16 << 20

  private struct Part: RetriedRequest {
    let index: Int
    let body: HTTPBody
    var exchange: HTTPExchange?
    var retry = Retry()
  }

  /// Bytes of a part.
  static func partByteCount(_ index: Int) -> Int {
    index < 4000 ? 8 << 20 : index < 7000 ? 32 << 20 : 128 << 20
  }

  /// `target` is signed and has the URL of the object, without a query.
  init(_ target: HTTPRequest, _ name: String, isNew: Bool) throws(SystemError) {
    self.target = target
    self.name = name
    self.isNew = isNew
    session = try HTTPSession(name)
    if isNew { try checkFree() }
  }

  /// Throws where there is an object of the name: one that comes meanwhile is found at the end.
  private func checkFree() throws(SystemError) {
    if try head().status == 200 { throw SystemError("open", EEXIST, name) }
  }

  // MARK: - Writing

  @unsafe
  func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    if let failure { throw failure }
    var done = 0
    while done < bytes.count {
      try Interrupt.check(name)
      let capacity = min(buffer.capacity, RemoteUpload.partByteCount(tags.count))
      let count = min(bytes.count - done, capacity - filled)
      // Safety: the count fits what is left of both.
      if count > 0, let start = bytes.baseAddress {
        unsafe buffer.pointer(filled).copyMemory(from: start + done, byteCount: count)
      }
      filled += count
      done += count
      byteCount = byteCount.addingSaturated(UInt64(count))
      // The last part is sent by `commit`: an object of exactly one part is none of parts.
      if filled == capacity, done < bytes.count || !sending.isEmpty || id != nil {
        try keeping { () throws(SystemError) in try sendPart() }
      } else if !sending.isEmpty {
        try keeping { () throws(SystemError) in try advance(milliseconds: 0) }
      }
    }
  }

  /// Runs `body`; nothing is sent after it has failed.
  private func keeping(_ body: () throws(SystemError) -> Void) throws(SystemError) {
    do throws(SystemError) { try body() } catch {
      failure = error
      throw error
    }
  }

  /// Sends what was gathered as a part, once there is room for one more.
  private func sendPart() throws(SystemError) {
    if id == nil { try create() }
    let size = RemoteUpload.partByteCount(tags.count)
    let limit = size > 32 << 20 ? 1 : size > 8 << 20 ? 2 : 4
    while sending.count >= limit { try advance(milliseconds: HTTPSession.wait) }
    guard tags.count < RemoteUpload.partLimit else {
      throw SystemError(
        "write", EFBIG, name,
        "an object has at most \(RemoteUpload.partLimit) parts, and it is longer")
    }
    let body = HTTPBody(buffer, filled)
    tags.append("")
    var part = Part(index: tags.count - 1, body: body)
    part.exchange = try begin(part)
    sending.append(part)
    let next = RemoteUpload.partByteCount(tags.count)
    if let index = free.firstIndex(where: { $0.capacity >= next }) {
      buffer = free.remove(at: index)
    } else {
      free = []
      buffer = PageAlignedBuffer(capacity: next)
    }
    filled = 0
    try advance(milliseconds: 0)
  }

  private func create() throws(SystemError) {
    var request = target
    request.method = "POST"
    request.url += "?uploads="
    let exchange = try session.perform(request, expected: [200], name)
    guard let id = HTTPAnswer.element("UploadId", in: exchange.text), !id.isEmpty,
      id.utf8.count <= 1024
    else {
      throw Failure.protocolError("the server gives the upload no name (UploadId)").error(name)
    }
    self.id = RemoteUpload.plain(id)
  }

  /// Text of XML without its escapes.
  static func plain(_ text: String) -> String {
    text.replacing("&lt;", with: "<").replacing("&gt;", with: ">").replacing("&quot;", with: "\"")
      .replacing("&#34;", with: "\"").replacing("&apos;", with: "'").replacing("&amp;", with: "&")
  }

  private func begin(_ part: Part) throws(SystemError) -> HTTPExchange {
    var request = target
    request.method = "PUT"
    // A query is signed in the order of its names.
    request.url += "?partNumber=\(part.index + 1)&uploadId=\(query)"
    request.body = part.body
    return try session.start(request, name)
  }

  private var query: String {
    RemoteURL.escaped(id ?? "").replacing("/", with: "%2F")
  }

  /// Lets parts continue; waits so long at most until one has ended.
  private func advance(milliseconds: Int) throws(SystemError) {
    try Interrupt.check(name)
    try session.run(&sending, milliseconds: milliseconds, begin)
    var index = 0
    while index < sending.count {
      guard let exchange = sending[index].exchange, exchange.hasEnded else {
        index += 1
        continue
      }
      let answer = exchange.answer
      sending[index].exchange = nil
      if let failure = Failure.of(answer, expected: [200]) {
        guard failure.mayPass, sending[index].retry.failed() else { throw missing(failure) }
        continue
      }
      guard !answer.etag.isEmpty else {
        throw Failure.protocolError("the server gives a part no ETag").error(name)
      }
      let part = sending.remove(at: index)
      tags[part.index] = answer.etag
      if free.count < 2 { free.append(part.body.buffer) }
    }
  }

  /// A 404 of a part is of the upload or its bucket.
  private func missing(_ failure: Failure) -> SystemError {
    guard failure.errno == ENOENT else { return failure.error(name) }
    return Failure(
      errno: ENOENT,
      text: "the upload is not known to the server any more: "
        + failure.text
    ).error(name)
  }

  // MARK: - Ranges of another object

  func canTake(from reader: any RemoteReader) -> Bool {
    guard !isRefused, let object = (reader as? ObjectReader)?.object else { return false }
    guard let place = target.place, let other = object.request.place else { return false }
    return place.endpoint == other.endpoint && place.path != other.path
      && target.credentials == object.request.credentials && target.region == object.request.region
      && !object.etag.isEmpty && !object.etag.hasPrefix("W/")
  }

  var byteCountUntilTake: Int {
    filled > 0 ? max(0, RemoteUpload.leastByteCount - filled) : 0
  }

  func take(_ range: Range<UInt64>, of reader: any RemoteReader) throws(SystemError) -> UInt64 {
    if let failure { throw failure }
    guard UInt64(range.count) >= RemoteUpload.worthByteCount, canTake(from: reader),
      let object = (reader as? ObjectReader)?.object
    else { return 0 }
    var place = range.lowerBound
    try keeping { () throws(SystemError) in
      // What was gathered becomes a part, with as much of the range as that needs.
      if filled > 0 {
        // No more than that is fetched, though it is read in its order.
        reader.expect(place..<place.addingSaturated(UInt64(byteCountUntilTake)))
        while filled < RemoteUpload.leastByteCount {
          let got = try reader.read(into: buffer, filled..<RemoteUpload.leastByteCount, at: place)
          guard got > 0 else { throw Failure.changed("it is shorter").error(name) }
          filled += got
          place += UInt64(got)
        }
        try sendPart()
      }
      if id == nil { try create() }
      while place < range.upperBound {
        // No rest is left that is too short for a part.
        let rest = range.upperBound - place
        let count =
          rest <= RemoteUpload.takenByteCount + UInt64(RemoteUpload.leastByteCount)
          ? rest : RemoteUpload.takenByteCount
        guard try takePart(place..<place + count, of: object) else { break }
        place += count
      }
    }
    byteCount = byteCount.addingSaturated(place - range.lowerBound)
    return place - range.lowerBound
  }

  /// Makes a part of bytes `range` of another object; false where the server does not do that.
  private func takePart(
    _ range: Range<UInt64>, of object: RemoteObject
  ) throws(SystemError) -> Bool {
    guard tags.count < RemoteUpload.partLimit, let path = object.request.place?.path else {
      return false
    }
    var request = target
    request.method = "PUT"
    request.url += "?partNumber=\(tags.count + 1)&uploadId=\(query)"
    request.body = HTTPBody("")
    request.headers += [
      "x-amz-copy-source: \(path)",
      "x-amz-copy-source-range: bytes=\(range.lowerBound)-\(range.upperBound - 1)",
    ]
    var matching = request
    matching.headers.append("x-amz-copy-source-if-match: \(object.etag)")
    var outcome = try session.attempt(unmatched == nil ? matching : request, name, problem)
    if unmatched == nil, case .failure(let failure) = outcome, failure.errno == ESTALE {
      // Swift compares an object of parts by another tag than it says. What has really changed is found
      // now or at the end.
      try object.checkUnchanged()
      unmatched = object
      outcome = try session.attempt(request, name, problem)
    }
    switch outcome {
    case .success(let exchange):
      guard let tag = HTTPAnswer.element("ETag", in: exchange.text), !tag.isEmpty else {
        throw Failure.protocolError("the server gives a part no ETag").error(name)
      }
      tags.append(RemoteUpload.plain(tag))
      return true
    case .failure(let failure):
      if failure.mayPass { throw failure.error(name) }
      // It is sent instead.
      isRefused = true
      return false
    }
  }

  /// What is wrong with an answer of 200 that is begun before it is known whether the request fails.
  private func problem(_ answer: HTTPAnswer) -> Failure? {
    if answer.code == 0, answer.status == 200, !answer.said.isEmpty {
      let isPassing = ["InternalError", "SlowDown"].contains(where: answer.said.hasPrefix)
      return Failure(errno: EIO, text: "the server refuses: \(answer.said)", mayPass: isPassing)
    }
    return Failure.of(answer, expected: [200])
  }

  // MARK: - The end

  func commit() throws(SystemError) {
    if let failure { throw failure }
    try keeping { () throws(SystemError) in
      if id == nil {
        try putWhole()
      } else {
        if filled > 0 { try sendPart() }
        while !sending.isEmpty { try advance(milliseconds: HTTPSession.wait) }
        try unmatched?.checkUnchanged()
        try complete()
      }
    }
    isDone = true
  }

  private func putWhole() throws(SystemError) {
    var request = target
    request.method = "PUT"
    request.body = HTTPBody(buffer, filled)
    if isNew { request.headers.append("If-None-Match: *") }
    _ = try session.perform(renaming: isNew, request, name)
  }

  private func complete() throws(SystemError) {
    var text = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    for (index, tag) in tags.enumerated() {
      let tag = tag.replacing("&", with: "&amp;").replacing("<", with: "&lt;")
      text += "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(tag)</ETag></Part>"
    }
    text += "</CompleteMultipartUpload>"
    var request = target
    request.method = "POST"
    request.url += "?uploadId=\(query)"
    request.headers += ["Content-Type: application/xml"]
    if isNew { request.headers.append("If-None-Match: *") }
    request.body = HTTPBody(text)
    // A request may be heard, but not its answer; libcurl repeats one on a connection that was cut. What
    // is there before tells then whether that was so.
    let before = try? head()
    let outcome = try session.attempt(request, name, problem)
    guard case .failure(let failure) = outcome else { return }
    if failure.errno == ENOENT, try isComplete(butNot: before?.etag) { return }
    throw (isNew && failure.errno == ESTALE) ? SystemError("open", EEXIST, name) : missing(failure)
  }

  private func head() throws(SystemError) -> HTTPAnswer {
    var request = target
    request.method = "HEAD"
    return try session.perform(request, expected: [200, 404], name).answer
  }

  /// Whether the object is what was sent: not the one of this tag that was there before, and by its
  /// length and its number of parts.
  private func isComplete(butNot before: String?) throws(SystemError) -> Bool {
    let answer = try head()
    return before != nil && answer.status == 200 && answer.etag != before
      && UInt64(answer.contentLength) == byteCount && answer.etag.contains("-\(tags.count)")
  }

  func abandon() -> String? {
    guard !isDone else { return nil }
    isDone = true
    sending = []
    guard let id else { return nil }
    var request = target
    request.method = "DELETE"
    request.url += "?uploadId=\(query)"
    let outcome = try? session.attempt(request, name, isStubborn: true) {
      Failure.of($0, expected: [200, 204, 404])
    }
    switch outcome {
    case .success: return nil
    case .failure(let failure): return left(id, failure.text)
    case nil: return left(id, "no request can be made")
    }
  }

  private func left(_ id: String, _ reason: String) -> String {
    "the parts that were sent could not be removed (upload \(Failure.shown(id))): \(reason)"
  }
}

extension HTTPSession {
  /// A PUT of a whole object. `renaming`: that there is one already is EEXIST.
  fileprivate func perform(
    renaming isNew: Bool, _ request: HTTPRequest, _ name: String
  ) throws(SystemError) {
    let outcome = try attempt(request, name) { Failure.of($0, expected: [200, 201, 204]) }
    guard case .failure(let failure) = outcome else { return }
    throw isNew && failure.errno == ESTALE
      ? SystemError("open", EEXIST, name) : failure.error(name)
  }
}
