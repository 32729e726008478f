// Wraps prompt and text into rows.

/// Lays out a block of text with its prompts on rows of a given width.
///
///     > for i = 1, 10 do        prompt, first line
///     >>   print(i)             continuation prompt, further line
///     >> end
struct TextLayout {
  /// Tab stops, in columns from the start of the line's text.
  static let tabWidth = 8

  private let columns: Int
  private var rows = [Row()]
  private var cursor: (row: Int, column: Int)?

  private init(columns: Int) { self.columns = columns }

  /// The frame of `text`. `cursor` is a byte offset on the boundary of a character; the screen is
  /// `columns` wide, 2 or more.
  static func frame(
    text: String, cursor: Int, prompt: [Cell], continuation: [Cell], runs: [StyledRun], columns: Int
  ) -> Frame {
    precondition(columns >= 2, "a wide character needs two columns")
    var layout = TextLayout(columns: columns)
    let styles = byteStyles(runs, count: text.utf8.count)
    layout.place(prompt)
    var offset = 0
    var lineColumn = 0
    var cells: [Cell] = []
    for character in text {
      cells.removeAll(keepingCapacity: true)
      let style = styles.isEmpty ? .plain : styles[offset]
      appendCells(of: character, style: style, from: lineColumn, to: &cells)
      if offset == cursor { layout.markCursor(before: cells.first) }
      if character == "\n" {
        layout.rows.append(Row())
        layout.place(continuation)
        lineColumn = 0
      } else {
        layout.place(cells)
        for cell in cells { lineColumn += cell.columns }
      }
      offset += character.utf8.count
    }
    if layout.cursor == nil { layout.markCursor(before: nil) }
    let mark = layout.cursor ?? (0, 0)
    return Frame(rows: layout.rows, cursorRow: mark.row, cursorColumn: mark.column)
  }

  /// Columns that `text`, part of one line, takes when it begins `column` columns into the line.
  static func columns(of text: String, from column: Int) -> Int {
    var end = column
    var cells: [Cell] = []
    for character in text {
      cells.removeAll(keepingCapacity: true)
      appendCells(of: character, style: .plain, from: end, to: &cells)
      for cell in cells { end += cell.columns }
    }
    return end - column
  }

  /// The cells of a character of the text: none for a line break, blanks for a tab.
  private static func appendCells(
    of character: Character, style: Style, from column: Int, to cells: inout [Cell]
  ) {
    switch character {
    case "\n": break
    case "\t":
      let blank = Cell(text: " ", columns: 1, style: style)
      cells += Array(repeating: blank, count: tabWidth - column % tabWidth)
    default: Cell.append(character, style: style, to: &cells)
    }
  }

  /// A style for each byte; empty when there are no runs.
  private static func byteStyles(_ runs: [StyledRun], count: Int) -> [Style] {
    guard !runs.isEmpty else { return [] }
    var styles = Array(repeating: Style.plain, count: count)
    for run in runs {
      for offset in run.range.clamped(to: 0..<count) { styles[offset] = run.style }
    }
    return styles
  }

  private mutating func place(_ cells: [Cell]) {
    for cell in cells {
      wrap(for: cell.columns)
      rows[rows.count - 1].append(cell)
    }
  }

  /// Begins a new row unless `needed` more columns fit into the last one.
  private mutating func wrap(for needed: Int) {
    if rows[rows.count - 1].columns + needed > columns { rows.append(Row()) }
  }

  /// The cursor stands where `next` will be put, or one column after the text.
  private mutating func markCursor(before next: Cell?) {
    wrap(for: next?.columns ?? 1)
    cursor = (rows.count - 1, rows[rows.count - 1].columns)
  }
}
