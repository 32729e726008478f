// The commands of the REPL that are no Lua.

internal import Terminal

/// A command that begins with a dot.
package enum DotCommand: String, CaseIterable {
  case help, time, edit, load, save, base, pager, quit

  /// One line about the command.
  var note: String {
    switch self {
    case .help: "these commands, or about a name: .help xs.open"
    case .time: "print how long each input takes, or with a statement only for that"
    case .edit: "write the next input (or a file's text) in $EDITOR, then run it"
    case .load: "run a Lua file in this session"
    case .save: "write this session's inputs to a new file"
    case .base: "print integers in base 16 or 10"
    case .pager: "show what is longer than the screen by $PAGER, or not"
    case .quit: "leave (as Ctrl-D, quit and exit do)"
    }
  }

  /// What follows the command's name in an overview.
  var argument: String {
    switch self {
    case .help: " [NAME]"
    case .time: " [CODE]"
    case .edit: " [FILE]"
    case .load, .save: " FILE"
    case .base: " 16|10"
    case .pager: " on|off"
    case .quit: ""
    }
  }

  /// The command of an input and what stands after it; nil if the input is Lua.
  static func parse(_ text: String) -> (name: String, rest: String)? {
    guard text.hasPrefix("."), let second = text.dropFirst().utf8.first,
      LuaLexer.isNameStart(second)
    else { return nil }
    let words = text.dropFirst().split(separator: " ", maxSplits: 1)
    return (String(words[0]).trimmed, words.count > 1 ? words[1].trimmed : "")
  }
}

/// What else a session understands that is no Lua.
enum SessionWord {
  static let all: [(name: String, note: String)] = [
    ("NAME?", "explain a name or value, as help does"),
    ("!COMMAND", "run a command of the system's shell"),
    ("EXPR | COMMAND", "send what is printed into a command"),
    ("EXPR > FILE", "write what is printed to a new file"),
  ]
}
