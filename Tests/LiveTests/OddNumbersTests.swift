// Numbers of traces, workloads and clocks that nobody's machine has.

import SystemIO
import Bytes
import Format
import Live
import SimDomain
import Testing

@Suite struct OddNumbersTests {
  private static func trace(_ round: String, end: String = "end outcome=complete time=5") -> String
  {
    """
    xensave-trace 1
    domain guest=x86_hvm frames=1000 pages=1000
    round kind=live number=0 dirty=1000 digest=0x0 sent=1000 octets=5 begin=10 end=20
    \(round)
    suspend begin=30 end=40
    \(end)
    """
  }

  private static let greatest = "\(UInt64.max)"

  @Test(arguments: ["number", "dirty", "sent", "octets", "begin", "end"])
  func aTraceOfImpossibleNumbersIsRefused(key: String) {
    var fields = [
      "number": "1", "dirty": "5", "sent": "5", "octets": "5", "begin": "20", "end": "30",
    ]
    for value in [Self.greatest, "\(Int.max)", "-1"] {
      fields[key] = value
      let line = fields.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
      #expect(throws: FormatError.self) {
        try Trace(parsing: Self.trace("round kind=live digest=0x0" + line))
      }
    }
  }

  @Test(arguments: [
    "round kind=live number=1 dirty=5 digest=0x0 sent=5 octets=5 begin=9 end=30",
    "round kind=live number=1 dirty=5 digest=0x0 sent=5 octets=5 begin=30 end=20",
    "suspend begin=30 end=20",
  ])
  func timeOnlyGoesForward(line: String) {
    #expect(throws: FormatError.self) { try Trace(parsing: Self.trace(line)) }
  }

  /// The slowest link and the greatest domain: the numbers stop at the end of their types.
  @Test func aReplayOfTheLargestTraceEnds() throws {
    let most = 1 << 40
    let text = """
      xensave-trace 1
      domain guest=x86_hvm frames=\(most) pages=\(most)
      round kind=live number=0 dirty=\(most) digest=0x0 sent=\(most) octets=5 begin=0 end=1
      round kind=final number=1 dirty=\(most) digest=0x0 sent=\(most) octets=5 begin=1 end=2
      suspend begin=1 end=1
      end outcome=complete time=\(UInt64(1) << 62 - 1)
      """
    let replay = try #require(Replay(Trace(parsing: text), bytesPerSecond: 1))
    for policy in [XenDefaultPolicy(), StopAfter(rounds: 30)] as [any Policy] {
      let result = replay.run(policy)
      #expect(result.outcome == .complete)
      #expect(result.total == UInt64(Int64.max))
    }
    #expect(Replay.bytes(dirty: .max, data: .max) == UInt64(Int64.max))
  }

  @Test func aClockStopsAtItsEnd() {
    let clock = SimClock(.virtual(bytesPerSecond: 1))
    for _ in 0..<40 { clock.advance(by: 1_000_000_000_000_000_000) }
    #expect(clock.now == .max)
    clock.didWrite(.max)
    #expect(clock.now == .max)
  }

  @Test func faultsOfAnyNumber() throws {
    let domain = try SimDomain(SimDomain.Configuration(frameCount: 16))
    domain.faults.arm(.hook(.info), at: .max, times: .max)
    _ = try domain.info()
    domain.faults.arm(.hook(.info), at: 1, times: .max)
    #expect(throws: XensaveError.self) { _ = try domain.info() }
  }
}
