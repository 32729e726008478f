// The simulated domain as such: its guest does what seed and time say, its log-dirty bits tell of every
// write, and it fails where it is told to.

import Bytes
import Format
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

private func configuration(_ workload: Workload, seed: UInt64 = 1) -> SimDomain.Configuration {
  var configuration = SimDomain.Configuration(frameCount: 300)
  configuration.holes = [100..<120]
  configuration.workload = workload
  configuration.seed = seed
  return configuration
}

private let busy = Workload([
  .init(duration: 3_000_000, writesPerSecond: 200_000, hotPageCount: 10, hotPercent: 80),
  .init(
    duration: 2_000_000, writesPerSecond: 50_000, zeroPercent: 20, burstWrites: 30,
    burstInterval: 700_000),
  .init(duration: 1_000_000),
])

@Suite struct WorkloadTests {
  /// Which pages are written follows from seed and time, not from how often somebody looks.
  @Test(arguments: [1, 2, 3] as [UInt64]) func lookingChangesNothing(seed: UInt64) throws {
    let once = try SimDomain(configuration(busy, seed: seed))
    let often = try SimDomain(configuration(busy, seed: seed))
    var random = Seed(seed)
    var left: UInt64 = 40_000_000
    once.clock.advance(by: left)
    once.catchUp()
    while left > 0 {
      let step = min(left, UInt64(1 + random.below(900_000)))
      often.clock.advance(by: step)
      often.catchUp()
      left -= step
    }
    #expect(once.writeCount == often.writeCount && once.writeCount > 1000)
    #expect(once.differences(from: often) == [])
    let other = try SimDomain(configuration(busy, seed: seed + 10))
    other.clock.advance(by: 40_000_000)
    other.catchUp()
    #expect(other.differences(from: once).count > 100)
  }

  @Test func ratesAreThoseOfThePhases() throws {
    let domain = try SimDomain(configuration(.steady(writesPerSecond: 1_000_000)))
    domain.clock.advance(by: 5_000_000)
    domain.catchUp()
    #expect(domain.writeCount == 5000)
    let bursts = Workload([.init(duration: 10_000_000, burstWrites: 7, burstInterval: 1_000_000)])
    let other = try SimDomain(configuration(bursts))
    other.clock.advance(by: 999_999)
    other.catchUp()
    #expect(other.writeCount == 0)
    other.clock.advance(by: 1)
    other.catchUp()
    #expect(other.writeCount == 7)
    other.clock.advance(by: 29_000_000)
    other.catchUp()
    #expect(other.writeCount == 7 * 30)
  }

  /// Who stands still, or is paused, writes nothing, and does not make up for it.
  @Test func aGuestThatStandsStillWritesNothing() throws {
    let domain = try SimDomain(configuration(.steady(writesPerSecond: 1_000_000)))
    try domain.suspend()
    let count = domain.writeCount
    domain.clock.advance(by: 50_000_000)
    domain.catchUp()
    #expect(domain.writeCount == count)
    try domain.resume()
    domain.catchUp()
    #expect(domain.writeCount == count)
    domain.clock.advance(by: 1_000_000)
    domain.catchUp()
    #expect(domain.writeCount == count + 1000)
  }

  /// Time passes by what is written, to the nanosecond, however it is cut.
  @Test func theClockLosesNothing() {
    let whole = SimClock(.virtual(bytesPerSecond: 3_000_000_007))
    let pieces = SimClock(.virtual(bytesPerSecond: 3_000_000_007))
    whole.didWrite(1_000_000)
    for _ in 0..<1000 { pieces.didWrite(1000) }
    #expect(whole.now == pieces.now && whole.now == 333_333)
    let slow = SimClock(.virtual(bytesPerSecond: 1))
    slow.didWrite(.max)
    slow.didWrite(.max)
    slow.advance(by: .max)
    #expect(slow.now == .max)
  }
}

@Suite struct LogDirtyTests {
  /// Against a list of what was written.
  @Test(arguments: [1, 2] as [UInt64]) func everyWriteIsTold(seed: UInt64) throws {
    let domain = try SimDomain(configuration(.idle))
    var random = Seed(seed)
    var bitmap = PageBitmap(count: 300)
    domain.write(3, 1)
    try domain.enableLogDirty()
    #expect(throws: XensaveError.self) { try domain.enableLogDirty() }
    var written: Set<Int> = []
    for _ in 0..<30 {
      for _ in 0..<random.below(20) {
        let page = random.below(100)
        domain.write(page, random.next())
        written.insert(page)
      }
      if random.below(3) == 0 {
        let page = 120 + random.below(50)
        domain.balloon(page, hasPage: random.below(2) == 0)
        written.insert(page)
      }
      let isPeek = random.below(2) == 0
      let counts =
        isPeek
        ? try domain.peekLogDirty(into: &bitmap)
        : try domain.cleanLogDirty(into: &bitmap, isFinal: random.below(2) == 0)
      #expect(counts.dirtyCount == written.count && counts.frameCount == 300)
      #expect((0..<300).filter { bitmap[$0] } == written.sorted())
      if !isPeek { written = [] }
    }
    try domain.disableLogDirty()
    #expect(throws: XensaveError.self) { _ = try domain.peekLogDirty(into: &bitmap) }
  }

  /// A guest that writes: the pages that differ from a copy are all dirty.
  @Test func whatDiffersIsDirty() throws {
    let domain = try SimDomain(configuration(busy))
    let copy = try SimDomain(configuration(.idle))
    #expect(domain.differences(from: copy) == [])
    try domain.enableLogDirty()
    domain.clock.advance(by: 2_500_000)
    var bitmap = PageBitmap(count: 300)
    _ = try domain.cleanLogDirty(into: &bitmap, isFinal: false)
    let differences = domain.differences(from: copy)
    #expect(!differences.isEmpty && differences.allSatisfy { bitmap[$0] })
    #expect(!(100..<120).contains { bitmap[$0] })
  }
}

@Suite struct DomainFaultTests {
  /// Calls each hook of a save once, in an order that works.
  private static func call(_ hook: Hook, of domain: SimDomain) throws {
    var bitmap = PageBitmap(count: 300)
    var frames: [UInt64] = []
    var types: [PageType] = []
    switch hook {
    case .info: _ = try domain.info()
    case .frameCount: _ = try domain.frameCount()
    case .frames: try domain.frames(of: [1, 2], into: &frames)
    case .pageTypes: try domain.pageTypes(of: [1, 2], into: &types)
    case .map:
      let lease = try domain.map([1, 2])
      #expect(lease.count == 2)
    case .checkUnchanged: try domain.checkUnchanged()
    case .switchEmulatorLogDirty: try domain.switchEmulatorLogDirty(true)
    case .enableLogDirty:
      if domain.isLogDirtyOn { try domain.disableLogDirty() }
      try domain.enableLogDirty()
    case .cleanLogDirty, .peekLogDirty:
      if !domain.isLogDirtyOn { try domain.enableLogDirty() }
      _ =
        hook == .cleanLogDirty
        ? try domain.cleanLogDirty(into: &bitmap, isFinal: false)
        : try domain.peekLogDirty(into: &bitmap)
    case .disableLogDirty: try domain.disableLogDirty()
    case .suspend: try domain.suspend()
    case .resume:
      try domain.suspend()
      try domain.resume()
    case .state:
      try domain.suspend()
      _ = try domain.state(.hvmContext, vcpu: nil)
    default: break
    }
  }

  private static let hooks: [Hook] = FaultPoint.ofSaves.compactMap {
    if case .hook(let hook) = $0 { hook } else { nil }
  }

  /// The call that is meant fails, with the errno that is meant; those before and after it do not.
  @Test(arguments: hooks) func theCallThatIsMeantFails(hook: Hook) throws {
    let domain = try SimDomain(configuration(.idle))
    domain.faults.arm(.hook(hook), at: 2, times: 2, errno: 28)
    var failed: [Int] = []
    for turn in 1...5 {
      do { try Self.call(hook, of: domain) } catch {
        failed.append(turn)
        #expect("\(error)".contains("refused on request"), "\(error)")
      }
      if domain.shutdown != nil, hook != .resume { try domain.resume() }
    }
    #expect(failed == [2, 3])
    domain.faults.disarm()
    try Self.call(hook, of: domain)
    #expect(domain.openLeaseCount == 0)
  }

  @Test(arguments: FaultPoint.ofSaves) func namesAreReadBack(point: FaultPoint) {
    #expect(FaultPoint(name: point.description) == point)
    #expect(FaultPoint(name: point.description + "x") == nil)
  }

  /// Whoever is destroyed answers nothing any more.
  @Test func aDomainDiesOnce() throws {
    let domain = try SimDomain(configuration(busy))
    domain.faults.arm(.domainDies, at: 3)
    _ = try domain.info()
    _ = try domain.frameCount()
    for _ in 0..<3 { #expect(throws: XensaveError.self) { _ = try domain.info() } }
    let count = domain.writeCount
    domain.clock.advance(by: 10_000_000)
    domain.catchUp()
    #expect(domain.writeCount == count)
  }

  /// The state of a guest that runs is nobody's to read, but what never changes is.
  @Test func stateIsThatOfAGuestThatStandsStill() throws {
    let domain = try SimDomain(configuration(.idle))
    #expect(try domain.state(.x86CPUIDPolicy, vcpu: nil) != nil)
    #expect(throws: XensaveError.self) { _ = try domain.state(.hvmContext, vcpu: nil) }
    try domain.suspend()
    #expect(try domain.state(.hvmContext, vcpu: nil) != nil)
    #expect(try domain.state(.x86PVVCPUBasic, vcpu: 0) == nil)
  }

  /// Pages of a lease are the domain's own memory.
  @Test func leasesShowWhatTheGuestWrites() throws {
    let domain = try SimDomain(configuration(.idle))
    func look() throws {
      let lease = try domain.map([7])
      let count = domain.openLeaseCount
      #expect(count == 1)
      domain.write(7, at: 4000, [1, 2, 3])
      let byte = lease.withPage(0) { $0.load(4001, as: UInt8.self) }
      #expect(byte == 2)
    }
    try look()
    #expect(domain.openLeaseCount == 0)
    #expect(throws: XensaveError.self) { _ = try domain.map([110]) }
    #expect(throws: XensaveError.self) { _ = try domain.map([300]) }
  }
}
