// Values of types, a kernel's or declared ones: where they lie, what is in them, and how people read them.

internal import SystemIO
internal import Bytes
internal import Pages

/// Memory whose contents have types: a kernel's own, or those that somebody has declared.
public protocol TypedMemory: AnyObject {
  var types: BTF { get throws }
  var memory: KernelMemory { get }
  /// The symbol that an address is in, where there are such.
  func location(of address: UInt64) -> LinuxGuest.Location?
}

extension LinuxGuest: TypedMemory {}

/// A type of BTF, with pointers to it that BTF need not have.
public struct TypeReference: Sendable, Equatable {
  public let id: BTF.ID
  /// "struct list_head **" is two pointers to a structure.
  public var pointers = 0

  public init(_ id: BTF.ID, pointers: Int = 0) {
    self.id = id
    self.pointers = pointers
  }
}

/// Something of a type, in memory or computed.
public struct TypedValue: Sendable, Equatable {
  public enum Place: Sendable, Equatable {
    case memory(UInt64)
    /// A bit field: the first bit from an address on, and how many.
    case bits(UInt64, shift: UInt64, count: UInt64)
    case computed(UInt64)
  }

  public let place: Place
  public let type: TypeReference

  public init(_ place: Place, _ type: TypeReference) {
    self.place = place
    self.type = type
  }

  /// Where it lies; nil for what does not lie anywhere.
  public var address: UInt64? {
    if case .memory(let address) = place { return address }
    return nil
  }
}

extension TypedValue {
  /// What a value is to programs.
  public enum Shape: Sendable, Equatable {
    case number(Int64)
    case real(Double)
    case boolean(Bool)
    /// Characters of an array, or the name of an enumerator.
    case text([UInt8])
    /// A structure, a pointer, or another array.
    case compound
  }
}

extension TypedMemory {
  private func usage(_ problem: String) -> XensaveError { XensaveError(.usage, problem) }

  /// The type as C writes it.
  public func description(of type: TypeReference) -> String {
    let text = (try? types)?.description(type.id) ?? "void"
    guard type.pointers > 0 else { return text }
    return text + (text.hasSuffix("*") ? "" : " ") + String(repeating: "*", count: type.pointers)
  }

  /// What C calls by this name: "struct task_struct *", "u64".
  public func type(_ name: String) throws -> TypeReference {
    var words = name.split(separator: " ").map(String.init)
    var pointers = 0
    while let last = words.last, last.hasSuffix("*") {
      pointers += last.reversed().prefix { $0 == "*" }.count
      let rest = String(last.prefix { $0 != "*" })
      words.removeLast()
      if !rest.isEmpty { words.append(rest) }
    }
    words.removeAll { $0 == "const" || $0 == "volatile" }
    let text = words.joined(separator: " ")
    if text == "void" { return TypeReference(0, pointers: pointers) }
    guard let id = try types.type(text) else { throw usage("there is no type \(text)") }
    return TypeReference(id, pointers: pointers)
  }

  /// Bytes of a type.
  func byteCount(of type: TypeReference) throws -> Int {
    if type.pointers > 0 { return try types.pointerByteCount }
    if type.id == 0 { return 1 }
    guard let size = try types.size(type.id) else {
      throw usage("\(description(of: type)) has no size")
    }
    return size
  }

  /// What a pointer points to; nil for other types.
  private func target(of type: TypeReference) throws -> TypeReference? {
    if type.pointers > 0 { return TypeReference(type.id, pointers: type.pointers - 1) }
    guard try types.kind(types.resolved(type.id)) == .pointer else { return nil }
    return try types.target(type.id).map { TypeReference($0) }
  }

  // MARK: - Making values of values

  /// A member of a structure, or of what a pointer to one points to.
  public func member(_ value: TypedValue, _ name: String) throws -> TypedValue {
    var value = value
    if let inner = try target(of: value.type) {
      value = TypedValue(.memory(try integer(value)), inner)
    }
    let member = try declaration(value.type, name)
    guard let base = value.address else { throw usage("the structure lies nowhere") }
    let address = base &+ member.bitOffset / 8
    let type = TypeReference(member.type)
    return member.bitCount == 0
      ? TypedValue(.memory(address), type)
      : TypedValue(
        .bits(address, shift: member.bitOffset % 8, count: min(member.bitCount, 57)), type)
  }

  private func declaration(_ type: TypeReference, _ name: String) throws -> BTF.Member {
    let types = try types
    guard type.pointers == 0, [.structure, .union].contains(types.kind(types.resolved(type.id)))
    else { throw usage("\(description(of: type)) has no members (asked for \(name))") }
    guard let member = types.member(type.id, name) else {
      throw usage("\(description(of: type)) has no member \(name)\(nearest(name, type))")
    }
    return member
  }

  /// What has members: the type itself, or what it is a pointer to.
  private func structure(_ type: TypeReference) throws -> TypeReference {
    try target(of: type) ?? type
  }

  /// The type of a member of a structure, or of what a pointer to one points to: reads no memory.
  public func memberType(of type: TypeReference, _ name: String) throws -> TypeReference {
    TypeReference(try declaration(structure(type), name).type)
  }

  /// The type of an array's elements, or of what a pointer points to; nil for other types.
  public func elementType(of type: TypeReference) -> TypeReference? {
    if let target = try? target(of: type) { return target }
    return (try? types)?.target(type.id).map { TypeReference($0) }
  }

  /// " (did you mean tgid?)", where a member's name differs in one letter.
  private func nearest(_ name: String, _ type: TypeReference) -> String {
    let near = members(of: type).map(\.name).first { candidate in
      candidate.hasPrefix(name) || name.hasPrefix(candidate) && candidate.count > 2
        || zip(candidate, name).filter { $0 != $1 }.count <= 1 && candidate.count == name.count
    }
    return near.map { " (did you mean \($0)?)" } ?? ""
  }

  /// Names and types of the members of a structure, or of what a pointer to one points to; those of
  /// anonymous ones too. Reads no memory.
  public func members(of type: TypeReference) -> [(name: String, type: TypeReference)] {
    guard let types = try? types, let type = try? structure(type), type.pointers == 0 else {
      return []
    }
    // Structures may be inside of themselves, where a guest says so.
    var left = 4096
    return members(types, type.id, 0, &left)
  }

  private func members(
    _ types: BTF, _ id: BTF.ID, _ depth: Int, _ left: inout Int
  ) -> [(name: String, type: TypeReference)] {
    guard depth < 8, left > 0 else { return [] }
    var out: [(name: String, type: TypeReference)] = []
    for member in types.members(id) {
      guard left > 0 else { return out }
      left -= 1
      out +=
        member.name.isEmpty
        ? members(types, member.type, depth + 1, &left)
        : [(member.name, TypeReference(member.type))]
    }
    return out
  }

  /// What a pointer points to.
  public func dereference(_ value: TypedValue) throws -> TypedValue {
    if let inner = try target(of: value.type) {
      return TypedValue(.memory(try integer(value)), inner)
    }
    if try types.kind(types.resolved(value.type.id)) == .array { return try element(value, 0) }
    throw usage("\(description(of: value.type)) is no pointer")
  }

  /// An element of an array, or what lies so many elements after what a pointer points to.
  public func element(_ value: TypedValue, _ index: Int64) throws -> TypedValue {
    let types = try types
    var base = value.address
    var inner: TypeReference
    if value.type.pointers == 0, types.kind(types.resolved(value.type.id)) == .array,
      let element = types.target(value.type.id)
    {
      inner = TypeReference(element)
    } else if let target = try target(of: value.type) {
      inner = target
      base = try integer(value)
    } else {
      throw usage("\(description(of: value.type)) has no elements")
    }
    guard let base else { throw usage("the array lies nowhere") }
    let size = Int64(try byteCount(of: inner))
    return TypedValue(.memory(base &+ UInt64(bitPattern: index &* size)), inner)
  }

  /// A pointer to a value.
  public func pointer(to value: TypedValue) throws -> TypedValue {
    guard let address = value.address else {
      throw usage("\(description(of: value.type)) has no address of its own")
    }
    return TypedValue(
      .computed(address), TypeReference(value.type.id, pointers: value.type.pointers + 1))
  }

  /// The structure that has a member at this address.
  public func container(
    of value: TypedValue, _ type: TypeReference, _ path: String
  ) throws -> TypedValue {
    guard let field = try types.field(type.id, path) else {
      throw usage("\(description(of: type)) has no member \(path)")
    }
    let address = try target(of: value.type) == nil ? value.address : integer(value)
    guard let address else { throw usage("the member lies nowhere") }
    return TypedValue(.memory(address &- field.offset), type)
  }

  // MARK: - Reading values

  /// The number that a value is; structures and arrays are none.
  public func integer(_ value: TypedValue) throws -> UInt64 {
    switch value.place {
    case .computed(let integer): return integer
    case .bits(let address, let shift, let count):
      var field = Field(offset: 0, byteCount: 8)
      field.bitShift = shift
      field.bitCount = count
      let isSigned = try types.isSigned(value.type.id)
      return isSigned
        ? UInt64(bitPattern: try memory.signed(address, field)) : try memory.value(address, field)
    case .memory(let address):
      let count = try byteCount(of: value.type)
      let types = try types
      var order = types.order
      var isSigned = false
      if value.type.pointers == 0 {
        let kind = types.kind(types.resolved(value.type.id))
        if value.type.id == 0 { return address }
        guard [.integer, .pointer, .enumeration, .enumeration64].contains(kind), count <= 8 else {
          throw usage("\(description(of: value.type)) is no number")
        }
        order = types.order(of: value.type.id)
        isSigned = types.isSigned(value.type.id)
      }
      return try loadInteger(address, count, order, isSigned)
    }
  }

  /// The number in `count` bytes.
  private func loadInteger(
    _ address: UInt64, _ count: Int, _ order: ByteOrder, _ isSigned: Bool
  ) throws -> UInt64 {
    var integer = try memory.value(address, Field(offset: 0, byteCount: count))
    guard count > 0, count < 8 else { return order == .big ? integer.byteSwapped : integer }
    let unused = UInt64(64 - 8 * count)
    if order == .big { integer = integer.byteSwapped >> unused }
    integer <<= unused
    return isSigned ? UInt64(bitPattern: Int64(bitPattern: integer) >> unused) : integer >> unused
  }

  /// What a value is to programs.
  public func shape(of value: TypedValue) throws -> TypedValue.Shape {
    guard value.type.pointers == 0 else { return .compound }
    let types = try types
    let id = types.resolved(value.type.id)
    switch types.kind(id) {
    case .float: return try real(value).map { .real($0) } ?? .compound
    case .integer:
      let integer = try integer(value)
      if (types.encoding(id)?.flags ?? 0) & 4 != 0 { return .boolean(integer != 0) }
      return .number(Int64(bitPattern: integer))
    case .enumeration, .enumeration64:
      let integer = Int64(bitPattern: try integer(value))
      let name = types.enumerators(id).first { $0.value == integer }?.name
      return name.map { .text(Array($0.utf8)) } ?? .number(integer)
    case .array:
      guard let element = types.target(id), isCharacter(element), let base = value.address,
        let count = types.elementCount(id)
      else { return .compound }
      return .text(try memory.string(base, limit: min(count, 4096)))
    default: return .compound
    }
  }

  /// A floating-point number of 4 or 8 bytes; nil for others.
  private func real(_ value: TypedValue) throws -> Double? {
    let count = try byteCount(of: value.type)
    guard let address = value.address, count == 4 || count == 8 else { return nil }
    let bits = try loadInteger(address, count, types.order, false)
    return count == 8
      ? Double(bitPattern: bits) : Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
  }

  /// Whether a value is a pointer.
  public func isPointer(_ value: TypedValue) throws -> Bool {
    try target(of: value.type) != nil
  }

  /// Elements of an array; nil for other types.
  public func elementCount(of value: TypedValue) -> Int? {
    value.type.pointers > 0 ? nil : (try? types)?.elementCount(value.type.id)
  }

  private func isCharacter(_ id: BTF.ID) -> Bool {
    guard let types = try? types else { return false }
    return types.size(id) == 1 && types.name(types.resolved(id)) == "char"
  }

  // MARK: - As text

  /// A value as C would initialise it: at most `depth` structures inside of one another, and at most
  /// some thousand lines.
  public func text(of value: TypedValue, depth: Int = 2) -> String {
    var lines = 2000
    return memory.question { text(value, depth, "", &lines) }
  }

  private func text(
    _ value: TypedValue, _ depth: Int, _ indent: String, _ lines: inout Int
  ) -> String {
    // Types may be inside of themselves, where a guest says so.
    guard indent.utf8.count < 64 else { return "{...}" }
    do {
      if try target(of: value.type) != nil { return pointerText(try integer(value)) }
      let types = try types
      let id = types.resolved(value.type.id)
      switch types.kind(id) {
      case .structure, .union:
        guard depth > 0, lines > 0 else { return "{...}" }
        return "{\n\(try membersText(value, id, depth, indent, &lines))\(indent)}"
      case .array: return try arrayText(value, depth, indent, &lines)
      case .enumeration, .enumeration64:
        let integer = Int64(bitPattern: try integer(value))
        return types.enumerators(id).first { $0.value == integer }?.name ?? "\(integer)"
      case .integer:
        let integer = try integer(value)
        if (types.encoding(id)?.flags ?? 0) & 4 != 0 { return integer == 0 ? "false" : "true" }
        return types.isSigned(id) ? "\(Int64(bitPattern: integer))" : "\(integer)"
      case .float: return try real(value).map { "\($0)" } ?? "(\(description(of: value.type)))"
      case .void:
        let integer = try integer(value)
        return pointerText(integer)
      default: return "(\(description(of: value.type)))"
      }
    } catch { return "<\(error)>" }
  }

  private func pointerText(_ address: UInt64) -> String {
    guard address != 0, let location = location(of: address) else { return address.hex() }
    return "\(address.hex()) <\(location.offset == 0 ? location.symbol : location.description)>"
  }

  private func membersText(
    _ value: TypedValue, _ id: BTF.ID, _ depth: Int, _ indent: String, _ lines: inout Int
  ) throws -> String {
    guard let base = value.address else { return "" }
    var out = ""
    for member in try types.members(id) {
      guard lines > 0 else { return out + "\(indent)  ...\n" }
      lines -= 1
      let address = base &+ member.bitOffset / 8
      let inner = TypedValue(
        member.bitCount == 0
          ? .memory(address)
          : .bits(address, shift: member.bitOffset % 8, count: min(member.bitCount, 57)),
        TypeReference(member.type))
      // Anonymous structures are part of the one around them.
      let isAnonymous = member.name.isEmpty
      let text = text(inner, isAnonymous ? depth : depth - 1, indent + "  ", &lines)
      out += "\(indent)  \(isAnonymous ? "" : ".\(member.name) = ")\(text),\n"
    }
    return out
  }

  private func arrayText(
    _ value: TypedValue, _ depth: Int, _ indent: String, _ lines: inout Int
  ) throws -> String {
    let types = try types
    guard let element = types.target(value.type.id), let count = types.elementCount(value.type.id),
      let base = value.address
    else { return "{}" }
    // Characters are a string.
    if isCharacter(element) {
      let bytes = try memory.string(base, limit: min(count, 4096))
      return "\"\(bytes.printable.replacing("\"", with: "\\\""))\""
    }
    var parts: [String] = []
    var index = 0
    while index < min(count, 32), lines > 0 {
      lines -= 1
      let part = text(try self.element(value, Int64(index)), depth - 1, indent + "  ", &lines)
      parts.append(part)
      index += 1
    }
    // The same at the end need not be repeated.
    var kept = parts.count
    while kept > 1, parts[kept - 1] == parts[kept - 2] { kept -= 1 }
    let isShort = kept == parts.count && count <= parts.count
    return "{ " + parts.prefix(kept).joined(separator: ", ") + (isShort ? " }" : ", ... }")
  }
}

extension LinuxGuest {
  /// A variable of the kernel, of its type where that is known; else without one.
  public func variable(_ name: String) throws -> TypedValue {
    let address = try symbol(name)
    return TypedValue(.memory(address), try variableType(name))
  }

  /// Variables whose types BTF does not tell (it has those of per-CPU variables, and from 6.16 on of
  /// others where the kernel was configured so).
  private static let knownTypes = [
    "init_task": "struct task_struct", "init_net": "struct net", "init_mm": "struct mm_struct",
    "init_uts_ns": "struct uts_namespace", "init_pid_ns": "struct pid_namespace",
    "init_user_ns": "struct user_namespace", "init_cred": "struct cred",
    "init_nsproxy": "struct nsproxy", "init_fs": "struct fs_struct",
    "init_files": "struct files_struct", "modules": "struct list_head",
    "super_blocks": "struct list_head", "btf_modules": "struct list_head",
    "net_namespace_list": "struct list_head", "prb": "struct printk_ringbuffer *",
    "jiffies": "long unsigned int", "jiffies_64": "u64", "nr_cpu_ids": "unsigned int",
    "nr_threads": "int", "max_pfn": "long unsigned int", "boot_cpu_data": "struct cpuinfo_x86",
    "iomem_resource": "struct resource", "ioport_resource": "struct resource",
    "root_task_group": "struct task_group", "__cpu_online_mask": "struct cpumask",
    "__cpu_possible_mask": "struct cpumask", "tk_core": "struct tk_data",
  ]

  private func variableType(_ name: String) throws -> TypeReference {
    let types = try types
    if let id = types.type(named: name, [.variable]) { return TypeReference(id) }
    if let known = LinuxGuest.knownTypes[name], let type = try? type(known) { return type }
    return TypeReference(0)
  }
}
