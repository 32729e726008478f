// The commands of the REPL that are no Lua.

internal import Terminal

/// A command that begins with a dot.
package enum DotCommand: String, CaseIterable {
  case help, time, edit, load, save, quit

  /// One line about the command.
  var note: String {
    switch self {
    case .help: "these commands, or about a name: .help xs.open"
    case .time: "print how long each input takes, or with a statement only for that"
    case .edit: "write the next input (or a file's text) in $EDITOR, then run it"
    case .load: "run a Lua file in this session"
    case .save: "write this session's inputs to a new file"
    case .quit: "leave (as Ctrl-D does)"
    }
  }

  /// What follows the command's name in an overview.
  var argument: String {
    switch self {
    case .help: " [NAME]"
    case .time: " [CODE]"
    case .edit: " [FILE]"
    case .load, .save: " FILE"
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
