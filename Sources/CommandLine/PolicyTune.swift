// xensave-lua policy tune: values for a policy's options, searched on recorded saves.

internal import ArgumentParser
internal import JSON
internal import Jobs
internal import LuaAPI
internal import LuaRuntime
internal import PolicyEngine
internal import Live
internal import Reports
internal import Synchronization
internal import SystemIO

struct PolicyTune: LongCommand {
  static let name = "tune"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Search values for a policy's options on recorded saves.",
    discussion: """
      Replays the traces with changed values, keeps what is better, and changes that. Every third trace is \
      left out of the search: what the values found do on those says whether they are good for saves that \
      nobody has seen. The measure is compared with that of Xen's builtin policy, trace by trace; a save \
      that does not come to its end, or not within --max-downtime and --max-total, is worse than any other.

      Options that are no numbers stay as they are, and so do those of --set. The same --seed finds the same \
      values. Exit code 1 if nothing better was found.
      """)

  @Argument(help: "A policy.", completion: PolicyLibrary.completion) var policy: String
  @OptionGroup var options: BacktestOptions
  @Option(help: "What to make small: downtime, bytes, total.") var goal: String
  @Option(
    name: .customLong("max-downtime"),
    help: ArgumentHelp("Milliseconds for which the guest may stand still.", valueName: "ms"))
  var maxDowntime: Int?
  @Option(
    name: .customLong("max-total"),
    help: ArgumentHelp("Seconds that a save may take.", valueName: "s"))
  var maxTotal: Int?
  @Option(help: "So many values are tried.") var tries = 480
  @Option(help: "Another one searches elsewhere.") var seed = 1
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "So many at a time (without it as many as there are processors).", valueName: "count"))
  var jobs: Int?
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var long: ProgressOptions

  /// What one of two sets of values did on some of the traces.
  private struct Score {
    /// The median of what the measure is to the builtin policy's.
    let ratio: Double
    let withinCount: Int
    let count: Int

    init(_ comparisons: [TuningGoal.Comparison]) {
      let ratios = comparisons.map(\.ratio).sorted()
      let middle = ratios.count / 2
      ratio =
        ratios.isEmpty
        ? .nan
        : ratios.count % 2 == 1 ? ratios[middle] : (ratios[middle - 1] + ratios[middle]) / 2
      withinCount = comparisons.count(where: \.isWithin)
      count = comparisons.count
    }
  }

  mutating func execute() throws -> Int32 {
    let goal = try tuningGoal()
    let jobs = try range("--jobs", jobs ?? Environment.coreCount, 1...4096)
    let generations =
      (try range("--tries", tries, 1...1_000_000) + PolicyTuning.generationSize - 1)
      / PolicyTuning.generationSize
    let tests = try options.tests()
    let isHeld = tests.indices.map { tests.count >= 3 && $0 % 3 == 2 }
    let recipe = try options.recipes([policy])[0]
    let defaults = try made(recipe).runner.options
    var tuning = PolicyTuning(
      defaults, fixed: Set(recipe.options.keys),
      seed: UInt64(bitPattern: Int64(seed)))
    guard !tuning.names.isEmpty else {
      throw XensaveError(
        .usage, "\(recipe.source.name) has no option that is a number and not given by --set")
    }
    let builtin = try PolicyRecipe(source: PolicyLibrary.find("builtin"))
    let standards = try tests.map { try options.run(builtin, on: $0).result }

    /// How the saves of some traces compare, for each of the values.
    func results(_ values: [PolicyTuning.Values], _ chosen: [Int]) throws
      -> [[TuningGoal.Comparison]]
    {
      let board = Board(values.count * chosen.count)
      let recipes = values.map { values in
        var recipe = recipe
        for (name, value) in values { recipe.options[name] = .value(value) }
        return recipe
      }
      try Crew.run(values.count * chosen.count, jobs: jobs) { task in
        let (recipe, index) = (recipes[task / chosen.count], chosen[task % chosen.count])
        // What a policy says of such values, or fails with, counts as a save that failed.
        let policy = try recipe.make(wallTime: tests[index].wallTime) { _, _ in }
        let outcome = tests[index].run(policy)
        var result = outcome.result
        if outcome.failureCount > 0 { result.outcome = .failed("the policy failed") }
        board.put(task, goal.compare(result, with: standards[index]))
      }
      return values.indices.map { index in
        chosen.indices.map { board.take(index * chosen.count + $0) }
      }
    }

    let (seen, held) = (
      tests.indices.filter { !isHeld[$0] }, tests.indices.filter { isHeld[$0] }
    )
    let before = tuning.values
    var finished = UInt64(0)
    let isShown = Progress.begin(
      "tuning", of: UInt64(generations * PolicyTuning.generationSize), unit: "tries"
    ) { finished }
    for generation in 0..<generations {
      let step = 1 - Double(generation) / Double(generations)
      tuning.take(try results(tuning.generation(step: step), seen))
      finished += UInt64(PolicyTuning.generationSize)
    }
    if isShown { Progress.end() }
    let after = tuning.values
    let scores = try [seen, held].map { chosen in
      try results([before, after], chosen).map(Score.init)
    }
    try writeOut(
      json
        ? text(recipe, before, after, scores).json
        : Array(text(recipe, before, after, scores).plain.utf8))
    return before == after ? ExitCode.findings : ExitCode.good
  }

  private func made(_ recipe: PolicyRecipe) throws -> LuaPolicy {
    do { return try recipe.make(log: { _, _ in }) } catch { throw options.failure(error) }
  }

  private func tuningGoal() throws -> TuningGoal {
    guard let measure = TuningGoal.Measure(rawValue: goal) else {
      throw XensaveError(.usage, "--goal: expected downtime, bytes or total, got '\(goal)'")
    }
    let downtime = try maxDowntime.map { try range("--max-downtime", $0, 0...1_000_000_000) }
    let total = try maxTotal.map { try range("--max-total", $0, 0...1_000_000_000) }
    return TuningGoal(
      measure, downtimeLimit: downtime.map { UInt64($0) * 1_000_000 },
      totalLimit: total.map { UInt64($0) * 1_000_000_000 })
  }

  private func range(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws -> Int {
    guard range.contains(value) else {
      throw XensaveError(
        .usage, "\(name): expected \(range.lowerBound) to \(range.upperBound), got \(value)")
    }
    return value
  }

  private func text(
    _ recipe: PolicyRecipe, _ before: PolicyTuning.Values, _ after: PolicyTuning.Values,
    _ scores: [[Score]]
  ) -> (plain: String, json: [UInt8]) {
    let names = before.keys.sorted()
    var rows = [["option", "was", "found"]]
    for name in names { rows.append([name, shown(before[name]), shown(after[name])]) }
    var plain = Shown.table(rows, right: [1, 2]) + "\n"
    plain += "\(goal) as a part of builtin's (median), and how many saves kept to the limits\n"
    rows = [["traces", "was", "", "found", ""]]
    for (name, pair) in zip(["searched on", "not seen"], scores) where pair[0].count > 0 {
      rows.append([name] + pair.flatMap { [shown($0.ratio), "\($0.withinCount) of \($0.count)"] })
    }
    plain += Shown.table(rows, right: [1, 2, 3, 4])
    if scores[1][0].count == 0 {
      plain += "with fewer than 3 traces none is kept back: this may only be good for these\n"
    }
    let changed = names.filter { before[$0] != after[$0] }
    if changed.isEmpty {
      plain += "nothing better was found\n"
    } else {
      let list = changed.map { "\($0) = \(shown(after[$0]))" }.joined(separator: ", ")
      plain += "\nxs.load_policy \"\(recipe.source.name)\" { \(list) }\n"
    }
    let json = JSONWriter.document { writer in
      writer.beginObject()
      writer.member("policy", recipe.source.name)
      writer.member("goal", goal)
      writer.key("options")
      writer.beginObject()
      for name in names {
        writer.key(name)
        writer.beginObject()
        for (word, value) in [("was", before[name]), ("found", after[name])] {
          switch value {
          case .integer(let integer)?: writer.member(word, integer)
          case .number(let real)?: writer.member(word, real)
          default: break
          }
        }
        writer.endObject()
      }
      writer.endObject()
      for (name, pair) in zip(["searched_on", "not_seen"], scores) where pair[0].count > 0 {
        writer.key(name)
        writer.beginObject()
        for (word, score) in zip(["was", "found"], pair) {
          writer.key(word)
          writer.beginObject()
          if score.ratio.isFinite { writer.member("ratio", score.ratio) }
          writer.member("within", score.withinCount)
          writer.member("traces", score.count)
          writer.endObject()
        }
        writer.endObject()
      }
      writer.endObject()
    }
    return (plain, json)
  }

  private func shown(_ value: LuaValue?) -> String {
    switch value {
    case .integer(let integer)?: "\(integer)"
    case .number(let real)?: shown(real)
    default: ""
    }
  }

  /// Four digits that count.
  private func shown(_ value: Double) -> String {
    guard value.isFinite else { return "-" }
    let size = abs(value)
    return Shown.fixed(value, size >= 1000 ? 0 : size >= 1 ? 3 : 5)
  }

  /// Results of the threads.
  private final class Board: Sendable {
    private let results: Mutex<[TuningGoal.Comparison?]>

    init(_ count: Int) { results = Mutex(Array(repeating: nil, count: count)) }

    func put(_ index: Int, _ result: TuningGoal.Comparison) {
      results.withLock { $0[index] = result }
    }

    /// A result that is there: the crew has come to its end.
    func take(_ index: Int) -> TuningGoal.Comparison {
      guard let result = results.withLock({ $0[index] }) else {
        preconditionFailure("a task without a result")
      }
      return result
    }
  }
}
