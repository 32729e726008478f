// What is on the screen: cells, rows, frames.

/// One or two columns of a row: a scalar that takes columns and the marks drawn over it.
struct Cell: Equatable {
  var text: String
  /// 1 or 2.
  var columns: Int
  var style: Style

  /// Byte by byte: "é" as one scalar and as "e" with a mark are equal to Swift, but a terminal
  /// that shows one of them has to be sent the other.
  static func == (a: Cell, b: Cell) -> Bool {
    a.columns == b.columns && a.style == b.style && a.text.utf8.elementsEqual(b.text.utf8)
  }
}

/// One row of the screen, never wider than the screen.
struct Row: Equatable {
  private(set) var cells: [Cell] = []
  private(set) var columns = 0

  mutating func append(_ cell: Cell) {
    cells.append(cell)
    columns += cell.columns
  }

  /// A row of text on one line, escaped, cut at `limit` columns.
  init(_ runs: [(text: String, style: Style)] = [], limit: Int = .max) {
    for run in runs {
      for cell in Cell.cells(of: run.text, style: run.style) {
        guard columns + cell.columns <= limit else { return }
        append(cell)
      }
    }
  }
}

/// What the editor wants to see on the screen.
struct Frame: Equatable {
  var rows: [Row]
  /// Where the cursor is: a row of `rows`, and a column inside the screen.
  var cursorRow: Int
  var cursorColumn: Int
}

extension Cell {
  /// The style of the escapes that stand for control characters.
  static let escapeStyle = Style(.brightBlack)

  /// The cells of `text`; control characters, tabs and line breaks are made visible.
  static func cells(of text: String, style: Style) -> [Cell] {
    var cells: [Cell] = []
    for character in text { append(character, style: style, to: &cells) }
    return cells
  }

  /// Appends the cells of one character. A mark without a base gets a dotted circle as its base.
  static func append(_ character: Character, style: Style, to cells: inout [Cell]) {
    var hasBase = false
    for scalar in character.unicodeScalars {
      if let escape = scalar.displayEscape {
        for letter in escape.unicodeScalars {
          cells.append(Cell(text: String(letter), columns: 1, style: escapeStyle))
        }
        hasBase = false
      } else if scalar.columns > 0 {
        cells.append(Cell(text: String(scalar), columns: scalar.columns, style: style))
        hasBase = true
      } else if hasBase {
        cells[cells.count - 1].text.unicodeScalars.append(scalar)
      } else {
        cells.append(Cell(text: "\u{25CC}" + String(scalar), columns: 1, style: style))
        hasBase = true
      }
    }
  }
}
