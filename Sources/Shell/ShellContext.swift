// What all parts of the shell share: the Lua state and how to talk to the user.

internal import Bytes
internal import LuaRuntime
internal import SystemIO
internal import Terminal

/// How loud a message is.
enum LogLevel: Int, Comparable {
  case debug, info, warning, error

  static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

  /// The word before a message.
  var name: String {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }
}

/// One run of the program.
final class ShellContext {
  let state: LuaState
  /// Messages below this are not shown.
  var logLevel = LogLevel.info
  /// Where `print` goes: standard error while standard output carries an image.
  var printsToStandardError = false
  /// Records that scripts have made and not returned yet: to warn of forgotten ones.
  var made: [String] = []
  /// What records that a script makes are made for: the stream that is being filtered.
  var makingOrder = ByteOrder.little
  /// What a script passed to os.exit, where that ended it.
  var exitCode: Int32?

  /// Takes the options of a script that is asked for its --help, instead of printing them.
  var onHelp: (([ScriptOption]) -> Void)?
  /// Where messages go instead of standard error.
  var logSink: ((LogLevel, String) -> Void)?
  /// Where domains come from.
  let backends = Backends()

  /// Whether a filter that finds nothing of what it is for fails: for whoever asked for its work.
  var refusesIdleFilters = false

  /// --json.
  var isJSON = false
  /// The script's file, or "".
  var scriptPath = ""
  /// --color.
  var colour = ColourChoice.auto
  /// The Lua that made the names which a session begins with.
  var sessionNames: [String] = []

  /// A context whose scripts SIGINT stops.
  init() throws(LuaError) {
    state = try LuaState()
    state.makeActive()
    // A request that came before there was a state to stop.
    if Interrupt.isRequested { LuaState.stopActive() }
  }

  /// The context of a sandbox: it writes nothing itself.
  init(sandbox state: LuaState) {
    self.state = state
    logSink = { _, _ in }
  }

  /// Whether standard output gets colours.
  var usesColour: Bool { colour.isEnabled(descriptor: 1) }

  /// Prints values for standard output.
  var printer: PrettyPrinter {
    let size = TerminalSize.current(of: 1) ?? .standard
    return PrettyPrinter(width: max(20, size.columns - 1), usesColour: usesColour)
  }

  /// An error's traceback without the parts that are not the script's; nil where nothing is left. A
  /// message that a script raised without its own position (level 0) is for the user: it has none.
  func traceback(_ error: LuaError) -> String? {
    guard let all = error.traceback, error.kind != .script || error.hasPosition else { return nil }
    var lines = all.split(separator: "\n").map(String.init)
    while let last = lines.last, last.hasSuffix("[C]: in ?") { lines.removeLast() }
    return lines.count > 1
      ? lines.map { $0.replacing("\t", with: "  ") }.joined(separator: "\n") : nil
  }

  /// Writes a message to standard error, if it is loud enough.
  func log(_ level: LogLevel, _ message: String) {
    if let logSink { return logSink(level, message) }
    guard level >= logLevel else { return }
    writeError("xensave-lua: \(level == .info ? "" : "\(level.name): ")\(message)\n")
  }
}

/// Writes text to standard output; a broken pipe ends the program quietly.
func writeOut(_ text: String) throws(Failure) { try writeOut(Array(text.utf8)) }

func writeOut(_ bytes: [UInt8]) throws(Failure) {
  ProgressDisplay.clear()
  do { try Sink.standardOutput().write(bytes) } catch { throw Failure(error) }
}

/// Writes text to standard error; failures have nowhere to go.
func writeError(_ text: String) {
  ProgressDisplay.clear()
  writeToStandardError(Array(text.utf8))
}
