// Policies: what they are asked and when, and what the loop makes of the answer.

import Format
import Live
import SimDomain
import SystemIO
import Testing

/// Notes every call.
final class Recording: Policy {
  var calls: [PrecopyStats] = []
  var events: [String] = []
  let answer: (Int, PrecopyStats) -> PrecopyDecision

  init(_ answer: @escaping (Int, PrecopyStats) -> PrecopyDecision) { self.answer = answer }

  func begin(_ info: DomainInfo, frameCount: Int) { events.append("begin \(frameCount)") }
  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    calls.append(stats)
    return answer(calls.count, stats)
  }
  func suspended(_ stats: PrecopyStats) { events.append("suspended \(stats.iteration)") }
  func end(_ outcome: SaveOutcome) { events.append("\(outcome)") }
}

@Suite struct PolicyTests {
  func save(
    _ policy: any Policy, _ workload: Workload = .steady(writesPerSecond: 100_000)
  ) throws -> (SimDomain, SaveResult) {
    let domain = try SimDomain(.small(workload))
    let result = try Save(domain, to: nowhere(), mode: .live(policy), clock: domain.clock).run()
    return (domain, result)
  }

  /// Five rounds while there are 50 dirty pages or more, then the final one.
  @Test func builtinStopsAfterFive() throws {
    let (domain, result) = try save(
      XenDefaultPolicy(),
      Workload([.init(writesPerSecond: 100_000, burstWrites: 60, burstInterval: 1_000_000)]))
    #expect(result.trace.rounds.map(\.kind) == [.live, .live, .live, .live, .live, .final])
    #expect(result.trace.rounds.map(\.index) == [0, 1, 2, 3, 4, 5])
    #expect(domain.callCounts[.cleanLogDirty] == 5)
  }

  /// An idle guest: round 0, one clean that finds nothing, and an empty final round.
  @Test func builtinStopsWhenClean() throws {
    let (_, result) = try save(XenDefaultPolicy(), .idle)
    #expect(result.trace.rounds.map(\.kind) == [.live, .final])
    #expect(result.trace.rounds.map(\.dirtyCount) == [2500, 0])
    #expect(result.pageCount == 2300)
  }

  /// Bytes are counted in saves and in replays of them.
  @Test func bytesAreCounted() throws {
    let policy = Recording { _, stats in stats.iteration < 3 ? .continuePrecopy : .stopAndCopy }
    let (_, result) = try save(policy)
    let sums = result.trace.rounds.reduce(into: [UInt64]()) { $0.append(($0.last ?? 0) + $1.bytes) }
    let counted = policy.calls.filter { !$0.isBeforeRound }.compactMap(\.byteCount)
    // The headers come before the first round.
    let heads = counted[0] - sums[0]
    #expect(counted.count == 3 && heads > 0 && heads < 10_000)
    #expect(counted == sums.prefix(3).map { $0 + heads })
    let again = Recording { _, stats in stats.iteration < 3 ? .continuePrecopy : .stopAndCopy }
    let replay = try #require(Replay(result.trace, bytesPerSecond: 100_000_000))
    let bytes = replay.run(again).bytes
    let last = try #require(again.calls.last?.byteCount)
    #expect(last > 0 && last <= bytes)
  }

  @Test func builtinLimits() {
    var stats = PrecopyStats()
    #expect(XenDefaultPolicy().decide(stats) == .continuePrecopy)
    for (iteration, dirty, verdict) in [
      (0, 49, PrecopyDecision.stopAndCopy), (0, 50, .continuePrecopy), (4, 50, .continuePrecopy),
      (5, 50, .stopAndCopy),
    ] {
      stats.iteration = iteration
      stats.dirtyCount = dirty
      #expect(XenDefaultPolicy().decide(stats) == verdict)
    }
    (stats.dirtyCount, stats.isBeforeRound) = (nil, false)
    stats.iteration = 4
    #expect(XenDefaultPolicy().decide(stats) == .continuePrecopy)
  }

  /// Asked twice a round, with what Xen says each time.
  @Test func callsAreXens() throws {
    let policy = Recording { call, _ in call == 5 ? .stopAndCopy : .continuePrecopy }
    let (_, result) = try save(policy)
    #expect(policy.calls.map(\.iteration) == [0, 1, 1, 2, 2])
    #expect(policy.calls.map(\.isBeforeRound) == [true, false, true, false, true])
    let dirty = result.trace.rounds.map(\.dirtyCount)
    #expect(policy.calls.map(\.dirtyCount) == [2500, nil, dirty[1], nil, dirty[2]])
    #expect(
      policy.calls.map(\.totalWritten)
        == [0, 2500, 2500, 2500 + dirty[1], 2500 + dirty[1]])
    // Told to stop before a round, that round still goes out while the guest runs.
    #expect(result.trace.rounds.map(\.kind) == [.live, .live, .live, .final])
    #expect(policy.events == ["begin 2500", "suspended 2", "complete"])
    #expect(policy.calls[1].bandwidth > 0 && policy.calls[2].dirtyRate > 0)
    #expect(policy.calls.map(\.elapsed) == policy.calls.map(\.elapsed).sorted())
  }

  /// Told to stop after a round, no other one is sent.
  @Test func stopAfterARound() throws {
    let policy = Recording { call, _ in call == 4 ? .stopAndCopy : .continuePrecopy }
    let (domain, result) = try save(policy)
    #expect(result.trace.rounds.map(\.kind) == [.live, .live, .final])
    #expect(domain.callCounts[.cleanLogDirty] == 2)
  }

  @Test(arguments: 1...4) func abortLeavesTheDomain(call: Int) throws {
    let policy = Recording { number, _ in number == call ? .abort("enough") : .continuePrecopy }
    let domain = try SimDomain(.small(.steady(writesPerSecond: 100_000)))
    let error = #expect(throws: XensaveError.self) {
      try Save(domain, to: nowhere(), mode: .live(policy), clock: domain.clock).run()
    }
    #expect(error?.word == "aborted")
    #expect(error?.message == "the policy gave up: enough")
    #expect(domain.shutdown == nil && domain.callCounts[.suspend] == nil)
    expectClean(domain)
    #expect(policy.events.last == "aborted(\"the policy gave up: enough\")")
    // Nothing is sent before the first call; three batches for round 0, and more after that.
    #expect(((domain.callCounts[.map] ?? 0) > 3) == (call == 4))
    if call < 4 { #expect(domain.callCounts[.map] ?? 0 == (call == 1 ? 0 : 3)) }
  }

  @Test func downtimeBudget() throws {
    // 2500 pages in 10 ms; 100 000 writes a second dirty about 1000 of them meanwhile.
    let (_, result) = try save(DowntimePolicy(budget: 2_000_000))
    #expect(result.trace.outcome == "complete")
    #expect(result.trace.rounds.last.map { $0.end - $0.begin } ?? .max < 4_000_000)
    // A guest that dirties as fast as the link can: no hope.
    let domain = try SimDomain(.small(.steady(writesPerSecond: 10_000_000)))
    let error = #expect(throws: XensaveError.self) {
      try Save(
        domain, to: nowhere(), mode: .live(DowntimePolicy(budget: 1000)), clock: domain.clock
      ).run()
    }
    #expect(error?.word == "aborted")
  }

  @Test func verdictCodes() {
    for verdict in [PrecopyDecision.continuePrecopy, .stopAndCopy, .abort("")] {
      #expect(PrecopyDecision(code: verdict.code) == verdict)
    }
    #expect(PrecopyDecision(code: 2) == nil)
  }
}
