// Reading declarations of types, as C writes them.

internal import SystemIO
internal import Bytes
internal import Pages

/// What is known of a type while declarations are read.
struct KnownType {
  var id: BTF.ID
  var byteCount: Int
  var alignment: Int
  /// Of a number that can be a bit field.
  var isInteger = false
}

struct DeclarationParser {
  private enum Token: Equatable {
    case name(String)
    case number(UInt64)
    case mark(Character)
  }

  private let options: DeclarationOptions
  private var tokens: [(token: Token, place: Int)] = []
  private var next = 0
  private let text: [Character]
  private var writer = TypeWriter()
  private var scalars: [String: KnownType] = [:]
  /// Definitions by their word and name: "struct item".
  private var definitions: [String: KnownType] = [:]
  /// Pointers to structures that are not defined yet: where each is asked for.
  private var promises: [String: (id: BTF.ID, place: Int)] = [:]
  private var memberCount = 0

  private static let textLimit = 64 << 10
  private static let memberLimit = 4096
  private static let depthLimit = 32
  /// Most bytes of a type.
  private static let byteLimit = 1 << 28

  // MARK: - Words

  init(_ text: String, _ options: DeclarationOptions) throws {
    self.options = options
    self.text = Array(text)
    guard self.text.count <= Self.textLimit else {
      throw XensaveError(.syntax, "expected at most \(Self.textLimit) characters of declarations")
    }
    try cut()
  }

  private mutating func cut() throws {
    var place = 0
    func isWord(_ character: Character) -> Bool {
      character.isASCII && (character.isLetter || character.isNumber || character == "_")
    }
    while place < text.count {
      let start = place
      let first = text[place]
      if first.isWhitespace {
        place += 1
      } else if first == "/", place + 1 < text.count, text[place + 1] == "/" {
        while place < text.count, !text[place].isNewline { place += 1 }
      } else if first == "/", place + 1 < text.count, text[place + 1] == "*" {
        place += 2
        while place + 1 < text.count, text[place] != "*" || text[place + 1] != "/" { place += 1 }
        guard place + 1 < text.count else { throw syntax("a comment has no end", at: start) }
        place += 2
      } else if isWord(first) {
        while place < text.count, isWord(text[place]) { place += 1 }
        let word = String(text[start..<place])
        guard first.isNumber else {
          tokens.append((.name(word), start))
          continue
        }
        let value =
          word.lowercased().hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : UInt64(word)
        guard let value else { throw syntax("expected a number, got '\(word)'", at: start) }
        tokens.append((.number(value), start))
      } else if "{}[]();,*:=-".contains(first) {
        tokens.append((.mark(first), start))
        place += 1
      } else {
        throw syntax("expected a declaration of C, got '\(first)'", at: start)
      }
    }
  }

  /// The error, with its line and column.
  private func syntax(_ problem: String, at place: Int? = nil) -> XensaveError {
    let place = place ?? (next < tokens.count ? tokens[next].place : text.count)
    let before = text[..<min(place, text.count)]
    let line = before.count { $0.isNewline } + 1
    let start = before.lastIndex { $0.isNewline }.map { $0 + 1 } ?? 0
    return XensaveError(
      .syntax, "line \(line), column \(place - start + 1): \(problem)", offset: UInt64(place))
  }

  /// What stands here, for messages.
  private var found: String {
    guard next < tokens.count else { return "the end" }
    switch tokens[next].token {
    case .name(let name): return "'\(name)'"
    case .number(let value): return "'\(value)'"
    case .mark(let mark): return "'\(mark)'"
    }
  }

  private var token: Token? { next < tokens.count ? tokens[next].token : nil }

  private mutating func take(_ mark: Character) -> Bool {
    guard token == .mark(mark) else { return false }
    next += 1
    return true
  }

  private mutating func expect(_ mark: Character) throws {
    guard take(mark) else { throw syntax("expected '\(mark)', got \(found)") }
  }

  private mutating func name(_ what: String) throws -> String {
    guard case .name(let name) = token else { throw syntax("expected \(what), got \(found)") }
    next += 1
    return name
  }

  private func isWord(_ words: String...) -> String? {
    guard case .name(let name) = token, words.contains(name) else { return nil }
    return name
  }

  // MARK: - Definitions

  mutating func parse() throws -> DeclaredType {
    var last: KnownType?
    var rows: [MemberRow] = []
    var layout = Layout(isUnion: false, isPacked: options.isPacked)
    while next < tokens.count {
      if let kind = isWord("struct", "union", "enum"), isDefinition {
        next += 1
        let name = try self.name("a name")
        let known = try kind == "enum" ? enumeration(name) : structure(kind, name, depth: 0)
        if take(";") || next == tokens.count {
          last = known
        } else {
          // "struct item { ... } first;"
          try declarators(known, &layout, &rows)
        }
      } else {
        try member(&layout, &rows, depth: 0)
      }
    }
    let promises = promises.sorted { $0.value.place < $1.value.place }
    for (name, promise) in promises where definitions[name] == nil {
      throw syntax("there is no \(name)", at: promise.place)
    }
    if !rows.isEmpty { last = try finish(layout, rows, "", isUnion: false) }
    guard let last else { throw syntax("expected a member such as \"u32 magic\"") }
    // Promises were made before the structures had their places.
    for (name, promise) in promises {
      if let known = definitions[name] { writer.redirect(promise.id, to: known.id) }
    }
    do {
      let types = try BTF(
        writer.bytes, pointerByteCount: options.pointerByteCount, order: options.order)
      return DeclaredType(types, last.id, last.byteCount)
    } catch { throw XensaveError(error) }
  }

  /// Whether a name and a body follow the word that stands here.
  private var isDefinition: Bool {
    guard next + 2 < tokens.count, case .name = tokens[next + 1].token else { return false }
    return tokens[next + 2].token == .mark("{")
      || (isWord("enum") != nil && tokens[next + 2].token == .mark(":"))
  }

  private mutating func define(_ key: String, _ known: KnownType, at place: Int) throws {
    guard definitions.updateValue(known, forKey: key) == nil else {
      throw syntax("there are two of \(key)", at: place)
    }
  }

  private mutating func structure(
    _ kind: String, _ name: String, depth: Int
  ) throws -> KnownType {
    let place = tokens[max(0, next - 1)].place
    guard depth < Self.depthLimit else { throw syntax("it is nested too deeply") }
    try expect("{")
    var layout = Layout(isUnion: kind == "union", isPacked: options.isPacked)
    var rows: [MemberRow] = []
    while !take("}") {
      guard next < tokens.count else { throw syntax("expected '}', got the end") }
      try member(&layout, &rows, depth: depth + 1)
    }
    guard !rows.isEmpty else { throw syntax("\(kind) \(name) has no members", at: place) }
    let known = try finish(layout, rows, name, isUnion: kind == "union")
    if !name.isEmpty { try define("\(kind) \(name)", known, at: place) }
    return known
  }

  private mutating func finish(
    _ layout: Layout, _ rows: [MemberRow], _ name: String, isUnion: Bool
  ) throws -> KnownType {
    let size = layout.byteCount
    guard size <= Self.byteLimit else {
      throw syntax("a type of \(size) bytes (expected at most \(Self.byteLimit))")
    }
    // Offsets of bit fields and of all beside them have 24 bits.
    guard !rows.contains(where: { $0.bitCount > 0 }) || size < 1 << 21 else {
      throw syntax("a structure of \(size) bytes with bit fields (expected less than 2097152)")
    }
    return KnownType(
      id: writer.structure(name, size, rows, isUnion: isUnion), byteCount: size,
      alignment: layout.alignment)
  }

  private mutating func enumeration(_ name: String) throws -> KnownType {
    let place = tokens[next - 1].place
    var size = 4
    if take(":") {
      let base = try type()
      guard base.isInteger else { throw syntax("expected an integer for the enum's values") }
      size = base.byteCount
    }
    try expect("{")
    var values: [(String, Int64)] = []
    var value: Int64 = 0
    while !take("}") {
      let name = try self.name("a name of the enum")
      if take("=") {
        let isNegative = take("-")
        guard case .number(let integer) = token, integer <= UInt64(UInt32.max) else {
          throw syntax("expected a number of 32 bits, got \(found)")
        }
        next += 1
        value = isNegative ? -Int64(integer) : Int64(integer)
      }
      guard value >= Int64(Int32.min), value <= Int64(UInt32.max), values.count < Self.memberLimit
      else { throw syntax("expected values of 32 bits") }
      values.append((name, value))
      value += 1
      if take("}") { break }
      try expect(",")
    }
    let known = KnownType(
      id: writer.enumeration(name, size, values), byteCount: size,
      alignment: options.isPacked ? 1 : size)
    try define("enum \(name)", known, at: place)
    return known
  }

  // MARK: - Members

  private mutating func member(
    _ layout: inout Layout, _ rows: inout [MemberRow], depth: Int
  ) throws {
    let start = next
    let known: KnownType
    if let kind = isWord("struct", "union") {
      next += 1
      var name = ""
      if case .name(let word) = token, isBodyNext {
        name = word
        next += 1
      }
      if token == .mark("{") {
        known = try structure(kind, name, depth: depth)
        // Without a name its members are those of what is around it.
        if take(";") {
          return try add("", known, 0, &layout, &rows)
        }
      } else {
        next = start
        return try declarators(nil, &layout, &rows)
      }
    } else {
      return try declarators(nil, &layout, &rows)
    }
    try declarators(known, &layout, &rows)
  }

  private var isBodyNext: Bool { next + 1 < tokens.count && tokens[next + 1].token == .mark("{") }

  /// What follows a type: names with pointers and arrays.
  private mutating func declarators(
    _ given: KnownType?, _ layout: inout Layout, _ rows: inout [MemberRow]
  ) throws {
    let place = next
    // A structure that is not defined yet can be pointed to.
    let promise = given == nil ? promisedName : nil
    let base: KnownType?
    if let given { base = given } else { base = try promise == nil ? type() : nil }
    repeat {
      var stars = 0
      while take("*") {
        stars += 1
        guard stars <= 8 else { throw syntax("expected at most 8 '*'") }
      }
      var known: KnownType
      if let base {
        known = base
      } else if let promise, stars > 0 {
        let id = writer.placeholder(promise.id, &promises, at: tokens[place].place)
        known = KnownType(id: id, byteCount: 0, alignment: 1)
      } else {
        throw syntax("there is no \(promise?.id ?? "type")", at: tokens[place].place)
      }
      if known.id == 0, stars == 0 { throw syntax("void has no size", at: tokens[place].place) }
      for _ in 0..<stars {
        known = KnownType(
          id: writer.pointer(known.id), byteCount: options.pointerByteCount,
          alignment: options.pointerByteCount)
      }
      let nameAt = tokens.indices.contains(next) ? tokens[next].place : text.count
      let name = try self.name("a member's name")
      known = try array(known)
      var bits: UInt64 = 0
      if take(":") {
        guard known.isInteger, options.order == .little else {
          throw syntax(
            options.order == .big
              ? "bit fields are those of little-endian machines" : "expected an integer before ':'")
        }
        let limit = UInt64(min(57, 8 * known.byteCount))
        guard case .number(let count) = token, count > 0, count <= limit else {
          throw syntax("expected 1 to \(limit) bits, got \(found)")
        }
        next += 1
        bits = count
      }
      guard !rows.contains(where: { $0.name == name }) else {
        throw syntax("there are two members '\(name)'", at: nameAt)
      }
      try add(name, known, bits, &layout, &rows)
    } while take(",")
    // The last one may do without.
    guard take(";") || next == tokens.count else {
      throw syntax("expected ';' or ',', got \(found)")
    }
  }

  private mutating func add(
    _ name: String, _ known: KnownType, _ bits: UInt64, _ layout: inout Layout,
    _ rows: inout [MemberRow]
  ) throws {
    memberCount += 1
    guard memberCount <= Self.memberLimit else {
      throw syntax("expected at most \(Self.memberLimit) members")
    }
    let offset = layout.add(known.byteCount, known.alignment, bits)
    guard layout.byteCount <= Self.byteLimit else {
      throw syntax("the structure has more than \(Self.byteLimit) bytes")
    }
    rows.append(MemberRow(name: name, type: known.id, bitOffset: offset, bitCount: bits))
  }

  /// The arrays after a name, the outermost first.
  private mutating func array(_ element: KnownType) throws -> KnownType {
    var counts: [Int] = []
    while take("[") {
      var count = 0
      if case .number(let integer) = token {
        guard integer <= UInt64(Self.byteLimit) else {
          throw syntax("expected at most \(Self.byteLimit) elements")
        }
        count = Int(integer)
        next += 1
      } else if token != .mark("]") || !counts.isEmpty {
        throw syntax("expected a number of elements, got \(found)")
      }
      try expect("]")
      counts.append(count)
      guard counts.count <= 8 else { throw syntax("expected at most 8 dimensions") }
    }
    var known = element
    for count in counts.reversed() {
      let (size, overflow) = known.byteCount.multipliedReportingOverflow(by: count)
      guard !overflow, size <= Self.byteLimit else {
        throw syntax("the array has more than \(Self.byteLimit) bytes")
      }
      known = KnownType(
        id: writer.array(known.id, count), byteCount: size, alignment: known.alignment)
    }
    return known
  }

  // MARK: - Types

  /// The name of a structure that stands here and is not defined (yet).
  private var promisedName: (id: String, length: Int)? {
    mutating get {
      guard let kind = isWord("struct", "union"), next + 1 < tokens.count,
        case .name(let name) = tokens[next + 1].token, definitions["\(kind) \(name)"] == nil
      else { return nil }
      next += 2
      return ("\(kind) \(name)", 2)
    }
  }

  /// Numbers by their names: bytes, whether they are signed, and their byte order where they have one.
  private static let integers: [String: (bytes: Int, isSigned: Bool, order: ByteOrder?)] = {
    var out: [String: (bytes: Int, isSigned: Bool, order: ByteOrder?)] = [:]
    for (bits, bytes) in [(8, 1), (16, 2), (32, 4), (64, 8)] {
      for (name, isSigned) in [
        ("u", false), ("s", true), ("i", true), ("__u", false), ("__s", true),
      ] {
        out["\(name)\(bits)"] = (bytes, isSigned, nil)
      }
      out["uint\(bits)_t"] = (bytes, false, nil)
      out["int\(bits)_t"] = (bytes, true, nil)
      guard bits > 8 else { continue }
      for (name, order) in [("le", ByteOrder.little), ("be", .big)] {
        out["\(name)\(bits)"] = (bytes, false, order)
        out["__\(name)\(bits)"] = (bytes, false, order)
      }
    }
    return out
  }()

  private static let wordsOfC: Set<String> = [
    "unsigned", "signed", "char", "short", "int", "long", "const", "volatile",
  ]

  private mutating func type() throws -> KnownType {
    let place = next < tokens.count ? tokens[next].place : text.count
    if let kind = isWord("struct", "union", "enum") {
      next += 1
      let name = try self.name("the name of the \(kind)")
      guard let known = definitions["\(kind) \(name)"] else {
        throw syntax("there is no \(kind) \(name)", at: place)
      }
      return known
    }
    var words: [String] = []
    while case .name(let word) = token, Self.wordsOfC.contains(word) {
      words.append(word)
      next += 1
    }
    words.removeAll { $0 == "const" || $0 == "volatile" }
    if !words.isEmpty { return try integerOfC(words, place) }
    let word = try name("a type")
    switch word {
    case "void": return KnownType(id: 0, byteCount: 0, alignment: 1)
    case "bool", "_Bool": return integer("bool", 1, flags: 4, nil)
    case "float", "double":
      let size = word == "float" ? 4 : 8
      let key = "\(word)"
      if let known = scalars[key] { return known }
      let known = KnownType(
        id: writer.float(word, size), byteCount: size, alignment: options.isPacked ? 1 : size)
      scalars[key] = known
      return known
    case "size_t", "uintptr_t": return integer(word, options.pointerByteCount, flags: 0, nil)
    case "ssize_t", "intptr_t": return integer(word, options.pointerByteCount, flags: 1, nil)
    default: break
    }
    if let row = Self.integers[word] {
      return integer(word, row.bytes, flags: row.isSigned ? 1 : 0, row.order)
    }
    if let known = definitions["struct \(word)"] ?? definitions["union \(word)"]
      ?? definitions["enum \(word)"]
    {
      return known
    }
    throw syntax("there is no type '\(word)'\(near(word))", at: place)
  }

  /// " (did you mean u32?)"
  private func near(_ word: String) -> String {
    let names = Self.integers.keys.sorted() + ["char", "int", "long", "short", "bool", "void"]
    let near = names.first { name in
      name.count == word.count && zip(name, word).filter { $0 != $1 }.count == 1
        || name.lowercased() == word.lowercased()
    }
    return near.map { " (did you mean \($0)?)" } ?? " (u8 to u64, s8 to s64, be16, char, int ...)"
  }

  private mutating func integerOfC(_ words: [String], _ place: Int) throws -> KnownType {
    let isUnsigned = words.contains("unsigned")
    let rest = words.filter { $0 != "unsigned" && $0 != "signed" }
    let longs = rest.count { $0 == "long" }
    let size: Int
    switch rest.filter({ $0 != "int" || rest.count == 1 }) {
    case ["char"]: size = 1
    case ["short"]: size = 2
    case ["int"], []: size = 4
    case ["long"]: size = options.pointerByteCount
    case ["long", "long"]: size = 8
    default: throw syntax("there is no type '\(words.joined(separator: " "))'", at: place)
    }
    if words == ["char"] { return integer("char", 1, flags: 2, nil) }
    let name =
      (isUnsigned ? "unsigned " : "")
      + (longs > 0
        ? Array(repeating: "long", count: longs).joined(separator: " ")
        : rest.first { $0 != "int" } ?? "int")
    return integer(
      words == ["signed", "char"] ? "signed char" : name, size, flags: isUnsigned ? 0 : 1, nil)
  }

  private mutating func integer(
    _ name: String, _ size: Int, flags: UInt32, _ order: ByteOrder?
  ) -> KnownType {
    if let known = scalars[name] { return known }
    let isBig = (order ?? options.order) == .big && size > 1
    let known = KnownType(
      id: writer.integer(name, size, flags | (isBig ? 8 : 0)), byteCount: size,
      alignment: options.isPacked ? 1 : size, isInteger: !isBig)
    scalars[name] = known
    return known
  }
}
