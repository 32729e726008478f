// xensave-lua policy: lists policies, and tries them on recorded saves.

internal import ArgumentParser
internal import Bytes
internal import Format
internal import JSON
internal import Live
internal import LuaAPI
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import SystemIO

struct PolicyCommand: ShellCommand {
  static let name = "policy"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Try migration policies on recorded saves.",
    subcommands: [PolicyList.self, PolicyTest.self, PolicyExplain.self, PolicyTune.self])

  mutating func execute() throws -> Int32 {
    try writeOut(PolicyCommand.helpMessage() + "\n")
    return ExitCode.usage
  }
}

struct PolicyList: ShellCommand {
  static let name = "list"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "List the policies that come with the program.")

  @Flag(help: "Print JSON.") var json = false

  mutating func execute() throws -> Int32 {
    if PolicyLibrary.shipped.isEmpty { throw ModulePaths.nothingInstalled("policies") }
    if json {
      try writeOut(
        JSONWriter.document {
          $0.objects(PolicyLibrary.shipped) { writer, policy in
            writer.member("name", policy.name)
            writer.member("summary", policy.summary)
            writer.member("path", policy.path)
          }
        })
      return ExitCode.good
    }
    try writeOut(Shown.table(PolicyLibrary.shipped.map { [$0.name, $0.summary] }, right: []))
    return ExitCode.good
  }
}

/// What both commands take.
struct BacktestOptions: ParsableArguments {
  @Option(
    parsing: .upToNextOption,
    help: """
      Traces of saves: dom:save{ trace = FILE } records them, and so does the save helper; run \
      make-traces makes some of simulated domains.
      """,
    completion: .file())
  var trace: [String] = []
  @Option(help: "The link, in bits a second: 10G, 800M.") var link = "10G"
  @Option(help: "The hour at which the save begins, for policies that look at it: 23:30.")
  var at: String?
  @Option(
    name: .customLong("set"),
    help: "K=V: the value of an option, for each policy that has one of this name.")
  var settings: [String] = []

  func tests() throws -> [Backtest] {
    guard !trace.isEmpty else {
      throw XensaveError(
        .usage, "expected --trace FILE (xensave-lua run make-traces makes ten to try)")
    }
    guard let speed = Backtest.link(link) else {
      throw XensaveError(
        .usage, "--link: expected bits a second such as 10G or 800M, got '\(link)'")
    }
    var hour: Double?
    if let at {
      hour = Backtest.hour(at)
      guard hour != nil else {
        throw XensaveError(.usage, "--at: expected an hour such as 23:30, got '\(at)'")
      }
    }
    var out: [Backtest] = []
    for path in trace {
      do {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        out.append(
          try Backtest(name, Backtest.read(path), bytesPerSecond: speed, hour: hour))
      } catch { throw failure(error) }
    }
    return out
  }

  /// A policy with those settings that it has options for.
  func recipes(_ words: [String]) throws -> [PolicyRecipe] {
    var values: [String: PolicyOption] = [:]
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else {
        throw XensaveError(.usage, "--set: expected NAME=VALUE, got '\(setting)'")
      }
      values[parts[0]] = .word(parts[1])
    }
    var used: Set<String> = []
    var out: [PolicyRecipe] = []
    for word in words {
      do {
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
      throw XensaveError(.usage, "--set: none of these policies has an option '\(unused)'")
    }
    return out
  }

  /// A file that is not there is the command line's mistake; one that is wrong is a finding.
  func failure(_ error: any Error) -> XensaveError {
    let error = LuaError(raising: error)
    return XensaveError(error.code == "enoent" ? .usage : .findings, error.message)
  }

  func run(_ recipe: PolicyRecipe, on test: Backtest) throws -> Backtest.Outcome {
    do {
      return test.run(
        try recipe.make(wallTime: test.wallTime) { level, text in
          if level >= .warning { writeError("xensave-lua: \(text)\n") }
        })
    } catch { throw failure(error) }
  }
}

struct PolicyTest: ShellCommand {
  static let name = "test"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Replay recorded saves with policies, side by side.",
    discussion: """
      Xen's builtin policy is always among them. The guest dirties pages as it did when the trace was \
      recorded; rounds take the time that the link takes. POLICY is a name (xensave-lua policy list) \
      or the path of a Lua file. Exit code 1 if a policy failed or was put out.
      """)

  @Argument(help: "Policies.", completion: PolicyLibrary.completion) var policies: [String] = []
  @OptionGroup var options: BacktestOptions
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print a Markdown table of all traces.") var markdown = false
  @Option(help: "Write a picture of all traces, as SVG.", completion: .file()) var svg: String?
  @Option(
    help: "Write tables, the picture and each decision as one page of HTML.", completion: .file())
  var report: String?

  mutating func execute() throws -> Int32 {
    for (option, path) in [("--svg", svg), ("--report", report)] {
      if let path, options.trace.contains(where: { OutputFile.isSame(path, as: $0) }) {
        throw XensaveError(.usage, "\(option): '\(path)' is one of the traces")
      }
    }
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
    let panels = all.map { BacktestPlot.Panel(test: $0.test, outcomes: $0.outcomes) }
    if let svg { try OutputFile.write(svg, .text, bytes: Array(BacktestPlot.svg(panels).utf8)) }
    if let report {
      try OutputFile.write(report, .text, bytes: Array(BacktestReport.html(panels).utf8))
    }
    return all.allSatisfy { $0.outcomes.allSatisfy { $0.failureCount == 0 } }
      ? ExitCode.good : ExitCode.findings
  }

  static func cells(_ outcome: Backtest.Outcome) -> [String] {
    let result = outcome.result
    return [
      outcome.name, result.outcome.word, "\(result.liveRounds)", Shown.bytes(result.bytes),
      Shown.fixed(result.sentRatio * 100, 0) + "%",
      result.outcome == .complete ? Shown.time(result.downtime) : "-", Shown.time(result.total),
      result.outcome.reason,
    ]
  }

  static let header = [
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
      writer.member("link_octets_per_second", test.bytesPerSecond)
      writer.key("policies")
      writer.beginArray()
      for outcome in outcomes { write(outcome, &writer) }
      writer.endArray()
      writer.endObject()
    }
    writer.endArray()
    return writer.finish()
  }

  private static func write(_ outcome: Backtest.Outcome, _ writer: inout JSONWriter) {
    let result = outcome.result
    writer.beginObject()
    writer.member("policy", outcome.name)
    writer.member("outcome", result.outcome.word)
    if !result.outcome.reason.isEmpty { writer.member("reason", result.outcome.reason) }
    writer.member("rounds", result.liveRounds)
    writer.member("octets", result.bytes)
    writer.member("sent_permille", Int(saturating: (result.sentRatio * 1000).rounded()))
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
