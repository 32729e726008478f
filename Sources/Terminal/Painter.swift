// Brings the screen from one frame to the next with as few bytes as possible.

/// Knows what is on the screen and writes the escape sequences that change it.
///
/// Works only with relative vertical moves, so it needs no knowledge of where on the screen the
/// frame is. Rows below the last one are made with line feeds, which scroll at the bottom.
/// A row that fills the screen leaves the terminal about to wrap; a carriage return comes first in
/// every move, which ends that state in all terminals.
struct Painter {
  private(set) var output: [UInt8] = []
  private let usesColor: Bool
  private var shown: [Row] = []
  private var cursorRow = 0
  private var cursorColumn = 0

  init(usesColor: Bool) { self.usesColor = usesColor }

  /// Hands out what is to be written to the terminal.
  mutating func takeOutput() -> [UInt8] {
    defer { output = [] }
    return output
  }

  mutating func emit(_ text: String) { output += text.utf8 }

  // MARK: Frames

  /// Changes the screen to show `frame`.
  mutating func paint(_ frame: Frame) {
    for (rowIndex, row) in frame.rows.enumerated() {
      let old = rowIndex < shown.count ? shown[rowIndex] : Row()
      if rowIndex < shown.count ? old == row : row.cells.isEmpty && rowIndex == 0 { continue }
      paint(row, over: old, at: rowIndex)
    }
    if frame.rows.count < shown.count {
      move(toRow: frame.rows.count, column: 0)
      emit("\u{1B}[J")
    }
    shown = frame.rows
    move(toRow: frame.cursorRow, column: frame.cursorColumn)
  }

  private mutating func paint(_ row: Row, over old: Row, at rowIndex: Int) {
    var column = 0
    var first = 0
    while first < min(row.cells.count, old.cells.count), row.cells[first] == old.cells[first] {
      column += row.cells[first].columns
      first += 1
    }
    move(toRow: rowIndex, column: column)
    var style = Style.plain
    for cell in row.cells[first...] {
      let wanted = usesColor ? cell.style : cell.style.withoutColor
      if wanted != style {
        emit("\u{1B}[0" + (wanted == .plain ? "" : ";" + wanted.parameters) + "m")
        style = wanted
      }
      emit(cell.text)
    }
    if style != .plain { emit("\u{1B}[0m") }
    cursorColumn = row.columns
    if old.columns > row.columns { emit("\u{1B}[K") }
  }

  private mutating func move(toRow row: Int, column: Int) {
    if row == cursorRow, column == cursorColumn { return }
    emit("\r")
    if row < cursorRow { emit("\u{1B}[\(cursorRow - row)A") }
    if row > cursorRow {
      let existing = max(cursorRow, min(row, shown.count - 1))
      if existing > cursorRow { emit("\u{1B}[\(existing - cursorRow)B") }
      emit(String(repeating: "\n", count: row - existing))
    }
    if column > 0 { emit("\u{1B}[\(column)C") }
    cursorRow = row
    cursorColumn = column
  }

  // MARK: Other changes of the screen

  /// Leaves the frame on the screen and goes to the start of the row below it.
  mutating func leave() {
    move(toRow: max(0, shown.count - 1), column: 0)
    emit("\r\n")
    forget()
  }

  /// Forgets the frame: the next one is painted where the cursor is, which must be column 0.
  mutating func forget() {
    shown = []
    cursorRow = 0
    cursorColumn = 0
  }

  /// Clears the screen; the next frame is painted at its top.
  mutating func clearScreen() {
    emit("\u{1B}[H\u{1B}[2J")
    forget()
  }

  /// Removes the frame, so that the next one is painted in its place, where the terminal is now
  /// `columns` wide: terminals wrap rows that have become too long, and the cursor moves with its
  /// text.
  mutating func erase(columns: Int) {
    var above = cursorColumn / columns
    for row in shown.prefix(cursorRow) { above += (max(1, row.columns) + columns - 1) / columns }
    emit("\r")
    if above > 0 { emit("\u{1B}[\(above)A") }
    emit("\u{1B}[J")
    forget()
  }

  /// Goes to the start of an empty row: of this one, or of the next if some output has left the
  /// cursor inside a row. The mark and the blanks fill exactly one row, so they wrap only then.
  mutating func beginRow(columns: Int) {
    emit("\u{1B}[7m%\u{1B}[0m" + String(repeating: " ", count: columns - 1) + "\r\u{1B}[K")
    forget()
  }
}
