// What all parts of the shell share: the Lua state and how to talk to the user.

internal import Bytes
internal import Jobs
package import LuaRuntime
package import Reports
internal import SystemIO
package import Terminal

/// One run of the program.
package final class ShellContext {
  package let state: LuaState
  /// Messages below this are not shown.
  package var logLevel = LogLevel.info
  /// Where `print` goes: standard error while standard output carries an image.
  package var printsToStandardError = false
  /// Records that scripts have made and not returned yet: to warn of forgotten ones.
  package var made: [String] = []
  /// What records that a script makes are made for: the stream that is being filtered.
  var makingOrder = ByteOrder.little
  /// What a script passed to os.exit, where that ended it.
  package var exitCode: Int32?

  /// Takes the options of a script that is asked for its --help, instead of printing them.
  package var onHelp: (([ScriptOption]) -> Void)?
  /// Where messages go instead of standard error.
  var logSink: ((LogLevel, String) -> Void)?
  /// Where domains come from.
  let backends = Backends()

  /// Who explains values to scripts; nil in a sandbox.
  let explainer: (any ValueExplainer)?
  /// Whether a filter that finds nothing of what it is for fails: for whoever asked for its work.
  package var refusesIdleFilters = false

  /// --json.
  package var isJSON = false
  /// The script's file, or "".
  package var scriptPath = ""
  /// --color.
  package var color = ColorChoice.auto
  /// The images that scripts have opened.
  var watched: [WatchedImage] = []
  /// Whether changes that are lost are said: not where a script has failed anyway, or the user knows.
  package var reportsLoss = true
  /// Takes what is printed, where a session sends it elsewhere; nil: it goes to the screen.
  package var capture: String?
  /// Whether a session may show what is longer than the screen by a pager.
  package var usesPager = true
  /// Shows a long text, where a session has another way than `write`.
  package var showText: ((String) throws -> Void)?
  /// How a session prints integers: 10 or 16.
  package var numberBase = 10
  /// The Lua that made the names which a session begins with.
  package var sessionNames: [String] = []

  /// A context whose scripts SIGINT stops.
  package init(_ explainer: any ValueExplainer) throws {
    self.explainer = explainer
    state = try LuaState()
    state.makeActive()
    // A request that came before there was a state to stop.
    if Interrupt.isRequested { LuaState.stopActive() }
  }

  /// The context of a sandbox: it writes nothing itself.
  package init(sandbox state: LuaState) {
    self.state = state
    explainer = nil
    logSink = { _, _ in }
  }

  /// Whether standard output gets colours.
  package var usesColor: Bool { capture == nil && color.isEnabled(descriptor: 1) }

  /// An error's traceback without the parts that are not the script's; nil where nothing is left. A
  /// message that a script raised without its own position (level 0) is for the user: it has none.
  package func traceback(_ error: LuaError) -> String? {
    guard let all = error.traceback, error.kind != .script || error.hasPosition else { return nil }
    var lines = all.split(separator: "\n").map(String.init)
    while let last = lines.last, last.hasSuffix("[C]: in ?") { lines.removeLast() }
    return lines.count > 1
      ? lines.map { $0.replacing("\t", with: "  ") }.joined(separator: "\n") : nil
  }

  /// Writes a message to standard error, if it is loud enough.
  package func log(_ level: LogLevel, _ message: String) {
    if let logSink { return logSink(level, message) }
    guard level >= logLevel else { return }
    writeError("xensave-lua: \(level == .info ? "" : "\(level.name): ")\(message)\n")
  }

  /// Writes a script's output.
  package func write(_ text: String) throws {
    if capture != nil {
      capture?.append(text)
      return
    }
    if printsToStandardError { return writeError(text) }
    do { try writeOut(text) } catch {
      let error = XensaveError(error)
      throw LuaError(error.description, code: error.code == .brokenPipe ? error.word : "eio")
    }
  }

  /// Shows a text that may be longer than the screen.
  package func show(_ text: String) throws {
    guard capture == nil, let showText else { return try write(text) }
    try showText(text)
  }

  /// Runs our own Lua, with arguments.
  package func run(
    _ text: String, named name: String, _ arguments: [String]
  ) throws {
    try state.load(Array(text.utf8), name: name)
    for argument in arguments { state.frame.push(argument) }
    try state.call(arguments.count)
  }
}
