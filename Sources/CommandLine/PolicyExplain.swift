// xensave-lua policy explain: a policy's decisions beside those that were best in hindsight.

internal import SystemIO
internal import ArgumentParser
internal import JSON
internal import Live
internal import PolicyEngine
internal import Reports

struct PolicyExplain: ShellCommand {
  static let name = "explain"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Say which decisions would have been best, in hindsight.",
    discussion: """
      Of stopping after the first, second, ... round, the best is the soonest end among those whose \
      downtime is within the limit; if there is none, the least downtime.
      """)

  @Argument(help: "A policy.", completion: PolicyLibrary.completion) var policy: String
  @OptionGroup var options: BacktestOptions
  @Option(help: "Milliseconds for which the guest may stand still.") var downtime = 300
  @Flag(help: "Print JSON.") var json = false

  mutating func execute() throws -> Int32 {
    guard (0...1_000_000_000).contains(downtime) else {
      throw XensaveError(
        .usage, "--downtime: expected 0 to 1000000000 milliseconds, got \(downtime)")
    }
    let recipes = try options.recipes([policy])
    let limit = UInt64(downtime) * 1_000_000
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for test in try options.tests() {
      let outcome = try options.run(recipes[0], on: test)
      if json {
        PolicyExplain.write(test, outcome, limit: limit, to: &writer)
      } else {
        try writeOut(PolicyExplain.text(test, outcome, limit: limit))
      }
    }
    writer.endArray()
    if json { try writeOut(writer.finish()) }
    return ExitCode.good
  }

  private static func text(
    _ test: Backtest, _ outcome: Backtest.Outcome, limit: UInt64
  ) -> String {
    let best = test.replay.hindsight(downtimeLimit: limit)
    var rows = [["round", "dirty", "if stopped after it", "total", outcome.name, "best"]]
    for (round, result) in stops(test, outcome, best.rounds) {
      rows.append([
        "\(round - 1)", "\(result.rounds[round - 1].dirtyCount)", Shown.time(result.downtime),
        Shown.time(result.total), did(round, outcome),
        round < best.rounds ? "continue" : round == best.rounds ? "stop" : "(too late)",
      ])
    }
    var out = "\(test.name), downtime limit \(Shown.time(limit))\n"
    out += Shown.table(rows, right: [0, 1, 2, 3])
    let (mine, ideal) = (outcome.result, best.result)
    out += "best: stop after round \(best.rounds - 1): "
    out += "downtime \(Shown.time(ideal.downtime)), total \(Shown.time(ideal.total))"
    if ideal.downtime > limit { out += " (no round keeps the limit)" }
    out += "\n\(outcome.name): \(mine.outcome.word)"
    if mine.outcome == .complete {
      out += " after round \(mine.liveRounds - 1): "
      out += "downtime \(Shown.time(mine.downtime)), total \(Shown.time(mine.total))"
    } else {
      out += " after \(Shown.time(mine.total)): \(mine.outcome.reason)"
    }
    return out + "\n\n"
  }

  /// What stopping after each round (from 1) would have given, up to the policy's last and the best.
  private static func stops(
    _ test: Backtest, _ outcome: Backtest.Outcome, _ best: Int
  ) -> [(round: Int, result: Replay.Result)] {
    var out: [(Int, Replay.Result)] = []
    for round in 1..<max(outcome.result.liveRounds, best) + 1 {
      let result = test.replay.run(StopAfter(rounds: round))
      guard result.liveRounds == round else { break }
      out.append((round, result))
    }
    return out
  }

  private static func write(
    _ test: Backtest, _ outcome: Backtest.Outcome, limit: UInt64, to writer: inout JSONWriter
  ) {
    let best = test.replay.hindsight(downtimeLimit: limit)
    writer.beginObject()
    writer.member("trace", test.name)
    writer.member("policy", outcome.name)
    writer.member("downtime_limit_ns", limit)
    writer.key("rounds")
    writer.beginArray()
    for (round, result) in stops(test, outcome, best.rounds) {
      writer.beginObject()
      writer.member("round", round - 1)
      writer.member("dirty_count", result.rounds[round - 1].dirtyCount)
      writer.member("downtime_ns", result.downtime)
      writer.member("total_ns", result.total)
      let did = did(round, outcome)
      if !did.isEmpty { writer.member("did", did) }
      writer.endObject()
    }
    writer.endArray()
    writer.member("best_round", best.rounds - 1)
    writer.member("best_downtime_ns", best.result.downtime)
    writer.member("best_total_ns", best.result.total)
    writer.member("outcome", outcome.result.outcome.word)
    if !outcome.result.outcome.reason.isEmpty {
      writer.member("reason", outcome.result.outcome.reason)
    }
    writer.member("downtime_ns", outcome.result.downtime)
    writer.member("total_ns", outcome.result.total)
    writer.endObject()
  }

  /// What the policy did after round `round` (from 1).
  private static func did(_ round: Int, _ outcome: Backtest.Outcome) -> String {
    let rounds = outcome.result.liveRounds
    if round < rounds { return "continue" }
    guard round == rounds else { return "" }
    if case .aborted = outcome.result.outcome { return "abort" }
    return "stop"
  }
}
