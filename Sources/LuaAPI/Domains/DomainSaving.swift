// The members of Domain that save and restore it.

internal import Format
internal import ImageEdit
internal import Jobs
internal import Live
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import SimDomain
internal import SystemIO

/// What a save gives to the script.
final class LuaSaveResult {
  let outcome: DomainSave.Outcome
  let policy: LuaPolicy?
  let name: String

  init(_ outcome: DomainSave.Outcome, _ policy: LuaPolicy?, name: String) {
    self.outcome = outcome
    self.policy = policy
    self.name = name
  }

  static var table: LuaClass<LuaSaveResult> {
    func integer(
      _ name: String, _ doc: String, unit: String,
      _ value: @escaping (LuaSaveResult) -> Int
    ) -> LuaMember<LuaSaveResult> {
      .property(name, "integer", doc, unit: unit) { result, frame in frame.push(value(result)) }
    }
    func seconds(
      _ name: String, _ doc: String, _ value: @escaping (LuaSaveResult) -> Double
    ) -> LuaMember<LuaSaveResult> {
      .property(name, "number", doc, unit: "s") { result, frame in frame.push(value(result)) }
    }
    var table = LuaClass<LuaSaveResult>(
      "SaveResult", "What a save of a domain has done.",
      [
        integer("rounds", "Rounds that were sent while the guest ran.", unit: "rounds") {
          $0.outcome.result.liveRoundCount
        },
        integer("octets", "Bytes that the save wrote, before a filter.", unit: "bytes") {
          Int(clamping: $0.outcome.result.byteCount)
        },
        integer(
          "pages", "Pages sent with their contents, each as often as it was sent.", unit: "pages"
        ) {
          $0.outcome.result.pageCount
        },
        integer("checkpoints", "Checkpoints that are complete.", unit: "checkpoints") {
          $0.outcome.result.checkpointCount
        },
        seconds("downtime", "Seconds from the guest standing still to the end.") {
          Double($0.outcome.result.downtime) / 1e9
        },
        seconds("total", "Seconds that all of it took.") {
          Double($0.outcome.result.trace.end) / 1e9
        },
        integer("policy_calls", "Calls of the policy.", unit: "calls") {
          $0.policy?.callCount ?? 0
        },
        integer(
          "policy_failures", "Calls that failed, so that the builtin policy answered.",
          unit: "calls"
        ) {
          $0.policy?.failureCount ?? 0
        },
        seconds(
          "policy_time", "Seconds that the calls took, the way to the policy's thread included."
        ) { Double($0.policy?.time ?? 0) / 1e9 },
        .property("trace", "Trace", "What was done, round by round.") { result, frame in
          frame.push(object: LuaTrace(result.outcome.result.trace, name: result.name))
        },
        .property("report", "Report?", "What the filter did; nil where there was none.") {
          result, frame in
          if let report = result.outcome.report {
            frame.push(object: LuaReport(report))
          } else {
            frame.pushNil()
          }
        },
        .property("warnings", "string[]", "What could not be put back after the save.") {
          result, frame in
          frame.push(LuaValue.list(result.outcome.result.aftermath.map { .text($0) }))
        },
      ])
    table.toString = { result in
      let done = result.outcome.result
      return "\(Shown.bytes(done.byteCount)) in \(done.liveRoundCount) live rounds, "
        + "downtime \(Shown.time(done.downtime)), total \(Shown.time(done.trace.end))"
    }
    return table
  }
}

/// Options that all ways of saving have.
private let common = [
  "policy", "filter", "trace", "progress", "verify", "unchecked", "deadline_ms", "resume",
]

extension LuaDomain {
  package static var saving: [LuaMember<LuaDomain>] {
    let shared =
      "policy (a Policy, name, table or function; Xen's builtin as a rule), deadline_ms (for each of "
      + "its calls, 100), filter (as for xs.rewrite), trace (a path: what was done is recorded, also where it fails), "
      + "progress (a title, a Progress, or a function of what, done and total), verify (sends "
      + "everything twice, for the restorer to compare), unchecked"
    return [
      .method(
        "save", "(to: string|table|any, options?: table): SaveResult?, Error?",
        "Saves it to a path (the file appears when it is complete and verified) or to an open file. "
          + "Options, which may stand alone with `to` among them: live (true), resume (whether it "
          + "runs on here; else it stands still after the save), \(shared). Where anything fails "
          + "the domain is as it was: it runs on, or stays suspended if it was suspended before; "
          + "err.stage says where it was, err.code is \"aborted\" where the policy gave up.",
        example: "assert(dom:save(\"web.img\", { policy = \"downtime-budget\" }))"
      ) { domain, frame in
        let options = try domain.options(frame, "save", ["to", "live"])
        var save = DomainSave(target: try domain.target(frame, options))
        save.isLive = try options.flag("live", true)
        save.isResuming = try options.flag("resume", false)
        return try domain.run(&save, options, frame)
      },
      .method(
        "checkpoint", "(to: string|table|any, options?: table): SaveResult?, Error?",
        "Saves it again and again into one stream, of which the last complete checkpoint is restored; "
          + "it runs on (one that was suspended before stays so). Options: count (of checkpoints, 2), "
          + "interval_ms (between two, 200), "
          + "\(shared). The policy's on_checkpoint can end it.",
        example: "assert(dom:checkpoint(\"web.img\", { count = 5, interval_ms = 100 }))"
      ) { domain, frame in
        let options = try domain.options(frame, "checkpoint", ["to", "count", "interval_ms"])
        var save = DomainSave(target: try domain.target(frame, options))
        let count = try options.integer("count", 1...1_000_000_000) ?? 2
        let interval = try options.milliseconds("interval_ms") ?? 200_000_000
        let hypervisor = try domain.open()
        save.checkpoints = DomainCheckpoints(hypervisor) { done in
          guard done < count, !Interrupt.isRequested else { return false }
          if let simulated = hypervisor as? SimDomain {
            simulated.clock.advance(by: interval)
          } else {
            sleepUnlessInterrupted(nanoseconds: interval)
          }
          return !Interrupt.isRequested
        }
        return try domain.run(&save, options, frame)
      },
      .method(
        "migrate", "(to: string|table, options?: table): SaveResult?, Error?",
        "Sends it, live, to a command of the shell (as its standard input), which has to end with "
          + "exit code 0: then it stands still here. Where the command fails, even at the very end, "
          + "the domain is here as it was before, and err.code is \"receiver\". Options: command, "
          + "\(shared).",
        example: "assert(dom:migrate \"ssh host2 xensave-receive\")"
      ) { domain, frame in
        let options = try domain.options(frame, "migrate", ["command"])
        let command =
          frame.type(2) == .string ? frame.stringIfAny(2) : try options.string("command")
        guard let command else { throw LuaError("migrate: expected a command") }
        var save = DomainSave(target: .command(command))
        return try domain.run(&save, options, frame)
      },
      .method(
        "restore", "(from: string|Image, options?: table): table?, Error?",
        "Restores an image into a domain that was made for it: xs.sim { blank = true }. (A domain of "
          + "a real Xen is made and restored by xl.) Options: checkpointed, policy (its on_restore "
          + "and on_static_data are called). The result has pages, checkpoints, failed_over, "
          + "differing (pfns that a VERIFY round found different).",
        example: "assert(dom:restore \"web.img\")"
      ) { domain, frame in try domain.restore(frame) },
    ]
  }

  /// The table of options: at 3, or at 2 where it stands alone.
  private func options(
    _ frame: LuaFrame, _ owner: String, _ names: [String]
  ) throws -> OptionTable {
    let index = frame.type(2) == .table && frame.isMissing(3) ? 2 : 3
    return try OptionTable(frame, index, owner, names + common)
  }

  /// Where a save goes: the first argument, or the option `to`.
  private func target(
    _ frame: LuaFrame, _ options: OptionTable
  ) throws -> DomainSave.Target {
    func target(_ index: Int) throws -> DomainSave.Target {
      if frame.type(index) == .string, let path = frame.stringIfAny(index) {
        if path == "-" {
          shell?.printsToStandardError = true
          return .descriptor(1)
        }
        return .file(path)
      }
      if let fileDescriptor = frame.fileDescriptor(index) { return .descriptor(fileDescriptor) }
      throw LuaError(
        "\(options.owner): expected a path or an open file, got \(frame.typeName(index))")
    }
    if options.index == 2 {
      guard let found = try options.with("to", { try target(frame.count) })
      else { throw LuaError("\(options.owner): expected where to save, in `to`") }
      return found
    }
    return try target(2)
  }

  private func run(
    _ save: inout DomainSave, _ options: OptionTable, _ frame: LuaFrame
  ) throws -> Int32 {
    guard let shell else { throw LuaError("the domain's handle is closed") }
    save.isVerifying = try options.flag("verify", false)
    save.isUnchecked = try options.flag("unchecked", false)
    let deadline = try options.milliseconds("deadline_ms") ?? LuaPolicy.defaultDeadline
    let policy = try options.with("policy") {
      try shell.policy(frame, frame.count, deadline: max(deadline, 1))
    }
    save.policy = policy
    save.filter = try options.with("filter") {
      try shell.filter(frame, frame.count)
    }
    if let progress = try progress(options, frame, shell) { save.progress = progress }
    let hypervisor = try open()
    if let path = try options.string("trace") {
      if case .file(let image) = save.target, OutputFile.isSame(path, as: image) {
        throw LuaError("trace: '\(path)' is where the domain goes")
      }
      do { save.recorder = try TraceRecorder(creating: path) } catch {
        return try frame.fail(error)
      }
    }
    defer {
      do { try save.recorder?.write() } catch {
        // The domain is what matters, and that is where it should be.
        shell.log(.warning, "domain \(summary.id): the trace is lost: \(error)")
      }
    }
    let outcome: DomainSave.Outcome
    do { outcome = try save.run(hypervisor) } catch {
      // What the filter raised is raised, as in xs.rewrite.
      if let inner = (error as? XensaveError)?.underlying as? LuaError { throw inner }
      return try frame.fail(error)
    }
    if save.checkpoints == nil { forgetSuspension() }
    let result = LuaSaveResult(outcome, policy, name: summary.name ?? "\(summary.id)")
    frame.push(object: result)
    return 1
  }

  private func progress(
    _ options: OptionTable, _ frame: LuaFrame, _ shell: ShellContext
  ) throws -> ((Save.Progress) -> Void)? {
    let result: (((Save.Progress) -> Void)?)? = try options.with("progress") {
      () throws -> ((Save.Progress) -> Void)? in
      switch frame.type(-1) {
      case .function:
        let function = frame.reference(-1)
        var hasFailed = false
        return { event in
          guard !hasFailed else { return }
          frame.push(function)
          frame.push(event.what)
          frame.push(event.done)
          frame.push(event.total)
          do throws(LuaError) { try frame.state.call(frame, 3) } catch {
            hasFailed = true
            shell.log(.warning, "progress: \(error.message)")
          }
        }
      case .string, .userdata:
        let shown: LuaProgress
        if let given = frame.objectIfAny(-1, as: LuaProgress.self) {
          shown = given
        } else if frame.type(-1) == .string {
          shown = LuaProgress(frame.text(-1), of: nil, unit: "pages")
        } else {
          fallthrough
        }
        var (before, last) = (0, 0)
        return { event in
          // Rounds add up.
          if event.done < last { before += last }
          last = event.done
          shown.update(UInt64(before + last))
          if event.what == "Complete" { shown.close() }
        }
      default:
        throw LuaError(
          "\(options.owner): progress: expected a title, a Progress or a function, "
            + "got \(frame.typeName(-1))")
      }
    }
    return result ?? nil
  }

  private func restore(_ frame: LuaFrame) throws -> Int32 {
    let options = try OptionTable(frame, 3, "restore", ["checkpointed", "policy", "deadline_ms"])
    let domain = try simulated()
    guard !domain.isComplete else {
      throw LuaError(
        "domain \(summary.id) runs already: xs.sim { blank = true } makes one for this")
    }
    let source: Source
    if let image = frame.objectIfAny(2, as: LuaImage.self) {
      source = try image.takeUneditedSource("restore")
    } else {
      let path = try frame.string(2)
      do { source = try Source(image: path) } catch {
        return try frame.fail(error)
      }
    }
    let policy = try options.with("policy") {
      try self.shell?.policy(frame, frame.count)
    }
    let isCheckpointed = try options.flag("checkpointed", false)
    return try returning(frame) {
      let result = try Restore(
        source, into: domain, isCheckpointed: isCheckpointed, observer: policy ?? nil
      ).run()
      frame.push(
        LuaValue.table([
          ("pages", .integer(Int64(result.pageCount))),
          ("checkpoints", .integer(Int64(result.checkpointCount))),
          ("failed_over", .boolean(result.hasFailedOver)),
          ("differing", .list(result.differingPFNs.map { .unsigned($0) })),
        ]))
      return 1
    }
  }
}
