// The text being edited, the cursor in it, and its earlier states.

/// A text with a cursor. All offsets are UTF-8 bytes; the cursor is always on the boundary of a
/// `Character`, between 0 and the length of the text. Lines end with "\n".
struct EditBuffer {
  private(set) var text = ""
  private(set) var cursor = 0

  /// An empty buffer.
  init() {}

  /// A buffer with the cursor after `text`; line breaks are normalised.
  init(_ text: String) {
    self.text = text.withUnixLineBreaks
    cursor = self.text.utf8.count
  }

  /// The length of the text in bytes.
  var count: Int { text.utf8.count }

  /// The text of `range`, which must be inside the text and on scalar boundaries.
  subscript(range: Range<Int>) -> String {
    String(text[index(range.lowerBound)..<index(range.upperBound)])
  }

  // MARK: Changes

  /// Puts `replacement` in the place of `range` and the cursor after it. A range outside the text
  /// or inside a character is moved to the nearest boundaries that enclose it.
  mutating func replace(_ range: Range<Int>, with replacement: String) {
    let range = enclosing(range)
    let inserted = replacement.withUnixLineBreaks
    text.replaceSubrange(index(range.lowerBound)..<index(range.upperBound), with: inserted)
    cursor = boundary(notBefore: range.lowerBound + inserted.utf8.count)
  }

  /// Inserts `inserted` at the cursor, which moves after it.
  mutating func insert(_ inserted: String) {
    replace(cursor..<cursor, with: inserted)
  }

  /// Removes `range`, moves the cursor there and returns what was removed.
  mutating func remove(_ range: Range<Int>) -> String {
    let range = enclosing(range)
    let removed = self[range]
    replace(range, with: "")
    return removed
  }

  /// Moves the cursor to `offset`, or to the nearest boundary before it.
  mutating func move(to offset: Int) {
    cursor = boundary(notAfter: offset)
  }

  // MARK: Boundaries

  /// `range` widened to boundaries of characters inside the text.
  func enclosing(_ range: Range<Int>) -> Range<Int> {
    let lower = boundary(notAfter: range.lowerBound)
    return lower..<max(lower, boundary(notBefore: range.upperBound))
  }

  /// The last boundary at or before `offset`.
  func boundary(notAfter offset: Int) -> Int {
    let offset = min(max(0, offset), count)
    let upper = boundary(notBefore: offset)
    return upper == offset ? offset : self.offset(before: upper)
  }

  /// The first boundary at or after `offset`.
  func boundary(notBefore offset: Int) -> Int {
    let offset = min(max(0, offset), count)
    let position = index(offset)
    if offset == count || String.Index(position, within: text) != nil { return offset }
    // `index(after:)` of a position inside a character is the end of that character.
    return self.offset(of: text.index(after: position))
  }

  /// The boundary one character before the boundary `offset`; 0 stays 0.
  func offset(before offset: Int) -> Int {
    offset == 0 ? 0 : self.offset(of: text.index(before: index(offset)))
  }

  /// The boundary one character after the boundary `offset`; the end stays the end.
  func offset(after offset: Int) -> Int {
    offset == count ? offset : self.offset(of: text.index(after: index(offset)))
  }

  private func index(_ offset: Int) -> String.Index {
    text.utf8.index(text.startIndex, offsetBy: offset)
  }

  private func offset(of index: String.Index) -> Int {
    text.utf8.distance(from: text.startIndex, to: index)
  }
}

// MARK: - Words and lines

extension EditBuffer {
  /// Where the line that holds `offset` begins.
  func lineStart(of offset: Int) -> Int {
    let before = text.utf8.prefix(offset)
    guard let lineBreak = before.lastIndex(of: 0x0A) else { return 0 }
    return self.offset(of: lineBreak) + 1
  }

  /// Where the line that holds `offset` ends: at its line break or at the end of the text.
  func lineEnd(of offset: Int) -> Int {
    let after = text.utf8.dropFirst(offset)
    guard let lineBreak = after.firstIndex(of: 0x0A) else { return count }
    return self.offset(of: lineBreak)
  }

  /// Where the word before the cursor begins; letters, digits and underscores make a word.
  var wordStart: Int {
    scanBackward(from: scanBackward(from: cursor) { !$0.isWordPart }) { $0.isWordPart }
  }

  /// Where the word after the cursor ends.
  var wordEnd: Int {
    scanForward(from: scanForward(from: cursor) { !$0.isWordPart }) { $0.isWordPart }
  }

  /// Where the run of characters other than blanks before the cursor begins.
  var blankWordStart: Int {
    scanBackward(from: scanBackward(from: cursor) { $0.isWhitespace }) { !$0.isWhitespace }
  }

  /// Moves the cursor one line down or up to the display column `column`, or to the end of a
  /// shorter line. False, without a move, when there is no such line.
  mutating func moveVertically(down: Bool, column: Int) -> Bool {
    let start: Int
    if down {
      let end = lineEnd(of: cursor)
      guard end < count else { return false }
      start = end + 1
    } else {
      let current = lineStart(of: cursor)
      guard current > 0 else { return false }
      start = lineStart(of: current - 1)
    }
    let end = lineEnd(of: start)
    var offset = start
    var reached = 0
    while offset < end {
      let next = self.offset(after: offset)
      reached += TextLayout.columns(of: self[offset..<next], from: reached)
      if reached > column { break }
      offset = next
    }
    cursor = offset
    return true
  }

  /// The display column of the cursor in its line, the prompt not counted.
  var column: Int { TextLayout.columns(of: self[lineStart(of: cursor)..<cursor], from: 0) }

  private func scanBackward(from offset: Int, while matches: (Character) -> Bool) -> Int {
    var position = index(offset)
    while position > text.startIndex {
      let previous = text.index(before: position)
      guard matches(text[previous]) else { break }
      position = previous
    }
    return self.offset(of: position)
  }

  private func scanForward(from offset: Int, while matches: (Character) -> Bool) -> Int {
    var position = index(offset)
    while position < text.endIndex, matches(text[position]) {
      position = text.index(after: position)
    }
    return self.offset(of: position)
  }
}

extension Character {
  fileprivate var isWordPart: Bool { isLetter || isNumber || self == "_" }
}

// MARK: - Undo

/// A stack of earlier buffers. Text typed without a pause for another command, up to the end of a
/// word, is one step.
struct UndoLog {
  /// Steps kept, and bytes of text kept in them.
  static let stepLimit = 200
  static let byteLimit = 8 << 20

  private var states: [EditBuffer] = []
  private var bytes = 0

  /// Remembers `buffer` as it is before a change.
  mutating func record(_ buffer: EditBuffer) {
    states.append(buffer)
    bytes += buffer.count
    while states.count > Self.stepLimit || (bytes > Self.byteLimit && states.count > 1) {
      bytes -= states.removeFirst().count
    }
  }

  /// Takes back the last change: the buffer before it, or nil when there is none.
  mutating func undo() -> EditBuffer? {
    guard let state = states.popLast() else { return nil }
    bytes -= state.count
    return state
  }
}
