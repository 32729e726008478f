// xensave-lua policy: lists policies, and tries them on recorded saves.

internal import ArgumentParser
internal import Format
internal import JSON
internal import Live
internal import LuaRuntime
internal import SystemIO

struct PolicyCommand: ShellCommand {
  static let configuration = CommandConfiguration(
    commandName: "policy", abstract: "Try migration policies on recorded saves.",
    subcommands: [PolicyList.self, PolicyTest.self, PolicyExplain.self])

  mutating func execute() throws -> Int32 {
    try writeOut(PolicyCommand.helpMessage() + "\n")
    return ExitCode.usage
  }
}

struct PolicyList: ShellCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List the policies that come with the program.")

  mutating func execute() throws -> Int32 {
    try writeOut(Shown.table(PolicyLibrary.shipped.map { [$0.name, $0.summary] }, right: []))
    return ExitCode.good
  }
}

/// What both commands take.
struct BacktestOptions: ParsableArguments {
  @Option(
    parsing: .upToNextOption, help: "Traces of saves: dom:save{ trace = FILE } records them.",
    completion: .file())
  var trace: [String] = []
  @Option(help: "The link, in bits a second: 10G, 800M.") var link = "10G"
  @Option(help: "The hour at which the save begins, for policies that look at it: 23:30.")
  var at: String?
  @Option(
    name: .customLong("set"),
    help: "K=V: the value of an option, for each policy that has one of this name.")
  var settings: [String] = []

  func tests() throws(Failure) -> [Backtest] {
    guard !trace.isEmpty else { throw Failure(ExitCode.usage, "expected --trace FILE") }
    guard let speed = Backtest.link(link) else {
      throw Failure(
        ExitCode.usage, "--link: expected bits a second such as 10G or 800M, got '\(link)'")
    }
    var hour: Double?
    if let at {
      hour = Backtest.hour(at)
      guard hour != nil else {
        throw Failure(ExitCode.usage, "--at: expected an hour such as 23:30, got '\(at)'")
      }
    }
    var out: [Backtest] = []
    for path in trace {
      do throws(LuaError) {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        out.append(
          try Backtest(name, Backtest.read(path), octetsPerSecond: speed, hour: hour))
      } catch { throw failure(error) }
    }
    return out
  }

  /// A policy with those settings that it has options for.
  func recipes(_ words: [String]) throws(Failure) -> [PolicyRecipe] {
    var values: [String: PolicyOption] = [:]
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw Failure(ExitCode.usage, "--set: expected NAME=VALUE, got '\(setting)'")
      }
      values[parts[0]] = .word(parts[1])
    }
    var used: Set<String> = []
    var out: [PolicyRecipe] = []
    for word in words {
      do throws(LuaError) {
        var recipe = PolicyRecipe(source: try PolicyLibrary.find(word))
        if !values.isEmpty {
          // What it declares is known once it has run; a maker of policies takes them all.
          let plain = try recipe.make(log: { _, _ in })
          if case .table(let fields) = plain.runner.options {
            for (name, _) in fields { recipe.options[name] = values[name] }
          }
          used.formUnion(recipe.options.keys)
          _ = try recipe.make(log: { _, _ in })
        }
        out.append(recipe)
      } catch { throw failure(error) }
    }
    if let unused = values.keys.filter({ !used.contains($0) }).min() {
      throw Failure(ExitCode.usage, "--set: none of these policies has an option '\(unused)'")
    }
    return out
  }

  /// A file that is not there is the command line's mistake; one that is wrong is a finding.
  func failure(_ error: LuaError) -> Failure {
    Failure(error.code == "enoent" ? ExitCode.usage : ExitCode.findings, error.message)
  }

  func run(_ recipe: PolicyRecipe, on test: Backtest) throws(Failure) -> Backtest.Outcome {
    do throws(LuaError) {
      return test.run(
        try recipe.make(wallTime: test.wallTime) { level, text in
          if level >= .warning { writeError("xensave-lua: \(text)\n") }
        })
    } catch { throw failure(error) }
  }
}

struct PolicyTest: ShellCommand {
  static let configuration = CommandConfiguration(
    commandName: "test", abstract: "Replay recorded saves with policies, side by side.",
    discussion: """
      Xen's builtin policy is always among them. The guest dirties pages as it did when the trace was \
      recorded; rounds take the time that the link takes. POLICY is a name (xensave-lua policy list) \
      or the path of a Lua file. Exit code 1 if a policy failed or was put out.
      """)

  @Argument(help: "Policies.") var policies: [String] = []
  @OptionGroup var options: BacktestOptions
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print a Markdown table of all traces.") var markdown = false
  @Option(help: "Write a picture of the first trace.", completion: .file()) var svg: String?

  mutating func execute() throws -> Int32 {
    let tests = try options.tests()
    let names = policies.contains("builtin") ? policies : ["builtin"] + policies
    let recipes = try options.recipes(names)
    var all: [(test: Backtest, outcomes: [Backtest.Outcome])] = []
    for test in tests {
      var outcomes: [Backtest.Outcome] = []
      for recipe in recipes { outcomes.append(try options.run(recipe, on: test)) }
      all.append((test, outcomes))
    }
    if json {
      try writeOut(PolicyTest.json(all))
    } else if markdown {
      try writeOut(PolicyTest.markdown(all))
    } else {
      for (test, outcomes) in all { try writeOut(PolicyTest.text(test, outcomes)) }
    }
    if let svg, let first = all.first {
      do throws(SystemError) {
        let output = try OutputFile(creating: svg)
        try output.sink.write(Array(BacktestPlot.svg(first.test, first.outcomes).utf8))
        try output.commit()
      } catch { throw Failure(error) }
    }
    return all.allSatisfy { $0.outcomes.allSatisfy { $0.failureCount == 0 } }
      ? ExitCode.good : ExitCode.findings
  }

  private static func cells(_ outcome: Backtest.Outcome) -> [String] {
    let result = outcome.result
    return [
      outcome.name, result.outcome.word, "\(result.liveRounds)", Shown.octets(result.octets),
      Shown.fixed(result.sentRatio * 100, 0) + "%",
      result.outcome == .complete ? Shown.time(result.downtime) : "-", Shown.time(result.total),
      result.outcome.reason,
    ]
  }

  private static let header = [
    "policy", "outcome", "rounds", "sent", "of memory", "downtime", "total",
  ]

  private static func text(_ test: Backtest, _ outcomes: [Backtest.Outcome]) -> String {
    "\(test.name): \(test.trace.pageCount) pages, "
      + "\(test.trace.rounds.count) rounds recorded\n"
      + Shown.table([header] + outcomes.map(cells), right: [2, 3, 4, 5, 6]) + "\n"
  }

  private static func markdown(_ all: [(test: Backtest, outcomes: [Backtest.Outcome])]) -> String {
    var out = "| trace | " + header.joined(separator: " | ") + " |\n|---|---|---|"
    out += "---:|---:|---:|---:|---:|\n"
    for (test, outcomes) in all {
      for outcome in outcomes {
        let row = cells(outcome).prefix(header.count)
        out += "| \(test.name.split(separator: ".").first ?? "") | "
        out += row.joined(separator: " | ") + " |\n"
      }
    }
    return out
  }

  private static func json(_ all: [(test: Backtest, outcomes: [Backtest.Outcome])]) -> [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for (test, outcomes) in all {
      writer.beginObject()
      writer.member("trace", test.name)
      writer.member("pages", test.trace.pageCount)
      writer.member("link_octets_per_second", test.octetsPerSecond)
      writer.key("policies")
      writer.beginArray()
      for outcome in outcomes { write(outcome, &writer) }
      writer.endArray()
      writer.endObject()
    }
    writer.endArray()
    return writer.finish() + [10]
  }

  private static func write(_ outcome: Backtest.Outcome, _ writer: inout JSONWriter) {
    let result = outcome.result
    writer.beginObject()
    writer.member("policy", outcome.name)
    writer.member("outcome", result.outcome.word)
    if !result.outcome.reason.isEmpty { writer.member("reason", result.outcome.reason) }
    writer.member("rounds", result.liveRounds)
    writer.member("octets", result.octets)
    writer.member("sent_permille", Int((result.sentRatio * 1000).rounded()))
    writer.member("downtime_ns", result.downtime)
    writer.member("total_ns", result.total)
    writer.member("failed_calls", outcome.failureCount)
    writer.key("dirty_counts")
    writer.beginArray()
    for count in result.dirtyCounts { writer.value(count) }
    writer.endArray()
    writer.key("decisions")
    writer.beginArray()
    for decision in outcome.decisions {
      writer.beginObject()
      writer.member("round", decision.stats.iteration)
      if let dirty = decision.stats.dirtyCount { writer.member("dirty_count", dirty) }
      writer.member("decision", decision.verdict.word)
      if decision.isBuiltin { writer.member("by", "builtin") }
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }
}

struct PolicyExplain: ShellCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain", abstract: "Say which decisions would have been best, in hindsight.",
    discussion: """
      Of stopping behind the first, second, ... round, the best is the soonest end among those whose \
      downtime is within the limit; if there is none, the least downtime.
      """)

  @Argument(help: "A policy.") var policy: String
  @OptionGroup var options: BacktestOptions
  @Option(help: "Milliseconds for which the guest may stand still.") var downtime = 300

  mutating func execute() throws -> Int32 {
    guard downtime >= 0 else { throw Failure(ExitCode.usage, "--downtime: expected 0 or more") }
    let recipes = try options.recipes([policy])
    for test in try options.tests() {
      let outcome = try options.run(recipes[0], on: test)
      try writeOut(
        PolicyExplain.text(test, outcome, limit: UInt64(downtime) * 1_000_000))
    }
    return ExitCode.good
  }

  private static func text(
    _ test: Backtest, _ outcome: Backtest.Outcome, limit: UInt64
  ) -> String {
    let best = test.replay.hindsight(downtimeLimit: limit)
    var rows = [["round", "dirty", "if stopped behind it", "total", outcome.name, "best"]]
    let last = max(outcome.result.liveRounds, best.rounds)
    for round in 1..<last + 1 {
      let result = test.replay.run(StopBehind(rounds: round))
      guard result.liveRounds == round else { break }
      rows.append([
        "\(round - 1)", "\(result.rounds[round - 1].dirtyCount)", Shown.time(result.downtime),
        Shown.time(result.total), did(round, outcome),
        round < best.rounds ? "continue" : round == best.rounds ? "stop" : "(too late)",
      ])
    }
    var out = "\(test.name), downtime limit \(Shown.time(limit))\n"
    out += Shown.table(rows, right: [0, 1, 2, 3])
    let (mine, ideal) = (outcome.result, best.result)
    out += "best: stop behind round \(best.rounds - 1): "
    out += "downtime \(Shown.time(ideal.downtime)), total \(Shown.time(ideal.total))"
    if ideal.downtime > limit { out += " (no round keeps the limit)" }
    out += "\n\(outcome.name): \(mine.outcome.word)"
    if mine.outcome == .complete {
      out += " behind round \(mine.liveRounds - 1): "
      out += "downtime \(Shown.time(mine.downtime)), total \(Shown.time(mine.total))"
    } else {
      out += " after \(Shown.time(mine.total)): \(mine.outcome.reason)"
    }
    return out + "\n\n"
  }

  /// What the policy did behind its round `number` (from 1).
  private static func did(_ number: Int, _ outcome: Backtest.Outcome) -> String {
    let rounds = outcome.result.liveRounds
    if number < rounds { return "continue" }
    guard number == rounds else { return "" }
    if case .aborted = outcome.result.outcome { return "abort" }
    return "stop"
  }
}
