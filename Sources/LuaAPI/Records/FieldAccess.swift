// Fields of headers and records as Lua reads and writes them.

internal import Bytes
package import Format
package import LuaRuntime

/// Something with a body and rows over it: a header or a record.
package protocol FieldOwner: LuaViewOwner {
  var fieldBytes: [UInt8] { get }
  var fieldLayout: BodySchema { get }
  /// What messages call it: "domain_header", "HVM_PARAMS".
  var fieldTitle: String { get }
  /// Changes whenever places in the body may have moved.
  var fieldShape: Int { get }
  /// Throws where the owner is no longer valid.
  func checkValid() throws
  /// Takes the changed body. `keepsShape`: all places are where they were.
  func setFieldBytes(_ bytes: [UInt8], keepsShape: Bool) throws
}

extension FieldOwner {
  package func viewedBytes() throws -> [UInt8] {
    try checkValid()
    return fieldBytes
  }

  package func setViewedBytes(_ bytes: [UInt8]) throws { try setFieldBytes(bytes) }

  func setFieldBytes(_ bytes: [UInt8]) throws {
    try setFieldBytes(bytes, keepsShape: false)
  }

  /// The place of `path`; unknown names are a mistake of the script.
  package func slot(_ path: String) throws -> FieldLocation {
    try checkValid()
    do { return try fieldLayout.slot(path, in: fieldBytes) } catch { throw mistake(error) }
  }

  /// The place of `path` inside another one.
  package func slot(_ path: String, inside outer: FieldLocation) throws -> FieldLocation {
    try checkValid()
    do { return try fieldLayout.slot(path, inside: outer, in: fieldBytes) } catch {
      throw mistake(error)
    }
  }

  private func mistake(_ error: FormatError) -> LuaError {
    switch error.kind {
    case .unknownName: LuaError("\(fieldTitle): \(error.problem)")
    case .absent: LuaError("\(fieldTitle) \(error.problem)")
    default: LuaError("\(error)")
    }
  }

  /// Whether a place that was found before can still be one: bodies may have become shorter.
  package func holds(_ slot: FieldLocation) -> Bool {
    slot.offset + slot.byteCount <= fieldBytes.count
  }

  /// Pushes the value of a single field, or a node that stands for several; nil for a place that is
  /// gone.
  package func push(_ slot: FieldLocation, _ frame: LuaFrame) {
    guard slot.isLeaf else {
      frame.push(object: FieldNode(self, slot))
      return
    }
    guard holds(slot) else { return frame.pushNil() }
    switch slot.value(in: fieldBytes) {
    case .unsigned(let value):
      if slot.field.isEnumeration, let name = slot.field.names[value] {
        frame.push(name)
      } else {
        frame.push(value)
      }
    case .signed(let value): frame.push(value)
    case .text(let text): frame.push(text)
    case .bytes(let bytes): frame.push(bytes)
    case .list, .group: frame.pushNil()
    }
  }

  /// Sets the field at `path` to the Lua value at `index`.
  func assign(_ path: String, _ frame: LuaFrame, _ index: Int) throws {
    try assign(try slot(path), frame, index)
  }

  func assign(_ slot: FieldLocation, _ frame: LuaFrame, _ index: Int) throws {
    let value = try fieldValue(frame, index, for: slot.field, path: slot.path)
    var bytes = fieldBytes
    try slot.set(value, in: &bytes)
    try setFieldBytes(bytes, keepsShape: fieldLayout.keepsShape(slot))
  }
}

extension BodySchema {
  /// Whether all places of a body stay where they are when this one gets another value: an integer
  /// that counts nothing.
  fileprivate func keepsShape(_ slot: FieldLocation) -> Bool {
    switch slot.field.kind {
    case .unsigned, .signed: break
    default: return false
    }
    // Where QEMU's sections and xenstore's pairs lie is found by looking at bytes.
    let isFound = fields.contains { field in
      switch field.kind {
      case .qemu, .keyValues, .uefiVariables: true
      default: false
      }
    }
    return !isFound && !BodySchema.counters.contains(slot.field.name)
  }

  /// The names of all fields that count the elements of an array beside them.
  private static let counters: Set<String> = {
    var names: Set<String> = []
    func add(_ field: Field) {
      switch field.kind {
      case .array(let element, let count):
        if case .field(let name) = count { names.insert(name) }
        add(element)
      case .group(let fields): fields.forEach(add)
      default: break
      }
    }
    for layout in RecordSchemas.all { for form in layout.forms { form.fields.forEach(add) } }
    for entry in HVMRecords.all {
      entry.fields.forEach(add)
      for form in entry.forms.values { form.forEach(add) }
    }
    for kind in HeaderKind.allCases { kind.fields.forEach(add) }
    return names
  }()
}

/// A Lua value as a field takes it. Floats are refused unless they are whole numbers.
func fieldValue(
  _ frame: LuaFrame, _ index: Int, for field: Field, path: String
) throws -> FieldValue {
  guard let value = try frame.value(index) else {
    throw LuaError("\(path): expected \(field.kindName), got \(frame.typeName(index))")
  }
  return try fieldValue(value, path: path)
}

/// A plain Lua value as a field value.
func fieldValue(_ value: LuaValue, path: String) throws -> FieldValue {
  switch value {
  case .integer(let integer): return .signed(integer)
  case .number(let real):
    guard let exact = Int64(exactly: real) else {
      throw LuaError("\(path): expected an integer, got \(real)")
    }
    return .signed(exact)
  case .boolean(let flag): return .signed(flag ? 1 : 0)
  case .string(let bytes):
    // Text where it is UTF-8, bytes where it is not: the field's kind decides what it means.
    if let text = String(validating: bytes, as: UTF8.self) { return .text(text) }
    return .bytes(bytes)
  case .list(let values):
    var list: [FieldValue] = []
    for (index, value) in values.enumerated() {
      list.append(try fieldValue(value, path: "\(path)[\(index)]"))
    }
    return .list(list)
  case .table(let fields):
    var group: [(name: String, value: FieldValue)] = []
    for field in fields {
      group.append((field.name, try fieldValue(field.value, path: "\(path).\(field.name)")))
    }
    return .group(group)
  case .none: throw LuaError("\(path): expected a value, got nil")
  }
}

/// Several fields of a body: a group, an array, an entry of a chain. It finds its place anew where
/// places may have moved since it was used, so that it stays right when the body changes.
package final class FieldNode {
  package let owner: any FieldOwner
  package let path: String
  private let field: Field
  private var known: FieldLocation
  private var shape: Int

  package init(_ owner: any FieldOwner, _ slot: FieldLocation) {
    self.owner = owner
    path = slot.path
    field = slot.field
    known = slot
    shape = owner.fieldShape
  }

  /// The place of the node in the body as it is now.
  package func place() throws -> FieldLocation {
    if shape == owner.fieldShape, owner.holds(known) {
      try owner.checkValid()
      return known
    }
    known = try owner.slot(path)
    shape = owner.fieldShape
    return known
  }

  /// How many elements or fields there are.
  package func count() throws -> Int {
    let place = try place()
    if let count = owner.fieldLayout.elementCount(of: place) { return count }
    return try children().count
  }

  package func children() throws -> [FieldLocation] {
    owner.fieldLayout.children(of: try place(), in: owner.fieldBytes)
  }

  /// What `each` of a record gives: the children; of QEMU's state only the sections, of varstored's
  /// only the variables.
  func elements() throws -> [FieldLocation] {
    switch field.kind {
    case .qemu, .uefiVariables: return try children().filter { !$0.isLeaf }
    default: return try children()
    }
  }

  package var isArray: Bool { if case .array = field.kind { true } else { false } }
  package var isKeyed: Bool { field.key != nil }

  /// The place of a member by name, or of an element by number (from 1) or key.
  package func member(_ frame: LuaFrame, _ index: Int) throws -> FieldLocation? {
    if frame.type(index) == .number {
      let position = try frame.integer(index)
      if isArray {
        return owner.fieldLayout.element(Int(clamping: position) &- 1, of: try place())
      }
      let all = try children()
      guard position >= 1, position <= all.count else { return nil }
      return all[Int(position) - 1]
    }
    let name = try frame.string(index)
    if isArray || isKeyValues { return try owner.slot("[\"\(name)\"]", inside: try place()) }
    if let found = try children().first(where: { $0.field.name == name }) { return found }
    if let register = FieldNode.registers[name],
      let found = try children().first(where: { $0.field.name == register })
    {
      return found
    }
    let names = try children().map(\.field.name)
    throw LuaError(
      "no field '\(name)' in \(owner.fieldTitle).\(path)" + didYouMean(name, among: names))
  }

  /// The registers of a CPUID leaf by the names that everybody else uses.
  private static let registers = ["eax": "a", "ebx": "b", "ecx": "c", "edx": "d"]

  private var isKeyValues: Bool { if case .keyValues = field.kind { true } else { false } }

  /// The name that the value of the key field has: `p.name` of HVM_PARAMS.
  package func keyName() throws -> String? {
    for child in try children() where !child.field.names.isEmpty {
      if case .unsigned(let value) = child.value(in: owner.fieldBytes) {
        return child.field.names[value]
      }
    }
    return nil
  }

  /// The instance number of a chain entry: CPU[1] is vCPU 1's.
  package var instance: Int? {
    guard let open = path.lastIndex(of: "["), path.hasSuffix("]") else { return nil }
    return Int(path[path.index(after: open)...].dropLast())
  }

  package static var table: LuaClass<FieldNode> {
    var table = LuaClass<FieldNode>(
      "Fields",
      "Fields that belong together: a group, an array (elements from 1, or by the name of their "
        + "key), an entry of HVM_CONTEXT, or a section of QEMU's state (by its device; is_certain says "
        + "whether where it ends is known or a guess). Assigning writes to the record.",
      [
        .method(
          "each", "(): fun(): any", "Iterates over the elements or fields, in their order.",
          example: "for p in rec.param:each() do print(p.name, p.value) end"
        ) { node, frame in
          let slots = try node.children()
          var next = 0
          frame.push(function: "each") { frame in
            guard next < slots.count else {
              frame.pushNil()
              return 1
            }
            node.owner.push(slots[next], frame)
            next += 1
            return 1
          }
          return 1
        },
        .method(
          "bytes", "(): string", "The bytes of all the fields together."
        ) { node, frame in
          let slot = try node.place()
          frame.push([UInt8](node.owner.fieldBytes[slot.offset..<slot.offset + slot.byteCount]))
          return 1
        },
        .method(
          "names", "(): string[]", "The names of the fields, in their order."
        ) { node, frame in
          frame.push(LuaValue.list(try node.children().map { .text($0.field.name) }))
          return 1
        },
      ])
    table.index = { node, frame in
      if frame.type(2) == .string, let name = frame.stringIfAny(2), !node.isArray {
        let slots = try node.children()
        if let slot = slots.first(where: { $0.field.name == name }) {
          node.owner.push(slot, frame)
          return 1
        }
        switch name {
        case "name":
          if let name = try node.keyName() { frame.push(name) } else { frame.pushNil() }
          return 1
        case "instance":
          if let instance = node.instance { frame.push(instance) } else { frame.pushNil() }
          return 1
        case "path":
          frame.push(node.path)
          return 1
        case "is_certain":
          frame.push(!node.field.isGuess)
          return 1
        default: break
        }
      }
      guard let slot = try node.member(frame, 2) else {
        frame.pushNil()
        return 1
      }
      node.owner.push(slot, frame)
      return 1
    }
    table.newIndex = { node, frame in
      guard let slot = try node.member(frame, 2) else {
        throw LuaError(
          "\(node.owner.fieldTitle).\(node.path): no element \(frame.text(2)) "
            + "(there are \(try node.count()))")
      }
      try node.owner.assign(slot, frame, 3)
      return 0
    }
    table.length = { node, frame in
      frame.push(try node.count())
      return 1
    }
    table.toString = { "\($0.owner.fieldTitle).\($0.path)" }
    table.equal = { $0.owner === $1.owner && $0.path == $1.path }
    return table
  }
}
