// The manager is stopped or killed at any moment: nothing is left running.

import Glibc
import SystemIO
import TestKit
import Testing

@Suite(.serialized) struct ManagerSignalTests {
  private static let events = (0..<20).map { round in
    #"{"event":"MIGRATION","data":{"sent":\#(round * 1000),"remaining":1000,"iteration":\#(round)}}"#
  }

  /// 50 seeded instants of a filtered live save, and 20 of a restore.
  @Test(
    .timeLimit(.minutes(5)), arguments: [SIGTERM, SIGKILL],
    [FakeHost.liveSave, FakeHost.restore])
  func atAnyMoment(signal: Int32, words: [String]) throws {
    var random = Seed(0x5EED_0021)
    var stopped = 0
    let isRestore = words == FakeHost.restore
    for _ in 0..<(isRestore ? 20 : 50) {
      let host = try FakeHost([
        "f.lua": """
        return { filter = function() end, side = "both",
          policy = function(s) return s.iteration > 15 and "stop" or "continue" end }
        """
      ])
      (host.liveEvents, host.pace) = (Self.events, 2000)
      if isRestore { host.completion = HostileTests.restored }
      let stream = isRestore ? TestStream(holding: FakeHost.emptyImage) : TestStream()
      try host.start(words, stream: stream)
      let delay = UInt64.random(in: 0..<90_000_000, using: &random)
      let killer = TestThread { [id = host.process] in
        sleep(nanoseconds: delay)
        kill(id, signal)
      }
      try host.run()
      killer.join()
      #expect(host.hasXenguestEnded, "delay \(delay) \(host.log)")
      let last = host.results.last
      switch host.exitStatus {
      case nil: #expect(host.status & 0x7F == signal, "delay \(delay)")
      case 0: #expect(last?.hasPrefix("result:") == true, "delay \(delay) \(host.log)")
      default:
        stopped += 1
        #expect(last == "error:xensave-lua stopped by a signal", "delay \(delay) \(host.log)")
      }
    }
    // On a busy machine most instants are before the start or after the end.
    if signal == SIGTERM { #expect(stopped > 0) }
  }
}
