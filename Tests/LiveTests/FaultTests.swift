// What is left of a domain when a save of it fails: all of it.

import Bytes
import Format
import Glibc
import Live
import SimDomain
import SystemIO
import Testing

/// The three ways of saving.
enum Way: String, CaseIterable, CustomTestStringConvertible {
  case live, nonLive, checkpointed
  var testDescription: String { rawValue }

  func mode(_ domain: SimDomain, _ policy: any Policy = XenDefaultPolicy()) -> Save.Mode {
    switch self {
    case .live: .live(policy)
    case .nonLive: .nonLive
    case .checkpointed:
      .checkpointed(
        policy,
        DomainCheckpoints(domain) { count in
          domain.clock.advance(by: 5_000_000)
          return count < 3
        })
    }
  }
}

@Suite struct FaultTests {
  static let busy = Workload.steady(writesPerSecond: 20_000)

  /// How often a save that works passes each point.
  static func calls(_ way: Way) throws -> [Hook: Int] {
    let domain = try SimDomain(.small(busy))
    _ = try Save(
      domain, to: nowhere(), mode: way.mode(domain), isVerifying: way == .live,
      clock: domain.clock
    ).run()
    return domain.callCounts
  }

  /// Each hook fails, at each of its calls.
  @Test(arguments: Way.allCases) func eachHookAtEachCall(way: Way) throws {
    let all = try FaultTests.calls(way)
    // These are called after the end only: a failure there is told, and the image is good.
    let cleaning: Set<Hook> = [.disableLogDirty, .resume]
    for (hook, count) in all.sorted(by: { $0.key.rawValue < $1.key.rawValue })
    where !cleaning.contains(hook) {
      for call in 1...count {
        let isLastSwitch = hook == .switchEmulatorLogDirty && call == 2
        let isRetried = hook == .enableLogDirty
        // After the last checkpoint: a look at whether the domain has to be let go.
        let isLastLook = way == .checkpointed && hook == .info && call == count
        if isLastSwitch || isLastLook { continue }
        let domain = try SimDomain(.small(FaultTests.busy))
        domain.faults.arm(.hook(hook), at: call, times: isRetried ? 2 : 1, errno: 12)
        let save = Save(
          domain, to: try nowhere(), mode: way.mode(domain), isVerifying: way == .live,
          clock: domain.clock)
        let error = #expect(throws: XensaveError.self, "\(hook) \(call)") { try save.run() }
        expectRunsOn(domain, "\(hook) \(call) of \(count)")
        guard let error else { continue }
        guard error.operation == hook.rawValue, error.errno == 12 else {
          Issue.record("\(hook) \(call): got \(error)")
          continue
        }
        #expect(error.stage != nil && error.errno == 12 && error.word == hook.rawValue)
        #expect(error.aftermath.isEmpty, "\(error)")
      }
    }
  }

  /// The domain works as if nobody had tried.
  func expectRunsOn(_ domain: SimDomain, _ what: String) {
    domain.faults.disarm()
    #expect(!domain.isLogDirtyOn, "\(what)")
    #expect(!domain.isEmulatorLogDirtyOn, "\(what)")
    #expect(domain.openLeaseCount == 0, "\(what)")
    #expect(domain.shutdown == nil, "\(what)")
    #expect(domain.runningVCPUs == [0, 1], "\(what)")
    let before = domain.writeCount
    domain.clock.advance(by: 10_000_000)
    domain.catchUp()
    #expect(domain.writeCount > before, "\(what)")
    // And it can be saved now.
    #expect(throws: Never.self) {
      try Save(domain, to: nowhere(), mode: .nonLive, clock: domain.clock).run()
    }
  }

  struct Expectation: CustomTestStringConvertible {
    let point: FaultPoint
    let call: Int
    let step: String
    let code: String
    var testDescription: String { "\(point) \(call)" }
  }

  /// Errors name the step.
  @Test(arguments: [
    Expectation(point: .hook(.info), call: 1, step: "setup", code: "info"),
    Expectation(point: .hook(.state), call: 1, step: "static data", code: "state"),
    Expectation(point: .hook(.map), call: 2, step: "live round 0", code: "map"),
    Expectation(point: .hook(.map), call: 4, step: "live round 1", code: "map"),
    Expectation(point: .pageVanishes, call: 1, step: "live round 0", code: "map"),
    Expectation(point: .unknownType, call: 3, step: "live round 0", code: "page_type"),
    Expectation(point: .hook(.suspend), call: 1, step: "suspending", code: "suspend"),
    Expectation(point: .silentSuspend, call: 1, step: "suspending", code: "not_suspended"),
    Expectation(point: .shortBitmap, call: 1, step: "live round 0", code: "log_dirty"),
    Expectation(point: .domainChanges, call: 2, step: "live round 1", code: "checkUnchanged"),
    Expectation(point: .hook(.state), call: 3, step: "end-of-checkpoint records", code: "state"),
  ])
  func errorsNameTheStep(expected: Expectation) throws {
    let domain = try SimDomain(.small(FaultTests.busy))
    domain.faults.arm(expected.point, at: expected.call)
    let error = #expect(throws: XensaveError.self) {
      try Save(
        domain, to: nowhere(), mode: .live(XenDefaultPolicy()), clock: domain.clock
      ).run()
    }
    #expect(error?.stage == expected.step)
    #expect(error?.word == expected.code)
    #expect(error?.description.hasPrefix(expected.step + ": ") == true)
    expectRunsOn(domain, "\(expected.point)")
  }

  /// A domain that is destroyed under a save, after any number of calls.
  @Test(arguments: Way.allCases) func domainDies(way: Way) throws {
    let total = try FaultTests.calls(way).values.reduce(0, +)
    for call in 1..<total {
      let domain = try SimDomain(.small(FaultTests.busy))
      domain.faults.arm(.domainDies, at: call)
      do {
        // The last calls only put things back: the image is good, and it says what failed.
        let result = try Save(
          domain, to: nowhere(), mode: way.mode(domain), isVerifying: way == .live,
          clock: domain.clock
        ).run()
        #expect(!result.aftermath.isEmpty)
      } catch let error as XensaveError {
        #expect(error.errno == 3)
        if domain.callCounts[.enableLogDirty] != nil { #expect(!error.aftermath.isEmpty) }
      }
      #expect(domain.openLeaseCount == 0)
    }
  }

  /// Log-dirty that somebody has left on is switched off and on again.
  @Test func logDirtyIsTriedTwice() throws {
    let domain = try SimDomain(.small(FaultTests.busy))
    domain.faults.arm(.hook(.enableLogDirty), at: 1, times: 1)
    _ = try Save(domain, to: nowhere(), mode: .live(XenDefaultPolicy()), clock: domain.clock).run()
    #expect(domain.callCounts[.enableLogDirty] == 2)
    #expect(domain.callCounts[.disableLogDirty] == 2)
    expectClean(domain)
  }

  /// What fails while cleaning up is told, after the reason.
  @Test func aftermathIsTold() throws {
    let domain = try SimDomain(.small(FaultTests.busy))
    domain.faults.arm(.hook(.state), at: 4)
    domain.faults.arm(.hook(.disableLogDirty))
    domain.faults.arm(.hook(.resume))
    let error = #expect(throws: XensaveError.self) {
      try Save(
        domain, to: nowhere(), mode: .live(XenDefaultPolicy()), clock: domain.clock
      ).run()
    }
    #expect(error?.aftermath.count == 2)
    #expect(
      error?.description
        == "end-of-checkpoint records: state: refused on request; then switching log-dirty off "
        + "failed: disableLogDirty: refused on request; then resuming the domain failed: resume: "
        + "refused on request")
  }

  /// A reader that goes away: EPIPE at any write.
  @Test(arguments: [0, 1, 40, 100_000, 5_000_000]) func brokenPipe(bytes: Int) throws {
    ignoreWriteSignals()
    let domain = try SimDomain(.small(FaultTests.busy))
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    let reader = ends[0]
    let thread = Drain(reader, bytes: bytes)
    let sink = Sink(try Descriptor(taking: ends[1], path: "pipe"), path: "pipe")
    let error = #expect(throws: XensaveError.self) {
      try Save(domain, to: sink, mode: .live(XenDefaultPolicy()), clock: domain.clock).run()
    }
    thread.join()
    #expect(error?.word == "epipe")
    #expect(error?.stage != nil)
    expectRunsOn(domain, "\(bytes)")
  }

  /// A domain that stood still before stays so, even if the save fails.
  @Test func suspendedStaysSuspended() throws {
    let domain = try SimDomain(.small())
    try domain.suspend()
    domain.faults.arm(.hook(.state), at: 4)
    #expect(throws: XensaveError.self) {
      try Save(domain, to: nowhere(), mode: .nonLive, clock: domain.clock).run()
    }
    #expect(domain.shutdown == .suspend)
    #expect(domain.callCounts[.resume] == nil)
  }

  @Test func faultNames() {
    for point in FaultPoint.ofSaves { #expect(FaultPoint(name: point.description) == point) }
    #expect(FaultPoint(name: "no-such-point") == nil)
  }
}

/// A thread that reads so many bytes of a pipe and closes it.
final class Drain: @unchecked Sendable {
  private var thread = pthread_t()
  private let descriptor: Int32
  private let bytes: Int

  init(_ descriptor: Int32, bytes: Int) {
    self.descriptor = descriptor
    self.bytes = bytes
    let context = Unmanaged.passRetained(self).toOpaque()
    pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        Unmanaged<Drain>.fromOpaque(context).takeRetainedValue().run()
        return nil
      }, context)
  }

  private func run() {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    var rest = bytes
    while rest > 0 {
      let got = read(descriptor, &buffer, min(rest, buffer.count))
      if got <= 0 { break }
      rest -= got
    }
    close(descriptor)
  }

  func join() { pthread_join(thread, nil) }
}
