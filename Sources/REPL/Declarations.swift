// Questions about the declarations that help, completion and the documents have.

internal import Format
package import LuaRuntime
internal import Terminal

extension LuaDeclaration {
  /// "xs.open", "Record:each", "Record.type".
  package var fullName: String {
    switch kind {
    case .module, .class: name
    case .method: "\(owner):\(name)"
    default: "\(owner).\(name)"
    }
  }

  /// The name as it is used, with the type: "xs.open(path: string): Image?, Error?",
  /// "Record.index: integer".
  package var call: String {
    switch kind {
    case .method, .function, .metamethod: fullName + type
    case .property: "\(fullName): \(type)"
    case .class: "class \(name)"
    case .module: "module \(name)"
    }
  }

  /// The documentation with "Unit: bytes. Since 0.2.", as far as there is something to say.
  package var fullDoc: String {
    doc + (unit.isEmpty ? "" : " Unit: \(unit).")
      + (since == Self.firstRelease ? "" : " Since \(since).")
  }

  /// The first result, or a property's type, without "?" and further choices.
  var resultType: String {
    var text = Substring(type)
    if kind == .method || kind == .function {
      guard let end = text.firstRange(of: "): ") else { return "" }
      text = text[end.upperBound...]
    }
    return String(text.prefix { LuaLexer.isName($0.utf8.first ?? 0) || $0 == "." })
  }

  /// The parameters, as LuaLS writes them: ("path", "string", isOptional).
  package var parameters: [(name: String, type: String, isOptional: Bool)] {
    guard kind == .method || kind == .function, type.hasPrefix("("),
      let close = type.closingParenthesis
    else { return [] }
    let inside = type[type.index(after: type.startIndex)..<close]
    return inside.splitAtTopLevel(",").map { part in
      let chunks = part.split(separator: ":", maxSplits: 1)
      var name = chunks[0].trimmed
      let isOptional = name.hasSuffix("?")
      if isOptional { name.removeLast() }
      return (name, chunks.count > 1 ? chunks[1].trimmed : "any", isOptional)
    }
  }

  /// The results' types.
  package var results: [String] {
    guard kind == .method || kind == .function, let close = type.closingParenthesis else {
      return []
    }
    let rest = type[type.index(after: close)...]
    guard rest.hasPrefix(":") else { return [] }
    return rest.dropFirst().splitAtTopLevel(",").map(\.trimmed)
  }
}

extension StringProtocol {
  /// The place of the parenthesis that closes the one at the start.
  var closingParenthesis: Index? {
    var level = 0
    for index in indices {
      if self[index] == "(" { level += 1 }
      if self[index] == ")" {
        level -= 1
        if level == 0 { return index }
      }
    }
    return nil
  }

  /// The parts between separators that stand in no brackets.
  func splitAtTopLevel(_ separator: Character) -> [SubSequence] {
    var out: [SubSequence] = []
    var level = 0
    var start = startIndex
    for index in indices {
      if "({<".contains(self[index]) { level += 1 }
      if ")}>".contains(self[index]) { level -= 1 }
      if self[index] == separator, level == 0 {
        out.append(self[start..<index])
        start = self.index(after: index)
      }
    }
    if start < endIndex { out.append(self[start...]) }
    return out
  }
}

extension LuaState {
  /// The members of a class or module.
  package func members(of owner: String) -> [LuaDeclaration] {
    declarations.filter { $0.owner == owner && $0.kind != .class && $0.kind != .module }
  }

  package func member(_ name: String, of owner: String) -> LuaDeclaration? {
    declarations.first { $0.owner == owner && $0.name == name && $0.kind != .class }
  }

  package func isClass(_ name: String) -> Bool {
    declarations.contains { $0.kind == .class && $0.name == name }
  }
}
