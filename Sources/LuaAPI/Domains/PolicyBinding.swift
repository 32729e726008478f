// Policies and traces in a script's hands.

internal import Format
internal import Live
package import LuaRuntime
package import PolicyEngine
internal import Reports
internal import SystemIO

/// A policy with its options: each save gets one of its own.
final class LuaPolicyRecipe {
  let recipe: PolicyRecipe
  let options: LuaValue

  /// Throws where the policy cannot be loaded, or does not take these options.
  init(_ recipe: PolicyRecipe) throws {
    self.recipe = recipe
    options = try recipe.make(log: { _, _ in }).runner.options
  }

  static var table: LuaClass<LuaPolicyRecipe> {
    var table = LuaClass<LuaPolicyRecipe>(
      "Policy",
      "A policy that xs.load_policy has found: `policy { option = value }` gives it with other "
        + "values for its options. It runs on a thread of its own, in a sandbox.",
      [
        .property("name", "string", "Its name.") { policy, frame in
          frame.push(policy.recipe.source.name)
        },
        .property("path", "string", "The file that it is from.") { policy, frame in
          frame.push(policy.recipe.source.path)
        },
        .property("summary", "string", "What it does, in one line.") { policy, frame in
          frame.push(policy.recipe.source.summary)
        },
        .property("opts", "table", "The values of its options.") { policy, frame in
          frame.push(policy.options)
        },
      ])
    table.call = { policy, frame in
      var recipe = policy.recipe
      if !frame.isMissing(2) {
        guard frame.type(2) == .table else {
          throw frame.argumentError(2, "expected a table of options")
        }
        for (name, _) in try frame.fieldNames(2) {
          frame.pushField(2, name)
          defer { frame.pop() }
          guard let value = try frame.value(-1) else {
            throw LuaError("option \(name): expected plain data, got \(frame.typeName(-1))")
          }
          recipe.options[name] = .value(value)
        }
      }
      frame.push(object: try LuaPolicyRecipe(recipe))
      return 1
    }
    table.toString = { "policy \($0.recipe.source.name)" }
    return table
  }
}

/// The record of a save.
final class LuaTrace {
  let trace: Trace
  let name: String

  init(_ trace: Trace, name: String) {
    self.trace = trace
    self.name = name
  }

  static var table: LuaClass<LuaTrace> {
    func seconds(_ time: UInt64) -> LuaValue { .number(Double(time) / 1e9) }
    var table = LuaClass<LuaTrace>(
      "Trace", "What a live save did, round by round. tostring() gives its text.",
      [
        .property("guest", "string", "\"x86_hvm\" or \"x86_pv\".") { trace, frame in
          frame.push(trace.trace.guest.name)
        },
        .property("max_pages", "integer", "Pages that the domain might have.", unit: "pages") {
          trace, frame in
          frame.push(trace.trace.frameCount)
        },
        .property("pages", "integer", "Pages that the domain had.", unit: "pages") { trace, frame in
          frame.push(trace.trace.pageCount)
        },
        .property("outcome", "string", "How it ended: \"complete\", or what went wrong.") {
          trace, frame in frame.push(trace.trace.outcome)
        },
        .property("downtime", "number", "Seconds for which the guest stood still.", unit: "s") {
          trace, frame in frame.push(seconds(trace.trace.downtime))
        },
        .property("total", "number", "Seconds that all of it took.", unit: "s") { trace, frame in
          frame.push(seconds(trace.trace.end))
        },
        .property(
          "rounds", "table[]",
          "Each round: kind (\"live\", \"final\", \"standing\", \"checkpoint\", \"verify\"), "
            + "number, dirty_count, sent (pages with contents), bytes, begin_s and end_s (in seconds), "
            + "digest (of the dirty bitmap), again (pages that were dirty before the last round, too; nil "
            + "where nobody counted).",
          example: "for _, round in ipairs(trace.rounds) do print(round.dirty_count) end"
        ) { trace, frame in
          frame.push(
            .list(
              trace.trace.rounds.map { round in
                .table([
                  ("kind", .text(round.kind.rawValue)), ("number", .integer(Int64(round.index))),
                  ("dirty_count", .integer(Int64(round.dirtyCount))),
                  ("again", round.againCount.map { .integer(Int64($0)) } ?? .none),
                  ("sent", .integer(Int64(round.sentCount))), ("octets", .unsigned(round.bytes)),
                  ("begin_s", seconds(round.begin)), ("end_s", seconds(round.end)),
                  ("digest", .unsigned(round.digest)),
                ])
              }))
        },
        .method("save", "(path: string): string?, Error?", "Writes it to a file; gives the path.") {
          trace, frame in
          let path = try frame.string(2)
          do { try trace.write(path) } catch {
            return try frame.fail(error)
          }
          frame.push(path)
          return 1
        },
      ])
    table.toString = { $0.trace.description }
    return table
  }

  func write(_ path: String) throws {
    try OutputFile.write(path, .text, bytes: Array(trace.description.utf8))
  }
}

extension ShellContext {
  var policyFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "load_policy", "(name: string): Policy",
        "A policy by its name (xensave-lua policy list) or by the path of its file. Raises where "
          + "there is none, or where it is no policy.",
        example: "local policy = xs.load_policy \"downtime-budget\" { downtime_ms = 200 }"
      ) { frame in
        let source = try PolicyLibrary.find(try frame.string(1))
        frame.push(object: try LuaPolicyRecipe(PolicyRecipe(source: source)))
        return 1
      }
    ]
  }

  /// The policy at `index`: one that was loaded, a name, a table or a function.
  package func policy(
    _ frame: LuaFrame, _ index: Int, deadline: UInt64 = LuaPolicy.defaultDeadline,
    wallTime: ((UInt64) -> Double)? = nil
  ) throws -> LuaPolicy {
    let log: (LogLevel, String) -> Void = { [unowned self] in self.log($0, $1) }
    if let loaded = frame.objectIfAny(index, as: LuaPolicyRecipe.self) {
      return try loaded.recipe.make(deadline: deadline, wallTime: wallTime, log: log)
    }
    if frame.type(index) == .string, let name = frame.stringIfAny(index) {
      return try PolicyRecipe(source: try PolicyLibrary.find(name))
        .make(deadline: deadline, wallTime: wallTime, log: log)
    }
    return LuaPolicy(
      try InlineRunner(frame, index), name: "(of the script)", deadline: deadline,
      wallTime: wallTime, log: log)
  }

  /// xs.sim.replay and xs.sim.trace.
  var replayFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs.sim", "trace", "(path: string): Trace?, Error?", "Reads a trace that a save recorded.",
        example: "local trace = assert(xs.sim.trace \"web.trace\")"
      ) { frame in
        let path = try frame.string(1)
        do throws(LuaError) {
          frame.push(object: LuaTrace(try Backtest.read(path), name: path))
        } catch { return frame.fail(LuaFailure(error.message, code: error.code)) }
        return 1
      },
      LuaModuleFunction(
        "xs.sim", "replay",
        "(trace: string|Trace, policy: Policy|string|table|fun(): string, "
          + "options?: table): table?, Error?",
        "What a policy would have done in a save that was recorded, in virtual time. Options: "
          + "link_mbps (megabits a second, 10000 as a rule) or link (\"10G\"), hour (at which the "
          + "save begins). The result has outcome, reason, rounds, bytes (that were sent), "
          + "sent_ratio (of the memory, 1.0 is once), downtime_ms, total_s, dirty_counts, decisions and "
          + "failures.",
        example: "local r = assert(xs.sim.replay(\"web.trace\", \"builtin\", { link = \"1G\" }))"
      ) { [unowned self] frame in
        let options = try OptionTable(frame, 3, "replay", ["link_mbps", "link", "hour"])
        var speed = UInt64(1_250_000_000)
        if let mbps = try options.number("link_mbps", upTo: 1e9) {
          speed = max(1, UInt64(mbps * 125_000))
        }
        if let word = try options.string("link") {
          guard let link = Backtest.link(word) else {
            throw LuaError("replay: link: expected bits a second such as \"10G\", got '\(word)'")
          }
          speed = link
        }
        let hour = try options.number("hour", upTo: 24)
        let test: Backtest
        do throws(LuaError) {
          if let trace: LuaTrace = frame.objectIfAny(1) {
            test = try Backtest(trace.name, trace.trace, bytesPerSecond: speed, hour: hour)
          } else {
            let path = try frame.string(1)
            test = try Backtest(
              path, try Backtest.read(path), bytesPerSecond: speed, hour: hour)
          }
        } catch {
          // What the file is like is the world's; what the arguments are is the script's.
          if error.code.isEmpty { throw error }
          return frame.fail(LuaFailure(error.message, code: error.code))
        }
        let policy = try self.policy(frame, 2, wallTime: test.wallTime)
        frame.push(test.run(policy).luaValue)
        return 1
      },
    ]
  }
}

extension Backtest.Outcome {
  var luaValue: LuaValue {
    .table([
      ("policy", .text(name)), ("outcome", .text(result.outcome.word)),
      ("reason", .text(result.outcome.reason)), ("rounds", .integer(Int64(result.liveRounds))),
      ("bytes", .unsigned(result.bytes)),
      // What it was called first.
      ("octets", .unsigned(result.bytes)), ("sent_ratio", .number(result.sentRatio)),
      ("downtime_ms", .number(Double(result.downtime) / 1e6)),
      ("total_s", .number(Double(result.total) / 1e9)),
      ("dirty_counts", .list(result.dirtyCounts.map { .integer(Int64($0)) })),
      ("failures", .integer(Int64(failureCount))),
      (
        "decisions",
        .list(
          decisions.map { decision in
            .table([
              ("round", .integer(Int64(decision.stats.iteration))),
              ("decision", .text(decision.verdict.word)),
              ("builtin", .boolean(decision.isBuiltin)),
              (
                "dirty_count",
                decision.stats.dirtyCount.map { .integer(Int64($0)) } ?? .none
              ),
            ])
          })
      ),
    ])
  }
}
