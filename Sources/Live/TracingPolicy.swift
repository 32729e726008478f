// A trace of a save that Xen's own library does: of what its policy is told.

/// Passes everything on to another policy, and records the rounds that it hears of.
public struct TracingPolicy: Policy {
  /// Where the record is found after the save.
  public final class Record {
    public fileprivate(set) var trace = Trace()
    fileprivate let clock: any SaveClock
    fileprivate var start: UInt64
    /// The round that is being sent.
    fileprivate var open: (index: Int, dirtyCount: Int?, totalWritten: Int, begin: UInt64)?

    public init(clock: any SaveClock = MonotonicClock()) {
      self.clock = clock
      start = clock.now
    }

    fileprivate var now: UInt64 { clock.now - start }

    /// `callbacks` that also record each time at which the guest is made to stand still.
    public func recording(_ callbacks: ManagerCallbacks) -> ManagerCallbacks {
      var table = callbacks
      guard let suspend = callbacks.suspend else { return table }
      table.suspend = {
        let begin = self.now
        self.close(totalWritten: 0)
        let isDone = suspend()
        if isDone { self.trace.suspends.append(.init(begin: begin, end: self.now)) }
        return isDone
      }
      return table
    }

    fileprivate func close(totalWritten: Int) {
      guard let round = open else { return }
      open = nil
      // Where nobody counted the dirty pages, those that were sent are.
      let sent = round.dirtyCount ?? max(0, totalWritten - round.totalWritten)
      trace.rounds.append(
        Trace.Round(
          kind: .live, index: round.index, dirtyCount: sent, digest: 0, sentCount: sent,
          bytes: 0,
          begin: round.begin, end: now))
    }
  }

  private var base: any Policy
  private let record: Record

  public init(_ base: any Policy, _ record: Record) {
    self.base = base
    self.record = record
  }

  public mutating func begin(_ info: DomainInfo, frameCount: Int) {
    record.trace = Trace(guest: info.guest, frameCount: frameCount, pageCount: info.pageCount)
    base.begin(info, frameCount: frameCount)
  }

  public mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    if !stats.isBeforeRound { record.close(totalWritten: stats.totalWritten) }
    let verdict = base.decide(stats)
    guard stats.isBeforeRound, stats.dirtyCount != 0 else { return verdict }
    // Told to stop before a round, Xen still sends it; told to abort, it does not.
    if case .abort = verdict { return verdict }
    record.open = (stats.iteration, stats.dirtyCount, stats.totalWritten, record.now)
    return verdict
  }

  public var measures: RoundMeasures { base.measures }
  public mutating func suspended(_ stats: PrecopyStats) {
    record.close(totalWritten: stats.totalWritten)
    base.suspended(stats)
  }

  public mutating func postcopy() { base.postcopy() }
  public mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    base.checkpoint(stats, count: count)
  }

  public mutating func end(_ outcome: SaveOutcome) {
    record.trace.end = record.now
    record.trace.outcome =
      switch outcome {
      case .complete: "complete"
      case .aborted: "aborted"
      case .failed: "failed"
      }
    base.end(outcome)
  }
}
