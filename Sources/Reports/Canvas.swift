// Pictures made of cells, in a terminal: half blocks in colours, or letters.

internal import Bytes
internal import SystemIO
package import Terminal

/// What a cell of a picture can be: its word in the legend, and how it looks everywhere.
package struct Tint: Equatable {
  package let name: String
  /// Where there are no colours.
  package let letter: Character
  /// In a terminal.
  package let color: Color
  /// In SVG and HTML, on white and on black: "#rrggbb".
  package let light: String
  package let dark: String

  package init(
    _ name: String, _ letter: Character, _ color: Color, light: String, dark: String
  ) {
    self.name = name
    self.letter = letter
    self.color = color
    self.light = light
    self.dark = dark
  }

  /// What is there for the first time, or once.
  static func first(_ name: String) -> Tint {
    Tint(name, "#", .blue, light: "#2f6fb7", dark: "#5b9be6")
  }

  /// What is there another time.
  static func again(_ name: String) -> Tint {
    Tint(name, "=", .yellow, light: "#e08a1e", dark: "#f2ad55")
  }

  /// At most five steps from little to much, each a name and a letter.
  static func ramp(_ steps: (name: String, letter: Character)...) -> [Tint] {
    let colors: [(color: Color, light: String, dark: String)] = [
      (.blue, "#31688e", "#3b78a8"), (.cyan, "#21918c", "#2cb5ae"), (.green, "#5ec962", "#6fd673"),
      (.yellow, "#e3b505", "#fde047"), (.red, "#c0392b", "#ff6b5e"),
    ]
    return zip(steps, colors).map {
      Tint($0.name, $0.letter, $1.color, light: $1.light, dark: $1.dark)
    }
  }
}

/// Rows of cells, and what they mean.
package struct CellPicture {
  /// Cells that follow one another; the next band begins in a new row.
  package struct Band {
    /// The pfn of the first cell, and pages from one cell to the next.
    package let first: UInt64
    package let step: UInt64
    /// Indices of tints; nil for a cell without anything.
    package let cells: [Int?]

    package init(first: UInt64, step: UInt64, cells: [Int?]) {
      self.first = first
      self.step = step
      self.cells = cells
    }

    /// The label of the row that begins with a cell.
    package func label(of cell: Int) -> String {
      first.addingSaturated(UInt64(cell).multipliedSaturated(by: step)).hex()
    }
  }

  package let title: String
  package let tints: [Tint]
  package let bands: [Band]
  /// What the legend says after each tint's name: counts; empty for nothing.
  package let notes: [String]

  package init(title: String, tints: [Tint], bands: [Band], notes: [String]) {
    self.title = title
    self.tints = tints
    self.bands = bands
    self.notes = notes
  }

  /// Columns of the longest label.
  var labelWidth: Int {
    bands.map { $0.label(of: max(0, $0.cells.count - 1)).count }.max() ?? 0
  }
}

/// Where a picture is drawn as text: how wide it is, and what it can show.
package struct Canvas {
  package let columns: Int
  package let isColored: Bool
  /// Whether the locale is one of UTF-8: else no half blocks.
  package let hasBlocks: Bool
  private static let widest = 128
  private static let rowCount = 16

  package init(columns: Int, isColored: Bool, hasBlocks: Bool) {
    self.columns = max(20, columns)
    self.isColored = isColored
    self.hasBlocks = hasBlocks
  }

  /// Standard output.
  package init(_ choice: ColorChoice) {
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { Environment.variable($0) }
      .first { !$0.isEmpty } ?? ""
    let name = locale.uppercased()
    self.init(
      columns: (TerminalSize.current(of: 1) ?? .standard).columns,
      isColored: choice.isEnabled(descriptor: 1),
      hasBlocks: name.contains("UTF-8") || name.contains("UTF8"))
  }

  /// Two rows of cells in a row of the screen.
  private var isHalved: Bool { isColored && hasBlocks }

  /// Cells in a row, beside labels of `labelWidth` columns.
  package func across(labelWidth: Int) -> Int {
    min(Canvas.widest, max(8, (columns - labelWidth - 1) / 8 * 8))
  }

  /// Cells that make a picture of one screen.
  package func cellLimit(labelWidth: Int) -> Int {
    across(labelWidth: labelWidth) * Canvas.rowCount * (isHalved ? 2 : 1)
  }

  /// The picture with title and legend, a line a row.
  package func text(_ picture: CellPicture) -> String {
    let width = picture.labelWidth
    let across = across(labelWidth: width)
    var out = paragraph(picture.title)
    for band in picture.bands {
      let height = isHalved ? 2 : 1
      for start in stride(from: 0, to: band.cells.count, by: across * height) {
        let label = band.label(of: start)
        var line = String(repeating: " ", count: max(0, width - label.count)) + label + " "
        let upper = band.cells[start..<min(start + across, band.cells.count)]
        if isHalved {
          let end = min(start + 2 * across, band.cells.count)
          line += halves(upper, band.cells[min(start + across, end)..<end], picture.tints)
        } else {
          line += row(upper, picture.tints)
        }
        while line.last == " " { line.removeLast() }
        out += line + "\n"
      }
    }
    return out + legend(picture.tints, picture.notes)
  }

  /// Words in lines.
  package func paragraph(_ text: String) -> String {
    wrapped(text.split(separator: " ").map { (String($0), nil) }, gap: 1)
  }

  /// The tints with what there is to say of each; where anything is said of any, only those.
  package func legend(_ tints: [Tint], _ notes: [String]) -> String {
    var entries: [(text: String, color: Color?)] = []
    for (index, tint) in tints.enumerated() {
      let note = index < notes.count ? notes[index] : ""
      // What is nowhere needs no explanation.
      guard notes.isEmpty || !note.isEmpty else { continue }
      entries.append((mark(tint) + " " + tint.name + (note.isEmpty ? "" : " " + note), tint.color))
    }
    return wrapped(entries, gap: 2)
  }

  /// A bar of parts, each so many columns of a tint.
  package func bar(_ parts: [(tint: Int, columns: Int)], _ tints: [Tint]) -> String {
    let cells = parts.flatMap { [Int?](repeating: $0.tint, count: max(0, $0.columns)) }
    return isHalved ? halves(cells[...], cells[...], tints) : row(cells[...], tints)
  }

  private func mark(_ tint: Tint) -> String {
    isHalved ? "\u{2588}" : isColored ? " " : String(tint.letter)
  }

  /// Words in lines of the canvas' width; of each the first character in its colour.
  private func wrapped(_ words: [(text: String, color: Color?)], gap: Int) -> String {
    var (out, used) = ("", 0)
    for (text, color) in words {
      let width = displayWidth(text)
      if used > 0, used + gap + width > columns {
        out += "\n"
        used = 0
      }
      out += used > 0 ? String(repeating: " ", count: gap) : ""
      used += (used > 0 ? gap : 0) + width
      if let color, isColored, let first = text.first {
        out += isHalved ? sgr(color, nil) : sgr(nil, color)
        out += String(first) + "\u{1B}[0m" + text.dropFirst()
      } else {
        out += text
      }
    }
    return out.isEmpty ? "" : out + "\n"
  }

  private func sgr(_ front: Color?, _ back: Color?) -> String {
    let codes =
      ["0"]
      + [front.map { "\($0.rawValue)" }, back.map { "\($0.rawValue + 10)" }].compactMap(\.self)
    return "\u{1B}[" + codes.joined(separator: ";") + "m"
  }

  /// A row of letters, or of blanks in colours.
  private func row(_ cells: ArraySlice<Int?>, _ tints: [Tint]) -> String {
    guard isColored else {
      return String(cells.map { $0.map { tints[$0].letter } ?? " " })
    }
    return run(cells.map { ($0.map { _ in " " } ?? " ", nil, $0.map { tints[$0].color }) })
  }

  /// Two rows of cells as half blocks.
  private func halves(
    _ upper: ArraySlice<Int?>, _ lower: ArraySlice<Int?>, _ tints: [Tint]
  ) -> String {
    run(
      upper.enumerated().map { index, above in
        let below = index < lower.count ? lower[lower.startIndex + index] : nil
        let (top, bottom) = (above.map { tints[$0].color }, below.map { tints[$0].color })
        if top == bottom { return (top == nil ? " " : "\u{2588}", top, nil) }
        return top == nil ? ("\u{2584}", bottom, nil) : ("\u{2580}", top, bottom)
      })
  }

  /// Characters with the escape sequences between those that differ.
  private func run(_ cells: [(text: String, front: Color?, back: Color?)]) -> String {
    var out = ""
    var last: (Color?, Color?) = (nil, nil)
    for cell in cells {
      if (cell.front, cell.back) != last {
        out += sgr(cell.front, cell.back)
        last = (cell.front, cell.back)
      }
      out += cell.text
    }
    return last == (nil, nil) ? out : out + "\u{1B}[0m"
  }
}
