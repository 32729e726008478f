// The marks of an S-expression: a cursor that checks and notes where lists and atoms lie.

/// One pass over a text, without recursion.
struct SExpressionScanner {
  let text: [UInt8]
  private var position = 0
  private(set) var nodes: [SExpression.Node] = []
  private var open: [Int] = []

  init(_ text: [UInt8]) { self.text = text }

  mutating func run() throws(MarkupError) {
    guard text.count <= MarkupLimit.bytes else {
      throw MarkupError("expected at most \(MarkupLimit.bytes) bytes, got \(text.count)", at: 0)
    }
    while true {
      try skipSpace()
      guard position < text.count else { break }
      guard !open.isEmpty || nodes.isEmpty else {
        throw MarkupError(
          "expected nothing after the outermost list, got \(named(text[position]))", at: position)
      }
      switch text[position] {
      case UInt8(ascii: "("):
        guard open.count < MarkupLimit.depth else {
          throw MarkupError(
            "expected at most \(MarkupLimit.depth) lists inside each other", at: position)
        }
        open.append(nodes.count)
        try append(.list, position..<position + 1)
        position += 1
      case UInt8(ascii: ")"):
        guard let list = open.popLast() else {
          throw MarkupError("expected a list or an atom, got ')'", at: position)
        }
        position += 1
        nodes[list].range = nodes[list].range.lowerBound..<position
        nodes[list].end = nodes.count
      case UInt8(ascii: "\""): try quotedAtom()
      default: try plainAtom()
      }
    }
    guard open.isEmpty, !nodes.isEmpty else {
      throw MarkupError(
        nodes.isEmpty ? "expected a list, got nothing" : "the text ends inside a list",
        at: position)
    }
  }

  private mutating func append(
    _ kind: SExpression.Node.Kind, _ range: Range<Int>, hasQuotes: Bool = false
  ) throws(MarkupError) {
    guard nodes.count < MarkupLimit.nodes else {
      throw MarkupError(
        "expected at most \(MarkupLimit.nodes) lists and atoms", at: range.lowerBound)
    }
    nodes.append(
      SExpression.Node(kind: kind, range: range, end: nodes.count + 1, hasQuotes: hasQuotes))
  }

  /// Passes over white space, and comments to the end of a line.
  private mutating func skipSpace() throws(MarkupError) {
    while position < text.count {
      if SExpressionScanner.isSpace(text[position]) {
        position += 1
      } else if text[position] == UInt8(ascii: ";") {
        while position < text.count, text[position] != 0x0A { position += 1 }
      } else if text[position] == UInt8(ascii: "#"), position + 1 < text.count,
        text[position + 1] == UInt8(ascii: "|") || text[position + 1] == UInt8(ascii: ";")
      {
        throw MarkupError("comments of this kind are not read here", at: position)
      } else {
        return
      }
    }
  }

  private mutating func plainAtom() throws(MarkupError) {
    let start = position
    while position < text.count, !SExpressionScanner.isSpecial(text[position]) { position += 1 }
    guard position > start else {
      throw MarkupError("expected an atom, got \(named(text[position]))", at: position)
    }
    try append(.atom, start..<position)
  }

  private mutating func quotedAtom() throws(MarkupError) {
    let start = position
    position += 1
    while position < text.count, text[position] != UInt8(ascii: "\"") {
      guard text[position] == UInt8(ascii: "\\") else {
        position += 1
        continue
      }
      guard let escape = SExpressionScanner.escape(text, position) else {
        throw MarkupError("an escape that is none of OCaml's", at: position)
      }
      position = escape.end
    }
    guard position < text.count else {
      throw MarkupError("an atom without its last quote", at: start)
    }
    position += 1
    try append(.atom, start..<position, hasQuotes: true)
  }

  // MARK: - Escapes

  /// The byte that the escape at `start` stands for (nil: none), and where it ends.
  static func escape(_ text: [UInt8], _ start: Int) -> (byte: UInt8?, end: Int)? {
    guard start + 1 < text.count else { return nil }
    let letter = text[start + 1]
    switch letter {
    case UInt8(ascii: "n"): return (0x0A, start + 2)
    case UInt8(ascii: "t"): return (0x09, start + 2)
    case UInt8(ascii: "r"): return (0x0D, start + 2)
    case UInt8(ascii: "b"): return (0x08, start + 2)
    case UInt8(ascii: "\\"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: " "):
      return (letter, start + 2)
    case 0x0A:
      // A line continues: the white space at its start does not count.
      var end = start + 2
      while end < text.count, text[end] == 0x20 || text[end] == 0x09 { end += 1 }
      return (nil, end)
    case UInt8(ascii: "x"): return escapedByte(text, start, from: start + 2, count: 2, radix: 16)
    case 0x30...0x39: return escapedByte(text, start, from: start + 1, count: 3, radix: 10)
    default: return nil
    }
  }

  private static func escapedByte(
    _ text: [UInt8], _ start: Int, from first: Int, count: Int, radix: Int
  ) -> (byte: UInt8?, end: Int)? {
    guard first + count <= text.count, text[first] != UInt8(ascii: "+"),
      let byte = UInt8(String(decoding: text[first..<first + count], as: UTF8.self), radix: radix)
    else { return nil }
    return (byte, first + count)
  }

  /// What is between quotes without its escapes, and where each byte comes from.
  static func unescaped(
    _ text: [UInt8], _ range: Range<Int>
  ) -> (bytes: [UInt8], origins: [Int]) {
    var bytes: [UInt8] = []
    var origins: [Int] = []
    bytes.reserveCapacity(range.count)
    origins.reserveCapacity(range.count + 1)
    var position = range.lowerBound
    while position < range.upperBound {
      if text[position] == UInt8(ascii: "\\"), let escape = escape(text, position) {
        if let byte = escape.byte {
          bytes.append(byte)
          origins.append(position)
        }
        position = min(escape.end, range.upperBound)
      } else {
        bytes.append(text[position])
        origins.append(position)
        position += 1
      }
    }
    return (bytes, origins + [range.upperBound])
  }

  /// Bytes as they stand between quotes: as OCaml's String.escaped writes them.
  static func escaped(_ bytes: some Sequence<UInt8>) -> [UInt8] {
    var out: [UInt8] = []
    for byte in bytes {
      switch byte {
      case 0x0A: out += Array("\\n".utf8)
      case 0x09: out += Array("\\t".utf8)
      case 0x0D: out += Array("\\r".utf8)
      case 0x08: out += Array("\\b".utf8)
      case UInt8(ascii: "\\"), UInt8(ascii: "\""): out += [UInt8(ascii: "\\"), byte]
      case 0x20..<0x7F: out.append(byte)
      default:
        let digits = String(byte)
        out +=
          Array("\\".utf8) + [UInt8](repeating: 0x30, count: 3 - digits.utf8.count)
          + Array(digits.utf8)
      }
    }
    return out
  }

  /// Text as an atom: in quotes where it needs them, or had them.
  static func written(_ text: String, quotes: Bool) -> [UInt8] {
    let bytes = Array(text.utf8)
    let isPlain =
      !bytes.isEmpty && bytes.allSatisfy { !isSpecial($0) && $0 > 0x20 && $0 < 0x7F }
      && !text.contains("\\") && !text.contains("#|") && !text.contains("|#")
      && !text.hasPrefix("#;")
    if isPlain, !quotes { return bytes }
    return [UInt8(ascii: "\"")] + escaped(bytes) + [UInt8(ascii: "\"")]
  }

  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }

  static func isSpecial(_ byte: UInt8) -> Bool {
    isSpace(byte) || byte == UInt8(ascii: "(") || byte == UInt8(ascii: ")")
      || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: ";")
  }
}
