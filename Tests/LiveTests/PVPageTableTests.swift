// Page tables of PV guests: what is translated, what is left out, what is refused or put off.

import Bytes
import Format
import Live
import SimDomain
import Stream
import SystemIO
import Testing

import struct TestKit.Seed

@Suite struct PVPageTableTests {
  /// A table with these entries; machine frame 0x1000 + n is pfn n, below 16.
  func normalise(
    _ entries: [Int: UInt64], level: Int, width: Int = 8, compat: UInt64? = nil
  ) -> (PVPageTable.Result, [Int: UInt64]) {
    let (page, out) = (PageAlignedBuffer(capacity: 4096), PageAlignedBuffer(capacity: 4096))
    for entry in 0..<512 { page.store(entry * 8, entries[entry] ?? 0) }
    let result = page.withBytes(0..<4096) { span in
      PVPageTable.normalise(
        span, level: level, width: width, compatM2PFrame: compat, into: out, at: 0
      ) { (0x1000..<0x1010).contains($0) ? $0 - 0x1000 : nil }
    }
    let bytes = out.copy(0..<4096)
    var words: [Int: UInt64] = [:]
    for entry in 0..<512 {
      let word = bytes.load(entry * 8, as: UInt64.self)
      if word != 0 { words[entry] = word }
    }
    return (result, result == .done ? words : [:])
  }

  @Test func framesAreReplacedAndFlagsKept() {
    let (result, words) = normalise(
      [0: 0x8000_0000_0100_0067, 5: 0x0000_0000_0100_F001, 9: 0xDEAD_BEE0], level: 1)
    #expect(result == .done)
    // Present entries get their pfn; the one that is not present stays as it is.
    #expect(words == [0: 0x8000_0000_0000_0067, 5: 0x0000_0000_0000_F001, 9: 0xDEAD_BEE0])
  }

  @Test func slotsOfXen() {
    let all = Dictionary(uniqueKeysWithValues: (0..<512).map { ($0, UInt64(0x0100_1001)) })
    #expect(normalise(all, level: 4).1.keys.sorted() == Array(0..<256) + Array(272..<512))
    #expect(normalise(all, level: 3, width: 4).1.keys.sorted() == [0, 1, 2, 3])
    #expect(normalise(all, level: 3).1.count == 512)
    #expect(normalise(all, level: 2, width: 4).1.count == 512)
    #expect(normalise(all, level: 2, width: 4, compat: 0x1001).1.count == 428)
    #expect(normalise(all, level: 2, width: 4, compat: 0x1002).1.count == 512)
    // A frame of Xen's in its own slots is nobody's business.
    #expect(normalise([260: 0x7777_7001], level: 4).0 == .done)
  }

  @Test func refusals() {
    #expect(normalise([3: 0x0200_0001], level: 1).0 == .foreign(entry: 3, frame: 0x2000))
    #expect(normalise([4: 0x0100_0081], level: 2).0 == .superpage(entry: 4))
    #expect(normalise([4: 0x0100_0081], level: 1).0 == .done, "PAT, in a leaf")
    #expect(normalise([:], level: 4, width: 4).0 == .badLevel)
  }

  @Test func localiseIsTheInverse() {
    var random = Seed()
    let (page, out) = (PageAlignedBuffer(capacity: 4096), PageAlignedBuffer(capacity: 4096))
    for entry in 0..<512 {
      let isPresent = random.below(2) == 0
      let word = (random.next() & 0xFFF0_0000_0000_0F7E) | UInt64(0x1000 + random.below(16)) << 12
      page.store(entry * 8, isPresent ? word | 1 : word)
    }
    let before = page.copy(0..<4096)
    let result = page.withBytes(0..<4096) {
      PVPageTable.normalise($0, level: 1, width: 8, compatM2PFrame: nil, into: out, at: 0) {
        $0 - 0x1000
      }
    }
    #expect(result == .done)
    PVPageTable.localise(out, at: 0) { $0 + 0x1000 }
    #expect(out.copy(0..<4096) == before)
  }

  // MARK: - In a save

  func domain() throws -> (SimDomain, table: Int) {
    var configuration = SimDomain.Configuration(frameCount: 1024)
    configuration.guest = .x86PV
    let domain = try SimDomain(
      restoring: Source(opening: fixtures + "pv-4m-1v-tiny.xlsave"), configuration)
    let table = try #require((0..<1024).first { domain.type(of: $0).tableLevel == 1 })
    return (domain, table)
  }

  /// A table that the guest is just changing is put off: XTAB in its round, and again at the end.
  @Test func foreignFrameIsPutOff() throws {
    let (domain, table) = try domain()
    let scratch = Scratch()
    let word = domain.page(table).load(0, as: UInt64.self)
    domain.write(table, 0x7_7777_7001)
    var isRepaired = false
    let policy = ClosurePolicy { stats in
      if !stats.isBeforeRound, !isRepaired {
        domain.write(table, word)
        isRepaired = true
      }
      return .continuePrecopy
    }
    _ = try Save(
      domain, to: scratch.sink(), mode: .live(StopAfterOne(policy)), clock: domain.clock
    ).run()
    #expect(try scratch.complaints() == "")
    let pages = try scratch.records().filter { $0.type == .pageData }
    let seen = pages.flatMap { record in
      (0..<(record.pageEntryCount ?? 0)).map { record.pageEntry($0) }
    }.filter { $0.pfn == UInt64(table) }
    #expect(seen.map(\.type) == [.xtab, domain.type(of: table)])
    let copy = try SimDomain(restoring: scratch.source(), domain.configuration)
    #expect(copy.differences(from: domain) == [])
  }

  /// One that stays wrong is looked at again although it is not dirty, and fails the save then.
  @Test(arguments: [true, false]) func foreignFrameAtTheEnd(isLive: Bool) throws {
    let (domain, table) = try domain()
    domain.write(table, 0x7_7777_7001)
    let error = #expect(throws: XensaveError.self) {
      try Save(
        domain, to: nowhere(), mode: isLive ? .live(XenDefaultPolicy()) : .nonLive,
        clock: domain.clock
      ).run()
    }
    #expect(
      error?.word == "machineFrame" && error?.stage == "\(Step.finalRound)" && error?.errno == 34)
    #expect(error?.message.contains("entry 0: machine frame 0x77777") == true)
    #expect(domain.shutdown == nil)
    expectClean(domain)
  }
}

/// One round, and whatever `inner` does meanwhile.
struct StopAfterOne: Policy {
  private let inner: ClosurePolicy
  init(_ inner: ClosurePolicy) { self.inner = inner }

  func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    _ = inner.decide(stats)
    return stats.isBeforeRound ? .continuePrecopy : .stopAndCopy
  }
}
