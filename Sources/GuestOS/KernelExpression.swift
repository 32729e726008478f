// Expressions over a kernel's variables, as C writes them.

internal import SystemIO
internal import Pages

/// Reads `init_task.comm`, `((struct list_head *)0xffff...)->next`, `per_cpu(runqueues, 0).curr->pid`,
/// `container_of(modules.next, struct module, list).name`, `sizeof(struct page)`.
///
///     expression  unary [("+" | "-") unary]...
///     unary       ("*" | "&" | "(" type ")") unary | postfix
///     postfix     primary ["." NAME | "->" NAME | "[" expression "]"]...
///     primary     NUMBER | NAME | "(" expression ")" | per_cpu(NAME, expression)
///                 | container_of(expression, type, member) | sizeof(type)
private struct ExpressionParser {
  enum Token: Equatable {
    case name(String)
    case number(UInt64)
    case mark(String)
  }

  let guest: LinuxGuest
  var tokens: [(token: Token, column: Int)] = []
  var next = 0
  var depth = 0

  init(_ guest: LinuxGuest, _ text: String) throws {
    self.guest = guest
    let characters = Array(text)
    guard characters.count <= 4096 else {
      throw XensaveError(.usage, "expected at most 4096 characters")
    }
    var place = 0
    while place < characters.count {
      let start = place
      let first = characters[place]
      if first.isWhitespace {
        place += 1
      } else if first.isLetter || first == "_" {
        while place < characters.count,
          characters[place].isLetter || characters[place].isNumber || characters[place] == "_"
        { place += 1 }
        tokens.append((.name(String(characters[start..<place])), start + 1))
      } else if first.isASCII, first.isNumber {
        while place < characters.count, characters[place].isLetter || characters[place].isNumber {
          place += 1
        }
        let word = String(characters[start..<place]).lowercased()
        let value = word.hasPrefix("0x") ? UInt64(word.dropFirst(2), radix: 16) : UInt64(word)
        guard let value else { throw syntax("expected a number, got \(word)", start + 1) }
        tokens.append((.number(value), start + 1))
      } else if first == "-", place + 1 < characters.count, characters[place + 1] == ">" {
        tokens.append((.mark("->"), start + 1))
        place += 2
      } else if "()[].*&,+-".contains(first) {
        tokens.append((.mark(String(first)), start + 1))
        place += 1
      } else {
        throw syntax("expected an expression of C, got \"\(first)\"", start + 1)
      }
    }
  }

  private func syntax(_ problem: String, _ column: Int? = nil) -> XensaveError {
    let column =
      column ?? (next < tokens.count ? tokens[next].column : (tokens.last?.column ?? 0) + 1)
    return XensaveError(.syntax, "column \(column): \(problem)", offset: UInt64(column - 1))
  }

  private var token: Token? { next < tokens.count ? tokens[next].token : nil }

  private mutating func take(_ mark: String) -> Bool {
    guard token == .mark(mark) else { return false }
    next += 1
    return true
  }

  private mutating func expect(_ mark: String) throws {
    guard take(mark) else { throw syntax("expected \"\(mark)\"") }
  }

  private mutating func name() throws -> String {
    guard case .name(let name) = token else { throw syntax("expected a name") }
    next += 1
    return name
  }

  mutating func parse() throws -> TypedValue {
    let value = try expression()
    guard next == tokens.count else { throw syntax("expected the end of the expression") }
    return value
  }

  private mutating func expression() throws -> TypedValue {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw syntax("it is nested too deeply") }
    var value = try unary()
    while token == .mark("+") || token == .mark("-") {
      let isMinus = token == .mark("-")
      next += 1
      let amount = Int64(bitPattern: try guest.integer(unary()))
      value = try add(value, isMinus ? 0 &- amount : amount)
    }
    return value
  }

  /// Pointers move by what they point to.
  private func add(_ value: TypedValue, _ amount: Int64) throws -> TypedValue {
    var step: Int64 = 1
    if value.type.pointers > 0 {
      let inner = TypeReference(value.type.id, pointers: value.type.pointers - 1)
      step = Int64(try guest.byteCount(of: inner))
    } else if let moved = try? guest.element(value, amount), moved.address != nil {
      return try guest.pointer(to: moved)
    }
    let integer = try guest.integer(value)
    return TypedValue(.computed(integer &+ UInt64(bitPattern: amount &* step)), value.type)
  }

  private mutating func unary() throws -> TypedValue {
    depth += 1
    defer { depth -= 1 }
    guard depth < 64 else { throw syntax("it is nested too deeply") }
    if take("*") { return try guest.dereference(unary()) }
    if take("&") { return try guest.pointer(to: unary()) }
    if token == .mark("("), let type = try castType() {
      let value = try unary()
      let integer: UInt64
      if case .memory(let address) = value.place, value.type.id == 0, value.type.pointers == 0 {
        integer = address
      } else {
        integer = try guest.integer(value)
      }
      return TypedValue(.computed(integer), type)
    }
    return try postfix()
  }

  /// A type in parentheses, where one stands here.
  private mutating func castType() throws -> TypeReference? {
    let start = next
    next += 1
    guard case .name(let first) = token else {
      next = start
      return nil
    }
    let isTagged = ["struct", "union", "enum", "const", "unsigned", "void"].contains(first)
    var words: [String] = []
    while case .name(let word) = token {
      words.append(word)
      next += 1
    }
    var stars = 0
    while take("*") { stars += 1 }
    let text = words.joined(separator: " ")
    guard take(")"), isTagged || stars > 0 || guest.symbols[text] == nil else {
      next = start
      return nil
    }
    do {
      var type = try guest.type(text)
      type.pointers += stars
      return type
    } catch {
      if isTagged || stars > 0 { throw error }
      next = start
      return nil
    }
  }

  private mutating func postfix() throws -> TypedValue {
    var value = try primary()
    while true {
      if take(".") || take("->") {
        value = try guest.member(value, name())
      } else if take("[") {
        let index = Int64(bitPattern: try guest.integer(expression()))
        try expect("]")
        value = try guest.element(value, index)
      } else {
        return value
      }
    }
  }

  /// A type up to a comma or a parenthesis.
  private mutating func type() throws -> TypeReference {
    var words: [String] = []
    while case .name(let word) = token {
      words.append(word)
      next += 1
    }
    var type = try guest.type(words.joined(separator: " "))
    while take("*") { type.pointers += 1 }
    return type
  }

  private mutating func primary() throws -> TypedValue {
    switch token {
    case .number(let value):
      next += 1
      return TypedValue(.computed(value), guest.numberType)
    case .mark("("):
      next += 1
      let value = try expression()
      try expect(")")
      return value
    case .name(let name):
      next += 1
      guard take("(") else { return try guest.variable(name) }
      switch name {
      case "per_cpu":
        let variable = try guest.variable(self.name())
        try expect(",")
        let cpu = Int(truncatingIfNeeded: try guest.integer(expression()))
        try expect(")")
        guard let address = variable.address else { throw syntax("expected a per-CPU variable") }
        return TypedValue(.memory(try guest.perCPU(address, cpu)), variable.type)
      case "container_of":
        let value = try expression()
        try expect(",")
        let type = try type()
        try expect(",")
        var path = try self.name()
        while take(".") { path += "." + (try self.name()) }
        try expect(")")
        return try guest.container(of: value, type, path)
      case "sizeof":
        let type = try type()
        try expect(")")
        return TypedValue(.computed(UInt64(try guest.byteCount(of: type))), guest.numberType)
      default: throw syntax("expected per_cpu, container_of or sizeof, got \(name)")
      }
    default: throw syntax("expected a name, a number or \"(\"")
    }
  }
}

extension LinuxGuest {
  /// The type of numbers in expressions.
  fileprivate var numberType: TypeReference {
    (try? type("long unsigned int")) ?? (try? type("u64")) ?? TypeReference(0)
  }

  /// The value of an expression of C over the kernel's variables; see `ExpressionParser`.
  public func evaluate(_ text: String) throws -> TypedValue {
    var parser = try ExpressionParser(self, text)
    return try parser.parse()
  }
}
