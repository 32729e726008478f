// The interactive shell: reads blocks of Lua, runs them, prints what they give.

internal import Bytes
internal import Format
internal import ImageEdit
package import LuaAPI
package import LuaRuntime
internal import Reports
internal import SystemIO
package import Terminal

/// One interactive session over a Lua state.
package final class Repl {
  package let shell: ShellContext
  private let editor: LineEditor
  private let usesColor: Bool
  /// Whether the time of every input is printed.
  var timesEverything = false
  /// Inputs that ran without an error, for .save.
  var transcript = Transcript()
  /// The last input, for .edit.
  var lastInput = ""
  var isDone = false
  /// Whether the last input ended with an error.
  private var hasFailed = false

  package init(_ shell: ShellContext) {
    self.shell = shell
    usesColor = shell.usesColor
    let folder = Environment.userFolder("XDG_STATE_HOME", ".local/state")
    let history = folder.map { History(path: "\($0)/xensave-lua/history") } ?? History()
    var options = LineEditorOptions()
    options.prompt = Prompt("> ", Style(.blue, bold: true))
    options.continuationPrompt = Prompt(">> ", Style(.blue))
    options.usesColor = usesColor
    options.isInterrupted = { Interrupt.isRequested }
    options.coloring = LuaColoring.runs
    editor = LineEditor(options: options, history: history)
    if editor.isInteractive { editor.options.input = .ofUser() }
    let state = shell.state
    let ignoresCase = editor.options.input.ignoresCase
    editor.options.completions = {
      Completer(state: state, ignoresCase: ignoresCase).completions($0, $1)
    }
    editor.options.isComplete = { [unowned self] in self.isComplete($0) }
    editor.options.indentation = { text, cursor in
      let before = String(decoding: Array(text.utf8)[..<cursor], as: UTF8.self)
      return String(repeating: "  ", count: Repl.openBlocks(before))
    }
  }

  /// Reads and runs blocks until the user leaves. `names` are the lines of Lua that made what the
  /// session begins with.
  package func run(_ names: [String]) throws -> Int32 {
    prepare()
    if editor.isInteractive {
      try write(
        "xensave-lua \(productVersion), \(LuaState.release). Tab completes, help() explains, Ctrl-D "
          + "leaves.")
      for line in names { try write("> " + line) }
    }
    shell.state.setGlobal(function: "help") { [unowned shell] frame in
      try Help(shell).run(frame)
    }
    shell.state.setGlobal(function: "apropos") { [unowned shell] frame in
      try Help(shell).apropos(frame)
    }
    if let error = editor.history.error, editor.isInteractive {
      try write("history: \(error)")
    }
    while true {
      switch try read() {
      case .text(let text): try take(text)
      case .interrupted: answerStop()
      case .endOfInput: isDone = true
      }
      if isDone, try mayLeave() { break }
    }
    return shell.exitCode ?? ExitCode.good
  }

  /// Whether the session may end: changes that were not saved are asked about on a terminal, and told
  /// of elsewhere, where the exit code says it too.
  private func mayLeave() throws -> Bool {
    let unsaved = shell.unsavedImages
    guard !unsaved.isEmpty, Interrupt.signal == 0 else { return true }
    guard editor.isInteractive else {
      if (shell.exitCode ?? ExitCode.good) == ExitCode.good { shell.exitCode = ExitCode.findings }
      return true
    }
    for image in unsaved {
      try write("\(escapeForDisplay(image.path)) has changes that were not saved:")
      if let document = try? image.document(), let report = try? document.changes() {
        try write(
          TextStyle(isOn: usesColor).report(report, hasCounts: false).split(separator: "\n").prefix(
            10
          )
          .joined(separator: "\n"))
      }
    }
    try write("img:save(PATH) writes them to a file, img:save { in_place = true } into the image.")
    var options = LineEditorOptions()
    options.prompt = Prompt("leave without saving? [y/N] ", Style(.yellow, bold: true))
    options.usesColor = usesColor
    options.isInterrupted = { Interrupt.isRequested }
    options.input = editor.options.input
    var answer = ""
    do {
      switch try LineEditor(options: options).readLine() {
      case .text(let text): answer = text.trimmed
      case .interrupted: break
      // Ctrl-D twice, or a terminal that is gone.
      case .endOfInput: return true
      }
    } catch { answer = "" }
    if Interrupt.signal == Interrupt.fromKeyboard { Interrupt.clear() }
    guard ["y", "yes"].contains(answer.lowercased()) else {
      isDone = false
      shell.exitCode = nil
      return false
    }
    shell.reportsLoss = false
    return true
  }

  var isInteractive: Bool { editor.isInteractive }

  private func prepare() {
    shell.showText = { [unowned self] text in
      do { try self.show(text.droppingLineBreak) } catch {
        throw LuaError(XensaveError(error).message)
      }
    }
    // In a session os.exit ends the session, which may ask first.
    shell.replaceExit { [unowned self] code in
      shell.exitCode = code
      throw LuaError("the session ends", code: "exit")
    }
    guard editor.isInteractive else { return }
    let place = editor.history.path.map { " (what was typed is in \($0))" } ?? ""
    Interrupt.explainWhenUnanswered(
      "\r\nxensave-lua: what runs here cannot be stopped: Ctrl-C again ends the session\(place)\r\n"
    )
  }

  private func read() throws -> LineEditor.Line {
    do { return try editor.readLine() } catch {
      // A terminal that stands still when the program is to end.
      if Interrupt.isRequested { return .interrupted }
      throw XensaveError(.system, "\(error)")
    }
  }

  /// Prints a line.
  package func write(_ text: String, _ style: Style = .plain) throws {
    try writeOut(style.applied(to: text, isEnabled: usesColor) + "\n")
  }

  // MARK: - Blocks

  /// Whether Enter ends the block: it is a command, or it compiles, or it cannot be completed.
  private func isComplete(_ text: String) -> Bool {
    if DotCommand.parse(text) != nil || text.trimmed.hasPrefix("!") { return true }
    let code = Repl.code(text)
    guard let asExpression = problem("return " + code) else { return true }
    guard let asStatement = problem(code) else { return true }
    return !LuaState.isIncomplete(asExpression) && !LuaState.isIncomplete(asStatement)
  }

  private func problem(_ code: String) -> LuaError? {
    do {
      try shell.state.load(Array(code.utf8), name: "=repl")
      shell.state.frame.pop()
      return nil
    } catch { return error }
  }

  /// Blocks and brackets that are open at the end of `text`, for the next line's indentation.
  private static func openBlocks(_ text: String) -> Int {
    var level = 0
    for token in LuaLexer.tokens(text) {
      switch (token.kind, token.text) {
      case (.keyword, "do"), (.keyword, "then"), (.keyword, "function"), (.keyword, "repeat"),
        (.symbol, "("), (.symbol, "{"), (.symbol, "["):
        level += 1
      case (.keyword, "end"), (.keyword, "until"), (.keyword, "elseif"), (.symbol, ")"),
        (.symbol, "}"), (.symbol, "]"):
        level -= 1
      default: break
      }
    }
    return max(0, level)
  }

  /// Lua of an input: "=x" is "return x"; a first `local` is left out, since a local would be gone
  /// with its input.
  private static func code(_ text: String) -> String {
    var text = text.trimmed
    if text.hasPrefix("=") { return "return " + text.dropFirst() }
    if text.hasPrefix("local "), text.contains("=") || text.hasPrefix("local function ") {
      text = text.dropFirst(6).trimmed
      for attribute in ["<const>", "<close>"] {
        if let place = text.firstRange(of: attribute) { text.removeSubrange(place) }
      }
    }
    return text
  }

  private func take(_ text: String) throws {
    if let (name, rest) = DotCommand.parse(text.trimmed) {
      guard let command = DotCommand(rawValue: name) else {
        let near = didYouMean(name, among: DotCommand.allCases.map(\.rawValue))
        return try write("no command .\(name)\(near)", Palette.error)
      }
      return try run(command, rest)
    }
    let typed = text.trimmed
    if typed.hasPrefix("!") {
      let command = String(typed.dropFirst()).trimmed
      guard !command.isEmpty else { return try write("expected: !COMMAND", Palette.error) }
      return try runCommand(command)
    }
    let name = String(typed.prefix { LuaLexer.isName($0.utf8.first ?? 0) })
    if Advice.farewells.contains(typed), name.isEmpty || !reader.isKnown(name) {
      isDone = true
      return
    }
    if typed == "help" || typed == "?" { return try evaluate("help()", isTimed: false) }
    if let topic = reader.helpTopic(typed) {
      return try show(Help(shell).text(of: topic).droppingLineBreak)
    }
    if let advice = reader.advice(typed) { return try write(advice, Palette.error) }
    let (code, target) = reader.split(typed)
    guard let target else { return try evaluate(text, isTimed: timesEverything) }
    shell.capture = ""
    defer { shell.capture = nil }
    try evaluate(code, isTimed: timesEverything)
    let output = shell.capture ?? ""
    shell.capture = nil
    if !hasFailed { try deliver(output, to: target) }
  }

  private var reader: InputReader {
    InputReader(
      compiles: { text in
        let code = Repl.code(text)
        return self.problem("return " + code) == nil || self.problem(code) == nil
      },
      isKnown: { name in
        let frame = self.shell.state.frame
        frame.pushGlobals()
        frame.pushRaw(-1, .text(name))
        defer { frame.pop(2) }
        return !frame.isMissing(-1)
      },
      isCommand: InputReader.isInPath)
  }

  // MARK: - Running

  /// Runs an input and prints its values or its error.
  func evaluate(_ text: String, isTimed: Bool) throws {
    lastInput = text
    hasFailed = true
    let state = shell.state
    let frame = state.frame
    let base = frame.count
    let code = Repl.code(text)
    let start = Environment.nanoseconds
    // A text that compiles after "return" is an expression.
    let isExpression = problem("return " + code) == nil
    do {
      try state.load(Array((isExpression ? "return " + code : code).utf8), name: "=repl")
      state.place = nil
      try state.call(0, results: -1)
    } catch {
      frame.pop(frame.count - base)
      if shell.exitCode != nil { isDone = true }
      return try show(error)
    }
    let nanoseconds = Environment.nanoseconds - start
    // A call of ours that was interrupted may have returned that as a failure.
    endInterrupt()
    try printValues(base, code)
    if isTimed { try write("\(milliseconds(nanoseconds)) ms", Palette.comment) }
    transcript.add(code, isExpression: isExpression, isStatement: problem(code) == nil)
    hasFailed = false
    frame.pop(frame.count - base)
    state.place = nil
    if shell.exitCode != nil { isDone = true }
  }

  /// Milliseconds with three digits after the point.
  private func milliseconds(_ nanoseconds: UInt64) -> String {
    let micro = nanoseconds / 1000
    let rest = String(micro % 1000)
    return "\(micro / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
  }

  /// Prints the values above `base`, and makes the first one `_`.
  private func printValues(_ base: Int, _ code: String) throws {
    let frame = shell.state.frame
    let count = frame.count - base
    guard count > 0 else { return }
    frame.push(copyOf: base + 1)
    shell.state.setGlobalFromTop("_")
    if count == 1, let text = fieldText(code, base + 1) { return try show(text) }
    // No value worth a line: what assignments by function calls give.
    if count == 1, frame.isMissing(base + 1), !code.hasPrefix("return ") {
      return try show(Palette.keyword.applied(to: "nil", isEnabled: shell.usesColor))
    }
    let printer = shell.printer
    try show((base + 1...base + count).map { printer.text(frame, $0) }.joined(separator: "\n"))
  }

  /// The text of a single field, with its unit or name, where the input is just its path.
  private func fieldText(_ code: String, _ index: Int) -> String? {
    let frame = shell.state.frame
    guard frame.type(index) == .number, let value = frame.integerIfAny(index) else { return nil }
    let code = code.hasPrefix("return ") ? String(code.dropFirst(7)) : code
    guard let expression = LuaExpression(LuaLexer.tokens(code)) else { return nil }
    let resolver = LuaResolver(state: shell.state)
    let base = frame.count
    defer { frame.pop(frame.count - base) }
    guard case .field(let owner, let slot) = resolver.resolve(expression) else { return nil }
    let field = slot.value(in: owner.fieldBytes)
    guard case .unsigned(let stored) = field, stored == UInt64(bitPattern: value) else {
      return nil
    }
    return Palette.number.applied(to: slot.field.text(of: field), isEnabled: shell.usesColor)
  }

  /// Prints an error with its traceback, and makes scripts able to run again after an interrupt.
  package func show(_ error: LuaError) throws {
    endInterrupt()
    if error.kind == .interrupted {
      // The terminal has shown ^C where the cursor was.
      if editor.isInteractive { try write("") }
    }
    if shell.exitCode != nil { return }
    try write(escapeForDisplay(error.message).replacing("\\n", with: "\n"), Palette.error)
    if let place = shell.state.place { try write("  while at \(place())") }
    if error.kind != .syntax, let traceback = shell.traceback(error) {
      try write(traceback, Palette.comment)
    }
  }

  private func endInterrupt() {
    shell.state.endStop()
    answerStop()
  }

  /// What Ctrl-C at a terminal drops is the input; all other requests to stop end the session.
  private func answerStop() {
    let signal = Interrupt.signal
    if signal == 0 || (signal == Interrupt.fromKeyboard && editor.isInteractive) {
      return Interrupt.clear()
    }
    isDone = true
    shell.exitCode = ExitCode.stopped(by: signal)
  }
}
