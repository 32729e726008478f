// Values of a kernel's types: where they lie, what is in them, and how people read them.

internal import SystemIO
internal import Bytes
internal import Pages

/// A type of BTF, with pointers to it that BTF need not have.
public struct KernelType: Sendable, Equatable {
  public let id: BTF.ID
  /// "struct list_head **" is two pointers to a structure.
  public var pointers = 0

  public init(_ id: BTF.ID, pointers: Int = 0) {
    self.id = id
    self.pointers = pointers
  }
}

/// Something of a type, in the kernel's memory or computed.
public struct KernelValue: Sendable, Equatable {
  public enum Place: Sendable, Equatable {
    case memory(UInt64)
    /// A bit field: the first bit from an address on, and how many.
    case bits(UInt64, shift: UInt64, count: UInt64)
    case computed(UInt64)
  }

  public let place: Place
  public let type: KernelType

  public init(_ place: Place, _ type: KernelType) {
    self.place = place
    self.type = type
  }

  /// Where it lies; nil for what does not lie anywhere.
  public var address: UInt64? {
    if case .memory(let address) = place { return address }
    return nil
  }
}

extension LinuxGuest {
  private func usage(_ problem: String) -> XensaveError { XensaveError(.usage, problem) }

  /// The type as C writes it.
  public func description(of type: KernelType) -> String {
    let text = (try? types)?.description(type.id) ?? "void"
    guard type.pointers > 0 else { return text }
    return text + (text.hasSuffix("*") ? "" : " ") + String(repeating: "*", count: type.pointers)
  }

  /// What C calls by this name: "struct task_struct *", "u64".
  public func type(_ name: String) throws -> KernelType {
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
    if text == "void" { return KernelType(0, pointers: pointers) }
    guard let id = try types.type(text) else { throw usage("the kernel has no type \(text)") }
    return KernelType(id, pointers: pointers)
  }

  /// Bytes of a type.
  func byteCount(of type: KernelType) throws -> Int {
    if type.pointers > 0 { return 8 }
    if type.id == 0 { return 1 }
    guard let size = try types.size(type.id) else {
      throw usage("\(description(of: type)) has no size")
    }
    return size
  }

  /// What a pointer points to; nil for other types.
  private func target(of type: KernelType) throws -> KernelType? {
    if type.pointers > 0 { return KernelType(type.id, pointers: type.pointers - 1) }
    guard try types.kind(types.resolved(type.id)) == .pointer else { return nil }
    return try types.target(type.id).map { KernelType($0) }
  }

  // MARK: - Making values of values

  /// A variable of the kernel, of its type where that is known; else without one.
  public func variable(_ name: String) throws -> KernelValue {
    let address = try symbol(name)
    return KernelValue(.memory(address), try variableType(name))
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

  private func variableType(_ name: String) throws -> KernelType {
    let types = try types
    if let id = types.type(named: name, [.variable]) { return KernelType(id) }
    if let known = LinuxGuest.knownTypes[name], let type = try? type(known) { return type }
    return KernelType(0)
  }

  /// A member of a structure, or of what a pointer to one points to.
  public func member(_ value: KernelValue, _ name: String) throws -> KernelValue {
    var value = value
    if let inner = try target(of: value.type) {
      value = KernelValue(.memory(try integer(value)), inner)
    }
    let types = try types
    guard value.type.pointers == 0,
      [.structure, .union].contains(types.kind(types.resolved(value.type.id)))
    else { throw usage("\(description(of: value.type)) has no members (asked for \(name))") }
    guard let member = types.member(value.type.id, name) else {
      throw usage(
        "\(description(of: value.type)) has no member \(name)\(nearest(name, value.type))")
    }
    guard let base = value.address else { throw usage("the structure lies nowhere") }
    let address = base &+ member.bitOffset / 8
    let type = KernelType(member.type)
    return member.bitCount == 0
      ? KernelValue(.memory(address), type)
      : KernelValue(
        .bits(address, shift: member.bitOffset % 8, count: min(member.bitCount, 57)), type)
  }

  /// " (did you mean tgid?)", where a member's name differs in one letter.
  private func nearest(_ name: String, _ type: KernelType) -> String {
    guard let types = try? types else { return "" }
    let names = memberNames(types, type.id, 0)
    let near = names.first { candidate in
      candidate.hasPrefix(name) || name.hasPrefix(candidate) && candidate.count > 2
        || zip(candidate, name).filter { $0 != $1 }.count <= 1 && candidate.count == name.count
    }
    return near.map { " (did you mean \($0)?)" } ?? ""
  }

  /// Names of the members of a structure, those of anonymous ones too.
  public func memberNames(of type: KernelType) -> [String] {
    (try? types).map { memberNames($0, type.id, 0) } ?? []
  }

  private func memberNames(_ types: BTF, _ id: BTF.ID, _ depth: Int) -> [String] {
    guard depth < 8 else { return [] }
    var out: [String] = []
    for member in types.members(id).prefix(4096) where out.count < 4096 {
      out += member.name.isEmpty ? memberNames(types, member.type, depth + 1) : [member.name]
    }
    return out
  }

  /// What a pointer points to.
  public func dereference(_ value: KernelValue) throws -> KernelValue {
    if let inner = try target(of: value.type) {
      return KernelValue(.memory(try integer(value)), inner)
    }
    if try types.kind(types.resolved(value.type.id)) == .array { return try element(value, 0) }
    throw usage("\(description(of: value.type)) is no pointer")
  }

  /// An element of an array, or what lies so many elements after what a pointer points to.
  public func element(_ value: KernelValue, _ index: Int64) throws -> KernelValue {
    let types = try types
    var base = value.address
    var inner: KernelType
    if value.type.pointers == 0, types.kind(types.resolved(value.type.id)) == .array,
      let element = types.target(value.type.id)
    {
      inner = KernelType(element)
    } else if let target = try target(of: value.type) {
      inner = target
      base = try integer(value)
    } else {
      throw usage("\(description(of: value.type)) has no elements")
    }
    guard let base else { throw usage("the array lies nowhere") }
    let size = Int64(try byteCount(of: inner))
    return KernelValue(.memory(base &+ UInt64(bitPattern: index &* size)), inner)
  }

  /// A pointer to a value.
  public func pointer(to value: KernelValue) throws -> KernelValue {
    guard let address = value.address else {
      throw usage("\(description(of: value.type)) has no address of its own")
    }
    return KernelValue(
      .computed(address), KernelType(value.type.id, pointers: value.type.pointers + 1))
  }

  /// The structure that has a member at this address.
  public func container(
    of value: KernelValue, _ type: KernelType, _ path: String
  ) throws -> KernelValue {
    guard let field = try types.field(type.id, path) else {
      throw usage("\(description(of: type)) has no member \(path)")
    }
    let address = try target(of: value.type) == nil ? value.address : integer(value)
    guard let address else { throw usage("the member lies nowhere") }
    return KernelValue(.memory(address &- field.offset), type)
  }

  // MARK: - Reading values

  /// The number that a value is; structures and arrays are none.
  public func integer(_ value: KernelValue) throws -> UInt64 {
    switch value.place {
    case .computed(let number): return number
    case .bits(let address, let shift, let count):
      var field = Field(offset: 0, byteCount: 8)
      field.bitShift = shift
      field.bitCount = count
      let isSigned = try types.isSigned(value.type.id)
      return isSigned
        ? UInt64(bitPattern: try memory.signed(address, field)) : try memory.value(address, field)
    case .memory(let address):
      let count = try byteCount(of: value.type)
      if value.type.pointers == 0 {
        let types = try types
        let kind = types.kind(types.resolved(value.type.id))
        if value.type.id == 0 { return address }
        guard [.integer, .pointer, .enumeration, .enumeration64].contains(kind), count <= 8 else {
          throw usage("\(description(of: value.type)) is no number")
        }
        if types.isSigned(value.type.id) {
          return UInt64(
            bitPattern: try memory.signed(address, Field(offset: 0, byteCount: count)))
        }
      }
      return try memory.value(address, Field(offset: 0, byteCount: count))
    }
  }

  /// What a value is to programs.
  public enum Shape: Sendable, Equatable {
    case number(Int64)
    case boolean(Bool)
    /// Characters of an array, or the name of an enumerator.
    case text([UInt8])
    /// A structure, a pointer, or another array.
    case compound
  }

  public func shape(of value: KernelValue) throws -> Shape {
    guard value.type.pointers == 0 else { return .compound }
    let types = try types
    let id = types.resolved(value.type.id)
    switch types.kind(id) {
    case .integer:
      let number = try integer(value)
      if (types.encoding(id)?.flags ?? 0) & 4 != 0 { return .boolean(number != 0) }
      return .number(Int64(bitPattern: number))
    case .enumeration, .enumeration64:
      let number = Int64(bitPattern: try integer(value))
      let name = types.enumerators(id).first { $0.value == number }?.name
      return name.map { .text(Array($0.utf8)) } ?? .number(number)
    case .array:
      guard let element = types.target(id), isCharacter(element), let base = value.address,
        let count = types.elementCount(id)
      else { return .compound }
      return .text(try memory.string(base, limit: min(count, 4096)))
    default: return .compound
    }
  }

  /// Whether a value is a pointer.
  public func isPointer(_ value: KernelValue) throws -> Bool {
    try target(of: value.type) != nil
  }

  /// Elements of an array; nil for other types.
  public func elementCount(of value: KernelValue) -> Int? {
    value.type.pointers > 0 ? nil : (try? types)?.elementCount(value.type.id)
  }

  private func isCharacter(_ id: BTF.ID) -> Bool {
    guard let types = try? types else { return false }
    return types.size(id) == 1 && types.name(types.resolved(id)) == "char"
  }

  // MARK: - As text

  /// A value as C would initialise it: at most `depth` structures inside of one another, and at most
  /// some thousand lines.
  public func text(of value: KernelValue, depth: Int = 2) -> String {
    var lines = 2000
    return memory.question { text(value, depth, "", &lines) }
  }

  private func text(
    _ value: KernelValue, _ depth: Int, _ indent: String, _ lines: inout Int
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
        let number = Int64(bitPattern: try integer(value))
        return types.enumerators(id).first { $0.value == number }?.name ?? "\(number)"
      case .integer:
        let number = try integer(value)
        if (types.encoding(id)?.flags ?? 0) & 4 != 0 { return number == 0 ? "false" : "true" }
        return types.isSigned(id) ? "\(Int64(bitPattern: number))" : "\(number)"
      case .void:
        let number = try integer(value)
        return pointerText(number)
      default: return "(\(description(of: value.type)))"
      }
    } catch { return "<\(error)>" }
  }

  private func pointerText(_ address: UInt64) -> String {
    guard address != 0, let location = location(of: address) else { return address.hex() }
    return "\(address.hex()) <\(location.offset == 0 ? location.symbol : location.description)>"
  }

  private func membersText(
    _ value: KernelValue, _ id: BTF.ID, _ depth: Int, _ indent: String, _ lines: inout Int
  ) throws -> String {
    guard let base = value.address else { return "" }
    var out = ""
    for member in try types.members(id) {
      guard lines > 0 else { return out + "\(indent)  ...\n" }
      lines -= 1
      let address = base &+ member.bitOffset / 8
      let inner = KernelValue(
        member.bitCount == 0
          ? .memory(address)
          : .bits(address, shift: member.bitOffset % 8, count: min(member.bitCount, 57)),
        KernelType(member.type))
      // Anonymous structures are part of the one around them.
      let isAnonymous = member.name.isEmpty
      let text = text(inner, isAnonymous ? depth : depth - 1, indent + "  ", &lines)
      out += "\(indent)  \(isAnonymous ? "" : ".\(member.name) = ")\(text),\n"
    }
    return out
  }

  private func arrayText(
    _ value: KernelValue, _ depth: Int, _ indent: String, _ lines: inout Int
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
