// A trace of a save that Xen's own library does: of what its policy is told.

/// Passes everything on to another policy, and records the rounds that it hears of.
public struct TracingPolicy: Policy {
  /// Where the record is found behind the save.
  public final class Record {
    public fileprivate(set) var trace = Trace()
    fileprivate let clock: any SaveClock
    fileprivate var start: UInt64

    public init(clock: any SaveClock = MonotonicClock()) {
      self.clock = clock
      start = clock.now
    }

    fileprivate var now: UInt64 { clock.now - start }
  }

  private var base: any Policy
  private let record: Record
  /// The round that is being sent.
  private var open: (number: Int, dirtyCount: Int, begin: UInt64)?

  public init(_ base: any Policy, _ record: Record) {
    self.base = base
    self.record = record
  }

  public mutating func begin(_ info: DomainInfo, frameCount: Int) {
    record.trace = Trace(guest: info.guest, frameCount: frameCount, pageCount: info.pageCount)
    base.begin(info, frameCount: frameCount)
  }

  public mutating func decide(_ stats: PrecopyStats) -> Verdict {
    if stats.dirtyCount == nil { close() }
    let verdict = base.decide(stats)
    if let dirty = stats.dirtyCount {
      // Told to stop before a round, Xen still sends it; told to abort, it does not.
      if case .abort = verdict { return verdict }
      open = (stats.iteration, dirty, record.now)
    }
    return verdict
  }

  public mutating func suspended(_ stats: PrecopyStats) {
    close()
    record.trace.suspends.append(.init(begin: record.now, end: record.now))
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

  private mutating func close() {
    guard let round = open else { return }
    open = nil
    record.trace.rounds.append(
      Trace.Round(
        kind: .live, number: round.number, dirtyCount: round.dirtyCount, digest: 0,
        sentCount: round.dirtyCount, octets: 0, begin: round.begin, end: record.now))
  }
}
