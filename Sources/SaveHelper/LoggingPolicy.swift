// A policy whose decisions stand in libxl's log.

internal import HelperProtocol
internal import Live

/// Passes everything on to another policy, and writes a line for each decision.
struct LoggingPolicy: Policy {
  private var base: any Policy
  private let name: String
  private let channel: HelperChannel
  /// Whether the rounds are those of Xen's library, which takes decisions only: said once where the policy
  /// wants more.
  var takesDecisionsOnly = false
  private var hasSaidSo = false

  init(_ base: any Policy, name: String, _ channel: HelperChannel) {
    self.base = base
    self.name = name
    self.channel = channel
  }

  mutating func begin(_ info: DomainInfo, frameCount: Int) {
    channel.log(.debug, "policy \(name) decides on domain \(info.id), \(frameCount) pages")
    base.begin(info, frameCount: frameCount)
  }

  mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    let verdict = base.decide(stats)
    if takesDecisionsOnly, !hasSaidSo, base.measures != RoundMeasures() {
      hasSaidSo = true
      channel.log(
        .warn,
        "policy \(name): Xen's library sends the rounds: it takes continue, stop and abort only")
    }
    let word =
      switch verdict {
      case .continuePrecopy: "continue"
      case .stopAndCopy: "stop and copy"
      case .abort(let reason): "abort" + (reason.isEmpty ? "" : ": " + reason)
      }
    channel.log(
      .debug,
      "policy \(name): \(stats.isBeforeRound ? "before" : "after") round "
        + "\(stats.isBeforeRound ? stats.iteration : stats.iteration - 1), "
        + (stats.dirtyCount.map { "\($0) dirty, " } ?? "")
        + "\(stats.totalWritten) written, \(stats.elapsed / 1_000_000) ms: \(word)")
    return verdict
  }

  var measures: RoundMeasures { base.measures }
  mutating func suspended(_ stats: PrecopyStats) { base.suspended(stats) }
  mutating func postcopy() { base.postcopy() }
  mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    base.checkpoint(stats, count: count)
  }
  mutating func end(_ outcome: SaveOutcome) { base.end(outcome) }
}
