// Keys as the editor sees them, and what they are bound to.

/// One key press, or one paste.
enum Key: Hashable {
  case text(String)
  /// Pasted text, line breaks normalised to "\n".
  case paste(String)
  /// A paste of more than `KeyDecoder.pasteLimit` bytes, dropped.
  case pasteRefused
  /// Ctrl with a lower-case letter or one of `@ \ ] ^ _`.
  case control(Character)
  /// Alt with a printable ASCII character.
  case alt(Character)
  case special(Special, Modifier)

  enum Special: Hashable {
    case up, down, left, right, home, end, pageUp, pageDown
    case enter, tab, backTab, escape, backspace, delete
  }

  enum Modifier: Hashable {
    case none, alt, control
  }
}

/// What a key can ask of the editor.
enum Command: Hashable {
  case enter, newline, complete, completeBackward
  case left, right, wordLeft, wordRight, lineStart, lineEnd, textStart, textEnd, up, down
  case deleteBackward, deleteForward, deleteOrEnd, transpose, undo
  case killLineEnd, killLineStart, killBlankWordBackward, killWordBackward, killWordForward, yank
  case historyPrevious, historyNext, historyFirst, historyLast, searchBackward, searchForward
  case historyPrefixBackward, historyPrefixForward
  case clearScreen, interrupt, suspend, cancel
  case viCommandMode, viEditing, emacsEditing

  /// Whether the command puts text into the kill buffer; such commands in a row are one kill.
  var kills: Bool {
    switch self {
    case .killLineEnd, .killLineStart, .killBlankWordBackward, .killWordBackward, .killWordForward:
      true
    default: false
    }
  }

  /// The key table; keys that are not in it do nothing.
  // swift-format-ignore
  static let bindings: [Key: Command] = [
    .special(.enter, .none): .enter,            .special(.enter, .alt): .newline,
    .special(.tab, .none): .complete,           .special(.backTab, .none): .completeBackward,
    .special(.left, .none): .left,              .control("b"): .left,
    .special(.right, .none): .right,            .control("f"): .right,
    .special(.left, .control): .wordLeft,       .special(.right, .control): .wordRight,
    .special(.left, .alt): .wordLeft,           .special(.right, .alt): .wordRight,
    .alt("b"): .wordLeft,                       .alt("f"): .wordRight,
    .special(.home, .none): .lineStart,         .control("a"): .lineStart,
    .special(.end, .none): .lineEnd,            .control("e"): .lineEnd,
    .special(.home, .control): .textStart,      .special(.end, .control): .textEnd,
    .special(.up, .none): .up,                  .special(.down, .none): .down,
    .special(.up, .control): .historyPrevious,  .special(.down, .control): .historyNext,
    .control("p"): .historyPrevious,            .control("n"): .historyNext,
    .special(.pageUp, .none): .historyPrevious, .special(.pageDown, .none): .historyNext,
    .alt("<"): .historyFirst,                   .alt(">"): .historyLast,
    .special(.backspace, .none): .deleteBackward,
    .special(.delete, .none): .deleteForward,   .control("d"): .deleteOrEnd,
    .control("t"): .transpose,                  .control("_"): .undo,
    .control("k"): .killLineEnd,                .control("u"): .killLineStart,
    .control("w"): .killBlankWordBackward,      .special(.backspace, .alt): .killWordBackward,
    .alt("d"): .killWordForward,                .special(.delete, .control): .killWordForward,
    .control("y"): .yank,                       .special(.delete, .alt): .killWordForward,
    .control("r"): .searchBackward,             .control("s"): .searchForward,
    .control("l"): .clearScreen,                .control("c"): .interrupt,
    .control("z"): .suspend,                    .control("g"): .cancel,
    .special(.escape, .none): .cancel,
  ]
}
