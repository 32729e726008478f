// What keys and commands do to the text.

extension Editor {
  /// Takes one key.
  mutating func handle(_ key: Key) -> Effect? {
    switch mode {
    case .editing: break
    case .searching(let search):
      if searchTakes(key, search) { return nil }
    case .choosing(let menu):
      if menuTakes(key, menu) { return nil }
    }
    return editingMode == .vi ? viHandle(key) : take(key, .emacs)
  }

  /// Takes a key by the bindings of `keymap`, and by our own where that has none.
  mutating func take(_ key: Key, _ keymap: InputSettings.Keymap) -> Effect? {
    switch options.input.bindings[keymap]?[key] {
    case .command(let command): return perform(command)
    case .text(let text):
      checkpoint()
      buffer.insert(text)
      note(nil)
      return nil
    case nil: break
    }
    switch key {
    case .text(let text): type(text)
    case .paste(let text):
      checkpoint()
      buffer.insert(text)
      note(nil)
    case .pasteRefused: ring()
    case .control, .alt, .special:
      guard let command = Command.bindings[key] else { return nil }
      return perform(command)
    }
    return nil
  }

  /// Carries out `command` in the text.
  mutating func perform(_ command: Command) -> Effect? {
    switch command {
    case .enter: return enter()
    case .interrupt: return .interrupt
    case .suspend: return .suspend
    case .deleteOrEnd:
      if buffer.count == 0 { return .endOfInput }
      delete(from: buffer.cursor, to: buffer.offset(after: buffer.cursor))
    default:
      if !performMove(command) { performEdit(command) }
    }
    note(command)
    return nil
  }

  /// Remembers what was done last. `command` is nil for text.
  mutating func note(_ command: Command?, typing: Bool = false) {
    previousCommand = command
    isTyping = typing
    if command != .up && command != .down { goalColumn = nil }
  }

  /// Makes the state before a change one that undo returns to.
  mutating func checkpoint() { undoLog.record(buffer) }

  // MARK: Typing

  private mutating func type(_ text: String) {
    // A blank ends an undo step, so that undo takes back a word at a time.
    if !isTyping || text == " " { checkpoint() }
    buffer.insert(text)
    note(nil, typing: true)
  }

  private mutating func enter() -> Effect? {
    if options.isComplete(buffer.text) { return .submit(buffer.text) }
    insertLineBreak()
    return nil
  }

  private mutating func insertLineBreak() {
    checkpoint()
    let lineBreak = buffer.cursor
    buffer.insert("\n")
    buffer.insert(options.indentation(buffer.text, lineBreak))
    note(.newline)
  }

  // MARK: Moves

  /// Carries out a command that only moves; false if `command` is none.
  private mutating func performMove(_ command: Command) -> Bool {
    switch command {
    case .left: buffer.move(to: buffer.offset(before: buffer.cursor))
    case .right: buffer.move(to: buffer.offset(after: buffer.cursor))
    case .wordLeft: buffer.move(to: buffer.wordStart)
    case .wordRight: buffer.move(to: buffer.wordEnd)
    case .lineStart: buffer.move(to: buffer.lineStart(of: buffer.cursor))
    case .lineEnd: buffer.move(to: buffer.lineEnd(of: buffer.cursor))
    case .textStart: buffer.move(to: 0)
    case .textEnd: buffer.move(to: buffer.count)
    case .up, .down:
      let goal = goalColumn ?? buffer.column
      if buffer.moveVertically(down: command == .down, column: goal) {
        goalColumn = goal
      } else {
        recall(command == .up ? browser.previous : browser.next)
        goalColumn = nil
      }
    case .historyPrevious: recall(browser.previous)
    case .historyNext: recall(browser.next)
    case .historyFirst: recall(browser.first)
    case .historyLast: recall(browser.last)
    case .historyPrefixBackward, .historyPrefixForward:
      recallWithPrefix(backward: command == .historyPrefixBackward)
    case .viCommandMode:
      if editingMode == .vi { viEnterCommandMode() } else { ring() }
    case .viEditing: memory.editingMode = .vi
    case .emacsEditing:
      memory.editingMode = .emacs
      vi = ViState()
    case .searchBackward, .searchForward: beginSearch(backward: command == .searchBackward)
    case .clearScreen: clearScreen()
    default: return false
    }
    return true
  }

  /// Shows the history entry or draft at `position`; rings if there is none.
  private mutating func recall(_ position: Int?) {
    guard let position else { return ring() }
    checkpoint()
    buffer = EditBuffer(browser.move(to: position, leaving: buffer.text))
  }

  /// Shows the next entry that begins with the text before the cursor, which stays.
  private mutating func recallWithPrefix(backward: Bool) {
    let prefix = buffer[0..<buffer.cursor]
    var position = browser.position + (backward ? -1 : 1)
    while browser.entries.indices.contains(position),
      !browser.entries[position].utf8.starts(with: prefix.utf8)
        || browser.entries[position].utf8.elementsEqual(buffer.text.utf8)
    {
      position += backward ? -1 : 1
    }
    guard (0...browser.entries.count).contains(position),
      position < browser.entries.count || !backward && browser.position < position
    else { return ring() }
    recall(position)
    buffer.move(to: prefix.utf8.count)
  }

  /// Shows the entry with this number, the oldest is 0; false where there is none.
  mutating func recallEntry(_ position: Int) -> Bool {
    guard browser.entries.indices.contains(position), position != browser.position else {
      return false
    }
    recall(position)
    return true
  }

  // MARK: Edits

  private mutating func performEdit(_ command: Command) {
    let cursor = buffer.cursor
    switch command {
    case .newline: insertLineBreak()
    case .complete: complete(backward: false)
    case .completeBackward: complete(backward: true)
    case .deleteBackward: delete(from: buffer.offset(before: cursor), to: cursor)
    case .deleteForward: delete(from: cursor, to: buffer.offset(after: cursor))
    case .killLineEnd:
      let end = buffer.lineEnd(of: cursor)
      kill(cursor..<(end == cursor ? buffer.offset(after: end) : end), forward: true)
    case .killLineStart:
      let start = buffer.lineStart(of: cursor)
      kill((start == cursor ? buffer.offset(before: start) : start)..<cursor, forward: false)
    case .killBlankWordBackward: kill(buffer.blankWordStart..<cursor, forward: false)
    case .killWordBackward: kill(buffer.wordStart..<cursor, forward: false)
    case .killWordForward: kill(cursor..<buffer.wordEnd, forward: true)
    case .yank:
      guard !memory.killed.isEmpty else { return ring() }
      checkpoint()
      buffer.insert(memory.killed)
    case .transpose: transpose()
    case .undo:
      guard let state = undoLog.undo() else { return ring() }
      buffer = state
    default: ring()
    }
  }

  private mutating func delete(from start: Int, to end: Int) {
    guard start < end else { return ring() }
    checkpoint()
    _ = buffer.remove(start..<end)
  }

  /// Moves `range` into the kill buffer; kills in a row are collected there.
  private mutating func kill(_ range: Range<Int>, forward: Bool) {
    guard !range.isEmpty else { return ring() }
    checkpoint()
    let removed = buffer.remove(range)
    let collected = previousCommand?.kills == true ? memory.killed : ""
    memory.killed = forward ? collected + removed : removed + collected
    memory.killsLines = false
  }

  /// Exchanges the characters around the cursor, or the last two of a line at its end.
  private mutating func transpose() {
    var middle = buffer.cursor
    if middle == buffer.lineEnd(of: middle) { middle = buffer.offset(before: middle) }
    let lineStart = buffer.lineStart(of: buffer.cursor)
    guard middle > lineStart, middle < buffer.lineEnd(of: middle) else { return ring() }
    let start = buffer.offset(before: middle)
    let end = buffer.offset(after: middle)
    checkpoint()
    buffer.replace(start..<end, with: buffer[middle..<end] + buffer[start..<middle])
  }
}
