// What an expression that is being typed stands for, found without running any of it.

package import Format
internal import ImageCheck
internal import ImageEdit
internal import JSON
internal import LuaAPI
internal import LuaRuntime

/// One step of a postfix expression: `.name`, `["key"]`, `[1]`, `(...)`.
enum LuaStep: Equatable {
  case name(String)
  case index(Int64)
  /// A call; its arguments' tokens, without the parentheses.
  case call([LuaToken])
}

/// A name (or string) and steps after it: `img.config["c_info"]`.
struct LuaExpression {
  let root: LuaToken
  let steps: [LuaStep]

  /// The whole of `tokens` as such an expression; nil if it is anything else.
  init?(_ tokens: some Collection<LuaToken>) {
    var rest = Array(tokens)[...]
    guard var root = rest.popFirst() else { return nil }
    var steps: [LuaStep] = []
    if root.isSymbol("(") {
      guard let inside = LuaExpression.balanced(&rest, "(", ")"),
        let expression = LuaExpression(inside)
      else { return nil }
      (root, steps) = (expression.root, expression.steps)
    }
    guard root.kind == .name || root.isString else { return nil }
    while let token = rest.popFirst() {
      if token.isSymbol(".") || token.isSymbol(":") {
        guard let name = rest.popFirst(), name.kind == .name else { return nil }
        steps.append(.name(name.text))
      } else if token.isString {
        steps.append(.call([token]))
      } else if let close = ["[": "]", "(": ")", "{": "}"][token.text], token.kind == .symbol {
        guard let inside = LuaExpression.balanced(&rest, token.text, close) else { return nil }
        if token.text != "[" {
          steps.append(.call(inside))
        } else if inside.count == 1, inside[0].isString {
          steps.append(.name(inside[0].text))
        } else if inside.count == 1, let index = Int64(inside[0].text) {
          steps.append(.index(index))
        } else {
          return nil
        }
      } else {
        return nil
      }
    }
    self.root = root
    self.steps = steps
  }

  /// The longest such expression that `tokens` end with.
  init?(endOf tokens: [LuaToken]) {
    var start = tokens.count
    var found: LuaExpression?
    var level = 0
    while start > 0 {
      start -= 1
      let token = tokens[start]
      if token.kind == .symbol {
        if [")", "]", "}"].contains(token.text) { level += 1 }
        if ["(", "[", "{"].contains(token.text) { level -= 1 }
        if level < 0 { break }
        if level == 0, ![".", ":", "(", "[", "{"].contains(token.text) { break }
      }
      if level == 0, token.kind == .keyword || token.kind == .comment || token.kind == .number {
        break
      }
      if level == 0, let expression = LuaExpression(tokens[start...]) { found = expression }
    }
    guard let found else { return nil }
    self = found
  }

  private static func balanced(
    _ rest: inout ArraySlice<LuaToken>, _ open: String, _ close: String
  ) -> [LuaToken]? {
    var level = 1
    var inside: [LuaToken] = []
    while let token = rest.popFirst() {
      if token.isSymbol(open) { level += 1 }
      if token.isSymbol(close) {
        level -= 1
        if level == 0 { return inside }
      }
      inside.append(token)
    }
    return nil
  }
}

/// What an expression stands for, as far as it can be told.
enum LuaMeaning {
  /// A value, on the top of the frame.
  case value
  /// Some value of a declared class; of a record perhaps with these fields.
  case type(String, [Field])
  /// A function or method with this declaration.
  case function(LuaDeclaration)
  /// A single field of a header or record.
  case field(any FieldOwner, FieldLocation)
  case unknown
}

/// Finds what expressions stand for. It reads tables without metamethods, and of objects only what
/// is in memory or can be read again.
struct LuaResolver {
  let state: LuaState
  /// What stands before, where names that are no globals may have got their values.
  var context: [LuaToken] = []

  /// The meaning of `expression`; pushes a value only with `.value`.
  func resolve(_ expression: LuaExpression) -> LuaMeaning {
    let frame = state.frame
    let base = frame.count
    var meaning: LuaMeaning
    if expression.root.isString {
      frame.push(expression.root.text)
    } else {
      frame.pushGlobals()
      frame.pushRaw(-1, .text(expression.root.text))
    }
    meaning = .value
    if !expression.root.isString, frame.isMissing(-1), let local = local(expression.root.text) {
      meaning = local
    }
    for step in expression.steps {
      meaning = take(step, of: meaning)
      if case .unknown = meaning { break }
    }
    guard case .value = meaning, !frame.isMissing(-1) else {
      frame.pop(frame.count - base)
      if case .value = meaning { return .unknown }
      return meaning
    }
    // Only the value stays.
    let reference = frame.reference(-1)
    frame.pop(frame.count - base)
    frame.push(reference)
    return .value
  }

  /// What a name was last given before: `local s = "text"`.
  private func local(_ name: String) -> LuaMeaning? {
    let place = context.indices.last { index in
      context[index].kind == .name && context[index].text == name && index + 2 < context.count
        && context[index + 1].isSymbol("=")
    }
    guard let place else { return nil }
    let start = place + 2
    for end in stride(from: min(context.count, start + 32), to: start, by: -1) {
      guard let expression = LuaExpression(context[start..<end]) else { continue }
      var inner = self
      inner.context = Array(context[..<place])
      return inner.resolve(expression)
    }
    return nil
  }

  private func take(_ step: LuaStep, of meaning: LuaMeaning) -> LuaMeaning {
    switch meaning {
    case .value: return takeFromTop(step)
    case .type(let name, let fields):
      switch step {
      case .name(let member):
        guard let declaration = state.member(member, of: name) else {
          guard let field = fields.first(where: { $0.name == member }) else { return .unknown }
          return .type("Fields", field.children)
        }
        return declaration.kind == .method ? .function(declaration) : typed(declaration)
      case .index:
        switch name {
        case "Image": return .type("Record", [])
        case "VCPUs": return .type("VCPU", HVMRecords.all.first { $0.name == "CPU" }?.fields ?? [])
        default: return .type(name, fields)
        }
      case .call: return .unknown
      }
    case .function(let declaration):
      guard case .call(let arguments) = step else { return .unknown }
      return result(of: declaration, arguments)
    case .field, .unknown: return .unknown
    }
  }

  /// A property's type, if it is a class.
  private func typed(_ declaration: LuaDeclaration) -> LuaMeaning {
    let type = declaration.resultType
    return state.isClass(type) ? .type(type, []) : .unknown
  }

  private func result(of declaration: LuaDeclaration, _ arguments: [LuaToken]) -> LuaMeaning {
    guard case .type(let type, _) = typed(declaration) else { return .unknown }
    if type == "Record", let first = arguments.first, first.isString,
      let layout = RecordSchemas.named(first.text)
    {
      return .type(type, layout.forms.last?.fields ?? [])
    }
    return .type(type, [])
  }

  // MARK: - Values

  private func takeFromTop(_ step: LuaStep) -> LuaMeaning {
    let frame = state.frame
    switch (frame.type(-1), step) {
    case (.table, .name(let name)):
      frame.pushRaw(-1, .text(name))
      return .value
    case (.table, .index(let index)):
      frame.pushRaw(-1, .integer(index))
      return .value
    case (.string, .name(let name)):
      frame.pushGlobal("string")
      guard frame.type(-1) == .table else { return .unknown }
      frame.pushRaw(-1, .text(name))
      return .value
    case (.function, .call(let arguments)):
      if let declaration = frame.declaration(-1) { return result(of: declaration, arguments) }
      return isAssert ? LuaExpression(arguments).map(resolve) ?? .unknown : .unknown
    case (.userdata, .name(let name)): return member(name, nil)
    case (.userdata, .index(let index)): return member(nil, index)
    default: return .unknown
    }
  }

  /// Whether the function on the top is `assert`, which gives what it was given.
  private var isAssert: Bool {
    let frame = state.frame
    let identity = frame.identity(-1)
    frame.pushGlobal("assert")
    defer { frame.pop() }
    return frame.identity(-1) == identity
  }

  /// A member of the object on the top, by name or number.
  private func member(_ name: String?, _ index: Int64?) -> LuaMeaning {
    let frame = state.frame
    if let name, let declaration = state.member(name, of: frame.typeName(-1)) {
      if declaration.kind == .method { return .function(declaration) }
      if let found = property(name) { return found }
      return typed(declaration)
    }
    if let value: LuaTypedValue = frame.objectIfAny(-1) {
      return pushed(name.map { value.member($0) } ?? value.element) ?? .unknown
    }
    if let symbols: LuaSymbols = frame.objectIfAny(-1), let name {
      return pushed(symbols.linux.variable(name)) ?? .unknown
    }
    if let record: LuaRecord = frame.objectIfAny(-1) { return field(record, name) }
    if let header: LuaHeader = frame.objectIfAny(-1) { return field(header, name) }
    if let node: FieldNode = frame.objectIfAny(-1) {
      guard let children = try? node.children() else { return .unknown }
      var slot = children.first { $0.field.name == name && name != nil }
      if let index, index >= 1, index <= children.count { slot = children[Int(index) - 1] }
      if slot == nil, let name { slot = try? node.owner.slot("\(node.path)[\"\(name)\"]") }
      return slot.map { meaning(of: $0, node.owner) } ?? .unknown
    }
    if let config: LuaConfig = frame.objectIfAny(-1) {
      let key = name.map { JSONKey.name($0) } ?? .index(Int(clamping: (index ?? 1) - 1))
      guard let child = try? config.child(key) else { return .unknown }
      frame.push(object: child)
      return .value
    }
    if let tree: LuaTree = frame.objectIfAny(-1) {
      let place = index.map { Int(clamping: $0) }
      guard let child = try? tree.child(name, place) else { return .unknown }
      frame.push(object: child)
      return .value
    }
    if let index, let vcpus: LuaVCPUs = frame.objectIfAny(-1) {
      return pushed(try? vcpus.vcpu(Int(clamping: index))) ?? .unknown
    }
    if let name, let vcpu: LuaVCPU = frame.objectIfAny(-1) {
      return vcpu.place(name).map { meaning(of: $0.slot, $0.owner) } ?? .unknown
    }
    if let name, let params: LuaParams = frame.objectIfAny(-1) {
      return params.place(name).map { meaning(of: $0.slot, $0.owner) } ?? .unknown
    }
    if let index, let image: LuaImage = frame.objectIfAny(-1) {
      guard image.isQuicklyIndexed, let count = try? image.index().entries.count, index >= 1,
        index <= count, let record = try? image.record(Int(index))
      else { return .type("Record", []) }
      frame.push(object: record)
      return .value
    }
    return .unknown
  }

  /// Properties that give objects, where getting them reads nothing.
  private func property(_ name: String) -> LuaMeaning? {
    let frame = state.frame
    if let image: LuaImage = frame.objectIfAny(-1), image.isQuicklyIndexed {
      if let kind = HeaderKind(rawValue: name.replacing("_header", with: "")),
        let header = try? image.header(kind)
      {
        frame.push(object: header)
        return .value
      }
      if name == "config", let header = try? image.header(.xl) { return config(of: header) }
      if name == "xml", let header = try? image.header(.libvirt) { return pushed(header.tree()) }
      if name == "vcpu" { return pushed(LuaVCPUs(image)) }
      if name == "hvm_params", let record = try? image.first(.hvmParams) {
        return pushed(LuaParams(record))
      }
      if name == "cpuid", let record = try? image.first(.x86CPUIDPolicy) {
        return pushed(LuaCPUID(record))
      }
    }
    if name == "linux", let image: LuaImage = frame.objectIfAny(-1) {
      return pushed(image.cachedLinux)
    }
    if name == "symbol", let linux: LuaLinux = frame.objectIfAny(-1) {
      return pushed(LuaSymbols(linux))
    }
    if let task: LuaTask = frame.objectIfAny(-1) {
      if name == "struct" { return pushed(try? task.structure()) }
      if name == "mm" { return pushed(try? task.addressSpace()) }
    }
    if name == "xml", let header: LuaHeader = frame.objectIfAny(-1) { return pushed(header.tree()) }
    if name == "xenops", let record: LuaRecord = frame.objectIfAny(-1) {
      return pushed(try? record.tree())
    }
    if name == "config", let header: LuaHeader = frame.objectIfAny(-1) {
      return config(of: header)
    }
    return nil
  }

  private func pushed<Object: AnyObject>(_ object: Object?) -> LuaMeaning? {
    guard let object else { return nil }
    state.frame.push(object: object)
    return .value
  }

  private func config(of header: LuaHeader) -> LuaMeaning? {
    guard (try? header.config()) != nil else { return nil }
    state.frame.push(object: LuaConfig(header, .init([])))
    return .value
  }

  private func field(_ owner: any FieldOwner, _ name: String?) -> LuaMeaning {
    guard let name, let slot = try? owner.slot(name) else { return .unknown }
    return meaning(of: slot, owner)
  }

  private func meaning(of slot: FieldLocation, _ owner: any FieldOwner) -> LuaMeaning {
    guard !slot.isLeaf else { return .field(owner, slot) }
    state.frame.push(object: FieldNode(owner, slot))
    return .value
  }
}

extension Field {
  /// The fields inside one of these: a group's, or those of an array's elements.
  package var children: [Field] {
    switch kind {
    case .group(let fields): fields
    case .array(let element, _): element.children
    default: []
    }
  }
}
