// Traces: written, read, and replayed with numbers that were worked out by hand.

import Format
import Live
import SimDomain
import SystemIO
import Testing

@Suite struct TraceTests {
  @Test func roundTrip() throws {
    let domain = try SimDomain(.small(.steady(writesPerSecond: 100_000)))
    let trace = try Save(
      domain, to: nowhere(), mode: .live(XenDefaultPolicy()), isVerifying: true, clock: domain.clock
    ).run().trace
    #expect(trace.rounds.count > 2)
    #expect(try Trace(parsing: trace.description) == trace)
    // The bytes of all rounds, as the table says.
    for round in trace.rounds {
      #expect(round.bytes == Replay.bytes(dirty: round.dirtyCount, data: round.sentCount))
    }
  }

  /// A save that fails has recorded how far it came, and why it ended.
  @Test func failures() throws {
    let busy = Workload.steady(writesPerSecond: 100_000)
    func trace(_ policy: any Policy, _ hook: Hook?, _ call: Int) throws -> Trace {
      let domain = try SimDomain(.small(busy))
      if let hook { domain.faults.arm(.hook(hook), at: call) }
      let save = Save(domain, to: try nowhere(), mode: .live(policy), clock: domain.clock)
      #expect(throws: XensaveError.self) { try save.run() }
      #expect(try Trace(parsing: save.trace.description) == save.trace)
      #expect(save.trace.end >= save.trace.rounds.last?.end ?? 0)
      return save.trace
    }
    let failed = try trace(XenDefaultPolicy(), .cleanLogDirty, 2)
    #expect(failed.outcome == "cleanLogDirty" && failed.rounds.map(\.index) == [0, 1])
    let given = ClosurePolicy { $0.iteration < 3 ? .continuePrecopy : .abort("no more") }
    let aborted = try trace(given, nil, 0)
    #expect(aborted.outcome == "aborted" && aborted.rounds.count == 3)
    #expect(Replay(aborted, bytesPerSecond: 1_000_000_000) != nil)
    let early = try trace(XenDefaultPolicy(), .info, 1)
    #expect(early.outcome == "info" && early.rounds.isEmpty)
  }

  @Test func text() {
    var trace = Trace(guest: .x86HVM, frameCount: 1024, pageCount: 1000)
    trace.rounds = [
      .init(
        kind: .live, index: 0, dirtyCount: 1024, digest: 0xAB, sentCount: 1000, bytes: 4_104_208,
        begin: 0, end: 34201)
    ]
    trace.suspends = [.init(begin: 34201, end: 35201)]
    trace.end = 35700
    trace.outcome = "complete"
    #expect(
      trace.description == """
        xensave-trace 1
        domain guest=x86_hvm frames=1024 pages=1000
        round kind=live number=0 dirty=1024 digest=0x00000000000000ab sent=1000 octets=4104208 \
        begin=0 end=34201
        suspend begin=34201 end=35201
        end outcome=complete time=35700

        """)
    #expect(trace.downtime == 499)
  }

  @Test(arguments: [
    ("", "line 1"), ("xensave-trace 2\nend outcome=x time=0", "version 1, got 2"),
    ("xensave-trace 1\n", "no end"), ("xensave-trace 1\nend time=1", "outcome: line 2"),
    ("xensave-trace 1\nend outcome=x time=-1", "expected a number"),
    ("xensave-trace 1\nround kind=odd\nend outcome=x time=1", "no such kind"),
    ("xensave-trace 1\ndomain guest=x86_hvm frames=99999999999999999999 pages=1", "a number"),
  ])
  func badText(text: String, problem: String) {
    let error = #expect(throws: (any Error).self) { try Trace(parsing: text) }
    #expect(error.map { "\($0)" }?.contains(problem) == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func unknownLinesArePassedOver() throws {
    let text = """
      xensave-trace 1
      # a comment
      domain guest=x86_pv frames=8 pages=8 extra=1
      weather sunny
      end outcome=complete time=5
      """
    let trace = try Trace(parsing: text)
    #expect(trace.guest == .x86PV && trace.frameCount == 8 && trace.end == 5)
  }

  /// 1000 pages. Round 0 took 1 s and 500 pages were dirtied in it; round 1 took 0.5 s, 100 pages;
  /// then 0.1 s of suspending, in which the rate continued: 120 in all are found.
  static var example: Trace {
    var trace = Trace(guest: .x86HVM, frameCount: 1000, pageCount: 1000)
    func round(
      _ kind: Trace.Kind, _ number: Int, _ dirty: Int, _ begin: UInt64, _ end: UInt64
    ) -> Trace.Round {
      .init(
        kind: kind, index: number, dirtyCount: dirty, digest: 0, sentCount: dirty, bytes: 0,
        begin: begin, end: end)
    }
    trace.rounds = [
      round(.live, 0, 1000, 0, 1_000_000_000),
      round(.live, 1, 500, 1_000_000_000, 1_500_000_000),
      round(.final, 2, 120, 1_600_000_000, 1_720_000_000),
    ]
    trace.suspends = [.init(begin: 1_500_000_000, end: 1_600_000_000)]
    trace.end = 1_720_000_000
    trace.outcome = "complete"
    return trace
  }

  /// By hand: rates are 500 pages/s in [0, 1 s) and 120 / 0.6 s = 200 pages/s after.
  @Test func rates() throws {
    let replay = try #require(Replay(TraceTests.example, bytesPerSecond: 1))
    #expect(replay.dirtied(from: 0, to: 1_000_000_000) == 500)
    #expect(replay.dirtied(from: 0, to: 500_000_000) == 250)
    #expect(replay.dirtied(from: 500_000_000, to: 1_500_000_000) == 250 + 100)
    #expect(replay.dirtied(from: 1_600_000_000, to: 2_600_000_000) == 200)
    #expect(replay.dirtied(from: 0, to: 100_000_000_000) == 1000, "no more than all pages")
  }

  /// By hand, over a link that takes just a second for round 0.
  @Test func replayByHand() throws {
    // Round 0: 16 + 8000 + 4 096 000 = 4 104 016 bytes; at that many a second it takes 1 s.
    let replay = try #require(Replay(TraceTests.example, bytesPerSecond: 4_104_016))
    let result = replay.run(StopAfter(rounds: 2))
    // Round 1: the 500 pages of the first second: 16 + 4000 + 2 048 000 = 2 052 016 bytes,
    // 2 052 016 / 4 104 016 s = 0.500 001 949 s. Suspending takes 0.1 s.
    // Dirtied meanwhile: 0.600 001 949 s at 200 pages/s = 120 pages:
    // 16 + 960 + 491 520 = 492 496 bytes, 0.120 003 431 s.
    #expect(result.outcome == .complete)
    #expect(result.liveRounds == 2)
    #expect(result.dirtyCounts == [1000, 500, 120])
    #expect(result.bytes == 4_104_016 + 2_052_016 + 492_496)
    #expect(result.downtime == 120_003_431)
    #expect(result.total == 1_000_000_000 + 500_001_949 + 100_000_000 + 120_003_431)
    #expect(abs(result.sentRatio - 1.62) < 0.001)
  }

  /// By hand, ten times as fast: round 0 takes 0.1 s (50 pages), and then 50 < 50 does not hold.
  @Test func replayOfBuiltin() throws {
    let replay = try #require(Replay(TraceTests.example, bytesPerSecond: 41_040_160))
    let result = replay.run(XenDefaultPolicy())
    // Round 1: 50 pages, 205 216 bytes, 5.000 370 ms: 2.5 pages, rounded to 3. Below 50: stop,
    // but those 3 are sent first (0.3 ms); suspending takes 0.1 s at 500 pages/s: 50 pages.
    #expect(result.dirtyCounts == [1000, 50, 3, 50])
    #expect(result.liveRounds == 3)
    #expect(result.downtime == 5_000_370)
  }

  @Test func replayOfAbort() throws {
    let replay = try #require(Replay(TraceTests.example, bytesPerSecond: 4_104_016))
    let result = replay.run(ClosurePolicy { $0.iteration == 1 ? .abort("no") : .continuePrecopy })
    #expect(result.outcome == .aborted("no"))
    #expect(result.downtime == 0 && result.liveRounds == 1)
    #expect(result.total == 1_000_000_000)
  }

  /// Of 1, 2, ... rounds: without a limit the soonest end, with one the first that keeps it.
  @Test func hindsight() throws {
    let replay = try #require(Replay(TraceTests.example, bytesPerSecond: 4_104_016))
    let each = (1...4).map { replay.run(StopAfter(rounds: $0)) }
    // After one round, 500 + 0.1 s * 200 = 520 pages are left.
    #expect(each[0].dirtyCounts == [1000, 520])
    #expect(replay.hindsight(downtimeLimit: .max).rounds == 1)
    #expect(replay.hindsight(downtimeLimit: 130_000_000).rounds == 2)
    #expect(replay.hindsight(downtimeLimit: 130_000_000).result == each[1])
    let least = replay.hindsight(downtimeLimit: 0).result.downtime
    #expect(each.allSatisfy { $0.downtime >= least })
  }

  /// Replayed at the speed that it was recorded at, with the policy that it was recorded with, a
  /// trace gives itself.
  @Test func replayOfItself() throws {
    let domain = try SimDomain(.small(.steady(writesPerSecond: 50_000)))
    let trace = try Save(
      domain, to: nowhere(), mode: .live(XenDefaultPolicy()), clock: domain.clock
    ).run().trace
    let replay = try #require(Replay(trace, bytesPerSecond: 1_000_000_000))
    let result = replay.run(XenDefaultPolicy())
    let real = trace.rounds.map(\.dirtyCount)
    #expect(result.dirtyCounts.count == real.count)
    for (a, b) in zip(result.dirtyCounts, real) { #expect(abs(a - b) <= 2, "\(a) \(b)") }
  }

  @Test func nothingToReplay() {
    #expect(Replay(Trace(), bytesPerSecond: 1) == nil)
  }

  @Test func digests() {
    var a = PageBitmap(count: 130)
    #expect(a.digest == PageBitmap(count: 130).digest)
    a[129] = true
    let b = a
    #expect(a.digest != PageBitmap(count: 130).digest)
    a[3] = true
    a[129] = false
    #expect(a.digest != b.digest)
    #expect(PageBitmap(count: 130, full: true).setCount == 130)
  }
}
