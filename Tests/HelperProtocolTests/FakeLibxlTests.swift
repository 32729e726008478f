// A save on behalf of a libxl that answers as the real one did.

import Bytes
import Format
import Glibc
import HelperProtocol
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

/// libxl's end of the pipes, without libxl: answers that were recorded or made up wait in one pipe;
/// what the helper says gathers in a file.
final class FakeLibxl {
  let channel: HelperChannel
  private let said = TemporaryFile()
  private let release: HelperRelease
  private let output: Sink
  /// Messages that `heard` has given.
  private var heardCount = 0

  init(
    answers: [Int32], callbacks: Set<HelperMessageKind>, release: HelperRelease = .xen414
  ) throws {
    var from: [Int32] = [-1, -1]
    #expect(pipe(&from) == 0)
    // A file: nobody reads while the helper writes, and a pipe may hold 4 KiB only.
    let number = open(said.path, O_WRONLY | O_APPEND | O_CLOEXEC)
    let toLibxl = Sink(try Descriptor(taking: number, path: "stdout"), path: "stdout")
    let answering = Sink(try Descriptor(taking: from[1], path: "answers"), path: "answers")
    channel = HelperChannel(
      output: toLibxl, input: Source.taking(from[0]), release: release, callbacks: callbacks)
    self.release = release
    output = answering
    for answer in answers { try peer().reply(answer) }
  }

  /// All that was said up to now, after a last word that ends it.
  func heard() throws -> [HelperMessage] {
    let mark = HelperMessage.log(.debug, context: "test", "end")
    try channel.send(mark)
    let peer = try peer()
    var messages: [HelperMessage] = []
    while let (message, _) = try peer.next() { messages.append(message) }
    defer { heardCount = messages.count }
    return messages.dropFirst(heardCount).filter { $0 != mark }
  }

  private func peer() throws -> HelperPeer {
    HelperPeer(input: try Source(opening: said.path), output: output, release: release)
  }
}

extension Source {
  static func taking(_ number: Int32) -> Source {
    do {
      return try Source(Descriptor(taking: number, path: "pipe"), path: "pipe")
    } catch { fatalError("\(error)") }
  }
}

@Suite struct FakeLibxlTests {
  static let saving: Set<HelperMessageKind> = [.suspend, .switchQEMULogDirty]

  func sink() throws -> Sink {
    Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
  }

  /// The PVH guest of the recording, simulated: what it says through the channel is what the stock
  /// helper said, but for the lines for the log.
  @Test func savesAsTheStockHelperDid() throws {
    let recording = Recording(name: "pvh-save-c.0")
    let recorded = try recording.messages().filter { $0.kind != .log }
    let total = try #require(recorded.last { $0.kind == .progress && $0.number(3) ?? 0 > 0 })
    var configuration = SimDomain.Configuration(frameCount: Int(total.number(3) ?? 0))
    configuration.id = 2
    let image = traffic.replacing("helper-traffic/", with: "pvh-4m-1v-tiny.xlsave")
    let domain = try SimDomain(restoring: Source(opening: image), configuration)
    try domain.suspend()
    let answers = try recording.file("from_libxl")
    let libxl = try FakeLibxl(
      answers: stride(from: 0, to: answers.count, by: 4).map {
        Int32(bitPattern: answers.load($0, as: UInt32.self))
      }, callbacks: FakeLibxlTests.saving)
    let helped = HelpedDomain(domain, id: 2, channel: libxl.channel)
    _ = try Save(
      helped, to: sink(), mode: .nonLive, clock: domain.clock, progress: libxl.channel.report
    ).run()
    #expect(try libxl.channel.call(.complete(result: 0, errno: 0)) == 0)
    let heard = try libxl.heard()
    #expect(heard.count == recorded.count)
    for (index, pair) in zip(heard, recorded).enumerated() where pair.0 != pair.1 {
      Issue.record("message \(index): expected \(pair.1), got \(pair.0)")
      break
    }
    let bytes = { (messages: [HelperMessage]) in
      messages.reduce(into: [UInt8]()) { $0 += $1.encoded(.xen414) ?? [] }
    }
    #expect(bytes(heard) == bytes(recorded))
  }

  /// Remus: suspend, postcopy and checkpoint in turn, as often as libxl says yes.
  @Test func checkpointsAsTheStockHelperDid() throws {
    let recording = Recording(name: "pv-remus.0")
    let kinds = try recording.messages().filter(\.hasReply).map(\.kind)
    let domain = try SimDomain(SimDomain.Configuration(frameCount: 600))
    // libxl's answers: the last checkpoint is the end (there it died; here it says no).
    let libxl = try FakeLibxl(
      answers: [0] + kinds.map { _ in 1 }.dropLast() + [0, 0],
      callbacks: [.suspend, .postcopy, .checkpoint, .switchQEMULogDirty])
    final class Manager: Checkpoints {
      let inner: HelperCheckpoints
      let domain: SimDomain
      init(_ inner: HelperCheckpoints, _ domain: SimDomain) {
        self.inner = inner
        self.domain = domain
      }
      func postcopy() throws -> Bool {
        try domain.resume()
        return try inner.postcopy()
      }
      func checkpoint(_ count: Int) throws -> Bool {
        let isGoingOn = try inner.checkpoint(count)
        if isGoingOn { try domain.suspend() }
        return isGoingOn
      }
    }
    let helped = HelpedDomain(domain, id: 1, channel: libxl.channel)
    let policy = ClosurePolicy { stats in
      // libxl suspends the domain after the scenes, when it is asked to.
      if !stats.isBeforeRound { try? domain.suspend() }
      return stats.isBeforeRound ? .continuePrecopy : .stopAndCopy
    }
    let result = try Save(
      helped, to: sink(),
      mode: .checkpointed(policy, Manager(HelperCheckpoints(libxl.channel), domain)),
      clock: domain.clock, progress: libxl.channel.report
    ).run()
    #expect(result.checkpointCount == kinds.count { $0 == .checkpoint })
    let heard = try libxl.heard().filter(\.hasReply).map(\.kind)
    #expect(heard == [.switchQEMULogDirty] + kinds + [.switchQEMULogDirty])
  }

  /// libxl says no, or says nothing any more.
  @Test(arguments: [
    ([0, 0, 0] as [Int32], "suspend"), ([-1], "switchEmulatorLogDirty"),
  ])
  func refusals(answers: [Int32], code: String) throws {
    let domain = try SimDomain(SimDomain.Configuration(frameCount: 600))
    let libxl = try FakeLibxl(answers: answers, callbacks: FakeLibxlTests.saving)
    let helped = HelpedDomain(domain, id: 1, channel: libxl.channel)
    let error = #expect(throws: XensaveError.self) {
      try Save(helped, to: sink(), mode: .live(XenDefaultPolicy()), clock: domain.clock).run()
    }
    #expect(error?.word == code)
    #expect(!domain.isLogDirtyOn && domain.callCounts[.resume] == nil)
    let kinds = try libxl.heard().map(\.kind)
    #expect(
      kinds
        == (code == "suspend"
          ? [.switchQEMULogDirty, .suspend, .switchQEMULogDirty]
          : [
            .switchQEMULogDirty
          ]))
  }

  @Test func libxlIsGone() throws {
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    close(ends[1])
    let channel = HelperChannel(
      output: try sink(), input: Source.taking(ends[0]), release: .xen414, callbacks: [.suspend])
    let error = #expect(throws: XensaveError.self) { try channel.call(.suspend) }
    #expect(error?.code == .noReply)
  }

  /// What libxl is not asked for must not be called: a helper that waits would wait for ever.
  @Test func unansweredCallbacks() async {
    await #expect(processExitsWith: .failure) {
      let null = Sink(try Descriptor.open("/dev/null", isWritable: true), path: "/dev/null")
      let channel = HelperChannel(
        output: null, input: try Source(opening: "/dev/null"), release: .xen414, callbacks: [])
      _ = try channel.call(.suspend)
    }
  }

  /// SIGTERM: the next write fails with EBADF, and the save takes its usual way out.
  @Test func abort() throws {
    let domain = try SimDomain(SimDomain.Configuration(frameCount: 3000))
    let number = open("/dev/null", O_WRONLY | O_CLOEXEC)
    let sink = Sink(try Descriptor(taking: number, path: "stream"), path: "stream")
    let policy = ClosurePolicy { stats in
      if !stats.isBeforeRound {
        domain.write(5, 1)
        #expect(HelperAbort.divert(number))
      }
      return .continuePrecopy
    }
    let error = #expect(throws: XensaveError.self) {
      try Save(domain, to: sink, mode: .live(policy), clock: domain.clock).run()
    }
    #expect(error?.word == "ebadf")
    #expect(error?.stage == "\(Step.precopy(round: 1))")
    #expect(!domain.isLogDirtyOn && domain.shutdown == nil)
  }

  @Test func abortBySignal() async {
    await #expect(processExitsWith: .success) {
      let number = open("/dev/null", O_WRONLY)
      try HelperAbort.onSIGTERM([number])
      kill(getpid(), SIGTERM)
      // Another thread may take the signal: a moment later.
      for _ in 0..<1000 {
        if write(number, "x", 1) == -1 { exit(errno == EBADF ? 0 : 1) }
        usleep(2000)
      }
      exit(2)
    }
  }
}
