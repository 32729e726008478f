// The tokens of a JSON text: white space, strings, numbers, words. Checks, builds nothing.

/// A cursor over a JSON text. Every method starts at `position` and leaves it behind what it
/// took; an error says where in the text it was raised.
struct JSONScanner {
  let text: [UInt8]
  var position = 0

  init(_ text: [UInt8]) {
    self.text = text
  }

  /// The byte at the cursor; nil at the end.
  var next: UInt8? { position < text.count ? text[position] : nil }

  mutating func skipWhiteSpace() {
    while position < text.count, ASCII.isWhiteSpace(text[position]) {
      position += 1
    }
  }

  /// Takes one byte of punctuation.
  mutating func take(_ byte: UInt8, expected: String) throws(JSONError) {
    guard next == byte else { throw unexpected(expected) }
    position += 1
  }

  /// Takes `true`, `false` or `null`.
  mutating func takeWord(_ word: StaticString) throws(JSONError) {
    for scalar in word.description.utf8 {
      try take(scalar, expected: "'\(word)'")
    }
  }

  mutating func takeNumber() throws(JSONError) {
    position = try Self.numberEnd(in: text, from: position)
  }

  /// Takes a string with both quotes.
  mutating func takeString(expected: String) throws(JSONError) {
    try take(ASCII.quote, expected: expected)
    let start = position
    var hasOnlyASCII = true
    while true {
      guard let byte = next else { throw error(.unexpectedEnd) }
      switch byte {
      case ASCII.quote:
        if !hasOnlyASCII { try checkUTF8(start..<position) }
        position += 1
        return
      case ASCII.backslash:
        _ = try takeEscape()
      case 0..<0x20:
        throw error(.controlCharacter(byte))
      default:
        hasOnlyASCII = hasOnlyASCII && byte < 0x80
        position += 1
      }
    }
  }

  /// Takes an escape sequence, of a surrogate pair both halves; returns what it stands for.
  mutating func takeEscape() throws(JSONError) -> Unicode.Scalar {
    let start = position
    position += 1
    guard let letter = next else { throw error(.unexpectedEnd) }
    position += 1
    switch letter {
    case ASCII.quote, ASCII.backslash, UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    default: throw JSONError(.invalidEscape, at: start, in: text)
    }
    let unit = try takeHex(escapeStart: start)
    if let scalar = Unicode.Scalar(unit) { return scalar }
    guard UTF16.isLeadSurrogate(unit) else {
      throw JSONError(.loneSurrogate, at: start, in: text)
    }
    for byte in [ASCII.backslash, UInt8(ascii: "u")] {
      guard let found = next else { throw error(.unexpectedEnd) }
      guard found == byte else { throw JSONError(.loneSurrogate, at: start, in: text) }
      position += 1
    }
    let trail = try takeHex(escapeStart: position - 2)
    guard UTF16.isTrailSurrogate(trail) else {
      throw JSONError(.loneSurrogate, at: start, in: text)
    }
    return UTF16.decode(UTF16.EncodedScalar([unit, trail]))
  }

  private mutating func takeHex(escapeStart: Int) throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = next else { throw error(.unexpectedEnd) }
      guard let digit = ASCII.hexValue(byte) else {
        throw JSONError(.invalidEscape, at: escapeStart, in: text)
      }
      unit = unit << 4 | digit
      position += 1
    }
    return unit
  }

  private func checkUTF8(_ range: Range<Int>) throws(JSONError) {
    do {
      _ = try UTF8Span(validating: text.span.extracting(range))
    } catch {
      let offset = range.lowerBound + error.byteOffsets.lowerBound
      throw JSONError(.invalidUTF8, at: offset, in: text)
    }
  }

  /// Where the number that starts at `start` ends.
  static func numberEnd(in text: [UInt8], from start: Int) throws(JSONError) -> Int {
    var position = start

    func digits() throws(JSONError) {
      let first = position
      while position < text.count, ASCII.isDigit(text[position]) {
        position += 1
      }
      guard position == first else { return }
      let kind: JSONError.Kind = position == text.count ? .unexpectedEnd : .invalidNumber
      throw JSONError(kind, at: position, in: text)
    }

    func take(_ bytes: UInt8...) -> Bool {
      guard position < text.count, bytes.contains(text[position]) else { return false }
      position += 1
      return true
    }

    _ = take(ASCII.minus)
    if take(ASCII.zero) {
      if position < text.count, ASCII.isDigit(text[position]) {
        throw JSONError(.invalidNumber, at: position, in: text)
      }
    } else {
      try digits()
    }
    if take(ASCII.dot) { try digits() }
    if take(UInt8(ascii: "e"), UInt8(ascii: "E")) {
      _ = take(ASCII.minus, UInt8(ascii: "+"))
      try digits()
    }
    return position
  }

  func error(_ kind: JSONError.Kind) -> JSONError {
    JSONError(kind, at: position, in: text)
  }

  func unexpected(_ expected: String) -> JSONError {
    guard let byte = next else { return error(.unexpectedEnd) }
    return error(.unexpectedByte(byte, expected: expected))
  }
}
