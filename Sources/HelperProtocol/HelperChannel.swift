// The two ends of the pipes between libxl and its helper.

internal import Bytes
internal import CSystem
internal import Glibc
internal import Synchronization
public import SystemIO

/// The helper's end: messages go to standard output, answers come from standard input. Nothing else
/// may be written there.
public final class HelperChannel {
  public let release: HelperRelease
  /// What libxl answers; nothing else may be asked.
  public let callbacks: Set<HelperMessageKind>
  private let output: Sink
  private let input: Source
  /// Held while a message goes out: lines for the log come from other threads too.
  private let isSending = Mutex(())
  /// Nanoseconds for which libxl may leave a helper that is to stop without an answer, or without room
  /// for a message: longer than a guest may take to suspend. One that is not to stop waits.
  public var patience: UInt64 = 90_000_000_000
  /// What any wait may take, however long ago the helper was asked to stop.
  private static let grace: UInt64 = 5_000_000_000
  /// Why libxl cannot be talked to any more; nil while it can. Set by `call`.
  public private(set) var lost: XensaveError?

  public init(
    output: Sink, input: Source, release: HelperRelease, callbacks: Set<HelperMessageKind>
  ) {
    self.output = output
    self.input = input
    self.release = release
    self.callbacks = callbacks
  }

  /// Sends a message that has no answer.
  public func send(_ message: HelperMessage) throws {
    precondition(!message.hasReply, "an answer to \(message.kind) has to be waited for")
    try put(message)
  }

  /// Sends a message and waits for the answer. `complete` may always be sent; other callbacks only
  /// where libxl has asked for them.
  public func call(_ message: HelperMessage) throws -> Int32 {
    precondition(message.hasReply, "\(message.kind) has no answer")
    // What libxl answers is what its command line says, which may be anything.
    guard message.kind == .complete || callbacks.contains(message.kind) else {
      throw XensaveError(
        .message, "libxl does not answer \(message.kind.rawValue): its cbflags do not offer it")
    }
    do {
      try put(message)
      if let late = wait("answer \(message.kind.rawValue)", input.waitForBytes) { throw late }
      let reply = try input.read(4)
      guard reply.count == 4 else {
        throw XensaveError(.noReply, "libxl did not answer \(message.kind.rawValue)")
      }
      return Int32(bitPattern: reply.load(0, as: UInt32.self, .native))
    } catch {
      lost = lost ?? XensaveError(error)
      throw error
    }
  }

  /// Whether libxl still has its end of the messages open.
  var isConnected: Bool {
    var output = pollfd(fd: output.fileDescriptor, events: 0, revents: 0)
    return unsafe poll(&output, 1, 0) < 1
  }

  /// A line for libxl's log, from any thread. A failure shows at the next call that has an answer.
  public func log(
    _ level: HelperMessage.Level, errno: Int32 = -1, context: String = "xensave-lua",
    _ text: String
  ) {
    // A message is to go through a pipe at once: PIPE_BUF, and what stands around the text.
    let short =
      text.utf8.count <= 3584 ? text : String(decoding: text.utf8.prefix(3584), as: UTF8.self)
    do {
      try send(.log(level, errno: errno, context: context, short))
    } catch {}
  }

  /// Tells libxl how far something is. A failure shows at the next call that has an answer.
  public func report(context: String = "xc", _ what: String, done: Int, total: Int) {
    do {
      try send(.progress(context: context, what, done: done, total: total))
    } catch {}
  }

  private func put(_ message: HelperMessage) throws {
    guard let bytes = message.encoded(release) else {
      throw XensaveError(
        .message, "\(message.kind.rawValue) cannot be said to this release of libxl")
    }
    let problem = isSending.withLock { _ -> XensaveError? in
      if let late = wait("read", output.waitForRoom) { return late }
      do { try output.write(bytes) } catch { return XensaveError(error) }
      return nil
    }
    if let problem { throw problem }
  }

  /// Waits for libxl; the error where a helper that is to stop has waited long enough.
  private func wait(_ what: String, _ look: (Int32) -> Readiness) -> XensaveError? {
    let begin = monotonicNanoseconds()
    while true {
      // Threads that no signal wakes look once a second.
      var milliseconds: UInt64 = 1000
      if let asked = HelperAbort.askedAt {
        let end = max(asked + patience, begin + min(patience, HelperChannel.grace))
        let now = monotonicNanoseconds()
        guard now < end else { return XensaveError(.noReply, "libxl did not \(what)") }
        milliseconds = min(milliseconds, (end - now) / 1_000_000 + 1)
      }
      if look(Int32(milliseconds)) == .ready { return nil }
    }
  }

  /// The descriptors that libxl has the other ends of.
  public var descriptors: [Int32] { [input.fileDescriptor, output.fileDescriptor] }
}

/// libxl's end: for a program that runs another helper, and for tests.
public final class HelperPeer {
  public let release: HelperRelease
  private let input: Source
  private let output: Sink

  /// `input`: the helper's standard output; `output`: its standard input.
  public init(input: Source, output: Sink, release: HelperRelease) {
    self.input = input
    self.output = output
    self.release = release
  }

  /// The next message, and its bytes with the length; nil when the helper has ended.
  public func next() throws -> (message: HelperMessage, bytes: [UInt8])? {
    let head = try read(2)
    if head.isEmpty { return nil }
    let count = head.count == 2 ? Int(head.load(0, as: UInt16.self, .native)) : 0
    let body = try read(count)
    guard head.count == 2, body.count == count else {
      throw XensaveError(.message, "the helper's output ends inside a message")
    }
    do { return (try HelperMessage(decoding: body, release), head + body) } catch {
      throw XensaveError(.message, "\(error)")
    }
  }

  private func read(_ count: Int) throws -> [UInt8] {
    return try input.read(count)
  }

  public func reply(_ value: Int32) throws {
    var bytes: [UInt8] = []
    bytes.append(integer: UInt32(bitPattern: value), .native)
    try output.write(bytes)
  }
}

/// What SIGTERM means to a helper that saves: libxl has given the save up. It must not just die:
/// log-dirty has to be switched off. The stream's descriptor is replaced by one that cannot be
/// written to, so that the next write fails with EBADF and the save ends in its usual way.
/// (A helper that restores dies of SIGTERM.)
public enum HelperAbort {
  /// From now on SIGTERM (and SIGINT and SIGHUP) diverts `descriptors`, at most four, and those of an
  /// earlier call no more; blocked reads and writes of the thread that takes the signal wake up.
  public static func onSIGTERM(_ descriptors: [Int32]) throws {
    precondition(descriptors.count <= 4)
    guard unsafe csystem_divert_on_stop(descriptors, Int32(descriptors.count)) == 0 else {
      throw XensaveError(
        SystemError("sigaction", 22, "SIGTERM"), "SIGTERM cannot be caught")
    }
  }

  /// Lets the signals through where the program was started by a thread that had blocked them.
  public static func unblock() { csystem_unblock_stops() }

  /// Whether the signal has come.
  public static var wasAsked: Bool { csystem_has_diverted() }

  /// When it came, by the monotonic clock.
  public static var askedAt: UInt64? { wasAsked ? csystem_diverted_at() : nil }

  /// What the signal does, for a thread that takes none.
  public static func stopMain() { csystem_stop_main() }

  /// What the signal does. Async-signal-safe.
  public static func divert(_ descriptor: Int32) -> Bool { csystem_divert(descriptor) == 0 }
}
