// An object of a server, read in ranges.

internal import Bytes
internal import Glibc
internal import SystemIO
internal import Synchronization

/// An object that is open: what is in memory of it, and what is under way. All readers of it share one, on
/// any thread.
///
/// Safe to send: `lock` is held wherever something of it is changed.
final class RemoteObject: @unchecked Sendable {
  let name: String
  let identity: FileIdentity
  private(set) var byteCount: UInt64 = 0

  let request: HTTPRequest
  private let session: HTTPSession
  private let lock = Mutex<Void>(())
  /// What tells this object from others that come to have its name; "" where the server does not say.
  private(set) var etag = ""
  private var modified = ""
  private var cache = RangeCache<HTTPExchange>(byteLimit: 32 << 20, countLimit: 8192)
  private var fetches: [Fetch] = []

  /// Bytes that are asked for when it is opened: most headers that stand before the pages.
  private static let first: UInt64 = 64 << 10
  /// The longest object that is taken whole from a server that gives no ranges.
  private static let wholeLimit: UInt64 = 8 << 20
  /// Bytes of one request.
  private static let chunk: UInt64 = 1 << 20
  /// Requests that are under way for what is not needed yet.
  private static let fetchLimit = 32
  /// Bytes of these.
  private static let fetchByteLimit: UInt64 = 12 << 20

  /// A range that was asked for.
  private struct Fetch: RetriedRequest {
    let range: Range<UInt64>
    var exchange: HTTPExchange?
    var retry = Retry()
  }

  init(_ request: HTTPRequest, _ name: String, _ identity: FileIdentity) throws(SystemError) {
    self.name = name
    self.identity = identity
    self.request = request
    session = try HTTPSession(name)
    try open()
  }

  // MARK: - Opening

  private func open() throws(SystemError) {
    var request = request
    request.range = 0..<RemoteObject.first
    request.room = Int(RemoteObject.first)
    let outcome = try session.attempt(request, name) { answer in
      if answer.status == 416 || answer.status == 200 { return nil }
      if let failure = Failure.of(answer, expected: [206]) { return failure }
      let found = ContentRange(answer.contentRange)
      guard let total = found?.total else {
        return .protocolError(
          "the server does not say how long the object is (Content-Range: "
            + "'\(Failure.shown(answer.contentRange))')")
      }
      return failure(answer, 0..<min(RemoteObject.first, total))
    }
    let exchange: HTTPExchange
    switch outcome {
    case .success(let done): exchange = done
    case .failure(let failure): throw failure.error(name)
    }
    let answer = exchange.answer
    guard answer.status == 206, let found = ContentRange(answer.contentRange),
      let total = found.total
    else { return try openWhole(answer) }
    byteCount = total
    note(answer)
    if !found.range.isEmpty { cache.insert(found.range, exchange) }
  }

  /// An object without bytes, or a server that gives no ranges.
  private func openWhole(_ first: HTTPAnswer) throws(SystemError) {
    if first.status == 416 {
      guard ContentRange(first.contentRange)?.total == 0 else {
        throw Failure.protocolError(
          "the server refuses the first bytes (416), and not for a length of 0"
        ).error(name)
      }
      return note(first)
    }
    guard let count = UInt64(first.contentLength), count <= RemoteObject.wholeLimit else {
      throw Failure(
        errno: EOPNOTSUPP,
        text:
          "the server gives no ranges (200 for one), and the object is too long to be taken whole: "
          + "copy it to a file"
      ).error(name)
    }
    var request = request
    request.room = Int(RemoteObject.wholeLimit)
    let exchange = try session.perform(request, expected: [200], name)
    let answer = exchange.answer
    guard UInt64(answer.contentLength) == UInt64(answer.byteCount) else {
      throw Failure.protocolError(
        "expected \(count) bytes, got \(answer.byteCount)"
      ).error(name)
    }
    byteCount = UInt64(answer.byteCount)
    note(answer)
    if byteCount > 0 { cache.insert(0..<byteCount, exchange) }
  }

  private func note(_ answer: HTTPAnswer) {
    etag = answer.etag
    modified = answer.modified
  }

  // MARK: - Reading

  func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64, _ plan: inout ReadPlan
  ) throws(SystemError) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    let rest = byteCount > offset ? byteCount - offset : 0
    let count = UInt64(min(range.count, Int(clamping: rest)))
    guard count > 0 else { return 0 }
    let wants = plan.read(offset..<offset + count, of: byteCount)
    let got = try lock.withLock { _ throws(SystemError) in
      try read(into: buffer, range.lowerBound, offset..<offset + count, wants)
    }
    plan.got(offset..<offset + UInt64(got))
    return got
  }

  private func read(
    into buffer: PageAlignedBuffer, _ place: Int, _ range: Range<UInt64>, _ wants: [Range<UInt64>]
  ) throws(SystemError) -> Int {
    let offset = range.lowerBound
    for (index, want) in wants.enumerated() {
      try ask(for: want, needed: index == 0 ? offset : nil)
    }
    if !fetches.isEmpty { try advance(needing: nil, milliseconds: 0) }
    while true {
      if let entry = cache.entry(at: offset) {
        let skipped = Int(offset - entry.range.lowerBound)
        let count = min(entry.range.count - skipped, range.count)
        entry.content.copy(skipped, count, into: buffer, at: place)
        return count
      }
      try Interrupt.check(name)
      try ask(for: range, needed: offset)
      try advance(needing: offset, milliseconds: HTTPSession.wait)
    }
  }

  /// Asks for what is missing of `range`; of what is not needed at once, as far as there is room.
  private func ask(for range: Range<UInt64>, needed: UInt64?) throws(SystemError) {
    var parts = cache.missing(range)
    for fetch in fetches {
      parts = parts.flatMap { part -> [Range<UInt64>] in
        guard part.overlaps(fetch.range) else { return [part] }
        return [
          part.lowerBound..<max(part.lowerBound, fetch.range.lowerBound),
          min(part.upperBound, fetch.range.upperBound)..<part.upperBound,
        ].filter { !$0.isEmpty }
      }
    }
    for part in parts {
      var place = part.lowerBound
      while place < part.upperBound {
        let end = min(part.upperBound, place + RemoteObject.chunk)
        let isNeeded = needed.map { (place..<end).contains($0) } ?? false
        let waiting = fetches.reduce(0) { $0 + UInt64($1.range.count) }
        guard
          isNeeded
            || fetches.count < RemoteObject.fetchLimit
              && waiting + (end - place) <= RemoteObject.fetchByteLimit
        else { return }
        fetches.append(Fetch(range: place..<end, exchange: try begin(place..<end)))
        place = end
      }
    }
  }

  private func begin(_ range: Range<UInt64>) throws(SystemError) -> HTTPExchange {
    var request = request
    request.range = range
    request.room = range.count
    // A weak tag is never matched, by the rules of HTTP: the answer's is compared.
    if !etag.isEmpty, !etag.hasPrefix("W/") {
      request.headers.append("If-Match: \(etag)")
    } else if etag.isEmpty, !modified.isEmpty {
      request.headers.append("If-Unmodified-Since: \(modified)")
    }
    return try session.start(request, name)
  }

  /// Lets requests continue; waits so long at most until one has ended. Throws what went wrong with the
  /// byte at `offset`: what fails of the others is asked for again when it is needed.
  private func advance(needing offset: UInt64?, milliseconds: Int) throws(SystemError) {
    try session.run(&fetches, milliseconds: milliseconds) { fetch throws(SystemError) in
      try begin(fetch.range)
    }
    var index = 0
    while index < fetches.count {
      guard let exchange = fetches[index].exchange, exchange.hasEnded else {
        index += 1
        continue
      }
      let range = fetches[index].range
      guard let failure = failure(exchange.answer, range) else {
        fetches.remove(at: index)
        cache.insert(range, exchange)
        continue
      }
      fetches[index].exchange = nil
      if failure.mayPass, fetches[index].retry.failed() { continue }
      fetches.remove(at: index)
      if let offset, range.contains(offset) { throw failure.error(name) }
    }
  }

  /// What an answer says that is not of the object as it was opened.
  private func change(in answer: HTTPAnswer) -> Failure? {
    if !etag.isEmpty, !answer.etag.isEmpty, answer.etag != etag {
      return .changed("its ETag was \(Failure.shown(etag)) and is \(Failure.shown(answer.etag))")
    }
    return etag.isEmpty ? timeChange(in: answer) : nil
  }

  private func timeChange(in answer: HTTPAnswer) -> Failure? {
    guard !modified.isEmpty, !answer.modified.isEmpty, answer.modified != modified else {
      return nil
    }
    return .changed("its time of change is another")
  }

  /// Throws where the object is not the one any more that was opened, or was another meanwhile.
  func checkUnchanged() throws(SystemError) {
    var request = request
    request.method = "HEAD"
    let answer = try lock.withLock { _ throws(SystemError) in
      try session.perform(request, expected: [200], name).answer
    }
    if let change = change(in: answer) ?? timeChange(in: answer) { throw change.error(name) }
  }

  /// What is wrong with the answer to a request for `range`.
  private func failure(_ answer: HTTPAnswer, _ range: Range<UInt64>) -> Failure? {
    if answer.status == 200, answer.code == 0 || answer.isTooLong {
      return Failure(errno: EOPNOTSUPP, text: "the server gives no ranges (200 for one)")
    }
    if let failure = Failure.of(answer, expected: [206]) { return failure }
    if let change = change(in: answer) { return change }
    let asked = "bytes \(range.lowerBound) to \(range.upperBound - 1)"
    guard let found = ContentRange(answer.contentRange) else {
      return .protocolError(
        "the server does not say which bytes it sent for \(asked) "
          + "(Content-Range: '\(Failure.shown(answer.contentRange))')")
    }
    if byteCount > 0, let total = found.total, total != byteCount {
      return .changed("it had \(byteCount) bytes and has \(total)")
    }
    guard found.range == range else {
      return .protocolError(
        "the server sent other bytes than were asked for: expected \(asked), got "
          + "\(found.range.lowerBound) to \(found.range.upperBound &- 1)")
    }
    guard answer.byteCount == range.count else {
      return Failure(
        errno: EPROTO,
        text: "expected \(range.count) bytes from \(range.lowerBound) on, got \(answer.byteCount)",
        mayPass: true)
    }
    return nil
  }
}

/// The header "Content-Range: bytes 0-99/1000".
struct ContentRange: Equatable {
  /// Empty for "bytes */1000".
  let range: Range<UInt64>
  /// nil for "*".
  let total: UInt64?

  init?(_ text: String) {
    let words = text.split(separator: " ")
    guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
    let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    total = UInt64(parts[1])
    guard total != nil || parts[1] == "*" else { return nil }
    if parts[0] == "*" {
      range = 0..<0
      return
    }
    let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false).map { UInt64($0) }
    guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last, last < .max
    else {
      return nil
    }
    range = first..<last + 1
  }
}

/// One source's view of an object.
final class ObjectReader: RemoteReader {
  let object: RemoteObject
  private var plan = ReadPlan()

  init(_ object: RemoteObject) { self.object = object }

  var name: String { object.name }
  var byteCount: UInt64 { object.byteCount }
  var identity: FileIdentity { object.identity }

  func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int {
    try object.read(into: buffer, range, at: offset, &plan)
  }

  func expect(_ range: Range<UInt64>) { plan.expect(range) }

  func duplicate() throws(SystemError) -> any RemoteReader { ObjectReader(object) }
}
