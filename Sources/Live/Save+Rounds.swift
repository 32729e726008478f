// What a policy wants of a live save's rounds beside sending them.

internal import Bytes
internal import SystemIO

extension Save {
  /// A round while the guest runs, as the policy wants it; how many pages of it were sent.
  func sendRound(_ iteration: Int, _ count: Int) throws -> Int {
    let measures = tally.measures
    throttle(measures.throttle)
    sender.byteLimit = measures.byteLimit
    // Batches of the first round stay whole: restorers make superpages of them.
    sender.skipsDirtyPages = measures.skipsDirtyPages && iteration > 0
    var round = bitmap
    if let deferral = measures.deferral {
      let hot = heat.hot(bitmap, deferral)
      round.subtract(hot)
      sender.deferred.formUnion(hot)
    }
    let skipped = sender.skippedCount
    var parts = [round]
    if measures.order == .coldFirst, iteration > 0 {
      let hot = heat.hot(round, RoundMeasures.Deferral(hits: 2, rounds: PageHeat.roundLimit))
      round.subtract(hot)
      parts = [round, hot]
    }
    let sent = parts.reduce(0) { $0 + $1.setCount }
    try send(
      .live, iteration, dirtyCount: count, "Frames iteration \(iteration)", in: parts)
    tally.skippedCount = sender.skippedCount - skipped
    tally.byteCount = sink.position
    return sent - tally.skippedCount
  }

  /// What was dirtied since the last round.
  func cleanRound() throws -> Int {
    let count = try clean(isFinal: false)
    heat.note(bitmap)
    tally.hotCounts = heat.counts
    var waiting = sender.deferred
    waiting.subtract(bitmap)
    tally.deferredCount = waiting.setCount
    return count
  }

  /// Throttles the guest, where it can be. What cannot be done is said once, and does not end a save.
  func throttle(_ percent: Int) {
    guard percent != tally.throttle, canThrottle || percent == 0 else { return }
    do {
      try domain.throttle(percent)
      tally.throttle = percent
    } catch {
      canThrottle = false
      if percent > 0 { warnings.append("the guest was not throttled: \(error)") }
    }
  }
}
