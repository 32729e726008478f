// A JSON text and where its values stand in it: what values are built from and edits are aimed with.

/// A checked JSON text with one entry per value, in the order of the text.
///
///      {"a": [1, 2]}        entries      range   name   following
///      0     6              0 object     0..<13         4
///                           1 array      6..<12  1..<4  4
///                           2 number     7..<8          3
///                           3 number     10..<11        4
///
/// The values inside entry `i` start at `i + 1`; `following` is the entry after all of them.
struct JSONSyntax: Sendable {
  enum Kind: Sendable {
    case null, bool, number, string, array, object
  }

  struct Entry: Sendable {
    let kind: Kind
    /// The bytes of the value.
    var range: Range<Int>
    /// The bytes of the member's name with its quotes; nil for an element and for the root.
    let name: Range<Int>?
    var following: Int

    var isContainer: Bool { kind == .array || kind == .object }

    /// Where the member or element starts.
    var start: Int { name?.lowerBound ?? range.lowerBound }
  }

  let text: [UInt8]
  let entries: [Entry]

  init(_ text: [UInt8], options: JSONOptions) throws(JSONError) {
    guard text.count <= options.byteLimit else {
      let kind = JSONError.Kind.tooLarge(byteCount: text.count, limit: options.byteLimit)
      throw JSONError(kind, at: 0, in: text)
    }
    var reader = Reader(scanner: JSONScanner(text), options: options)
    try reader.readText()
    self.text = text
    entries = reader.entries
  }

  /// The entries directly inside an array or object.
  func children(of parent: Int) -> [Int] {
    var children: [Int] = []
    var child = parent + 1
    while child < entries[parent].following {
      children.append(child)
      child = entries[child].following
    }
    return children
  }

  /// The value of an entry. Recurses as deep as the text nests, which the reader limited.
  func value(at index: Int) -> JSONValue {
    let entry = entries[index]
    switch entry.kind {
    case .null:
      return .null
    case .bool:
      return .bool(text[entry.range.lowerBound] == UInt8(ascii: "t"))
    case .number:
      let literal = String(decoding: text[entry.range], as: UTF8.self)
      return .number(JSONNumber(validLiteral: literal))
    case .string:
      return .string(string(entry.range))
    case .array:
      return .array(children(of: index).map(value(at:)))
    case .object:
      let members = children(of: index).map { child in
        JSONObject.Member(name: name(of: child), value: value(at: child))
      }
      return .object(JSONObject(members: members))
    }
  }

  /// The unescaped name of a member; empty for an element.
  func name(of index: Int) -> String {
    entries[index].name.map(string) ?? ""
  }

  private func string(_ range: Range<Int>) -> String {
    Self.string(in: text, range)
  }

  /// Unescapes a string that the scanner took; `range` has its quotes.
  static func string(in text: [UInt8], _ range: Range<Int>) -> String {
    let inner = range.lowerBound + 1..<range.upperBound - 1
    guard text[inner].contains(ASCII.backslash) else {
      return String(decoding: text[inner], as: UTF8.self)
    }
    var bytes: [UInt8] = []
    var scanner = JSONScanner(text)
    scanner.position = inner.lowerBound
    while scanner.position < inner.upperBound {
      if text[scanner.position] == ASCII.backslash, let scalar = try? scanner.takeEscape() {
        bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      } else {
        bytes.append(text[scanner.position])
        scanner.position += 1
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// Reads a text into entries, without recursion.
private struct Reader {
  /// An array or object whose end was not read yet.
  struct Open {
    let entry: Int
    var isEmpty = true
  }

  var scanner: JSONScanner
  let options: JSONOptions
  var entries: [JSONSyntax.Entry] = []
  var open: [Open] = []
  /// The names read so far in each of `open`, as bytes: strings are also equal when they are
  /// only canonically equivalent.
  var names: [Set<[UInt8]>] = []

  mutating func readText() throws(JSONError) {
    scanner.skipWhiteSpace()
    try readValue(name: nil)
    while let container = open.last {
      scanner.skipWhiteSpace()
      let isObject = entries[container.entry].kind == .object
      let end = isObject ? ASCII.closeBrace : ASCII.closeBracket
      if scanner.next == end {
        close()
        continue
      }
      if !container.isEmpty {
        try scanner.take(ASCII.comma, expected: isObject ? "',' or '}'" : "',' or ']'")
        scanner.skipWhiteSpace()
      }
      open[open.count - 1].isEmpty = false
      try readValue(name: isObject ? readName() : nil)
    }
    guard options.trailingText == .reject else { return }
    scanner.skipWhiteSpace()
    guard scanner.next == nil else { throw scanner.error(.trailingText) }
  }

  private mutating func close() {
    scanner.position += 1
    let entry = open.removeLast().entry
    names.removeLast()
    entries[entry].range = entries[entry].range.lowerBound..<scanner.position
    entries[entry].following = entries.count
  }

  /// Reads a name and the colon after it; returns where the name is.
  private mutating func readName() throws(JSONError) -> Range<Int> {
    let start = scanner.position
    try scanner.takeString(expected: "a name")
    let range = start..<scanner.position
    if options.duplicateNames == .reject {
      let name = JSONSyntax.string(in: scanner.text, range)
      guard names[names.count - 1].insert(Array(name.utf8)).inserted else {
        throw JSONError(.duplicateName(name), at: start, in: scanner.text)
      }
    }
    scanner.skipWhiteSpace()
    try scanner.take(ASCII.colon, expected: "':'")
    scanner.skipWhiteSpace()
    return range
  }

  /// Reads a scalar, or the bracket that opens an array or object.
  private mutating func readValue(name: Range<Int>?) throws(JSONError) {
    let start = scanner.position
    let kind: JSONSyntax.Kind
    switch scanner.next {
    case ASCII.openBrace:
      kind = .object
      try readOpening()
    case ASCII.openBracket:
      kind = .array
      try readOpening()
    case ASCII.quote:
      kind = .string
      try scanner.takeString(expected: "a value")
    case let byte? where byte == ASCII.minus || ASCII.isDigit(byte):
      kind = .number
      try scanner.takeNumber()
    case UInt8(ascii: "t"):
      kind = .bool
      try scanner.takeWord("true")
    case UInt8(ascii: "f"):
      kind = .bool
      try scanner.takeWord("false")
    case UInt8(ascii: "n"):
      kind = .null
      try scanner.takeWord("null")
    default:
      throw scanner.unexpected("a value")
    }
    let range = start..<scanner.position
    entries.append(.init(kind: kind, range: range, name: name, following: entries.count + 1))
  }

  private mutating func readOpening() throws(JSONError) {
    guard open.count < options.depthLimit else {
      throw scanner.error(.tooDeep(limit: options.depthLimit))
    }
    open.append(Open(entry: entries.count))
    names.append([])
    scanner.position += 1
  }
}
