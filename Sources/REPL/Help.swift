// help(x) and apropos(word): the declarations and the record tables for people.

internal import Bytes
internal import Format
internal import LuaAPI
internal import LuaRuntime
internal import Stream
internal import Terminal

/// Answers what things are.
struct Help {
  let shell: ShellContext
  private let width: Int

  init(_ shell: ShellContext) {
    self.shell = shell
    width = max(40, min(shell.printer.width, 100))
  }

  private var state: LuaState { shell.state }

  /// `help(...)` as Lua calls it.
  func run(_ frame: LuaFrame) throws -> Int32 {
    if frame.count == 0 {
      try shell.show(overview)
    } else if frame.type(1) == .string {
      try shell.show(text(about: try frame.string(1)))
    } else {
      try shell.show(text(frame, 1))
    }
    return 0
  }

  /// `apropos(word)` as Lua calls it.
  func apropos(_ frame: LuaFrame) throws -> Int32 {
    let word = try frame.string(1).lowercased()
    var lines: [(name: String, doc: String)] = []
    func add(_ name: String, _ doc: String, _ searched: String = "") {
      if name.lowercased().contains(word) || doc.lowercased().contains(word)
        || searched.lowercased().contains(word)
      {
        lines.append((name, doc))
      }
    }
    for declaration in state.declarations {
      add(declaration.fullName, declaration.firstSentence, declaration.doc)
    }
    for layout in RecordSchemas.all {
      add(layout.name, layout.doc)
      for form in layout.forms.prefix(1) { addFields(form.fields, layout.name, add) }
    }
    for entry in HVMRecords.all {
      add("HVM_CONTEXT \(entry.name)", entry.doc)
      addFields(entry.fields, "\(entry.name)", add)
    }
    for (index, name) in HVMParams.names.sorted(by: { $0.key < $1.key }) {
      add(name, "HVM parameter \(index).")
    }
    var out = lines.isEmpty ? "nothing about \(word)\n" : ""
    let column = min(36, (lines.map(\.name.count).max() ?? 0) + 2)
    for line in lines {
      let gap = String(repeating: " ", count: max(1, column - line.name.count))
      let room = max(20, width - max(column, line.name.count + 1))
      let doc = line.doc.count > room ? line.doc.prefix(room - 3) + "..." : line.doc[...]
      out += line.name + gap + doc + "\n"
    }
    try shell.show(out)
    return 0
  }

  private func addFields(
    _ fields: [Field], _ prefix: String, _ add: (String, String, String) -> Void
  ) {
    for field in fields where !field.name.hasPrefix("_") && !field.name.isEmpty {
      if case .reserved = field.kind { continue }
      add("\(prefix).\(field.name)", field.doc.isEmpty ? field.note : field.doc, "")
      addFields(field.children, "\(prefix).\(field.name)", add)
    }
  }

  // MARK: - Texts

  var overview: String {
    var out = "A saved domain is an Image of Records. Ask help(x) of any value, or by name:\n"
    out += wrapped(
      "help \"xs.open\", help \"Record\", help \"Record.each\", help \"HVM_PARAMS\", "
        + "help \"HVM_PARAMS.param\", help \"CPU\"; apropos \"word\" searches; .help lists commands.",
      indent: 2, width: width)
    for module in state.declarations where module.kind == .module {
      out += "\nmodule \(module.name)\n"
      for member in state.members(of: module.name) { out += line(member) }
    }
    out += "\nclasses\n"
    for table in state.declarations where table.kind == .class {
      out += line(table.name, table.firstSentence)
    }
    out += "\nrecord types\n"
    out += wrapped(
      RecordSchemas.all.map(\.name).joined(separator: ", "), indent: 2, width: width)
    return out
  }

  /// About the value at `index`.
  func text(_ frame: LuaFrame, _ index: Int) -> String {
    if let declaration = frame.declaration(index) { return text(declaration) }
    if let record: LuaRecord = frame.objectIfAny(index) {
      let layout = RecordSchemas.of(record.record.type)
      return (layout.map(text) ?? "a record of an unknown type\n")
        + "\nIt is a Record (help \"Record\" lists its members):\n" + members(of: "Record")
    }
    if let header: LuaHeader = frame.objectIfAny(index) {
      return "the \(header.header.kind.title)\n" + rows(header.header.kind.fields)
        + "\n" + classText("Header")
    }
    if let node: FieldNode = frame.objectIfAny(index), let slot = try? node.place() {
      return "\(node.owner.fieldTitle).\(node.path): \(slot.field.kindName)\n"
        + sentence(slot.field.doc) + rows(slot.field.children) + "\n" + classText("Fields")
    }
    switch frame.type(index) {
    case .userdata: return classText(frame.typeName(index))
    case .function:
      return "a function\(frame.source(index).map { " of \($0)" } ?? ""), not declared here\n"
    default: return "a \(frame.type(index).name): help(x) explains objects and functions\n"
    }
  }

  /// About what an input names, as "x?" asks: its value where it has one, else the name.
  func text(of topic: String) -> String {
    if let known = known(topic) { return known }
    let frame = state.frame
    let base = frame.count
    defer { frame.pop(frame.count - base) }
    guard let expression = LuaExpression(LuaLexer.tokens(topic)) else { return text(about: topic) }
    switch LuaResolver(state: state).resolve(expression) {
    case .value: return text(frame, frame.count)
    case .function(let declaration): return text(declaration)
    case .type(let name, _): return classText(name)
    case .field(let owner, let slot):
      return "\(owner.fieldTitle).\(slot.path): \(slot.field.note)\n"
    case .unknown: return text(about: topic)
    }
  }

  /// About a name: a declaration, a record type or one of its fields.
  func text(about topic: String) -> String {
    if let known = known(topic) { return known }
    let name = topic.trimmed.replacing(":", with: ".")
    let names =
      state.declarations.map(\.fullName) + state.declarations.map(\.name) + RecordSchemas.names
      + HVMRecords.all.map(\.name)
    return "no help for '\(topic)'\(didYouMean(name, among: names)); apropos \"word\" searches\n"
  }

  /// About a name; nil where nothing has it.
  private func known(_ topic: String) -> String? {
    let name = topic.trimmed.replacing(":", with: ".")
    if let table = state.declarations.first(where: { $0.name == name && $0.kind == .class }) {
      return classText(table.name)
    }
    if let found = state.declarations.first(where: {
      $0.fullName.replacing(":", with: ".") == name
    }) {
      return text(found)
    }
    if let layout = RecordSchemas.named(name) { return text(layout) }
    if let entry = HVMRecords.all.first(where: { $0.name == name }) {
      return "HVM_CONTEXT entry \(entry.name), type \(entry.type)\n" + sentence(entry.doc)
        + rows(entry.fields)
    }
    if let index = HVMParams.index(of: name) {
      return "HVM parameter \(index): rec.param[\"\(name)\"].value of HVM_PARAMS\n"
    }
    if let field = field(name) { return field }
    let members = state.declarations.filter { $0.name == name }
    return members.isEmpty ? nil : members.map(text).joined(separator: "\n")
  }

  /// About "HVM_PARAMS.param.value".
  private func field(_ path: String) -> String? {
    var words = path.split(separator: ".").map(String.init)[...]
    guard let first = words.popFirst(), !words.isEmpty else { return nil }
    var fields: [Field]
    if let layout = RecordSchemas.named(first) {
      fields = layout.forms.last?.fields ?? []
    } else if let entry = HVMRecords.all.first(where: { $0.name == first }) {
      fields = entry.fields
    } else {
      return nil
    }
    var found: Field?
    while let word = words.popFirst() {
      guard let next = fields.first(where: { $0.name == word }) else { return nil }
      found = next
      fields = next.children
    }
    guard let found else { return nil }
    var out = "\(path): \(found.note)\n"
    if !found.names.isEmpty {
      for (value, name) in found.names.sorted(by: { $0.key < $1.key }) {
        out += "  \(found.isHex ? value.hex() : "\(value)")  \(name)\n"
      }
    }
    for bits in found.bits {
      out +=
        "  bit \(bits.low)\(bits.width > 1 ? "..\(bits.low + bits.width - 1)" : "")  "
        + "\(bits.name)\n"
    }
    return out + rows(fields)
  }

  private func text(_ layout: RecordSchema) -> String {
    var out =
      "record type \(layout.name) (\(layout.type.layer.rawValue) \(layout.type.wireValue.hex()))\n"
    out += sentence(layout.doc)
    out += "  body: \(layout.length.description)"
    switch layout.guests {
    case .any: out += "\n"
    case .pv: out += "; of PV guests\n"
    case .hvm: out += "; of HVM guests\n"
    }
    return out + rows(layout.forms.last?.fields ?? [])
  }

  private func rows(_ fields: [Field]) -> String {
    var out = ""
    for field in fields where !field.name.isEmpty {
      if case .reserved = field.kind { continue }
      out += line(field.name, field.note)
    }
    return out
  }

  private func text(_ declaration: LuaDeclaration) -> String {
    if declaration.kind == .class { return classText(declaration.name) }
    var out = declaration.call + "\n" + sentence(declaration.doc)
    if declaration.kind == .module { out += members(of: declaration.name) }
    if declaration.kind == .property, !declaration.isReadOnly {
      out += "  It can be assigned to.\n"
    }
    if !declaration.unit.isEmpty { out += "  unit: \(declaration.unit)\n" }
    if !declaration.example.isEmpty { out += "  example: \(declaration.example)\n" }
    if declaration.kind != .module { out += "  since: \(declaration.since)\n" }
    return out
  }

  private func classText(_ name: String) -> String {
    guard let table = state.declarations.first(where: { $0.kind == .class && $0.name == name })
    else { return "an object of class \(name)\n" }
    return "class \(name)\n" + sentence(table.doc) + members(of: name)
  }

  private func members(of owner: String) -> String {
    state.members(of: owner).map(line).joined()
  }

  private func line(_ declaration: LuaDeclaration) -> String {
    let name =
      declaration.kind == .property
      ? "\(declaration.name): \(declaration.type)" : declaration.name + declaration.type
    return line(name, declaration.firstSentence)
  }

  private func line(_ name: String, _ doc: String) -> String {
    if doc.isEmpty { return "  \(name)\n" }
    if name.count > 26 {
      return wrapped(name, indent: 2, width: width) + wrapped(doc, indent: 30, width: width)
    }
    let text = wrapped(doc, indent: 30, width: width)
    return "  " + name + String(repeating: " ", count: 28 - name.count) + text.dropFirst(30)
  }

  private func sentence(_ text: String) -> String {
    text.isEmpty ? "" : wrapped(text, indent: 2, width: width)
  }
}

extension LuaDeclaration {
  /// The first sentence of the documentation.
  var firstSentence: String {
    guard let end = doc.firstRange(of: ". ") else { return doc }
    return String(doc[..<end.lowerBound]) + "."
  }
}
