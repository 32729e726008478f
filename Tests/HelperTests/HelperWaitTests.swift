// What a helper waits for, and what ends it: requests to stop, and the end of libxl.

import Format
import Glibc
import HelperProtocol
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

/// sim-helper with a stream that is a pipe, and libxl's side of it in the hands of a test.
private final class StalledHelper {
  let id: pid_t
  /// The test's end of the stream.
  private(set) var stream: Int32
  private var peer: HelperPeer?
  private var answers: Int32
  private let complaints = TemporaryFile()
  private(set) var messages: [HelperMessage] = []

  /// `isNarrow`: libxl's pipe holds a page of messages. `deadline`: milliseconds for a script.
  init(
    _ mode: [String], folder: String = "", patience: Int = 300, deadline: Int = 10_000,
    isNarrow: Bool = false
  ) throws {
    signal(SIGPIPE, SIG_IGN)
    var (to, from, data): ([Int32], [Int32], [Int32]) = ([-1, -1], [-1, -1], [-1, -1])
    guard pipe(&to) == 0, pipe(&from) == 0, pipe(&data) == 0 else {
      throw SystemError("pipe", errno, "")
    }
    // F_SETPIPE_SZ, which Swift's Glibc does not have: to make one smaller is always allowed.
    if isNarrow { #expect(fcntl(to[1], 1031, 4096) == 4096) }
    let isRestore = mode[0] == "--restore-domain"
    let (own, its) = isRestore ? (data[1], data[0]) : (data[0], data[1])
    for end in [to[0], from[1], own] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, from[0], 0)
    posix_spawn_file_actions_adddup2(&actions, to[1], 1)
    posix_spawn_file_actions_addopen(&actions, 2, complaints.path, O_WRONLY, 0)
    // The number may be one of those above: it is put there last.
    posix_spawn_file_actions_adddup2(&actions, its, 250)
    closeOthers(&actions, from: 251)
    let options = ["patience=\(patience)", "script=\(deadline)"]
    let all = [HelperProcess.program] + options + [folder] + mode
    id = try spawn(all, &actions)
    posix_spawn_file_actions_destroy(&actions)
    for end in [to[1], from[0], its] { close(end) }
    stream = own
    answers = to[0]
    peer = HelperPeer(
      input: try Source(Descriptor(taking: to[0], path: "helper"), path: "helper"),
      output: Sink(try Descriptor(taking: from[1], path: "helper"), path: "helper"),
      release: .xen414)
  }

  deinit {
    kill(id, SIGKILL)
    if stream >= 0 { close(stream) }
  }

  func closeStream() {
    close(stream)
    stream = -1
  }

  /// libxl is gone.
  func hangUp() { peer = nil }

  /// Answers as libxl does, until the helper sleeps and says nothing, or ends, or `isEnough`.
  func serve(until isEnough: (HelperMessage) -> Bool = { _ in false }) throws {
    var (last, same) = ("", 0)
    for _ in 0..<2000 where same < 5 {
      var entry = pollfd(fd: answers, events: Int16(POLLIN), revents: 0)
      if poll(&entry, 1, 50) > 0 {
        guard let message = try peer?.next()?.message else { return }
        messages.append(message)
        if isEnough(message) { return }
        if message.hasReply { try peer?.reply(message.kind == .suspend ? 1 : 0) }
        same = 0
        continue
      }
      let state = self.state
      same = state == last && state.hasPrefix("S") ? same + 1 : 0
      last = state
    }
  }

  /// Waits until the helper sleeps, and reads none of its messages.
  func awaitSleep() {
    var (last, same) = ("", 0)
    for _ in 0..<2000 where same < 8 {
      usleep(50_000)
      let state = self.state
      same = state == last && state.hasPrefix("S") ? same + 1 : 0
      last = state
    }
  }

  /// Whether the main thread sleeps, and how much processor time the process has had: that stands
  /// still where all of it waits.
  private var state: String {
    // Files of /proc have no size that could be believed.
    let number = open("/proc/\(id)/stat", O_RDONLY | O_CLOEXEC)
    defer { close(number) }
    var text = [UInt8](repeating: 0, count: 4096)
    let count = read(number, &text, text.count)
    let words = String(decoding: text.prefix(max(count, 0)), as: UTF8.self)
      .split(separator: ")").last?.split(separator: " ")
    guard let words, words.count > 13 else { return "" }
    return "\(words[0]) \(words[11]) \(words[12])"
  }

  /// The wait status; nil where it continues after a minute.
  func end() -> Int32? {
    var status: Int32 = 0
    for _ in 0..<6000 {
      if waitpid(id, &status, WNOHANG) == id { return status }
      usleep(10_000)
    }
    return nil
  }

  var standardError: String {
    get throws {
      String(decoding: try Source(opening: complaints.path).read(1 << 16), as: UTF8.self)
    }
  }

  var result: Int32? {
    messages.last { $0.kind == .complete }?.number(0).map {
      Int32(bitPattern: UInt32(truncatingIfNeeded: $0))
    }
  }
}

@Suite(.serialized) struct HelperWaitTests {
  static let migrate = ["--save-domain", "250", "-1", "1", "1", "136", "0"]
  static let restore = [
    "--restore-domain", "250", "-1", "1", "1", "0", "2", "0", "768", "0",
  ]
  static let putBack = "left: log-dirty off, 0 pages lent\n"
  static let pass = "return { filter = function() end }"
  static let stops = [SIGINT, SIGTERM, SIGHUP]

  /// A receiver keeps its end open and never reads, and libxl dies.
  @Test(.timeLimit(.minutes(5)), arguments: [false, true]) func silentReceiver(isFiltered: Bool)
    throws
  {
    let folder = try Folder(isFiltered ? ["f.lua": Self.pass] : [:])
    let helper = try StalledHelper(Self.migrate, folder: folder.path)
    try helper.serve()
    helper.hangUp()
    let status = helper.end()
    #expect(status == 254 << 8 || status == 255 << 8, "\(status.map { "\($0)" } ?? "hangs")")
    #expect(try helper.standardError.hasSuffix(Self.putBack))
  }

  /// The same, and libxl tells the helper to stop.
  @Test(.timeLimit(.minutes(5)), arguments: stops, [false, true])
  func stoppedAtTheReceiver(signal: Int32, isFiltered: Bool) throws {
    let folder = try Folder(isFiltered ? ["f.lua": Self.pass] : [:])
    let helper = try StalledHelper(Self.migrate, folder: folder.path, patience: 60_000)
    try helper.serve()
    kill(helper.id, signal)
    try helper.serve { $0.kind == .complete }
    #expect(helper.result == -1)
    helper.hangUp()
    #expect(helper.end() != nil, "hangs")
    #expect(try helper.standardError.hasSuffix(Self.putBack))
  }

  /// libxl lives, and answers nothing: once the helper is to stop, it does not wait for ever.
  @Test(.timeLimit(.minutes(5)), arguments: stops, [false, true])
  func silentManager(signal: Int32, isReading: Bool) throws {
    let helper = try StalledHelper(Self.migrate, isNarrow: !isReading)
    if isReading {
      try helper.serve { $0.kind == .switchQEMULogDirty }
    }
    helper.awaitSleep()
    kill(helper.id, signal)
    #expect(helper.end() == 254 << 8)
    #expect(try helper.standardError.hasSuffix(Self.putBack))
  }

  /// A restore from a sender that says nothing more: it dies of what libxl sends, and of libxl's end.
  @Test(.timeLimit(.minutes(5)), arguments: stops + [0]) func silentSender(signal: Int32) throws {
    let helper = try StalledHelper(Self.restore)
    try helper.serve()
    if signal == 0 {
      helper.hangUp()
      #expect(helper.end() == 254 << 8)
      #expect(try helper.standardError == "xensave-lua: helper: libxl is gone\n")
    } else {
      kill(helper.id, signal)
      #expect(helper.end() == signal)
    }
  }

  /// A filter that reads pages while the sender pauses inside a record for longer than a filter may
  /// compute: the time is the network's.
  @Test(
    .timeLimit(.minutes(5)),
    arguments: ["b:payload()", "for p, v in b:each() do v:u8(0) end"])
  func pausedSender(touch: String) throws {
    let domain = try SimDomain(SimDomain.Configuration(frameCount: 200))
    let file = TemporaryFile()
    let number = open(file.path, O_RDWR)
    let sink = Sink(try Descriptor(taking: number, path: "image"), path: "image")
    _ = try Save(domain, to: sink, mode: .nonLive).run()
    let image = try Source(opening: file.path).read(1 << 22)
    let folder = try Folder([
      "f.lua": "return { side = 'restore', filter = { PAGE_DATA = function(b) \(touch) end } }"
    ])
    let helper = try StalledHelper(Self.restore, folder: folder.path, deadline: 1000)
    let sender = TestThread { [stream = helper.stream] in
      for chunk in [image[..<100_000], image[100_000...]] {
        var left = Array(chunk)
        while !left.isEmpty, case let count = write(stream, left, left.count), count > 0 {
          left.removeFirst(count)
        }
        if chunk.startIndex == 0 {
          sleep(nanoseconds: 3_000_000_000)
        }
      }
    }
    while helper.result == nil { try helper.serve { $0.kind == .complete } }
    sender.join()
    let errors = try helper.standardError
    #expect(helper.result == 0, "\(errors)")
    helper.hangUp()
    #expect(helper.end() != nil)
  }

  /// A file of the configuration that is a FIFO is refused, and not waited for.
  @Test(.timeLimit(.minutes(1))) func configuredFIFO() throws {
    let folder = try Folder()
    #expect(mkfifo(folder.path + "/f.lua", 0o600) == 0)
    do {
      _ = try HelperConfiguration(
        folder: folder.path, HelperFacts(id: 7, name: "web1", type: "pvh"), .save)
      Issue.record("it was read")
    } catch { #expect("\(error)".contains("expected a file"), "\(error)") }
  }
}

@Suite struct FilterTimeTests {
  private final class Answer: @unchecked Sendable {
    // Set by the thread, and read after it.
    var isDone = false
    var used: UInt64 = 0
  }

  private static func ends() throws -> (FilterEnds, other: Int32) {
    let pipe = try PipeEnds()
    return (FilterEnds([pipe.writing]), pipe.reading)
  }

  /// What a script waits for is not its time.
  @Test(.timeLimit(.minutes(5))) func waiting() throws {
    let answer = Answer()
    let (ends, other) = try Self.ends()
    let thread = TestThread {
      let time = FilterTime()
      time.begin()
      let watch = try? FilterWatch(time, limit: 100_000_000, ends: ends)
      sleep(nanoseconds: 2_000_000_000)
      #expect(watch?.isStuck == false)
      answer.used = time.used
      time.end()
      #expect(time.used == 0)
    }
    thread.join()
    #expect(answer.used < 1_000_000_000)
    ends.close()
    close(other)
  }

  /// What it computes is, and where it cannot be stopped the stream ends.
  @Test(.timeLimit(.minutes(5))) func computing() throws {
    let (ends, other) = try Self.ends()
    let answer = Answer()
    let thread = TestThread {
      // The signal that stops scripts reaches a thread that has none.
      var set = sigset_t()
      sigemptyset(&set)
      sigaddset(&set, __libc_current_sigrtmin() + 5)
      pthread_sigmask(SIG_BLOCK, &set, nil)
      let time = FilterTime()
      time.begin()
      let watch = try? FilterWatch(time, limit: 50_000_000, ends: ends)
      var byte: UInt8 = 0
      var entry = pollfd(fd: other, events: Int16(POLLIN), revents: 0)
      while poll(&entry, 1, 0) == 0 {}
      // The other end of the stream has ended.
      #expect(read(other, &byte, 1) == 0)
      #expect(watch?.isStuck == true)
      answer.isDone = true
    }
    thread.join()
    #expect(answer.isDone)
    ends.close()
    close(other)
  }
}
