// What a policy would have done in a save that was recorded.

internal import Bytes

/// Replays a trace in virtual time against a link of another speed, with any policy.
///
/// The model: the guest's time line is the trace's. In the interval of a recorded round it dirties
/// pages at an even rate, so that at the interval's end there are as many as were found; after the
/// last interval its rate continues. Pages of two intervals are taken to be different ones, up to all
/// pages of the domain: a round longer than the recorded ones is an upper bound. Pages after the
/// first round all have contents. A round of `d` pages of which `p` have contents takes
/// 16 * ceil(d / 1024) + 8 * d + 4096 * p bytes.
///
/// What a policy wants of its rounds is modelled by the share of pages that were dirty in two rounds running,
/// where the trace says it: those are the pages that a deferral finds (from its `hits`-th round on), and
/// half of them are dirty again when their turn comes, so that `skip` leaves them out. A throttled guest's
/// time passes slower. Without that share nothing is deferred or skipped.
public struct Replay: Sendable {
  /// What came of it. Times in nanoseconds.
  public struct Result: Sendable, Equatable {
    public var outcome: SaveOutcome
    /// Rounds that were sent while the guest ran.
    public var liveRounds: Int
    public var bytes: UInt64
    /// From the guest standing still to the last byte; 0 if the policy gave up.
    public var downtime: UInt64
    public var total: UInt64
    /// The rounds, the final one included.
    public var rounds: [Round]
    /// The dirty pages of each round.
    public var dirtyCounts: [Int] { rounds.map(\.dirtyCount) }
    /// Bytes sent, in relation to sending all pages with contents once.
    public var sentRatio: Double
  }

  /// A round that was sent. Times since the first one began.
  public struct Round: Sendable, Equatable {
    public let dirtyCount: Int
    public let begin: UInt64
    public let end: UInt64
    /// Whether the guest stood still.
    public let isFinal: Bool
  }

  /// How fast the guest dirtied pages, from one time to another.
  public struct Interval: Sendable {
    /// Nanoseconds since the first round began.
    public let begin: Double
    public let end: Double
    /// Pages a nanosecond.
    public let rate: Double
    /// Of the pages of the round after it, the share that was dirty in the round before, too; 0 where the
    /// trace does not say.
    public let again: Double
  }

  private let trace: Trace
  private let bytesPerSecond: Double
  private let firstDataCount: Int
  private let suspendTime: UInt64
  /// The guest's time line.
  public let intervals: [Interval]

  /// A replay of `trace` over a link of `bytesPerSecond`. The trace must be of a save that came at
  /// least to the end of its first round; nil otherwise.
  public init?(_ trace: Trace, bytesPerSecond: UInt64) {
    let rounds = trace.rounds.filter { $0.kind == .live || $0.kind == .final }
    guard let first = rounds.first, first.kind == .live, bytesPerSecond > 0 else { return nil }
    self.trace = trace
    self.bytesPerSecond = Double(bytesPerSecond)
    firstDataCount = first.sentCount
    suspendTime = trace.suspends.first.map { $0.end > $0.begin ? $0.end - $0.begin : 0 } ?? 0
    var intervals: [Interval] = []
    for (round, next) in zip(rounds, rounds.dropFirst()) {
      let end = next.kind == .final ? trace.suspends.first?.end ?? next.begin : next.begin
      guard end > round.begin, round.begin >= first.begin else { continue }
      let span = Double(end - round.begin)
      intervals.append(
        Interval(
          begin: Double(round.begin - first.begin), end: Double(end - first.begin),
          rate: Double(next.dirtyCount) / span,
          again: next.againCount.map { min(1, Double($0) / Double(max(next.dirtyCount, 1))) } ?? 0))
    }
    self.intervals = intervals
  }

  /// Pages that the guest dirties from `begin` to `end`.
  public func dirtied(from begin: UInt64, to end: UInt64) -> Int {
    let (begin, end) = (Double(begin), Double(end))
    var count = 0.0
    for interval in intervals {
      count += max(0, min(end, interval.end) - max(begin, interval.begin)) * interval.rate
    }
    if let last = intervals.last { count += max(0, end - max(begin, last.end)) * last.rate }
    return min(trace.frameCount, Int(saturating: count.rounded()))
  }

  /// The share of pages that were dirty in the round before, too, at a guest's time.
  func again(at time: UInt64) -> Double {
    let time = Double(time)
    return (intervals.last { $0.begin < time } ?? intervals.first)?.again ?? 0
  }

  /// Bytes of a round of `dirty` pages, of which `data` have contents.
  public static func bytes(dirty: Int, data: Int) -> UInt64 {
    // Of counts that no domain has, the greatest number there is.
    let heads = dirty.addingSaturated(1023) / 1024 * 16
    let tables = heads.addingSaturated(dirty.multipliedSaturated(by: 8))
    return UInt64(max(0, tables.addingSaturated(data.multipliedSaturated(by: 4096))))
  }

  /// Runs `policy` on it.
  public func run(_ policy: any Policy) -> Result {
    var policy = policy
    let info = DomainInfo(
      id: 0, guest: trace.guest, pageCount: trace.pageCount, onlineVCPUs: [], xenMajor: 0,
      xenMinor: 0)
    policy.begin(info, frameCount: trace.frameCount)
    var now: UInt64 = 0
    // A throttled guest's time passes slower than the clock's.
    var guest: UInt64 = 0
    var lastClean: UInt64 = 0
    var waiting = 0
    let tally = RoundTally()
    var sent: UInt64 = 0
    var rounds = 0
    var sentRounds: [Round] = []
    // Over a link that is slow enough time comes to an end, which every clock can still show.
    func pass(_ time: UInt64) {
      now = min(now.addingSaturated(time), UInt64(Int64.max))
      let share = Double(100 - tally.throttle) / 100
      let passed = tally.throttle == 0 ? time : UInt64(saturating: Double(time) * share)
      guest = min(guest.addingSaturated(passed), UInt64(Int64.max))
    }
    func send(_ dirty: Int, _ data: Int, isFinal: Bool = false) {
      let bytes = Replay.bytes(dirty: dirty, data: data)
      let begin = now
      sent = sent.addingSaturated(bytes)
      tally.byteCount = sent
      let limit = isFinal ? nil : tally.measures.byteLimit
      let speed = min(bytesPerSecond, limit.map(Double.init) ?? .infinity)
      pass(UInt64(saturating: (Double(bytes) / speed * 1e9).rounded()))
      sentRounds.append(Round(dirtyCount: dirty, begin: begin, end: now, isFinal: isFinal))
    }
    func result(_ outcome: SaveOutcome, _ downtime: UInt64) -> Result {
      policy.end(outcome)
      let whole = Replay.bytes(dirty: trace.frameCount, data: firstDataCount)
      return Result(
        outcome: outcome, liveRounds: rounds, bytes: sent, downtime: downtime, total: now,
        rounds: sentRounds, sentRatio: Double(sent) / Double(max(whole, 1)))
    }
    func clean() -> Int {
      defer { lastClean = guest }
      return dirtied(from: lastClean, to: guest)
    }
    /// Pages of a round that are sent: without what is deferred, and what is dirty again.
    func sending(_ count: Int, _ round: Int) -> Int {
      let hot = Int(Double(count) * again(at: guest))
      var rest = count
      tally.skippedCount = 0
      if let deferral = tally.measures.deferral, round >= deferral.hits {
        waiting = max(waiting, hot)
        rest -= hot
      } else if tally.measures.skipsDirtyPages, round > 0 {
        tally.skippedCount = hot / 2
        rest -= hot / 2
      }
      return rest
    }
    var precopy = Precopy(frameCount: trace.frameCount, tally: tally)
    let verdict: PrecopyDecision
    do {
      verdict = try precopy.run(&policy, now: { now }) { round, dirty in
        tally.throttle = tally.measures.throttle
        let count = sending(dirty ?? 0, round)
        send(count, round == 0 ? firstDataCount : count)
        rounds += 1
        return count
      } clean: {
        let count = clean()
        let share = again(at: guest)
        if share > 0 {
          let hot = Int(Double(count) * share)
          tally.hotCounts = [count] + [Int](repeating: hot, count: PageHeat.roundLimit - 1)
        }
        tally.deferredCount = Int(Double(waiting) * (1 - share))
        return count
      }
    } catch { return result(.failed("\(error)"), 0) }
    if case .abort(let reason) = verdict { return result(.aborted(reason), 0) }
    pass(suspendTime)
    tally.throttle = 0
    let dirty = min(
      trace.frameCount, clean() + Int(Double(waiting) * (1 - again(at: guest))))
    var stats = precopy.stats
    stats.stop.suspend = suspendTime
    policy.suspended(stats)
    let stopped = now
    send(dirty, dirty, isFinal: true)
    return result(.complete, now - stopped)
  }

  /// The best that a policy could have done, knowing everything: of stopping after 1, 2, ...
  /// `roundLimit` rounds, the soonest end among those whose downtime is within `downtimeLimit`; if
  /// there is none, the least downtime.
  public func hindsight(
    downtimeLimit: UInt64, roundLimit: Int = 30
  ) -> (rounds: Int, result: Result) {
    precondition(roundLimit > 0)
    var best = (rounds: 1, result: run(StopAfter(rounds: 1)))
    for rounds in 2..<max(roundLimit + 1, 2) {
      let result = run(StopAfter(rounds: rounds))
      // Rounds with nothing to send are not sent: more of them change nothing.
      guard result.liveRounds == rounds else { break }
      let isWithin = result.downtime <= downtimeLimit
      let wasWithin = best.result.downtime <= downtimeLimit
      let isBetter =
        isWithin == wasWithin
        ? (isWithin
          ? result.total < best.result.total : result.downtime < best.result.downtime)
        : isWithin
      if isBetter { best = (rounds, result) }
    }
    return best
  }
}

/// Stops when this many rounds have been sent, whatever is dirty.
public struct StopAfter: Policy, Sendable {
  public var rounds: Int
  public init(rounds: Int) { self.rounds = rounds }

  public func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    !stats.isBeforeRound && stats.iteration >= rounds ? .stopAndCopy : .continuePrecopy
  }
}
