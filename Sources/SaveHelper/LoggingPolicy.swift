// A policy whose decisions stand in the log of whoever manages the domain.

package import Live
package import Reports

/// Passes everything on to another policy, and writes a line for each decision.
package struct LoggingPolicy: Policy {
  private var base: any Policy
  private let name: String
  private let log: (LogLevel, String) -> Void

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

  package mutating func suspended(_ stats: PrecopyStats) { base.suspended(stats) }
  package mutating func postcopy() { base.postcopy() }
  package mutating func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    base.checkpoint(stats, count: count)
  }
  package mutating func end(_ outcome: SaveOutcome) { base.end(outcome) }
}
