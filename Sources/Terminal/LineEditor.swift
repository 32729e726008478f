// The line editor on a real terminal.

internal import Glibc

/// Reads blocks of one or more lines, with editing on a terminal and without it elsewhere.
///
/// On a terminal the reader may edit, complete, search the history and paste; the terminal is in
/// raw mode only during `readLine()`. Where input or output is not a terminal, or TERM is unset,
/// empty or "dumb", lines are read as they come, and nothing but the prompt is written.
/// An editor belongs to one thread; only one editor of a process may read at a time.
public final class LineEditor {
  /// What `readLine()` has read.
  public enum Line: Equatable, Sendable {
    /// A block, its lines separated by "\n", without a line break at the end.
    case text(String)
    /// Ctrl-C: the block was dropped.
    case interrupted
    /// Ctrl-D in an empty block, or the end of the input.
    case endOfInput
  }

  /// The settings; may be changed between lines.
  public var options: LineEditorOptions
  /// The history; blocks submitted on a terminal are added to it.
  public var history: History
  /// Whether `readLine()` edits on a terminal.
  public let isInteractive: Bool

  let input: CInt
  let output: CInt
  private var memory = Editor.Memory()
  /// Bytes typed after the end of the last block.
  private var pending: ArraySlice<UInt8> = []

  /// An editor on the open descriptors `input` and `output`, which stay the caller's.
  /// `terminalName` is the kind of the terminal; by default the value of TERM.
  public init(
    options: LineEditorOptions = LineEditorOptions(), history: History = History(),
    input: CInt = 0, output: CInt = 1, terminalName: String? = nil
  ) {
    self.options = options
    self.history = history
    self.input = input
    self.output = output
    isInteractive =
      isatty(input) == 1 && isatty(output) == 1
      && canUseEscapes(terminalName: terminalName ?? environmentVariable("TERM"))
  }

  /// Reads one block. Throws if input or output fail; a terminal that is gone is `.endOfInput`.
  public func readLine() throws(TerminalError) -> Line {
    guard isInteractive else { return try readPlainBlock() }
    do throws(TerminalError) {
      return try edit()
    } catch {
      guard error.code == EIO else { throw error }
      return .endOfInput
    }
  }

  private func edit() throws(TerminalError) -> Line {
    var session = try TerminalSession(
      input: input, output: output, isInterrupted: options.isInterrupted)
    var editor = Editor(
      options: options, entries: history.entries, size: size, memory: memory)
    defer { memory = editor.memory }
    while true {
      let effect = editor.feed(&pending)
      editor.resize(to: size)
      switch effect {
      case .submit(let text):
        try session.write(editor.finish())
        history.add(text)
        return .text(text)
      case .interrupt:
        try session.write(editor.finish(mark: "^C"))
        return .interrupted
      case .endOfInput:
        try session.write(editor.finish())
        return .endOfInput
      case .suspend: try suspend(&session, &editor)
      case nil:
        try session.write(editor.draw())
        guard try next(&session, &editor) else { return .endOfInput }
        if options.isInterrupted() {
          pending = []
          try session.write(editor.finish(mark: "^C"))
          return .interrupted
        }
      }
    }
  }

  /// Waits for something to do; false when the terminal is gone.
  private func next(
    _ session: inout TerminalSession, _ editor: inout Editor
  ) throws(TerminalError) -> Bool {
    switch try session.wait(
      milliseconds: editor.isInsideEscape ? options.input.escapeMilliseconds : -1)
    {
    case .input:
      guard let typed = try session.read() else { return true }
      pending = typed[...]
      return !pending.isEmpty
    case .timeout: editor.endEscape()
    case .interrupted: break
    case .wake(let reasons):
      if reasons.contains(.suspended) {
        try suspend(&session, &editor)
      } else if reasons.contains(.continued) {
        try session.enterRawMode()
        editor.restart()
      }
    }
    return true
  }

  private func suspend(
    _ session: inout TerminalSession, _ editor: inout Editor
  ) throws(TerminalError) {
    try session.write(editor.pause())
    try session.suspend()
    editor.restart()
  }

  private var size: TerminalSize { TerminalSize.current(of: output) ?? .standard }
}
