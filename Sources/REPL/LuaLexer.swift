// Lua text as tokens: for colours and for completion. It never fails: text that is being typed is
// seldom right.

/// A token of Lua text.
struct LuaToken: Equatable {
  enum Kind: Equatable {
    case name, keyword, number, comment, symbol
    /// `isClosed`: whether the end of the string is there. `text` is its content, escapes and all.
    case string(isClosed: Bool, contentStart: Int)
  }
  let kind: Kind
  /// UTF-8 bytes of the text.
  let range: Range<Int>
  let text: String

  func isSymbol(_ symbol: String) -> Bool { kind == .symbol && text == symbol }
  var isString: Bool { if case .string = kind { true } else { false } }
}

package struct LuaLexer {
  static let keywords: Set<String> = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
  ]
  private static let symbols = [
    "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>",
  ]

  private let bytes: [UInt8]
  private var place = 0

  private init(_ text: String) { bytes = Array(text.utf8) }

  /// The tokens of `text`, in order.
  static func tokens(_ text: String) -> [LuaToken] {
    var lexer = LuaLexer(text)
    var out: [LuaToken] = []
    while let token = lexer.next() { out.append(token) }
    return out
  }

  private func at(_ index: Int) -> UInt8 { bytes.indices.contains(index) ? bytes[index] : 0 }
  private func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }

  private mutating func next() -> LuaToken? {
    while place < bytes.count, bytes[place] <= 0x20 { place += 1 }
    guard place < bytes.count else { return nil }
    let start = place
    let first = bytes[start]
    if first == UInt8(ascii: "-"), at(start + 1) == UInt8(ascii: "-") {
      place += 2
      if let level = longBracket(at: place) {
        _ = skipLong(level)
      } else {
        while place < bytes.count, bytes[place] != 10 { place += 1 }
      }
      return token(.comment, start)
    }
    if Self.isNameStart(first) {
      while place < bytes.count, Self.isName(bytes[place]) { place += 1 }
      let word = text(start..<place)
      return token(Self.keywords.contains(word) ? .keyword : .name, start)
    }
    if Self.isDigit(first) || (first == UInt8(ascii: ".") && Self.isDigit(at(start + 1))) {
      return number(start)
    }
    if first == UInt8(ascii: "\"") || first == UInt8(ascii: "'") { return quoted(start, first) }
    if first == UInt8(ascii: "["), let level = longBracket(at: start) {
      let content = start + level + 2
      let isClosed = skipLong(level)
      let end = isClosed ? place - level - 2 : place
      return LuaToken(
        kind: .string(isClosed: isClosed, contentStart: content), range: start..<place,
        text: text(min(content, end)..<end))
    }
    for symbol in Self.symbols where bytes[start...].starts(with: symbol.utf8) {
      place += symbol.utf8.count
      return token(.symbol, start)
    }
    place += 1
    // A character of several bytes is one token.
    while place < bytes.count, bytes[place] & 0xC0 == 0x80 { place += 1 }
    return token(.symbol, start)
  }

  private func token(_ kind: LuaToken.Kind, _ start: Int) -> LuaToken {
    LuaToken(kind: kind, range: start..<place, text: text(start..<place))
  }

  private mutating func number(_ start: Int) -> LuaToken {
    while place < bytes.count {
      let byte = bytes[place]
      let isSign = byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")
      let isExponent = "eEpP".utf8.contains(at(place - 1)) && place > start
      let isHexDigitE =
        text(start..<min(start + 2, bytes.count)).lowercased() == "0x"
        && "eE".utf8.contains(at(place - 1))
      guard
        Self.isName(byte) || byte == UInt8(ascii: ".") || (isSign && isExponent && !isHexDigitE)
      else { break }
      if byte == UInt8(ascii: "."), at(place + 1) == UInt8(ascii: ".") { break }
      place += 1
    }
    return token(.number, start)
  }

  private mutating func quoted(_ start: Int, _ quote: UInt8) -> LuaToken {
    place += 1
    while place < bytes.count, bytes[place] != quote, bytes[place] != 10 {
      place += bytes[place] == UInt8(ascii: "\\") ? 2 : 1
    }
    place = min(place, bytes.count)
    let isClosed = at(place) == quote && place < bytes.count
    let content = text(start + 1..<place)
    if isClosed { place += 1 }
    return LuaToken(
      kind: .string(isClosed: isClosed, contentStart: start + 1), range: start..<place,
      text: content)
  }

  /// The number of "=" of a long bracket that opens here; nil where none does.
  private func longBracket(at start: Int) -> Int? {
    guard at(start) == UInt8(ascii: "[") else { return nil }
    var end = start + 1
    while at(end) == UInt8(ascii: "=") { end += 1 }
    return at(end) == UInt8(ascii: "[") ? end - start - 1 : nil
  }

  /// Goes after the long bracket that closes; false where the text ends before.
  private mutating func skipLong(_ level: Int) -> Bool {
    let close = Array(("]" + String(repeating: "=", count: level) + "]").utf8)
    while place < bytes.count {
      if bytes[place...].starts(with: close) {
        place += close.count
        return true
      }
      place += 1
    }
    return false
  }

  static func isNameStart(_ byte: UInt8) -> Bool {
    (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")) || byte == 0x5F
  }
  static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
  package static func isName(_ byte: UInt8) -> Bool { isNameStart(byte) || isDigit(byte) }

  /// Whether the text can stand after a "." in Lua.
  package static func isIdentifier(_ text: String) -> Bool {
    guard let first = text.utf8.first, isNameStart(first), !keywords.contains(text) else {
      return false
    }
    return text.utf8.allSatisfy(isName)
  }
}
