// A policy whose decisions stand in the log of whoever manages the domain.

package import Live
package import Reports

/// Passes everything on to another policy, and writes a line for each decision.
package struct LoggingPolicy: Policy {
  private var base: any Policy
  private let name: String
  private let log: (LogLevel, String) -> Void
  /// Whether the rounds are those of Xen's library, which takes decisions only: said once where the policy
  /// wants more.
  package var takesDecisionsOnly = false
  private var hasSaidSo = false

  package init(_ base: any Policy, name: String, log: @escaping (LogLevel, String) -> Void) {
    self.base = base
    self.name = name
    self.log = log
  }

  package mutating func begin(_ info: DomainInfo, frameCount: Int) {
    log(.debug, "policy \(name) decides on domain \(info.id), \(frameCount) pages")
    base.begin(info, frameCount: frameCount)
  }

  package mutating func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    let verdict = base.decide(stats)
    if takesDecisionsOnly, !hasSaidSo, base.measures != RoundMeasures() {
      hasSaidSo = true
      log(
        .warning,
        "policy \(name): Xen's library sends the rounds: it takes continue, stop and abort only")
    }
    let word =
      switch verdict {
      case .continuePrecopy: "continue"
      case .stopAndCopy: "stop and copy"
      case .abort(let reason): "abort" + (reason.isEmpty ? "" : ": " + reason)
      }
    log(
      .debug,
      "policy \(name): \(stats.isBeforeRound ? "before" : "after") round "
        + "\(stats.isBeforeRound ? stats.iteration : stats.iteration - 1), "
        + (stats.dirtyCount.map { "\($0) dirty, " } ?? "")
        + "\(stats.totalWritten) written, \(stats.elapsed / 1_000_000) ms: \(word)")
    return verdict
  }

  package var measures: RoundMeasures { base.measures }
  package mutating func suspended(_ stats: PrecopyStats) { base.suspended(stats) }
  package mutating func postcopy() { base.postcopy() }
  package mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    base.checkpoint(stats, count: count)
  }
  package mutating func end(_ outcome: SaveOutcome) { base.end(outcome) }
}
