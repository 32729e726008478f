// The text form of selectors.

internal import SystemIO
internal import Bytes
internal import Format

extension Selector {
  /// Reads the text form:
  ///
  ///     OR:    MINUS { "or" MINUS }            ("|" too)
  ///     MINUS: AND { "minus" AND }             ("-" too)
  ///     AND:   NOT { "and" NOT }               ("&" too)
  ///     NOT:   "not" NOT | "(" OR ")" | TEST   ("~" and "!" too)
  ///     TEST:  "any" | "has_data" | "zero"
  ///          | "pfn" "=" N | "pfn" "in" N ".." N | "pfn" "in" "{" N [".." N] {"," ...} "}"
  ///          | "type" "=" NAME | "type" "in" "{" NAME {"," NAME} "}"
  ///          | "byte" "[" N "]" "=" N | "u64" "[" N "]" ["&" N] "=" N
  ///          | "contains" STRING | "hash" "=" N | "hash" "in" "{" N {"," N} "}"
  ///          | "sample" "(" SHARE ["," SEED] ")"
  ///
  /// Numbers are decimal or 0x; "!=" stands for "not ... =". Strings have \n, \t, \0, \\, \", \xNN.
  public init(parsing text: String) throws {
    var parser = try SelectorParser(text)
    self = try parser.whole().checked()
  }
}

private struct SelectorParser {
  enum Token: Equatable {
    case word(String)
    case number(UInt64)
    case share(Double)
    case string([UInt8])
    case symbol(String)
    case end
  }

  private let text: String
  private var tokens: [(token: Token, column: Int)] = []
  private var position = 0
  private var depth = 0

  static let words = [
    "any", "has_data", "zero", "pfn", "type", "byte", "u64", "contains", "hash", "sample", "not",
  ]
  /// Texts and nestings longer than this are nobody's.
  static let lengthLimit = 1 << 16
  static let depthLimit = 100

  init(_ text: String) throws {
    self.text = text
    try scan(Array(text.utf8))
  }

  private func fail(_ column: Int, _ problem: String) -> XensaveError {
    XensaveError(
      .syntax, "column \(column) of '\(Array(text.utf8).printable)': \(problem)",
      offset: UInt64(column - 1))
  }

  // MARK: - Words

  private mutating func scan(_ bytes: [UInt8]) throws {
    guard bytes.count <= SelectorParser.lengthLimit else {
      throw XensaveError(.syntax, "the selector is longer than 65536 bytes", offset: UInt64(1 - 1))
    }
    var index = 0
    func isWord(_ byte: UInt8) -> Bool {
      (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
        || (0x61...0x7A).contains(byte) || byte == 0x5F
    }
    while index < bytes.count {
      let byte = bytes[index]
      let column = index + 1
      switch byte {
      case 0x20, 0x09, 0x0A, 0x0D: index += 1
      case 0x22, 0x27:
        let string = try string(bytes, &index)
        tokens.append((.string(string), column))
      case _ where isWord(byte):
        var end = index
        while end < bytes.count, isWord(bytes[end]) { end += 1 }
        // A share: digits, a point, digits; but not the two points of a range.
        if (0x30...0x39).contains(byte), end + 1 < bytes.count, bytes[end] == 0x2E,
          (0x30...0x39).contains(bytes[end + 1])
        {
          end += 1
          while end < bytes.count, isWord(bytes[end]) { end += 1 }
        }
        // Of a small one the exponent has a sign.
        if (0x30...0x39).contains(byte), bytes[end - 1] | 0x20 == 0x65, end + 1 < bytes.count,
          bytes[end] == 0x2D, (0x30...0x39).contains(bytes[end + 1])
        {
          end += 1
          while end < bytes.count, isWord(bytes[end]) { end += 1 }
        }
        let word = String(decoding: bytes[index..<end], as: UTF8.self)
        index = end
        if !(0x30...0x39).contains(byte) {
          tokens.append((.word(word), column))
        } else if let value = parseNumber(word) {
          tokens.append((.number(value), column))
        } else if let share = Double(word) {
          tokens.append((.share(share), column))
        } else {
          throw fail(column, "expected a number, got '\(word)'")
        }
      default:
        let two = String(decoding: bytes[index...].prefix(2), as: UTF8.self)
        if ["..", "!=", "=="].contains(two) {
          tokens.append((.symbol(two == "==" ? "=" : two), column))
          index += 2
        } else if Array("=(){}[],|&-~!/".utf8).contains(byte) {
          tokens.append((.symbol(String(UnicodeScalar(byte))), column))
          index += 1
        } else {
          throw fail(column, "unexpected '\([byte].printable)'")
        }
      }
    }
    tokens.append((.end, bytes.count + 1))
  }

  private func string(_ bytes: [UInt8], _ index: inout Int) throws -> [UInt8] {
    let start = index
    let quote = bytes[index]
    var out: [UInt8] = []
    index += 1
    while index < bytes.count, bytes[index] != quote {
      if bytes[index] == 0x5C, index + 1 < bytes.count {
        index += 1
        switch bytes[index] {
        case 0x6E: out.append(10)
        case 0x74: out.append(9)
        case 0x30: out.append(0)
        case 0x78:
          let digits = String(decoding: bytes[(index + 1)...].prefix(2), as: UTF8.self)
          guard digits.utf8.count == 2, let value = UInt8(digits, radix: 16) else {
            throw fail(index, "expected two hexadecimal digits after \\x")
          }
          out.append(value)
          index += 2
        default: out.append(bytes[index])
        }
      } else {
        out.append(bytes[index])
      }
      index += 1
    }
    guard index < bytes.count else { throw fail(start + 1, "the string does not end") }
    index += 1
    return out
  }

  // MARK: - Grammar

  private var token: Token { tokens[position].token }
  private var column: Int { tokens[position].column }

  private mutating func takes(_ symbols: String...) -> Bool {
    switch token {
    case .word(let word) where symbols.contains(word),
      .symbol(let word) where symbols.contains(word):
      position += 1
      return true
    default: return false
    }
  }

  private func expected(_ what: String) -> XensaveError {
    let got =
      switch token {
      case .word(let word): "'\(word)'"
      case .number(let value): "\(value)"
      case .share(let share): "\(share)"
      case .string(let bytes): Selector.quoted(bytes)
      case .symbol(let symbol): "'\(symbol)'"
      case .end: "the end"
      }
    return fail(column, "expected \(what), got \(got)")
  }

  mutating func whole() throws -> Selector {
    let selector = try or()
    guard token == .end else { throw expected("'and', 'or', 'minus' or the end") }
    return selector
  }

  private mutating func or() throws -> Selector {
    var left = try minus()
    while takes("or", "|") { left = .or(left, try minus()) }
    return left
  }

  private mutating func minus() throws -> Selector {
    var left = try and()
    while takes("minus", "-") { left = .minus(left, try and()) }
    return left
  }

  private mutating func and() throws -> Selector {
    var left = try not()
    while takes("and", "&") { left = .and(left, try not()) }
    return left
  }

  private mutating func not() throws -> Selector {
    depth += 1
    defer { depth -= 1 }
    guard depth <= SelectorParser.depthLimit else { throw fail(column, "nested too deeply") }
    if takes("not", "~", "!") { return .not(try not()) }
    if takes("(") {
      let inner = try or()
      try require(")")
      return inner
    }
    return try test()
  }

  private mutating func require(_ symbol: String) throws {
    guard takes(symbol) else { throw expected("'\(symbol)'") }
  }

  private mutating func number(upTo limit: UInt64 = .max) throws -> UInt64 {
    guard case .number(let value) = token else { throw expected("a number") }
    guard value <= limit else { throw expected("at most \(limit.hex())") }
    position += 1
    return value
  }

  private mutating func test() throws -> Selector {
    guard case .word(let word) = token else { throw expected("a test") }
    position += 1
    switch word {
    case "any": return .any
    case "has_data": return .hasData
    case "zero": return .zero
    case "pfn": return try pfn()
    case "type": return try type()
    case "byte":
      try require("[")
      let offset = Int(try number(upTo: UInt64(pageByteCount - 1)))
      try require("]")
      let negates = try comparison()
      return try negated(negates, .byte(offset: offset, value: UInt8(number(upTo: 0xFF))))
    case "u64":
      try require("[")
      let offset = Int(try number(upTo: UInt64(pageByteCount - 8)))
      try require("]")
      let mask = takes("&") ? try number() : UInt64.max
      let negates = try comparison()
      return try negated(negates, .u64(offset: offset, mask: mask, value: number()))
    case "contains":
      guard case .string(let bytes) = token else { throw expected("a string") }
      guard let needle = Needle(bytes) else {
        throw fail(column, "expected a string of 1 to \(pageByteCount) bytes")
      }
      position += 1
      return .contains(needle)
    case "hash":
      if takes("in") {
        var hashes: [UInt64] = []
        try list { parser in hashes.append(try parser.number()) }
        return .hashIn(HashSet(hashes))
      }
      let negates = try comparison()
      return try negated(negates, .hashIn(HashSet([number()])))
    case "sample": return try sample()
    default:
      position -= 1
      throw fail(
        column, "unknown test '\(word)'" + didYouMean(word, among: SelectorParser.words))
    }
  }

  private func negated(_ negates: Bool, _ selector: Selector) -> Selector {
    negates ? .not(selector) : selector
  }

  /// Whether the comparison is "!=" and not "=".
  private mutating func comparison() throws -> Bool {
    if takes("!=") { return true }
    guard takes("=") else { throw expected("'=' or '!='") }
    return false
  }

  /// "{" item {"," item} "}".
  private mutating func list(
    _ item: (inout SelectorParser) throws -> Void
  ) throws {
    try require("{")
    if takes("}") { return }
    repeat { try item(&self) } while takes(",")
    guard takes("}") else { throw expected("',' or '}'") }
  }

  private mutating func pfn() throws -> Selector {
    if takes("in") {
      guard token == .symbol("{") else { return .pfn(try range()) }
      var ranges: [Range<UInt64>] = []
      try list { parser in
        let range = try parser.range(mayBeSingle: true)
        ranges.append(range.lowerBound..<range.upperBound + 1)
      }
      return .pfns(PageSet(ranges))
    }
    let negates = try comparison()
    let value = try number(upTo: PageEntry.pfnMask)
    return negated(negates, .pfn(value...value))
  }

  private mutating func range(
    mayBeSingle: Bool = false
  ) throws -> ClosedRange<UInt64> {
    let first = try number(upTo: PageEntry.pfnMask)
    if mayBeSingle, token != .symbol("..") { return first...first }
    try require("..")
    let start = column
    let last = try number(upTo: PageEntry.pfnMask)
    guard first <= last else {
      throw fail(start, "expected at least \(first.hex()), got \(last.hex())")
    }
    return first...last
  }

  private mutating func type() throws -> Selector {
    if takes("in") {
      var types: [PageType] = []
      try list { parser in types.append(try parser.typeName()) }
      return .type(types)
    }
    let negates = try comparison()
    return try negated(negates, .type([typeName()]))
  }

  private mutating func typeName() throws -> PageType {
    if case .number(let value) = token, value < 16 {
      position += 1
      return PageType(rawValue: UInt8(value))
    }
    guard case .word(let name) = token else { throw expected("a page type") }
    guard let type = PageType(name: name.uppercased()) else {
      let names = PageType.names.filter { !$0.isEmpty }
      throw fail(
        column, "unknown page type '\(name)'" + didYouMean(name.uppercased(), among: names))
    }
    position += 1
    return type
  }

  private mutating func sample() throws -> Selector {
    try require("(")
    let start = column
    var share: Double
    switch token {
    case .share(let value): share = value
    case .number(let value): share = Double(value)
    default: throw expected("a share from 0 to 1")
    }
    position += 1
    if takes("/") {
      let below = try number()
      share /= Double(max(below, 1))
    }
    guard share <= 1 else { throw fail(start, "expected a share from 0 to 1, got \(share)") }
    let seed = takes(",") ? try number() : 0
    try require(")")
    return .sample(share, seed: seed)
  }
}
