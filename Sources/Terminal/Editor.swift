// The line editor as a pure state machine: bytes in, edits, bytes for the screen out.

/// Edits one block of text. Knows no descriptors and no clock: a driver feeds it the bytes of the
/// terminal, tells it the size, and writes what `draw()` returns.
struct Editor {
  /// What the driver has to do after a key.
  enum Effect: Equatable {
    case submit(String)
    case interrupt
    case endOfInput
    /// Stop the process: write what `pause()` returns before, and call `restart()` after.
    case suspend
  }

  enum Mode {
    case editing
    case searching(HistorySearch)
    case choosing(CompletionMenu)
  }

  /// What one block leaves for the next.
  struct Memory {
    var killed = ""
    /// Whether that was whole lines.
    var killsLines = false
    var query = ""
    /// The editing mode, where it was changed; nil for that of the settings.
    var editingMode: InputSettings.EditingMode?
  }

  let options: LineEditorOptions
  var memory: Memory
  var browser: HistoryBrowser
  var buffer = EditBuffer()
  var mode = Mode.editing
  var vi = ViState()
  var undoLog = UndoLog()
  /// The command before this one; nil after text. Joins kills, and typed text into undo steps.
  var previousCommand: Command?
  var isTyping = false
  /// The column that up and down try to keep.
  var goalColumn: Int?

  private(set) var size: TerminalSize
  private var decoder = KeyDecoder()
  private var painter: Painter
  private var firstVisibleRow = 0
  private var rings = false
  private var colored: (text: String, runs: [StyledRun])?

  init(
    options: LineEditorOptions, entries: [String] = [], size: TerminalSize = .standard,
    memory: Memory = Memory()
  ) {
    self.options = options
    self.memory = memory
    self.size = size
    browser = HistoryBrowser(entries: entries)
    painter = Painter(usesColor: options.usesColor)
    painter.beginRow(columns: layoutColumns)
  }

  /// The width that rows are wrapped at: wide characters need 2 columns at least.
  private var layoutColumns: Int { max(2, size.columns) }

  // MARK: Input

  /// Takes bytes from the front of `bytes` up to the first key that ends or suspends editing.
  mutating func feed(_ bytes: inout ArraySlice<UInt8>) -> Effect? {
    while let byte = bytes.popFirst() {
      for key in decoder.decode(byte) {
        if let effect = handle(key) { return effect }
      }
    }
    return nil
  }

  /// Whether an escape sequence has begun; if nothing follows within a moment, call `endEscape()`.
  var isInsideEscape: Bool { decoder.isInsideEscape }

  /// Takes a lone ESC as the Escape key.
  mutating func endEscape() {
    if let key = decoder.endEscape() { _ = handle(key) }
  }

  /// Takes the size of the terminal; the frame is painted anew if it has changed.
  mutating func resize(to size: TerminalSize) {
    guard size != self.size else { return }
    painter.erase(columns: size.columns)
    self.size = size
  }

  /// The bytes that leave the frame on the screen and the cursor at the start of the row below it.
  mutating func pause() -> [UInt8] {
    painter.leave()
    return painter.takeOutput()
  }

  /// Starts painting anew below whatever other output there has been.
  mutating func restart() { painter.beginRow(columns: layoutColumns) }

  mutating func clearScreen() { painter.clearScreen() }

  mutating func ring() { rings = options.input.rings }

  var editingMode: InputSettings.EditingMode { memory.editingMode ?? options.input.editingMode }

  /// The word before the prompt; "" where none is asked for.
  private var modeText: String {
    guard options.input.showsMode else { return "" }
    guard editingMode == .vi else { return options.input.emacsText }
    return vi.isCommandMode ? options.input.commandText : options.input.insertText
  }

  // MARK: Output

  /// The bytes that bring the screen up to date.
  mutating func draw() -> [UInt8] {
    painter.paint(frame())
    if rings { painter.emit("\u{7}") }
    rings = false
    return painter.takeOutput()
  }

  /// The bytes that leave the whole text on the screen and the cursor at the start of the row
  /// below it. `mark` is written after the text.
  mutating func finish(mark: String = "") -> [UInt8] {
    mode = .editing
    buffer.move(to: buffer.count)
    let text = textFrame()
    // With rows out of view, write all of the text from the top of what is shown.
    if text.rows.count > size.rows { painter.erase(columns: layoutColumns) }
    painter.paint(text)
    painter.emit(mark)
    painter.leave()
    return painter.takeOutput()
  }

  /// What the screen is to show.
  mutating func frame() -> Frame {
    let limit = size.rows - 1
    switch mode {
    case .editing: return visible(textFrame(), extra: [])
    case .searching(let search):
      return visible(textFrame(), extra: limit > 0 ? [search.row(columns: layoutColumns)] : [])
    case .choosing(var menu):
      let rows = menu.rows(columns: layoutColumns, limit: min(limit, max(2, size.rows / 2)))
      mode = .choosing(menu)
      return visible(textFrame(), extra: rows)
    }
  }

  /// The part of `text` that fits on the screen above `extra` rows and holds the cursor.
  private mutating func visible(_ text: Frame, extra: [Row]) -> Frame {
    let height = min(text.rows.count, max(1, size.rows - extra.count))
    firstVisibleRow = min(firstVisibleRow, text.cursorRow, text.rows.count - height)
    firstVisibleRow = max(firstVisibleRow, text.cursorRow - height + 1)
    let shown = text.rows[firstVisibleRow..<firstVisibleRow + height]
    return Frame(
      rows: Array(shown) + extra, cursorRow: text.cursorRow - firstVisibleRow,
      cursorColumn: text.cursorColumn)
  }

  private mutating func textFrame() -> Frame {
    TextLayout.frame(
      text: buffer.text, cursor: buffer.cursor,
      prompt: Cell.cells(of: modeText + options.prompt.text, style: options.prompt.style),
      continuation: Cell.cells(
        of: options.continuationPrompt.text, style: options.continuationPrompt.style),
      runs: styledRuns(), columns: layoutColumns)
  }

  private mutating func styledRuns() -> [StyledRun] {
    guard options.usesColor else { return [] }
    var runs: [StyledRun] = []
    if let coloring = options.coloring {
      if let colored, colored.text.utf8.elementsEqual(buffer.text.utf8) {
        runs = colored.runs
      } else {
        runs = coloring(buffer.text)
        colored = (buffer.text, runs)
      }
    }
    if case .searching(let search) = mode, let match = search.match {
      runs.append(StyledRun(match, Style(underline: true)))
    }
    return runs
  }
}
