// What of readline's init file the editor follows: mode, bell, key bindings.

/// The settings of readline's init file (inputrc) that the line editor knows: `editing-mode`, `bell-style`,
/// `completion-ignore-case`, `show-mode-in-prompt` and its texts, `keyseq-timeout`, `keymap`, bindings of one key to a command or to
/// text, `$if`, `$else`, `$endif` and `$include`. All else is passed over, as readline does with what it does
/// not know. Source: the readline manual, "Readline Init File Syntax".
public struct InputSettings: Sendable {
  enum EditingMode: Sendable { case emacs, vi }

  /// A table of keys.
  enum Keymap: Hashable, Sendable { case emacs, viInsert, viCommand }

  enum Binding: Equatable, Sendable {
    case command(Command)
    /// Inserted as if it were typed.
    case text(String)
  }

  var editingMode = EditingMode.emacs
  /// Whether the terminal's bell rings where a key has nothing to do.
  var rings = true
  /// Whether completion takes upper and lower case for the same.
  public internal(set) var ignoresCase = false
  /// Whether a word before the prompt says the mode, and these words.
  var showsMode = false
  var emacsText = "@"
  var insertText = "(ins)"
  var commandText = "(cmd)"
  /// Milliseconds that the rest of an escape sequence is waited for.
  var escapeMilliseconds: Int32 = 50
  var bindings: [Keymap: [Key: Binding]] = [:]

  /// No init file: the keys of Emacs.
  public init() {}

  /// Those of $INPUTRC, or of ~/.inputrc or /etc/inputrc where that is not set: of the first that can be
  /// read.
  public static func ofUser() -> InputSettings {
    var paths: [String] = []
    if let path = environmentVariable("INPUTRC"), !path.isEmpty {
      paths = [path]
    } else {
      if let home = environmentVariable("HOME"), !home.isEmpty { paths = [home + "/.inputrc"] }
      paths.append("/etc/inputrc")
    }
    for path in paths {
      guard let text = InputFile.text(of: path) else { continue }
      return InputSettings(text, terminalName: environmentVariable("TERM") ?? "")
    }
    return InputSettings()
  }

  /// Reads the text of an init file; `include` gives the text of others that it names.
  init(
    _ text: String, terminalName: String = "",
    include: (String) -> String? = { InputFile.text(of: $0) }
  ) {
    var reader = InputFile(terminalName: terminalName)
    reader.read(text, into: &self, include: include, depth: 0)
  }
}

/// Reads init files.
struct InputFile {
  /// Bytes of a file, and files inside each other.
  private static let byteLimit = 256 << 10
  private static let depthLimit = 8

  let terminalName: String
  private var keymap: InputSettings.Keymap?
  /// Of each `$if` that is open: whether its lines count, and whether it was reached at all.
  private var conditions: [(holds: Bool, isReached: Bool)] = []

  init(terminalName: String) { self.terminalName = terminalName }

  /// The text of a file; nil where it cannot be read. A leading "~/" is the home directory.
  static func text(of path: String) -> String? {
    var path = path
    if path.hasPrefix("~/"), let home = environmentVariable("HOME") {
      path = home + path.dropFirst()
    }
    guard let file = try? OpenFile(path, 0), let bytes = try? file.readEnd(limit: byteLimit) else {
      return nil
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  mutating func read(
    _ text: String, into settings: inout InputSettings, include: (String) -> String?, depth: Int
  ) {
    let outer = conditions
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.drop(while: \.isWhitespace)
      if line.isEmpty || line.hasPrefix("#") { continue }
      if line.hasPrefix("$") {
        directive(String(line.dropFirst()), &settings, include, depth)
      } else if conditions.last?.holds ?? true {
        statement(line, &settings)
      }
    }
    conditions = outer
  }

  private mutating func directive(
    _ line: String, _ settings: inout InputSettings, _ include: (String) -> String?, _ depth: Int
  ) {
    let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
    let isReached = conditions.last?.holds ?? true
    switch words.first?.lowercased() {
    case "if":
      let test = words.dropFirst().joined(separator: " ")
      conditions.append((isReached && holds(test, settings), isReached))
    case "else":
      guard let last = conditions.popLast() else { return }
      conditions.append((last.isReached && !last.holds, last.isReached))
    case "endif": _ = conditions.popLast()
    case "include":
      guard isReached, depth < Self.depthLimit, words.count == 2, let text = include(words[1])
      else { return }
      read(text, into: &settings, include: include, depth: depth + 1)
    default: break
    }
  }

  private func holds(_ test: String, _ settings: InputSettings) -> Bool {
    let parts = test.split(separator: "=", maxSplits: 1).map {
      $0.lowercased().filter { !$0.isWhitespace }
    }
    guard parts.count == 2 else { return test.lowercased() == "xensave-lua" }
    switch parts[0] {
    case "mode": return parts[1] == (settings.editingMode == .vi ? "vi" : "emacs")
    case "term":
      let name = terminalName.lowercased()
      return parts[1] == name || parts[1] == name.prefix { $0 != "-" }
    default: return false
    }
  }

  private mutating func statement(_ line: Substring, _ settings: inout InputSettings) {
    let words = line.split(maxSplits: 2, whereSeparator: \.isWhitespace).map(String.init)
    if words[0].lowercased() == "set", words.count > 1, !words[1].hasPrefix(":") {
      let value = words.count > 2 ? words[2].trimmingBlanks : ""
      set(words[1].lowercased(), value, &settings)
    } else if let (key, rest) = Self.key(line) {
      bind(key, rest, &settings)
    }
  }

  private mutating func set(_ name: String, _ value: String, _ settings: inout InputSettings) {
    let isOn = value.isEmpty || ["on", "1"].contains(value.lowercased())
    switch name {
    case "editing-mode":
      guard ["vi", "emacs"].contains(value.lowercased()) else { return }
      settings.editingMode = value.lowercased() == "vi" ? .vi : .emacs
      keymap = nil
    case "bell-style": settings.rings = value.lowercased() != "none"
    case "completion-ignore-case": settings.ignoresCase = isOn
    case "show-mode-in-prompt": settings.showsMode = isOn
    case "emacs-mode-string": settings.emacsText = Self.text(value)
    case "vi-ins-mode-string": settings.insertText = Self.text(value)
    case "vi-cmd-mode-string": settings.commandText = Self.text(value)
    case "keyseq-timeout":
      guard let milliseconds = Int32(value) else { return }
      settings.escapeMilliseconds = min(max(milliseconds, 1), 5000)
    case "keymap":
      switch value.lowercased() {
      case "emacs", "emacs-standard": keymap = .emacs
      case "vi-insert": keymap = .viInsert
      case "vi", "vi-move", "vi-command": keymap = .viCommand
      default: break
      }
    default: break
    }
  }

  private func bind(_ key: Key, _ text: String, _ settings: inout InputSettings) {
    let map = keymap ?? (settings.editingMode == .vi ? .viInsert : .emacs)
    if let quote = text.first, quote == "\"" || quote == "'" {
      let inner = text.dropFirst().prefix { $0 != quote }
      let inserted = Self.text(String(inner))
      // Text that is keys again would need keys inside keys.
      guard !inserted.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }) else {
        return
      }
      settings.bindings[map, default: [:]][key] = .text(inserted)
    } else {
      let name = text.prefix { !$0.isWhitespace }.lowercased()
      guard let command = Command.named[name] else { return }
      settings.bindings[map, default: [:]][key] = .command(command)
    }
  }

  // MARK: - Keys

  /// The key that a line binds, and what follows the colon; nil where it is none, or several.
  private static func key(_ line: Substring) -> (Key, String)? {
    var bytes: [UInt8]
    let rest: Substring
    if line.hasPrefix("\"") {
      var end: Substring.Index?
      var isEscaped = false
      for index in line.indices.dropFirst() {
        if isEscaped {
          isEscaped = false
        } else if line[index] == "\\" {
          isEscaped = true
        } else if line[index] == "\"" {
          end = index
          break
        }
      }
      guard let end else { return nil }
      bytes = Self.bytes(String(line[line.index(after: line.startIndex)..<end]))
      rest = line[line.index(after: end)...].drop(while: \.isWhitespace)
      guard rest.hasPrefix(":") else { return nil }
    } else {
      guard let colon = line.firstIndex(of: ":"), let named = Self.named(line[..<colon]) else {
        return nil
      }
      bytes = named
      rest = line[colon...]
    }
    var decoder = KeyDecoder()
    var keys = bytes.flatMap { decoder.decode($0) }
    if let last = decoder.endEscape() { keys.append(last) }
    guard keys.count == 1 else { return nil }
    return (keys[0], String(rest.dropFirst()).trimmingBlanks)
  }

  /// The bytes of a key by its name: "Control-u", "Meta-Rubout", "C-M-f".
  private static func named(_ text: Substring) -> [UInt8]? {
    var name = String(text).trimmingBlanks[...]
    var (isControl, isMeta) = (false, false)
    while let dash = name.firstIndex(of: "-"), dash != name.startIndex,
      name.index(after: dash) != name.endIndex
    {
      switch name[..<dash].lowercased() {
      case "control", "c", "ctrl": isControl = true
      case "meta", "m": isMeta = true
      default: return nil
      }
      name = name[name.index(after: dash)...]
    }
    let names: [String: UInt8] = [
      "del": 0x7F, "rubout": 0x7F, "esc": 0x1B, "escape": 0x1B, "lfd": 0x0A, "newline": 0x0A,
      "ret": 0x0D, "return": 0x0D, "space": 0x20, "spc": 0x20, "tab": 0x09,
    ]
    let character = name.utf8.count == 1 ? name.utf8.first : nil
    guard var byte = names[name.lowercased()] ?? character else { return nil }
    if isControl { byte = byte == 0x3F ? 0x7F : byte & 0x1F }
    return (isMeta ? [0x1B] : []) + [byte]
  }

  private static func text(_ value: String) -> String {
    var value = value
    if value.count > 1, let quote = value.first, quote == "\"", value.last == quote {
      value = String(value.dropFirst().dropLast())
    }
    return String(decoding: bytes(value), as: UTF8.self)
  }

  /// The bytes that readline's escapes stand for.
  private static func bytes(_ text: String) -> [UInt8] {
    var out: [UInt8] = []
    var rest = Array(text.utf8)[...]
    var (isControl, isMeta) = (false, false)
    func add(_ byte: UInt8) {
      if isMeta { out.append(0x1B) }
      out.append(isControl ? (byte == 0x3F ? 0x7F : byte & 0x1F) : byte)
      (isControl, isMeta) = (false, false)
    }
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "\\"), let next = rest.popFirst() else {
        add(byte)
        continue
      }
      switch next {
      case UInt8(ascii: "C") where rest.first == UInt8(ascii: "-"):
        isControl = true
        rest = rest.dropFirst()
      case UInt8(ascii: "M") where rest.first == UInt8(ascii: "-"):
        isMeta = true
        rest = rest.dropFirst()
      case UInt8(ascii: "e"): add(0x1B)
      case UInt8(ascii: "a"): add(0x07)
      case UInt8(ascii: "b"): add(0x08)
      case UInt8(ascii: "d"): add(0x7F)
      case UInt8(ascii: "f"): add(0x0C)
      case UInt8(ascii: "n"): add(0x0A)
      case UInt8(ascii: "r"): add(0x0D)
      case UInt8(ascii: "t"): add(0x09)
      case UInt8(ascii: "v"): add(0x0B)
      case UInt8(ascii: "x"): add(escapedByte(&rest, radix: 16, digits: 2, first: nil))
      case UInt8(ascii: "0")...UInt8(ascii: "7"):
        add(escapedByte(&rest, radix: 8, digits: 3, first: next))
      default: add(next)
      }
    }
    return out
  }

  private static func escapedByte(
    _ rest: inout ArraySlice<UInt8>, radix: Int, digits: Int, first: UInt8?
  ) -> UInt8 {
    var text = first.map { [$0] } ?? []
    while text.count < digits, let byte = rest.first,
      Int(String(decoding: [byte], as: UTF8.self), radix: radix) != nil
    {
      text.append(byte)
      rest = rest.dropFirst()
    }
    return UInt8(truncatingIfNeeded: Int(String(decoding: text, as: UTF8.self), radix: radix) ?? 0)
  }
}

extension String {
  fileprivate var trimmingBlanks: String {
    var text = Substring(self).drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}

extension Command {
  /// The commands by readline's names.
  static let named: [String: Command] = [
    "accept-line": .enter, "complete": .complete, "menu-complete": .complete,
    "menu-complete-backward": .completeBackward, "backward-char": .left, "forward-char": .right,
    "backward-word": .wordLeft, "forward-word": .wordRight, "beginning-of-line": .lineStart,
    "end-of-line": .lineEnd, "previous-screen-line": .up, "next-screen-line": .down,
    "backward-delete-char": .deleteBackward, "delete-char": .deleteForward,
    "end-of-file": .deleteOrEnd, "transpose-chars": .transpose, "undo": .undo,
    "kill-line": .killLineEnd, "backward-kill-line": .killLineStart,
    "unix-line-discard": .killLineStart, "unix-word-rubout": .killBlankWordBackward,
    "backward-kill-word": .killWordBackward, "kill-word": .killWordForward, "yank": .yank,
    "previous-history": .historyPrevious, "next-history": .historyNext,
    "beginning-of-history": .historyFirst, "end-of-history": .historyLast,
    "history-search-backward": .historyPrefixBackward,
    "history-search-forward": .historyPrefixForward, "reverse-search-history": .searchBackward,
    "forward-search-history": .searchForward, "clear-screen": .clearScreen, "abort": .cancel,
    "vi-movement-mode": .viCommandMode, "vi-editing-mode": .viEditing,
    "emacs-editing-mode": .emacsEditing,
  ]
}
