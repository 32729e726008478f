// xs.struct: types that a script declares, and what lies in memory as one of them.

internal import Bytes
internal import GuestOS
internal import LuaRuntime
internal import Pages
internal import SystemIO

/// A type that a script has declared.
final class LuaStruct {
  let declared: DeclaredType

  init(_ declared: DeclaredType) { self.declared = declared }

  /// Most values that are given at once.
  private static let countLimit: Int64 = 1 << 16

  /// The memory that the argument at `index` stands for, whether it may still be read, and its bytes
  /// where it has an end.
  private static func memory(
    _ frame: LuaFrame, _ index: Int
  ) throws -> (memory: KernelMemory, check: () throws -> Void, byteCount: Int?) {
    if frame.type(index) == .string {
      let bytes = try frame.bytes(index)
      let source = ByteMemory(bytes, path: "a string")
      return (KernelMemory(PagedMemory(source), .physical), {}, bytes.count)
    }
    if let image: LuaImage = frame.objectIfAny(index) {
      return (KernelMemory(try image.memory().paged, .physical), {}, nil)
    }
    if let vcpu: LuaVCPU = frame.objectIfAny(index) {
      let memory = try vcpu.memory()
      return (KernelMemory(memory.paged, AddressSpace(try memory.vcpu(vcpu.id))), {}, nil)
    }
    if let linux: LuaLinux = frame.objectIfAny(index) {
      return (try linux.guest.memory, linux.owner.check, nil)
    }
    if let task: LuaTask = frame.objectIfAny(index) {
      let guest = try task.linux.guest
      let memory = KernelMemory(guest.memory.paged, try guest.space(of: task.task))
      return (memory, task.linux.owner.check, nil)
    }
    if let domain: LuaDomain = frame.objectIfAny(index) {
      let (paged, check) = try domain.stoppedMemory()
      return (KernelMemory(paged, .physical), check, nil)
    }
    throw frame.argumentError(
      index, "expected an Image, VCPU, Linux, Task, Domain or a string of bytes")
  }

  /// Pushes the value at an address, or a list of those one after the other.
  private func push(_ frame: LuaFrame) throws -> Int32 {
    let address = UInt64(bitPattern: try frame.integer(3))
    let isList = !frame.isMissing(4)
    let count = isList ? try frame.integer(4, in: 0...LuaStruct.countLimit) : 1
    let (memory, check, byteCount) = try LuaStruct.memory(frame, 2)
    let size = declared.byteCount
    if let byteCount {
      guard address <= UInt64(byteCount), UInt64(byteCount) - address >= UInt64(size * count) else {
        throw LuaError(
          "expected \(size * count) bytes from \(address) on, got a string of \(byteCount)")
      }
    }
    let owner = TypedOwner(DeclaredMemory(declared.types, memory), check: check)
    func value(_ index: Int) -> TypedValue {
      TypedValue(.memory(address &+ UInt64(size * index)), declared.type)
    }
    guard isList else {
      try LuaTypedValue.push(owner, value(0), frame)
      return 1
    }
    frame.pushTable()
    for index in 0..<Int(count) {
      try LuaTypedValue.push(owner, value(index), frame)
      frame.setElement(index + 1)
    }
    return 1
  }

  static var table: LuaClass<LuaStruct> {
    var table = LuaClass<LuaStruct>(
      "Struct",
      "A type that xs.struct has made. T(where, address) is short for T:at(where, address); tostring "
        + "gives its layout.",
      [
        .property("size", "integer", "Bytes of a value.", unit: "bytes") { type, frame in
          frame.push(type.declared.byteCount)
        },
        .property("members", "string[]", "The names of its members.") { type, frame in
          let memory = KernelMemory(PagedMemory(ByteMemory([], path: "nothing")), .physical)
          let all = DeclaredMemory(type.declared.types, memory).members(of: type.declared.type)
          frame.push(LuaValue.list(all.map { .text($0.name) }))
        },
        .method(
          "offset", "(member: string): integer?",
          "Where a member begins, in bytes; a path of names (\"first.id\") goes into structures. Nil "
            + "where there is none."
        ) { type, frame in
          if let field = type.declared.field(try frame.string(2)) {
            frame.push(LuaValue.unsigned(field.offset))
          } else {
            frame.pushNil()
          }
          return 1
        },
        .method(
          "at",
          "(where: Image|VCPU|Linux|Task|Domain|string, address: integer, count?: integer): any",
          "What lies at an address: a TypedValue; with `count`, a list of so many of them (at most "
            + "65,536). Of an Image and a Domain, which must be paused, the address is a physical one; of a "
            + "VCPU, Linux and a Task it is one of theirs; of a string it counts its bytes from 0. "
            + "Pointers are followed in the same memory. Nothing is read before a member is asked for.",
          example: "print(T:at(img, 0x1000).name)"
        ) { type, frame in try type.push(frame) },
      ])
    table.call = { type, frame in try type.push(frame) }
    table.toString = { $0.declared.layout }
    return table
  }
}

extension ShellContext {
  var structFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "struct", "(declaration: string, options?: table): Struct",
        "Makes a type of what C would declare: members, or structures, unions and enums by name and then "
          + "members. Numbers are u8 to u64, s8 to s64, le16 to be64 (with their byte order), char, "
          + "bool, float, double, and those of C; there are pointers, arrays, bit fields, and members "
          + "without a name. Members are aligned as on x86-64. What is wrong is said with line and "
          + "column. Options: packed (true: no padding), endian (\"little\" or \"big\": the order of "
          + "numbers that have none of their own), pointer (4 or 8: bytes of a pointer and of long).",
        example: "local T = xs.struct \"u32 magic; u64 next; char name[16]\""
      ) { frame in
        let text = try frame.string(1)
        let table = try OptionTable(frame, 2, "struct", ["packed", "endian", "pointer"])
        var options = DeclarationOptions()
        options.isPacked = try table.flag("packed", false)
        if let name = try table.string("endian") {
          guard let order = ByteOrder(named: name) else {
            throw LuaError("struct: endian: expected \"little\" or \"big\", got '\(name)'")
          }
          options.order = order
        }
        if let count = try table.integer("pointer", 4...8) {
          guard count == 4 || count == 8 else {
            throw LuaError("struct: pointer: expected 4 or 8, got \(count)")
          }
          options.pointerByteCount = count
        }
        do {
          frame.push(object: LuaStruct(try DeclaredType(text, options)))
          return 1
        } catch { throw XensaveError(error).prefixed("xs.struct") }
      }
    ]
  }
}
