// A terminal in memory: interprets what the editor writes, so that tests see what a reader sees.

internal import Terminal

/// A screen with scrollback that wraps long rows when it becomes narrower, as VTE does. Sequences
/// that it does not know are collected in `unknown`: the editor must not send any.
package struct VirtualScreen {
  package struct Glyph: Equatable {
    package var text = " "
    /// 0 is the right half of a wide glyph.
    package var columns = 1
    package var attributes = ""
  }

  package struct Line {
    package var glyphs: [Glyph] = []
    /// Whether the text continues in the next line, because the terminal wrapped it.
    package var wraps = false
  }

  package private(set) var columns: Int
  package private(set) var rows: Int
  package private(set) var scrollback: [Line] = []
  private var lines: [Line]
  package private(set) var row = 0
  package private(set) var column = 0
  package private(set) var bells = 0
  package private(set) var bracketsPaste = false
  package private(set) var unknown: [String] = []
  private var isAboutToWrap = false
  private var attributes = ""
  private var sequence: [UInt8] = []
  private var scalarBytes: [UInt8] = []

  package init(columns: Int = 40, rows: Int = 10) {
    self.columns = columns
    self.rows = rows
    lines = Array(repeating: Line(), count: rows)
  }

  /// The visible rows without blanks at their ends and without empty rows at the bottom.
  package var text: [String] {
    var result = lines.map(Self.text)
    while result.last == "" { result.removeLast() }
    return result
  }

  /// All text, scrollback included.
  package var everything: [String] { scrollback.map(Self.text) + text }

  /// The attributes of the glyph at a place, SGR parameters as they were set; "" if none.
  package func attributes(row: Int, column: Int) -> String {
    column < lines[row].glyphs.count ? lines[row].glyphs[column].attributes : ""
  }

  package var isCursorInside: Bool { (0..<rows).contains(row) && (0..<columns).contains(column) }

  private static func text(_ line: Line) -> String {
    var text = line.glyphs.map { $0.columns == 0 ? "" : $0.text }.joined()
    while text.hasSuffix(" ") { text.removeLast() }
    return text
  }

  // MARK: Input

  package mutating func write(_ bytes: [UInt8]) {
    for byte in bytes { write(byte) }
  }

  private mutating func write(_ byte: UInt8) {
    if !sequence.isEmpty {
      sequence.append(byte)
      if sequence.count > 2, (0x40..<0x7F).contains(byte) { endSequence() }
      return
    }
    switch byte {
    case 0x1B: sequence = [byte]
    case 0x07: bells += 1
    case 0x0D:
      column = 0
      isAboutToWrap = false
    case 0x0A: lineFeed()
    case 0x00..<0x20, 0x7F: unknown.append("control \(byte)")
    default:
      scalarBytes.append(byte)
      if let text = String(validating: scalarBytes, as: UTF8.self) {
        scalarBytes = []
        put(text)
      } else if scalarBytes.count == 4 {
        unknown.append("bytes \(scalarBytes)")
        scalarBytes = []
      }
    }
  }

  private mutating func lineFeed() {
    isAboutToWrap = false
    if row < rows - 1 {
      row += 1
    } else {
      scrollback.append(lines.removeFirst())
      lines.append(Line())
    }
  }

  private mutating func put(_ text: String) {
    if escapeForDisplay(text) != text { unknown.append(escapeForDisplay(text)) }
    let width = displayWidth(text)
    if width == 0 {
      let target = isAboutToWrap ? column : column - 1
      guard target >= 0, target < lines[row].glyphs.count else { return }
      let base = lines[row].glyphs[target].columns == 0 ? target - 1 : target
      lines[row].glyphs[base].text += text
      return
    }
    if isAboutToWrap || column + width > columns {
      lines[row].wraps = true
      column = 0
      lineFeed()
    }
    while lines[row].glyphs.count < column + width { lines[row].glyphs.append(Glyph()) }
    lines[row].glyphs[column] = Glyph(text: text, columns: width, attributes: attributes)
    if width == 2 { lines[row].glyphs[column + 1] = Glyph(text: "", columns: 0) }
    column += width
    if column >= columns {
      column = columns - 1
      isAboutToWrap = true
    }
  }

  private mutating func endSequence() {
    defer { sequence = [] }
    let parameters = String(decoding: sequence.dropFirst(2).dropLast(), as: UTF8.self)
    let number = max(1, Int(parameters) ?? 1)
    isAboutToWrap = false
    switch (sequence[1], sequence.last.map { Character(Unicode.Scalar($0)) }, parameters) {
    case (0x5B, "A", _): row = max(0, row - number)
    case (0x5B, "B", _): row = min(rows - 1, row + number)
    case (0x5B, "C", _): column = min(columns - 1, column + number)
    case (0x5B, "H", ""): (row, column) = (0, 0)
    case (0x5B, "J", ""):
      eraseLineEnd()
      for below in row + 1..<max(row + 1, rows) { lines[below] = Line() }
    case (0x5B, "J", "2"): lines = Array(repeating: Line(), count: rows)
    case (0x5B, "K", ""): eraseLineEnd()
    case (0x5B, "m", _): attributes = parameters == "0" ? "" : parameters
    case (0x5B, "h", "?2004"): bracketsPaste = true
    case (0x5B, "l", "?2004"): bracketsPaste = false
    default: unknown.append(String(decoding: sequence.dropFirst(), as: UTF8.self))
    }
  }

  private mutating func eraseLineEnd() {
    lines[row].wraps = false
    if column < lines[row].glyphs.count { lines[row].glyphs.removeSubrange(column...) }
  }

  // MARK: Resizing

  /// Changes the size; text is wrapped anew, and the cursor stays with its text.
  package mutating func resize(columns newColumns: Int, rows newRows: Int) {
    var all = scrollback + lines
    let cursorLine = scrollback.count + row
    while all.count > cursorLine + 1, all[all.count - 1].glyphs.isEmpty { all.removeLast() }
    var wrapped: [Line] = []
    var place = (line: 0, column: 0)
    var start = 0
    while start < all.count {
      var end = start
      while all[end].wraps, end + 1 < all.count { end += 1 }
      var glyphs: [Glyph] = []
      var cursorOffset: Int?
      for line in start...end {
        if line == cursorLine { cursorOffset = glyphs.count + column }
        glyphs += all[line].glyphs
      }
      while let offset = cursorOffset, glyphs.count < offset { glyphs.append(Glyph()) }
      let first = wrapped.count
      wrapped += Self.wrap(glyphs, columns: newColumns)
      if let offset = cursorOffset {
        place = (first + offset / newColumns, offset % newColumns)
        while wrapped.count <= place.line { wrapped.append(Line()) }
      }
      start = end + 1
    }
    // The cursor's line stays visible; lines that do not fit below it are lost.
    let hidden = min(place.line, max(0, wrapped.count - newRows))
    scrollback = Array(wrapped[..<hidden])
    lines = Array(wrapped[hidden...].prefix(newRows))
    while lines.count < newRows { lines.append(Line()) }
    (columns, rows, isAboutToWrap) = (newColumns, newRows, false)
    (row, column) = (place.line - hidden, place.column)
  }

  private static func wrap(_ glyphs: [Glyph], columns: Int) -> [Line] {
    var result = [Line()]
    for (index, glyph) in glyphs.enumerated() {
      let isSplit = glyph.columns == 2 && result[result.count - 1].glyphs.count + 2 > columns
      if isSplit || result[result.count - 1].glyphs.count + 1 > columns {
        result[result.count - 1].wraps = true
        result.append(Line())
      }
      result[result.count - 1].glyphs.append(glyphs[index])
    }
    return result
  }
}
