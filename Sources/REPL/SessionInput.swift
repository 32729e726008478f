// What a line that was typed asks for, where it is more or other than Lua.

internal import SystemIO
internal import Terminal

/// Where the output of an input goes.
enum OutputTarget: Equatable {
  /// Into the standard input of a command of the shell.
  case command(String)
  /// Into a new file.
  case file(String)
}

/// Tells Lua from what stands around it.
struct InputReader {
  /// Whether a text compiles as a block, or as an expression.
  let compiles: (String) -> Bool
  /// Whether a global of this name has a value.
  let isKnown: (String) -> Bool
  /// Whether the shell finds a command of this name.
  let isCommand: (String) -> Bool

  /// The thing that "x?", "?x" or "help x" asks about; nil for other inputs.
  func helpTopic(_ text: String) -> String? {
    guard !compiles(text) else { return nil }
    if text.hasPrefix("?") { return String(text.drop { $0 == "?" }).trimmed }
    if text.hasSuffix("?") {
      var topic = Substring(text)
      while topic.last == "?" { topic.removeLast() }
      return String(topic).trimmed
    }
    guard text.hasPrefix("help "), !isAssigned("help", text) else { return nil }
    return String(text.dropFirst(5)).trimmed
  }

  private func isAssigned(_ word: String, _ text: String) -> Bool {
    text.dropFirst(word.count).drop { $0 == " " }.hasPrefix("=")
  }

  /// What to say where the first word is a command's or one of another shell's; nil for Lua.
  func advice(_ text: String) -> String? {
    let word = String(text.prefix { $0.isLetter || $0 == "_" })
    guard !word.isEmpty, !isKnown(word), text == word || !compiles(text) else { return nil }
    // A name that something is done with is the session's, and misspelt Lua has its own message.
    guard text == word || text.dropFirst(word.count).first == " " else { return nil }
    guard !isAssigned(word, text) else { return nil }
    return Advice.text(about: word)
  }

  /// Splits "EXPRESSION | COMMAND" and "EXPRESSION > FILE". What is Lua as a whole stays Lua, unless
  /// what stands after could only fail: a command's name, or a file's with a dot or a slash, that no
  /// global has.
  func split(_ text: String) -> (code: String, target: OutputTarget?) {
    var level = 0
    let isLua = compiles(text)
    for token in LuaLexer.tokens(text) where token.kind == .symbol {
      if ["(", "[", "{"].contains(token.text) { level += 1 }
      if [")", "]", "}"].contains(token.text) { level -= 1 }
      guard level == 0, token.text == "|" || token.text == ">" else { continue }
      let code = String(decoding: Array(text.utf8)[..<token.range.lowerBound], as: UTF8.self)
        .trimmed
      let rest = String(decoding: Array(text.utf8)[token.range.upperBound...], as: UTF8.self)
        .trimmed
      guard !code.isEmpty, !rest.isEmpty, compiles(code) else { continue }
      let word = String(rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "-" })
      if token.text == "|" {
        guard !isLua || (isCommand(word) && !isKnown(word)) else { continue }
        return (code, .command(rest))
      }
      let name = String(rest.prefix { LuaLexer.isName($0.utf8.first ?? 0) })
      let looksLikeFile = rest.contains { $0 == "." || $0 == "/" } && !rest.contains(" ")
      guard !isLua || (looksLikeFile && !name.isEmpty && !isKnown(name) && Double(rest) == nil)
      else { continue }
      return (code, .file(InputReader.unquoted(rest)))
    }
    return (text, nil)
  }

  private static func unquoted(_ text: String) -> String {
    guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote
    else { return text }
    return String(text.dropFirst().dropLast())
  }

  /// Whether a directory of $PATH has a file of this name.
  static func isInPath(_ name: String) -> Bool {
    guard !name.isEmpty, !name.contains("/") else { return false }
    let path = Environment.variable("PATH") ?? "/usr/bin:/bin"
    return path.split(separator: ":").contains { FileSystem.isFile("\($0)/\(name)") }
  }
}
