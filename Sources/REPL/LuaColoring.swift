// Colours of Lua text while it is typed.

internal import Reports
internal import Terminal

enum LuaColoring {
  /// The styles of a block's parts.
  static func runs(_ text: String) -> [StyledRun] {
    LuaLexer.tokens(text).compactMap { token in
      switch token.kind {
      case .number: StyledRun(token.range, Palette.number)
      case .string: StyledRun(token.range, Palette.string)
      case .keyword: StyledRun(token.range, Palette.keyword)
      case .comment: StyledRun(token.range, Palette.comment)
      case .name, .symbol: nil
      }
    }
  }
}
