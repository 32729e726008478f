// What a policy wants of its rounds beside sending them, and what the loop makes of it.

import Format
import Live
import SimDomain
import Stream
import SystemIO
import Testing

/// Wants the same of every round, and stops after some.
private final class Wanting: Policy {
  var measures = RoundMeasures()
  let rounds: Int
  /// Whether it asks for it only from this round on.
  var calls: [PrecopyStats] = []
  var abortsAt = Int.max

  init(rounds: Int, _ change: (inout RoundMeasures) -> Void) {
    self.rounds = rounds
    change(&measures)
  }

  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    calls.append(stats)
    if calls.count >= abortsAt { return .abort("enough") }
    return !stats.isBeforeRound && stats.iteration >= rounds ? .stopAndCopy : .continuePrecopy
  }
}

@Suite struct MeasuresTests {
  /// A guest that writes to 200 pages again and again, and now and then to others.
  private static let hot = Workload([
    .init(writesPerSecond: 400_000, hotPageCount: 200, hotPercent: 97)
  ])

  private func save(
    _ policy: Wanting, _ workload: Workload = hot, prepare: (SimDomain) -> Void = { _ in }
  ) throws -> (domain: SimDomain, result: SaveResult, image: Scratch) {
    let domain = try SimDomain(.small(workload))
    let scratch = Scratch()
    prepare(domain)
    let result = try Save(
      domain, to: scratch.sink(), mode: .live(policy), clock: domain.clock
    ).run()
    // Whatever was put off: the copy is the domain as it stands still.
    let copy = try SimDomain(blank: .small(.idle))
    _ = try Restore(scratch.source(), into: copy).run()
    #expect(copy.differences(from: domain).isEmpty)
    #expect(try scratch.complaints().isEmpty)
    return (domain, result, scratch)
  }

  @Test func deferredPagesWait() throws {
    let plain = try save(Wanting(rounds: 8) { _ in })
    let policy = Wanting(rounds: 8) { $0.deferral = .init(hits: 2, rounds: 3) }
    let (_, result, image) = try save(policy)
    #expect(result.pageCount < plain.result.pageCount * 8 / 10)
    // A hot page goes in the first round, once or twice after it, and when the guest stands still.
    var sent = [Int](repeating: 0, count: 200)
    for record in try image.records() where record.type == .pageData {
      let summary = record.body
      let count = Int(summary[0]) | Int(summary[1]) << 8
      for index in 0..<count {
        let place = 8 + 8 * index
        let pfn = Int(summary[place]) | Int(summary[place + 1]) << 8
        if pfn < 200 { sent[pfn] += 1 }
      }
    }
    #expect(sent.allSatisfy { $0 <= 4 }, "\(sent)")
    #expect(policy.calls.contains { $0.hotCounts.count == 8 && $0.hotCounts[1] >= 100 })
    #expect(policy.calls.last.map { $0.hotCounts[0] >= $0.hotCounts[7] } == true)
    // What waits and is not dirty counts for the downtime.
    var stats = PrecopyStats()
    (stats.dirtyCount, stats.deferredCount, stats.bandwidth) = (100, 50, 150)
    #expect(stats.estimatedDowntime == 1_000_000_000)
  }

  @Test func dirtyPagesAreSkipped() throws {
    // Rounds of more than one batch: what is in the first one is looked at when the round has just begun.
    let busy = Workload([.init(writesPerSecond: 900_000, hotPageCount: 1800, hotPercent: 97)])
    let plain = try save(Wanting(rounds: 6) { _ in }, busy)
    let policy = Wanting(rounds: 6) { $0.skipsDirtyPages = true }
    let (domain, result, _) = try save(policy, busy)
    #expect(result.pageCount < plain.result.pageCount)
    #expect(policy.calls.contains { $0.skippedCount > 0 })
    #expect(policy.calls[0...1].allSatisfy { $0.skippedCount == 0 })
    // Before each batch, but not of the first round.
    #expect(domain.callCounts[.peekLogDirty, default: 0] >= 5)
    #expect(plain.domain.callCounts[.peekLogDirty] == nil)
    // The pages that were sent are what counts as written.
    let last = try #require(policy.calls.last)
    let live = result.trace.rounds.filter { $0.kind == .live }
    #expect(last.totalWritten <= live.reduce(0) { $0 + $1.dirtyCount })
    #expect(live.last?.againCount != nil)
  }

  @Test func throttledGuestsDirtyLess() throws {
    let plain = Wanting(rounds: 5) { _ in }
    let slow = Wanting(rounds: 5) { $0.throttle = 90 }
    let first = try save(plain, .steady(writesPerSecond: 100_000))
    let second = try save(slow, .steady(writesPerSecond: 100_000))
    #expect(second.result.pageCount < first.result.pageCount)
    #expect(slow.calls.last?.throttle == 90)
    #expect(second.domain.throttle == 0)
    #expect(second.domain.callCounts[.throttle] == 2)
    #expect(first.domain.callCounts[.throttle] == nil)
  }

  /// However a save ends, the guest has its processors back.
  @Test func throttleIsPutBack() throws {
    for hook in [Hook.map, .cleanLogDirty, .suspend, .state, .pageTypes] {
      for call in [1, 3] {
        let domain = try SimDomain(.small(.steady(writesPerSecond: 20_000)))
        let policy = Wanting(rounds: 4) { $0.throttle = 50 }
        domain.faults.arm(.hook(hook), at: call)
        let save = Save(domain, to: try nowhere(), mode: .live(policy), clock: domain.clock)
        _ = try? save.run()
        #expect(domain.throttle == 0, "\(hook) \(call)")
      }
    }
    let domain = try SimDomain(.small(.steady(writesPerSecond: 20_000)))
    let policy = Wanting(rounds: 9) { $0.throttle = 50 }
    policy.abortsAt = 5
    let save = Save(domain, to: try nowhere(), mode: .live(policy), clock: domain.clock)
    #expect(throws: XensaveError.self) { try save.run() }
    #expect(policy.calls.last?.throttle == 50)
    #expect(domain.throttle == 0 && domain.shutdown == nil)
  }

  /// A domain that cannot be throttled is saved all the same, and the caller hears of it.
  @Test func whatCannotBeDoneIsSaid() throws {
    let policy = Wanting(rounds: 3) { $0.throttle = 50 }
    let (domain, result, _) = try save(policy) { $0.faults.arm(.hook(.throttle)) }
    #expect(result.aftermath.count == 1)
    #expect(result.aftermath.first?.hasPrefix("the guest was not throttled") == true)
    #expect(policy.calls.allSatisfy { $0.throttle == 0 })
    #expect(domain.callCounts[.throttle] == 1)
  }

  @Test func limitHolds() throws {
    let free = try save(Wanting(rounds: 3) { _ in }, .idle)
    let slow = try save(Wanting(rounds: 3) { $0.byteLimit = 50_000_000 }, .idle)
    func speed(_ result: SaveResult) -> Double {
      let round = result.trace.rounds[0]
      return Double(round.bytes) / Double(round.end - round.begin) * 1e9
    }
    #expect(speed(free.result) > 900_000_000)
    #expect(abs(speed(slow.result) - 50_000_000) < 1_000_000)
  }

  /// Pages that were dirty once go before those that are dirty again and again; all of them go.
  @Test func coldPagesFirst() throws {
    let policy = Wanting(rounds: 4) { $0.order = .coldFirst }
    let (_, result, image) = try save(policy)
    let plain = try save(Wanting(rounds: 4) { _ in })
    let here = result.trace.rounds.map(\.sentCount)
    #expect(here.count == plain.result.trace.rounds.count)
    #expect(try !image.records().isEmpty)
    let live = result.trace.rounds.filter { $0.kind == .live }.dropFirst()
    #expect(live.allSatisfy { $0.sentCount == $0.dirtyCount })
  }

  /// The record of a round says how many pages were dirty again; a replay goes by it.
  @Test func replaysDeferToo() throws {
    let trace = try save(Wanting(rounds: 8) { _ in }).result.trace
    #expect(try Trace(parsing: trace.description) == trace)
    #expect(trace.description.contains(" again="))
    let replay = try #require(Replay(trace, bytesPerSecond: 1_000_000_000))
    let plain = replay.run(Wanting(rounds: 8) { _ in })
    let deferring = replay.run(Wanting(rounds: 8) { $0.deferral = .init(hits: 2, rounds: 3) })
    #expect(deferring.bytes < plain.bytes * 8 / 10)
    let skipping = replay.run(Wanting(rounds: 8) { $0.skipsDirtyPages = true })
    #expect(skipping.bytes < plain.bytes)
    let throttled = replay.run(Wanting(rounds: 8) { $0.throttle = 90 })
    #expect(throttled.bytes < plain.bytes)
    let limited = replay.run(Wanting(rounds: 8) { $0.byteLimit = 100_000_000 })
    #expect(limited.rounds[0].end > 9 * plain.rounds[0].end)
  }
}
