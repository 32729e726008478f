// Any domain, any workload, any policy: what is saved is what is restored.

import Format
import Live
import SimDomain
import SystemIO
import Testing

import struct TestKit.Seed

@Suite struct PropertyTests {
  static func configuration(_ random: inout Seed) -> SimDomain.Configuration {
    var configuration = SimDomain.Configuration(frameCount: 1 + random.below(3000))
    configuration.seed = random.next()
    configuration.vcpuCount = 1 + random.below(4)
    configuration.filledPercent = random.below(101)
    configuration.suspendTime = UInt64(random.below(20_000_000))
    configuration.clock = .virtual(
      bytesPerSecond: 1_000_000 << UInt64(random.below(12)))
    for _ in 0..<random.below(4) {
      let start = random.below(configuration.frameCount)
      configuration.holes.append(start..<min(configuration.frameCount, start + random.below(400)))
    }
    configuration.workload = Workload(
      (0...random.below(3)).map { _ in
        .init(
          duration: UInt64(1 + random.below(30_000_000)),
          writesPerSecond: UInt64(random.below(100_000)), hotPageCount: random.below(100),
          hotPercent: random.below(101), zeroPercent: random.below(30),
          burstWrites: random.below(100), burstInterval: UInt64(random.below(3)) * 5_000_000)
      }, isRepeating: random.below(2) == 0)
    return configuration
  }

  @Test func savedIsRestored() throws {
    var random = Seed()
    for _ in 0..<40 {
      let domain = try SimDomain(PropertyTests.configuration(&random))
      let scratch = Scratch()
      let limit = random.below(8)
      let policies: [any Policy] = [
        XenDefaultPolicy(), DowntimePolicy(budget: UInt64(random.below(10_000_000)), patience: nil),
        StopAfter(rounds: limit), ClosurePolicy { _ in .stopAndCopy },
      ]
      let mode: Save.Mode = random.below(5) == 0 ? .nonLive : .live(policies[random.below(4)])
      let result = try Save(
        domain, to: scratch.sink(), mode: mode, isVerifying: random.below(3) == 0,
        clock: domain.clock
      ).run()
      let (copy, restoreResult) = try restored(scratch, like: domain)
      #expect(copy.differences(from: domain) == [])
      #expect(copy.hasSameState(as: domain))
      #expect(restoreResult.differingPFNs == [])
      #expect(restoreResult.pageCount == result.pageCount)
      let bytes = result.trace.rounds.reduce(0) { $0 + $1.bytes }
      #expect(bytes < result.byteCount)
      expectClean(domain)
      #expect(try Trace(parsing: result.trace.description) == result.trace)
      // One sender of rounds: all of the first one, and no round without a reason.
      #expect(result.trace.rounds.first?.dirtyCount == domain.configuration.frameCount)
    }
  }

  /// The workload's writes do not depend on how often somebody looks.
  @Test func workloadIsExact() throws {
    var random = Seed()
    for _ in 0..<20 {
      let configuration = PropertyTests.configuration(&random)
      let (a, b) = (try SimDomain(configuration), try SimDomain(configuration))
      var rest: UInt64 = 40_000_000
      while rest > 0 {
        let step = min(rest, UInt64(1 + random.below(5_000_000)))
        a.clock.advance(by: step)
        a.catchUp()
        rest -= step
      }
      b.clock.advance(by: 40_000_000)
      b.catchUp()
      #expect(a.writeCount == b.writeCount)
      #expect(a.differences(from: b) == [])
    }
  }

  /// A failure anywhere, any number of times, in any order: nothing stays on.
  @Test func faultsLeaveNothingBehind() throws {
    var random = Seed()
    let points = FaultPoint.ofSaves.filter {
      ![.hook(.disableLogDirty), .hook(.resume), .hook(.switchEmulatorLogDirty), .domainDies]
        .contains($0)
    }
    for _ in 0..<100 {
      let domain = try SimDomain(PropertyTests.configuration(&random))
      domain.faults.arm(
        points[random.below(points.count)], at: 1 + random.below(6), times: 1 + random.below(2))
      let way = Way.allCases[random.below(3)]
      let isSaved: Bool
      do {
        _ = try Save(domain, to: nowhere(), mode: way.mode(domain), clock: domain.clock).run()
        isSaved = way != .checkpointed
      } catch let error as XensaveError {
        isSaved = false
        // A second failure may have hit the look at whether it must be resumed.
        if !error.aftermath.isEmpty { continue }
      }
      expectClean(domain)
      #expect((domain.shutdown == .suspend) == isSaved)
    }
  }
}
