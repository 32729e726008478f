// The marks of an S-expression: a cursor that checks and notes where lists and atoms lie.

/// One pass over a text, without recursion.
struct SExpressionScanner {
  let text: [UInt8]
  private var position = 0
  private(set) var nodes: [SExpression.Node] = []
  private var open: [Int] = []
  /// Comments "#;" whose list or atom has not ended: the lists around them, and the nodes before them.
  private var comments: [(depth: Int, nodeCount: Int)] = []

  init(_ text: [UInt8]) { self.text = text }

  mutating func run() throws(MarkupError) {
    guard text.count <= MarkupLimit.bytes else {
      throw MarkupError("expected at most \(MarkupLimit.bytes) bytes, got \(text.count)", at: 0)
    }
    while true {
      try skipSpace()
      guard position < text.count else { break }
      guard !open.isEmpty || nodes.isEmpty || !comments.isEmpty else {
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
        guard comments.last?.depth != open.count, let list = open.popLast() else {
          throw MarkupError("expected a list or an atom, got ')'", at: position)
        }
        position += 1
        nodes[list].range = nodes[list].range.lowerBound..<position
        nodes[list].end = nodes.count
        endComment()
      case UInt8(ascii: "\""):
        try quotedAtom()
        endComment()
      case UInt8(ascii: "#") where isNext(";"):
        comments.append((open.count, nodes.count))
        position += 2
      default:
        try plainAtom()
        endComment()
      }
    }
    guard open.isEmpty, comments.isEmpty, !nodes.isEmpty else {
      throw MarkupError(
        nodes.isEmpty ? "expected a list, got nothing" : "the text ends inside a list",
        at: position)
    }
  }

  /// After a list or an atom: takes it away where it was commented out.
  private mutating func endComment() {
    guard let comment = comments.last, comment.depth == open.count else { return }
    comments.removeLast()
    nodes.removeSubrange(comment.nodeCount...)
  }

  /// Whether the byte after this one is `letter`.
  private func isNext(_ letter: Unicode.Scalar) -> Bool {
    position + 1 < text.count && text[position + 1] == UInt8(ascii: letter)
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

  /// Passes over white space, and comments to the end of a line or to their mark.
  private mutating func skipSpace() throws(MarkupError) {
    while position < text.count {
      if text[position] == 0x0D {
        guard position + 1 < text.count, text[position + 1] == 0x0A else {
          throw MarkupError("expected a line feed after a carriage return", at: position)
        }
        position += 2
      } else if SExpressionScanner.isSpace(text[position]) {
        position += 1
      } else if text[position] == UInt8(ascii: ";") {
        while position < text.count, text[position] != 0x0A { position += 1 }
      } else if text[position] == UInt8(ascii: "#"), isNext("|") {
        try skipComment()
      } else {
        return
      }
    }
  }

  /// Passes over "#| ... |#", with others inside, and with what is in quotes.
  private mutating func skipComment() throws(MarkupError) {
    let start = position
    var depth = 0
    repeat {
      guard position < text.count else {
        throw MarkupError("a comment without its end", at: start)
      }
      switch text[position] {
      case UInt8(ascii: "#") where isNext("|"):
        depth += 1
        position += 2
      case UInt8(ascii: "|") where isNext("#"):
        depth -= 1
        position += 2
      case UInt8(ascii: "\""): try skipQuoted()
      default: position += 1
      }
    } while depth > 0
  }

  private mutating func plainAtom() throws(MarkupError) {
    let start = position
    while position < text.count, !SExpressionScanner.isSpecial(text[position]) {
      guard !(text[position] == UInt8(ascii: "#") && isNext("|")),
        !(text[position] == UInt8(ascii: "|") && isNext("#"))
      else { throw MarkupError("expected an atom, got the mark of a comment in it", at: position) }
      position += 1
    }
    guard position > start else {
      throw MarkupError("expected an atom, got \(named(text[position]))", at: position)
    }
    try append(.atom, start..<position)
  }

  private mutating func quotedAtom() throws(MarkupError) {
    let start = position
    try skipQuoted()
    try append(.atom, start..<position, hasQuotes: true)
  }

  private mutating func skipQuoted() throws(MarkupError) {
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
  }

  // MARK: - Escapes

  /// The byte that the escape at `start` stands for (nil: none), and where it ends. A letter that OCaml does not
  /// know stands for itself, with the backslash. Nil for digits that make no byte.
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
    case 0x0A: return (nil, continuation(text, from: start + 2))
    case 0x0D:
      guard start + 2 < text.count, text[start + 2] == 0x0A else { return (letter, start + 2) }
      return (nil, continuation(text, from: start + 3))
    case UInt8(ascii: "x"): return escapedByte(text, from: start + 2, count: 2, radix: 16)
    case 0x30...0x39: return escapedByte(text, from: start + 1, count: 3, radix: 10)
    default: return (UInt8(ascii: "\\"), start + 1)
    }
  }

  /// Where a line that continues does so: the white space at its start does not count.
  private static func continuation(_ text: [UInt8], from start: Int) -> Int {
    text[start...].firstIndex { $0 != 0x20 && $0 != 0x09 } ?? text.count
  }

  private static func escapedByte(
    _ text: [UInt8], from first: Int, count: Int, radix: Int
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

  /// Blanks, tabs and what ends a line. Sexplib's lexer takes a vertical tab for a part of an atom.
  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0C || byte == 0x0D
  }

  static func isSpecial(_ byte: UInt8) -> Bool {
    isSpace(byte) || byte == UInt8(ascii: "(") || byte == UInt8(ascii: ")")
      || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: ";")
  }
}
