// The modes of vi: what keys do where they are no text.

/// What vi's modes keep between keys.
struct ViState {
  var isCommandMode = false
  /// Whether typed text takes the place of the text at the cursor (R).
  var isReplacing = false
  /// The keys of the command that has begun.
  var keys: [Character] = []
  var lastFind: ViFind?
  /// The keys of the change that is being made, and of the one before it, for `.`.
  var change: [Key] = []
  var lastChange: [Key] = []
  var isRepeating = false
}

extension Editor {
  /// Takes a key in one of vi's modes.
  mutating func viHandle(_ key: Key) -> Effect? {
    if vi.isCommandMode { return viCommandKey(key) }
    // Whoever types fast sends Escape and a letter as one: that is Alt elsewhere.
    if case .alt(let letter) = key, options.input.bindings[.viInsert]?[key] == nil {
      vi.change.append(.special(.escape, .none))
      viEnterCommandMode()
      return viCommandKey(.text(String(letter)))
    }
    if !vi.change.isEmpty { vi.change.append(key) }
    if key == .special(.escape, .none), options.input.bindings[.viInsert]?[key] == nil {
      viEnterCommandMode()
      return nil
    }
    if vi.isReplacing, case .text = key, buffer.cursor < buffer.lineEnd(of: buffer.cursor) {
      checkpoint()
      _ = buffer.remove(buffer.cursor..<buffer.offset(after: buffer.cursor))
    }
    return take(key, .viInsert)
  }

  /// Leaves insert mode: the cursor is on a character from now on.
  mutating func viEnterCommandMode() {
    if !vi.isRepeating, !vi.change.isEmpty { vi.lastChange = vi.change }
    vi.change = []
    vi.keys = []
    vi.isReplacing = false
    guard !vi.isCommandMode else { return ring() }
    vi.isCommandMode = true
    if buffer.cursor > buffer.lineStart(of: buffer.cursor) {
      buffer.move(to: buffer.offset(before: buffer.cursor))
    }
    note(nil)
  }

  /// The cursor is never after the last character of a line.
  private mutating func viKeepOnCharacter() {
    guard vi.isCommandMode, buffer.cursor == buffer.lineEnd(of: buffer.cursor),
      buffer.cursor > buffer.lineStart(of: buffer.cursor)
    else { return }
    buffer.move(to: buffer.offset(before: buffer.cursor))
  }

  private mutating func viCommandKey(_ key: Key) -> Effect? {
    defer { viKeepOnCharacter() }
    if options.input.bindings[.viCommand]?[key] != nil { return take(key, .viCommand) }
    switch key {
    case .text(let text):
      vi.keys += text
      switch ViCommand.parse(vi.keys) {
      case .begun: return nil
      case .none:
        vi.keys = []
        ring()
        return nil
      case .whole(let command):
        let keys = vi.keys.map { Key.text(String($0)) }
        vi.keys = []
        return viPerform(command, keys)
      }
    case .special(.escape, .none):
      if vi.keys.isEmpty { ring() }
      vi.keys = []
      return nil
    case .special(.backspace, .none):
      vi.keys = []
      return perform(.left)
    case .special(.tab, .none), .special(.backTab, .none), .alt:
      vi.keys = []
      ring()
      return nil
    default:
      vi.keys = []
      return take(key, .viCommand)
    }
  }

  // MARK: - Commands

  private mutating func viPerform(_ command: ViCommand, _ keys: [Key]) -> Effect? {
    if command.isChange, !vi.isRepeating { vi.change = keys }
    if command.name == "." {
      viRepeat()
      return nil
    }
    let isDone =
      command.verb == nil && !ViCommand.motions.contains(command.name)
      ? viAct(command) : viMove(command)
    if !isDone { ring() }
    if vi.isCommandMode {
      if command.isChange, isDone, !vi.isRepeating { vi.lastChange = vi.change }
      vi.change = []
    }
    if !["j", "k", "n", "N"].contains(command.name) { note(nil) }
    return nil
  }

  private mutating func viRepeat() {
    guard !vi.lastChange.isEmpty, !vi.isRepeating else { return ring() }
    vi.isRepeating = true
    defer { vi.isRepeating = false }
    // None of them ends the block: changes have no such keys.
    for key in vi.lastChange { _ = viHandle(key) }
  }

  /// A motion, alone or after a verb.
  private mutating func viMove(_ command: ViCommand) -> Bool {
    let count = command.count ?? 1
    guard let verb = command.verb else {
      guard let target = viTarget(command, count) else { return false }
      buffer.move(to: target.place)
      return true
    }
    let start = buffer.cursor
    if command.name == verb || command.name == "j" || command.name == "k" {
      return viLines(verb, command)
    }
    if verb == "c", command.name == "w" || command.name == "W",
      let end = buffer.endOfWord(at: start, count: count, isBig: command.name == "W")
    {
      // cw leaves the blanks after the word.
      viApply(verb, start..<end, isLines: false)
      return true
    }
    guard let target = viTarget(command, count) else { return false }
    let first = min(start, target.place)
    var end = max(start, target.place)
    if target.isInclusive { end = buffer.offset(after: end) }
    // The last word of a line takes no line break along.
    if command.name == "w" || command.name == "W" { end = min(end, buffer.lineEnd(of: first)) }
    viApply(verb, first..<end, isLines: false)
    return true
  }

  /// dd, cc, yy, and the same with j and k: whole lines.
  private mutating func viLines(_ verb: Character, _ command: ViCommand) -> Bool {
    var start = buffer.lineStart(of: buffer.cursor)
    var end = buffer.lineEnd(of: buffer.cursor)
    let isVertical = command.name != verb
    var more = (command.count ?? 1) - (isVertical ? 0 : 1)
    while more > 0 {
      if command.name == "k" {
        guard start > 0 else { return false }
        start = buffer.lineStart(of: start - 1)
      } else {
        guard end < buffer.count else { break }
        end = buffer.lineEnd(of: end + 1)
      }
      more -= 1
    }
    if isVertical, more > 0 { return false }
    viApply(verb, start..<end, isLines: true)
    return true
  }

  private mutating func viApply(_ verb: Character, _ range: Range<Int>, isLines: Bool) {
    memory.killed = buffer[buffer.enclosing(range)]
    memory.killsLines = isLines
    guard verb != "y" else { return buffer.move(to: range.lowerBound) }
    checkpoint()
    var range = range
    if isLines, verb == "d" {
      // The line break goes, too: the one after them, or that before the last line.
      if range.upperBound < buffer.count {
        range = range.lowerBound..<range.upperBound + 1
      } else if range.lowerBound > 0 {
        range = range.lowerBound - 1..<range.upperBound
      }
    }
    _ = buffer.remove(range)
    if verb == "c" {
      viInsert()
    } else if isLines {
      buffer.move(to: buffer.firstOfLine(buffer.cursor))
    }
  }

  /// Where a motion leads, and whether the character there belongs to it; nil where it leads nowhere.
  private mutating func viTarget(
    _ command: ViCommand, _ count: Int
  ) -> (place: Int, isInclusive: Bool)? {
    let cursor = buffer.cursor
    func times(_ step: (Int) -> Int) -> Int? {
      var place = cursor
      for _ in 0..<count {
        let next = step(place)
        if next == place { break }
        place = next
      }
      return place == cursor ? nil : place
    }
    switch command.name {
    case "h":
      let start = buffer.lineStart(of: cursor)
      return times { $0 > start ? buffer.offset(before: $0) : $0 }.map { ($0, false) }
    case "l", " ":
      let end = buffer.lineEnd(of: cursor)
      // With a verb the last character can be meant; without one the cursor stays on it.
      return times { $0 < end ? buffer.offset(after: $0) : $0 }.map { ($0, false) }
    case "w", "W":
      return times { buffer.nextWord(from: $0, isBig: command.name == "W") }.map { ($0, false) }
    case "b", "B":
      return times { buffer.previousWord(from: $0, isBig: command.name == "B") }.map { ($0, false) }
    case "e", "E":
      return times { buffer.lastOfWord(from: $0, isBig: command.name == "E") }.map { ($0, true) }
    case "0": return (buffer.lineStart(of: cursor), false)
    case "^": return (buffer.firstOfLine(cursor), false)
    case "$": return (buffer.lineEnd(of: cursor), false)
    case "|":
      var place = buffer.lineStart(of: cursor)
      let end = buffer.lineEnd(of: cursor)
      for _ in 1..<max(count, 1) where place < end { place = buffer.offset(after: place) }
      return (place, false)
    case "%": return buffer.matchingBracket(from: cursor).map { ($0, true) }
    case "f", "F", "t", "T":
      guard let argument = command.argument else { return nil }
      let find = ViFind(command.name, argument)
      vi.lastFind = find
      return viFound(find, count)
    case ";": return vi.lastFind.flatMap { viFound($0, count) }
    case ",": return vi.lastFind.flatMap { viFound($0.reversed, count) }
    default: return nil
    }
  }

  private func viFound(_ find: ViFind, _ count: Int) -> (place: Int, isInclusive: Bool)? {
    var place = buffer.cursor
    for _ in 0..<count {
      guard let next = buffer.place(of: find, from: place) else { return nil }
      place = next
    }
    return (place, find.isForward)
  }

  /// Commands that are no motions.
  private mutating func viAct(_ command: ViCommand) -> Bool {
    let count = command.count ?? 1
    let cursor = buffer.cursor
    let (lineStart, lineEnd) = (buffer.lineStart(of: cursor), buffer.lineEnd(of: cursor))
    func along(_ count: Int, forward: Bool) -> Int {
      var place = cursor
      for _ in 0..<count {
        guard forward ? place < lineEnd : place > lineStart else { break }
        place = forward ? buffer.offset(after: place) : buffer.offset(before: place)
      }
      return place
    }
    switch command.name {
    case "i": viInsert()
    case "I":
      buffer.move(to: buffer.firstOfLine(cursor))
      viInsert()
    case "a":
      buffer.move(to: along(1, forward: true))
      viInsert()
    case "A":
      buffer.move(to: lineEnd)
      viInsert()
    case "R":
      viInsert()
      vi.isReplacing = true
    case "x":
      guard cursor < lineEnd else { return false }
      viApply("d", cursor..<along(count, forward: true), isLines: false)
    case "X":
      guard cursor > lineStart else { return false }
      viApply("d", along(count, forward: false)..<cursor, isLines: false)
    case "s": viApply("c", cursor..<along(count, forward: true), isLines: false)
    case "S": viApply("c", lineStart..<lineEnd, isLines: true)
    case "D": viApply("d", cursor..<lineEnd, isLines: false)
    case "C": viApply("c", cursor..<lineEnd, isLines: false)
    case "Y": viApply("y", lineStart..<lineEnd, isLines: true)
    case "r":
      let end = along(count, forward: true)
      guard let argument = command.argument, buffer[cursor..<end].count == count else {
        return false
      }
      checkpoint()
      buffer.replace(cursor..<end, with: String(repeating: argument, count: count))
      buffer.move(to: buffer.offset(before: buffer.cursor))
    case "~":
      let end = along(count, forward: true)
      guard end > cursor else { return false }
      checkpoint()
      let swapped = buffer[cursor..<end].map { $0.isLowercase ? $0.uppercased() : $0.lowercased() }
      buffer.replace(cursor..<end, with: swapped.joined())
    case "p", "P": return viPut(isBefore: command.name == "P", count)
    case "u":
      for _ in 0..<count {
        guard let state = undoLog.undo() else { return false }
        buffer = state
      }
    case "j", "+": for _ in 0..<count { _ = perform(.down) }
    case "k", "-": for _ in 0..<count { _ = perform(.up) }
    case "G":
      guard let count = command.count else {
        _ = perform(.historyFirst)
        return true
      }
      return recallEntry(count - 1)
    case "/": beginSearch(backward: true)
    case "?": beginSearch(backward: false)
    case "n", "N": return searchAgain(backward: command.name == "n")
    case "#":
      checkpoint()
      buffer.move(to: lineStart)
      buffer.insert("--")
    default: return false
    }
    return true
  }

  private mutating func viInsert() {
    vi.isCommandMode = false
    note(nil)
  }

  private mutating func viPut(isBefore: Bool, _ count: Int) -> Bool {
    guard !memory.killed.isEmpty || memory.killsLines else { return false }
    checkpoint()
    let cursor = buffer.cursor
    if memory.killsLines {
      let lines = Array(repeating: memory.killed, count: count).joined(separator: "\n")
      if isBefore {
        let start = buffer.lineStart(of: cursor)
        buffer.replace(start..<start, with: lines + "\n")
        buffer.move(to: buffer.firstOfLine(start))
      } else {
        let end = buffer.lineEnd(of: cursor)
        buffer.replace(end..<end, with: "\n" + lines)
        buffer.move(to: buffer.firstOfLine(end + 1))
      }
    } else {
      let isAtEnd = isBefore || cursor == buffer.lineEnd(of: cursor)
      buffer.move(to: isAtEnd ? cursor : buffer.offset(after: cursor))
      buffer.insert(String(repeating: memory.killed, count: count))
      buffer.move(to: buffer.offset(before: buffer.cursor))
    }
    return true
  }
}
