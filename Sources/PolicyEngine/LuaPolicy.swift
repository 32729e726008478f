// A script as the policy of a save.

package import Format
package import Live
internal import LuaRuntime
package import Reports
internal import SystemIO

/// Asks a script, and never depends on it: where it fails, takes too long or says nonsense, Xen's
/// builtin policy answers that call and one line is logged; three times in a row put it out for
/// good.
package final class LuaPolicy: Policy, RestoreObserver {
  /// Nanoseconds for one call.
  package static let defaultDeadline: UInt64 = 100_000_000
  static let strikeLimit = 3

  package let name: String
  package let runner: any PolicyRunner
  private let deadline: UInt64
  private let log: (LogLevel, String) -> Void
  /// Seconds since 1970 at this many nanoseconds of a save.
  private let wallTime: (UInt64) -> Double
  /// What decides where the script does not.
  package var builtin: any Policy = XenDefaultPolicy()
  private var strikes = 0
  private(set) var isOut = false
  /// Calls of the script, those that failed, and nanoseconds that they took, the way to its thread
  /// included.
  package private(set) var callCount = 0
  package private(set) var failureCount = 0
  package private(set) var time: UInt64 = 0
  /// What was decided and what it was decided on.
  package private(set) var decisions:
    [(stats: PrecopyStats, verdict: PrecopyDecision, isBuiltin: Bool)] =
      []
  private var last = PrecopyStats()
  /// What the last answer wants of the next round.
  package private(set) var measures = RoundMeasures()

  /// `wallTime` is the machine's clock, or a replay's.
  package init(
    _ runner: any PolicyRunner, name: String, deadline: UInt64 = LuaPolicy.defaultDeadline,
    wallTime: ((UInt64) -> Double)? = nil, log: @escaping (LogLevel, String) -> Void
  ) {
    self.runner = runner
    self.name = runner.name.isEmpty ? name : runner.name
    self.deadline = deadline
    self.log = log
    self.wallTime = wallTime ?? { _ in LocalTime.now }
  }

  // MARK: - Policy

  package func begin(_ info: DomainInfo, frameCount: Int) {
    decisions = []
    measures = RoundMeasures()
    _ = ask(.start(info.luaValue(frameCount: frameCount)))
  }

  package func decide(_ stats: PrecopyStats) -> PrecopyDecision {
    last = stats
    var verdict: PrecopyDecision?
    if !isOut {
      guard stats.isBeforeRound || runner.asksTwice else { return .continuePrecopy }
      guard runner.has("precopy") else { return builtin.decide(stats) }
      if case .verdict(let answer, let wanted)? = ask(.decide(moment(stats))) {
        verdict = answer
        if let wanted { measures = wanted }
      }
    }
    // Xen's own answers want nothing: a policy that is out leaves no guest throttled.
    if verdict == nil { measures = RoundMeasures() }
    let isBuiltin = verdict == nil
    let decided = verdict ?? builtin.decide(stats)
    if decisions.count < 10_000 { decisions.append((stats, decided, isBuiltin)) }
    return decided
  }

  package func suspended(_ stats: PrecopyStats) { _ = ask(.suspended(moment(stats))) }
  package func postcopy() { _ = ask(.postcopy) }

  package func checkpoint(_ stats: PrecopyStats, count: Int) -> Bool {
    if case .shouldContinue(let shouldContinue)? = ask(.checkpoint(moment(stats), count: count)) {
      return shouldContinue
    }
    return true
  }

  package func end(_ outcome: SaveOutcome) {
    var fields: [(name: String, value: LuaValue)] = [
      ("rounds", .integer(Int64(last.iteration))),
      ("total_written", .integer(Int64(last.totalWritten))),
      ("elapsed", .number(Double(last.elapsed) / 1e9)),
    ]
    switch outcome {
    case .complete:
      fields.append(("outcome", .text("complete")))
      _ = ask(.complete(.table(fields)))
    case .aborted(let reason): fail("aborted", reason, fields)
    case .failed(let reason): fail("failed", reason, fields)
    }
  }

  private func fail(_ code: String, _ message: String, _ fields: [(name: String, value: LuaValue)])
  {
    _ = ask(.failed(.table(fields + [("code", .text(code)), ("message", .text(message))])))
  }

  // MARK: - RestoreObserver

  package func begin(_ guest: GuestType, xenMajor: UInt32, xenMinor: UInt32) {
    _ = ask(
      .restore(
        .table([("guest", .text(guest.name)), ("xen", .text("\(xenMajor).\(xenMinor)"))])))
  }

  package func staticDataDone(missing: [RecordType]) { _ = ask(.staticData(missing.map(\.name))) }

  // MARK: - Asking

  private func moment(_ stats: PrecopyStats) -> PolicyMoment {
    let time = wallTime(stats.elapsed)
    return PolicyMoment(stats: stats, time: time, hour: LocalTime.hour(at: time))
  }

  /// The answer; nil where there is none to be had.
  private func ask(_ event: PolicyEvent) -> PolicyAnswer? {
    guard !isOut, runner.has(event.method) else { return nil }
    let start = monotonicNanoseconds()
    defer { time += monotonicNanoseconds() - start }
    callCount += 1
    do throws(LuaError) {
      let (answer, messages) = try runner.run(event, deadline: deadline)
      for message in messages { log(message.level, "\(name): \(message.text)") }
      strikes = 0
      return answer
    } catch {
      failureCount += 1
      strikes += 1
      isOut = strikes >= LuaPolicy.strikeLimit || error.code == "stuck"
      let instead = event.method == "precopy" ? "the builtin policy decides" : "passed over"
      log(
        .warning,
        "policy \(name): \(event.method): \(firstLine(error.message)) (\(instead)"
          + (isOut ? ", and the policy is out)" : ")"))
      return nil
    }
  }

  private func firstLine(_ text: String) -> String { String(text.prefix { $0 != "\n" }) }
}
