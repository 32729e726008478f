// The save loop: what it writes, when it stops, and what can be restored from it.

import Bytes
import Format
import ImageEdit
import Live
import SimDomain
import Stream
import SystemIO
import Testing

@Suite struct SaveTests {
  /// 20 000 writes a second over all pages: each round leaves fewer dirty pages.
  static let busy = Workload.steady(writesPerSecond: 20_000)

  @Test func liveSaveIsRestored() throws {
    let domain = try SimDomain(.small(SaveTests.busy))
    let scratch = Scratch()
    let result = try Save(
      domain, to: scratch.sink(), mode: .live(XenDefaultPolicy()), clock: domain.clock
    ).run()
    #expect(try scratch.complaints() == "")
    expectClean(domain)
    #expect(domain.shutdown == .suspend)
    #expect(result.aftermath.isEmpty)
    #expect(domain.writeCount > 100)
    let (copy, restoreResult) = try restored(scratch, like: domain)
    #expect(copy.differences(from: domain) == [])
    #expect(copy.hasSameState(as: domain))
    #expect(restoreResult.pageCount == result.pageCount)
    #expect(restoreResult.storePFN == 2499)
    #expect(copy.missingStaticData.isEmpty)
  }

  @Test func nonLiveSaveIsRestored() throws {
    let domain = try SimDomain(.small(SaveTests.busy))
    let scratch = Scratch()
    let result = try Save(domain, to: scratch.sink(), mode: .nonLive, clock: domain.clock).run()
    #expect(try scratch.complaints() == "")
    expectClean(domain)
    #expect(domain.callCounts[.enableLogDirty] == nil)
    #expect(domain.callCounts[.cleanLogDirty] == nil)
    #expect(domain.callCounts[.switchEmulatorLogDirty] == 2)
    #expect(result.pageCount == 2300)
    #expect(result.liveRoundCount == 0)
    let (copy, _) = try restored(scratch, like: domain)
    #expect(copy.differences(from: domain) == [])
    #expect(copy.hasSameState(as: domain))
  }

  /// Two saves of the same seed are the same bytes.
  @Test func virtualTimeIsExact() throws {
    var streams: [[UInt8]] = []
    var traces: [Trace] = []
    for _ in 0..<2 {
      let domain = try SimDomain(.small(SaveTests.busy))
      let scratch = Scratch()
      traces.append(
        try Save(domain, to: scratch.sink(), mode: .live(XenDefaultPolicy()), clock: domain.clock)
          .run().trace)
      streams.append(try scratch.bytes())
    }
    #expect(streams[0] == streams[1])
    #expect(traces[0] == traces[1])
  }

  /// A pass is cut into records of 1024 consecutive pages, whatever they are.
  @Test func batchesAreFull() throws {
    let domain = try SimDomain(.small())
    let scratch = Scratch()
    _ = try Save(domain, to: scratch.sink(), mode: .nonLive, clock: domain.clock).run()
    let pages = try scratch.records().filter { $0.type == .pageData }
    #expect(pages.map { $0.pageEntryCount } == [1024, 1024, 452])
    #expect(pages.map { $0.pageEntry(0).pfn } == [0, 1024, 2048])
    let types = (0..<1024).map { pages[0].pageEntry($0).type }
    #expect(types.count { $0 == .xtab } == 200)
    #expect(types[700] == .xtab && types[699] == .notab)
  }

  /// The records of an HVM stream, in the order in which Xen writes them.
  @Test func recordOrder() throws {
    let domain = try SimDomain(.small())
    let scratch = Scratch()
    _ = try Save(
      domain, to: scratch.sink(), mode: .live(XenDefaultPolicy()), isVerifying: true,
      clock: domain.clock
    ).run()
    let names = try scratch.records().map(\.type.name)
    #expect(
      names == [
        "X86_CPUID_POLICY", "X86_MSR_POLICY", "STATIC_DATA_END", "PAGE_DATA", "PAGE_DATA",
        "PAGE_DATA", "VERIFY", "PAGE_DATA", "PAGE_DATA", "PAGE_DATA", "X86_TSC_INFO",
        "HVM_CONTEXT", "HVM_PARAMS", "END",
      ])
  }

  @Test func verifyRoundFindsNothing() throws {
    let domain = try SimDomain(.small(SaveTests.busy))
    let scratch = Scratch()
    let result = try Save(
      domain, to: scratch.sink(), mode: .live(XenDefaultPolicy()), isVerifying: true,
      clock: domain.clock
    ).run()
    #expect(result.verifyDirtyCount == 0)
    #expect(result.trace.rounds.last?.kind == .verify)
    let (copy, restoreResult) = try restored(scratch, like: domain)
    #expect(restoreResult.differingPFNs.isEmpty)
    #expect(copy.differences(from: domain) == [])
  }

  /// Pages that come and go while the guest runs.
  @Test func balloonedPages() throws {
    let domain = try SimDomain(.small(SaveTests.busy))
    let scratch = Scratch()
    var rounds = 0
    let policy = ClosurePolicy { stats in
      guard stats.isBeforeRound else { return .continuePrecopy }
      rounds += 1
      for page in 0..<20 {
        domain.balloon(100 + page, hasPage: rounds % 2 == 0)
        domain.balloon(700 + page, hasPage: rounds % 2 == 1)
      }
      return rounds == 4 ? .stopAndCopy : .continuePrecopy
    }
    _ = try Save(domain, to: scratch.sink(), mode: .live(policy), clock: domain.clock).run()
    #expect(try scratch.complaints() == "")
    let (copy, _) = try restored(scratch, like: domain)
    #expect(copy.differences(from: domain) == [])
  }

  @Test func progressIsXens() throws {
    let domain = try SimDomain(.small())
    var seen: [Save.Progress] = []
    _ = try Save(domain, to: nowhere(), mode: .live(XenDefaultPolicy()), clock: domain.clock) {
      seen.append($0)
    }.run()
    #expect(seen.first == .init(what: "Start of stream", done: 0, total: 0))
    #expect(seen.suffix(2).map(\.what) == ["End of stream", "Complete"])
    let first = seen.filter { $0.what == "Frames iteration 0" }
    #expect(first.map(\.done) == [0, 1024, 2048, 2500])
    #expect(first.allSatisfy { $0.total == 2500 })
    #expect(seen.contains(.init(what: "Domain now suspended", done: 0, total: 0)))
  }

  // MARK: - PV

  @Test(arguments: [true, false]) func pvImageComesBack(isLive: Bool) throws {
    let name = fixtures + "pv-4m-1v-tiny.xlsave"
    var configuration = SimDomain.Configuration(frameCount: 1024)
    configuration.guest = .x86PV
    configuration.workload = SaveTests.busy
    let domain = try SimDomain(restoring: Source(opening: name), configuration)
    let original = try SimDomain(restoring: Source(opening: name), configuration)
    let scratch = Scratch()
    _ = try Save(
      domain, to: scratch.sink(), mode: isLive ? .live(XenDefaultPolicy()) : .nonLive,
      clock: domain.clock
    ).run()
    #expect(try scratch.complaints() == "")
    expectClean(domain)
    configuration.workload = .idle
    let copy = try SimDomain(restoring: scratch.source(), configuration)
    #expect(copy.differences(from: domain) == [])
    #expect(copy.hasSameState(as: original))
    // Page tables hold machine frames here, and come out as the image had them.
    configuration.seed = 99
    let elsewhere = try SimDomain(restoring: scratch.source(), configuration)
    #expect(elsewhere.differences(from: domain) != [])
    let again = Scratch()
    _ = try Save(elsewhere, to: again.sink(), mode: .nonLive, clock: elsewhere.clock).run()
    let plain = try SimDomain(restoring: again.source(), copy.configuration)
    #expect(plain.differences(from: copy) == [])
  }

  @Test func pvhImageComesBack() throws {
    let name = fixtures + "pvh-4m-1v-tiny.xlsave"
    var configuration = SimDomain.Configuration(frameCount: 1 << 20)
    configuration.clock = .virtual(bytesPerSecond: 100_000_000)
    let domain = try SimDomain(restoring: Source(opening: name), configuration)
    let scratch = Scratch()
    let result = try Save(
      domain, to: scratch.sink(), mode: .live(XenDefaultPolicy()), clock: domain.clock
    ).run()
    #expect(try scratch.complaints() == "")
    #expect(try domain.info().pageCount == result.pageCount)
    let copy = try SimDomain(restoring: scratch.source(), configuration)
    #expect(copy.differences(from: domain) == [])
    #expect(copy.hasSameState(as: domain))
  }
}
