// BTF: the descriptions of types that a Linux kernel carries. Linux: Documentation/bpf/btf.rst.

internal import SystemIO
public import Bytes
internal import Pages

/// Types of a kernel, or of a module on top of its kernel's.
///
/// Nothing is believed: offsets are checked when the types are read, and walks from type to type have
/// a limited number of steps.
public final class BTF {
  /// A type's number; 0 is `void`.
  public typealias ID = Int

  public enum Kind: UInt8, Sendable {
    case void = 0
    case integer, pointer, array, structure, union, enumeration, forward, typedef, volatile, const
    case restrict, function, prototype, variable, dataSection, float, declarationTag, typeTag
    case enumeration64
  }

  /// A type's own words.
  struct Record {
    let kind: Kind
    /// Members, enumerators or parameters.
    let count: Int
    let flag: Bool
    let name: UInt32
    /// A size in bytes, or a type.
    let sizeOrType: UInt32
    /// Where what is after the first 12 bytes begins.
    let extra: Int
  }

  /// A member of a structure or union.
  public struct Member: Sendable, Equatable {
    public let name: String
    public let type: ID
    /// Bits from the start of the structure.
    public var bitOffset: UInt64
    /// Bits of a bit field; 0 for what is none.
    public let bitCount: UInt64
  }

  let bytes: [UInt8]
  public let base: BTF?
  /// Bytes of a pointer.
  public let pointerByteCount: Int
  /// The byte order of what has none of its own: pointers, enumerations, floating-point numbers.
  public let order: ByteOrder
  /// The first type of its own.
  public let firstID: ID
  private let firstString: UInt32
  private let strings: Range<Int>
  /// Where each of its own types begins.
  private var places: [UInt32] = []
  private var heads: [UInt32] = []
  private var previous: [UInt32] = []
  private var members: [String: Member?] = [:]

  /// Steps from type to type that a question takes at most.
  static let depthLimit = 64
  /// Members that a search for one looks at, anonymous structures included.
  static let memberLimit = 1 << 17
  /// Most types.
  static let countLimit = 4 << 20

  public init(
    _ bytes: [UInt8], base: BTF? = nil, pointerByteCount: Int = 8, order: ByteOrder = .little
  ) throws {
    func bad(_ problem: String) -> XensaveError { XensaveError(.invalid, "BTF: \(problem)") }
    guard bytes.count >= 24, bytes.load(0, as: UInt16.self) == 0xEB9F else {
      throw bad("expected the magic number 0xeb9f")
    }
    let header = Int(bytes.load(4, as: UInt32.self))
    let types = BTF.section(bytes, header, 8)
    let strings = BTF.section(bytes, header, 16)
    guard let types, let strings else {
      throw bad("a section lies outside of its \(bytes.count) bytes")
    }
    guard strings.isEmpty || bytes[strings.upperBound - 1] == 0 else {
      throw bad("its strings do not end with a zero")
    }
    self.bytes = bytes
    self.base = base
    self.pointerByteCount = pointerByteCount
    self.order = order
    self.strings = strings
    firstID = base.map { $0.endID } ?? 1
    firstString = base.map { UInt32(clamping: $0.endString) } ?? 0
    var place = types.lowerBound
    while place < types.upperBound {
      guard types.upperBound - place >= 12 else { throw bad("a type is cut off") }
      let info = bytes.load(place + 4, as: UInt32.self)
      guard let kind = Kind(rawValue: UInt8(info >> 24 & 0x1F)), kind != .void else {
        throw bad("type \(firstID + places.count): unknown kind \(info >> 24 & 0x1F)")
      }
      let count = Int(info & 0xFFFF)
      let extra: Int
      switch kind {
      case .integer, .variable, .declarationTag: extra = 4
      case .array: extra = 12
      case .structure, .union, .dataSection, .enumeration64: extra = 12 * count
      case .enumeration, .prototype: extra = 8 * count
      default: extra = 0
      }
      guard types.upperBound - place - 12 >= extra else { throw bad("a type is cut off") }
      guard places.count < BTF.countLimit else { throw bad("more than \(BTF.countLimit) types") }
      places.append(UInt32(place))
      place += 12 + extra
    }
    indexNames()
  }

  private static func section(_ bytes: [UInt8], _ header: Int, _ place: Int) -> Range<Int>? {
    let start = header + Int(bytes.load(place, as: UInt32.self))
    let count = Int(bytes.load(place + 4, as: UInt32.self))
    guard start <= bytes.count, count <= bytes.count - start else { return nil }
    return start..<start + count
  }

  /// The number after the last type.
  public var endID: ID { firstID + places.count }
  private var endString: Int { Int(firstString) + strings.count }
  /// Types of its own.
  public var count: Int { places.count }

  // MARK: - Names

  private func indexNames() {
    var size = 16
    while size < places.count { size *= 2 }
    heads = [UInt32](repeating: 0, count: size)
    previous = [UInt32](repeating: 0, count: places.count)
    for index in stride(from: places.count - 1, through: 0, by: -1) {
      let place = Int(places[index])
      let name = bytes.load(place, as: UInt32.self)
      let kind = bytes.load(place + 4, as: UInt32.self) >> 24 & 0x1F
      // Functions and their tags are half of all names, and nobody asks for them.
      guard name != 0, kind != 12, kind != 17, kind != 18, let text = range(of: name) else {
        continue
      }
      var hash = SymbolTable.seed
      for byte in text { hash = SymbolTable.mix(hash, bytes[byte]) }
      let bucket = Int(hash ^ hash >> 15) & (size - 1)
      previous[index] = heads[bucket]
      heads[bucket] = UInt32(index + 1)
    }
  }

  /// Where a string of this table's own section lies.
  private func range(of name: UInt32) -> Range<Int>? {
    guard name >= firstString, Int(name - firstString) < strings.count else { return nil }
    let start = strings.lowerBound + Int(name - firstString)
    var end = start
    while bytes[end] != 0 { end += 1 }
    return start..<end
  }

  func text(_ name: UInt32) -> String {
    if name < firstString, let base { return base.text(name) }
    guard let range = range(of: name) else { return "" }
    return String(decoding: bytes[range], as: UTF8.self)
  }

  /// The first type of this name that is one of `kinds`, in this table or the one below it.
  public func type(named name: String, _ kinds: Set<Kind>) -> ID? {
    let text = Array(name.utf8)
    let hash = text.reduce(SymbolTable.seed, SymbolTable.mix)
    var next = heads.isEmpty ? 0 : heads[Int(hash ^ hash >> 15) & (heads.count - 1)]
    while next != 0 {
      let index = Int(next - 1)
      let place = Int(places[index])
      if let kind = Kind(rawValue: UInt8(bytes.load(place + 4, as: UInt32.self) >> 24 & 0x1F)),
        kinds.contains(kind), let range = range(of: bytes.load(place, as: UInt32.self)),
        range.count == text.count,
        text.indices.allSatisfy({ bytes[range.lowerBound + $0] == text[$0] })
      {
        return firstID + index
      }
      next = previous[index]
    }
    return base?.type(named: name, kinds)
  }

  /// "task_struct", "struct task_struct", "enum pid_type", "pid_t": what C calls by this name.
  public func type(_ name: String) -> ID? {
    let words = name.split(separator: " ")
    if words.count == 2, let last = words.last {
      switch words[0] {
      case "struct": return type(named: String(last), [.structure])
      case "union": return type(named: String(last), [.union])
      case "enum": return type(named: String(last), [.enumeration, .enumeration64])
      default: break
      }
    }
    return type(named: name, [.structure, .union])
      ?? type(named: name, [.typedef, .integer, .float, .enumeration, .enumeration64])
  }

  // MARK: - Types

  func record(_ id: ID) -> Record? {
    if id < firstID { return base?.record(id) }
    guard id - firstID < places.count else { return nil }
    let place = Int(places[id - firstID])
    let info = bytes.load(place + 4, as: UInt32.self)
    guard let kind = Kind(rawValue: UInt8(info >> 24 & 0x1F)) else { return nil }
    return Record(
      kind: kind, count: Int(info & 0xFFFF), flag: info >> 31 != 0,
      name: bytes.load(place, as: UInt32.self), sizeOrType: bytes.load(place + 8, as: UInt32.self),
      extra: place + 12)
  }

  public func kind(_ id: ID) -> Kind { record(id)?.kind ?? .void }
  public func name(_ id: ID) -> String { record(id).map { text($0.name) } ?? "" }

  /// The words after a record, of the table that the type is in.
  private func extra(_ id: ID, _ record: Record, _ offset: Int) -> UInt32 {
    if id < firstID, let base { return base.extra(id, record, offset) }
    return bytes.load(record.extra + offset, as: UInt32.self)
  }

  /// A type without typedefs, qualifiers and tags.
  public func resolved(_ id: ID) -> ID {
    var id = id
    for _ in 0..<BTF.depthLimit {
      guard let record = record(id) else { return 0 }
      switch record.kind {
      case .typedef, .volatile, .const, .restrict, .typeTag, .variable: id = ID(record.sizeOrType)
      default: return id
      }
    }
    return 0
  }

  /// What a pointer points to, or an array consists of; nil for other types.
  public func target(_ id: ID) -> ID? {
    let id = resolved(id)
    guard let record = record(id) else { return nil }
    switch record.kind {
    case .pointer: return ID(record.sizeOrType)
    case .array: return ID(extra(id, record, 0))
    default: return nil
    }
  }

  /// Elements of an array; nil for other types.
  public func elementCount(_ id: ID) -> Int? {
    let id = resolved(id)
    guard let record = record(id), record.kind == .array else { return nil }
    return Int(extra(id, record, 8))
  }

  /// Bytes of a type; nil where it has no size (or one past all bounds).
  public func size(_ id: ID) -> Int? {
    var id = id
    var factor = 1
    for _ in 0..<BTF.depthLimit {
      id = resolved(id)
      guard let record = record(id) else { return nil }
      switch record.kind {
      case .integer, .structure, .union, .enumeration, .float, .enumeration64:
        let (size, overflow) = factor.multipliedReportingOverflow(by: Int(record.sizeOrType))
        return overflow ? nil : size
      case .pointer:
        let (size, overflow) = factor.multipliedReportingOverflow(by: pointerByteCount)
        return overflow ? nil : size
      case .array:
        let (product, overflow) = factor.multipliedReportingOverflow(by: Int(extra(id, record, 8)))
        if overflow { return nil }
        factor = product
        id = ID(extra(id, record, 0))
      default: return nil
      }
    }
    return nil
  }

  /// How an integer is meant. Bits: 1 signed, 2 character, 4 boolean; and of declared types, 8: its most
  /// significant byte comes first.
  public func encoding(_ id: ID) -> (flags: UInt32, bitOffset: UInt32, bitCount: UInt32)? {
    let id = resolved(id)
    guard let record = record(id), record.kind == .integer else { return nil }
    let word = extra(id, record, 0)
    return (word >> 24 & 0xF, word >> 16 & 0xFF, word & 0xFF)
  }

  public func isSigned(_ id: ID) -> Bool {
    let id = resolved(id)
    switch kind(id) {
    case .integer: return (encoding(id)?.flags ?? 0) & 1 != 0
    case .enumeration, .enumeration64: return record(id)?.flag ?? false
    default: return false
    }
  }

  /// The order of a number's bytes.
  func order(of id: ID) -> ByteOrder {
    guard let encoding = encoding(id) else { return order }
    return encoding.flags & 8 != 0 ? .big : .little
  }

  /// The members of a structure or union, in their order.
  public func members(_ id: ID) -> [Member] {
    let id = resolved(id)
    guard let record = record(id), record.kind == .structure || record.kind == .union else {
      return []
    }
    return (0..<record.count).map { member(id, record, $0) }
  }

  private func member(_ id: ID, _ record: Record, _ index: Int) -> Member {
    let word = extra(id, record, 12 * index + 8)
    let type = ID(extra(id, record, 12 * index + 4))
    var offset = UInt64(word)
    var bits: UInt64 = 0
    if record.flag {
      offset = UInt64(word & 0xFF_FFFF)
      bits = UInt64(word >> 24)
    } else if let encoding = encoding(type), let size = size(type),
      Int(encoding.bitCount) != 8 * size
    {
      // Before kind_flag, a bit field had an integer of its own.
      offset += UInt64(encoding.bitOffset)
      bits = UInt64(encoding.bitCount)
    }
    return Member(
      name: text(extra(id, record, 12 * index)), type: type, bitOffset: offset, bitCount: bits)
  }

  /// The member of this name, also inside of anonymous structures and unions.
  public func member(_ id: ID, _ name: String) -> Member? {
    let key = "\(id) \(name)"
    if let known = members[key] { return known }
    var budget = BTF.memberLimit
    var seen: Set<ID> = []
    let found = search(resolved(id), name, 0, &seen, &budget)
    members[key] = .some(found)
    return found
  }

  /// A type that was searched already does not have the member: in types that hold one another again and
  /// again each is looked at once.
  private func search(
    _ id: ID, _ name: String, _ depth: Int, _ seen: inout Set<ID>, _ budget: inout Int
  ) -> Member? {
    guard depth < 16, let record = record(id), record.kind == .structure || record.kind == .union,
      seen.insert(id).inserted
    else { return nil }
    var anonymous: [Member] = []
    for index in 0..<record.count {
      guard budget > 0 else { return nil }
      budget -= 1
      let member = member(id, record, index)
      if member.name == name { return member }
      if member.name.isEmpty { anonymous.append(member) }
    }
    for outer in anonymous {
      if var inner = search(resolved(outer.type), name, depth + 1, &seen, &budget) {
        inner.bitOffset += outer.bitOffset
        return inner
      }
    }
    return nil
  }

  /// Names and values of an enumeration.
  public func enumerators(_ id: ID) -> [(name: String, value: Int64)] {
    let id = resolved(id)
    guard let record = record(id) else { return [] }
    switch record.kind {
    case .enumeration:
      return (0..<record.count).map {
        let value = extra(id, record, 8 * $0 + 4)
        return (
          text(extra(id, record, 8 * $0)),
          record.flag ? Int64(Int32(bitPattern: value)) : Int64(value)
        )
      }
    case .enumeration64:
      return (0..<record.count).map {
        let low = UInt64(extra(id, record, 12 * $0 + 4))
        let high = UInt64(extra(id, record, 12 * $0 + 8))
        return (text(extra(id, record, 12 * $0)), Int64(bitPattern: high << 32 | low))
      }
    default: return []
    }
  }

  /// The value of an enumerator of any enumeration of this name.
  public func enumerator(_ enumeration: String, _ name: String) -> Int64? {
    guard let id = type("enum \(enumeration)") else { return nil }
    return enumerators(id).first { $0.name == name }?.value
  }

  /// The type as C writes it: "struct list_head *", "char [16]".
  public func description(_ id: ID) -> String {
    var id = id
    var suffix = ""
    var prefix = ""
    for _ in 0..<BTF.depthLimit {
      guard let record = record(id) else {
        return prefix + "void" + (suffix.isEmpty ? "" : " " + suffix)
      }
      let name = text(record.name)
      func end(_ word: String) -> String {
        prefix + word
          + (name.isEmpty ? (word.isEmpty ? "?" : " {...}") : (word.isEmpty ? "" : " ") + name)
          + (suffix.isEmpty ? "" : " " + suffix)
      }
      switch record.kind {
      case .structure: return end("struct")
      case .union: return end("union")
      case .enumeration, .enumeration64: return end("enum")
      case .forward: return end(record.flag ? "union" : "struct")
      case .prototype: return prefix + "function" + (suffix.isEmpty ? "" : " " + suffix)
      case .pointer:
        suffix = "*" + suffix
        id = ID(record.sizeOrType)
      case .array:
        suffix = suffix.isEmpty || suffix.hasPrefix("[") ? suffix : "(\(suffix))"
        suffix += "[\(extra(id, record, 8))]"
        id = ID(extra(id, record, 0))
      case .const:
        prefix = prefix.isEmpty ? "const " : prefix
        id = ID(record.sizeOrType)
      case .volatile, .restrict, .typeTag, .variable: id = ID(record.sizeOrType)
      default: return end("")
      }
    }
    return "?"
  }
}
