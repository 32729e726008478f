// The statistics of precopy: made here alone, whoever sends the rounds.

/// Makes what a policy decides on from what a loop knows: Save's, a replay's or that of Xen's library,
/// which tells its callback the first three only. A loop asks by `decide`, before each round and after
/// it; all times are taken there.
public struct PrecopyRecorder: Sendable {
  /// What the policy was asked with last.
  public private(set) var stats = PrecopyStats()
  /// When the first question was asked; nil before that.
  private var start: UInt64?
  /// When the answer to the last question before a round was there: the round began then.
  private var roundStart: UInt64 = 0

  public init(frameCount: Int) { stats.frameCount = frameCount }

  /// Asks `policy`. `iteration` is how many rounds were sent and `totalWritten` how many pages in them;
  /// `dirtyCount` is nil where nobody knows. A question with a greater iteration than the last one comes
  /// after a round, any other before one. Time that the policy takes is not that of a round.
  public mutating func decide(
    _ policy: inout any Policy, iteration: Int, totalWritten: Int, dirtyCount: Int?,
    now: () -> UInt64
  ) -> PrecopyDecision {
    note(iteration: iteration, totalWritten: totalWritten, dirtyCount: dirtyCount, at: now())
    let verdict = policy.decide(stats)
    if stats.isBeforeRound { roundStart = now() }
    return verdict
  }

  /// Takes in what a loop has made of a policy's measures.
  mutating func note(_ tally: RoundTally) {
    stats.deferredCount = tally.deferredCount
    stats.skippedCount = tally.skippedCount
    stats.hotCounts = tally.hotCounts
    stats.throttle = tally.throttle
    stats.byteCount = tally.byteCount
  }

  /// Takes in how long the guest took to stand still.
  public mutating func noteSuspend(_ nanoseconds: UInt64) { stats.stop.suspend = nanoseconds }

  private mutating func note(iteration: Int, totalWritten: Int, dirtyCount: Int?, at now: UInt64) {
    let isAfterRound = iteration > stats.iteration
    // Xen 4.14 counts in 32 bits: it begins anew at 0 after 16 TiB.
    let sent = totalWritten >= stats.totalWritten ? totalWritten - stats.totalWritten : 0
    let time = now > roundStart ? now - roundStart : 0
    stats.iteration = iteration
    stats.totalWritten = totalWritten
    stats.dirtyCount = dirtyCount
    stats.isBeforeRound = !isAfterRound
    let begin = start ?? now
    start = begin
    stats.elapsed = now > begin ? now - begin : 0
    if isAfterRound {
      noteRound(sent, time)
    } else if iteration > 0, let dirtyCount {
      noteDirtied(dirtyCount, time)
    }
  }

  /// A round of `sent` pages has taken `time` nanoseconds.
  private mutating func noteRound(_ sent: Int, _ time: UInt64) {
    stats.roundTime = time
    stats.bandwidth = rate(sent, time)
    guard stats.bandwidth > 0 else { return }
    // A round of a few pages says little of the link; one of a batch or more counts half.
    let weight = 0.5 * min(1, Double(sent) / Double(PageSender.batchLimit))
    stats.smoothBandwidth =
      stats.smoothBandwidth == 0
      ? stats.bandwidth : (1 - weight) * stats.smoothBandwidth + weight * stats.bandwidth
  }

  /// In `time` nanoseconds, since the last round began, the guest has dirtied `count` pages.
  private mutating func noteDirtied(_ count: Int, _ time: UInt64) {
    stats.dirtyRate = rate(count, time)
    stats.smoothDirtyRate =
      stats.smoothDirtyRate == 0
      ? stats.dirtyRate : 0.5 * (stats.smoothDirtyRate + stats.dirtyRate)
  }

  private func rate(_ count: Int, _ time: UInt64) -> Double {
    time == 0 ? 0 : Double(count) / (Double(time) / 1e9)
  }
}
