// Completion by Tab: the common prefix first, then a menu.

/// The open menu. The selected candidate is already in the text.
struct CompletionMenu {
  let candidates: [Completion]
  /// The text before the completion, and the bytes of it that candidates replace.
  let original: EditBuffer
  let range: Range<Int>
  var selected: Int
  /// The first row of candidates that is shown.
  private var firstRow = 0
  private var lastColumnCount = 1

  init(_ candidates: [Completion], original: EditBuffer, range: Range<Int>, selected: Int) {
    self.candidates = candidates
    self.original = original
    self.range = range
    self.selected = selected
  }

  /// Candidates side by side, as shown last.
  var columnCount: Int { lastColumnCount }

  /// Moves the selection by `step` candidates, around the ends.
  mutating func move(by step: Int) {
    selected = (selected + step % candidates.count + candidates.count) % candidates.count
  }

  /// The rows below the text: candidates in columns, and the note of the selected one. `limit` rows
  /// are available, 0 or more.
  mutating func rows(columns: Int, limit: Int) -> [Row] {
    guard limit > 0 else { return [] }
    let names = candidates.map { escapeForDisplay($0.display) }
    let gap = 2
    let cellWidth = min(columns + gap, (names.map { displayWidth($0) }.max() ?? 0) + gap)
    lastColumnCount = max(1, (columns + gap) / cellWidth)
    let rowCount = (names.count + columnCount - 1) / columnCount
    let note = noteRow(columns: columns, isPartial: rowCount > limit - 1)
    let height = min(rowCount, max(1, limit - (note == nil ? 0 : 1)))
    let selectedRow = selected / columnCount
    firstRow = min(max(firstRow, selectedRow - height + 1), selectedRow, rowCount - height)
    var rows: [Row] = []
    for row in firstRow..<firstRow + height {
      var runs: [(text: String, style: Style)] = []
      for index in row * columnCount..<min((row + 1) * columnCount, names.count) {
        let padding = max(0, cellWidth - displayWidth(names[index]))
        runs.append((names[index], Style(inverse: index == selected)))
        runs.append((String(repeating: " ", count: padding), .plain))
      }
      rows.append(Row(runs, limit: columns))
    }
    if let note, rows.count < limit { rows.append(note) }
    return rows
  }

  /// The note of the selected candidate, after its number if the menu does not fit; nil if no
  /// candidate has a note and no number is needed.
  private func noteRow(columns: Int, isPartial: Bool) -> Row? {
    guard isPartial || candidates.contains(where: { !$0.note.isEmpty }) else { return nil }
    let note = candidates[selected].note.prefix { $0 != "\n" && $0 != "\r\n" }
    let count = isPartial ? "\(selected + 1)/\(candidates.count)  " : ""
    return Row([(count + note, Style(dim: true))], limit: columns)
  }
}

extension Editor {
  /// Answers Tab and Shift-Tab.
  mutating func complete(backward: Bool) {
    if isInIndentation {
      guard !backward else { return ring() }
      checkpoint()
      buffer.insert(options.tabText)
      return
    }
    guard let found = options.completions?(buffer.text, buffer.cursor), !found.candidates.isEmpty
    else { return ring() }
    let range = buffer.enclosing(found.range)
    let present = buffer[range]
    let prefix = found.commonPrefix
    let extends =
      !prefix.utf8.elementsEqual(present.utf8) && prefix.utf8.count >= present.utf8.count
    if found.candidates.count == 1 && !extends && prefix.utf8.elementsEqual(present.utf8) {
      return ring()
    }
    checkpoint()
    if found.candidates.count == 1 || extends { return buffer.replace(range, with: prefix) }
    let selected = backward ? found.candidates.count - 1 : 0
    choose(CompletionMenu(found.candidates, original: buffer, range: range, selected: selected))
  }

  /// Whether Tab makes indentation: on a further line, with only blanks before the cursor.
  private var isInIndentation: Bool {
    let start = buffer.lineStart(of: buffer.cursor)
    guard start > 0, !options.tabText.isEmpty else { return false }
    return buffer[start..<buffer.cursor].utf8.allSatisfy { $0 == 0x20 || $0 == 0x09 }
  }

  /// Puts the selected candidate into the text and shows the menu.
  private mutating func choose(_ menu: CompletionMenu) {
    buffer = menu.original
    buffer.replace(menu.range, with: menu.candidates[menu.selected].replacement)
    mode = .choosing(menu)
  }

  /// Handles a key of the menu; false if the key closes it and is to be handled as usual.
  mutating func menuTakes(_ key: Key, _ current: CompletionMenu) -> Bool {
    var menu = current
    switch key {
    case .special(.tab, .none), .special(.right, .none): menu.move(by: 1)
    case .special(.backTab, .none), .special(.left, .none): menu.move(by: -1)
    case .special(.down, .none): menu.move(by: menu.columnCount)
    case .special(.up, .none): menu.move(by: -menu.columnCount)
    case .special(.enter, .none):
      mode = .editing
      return true
    case .special(.escape, .none), .control("g"):
      buffer = menu.original
      mode = .editing
      return true
    default:
      mode = .editing
      return false
    }
    choose(menu)
    return true
  }
}
