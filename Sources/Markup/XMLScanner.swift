// The marks of an XML text: a cursor that checks and notes where elements and attributes lie.

/// One pass over a text, without recursion.
struct XMLScanner {
  let text: [UInt8]
  private var position = 0
  private(set) var nodes: [XMLDocument.Node] = []
  /// The elements that are open.
  private var open: [Int] = []

  init(_ text: [UInt8]) { self.text = text }

  mutating func run() throws(MarkupError) {
    guard text.count <= MarkupLimit.bytes else {
      throw MarkupError("expected at most \(MarkupLimit.bytes) bytes, got \(text.count)", at: 0)
    }
    do { _ = try UTF8Span(validating: text.span) } catch {
      throw MarkupError("the text is not UTF-8", at: error.byteOffsets.lowerBound)
    }
    if begins("\u{FEFF}") { position = 3 }
    while position < text.count {
      if text[position] == UInt8(ascii: "<") {
        try mark()
      } else {
        try characters()
      }
    }
    guard open.isEmpty, !nodes.isEmpty else {
      let name = open.last.map { " of \(quoted(text[nodes[$0].name]))" } ?? ""
      throw MarkupError(
        nodes.isEmpty ? "expected an element, got none" : "the text ends before the end tag\(name)",
        at: position)
    }
  }

  // MARK: - Marks

  private mutating func mark() throws(MarkupError) {
    if begins("<!--") { return try skip(past: "-->", "a comment") }
    if begins("<![CDATA[") {
      guard !open.isEmpty else { throw unexpected("an element") }
      return try skip(past: "]]>", "CDATA")
    }
    if begins("<?") { return try skip(past: "?>", "an instruction") }
    if begins("<!") {
      throw MarkupError("a document type is not read here", at: position)
    }
    if begins("</") { return try endTag() }
    try startTag()
  }

  private mutating func startTag() throws(MarkupError) {
    let start = position
    guard !open.isEmpty || nodes.isEmpty else {
      throw MarkupError("expected nothing after the outermost element", at: start)
    }
    guard open.count < MarkupLimit.depth else {
      throw MarkupError(
        "expected at most \(MarkupLimit.depth) elements inside each other", at: start)
    }
    position += 1
    let name = try self.name()
    let parent = open.last ?? -1
    let element = try append(
      XMLDocument.Node(kind: .element, name: name, range: start..<start, parent: parent))
    while true {
      let before = position
      skipSpace()
      nodes[element].tagEnd = before
      switch next {
      case UInt8(ascii: ">"):
        position += 1
        nodes[element].content = position..<position
        open.append(element)
        return
      case UInt8(ascii: "/"):
        position += 1
        try take(UInt8(ascii: ">"))
        nodes[element].range = start..<position
        return
      default:
        guard position > before else { throw unexpected("'>'") }
        try attribute(of: element)
      }
    }
  }

  private mutating func attribute(of element: Int) throws(MarkupError) {
    let name = try self.name()
    var other = nodes[element].firstAttribute
    var count = 1
    while other >= 0 {
      count += 1
      guard count <= MarkupLimit.attributes else {
        throw MarkupError(
          "expected at most \(MarkupLimit.attributes) attributes of an element", at: name.lowerBound
        )
      }
      guard !text[nodes[other].name].elementsEqual(text[name]) else {
        throw MarkupError("a second attribute \(quoted(text[name]))", at: name.lowerBound)
      }
      other = nodes[other].next
    }
    skipSpace()
    try take(UInt8(ascii: "="))
    skipSpace()
    guard let mark = next, mark == UInt8(ascii: "'") || mark == UInt8(ascii: "\"") else {
      throw unexpected("a quote")
    }
    position += 1
    let start = position
    while let byte = next, byte != mark {
      guard byte != UInt8(ascii: "<") else { throw unexpected("a quote") }
      try character()
    }
    guard next == mark else { throw unexpected("a quote") }
    let content = start..<position
    position += 1
    _ = try append(
      XMLDocument.Node(
        kind: .attribute, name: name, range: name.lowerBound..<position, content: content,
        parent: element))
  }

  private mutating func endTag() throws(MarkupError) {
    let start = position
    position += 2
    let name = try self.name()
    guard let element = open.popLast(), text[nodes[element].name].elementsEqual(text[name]) else {
      throw MarkupError("an end tag \(quoted(text[name])) without its start tag", at: start)
    }
    skipSpace()
    try take(UInt8(ascii: ">"))
    let content = nodes[element].content ?? start..<start
    nodes[element].content = content.lowerBound..<start
    nodes[element].range = nodes[element].range.lowerBound..<position
  }

  private mutating func append(_ node: XMLDocument.Node) throws(MarkupError) -> Int {
    guard nodes.count < MarkupLimit.nodes else {
      throw MarkupError(
        "expected at most \(MarkupLimit.nodes) elements and attributes", at: node.range.lowerBound)
    }
    let index = nodes.count
    nodes.append(node)
    guard node.parent >= 0 else { return index }
    let parent = node.parent
    if node.kind == .element {
      if nodes[parent].lastElement >= 0 {
        nodes[nodes[parent].lastElement].next = index
      } else {
        nodes[parent].firstElement = index
      }
      nodes[parent].lastElement = index
    } else {
      if nodes[parent].lastAttribute >= 0 {
        nodes[nodes[parent].lastAttribute].next = index
      } else {
        nodes[parent].firstAttribute = index
      }
      nodes[parent].lastAttribute = index
    }
    return index
  }

  // MARK: - Text

  private mutating func characters() throws(MarkupError) {
    while let byte = next, byte != UInt8(ascii: "<") {
      guard !open.isEmpty || XMLScanner.isSpace(byte) else { throw unexpected("'<'") }
      try character()
    }
  }

  /// Passes over one character or entity.
  private mutating func character() throws(MarkupError) {
    switch text[position] {
    case UInt8(ascii: "&"):
      guard let entity = XMLScanner.entity(text, position) else {
        throw MarkupError("an entity that XML does not know", at: position)
      }
      position = entity.end
    case 0x09, 0x0A, 0x0D: position += 1
    case 0..<0x20:
      throw MarkupError("the control character \(named(text[position]))", at: position)
    default: position += 1
    }
  }

  /// The character that an entity at `start` stands for, and where it ends.
  static func entity(_ text: [UInt8], _ start: Int) -> (scalar: Unicode.Scalar, end: Int)? {
    // The longest is "&#1114111;".
    guard let length = text[start...].prefix(12).firstIndex(of: UInt8(ascii: ";")) else {
      return nil
    }
    let name = String(decoding: text[start + 1..<length], as: UTF8.self)
    let known: [String: Unicode.Scalar] = [
      "lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": "\"",
    ]
    if let scalar = known[name] { return (scalar, length + 1) }
    guard name.hasPrefix("#"), name.utf8.dropFirst().first.map({ $0 != UInt8(ascii: "+") }) ?? false
    else { return nil }
    let isHex = name.hasPrefix("#x")
    let digits = name.dropFirst(isHex ? 2 : 1)
    guard let first = digits.first, first != "+", first != "-",
      let codePoint = UInt32(digits, radix: isHex ? 16 : 10),
      let scalar = Unicode.Scalar(codePoint),
      codePoint >= 0x20 || [0x09, 0x0A, 0x0D].contains(codePoint)
    else { return nil }
    return (scalar, length + 1)
  }

  /// The text in `range`, with entities and CDATA as what they stand for, without comments.
  static func plainText(_ text: [UInt8], _ range: Range<Int>, isAttribute: Bool) -> [UInt8] {
    var out: [UInt8] = []
    var position = range.lowerBound
    func end(of mark: String, from start: Int) -> Int {
      var place = start
      while place < range.upperBound, !text[place..<range.upperBound].starts(with: mark.utf8) {
        place += 1
      }
      return min(place, range.upperBound)
    }
    while position < range.upperBound {
      let rest = text[position..<range.upperBound]
      if text[position] == UInt8(ascii: "&"), let entity = entity(text, position) {
        out += Array(String(Character(entity.scalar)).utf8)
        position = entity.end
      } else if !isAttribute, text[position] == UInt8(ascii: "<") {
        if rest.starts(with: "<![CDATA[".utf8) {
          let last = end(of: "]]>", from: position + 9)
          out += text[position + 9..<last]
          position = min(last + 3, range.upperBound)
        } else if rest.starts(with: "<!--".utf8) {
          position = min(end(of: "-->", from: position + 4) + 3, range.upperBound)
        } else {
          position = min(end(of: ">", from: position) + 1, range.upperBound)
        }
      } else {
        out.append(text[position])
        position += 1
      }
    }
    return out
  }

  // MARK: - Bytes

  private var next: UInt8? { position < text.count ? text[position] : nil }

  private func begins(_ mark: String) -> Bool { text[position...].starts(with: mark.utf8) }

  private mutating func skipSpace() {
    while let byte = next, XMLScanner.isSpace(byte) { position += 1 }
  }

  private mutating func take(_ byte: UInt8) throws(MarkupError) {
    guard next == byte else { throw unexpected(named(byte)) }
    position += 1
  }

  private mutating func name() throws(MarkupError) -> Range<Int> {
    let start = position
    guard let first = next, XMLScanner.isNameStart(first) else { throw unexpected("a name") }
    while let byte = next, XMLScanner.isNameByte(byte) { position += 1 }
    return start..<position
  }

  private mutating func skip(past mark: String, _ what: String) throws(MarkupError) {
    let start = position
    let bytes = Array(mark.utf8)
    // After the opening mark: "<!-->" does not end itself.
    position += bytes.count == 3 ? 4 : 2
    while position + bytes.count <= text.count {
      if text[position] == bytes[0], text[position...].starts(with: bytes) {
        position += bytes.count
        return
      }
      position += 1
    }
    throw MarkupError("\(what) without its end", at: start)
  }

  private func unexpected(_ expected: String) -> MarkupError {
    MarkupError("expected \(expected), got \(named(next))", at: position)
  }

  static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
  }

  static func isNameStart(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "_"), UInt8(ascii: ":"), 0x80...:
      true
    default: false
    }
  }

  static func isNameByte(_ byte: UInt8) -> Bool {
    isNameStart(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-")
      || byte == UInt8(ascii: ".")
  }
}
