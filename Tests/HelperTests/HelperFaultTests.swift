// What is left of a domain when a helper's save fails: all of it; and what is left of the stream: no
// image.

import Format
import Glibc
import HelperProtocol
import ImageCheck
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

/// The saves that libxl asks for.
enum Saving: String, CaseIterable, CustomTestStringConvertible {
  case save, migrate, remus
  var testDescription: String { rawValue }

  /// The helper's arguments; the stream's descriptor is `number`.
  func arguments(_ number: Int32) throws -> HelperArguments {
    let words: [String] =
      switch self {
      case .save: ["\(number)", "-1", "1", "0", "136", "0"]
      case .migrate: ["\(number)", "-1", "1", "1", "136", "0"]
      case .remus: ["\(number)", "-1", "1", "1", "184", "1"]
      }
    return try HelperArguments(parsing: ["--save-domain"] + words)
  }
}

/// One run of a helper over a simulated domain, into a file.
final class HelperRun {
  let domain: SimDomain
  let manager: FakeManager
  let host: SimHelperHost
  let arguments: HelperArguments
  let file = TemporaryFile()
  let descriptor: Int32
  var folder = ""

  init(_ saving: Saving, _ domain: SimDomain? = nil, to number: Int32? = nil) throws {
    self.domain = try domain ?? SimDomain(HelperRun.configuration())
    descriptor = number ?? open(file.path, O_RDWR | O_CLOEXEC)
    arguments = try saving.arguments(descriptor)
    manager = try FakeManager(self.domain, arguments)
    host = SimHelperHost(self.domain)
    if saving == .remus {
      // Three checkpoints, and then the other side is gone.
      manager.answer = { message, count in message.kind == .checkpoint && count == 3 ? 0 : nil }
    }
  }

  deinit { close(descriptor) }

  static func configuration() -> SimDomain.Configuration {
    var configuration = SimDomain.Configuration(frameCount: 2500)
    configuration.holes = [700..<900]
    configuration.vcpuCount = 2
    configuration.workload = .steady(writesPerSecond: 20_000)
    return configuration
  }

  @discardableResult
  func run() -> Int32 {
    manager.run {
      HelperSession(arguments, manager.channel, host, configurationFolder: folder).run()
    }
  }

  /// Whether what was written would be taken for a saved domain.
  var isImage: Bool {
    get throws {
      guard try Source(opening: file.path).byteCount ?? 0 > 0 else { return false }
      do { return try Verifier(Source(opening: file.path)).run().isGood } catch { return false }
    }
  }

  /// The source runs on as if there had been no save.
  func expectUntouched(_ comment: String, _ location: SourceLocation = #_sourceLocation) {
    let note = Comment(rawValue: comment)
    #expect(!domain.isLogDirtyOn, note, sourceLocation: location)
    #expect(!domain.isEmulatorLogDirtyOn, note, sourceLocation: location)
    #expect(domain.openLeaseCount == 0, note, sourceLocation: location)
    #expect(domain.shutdown == nil, note, sourceLocation: location)
    #expect(!domain.runningVCPUs.isEmpty, note, sourceLocation: location)
  }
}

@Suite struct HelperFaultTests {
  @Test(arguments: Saving.allCases) func good(saving: Saving) throws {
    let run = try HelperRun(saving)
    #expect(run.run() == 0)
    #expect(run.manager.result == 0)
    #expect(!run.domain.isLogDirtyOn && !run.domain.isEmulatorLogDirtyOn)
    #expect(run.domain.shutdown == .suspend || saving == .remus)
    if saving != .remus { #expect(try run.isImage) }
  }

  /// Each hook fails at each of its calls.
  @Test(arguments: Saving.allCases) func eachHookAtEachCall(saving: Saving) throws {
    let whole = try HelperRun(saving)
    _ = whole.run()
    // Called after the end only, where a failure is told and the stream is good.
    let isCleaning: Set<Hook> = [.disableLogDirty, .resume]
    for (hook, count) in whole.domain.callCounts.sorted(by: { $0.key.rawValue < $1.key.rawValue })
    where !isCleaning.contains(hook) {
      for call in 1...count {
        let run = try HelperRun(saving)
        run.domain.faults.arm(
          .hook(hook), at: call, times: hook == .enableLogDirty ? 2 : 1, errno: 12)
        let comment = "\(saving): \(hook.rawValue), call \(call)"
        #expect(run.run() == 0, "\(comment)")
        // What fails after the last byte only: the save is good, and a line says so.
        if run.manager.result == 0 {
          #expect(
            run.manager.lines(.warn).contains { $0.contains(hook.rawValue) }
              || saving == .remus, "\(comment)")
          continue
        }
        #expect(run.manager.result == -1, "\(comment)")
        #expect(!run.manager.lines(.error).isEmpty, "\(comment)")
        #expect(try !run.isImage || saving == .remus, "\(comment)")
        if hook == .switchEmulatorLogDirty, call == 2 { continue }
        run.expectUntouched(comment)
      }
    }
  }

  /// libxl says no to each question in turn, or is gone when it is due to answer.
  @Test(arguments: Saving.allCases, [true, false])
  func eachAnswer(saving: Saving, isGone: Bool) throws {
    let whole = try HelperRun(saving)
    _ = whole.run()
    let questions = whole.manager.messages.filter { $0.hasReply && $0.kind != .complete }.count
    for question in 1...questions {
      let run = try HelperRun(saving)
      var asked = 0
      run.manager.answer = { message, count in
        asked += 1
        if asked == question, isGone { throw FakeManager.HangUp() }
        if asked == question { return message.kind == .switchQEMULogDirty ? -1 : 0 }
        return saving == .remus && message.kind == .checkpoint && count == 3 ? 0 : nil
      }
      let status = run.run()
      let comment = "\(saving), question \(question)"
      // A message that meets the closed pipe ends it as 255, a reply that does not come as 254.
      #expect(isGone ? status == 254 || status == 255 : status == 0, "\(comment)")
      // Nobody is there to resume it.
      if isGone, run.domain.shutdown == .suspend { try run.domain.resume() }
      if run.manager.result != 0 {
        // What libxl was asked for and refused has not been done.
        #expect(!run.domain.isLogDirtyOn && run.domain.openLeaseCount == 0, "\(comment)")
        #expect(run.domain.shutdown == nil, "\(comment)")
      }
      if run.manager.result != 0, saving != .remus {
        let isLast = question == questions
        #expect(try !run.isImage || isLast, "\(comment)")
      }
    }
  }

  /// The stream's reader goes away at seeded places.
  @Test(arguments: Saving.allCases) func brokenPipes(saving: Saving) throws {
    let whole = try HelperRun(saving)
    _ = whole.run()
    let total = try Int(Source(opening: whole.file.path).byteCount ?? 0)
    var random = Seed(0x5EED_0006)
    for _ in 0..<20 {
      let limit = Int.random(in: 0..<total - 1, using: &random)
      var ends: [Int32] = [-1, -1]
      #expect(Glibc.pipe(&ends) == 0)
      let reader = TestThread { [end = ends[0]] in
        var left = limit
        var buffer = [UInt8](repeating: 0, count: 65536)
        while left > 0, case let count = read(end, &buffer, min(left, 65536)), count > 0 {
          left -= count
        }
        close(end)
      }
      let run = try HelperRun(saving, to: ends[1])
      #expect(run.run() == 0)
      reader.join()
      // A pipe takes what nobody reads: an end within that much of the total may not be seen.
      if run.manager.result == 0 {
        #expect(total - limit <= 1 << 20, "limit \(limit)")
        continue
      }
      #expect(run.manager.result == -1)
      run.expectUntouched("\(saving), EPIPE after \(limit)")
    }
  }

  /// A disk that is full, and one that fills up.
  @Test(arguments: [Saving.save, .migrate]) func fullDisks(saving: Saving) throws {
    let full = try HelperRun(saving, to: open("/dev/full", O_WRONLY))
    #expect(full.run() == 0)
    #expect(full.manager.result == -1)
    #expect(full.manager.messages.last { $0.kind == .complete }?.number(1) == UInt64(ENOSPC))
    full.expectUntouched("/dev/full")
  }

  /// SIGTERM at 50 seeded instants, by what its handler does.
  @Test(arguments: [Saving.save, .migrate]) func diversions(saving: Saving) throws {
    var random = Seed(0x5EED_0007)
    let whole = try HelperRun(saving)
    _ = whole.run()
    let calls = whole.domain.callCounts.values.reduce(0, +)
    var failures = 0
    for _ in 0..<50 {
      let instant = Int.random(in: 1..<calls, using: &random)
      let run = try HelperRun(saving)
      let host = DivertingHost(run.domain, at: instant, run.descriptor)
      let status = run.manager.run {
        HelperSession(run.arguments, run.manager.channel, host, configurationFolder: "").run()
      }
      #expect(status == 0)
      guard run.manager.result != 0 else { continue }
      failures += 1
      #expect(run.manager.messages.last { $0.kind == .complete }?.number(1) == UInt64(EBADF))
      run.expectUntouched("\(saving), SIGTERM at call \(instant)")
      #expect(try !run.isImage)
    }
    // The rest of the instants lie after the last byte.
    #expect(failures > 30)
  }

  /// Log-dirty that somebody was killed with is no hindrance for the next save.
  @Test func afterAKill() throws {
    let run = try HelperRun(.migrate)
    try run.domain.enableLogDirty()
    #expect(run.run() == 0)
    #expect(run.manager.result == 0)
    #expect(!run.domain.isLogDirtyOn)
    #expect(try run.isImage)
  }

  /// The receiver refuses when it has everything: libxl resumes the source.
  @Test func lateRefusal() throws {
    let run = try HelperRun(.migrate)
    #expect(run.run() == 0)
    try run.domain.resume()
    run.expectUntouched("late refusal")
  }
}

/// Diverts the stream at the n-th call of any hook, as the handler of SIGTERM does.
final class DivertingHost: HelperHost {
  private let base: SimHelperHost
  private let instant: Int
  private let descriptor: Int32

  init(_ domain: SimDomain, at instant: Int, _ descriptor: Int32) {
    base = SimHelperHost(domain)
    self.instant = instant
    self.descriptor = descriptor
  }

  var clock: any SaveClock { base.clock }
  func facts(_ id: UInt32) throws -> HelperFacts { try base.facts(id) }
  func domain(_ arguments: HelperArguments) throws -> (any Domain)? {
    var left = instant
    return HookedDomain(base.simulated) { [descriptor] _ in
      left -= 1
      if left == 0 { #expect(HelperAbort.divert(descriptor)) }
    }
  }
  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws {}
  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) { (0, 0) }
}
