// What Tab offers inside brackets: indices, option names, and the words that a function takes.

internal import Format
internal import LuaAPI
internal import LuaRuntime
internal import Terminal

extension Completer {
  /// Indices that are offered at most.
  private static let indexLimit = 64

  /// The indices of what stands before "[", with a number begun or not; nil elsewhere.
  func indices(_ tokens: [LuaToken], _ cursor: Int) -> Completions? {
    var tokens = tokens
    var word = ""
    if let last = tokens.last, last.kind == .number, last.range.upperBound == cursor {
      word = last.text
      tokens.removeLast()
    }
    guard tokens.last?.isSymbol("[") == true else { return nil }
    tokens.removeLast()
    guard let expression = LuaExpression(endOf: tokens),
      case .value = LuaResolver(state: state, context: tokens).resolve(expression)
    else { return nil }
    defer { state.frame.pop() }
    let range = cursor - word.utf8.count..<cursor
    let found = filtered(indicesOfTop().map { Completion("\($0)]") }, word, range)
    return found.candidates.isEmpty ? nil : found
  }

  private func indicesOfTop() -> [String] {
    let frame = state.frame
    func indexes(_ count: Int) -> [String] {
      (0..<min(count, Self.indexLimit)).map { "\($0 + 1)" }
    }
    if let vcpus: LuaVCPUs = frame.objectIfAny(-1) {
      return ((try? vcpus.ids()) ?? []).prefix(Self.indexLimit).map { "\($0)" }
    }
    if let node: FieldNode = frame.objectIfAny(-1), node.isArray {
      return indexes((try? node.count()) ?? 0)
    }
    if let config: LuaConfig = frame.objectIfAny(-1), let members = try? config.members(),
      members.names.isEmpty
    {
      return indexes(members.count)
    }
    if frame.type(-1) == .table { return indexes(frame.length(-1)) }
    return []
  }

  /// The HVM parameters by name, those that are there first.
  func paramNames(_ there: [String]) -> [Completion] {
    let others = HVMParams.names.values.filter { !there.contains($0) }.sorted()
    return there.map { Completion($0, note: "in the image") } + others.map { Completion($0) }
  }

  // MARK: - Calls

  /// The function that the end of `tokens` is inside the arguments of; `inTable`: whether inside a table
  /// of them.
  private func callee(_ tokens: [LuaToken]) -> (declaration: LuaDeclaration, inTable: Bool)? {
    var level = 0
    var inTable = false
    for index in tokens.indices.reversed() where tokens[index].kind == .symbol {
      let token = tokens[index]
      if [")", "]", "}"].contains(token.text) { level += 1 }
      guard ["(", "[", "{"].contains(token.text) else { continue }
      guard level == 0 else {
        level -= 1
        continue
      }
      let before = Array(tokens[..<index])
      if token.text == "{" {
        inTable = true
        // A table alone may be the argument, as in xs.synth { ... }.
        guard let last = before.last, last.kind == .name, let found = declaration(before) else {
          continue
        }
        return (found, true)
      }
      guard token.text == "(", let found = declaration(before) else { return nil }
      return (found, inTable)
    }
    return nil
  }

  /// The declaration of the function that `tokens` end with.
  private func declaration(_ tokens: [LuaToken]) -> LuaDeclaration? {
    guard let expression = LuaExpression(endOf: tokens) else { return nil }
    switch LuaResolver(state: state, context: tokens).resolve(expression) {
    case .function(let declaration): return declaration
    case .value:
      defer { state.frame.pop() }
      return state.frame.declaration(-1)
    default: return nil
    }
  }

  /// The names of the options of the function whose table is being written: its documentation has them
  /// as "name = ...", or lists them after "Options:".
  func options(of tokens: [LuaToken]) -> [Completion] {
    guard let last = tokens.last, last.isSymbol("{") || last.isSymbol(","),
      let (declaration, inTable) = callee(tokens), inTable
    else { return [] }
    return Completer.optionNames(declaration.doc).map { Completion($0, note: "option") }
  }

  static func optionNames(_ doc: String) -> [String] {
    var names: [String] = []
    func add(_ word: Substring) {
      let name = String(word)
      if LuaLexer.isIdentifier(name), !names.contains(name) { names.append(name) }
    }
    for part in doc.split(separator: " = ").dropLast() {
      add(part.suffix(while: { LuaLexer.isName($0.utf8.first ?? 0) }))
    }
    guard let list = doc.firstRange(of: "Options: ") else { return names }
    var level = 0
    var word = Substring()
    // Words between commas, without what stands in parentheses.
    for character in doc[list.upperBound...] {
      if character == "(" { level += 1 }
      if character == ")" { level -= 1 }
      if level > 0 || character == ")" { continue }
      if character == "." { break }
      if character == "," {
        add(word.trimmedWord)
        word = ""
      } else {
        word.append(character)
      }
    }
    add(word.trimmedWord)
    return names
  }

  /// The words that a function takes as text: CPUID features, or what its documentation quotes; nil
  /// where there is nothing known.
  func names(for function: String, _ tokens: [LuaToken]) -> [Completion]? {
    guard !["help", "apropos", "first", "records", "record", "record_type"].contains(function)
    else {
      return nil
    }
    guard let declaration = declaration(tokens) ?? callee(tokens)?.declaration else { return nil }
    let isOfCPUID = declaration.owner == "CPUID" || declaration.owner == "xs.cpuid"
    if isOfCPUID, ["has", "set", "bit", "with_dependents"].contains(declaration.name) {
      return CPUIDFeatures.all.map { Completion($0.name) }
    }
    if isOfCPUID, declaration.name == "level" {
      return CPUIDFeatures.levels.map { Completion($0.name) }
    }
    let quoted = declaration.doc.split(separator: "\"", omittingEmptySubsequences: false)
      .enumerated().filter { $0.offset % 2 == 1 }.map { String($0.element) }
    let words = quoted.filter { !$0.isEmpty && !$0.contains(" ") }
    return words.isEmpty ? nil : words.map { Completion($0) }
  }
}

extension Substring {
  fileprivate var trimmedWord: Substring {
    self[...].drop { $0 == " " }.prefix { $0 != " " }
  }

  /// The longest end all of whose characters satisfy `condition`.
  fileprivate func suffix(while condition: (Character) -> Bool) -> Substring {
    var start = endIndex
    while start > startIndex, condition(self[index(before: start)]) { start = index(before: start) }
    return self[start...]
  }
}
