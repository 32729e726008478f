// What was typed in a session, as Lua that runs from a file.

internal import LuaRuntime
internal import Terminal

/// The inputs that ran without an error, in their order.
struct Transcript {
  private struct Input {
    let code: String
    let isExpression: Bool
    /// Whether it is a call, which stands for itself in a file.
    let isStatement: Bool
  }
  private var inputs: [Input] = []

  var count: Int { inputs.count }

  mutating func add(_ code: String, isExpression: Bool, isStatement: Bool) {
    inputs.append(Input(code: code, isExpression: isExpression, isStatement: isStatement))
  }

  /// The text of a file that does what the session did. Expressions that are no calls are assigned to
  /// `_`, as in the session.
  func text(after names: [String]) -> String {
    let usesLast = inputs.contains { input in
      LuaLexer.tokens(input.code).contains { $0.kind == .name && $0.text == "_" }
    }
    let lines = inputs.compactMap { statement($0, keepsLast: usesLast) }
    return (names + lines).joined(separator: "\n") + "\n"
  }

  private func statement(_ input: Input, keepsLast: Bool) -> String? {
    let tokens = LuaLexer.tokens(input.code).filter { $0.kind != .comment }
    // What is nothing but a comment compiles as an expression without values.
    guard let first = tokens.first else { return input.code }
    if input.isExpression {
      if keepsLast || !input.isStatement { return "_ = " + input.code }
      // After another line, a parenthesis would be a call of what that ends with.
      return first.isSymbol("(") ? ";" + input.code : input.code
    }
    if first.text == "return", first.kind == .keyword, input.code.hasPrefix("return") {
      let rest = String(input.code.dropFirst("return".count)).trimmed
      return rest.isEmpty || rest == ";"
        ? nil : "_ = " + (rest.hasSuffix(";") ? String(rest.dropLast()) : rest)
    }
    // A return ends the input, and not the file. Labels and locals are the input's own.
    if Transcript.returns(tokens) { return ";(function(...)\n\(input.code)\nend)(...)" }
    let isOwn = tokens.contains { token in
      token.isSymbol("::") || token.kind == .keyword && ["goto", "local"].contains(token.text)
    }
    if isOwn { return "do\n\(input.code)\nend" }
    return first.isSymbol("(") ? ";" + input.code : input.code
  }

  /// Whether a return stands outside of all functions.
  private static func returns(_ tokens: [LuaToken]) -> Bool {
    var open: [Bool] = []
    for token in tokens where token.kind == .keyword {
      switch token.text {
      case "function": open.append(true)
      case "if", "do", "repeat": open.append(false)
      case "end", "until": _ = open.popLast()
      case "return" where !open.contains(true): return true
      default: break
      }
    }
    return false
  }
}
