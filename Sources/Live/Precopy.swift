// The rounds of precopy: the one loop that saves and replays share.

internal import Bytes

/// Runs rounds until the policy is content. Xen: xg_sr_save.c, send_memory_live.
struct Precopy {
  var stats = PrecopyStats()

  init(frameCount: Int) { stats.frameCount = frameCount }

  /// Sends rounds: all pages first, then what was dirtied meanwhile. `send` sends round `number`
  /// of this many dirty pages and returns how many pages it wrote with their contents; `clean`
  /// returns how many pages were dirtied since the last round began.
  ///
  /// The policy is asked twice a round. Told to stop before a round, that round is still sent: it
  /// is cheaper now than while the guest stands still.
  mutating func run(
    _ policy: inout any Policy, now: () -> UInt64,
    send: (_ number: Int, _ dirtyCount: Int) throws(LiveError) -> Void,
    clean: () throws(LiveError) -> Int
  ) throws(LiveError) -> Verdict {
    let start = now()
    stats.dirtyCount = stats.frameCount
    while true {
      let dirty = stats.dirtyCount ?? 0
      stats.elapsed = now() - start
      var verdict = policy.decide(stats)
      if case .abort = verdict { return verdict }
      let began = now()
      if dirty > 0 { try send(stats.iteration, dirty) }
      if verdict != .proceed { return verdict }
      stats.iteration += 1
      stats.totalWritten = stats.totalWritten.addingSaturated(dirty)
      stats.dirtyCount = nil
      let ended = now()
      stats.roundTime = ended - began
      stats.bandwidth = rate(dirty, stats.roundTime)
      if stats.bandwidth > 0 {
        // A round of a few pages says little of the link; one of a batch or more counts half.
        let weight = 0.5 * min(1, Double(dirty) / Double(PageSender.batchLimit))
        stats.smoothBandwidth =
          stats.smoothBandwidth == 0
          ? stats.bandwidth
          : (1 - weight) * stats.smoothBandwidth + weight * stats.bandwidth
      }
      stats.elapsed = ended - start
      verdict = policy.decide(stats)
      if verdict != .proceed { return verdict }
      let dirtied = try clean()
      stats.dirtyCount = dirtied
      stats.dirtyRate = rate(dirtied, now() - began)
      stats.smoothDirtyRate =
        stats.smoothDirtyRate == 0
        ? stats.dirtyRate : 0.5 * (stats.smoothDirtyRate + stats.dirtyRate)
    }
  }

  private func rate(_ count: Int, _ time: UInt64) -> Double {
    time == 0 ? 0 : Double(count) / (Double(time) / 1e9)
  }
}
