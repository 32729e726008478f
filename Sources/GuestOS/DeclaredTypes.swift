// Types that somebody declares as C does: "u32 magic; u64 next; char name[16]".

internal import SystemIO
public import Bytes
public import Pages

/// How declared types lie in memory.
public struct DeclarationOptions: Sendable {
  /// Members one after the other, without padding.
  public var isPacked = false
  /// The byte order of what does not name its own (be32, le16).
  public var order = ByteOrder.little
  /// Bytes of a pointer, and of `long`: 4 or 8.
  public var pointerByteCount = 8

  public init() {}
}

/// A declared type, with those that it is made of.
public struct DeclaredType {
  public let types: BTF
  public let type: TypeReference
  public let byteCount: Int

  /// Reads declarations:
  ///
  ///     text        { definition } { member }
  ///     definition  ("struct" | "union" | "enum") NAME body ";"
  ///     member      type declarator { "," declarator } ";" | ("struct" | "union") body ";"
  ///     declarator  { "*" } NAME { "[" [NUMBER] "]" } [ ":" NUMBER ]
  ///
  /// The type is the structure of the members; where there are none, the last definition. The layout is
  /// that of C for x86-64 and ARM64: each member is aligned to its own size.
  public init(_ text: String, _ options: DeclarationOptions = DeclarationOptions()) throws {
    var parser = try DeclarationParser(text, options)
    self = try parser.parse()
  }

  init(_ types: BTF, _ id: BTF.ID, _ byteCount: Int) {
    self.types = types
    type = TypeReference(id)
    self.byteCount = byteCount
  }

  /// Where a member lies, by a path of names; nil where there is none.
  public func field(_ path: String) -> Field? { types.field(type.id, path) }

  /// The type with the offset and the size of each member, as C writes it.
  public var layout: String {
    var lines = 2000
    return layout(type.id, indent: "", base: 0, &lines)
  }

  private func layout(_ id: BTF.ID, indent: String, base: UInt64, _ lines: inout Int) -> String {
    let kind = types.kind(id)
    let name = types.name(id)
    if kind == .enumeration {
      let names = types.enumerators(id).map { "\($0.name) = \($0.value)" }
      return "enum \(name) { \(names.joined(separator: ", ")) }"
    }
    var out = (kind == .union ? "union" : "struct") + (name.isEmpty ? "" : " " + name) + " {\n"
    for member in types.members(id) where lines > 0 {
      lines -= 1
      let offset = base + member.bitOffset / 8
      let isInside = member.name.isEmpty
      var text =
        isInside
        ? layout(member.type, indent: indent + "  ", base: offset, &lines)
        : types.declaration(of: member.name, member.type)
      if member.bitCount > 0 { text += ": \(member.bitCount)" }
      let line = "\(indent)  \(text);"
      let column = line.split(separator: "\n").last.map(\.count) ?? 0
      out +=
        line + String(repeating: " ", count: max(1, 40 - column)) + "// \(offset)"
        + (member.bitCount > 0 ? ", bit \(member.bitOffset % 8)" : "")
        + ", \(types.size(member.type) ?? 0)\n"
    }
    return out + indent + "}" + (indent.isEmpty ? "  // \(types.size(id) ?? 0) bytes" : "")
  }
}

extension BTF {
  /// "char name[16]": a member as C declares it.
  fileprivate func declaration(of name: String, _ id: ID) -> String {
    let text = description(id)
    guard let bracket = text.firstIndex(of: "[") else {
      return text + (text.hasSuffix("*") ? "" : " ") + name
    }
    return text[..<bracket] + name + text[bracket...]
  }
}

/// Memory whose contents somebody has declared.
public final class DeclaredMemory: TypedMemory {
  public let types: BTF
  public let memory: KernelMemory

  public init(_ types: BTF, _ memory: KernelMemory) {
    self.types = types
    self.memory = memory
  }

  public func location(of address: UInt64) -> LinuxGuest.Location? { nil }
}

extension AddressSpace {
  /// Physical addresses.
  public static let physical = AddressSpace(name: "the guest", mode: .none, cr3: 0)
}

/// Bytes as memory, from address 0 on.
public final class ByteMemory: PageSource {
  public let path: String
  private let bytes: [UInt8]

  public init(_ bytes: [UInt8], path: String) {
    self.bytes = bytes
    self.path = path
  }

  public func contents(of pfn: UInt64) throws -> [UInt8] {
    guard pfn < UInt64(bytes.count + 4095) / 4096 else {
      throw XensaveError(
        .notFound, "\(path): address \((pfn << 12).hex()) is after its \(bytes.count) bytes")
    }
    let start = Int(pfn) << 12
    let part = bytes[start..<min(start + 4096, bytes.count)]
    return part + [UInt8](repeating: 0, count: 4096 - part.count)
  }
}
