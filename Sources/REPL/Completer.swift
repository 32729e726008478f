// What Tab offers.

internal import Format
internal import LuaAPI
internal import LuaRuntime
internal import PolicyEngine
internal import SystemIO
internal import Terminal

/// Completes Lua text from the state's tables, the declarations and the record tables.
struct Completer {
  let state: LuaState
  /// Whether "IMG" completes to "img" as well.
  var ignoresCase = false

  /// Functions whose string argument is a file name.
  private static let fileFunctions: Set<String> = [
    "open", "verify", "rewrite", "glob", "dofile", "loadfile", "lines", "save", "compare",
  ]

  /// Names of a kernel that are offered at most.
  private static let symbolLimit = 512

  func completions(_ text: String, _ cursor: Int) -> Completions {
    let before = String(decoding: Array(text.utf8)[..<cursor], as: UTF8.self)
    if let command = dotCommand(before, cursor) { return command }
    var tokens = LuaLexer.tokens(before)
    if let last = tokens.last, case .string(isClosed: false, let start) = last.kind {
      tokens.removeLast()
      return inString(tokens, last.text, start..<cursor)
    }
    if tokens.last?.kind == .comment { return Completions(replacing: cursor..<cursor, []) }
    if let indices = indices(tokens, cursor) { return indices }
    var word = ""
    if let last = tokens.last, last.range.upperBound == cursor,
      last.kind == .name || last.kind == .keyword
    {
      word = last.text
      tokens.removeLast()
    }
    let range = (cursor - word.utf8.count)..<cursor
    if let last = tokens.last, last.isSymbol(".") || last.isSymbol(":") {
      tokens.removeLast()
      guard let expression = LuaExpression(endOf: tokens) else {
        return Completions(replacing: range, [])
      }
      return filtered(
        members(of: expression, isCall: last.isSymbol(":"), after: tokens, word), word, range)
    }
    return filtered(options(of: tokens) + words(in: before, beside: word), word, range)
  }

  func filtered(
    _ all: [Completion], _ word: String, _ range: Range<Int>
  ) -> Completions {
    var seen: Set<String> = []
    let found = all.filter {
      begins($0.replacement, with: word) && seen.insert($0.replacement).inserted
    }
    return Completions(replacing: range, found)
  }

  private func begins(_ name: String, with word: some StringProtocol) -> Bool {
    ignoresCase ? name.lowercased().hasPrefix(word.lowercased()) : name.hasPrefix(word)
  }

  // MARK: - Words

  private func dotCommand(_ before: String, _ cursor: Int) -> Completions? {
    guard before.hasPrefix("."), !before.hasPrefix("..") else { return nil }
    if let blank = before.utf8.firstIndex(of: 0x20) {
      let start = before.utf8.distance(from: before.startIndex, to: blank) + 1
      let path = String(before.utf8.dropFirst(start)) ?? ""
      return Completions(replacing: start..<cursor, files(path))
    }
    return filtered(
      DotCommand.allCases.map { Completion(".\($0.rawValue)", note: $0.note) }, before, 0..<cursor)
  }

  private func words(in text: String, beside word: String) -> [Completion] {
    let frame = state.frame
    frame.pushGlobals()
    defer { frame.pop() }
    var out = entries(of: -1, onlyFunctions: false)
    out += LuaLexer.keywords.sorted().map { Completion($0, note: "") }
    // Names of the block itself: its locals and parameters.
    out += LuaLexer.tokens(text).dropLast().filter { $0.kind == .name }.map { Completion($0.text) }
    return word.isEmpty ? out.filter { !LuaLexer.keywords.contains($0.replacement) } : out
  }

  /// The entries of the table at `index` that can stand after a ".".
  private func entries(of index: Int, onlyFunctions: Bool) -> [Completion] {
    let frame = state.frame
    var out: [Completion] = []
    frame.forEachEntry(index) { key in
      guard case .name(let bytes) = key else { return true }
      let name = String(decoding: bytes, as: UTF8.self)
      guard LuaLexer.isIdentifier(name), !onlyFunctions || frame.type(-1) == .function else {
        return true
      }
      let note = frame.declaration(-1).map { $0.kind == .module ? $0.doc : $0.note } ?? ""
      out.append(
        Completion(
          name, note: note.isEmpty && frame.type(-1) != .function ? frame.typeName(-1) : note))
      return true
    }
    return out.sorted { $0.replacement < $1.replacement }
  }

  // MARK: - Members

  private func members(
    of expression: LuaExpression, isCall: Bool, after context: [LuaToken], _ word: String
  ) -> [Completion] {
    let frame = state.frame
    switch LuaResolver(state: state, context: context).resolve(expression) {
    case .value:
      defer { frame.pop() }
      switch frame.type(-1) {
      case .table: return entries(of: -1, onlyFunctions: isCall)
      case .string:
        frame.pushGlobal("string")
        defer { frame.pop() }
        return entries(of: -1, onlyFunctions: true)
      case .userdata:
        let declared = declared(frame.typeName(-1), isCall)
        return isCall ? declared : dynamicNames(word) + declared
      default: return []
      }
    case .type(let name, let fields):
      let declared = declared(name, isCall)
      if name == "HVMParams", !isCall { return paramNames([]) }
      return isCall ? declared : fields.map(completion) + declared
    case .field(let owner, let slot):
      return owner.fieldLayout.parts(of: slot).compactMap { $0.bits?.name }.map { Completion($0) }
    case .function, .unknown: return []
    }
  }

  private func declared(_ name: String, _ isCall: Bool) -> [Completion] {
    let members = state.members(of: name).filter { $0.kind != .metamethod }
    let properties = members.filter { $0.kind == .property }
    let methods = members.filter { $0.kind == .method }
    return ((isCall ? [] : properties) + methods).map { Completion($0.name, note: $0.note) }
  }

  private func completion(_ field: Field) -> Completion {
    Completion(field.name, note: field.note)
  }

  /// The names that the object on the top has of its own: fields, members of the configuration or a tree.
  private func dynamicNames(_ word: String) -> [Completion] {
    let frame = state.frame
    if let value: LuaTypedValue = frame.objectIfAny(-1) {
      return value.memberTypes.map { Completion($0.name, note: $0.type) }
    }
    if let symbols: LuaSymbols = frame.objectIfAny(-1) {
      // A kernel has some hundred thousand.
      guard !word.isEmpty else { return [] }
      return symbols.linux.variables(word, limit: Completer.symbolLimit)
        .filter(LuaLexer.isIdentifier).map { Completion($0) }
    }
    var fields: [FieldLocation] = []
    if let record: LuaRecord = frame.objectIfAny(-1) {
      fields = record.fieldLayout.slots(in: record.fieldBytes)
    } else if let header: LuaHeader = frame.objectIfAny(-1) {
      fields = header.fieldLayout.slots(in: header.fieldBytes)
    } else if let node: FieldNode = frame.objectIfAny(-1) {
      fields = node.isArray ? [] : (try? node.children()) ?? []
    } else if let config: LuaConfig = frame.objectIfAny(-1) {
      let names = (try? config.members().names) ?? []
      return names.filter(LuaLexer.isIdentifier).map { Completion($0) }
    } else if let tree: LuaTree = frame.objectIfAny(-1) {
      return tree.names().filter(LuaLexer.isIdentifier).map { Completion($0) }
    } else if let vcpu: LuaVCPU = frame.objectIfAny(-1) {
      fields = vcpu.slots()
    } else if let params: LuaParams = frame.objectIfAny(-1) {
      return paramNames(params.names)
    }
    return fields.map(\.field).filter { LuaLexer.isIdentifier($0.name) }.map(completion)
  }

  // MARK: - Strings

  private func inString(
    _ tokens: [LuaToken], _ content: String, _ range: Range<Int>
  ) -> Completions {
    var before = tokens
    if let last = before.last, last.isSymbol("[") {
      before.removeLast()
      guard let expression = LuaExpression(endOf: before) else {
        return Completions(replacing: range, [])
      }
      return filtered(keys(of: expression), content, range)
    }
    if before.last?.isSymbol("(") == true { before.removeLast() }
    let function = before.last?.kind == .name ? before.last?.text ?? "" : ""
    if Self.fileFunctions.contains(function) {
      return Completions(replacing: range, files(content))
    }
    if function == "require" {
      return filtered(ModulePaths.modules.map { Completion($0) }, content, range)
    }
    if let names = names(for: function, tokens) { return filtered(names, content, range) }
    var names = recordNames
    if function == "help" || function == "apropos" {
      names += state.declarations.map { Completion($0.fullName, note: $0.note) }
    }
    return filtered(names, content, range)
  }

  private var recordNames: [Completion] {
    RecordSchemas.all.map { Completion($0.name, note: $0.doc) }
      + HVMRecords.all.map { Completion($0.name, note: $0.doc) }
  }

  /// The keys that are text of a table, an array by key, the configuration or a tree.
  private func keys(of expression: LuaExpression) -> [Completion] {
    guard case .value = LuaResolver(state: state).resolve(expression) else { return [] }
    let frame = state.frame
    defer { frame.pop() }
    if let node: FieldNode = frame.objectIfAny(-1), node.isKeyed {
      let all = (try? node.children()) ?? []
      return all.compactMap { slot in
        let path = "\(slot.path)"
        let element = state.frame.count
        frame.push(object: FieldNode(node.owner, slot))
        defer { frame.pop(frame.count - element) }
        guard let child: FieldNode = frame.objectIfAny(-1), let name = try? child.keyName() else {
          return nil
        }
        return Completion(name, note: path)
      }
    }
    if let config: LuaConfig = frame.objectIfAny(-1) {
      return ((try? config.members().names) ?? []).map { Completion($0) }
    }
    if let tree: LuaTree = frame.objectIfAny(-1) { return tree.names().map { Completion($0) } }
    var out: [Completion] = []
    frame.forEachEntry(-1) { key in
      if case .name(let name) = key {
        out.append(Completion(String(decoding: name, as: UTF8.self)))
      }
      return true
    }
    return out.sorted { $0.replacement < $1.replacement }
  }

  /// Files and folders whose path begins with `path`.
  private func files(_ path: String) -> [Completion] {
    let slash = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    let folder = String(path[..<slash])
    let word = path[slash...]
    let names = FileSystem.names(in: folder) ?? []
    return names.filter { begins($0, with: word) && (!$0.hasPrefix(".") || word.hasPrefix(".")) }
      .map {
        let isFolder = FileSystem.isFolder(folder + $0)
        return Completion(folder + $0 + (isFolder ? "/" : ""), display: $0 + (isFolder ? "/" : ""))
      }
  }
}

extension LuaDeclaration {
  /// One line for the menu: the call and its first sentence.
  package var note: String {
    let sentence = doc.prefix { $0 != "." }
    switch kind {
    case .method, .function: return "\(name)\(type)  \(sentence)"
    case .property: return "\(type)  \(sentence)"
    default: return String(sentence)
    }
  }
}

extension Field {
  /// One line about the field: its kind, unit and sentence.
  package var note: String {
    kindName + (unit.isEmpty ? "" : " (\(unit))") + (doc.isEmpty ? "" : "  \(doc)")
  }
}
