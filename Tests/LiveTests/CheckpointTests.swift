// Checkpointed saves: one stream, many states, and what is left when it stops.

import Bytes
import Format
import Glibc
import Live
import SimDomain
import Stream
import SystemIO
import Testing

import struct TestKit.Seed

@Suite struct CheckpointTests {
  /// A save of `count` checkpoints, with copies of the domain as it was at each.
  func save(_ count: Int) throws -> (SimDomain, Scratch, SaveResult, [UInt64]) {
    let domain = try SimDomain(.small(.steady(writesPerSecond: 50_000)))
    let scratch = Scratch()
    let sink = try scratch.sink()
    var ends: [UInt64] = []
    let checkpoints = DomainCheckpoints(domain) { done in
      ends.append(sink.position)
      domain.clock.advance(by: 4_000_000)
      return done < count
    }
    let result = try Save(
      domain, to: sink, mode: .checkpointed(XenDefaultPolicy(), checkpoints), clock: domain.clock
    ).run()
    return (domain, scratch, result, ends)
  }

  @Test func streamHasCheckpointsAndNoEnd() throws {
    let (domain, scratch, result, _) = try save(3)
    #expect(result.checkpointCount == 3)
    #expect(domain.shutdown == nil, "it runs on")
    expectClean(domain)
    #expect(try scratch.complaints() == "")
    let names = try scratch.records().map(\.type.name)
    #expect(names.count { $0 == "CHECKPOINT" } == 3)
    #expect(names.last == "CHECKPOINT")
    #expect(names.count { $0 == "HVM_CONTEXT" } == 3)
    #expect(names.count { $0 == "STATIC_DATA_END" } == 1)
    #expect(result.trace.rounds.filter { $0.kind == .checkpoint }.count == 2)
    #expect(result.trace.suspends.count == 3)
    #expect(domain.callCounts[.enableLogDirty] == 1)
  }

  /// Cut anywhere, the last complete checkpoint is what is restored.
  @Test func failOverToTheLastComplete() throws {
    let (_, scratch, _, ends) = try save(4)
    let bytes = try scratch.bytes()
    // What each checkpoint's domain looked like: restored from a stream that ends with it.
    let whole = try ends.map { end in
      let (_, domain) = try restore(bytes.prefix(Int(end)))
      return domain
    }
    #expect(whole[0].differences(from: whole[1]) != [])
    var random = Seed()
    var cuts = (0..<12).map { _ in Int(ends[0]) + random.below(Int(ends[3] - ends[0])) }
    cuts += ends.dropFirst().map { Int($0) - 1 } + ends.dropLast().map { Int($0) + 1 }
    for cut in cuts {
      let complete = ends.count { $0 <= UInt64(cut) }
      let (result, domain) = try restore(bytes.prefix(cut))
      #expect(result.checkpointCount == complete, "cut at \(cut)")
      #expect(result.hasFailedOver)
      #expect(domain.differences(from: whole[complete - 1]) == [], "cut at \(cut)")
      #expect(domain.isComplete)
    }
  }

  /// Before the first checkpoint there is nothing to fall back to.
  @Test func cutBeforeTheFirst() throws {
    let (_, scratch, _, ends) = try save(1)
    let bytes = try scratch.bytes()
    for cut in [0, 30, 5000, Int(ends[0]) - 1] {
      let error = #expect(throws: XensaveError.self) { try restore(bytes.prefix(cut)) }
      #expect(error?.word == "truncated")
    }
  }

  @Test func plainRestoreRefusesCheckpoints() throws {
    let (domain, scratch, _, _) = try save(1)
    let copy = try SimDomain(blank: domain.configuration)
    let error = #expect(throws: XensaveError.self) {
      try Restore(scratch.source(), into: copy).run()
    }
    #expect(error?.word == "unsuitable")
    #expect(copy.isDiscarded)
  }

  /// Whoever continues after CHECKPOINT is gone: the stream ends before it, inside the checkpoint.
  @Test func noCheckpointForTheDead() throws {
    final class Dying: Checkpoints {
      func willEnd() throws { throw XensaveError(.checkpoint, 0, "libxl is gone") }
      func postcopy() throws -> Bool { true }
      func checkpoint(_ count: Int) throws -> Bool { true }
    }
    let domain = try SimDomain(.small())
    let scratch = Scratch()
    let error = #expect(throws: XensaveError.self) {
      try Save(
        domain, to: scratch.sink(), mode: .checkpointed(XenDefaultPolicy(), Dying()),
        clock: domain.clock
      ).run()
    }
    #expect(error?.word == "checkpoint" && domain.shutdown == nil)
    let bytes = try scratch.bytes()
    #expect(bytes.count > 100_000)
    #expect(bytes.suffix(8) != [0x0E, 0, 0, 0, 0, 0, 0, 0])
    expectClean(domain)
  }

  /// libxl says no in `postcopy`: the guest, which still stands, is let go.
  @Test func stopInPostcopy() throws {
    final class Refusing: Checkpoints {
      func postcopy() throws -> Bool { false }
      func checkpoint(_ count: Int) throws -> Bool { true }
    }
    let domain = try SimDomain(.small())
    let result = try Save(
      domain, to: nowhere(), mode: .checkpointed(XenDefaultPolicy(), Refusing()),
      clock: domain.clock
    ).run()
    #expect(result.checkpointCount == 1)
    #expect(domain.shutdown == nil)
    expectClean(domain)
  }

  /// What the last stop has taken is told at each checkpoint, and counts in what the next one may take.
  @Test func policiesHearWhatAStopTakes() throws {
    final class Listening: Policy {
      var suspended: [PrecopyStats] = []
      var checkpoints: [PrecopyStats] = []
      func decide(_ stats: PrecopyStats) -> PrecopyDecision {
        stats.iteration >= 2 ? .stopAndCopy : .continuePrecopy
      }
      func suspended(_ stats: PrecopyStats) { suspended.append(stats) }
      func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
        checkpoints.append(stats)
        return count < 3
      }
    }
    final class Willing: Checkpoints {
      func postcopy() throws -> Bool { true }
      func checkpoint(_ count: Int) throws -> Bool { true }
    }
    let policy = Listening()
    let domain = try SimDomain(.small(.steady(writesPerSecond: 100_000)))
    let result = try Save(
      domain, to: nowhere(), mode: .checkpointed(policy, Willing()), clock: domain.clock
    ).run()
    #expect(policy.suspended.count == 1 && policy.checkpoints.count == 3)
    let first = try #require(policy.suspended.first)
    #expect(first.stop.finalRound == nil && first.stop.records == nil)
    let stops = result.trace.suspends.map { $0.end - $0.begin }
    #expect(first.stop.suspend == stops[0] && stops[0] > 0)
    #expect(policy.checkpoints.map(\.stop.suspend) == stops)
    let rounds = result.trace.rounds.filter { $0.kind != .live }.map { $0.end - $0.begin }
    #expect(policy.checkpoints.map(\.stop.finalRound) == rounds)
    for stats in policy.checkpoints {
      let records = try #require(stats.stop.records)
      #expect(records > 0)
      #expect(stats.stop.besidePages == records + (stats.stop.suspend ?? 0))
      var stopped = stats
      (stopped.dirtyCount, stopped.bandwidth) = (1000, 1_000_000)
      #expect(stopped.estimatedDowntime == 1_000_000 + stats.stop.besidePages)
    }
    #expect(policy.checkpoints.last?.byteCount == result.byteCount)
  }

  private func restore(_ bytes: ArraySlice<UInt8>) throws -> (RestoreResult, SimDomain) {
    let scratch = Scratch()
    try scratch.sink().write(Array(bytes))
    let domain = try SimDomain(blank: .small())
    let result = try Restore(scratch.source(), into: domain, isCheckpointed: true).run()
    return (result, domain)
  }
}
