// xs.progress: how far a script's own long work is, and what it calls the program's.

internal import Bytes
internal import LuaRuntime
internal import Reports
internal import SystemIO

/// Work of a script that is shown as it continues.
final class LuaProgress {
  let title: String
  private let total: UInt64?
  private let unit: String
  private let counter = ProgressCounter()
  private var isRunning = false

  init(_ title: String, of total: UInt64?, unit: String) {
    self.title = title
    self.total = total
    self.unit = unit
  }

  deinit { close() }

  /// So much is done. The first time begins the phase.
  func update(_ done: UInt64) {
    if !isRunning {
      let counter = counter
      isRunning = Progress.begin(title, of: total, unit: unit, done: { counter.value })
    }
    counter.value = done
    Progress.beat()
  }

  var done: UInt64 { counter.value }

  func close() {
    guard isRunning else { return }
    isRunning = false
    Progress.end()
    ProgressDisplay.clear()
  }

  static var table: LuaClass<LuaProgress> {
    var table = LuaClass<LuaProgress>(
      "Progress",
      "Long work that is shown on standard error as --progress says. xs.progress makes it.",
      [
        .method(
          "update", "(done: integer)", "Says how much is done in all.",
          example: "p:update(rec.offset)"
        ) { progress, frame in
          progress.update(UInt64(try frame.integer(2, in: 0...Int64.max)))
          return 0
        },
        .method(
          "add", "(count?: integer)", "Says that so much more is done; 1 where it is not said.",
          example: "for rec in img:records() do p:add() end"
        ) { progress, frame in
          let count = frame.isMissing(2) ? 1 : UInt64(try frame.integer(2, in: 0...Int64.max))
          progress.update(progress.done &+ count)
          return 0
        },
        .method("close", "()", "Ends the work; so does the end of a <close> variable's scope.") {
          progress, _ in
          progress.close()
          return 0
        },
        .property("title", "string", "What the work is called.") { progress, frame in
          frame.push(progress.title)
        },
        .property("done", "integer", "How much is done.") { progress, frame in
          frame.push(progress.done)
        },
      ])
    table.close = { progress, _ in
      progress.close()
      return 0
    }
    table.toString = { "progress of \($0.title): \($0.done.grouped)" }
    return table
  }
}

extension ShellContext {
  var progressFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "progress", "(title: string, total?: integer, unit?: string): Progress",
        "Long work that is shown as it continues: a bar on a terminal, or what --progress says. The "
          + "total is in bytes, or in what `unit` names. Functions that take long are shown anyway; "
          + "those with an option `progress` are called by its title.",
        example: "local p <close> = xs.progress(\"counting\", #img, \"records\")"
      ) { frame in
        let total = frame.isMissing(2) ? nil : UInt64(try frame.integer(2, in: 0...Int64.max))
        let unit = frame.isMissing(3) ? "" : try frame.string(3)
        frame.push(object: LuaProgress(try frame.string(1), of: total, unit: unit))
        return 1
      }
    ]
  }
}

/// Runs `body` with the title of the option `progress` in the table at `index`, if it has one.
func titled<R>(
  _ frame: LuaFrame, _ index: Int, _ body: () throws -> R
) throws -> R {
  var title = ""
  if frame.type(index) == .table {
    if frame.pushField(index, "progress") != .none, !frame.isMissing(-1) {
      title = try frame.object(-1, as: LuaProgress.self).title
    }
    frame.pop()
  }
  let display = unsafe ProgressDisplay.current
  let outer = display?.title ?? ""
  if !title.isEmpty { display?.title = title }
  defer { display?.title = outer }
  return try body()
}
