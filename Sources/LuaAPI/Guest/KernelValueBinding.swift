// Values of a guest kernel's types, as Lua sees them.

internal import SystemIO
internal import GuestOS
package import LuaRuntime
internal import Pages

/// A structure, a pointer or an array in a guest kernel's memory.
///
/// Its own members end with "_": all other names are those of the structure.
package final class LuaKernelValue {
  let linux: LuaLinux
  let value: KernelValue

  init(_ linux: LuaLinux, _ value: KernelValue) {
    self.linux = linux
    self.value = value
  }

  /// Pushes numbers, booleans, names of enumerations and strings as Lua's own; the rest as objects.
  static func push(
    _ linux: LuaLinux, _ value: KernelValue, _ frame: LuaFrame
  ) throws {
    let guest = linux.linux
    switch try guest.shape(of: value) {
    case .number(let number): frame.push(LuaValue.integer(number))
    case .boolean(let flag): frame.push(flag)
    case .text(let bytes): frame.push(LuaValue.string(bytes))
    case .compound: frame.push(object: LuaKernelValue(linux, value))
    }
  }

  private func number() throws -> UInt64 {
    try linux.linux.integer(value)
  }

  package static var table: LuaClass<LuaKernelValue> {
    var table = LuaClass<LuaKernelValue>(
      "KernelValue",
      "A structure, pointer or array of a guest's kernel. Members are fields (of a pointer, those of "
        + "what it points to), elements have numbers from 0; numbers, booleans and strings are Lua's. "
        + "What is not the structure's own ends with \"_\".",
      members)
    table.index = { object, frame in
      let isIndex = frame.type(2) == .number
      let index = isIndex ? try frame.integer(2) : 0
      let name = isIndex ? "" : try frame.string(2)
      let guest = object.linux.linux
      let found =
        isIndex
        ? try guest.element(object.value, index) : try guest.member(object.value, name)
      try push(object.linux, found, frame)
      return 1
    }
    table.length = { object, frame in
      guard let count = object.linux.linux.elementCount(of: object.value) else {
        throw LuaError("a value of another type than an array has no length")
      }
      frame.push(count)
      return 1
    }
    table.toString = { object in
      let guest = object.linux.linux
      return "(\(guest.description(of: object.value.type)))\(guest.text(of: object.value))"
    }
    table.equal = { $0.value == $1.value && $0.linux === $1.linux }
    return table
  }

  private static var members: [LuaMember<LuaKernelValue>] {
    [
      .property("type_", "string", "Its type, as C writes it.") { object, frame in
        frame.push(object.linux.linux.description(of: object.value.type))
      },
      .property("address_", "integer?", "Where it lies; nil for what was computed.") {
        object, frame in
        if let address = object.value.address {
          frame.push(LuaValue.unsigned(address))
        } else {
          frame.pushNil()
        }
      },
      .property("value_", "integer", "The address that a pointer holds.") {
        object, frame in frame.push(LuaValue.unsigned(try object.number()))
      },
      .property("members_", "string[]", "The names of a structure's members.") { object, frame in
        let names = object.linux.linux.memberNames(of: object.value.type)
        frame.push(LuaValue.list(names.map { .text($0) }))
      },
      .method("deref_", "(): any", "What a pointer points to.") { object, frame in
        try push(object.linux, try object.linux.linux.dereference(object.value), frame)
        return 1
      },
      .method(
        "string_", "(limit?: integer): string?, Error?",
        "The bytes that a pointer to characters points to, up to the first zero."
      ) { object, frame in
        let limit = frame.isMissing(2) ? 4096 : Int(try frame.integer(2, in: 1...1 << 20))
        let address = try object.number()
        do {
          let bytes = try object.linux.linux.memory.string(address, limit: limit)
          frame.push(LuaValue.string(bytes))
          return 1
        } catch { return try frame.fail(error) }
      },
      .method(
        "container_of_", "(type: string, member: string): any",
        "The structure that has this value, or what it points to, as a member."
      ) { object, frame in
        let (type, member) = (try frame.string(2), try frame.string(3))
        let guest = object.linux.linux
        let outer = try guest.container(of: object.value, try guest.type(type), member)
        try push(object.linux, outer, frame)
        return 1
      },
      .method(
        "list_", "(type: string, member: string): KernelValue[], string?",
        "The structures in the list that begins at this struct list_head, of which `member` is the "
          + "node. Where there may be more of them, the second result says why.",
        example: "local modules = img.linux.symbol.modules:list_(\"struct module\", \"list\")"
      ) { object, frame in
        let (name, member) = (try frame.string(2), try frame.string(3))
        let guest = object.linux.linux
        let type = try guest.type(name)
        // A list_head, or a pointer to one.
        let place = try guest.isPointer(object.value) ? nil : object.value.address
        let head: UInt64
        if let place { head = place } else { head = try guest.integer(object.value) }
        guard let field = try guest.types.field(type.id, member) else {
          throw XensaveError(.usage, "\(guest.description(of: type)) has no member \(member)")
        }
        let list = guest.memory.list(head, field.offset)
        frame.pushTable()
        for (index, address) in list.items.enumerated() {
          frame.push(object: LuaKernelValue(object.linux, KernelValue(.memory(address), type)))
          frame.setElement(index + 1)
        }
        if let problem = list.problem { frame.push(problem) } else { frame.pushNil() }
        return 2
      },
    ]
  }
}
