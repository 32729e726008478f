// Colours of Lua text while it is typed.

internal import Terminal

enum LuaColouring {
  static let number = Style(.cyan)
  static let string = Style(.green)
  static let keyword = Style(.magenta)
  static let comment = Style(.brightBlack)
  static let key = Style(.yellow)
  static let error = Style(.red, bold: true)

  /// The styles of a block's parts.
  static func runs(_ text: String) -> [StyledRun] {
    LuaLexer.tokens(text).compactMap { token in
      switch token.kind {
      case .number: StyledRun(token.range, number)
      case .string: StyledRun(token.range, string)
      case .keyword: StyledRun(token.range, keyword)
      case .comment: StyledRun(token.range, comment)
      case .name, .symbol: nil
      }
    }
  }
}
