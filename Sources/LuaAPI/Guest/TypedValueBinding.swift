// Values of types, a guest kernel's or declared ones, as Lua sees them.

internal import SystemIO
package import GuestOS
package import LuaRuntime
internal import Pages

/// Whose values they are: memory with types, and whether it may still be read.
package final class TypedOwner {
  package let memory: any TypedMemory
  /// Throws where the memory is not what it was: that of a domain that has run since.
  let check: () throws -> Void

  init(_ memory: any TypedMemory, check: @escaping () throws -> Void = {}) {
    self.memory = memory
    self.check = check
  }
}

/// A structure, a pointer or an array in a guest's memory.
///
/// Its own members end with "_": all other names are those of the structure.
package final class LuaTypedValue {
  package let owner: TypedOwner
  package let value: TypedValue

  package init(_ owner: TypedOwner, _ value: TypedValue) {
    self.owner = owner
    self.value = value
  }

  /// The memory that it is read from.
  private var memory: any TypedMemory {
    get throws {
      try owner.check()
      return owner.memory
    }
  }

  // MARK: - For completion: types only, no memory is read

  /// What a member is, without its place.
  package func member(_ name: String) -> LuaTypedValue? {
    (try? owner.memory.memberType(of: value.type, name)).map(placeless)
  }

  /// What an element is, or what a pointer points to.
  package var element: LuaTypedValue? { owner.memory.elementType(of: value.type).map(placeless) }

  private func placeless(_ type: TypeReference) -> LuaTypedValue {
    LuaTypedValue(owner, TypedValue(.computed(0), type))
  }

  /// The members of a structure, or of what it is a pointer to, and their types.
  package var memberTypes: [(name: String, type: String)] {
    owner.memory.members(of: value.type).map { ($0.name, owner.memory.description(of: $0.type)) }
  }

  // MARK: - Values

  /// Pushes numbers, booleans, names of enumerations and strings as Lua's own; the rest as objects.
  static func push(_ owner: TypedOwner, _ value: TypedValue, _ frame: LuaFrame) throws {
    try owner.check()
    let memory = owner.memory
    switch try memory.memory.question({ try memory.shape(of: value) }) {
    case .number(let value): frame.push(LuaValue.integer(value))
    case .real(let value): frame.push(value)
    case .boolean(let flag): frame.push(flag)
    case .text(let bytes): frame.push(LuaValue.string(bytes))
    case .compound: frame.push(object: LuaTypedValue(owner, value))
    }
  }

  private func integer() throws -> UInt64 {
    let memory = try memory
    return try memory.memory.question { try memory.integer(value) }
  }

  /// Pushes values and, where there may be more of them, why: two results.
  private func push(_ listing: Listing<TypedValue>, _ frame: LuaFrame) throws -> Int32 {
    frame.pushTable()
    for (index, value) in listing.items.enumerated() {
      try LuaTypedValue.push(owner, value, frame)
      frame.setElement(index + 1)
    }
    if let problem = listing.problem { frame.push(problem) } else { frame.pushNil() }
    return 2
  }

  /// The same of entries with indices: tables of first, last, and value or number.
  private func push(
    _ listing: Listing<IndexedEntry>, _ type: TypeReference?, _ frame: LuaFrame
  ) throws -> Int32 {
    frame.pushTable()
    for (index, entry) in listing.items.enumerated() {
      frame.pushTable()
      frame.push(LuaValue.unsigned(entry.first))
      frame.setField("first")
      frame.push(LuaValue.unsigned(entry.last))
      frame.setField("last")
      if let value = entry.value {
        frame.push(LuaValue.unsigned(value))
        frame.setField("number")
      } else if let type {
        try LuaTypedValue.push(owner, TypedValue(.memory(entry.entry & ~3), type), frame)
        frame.setField("value")
      } else {
        frame.push(LuaValue.unsigned(entry.entry))
        frame.setField("address")
      }
      frame.setElement(index + 1)
    }
    if let problem = listing.problem { frame.push(problem) } else { frame.pushNil() }
    return 2
  }

  package static var table: LuaClass<LuaTypedValue> {
    var table = LuaClass<LuaTypedValue>(
      "TypedValue",
      "A structure, pointer or array in a guest's memory, of a type of its kernel or of a declared one "
        + "(xs.struct). Members are fields (of a pointer, those of what it points to), elements have "
        + "numbers from 0; numbers, booleans and strings are Lua's. What is not the structure's own ends "
        + "with \"_\".",
      members + iteration)
    table.index = { object, frame in
      let isIndex = frame.type(2) == .number
      let index = isIndex ? try frame.integer(2) : 0
      let name = isIndex ? "" : try frame.string(2)
      let memory = try object.memory
      let found = try memory.memory.question {
        try isIndex ? memory.element(object.value, index) : memory.member(object.value, name)
      }
      try push(object.owner, found, frame)
      return 1
    }
    table.length = { object, frame in
      guard let count = object.owner.memory.elementCount(of: object.value) else {
        throw LuaError("a value of another type than an array has no length")
      }
      frame.push(count)
      return 1
    }
    table.toString = { object in
      do {
        let memory = try object.memory
        return "(\(memory.description(of: object.value.type)))\(memory.text(of: object.value))"
      } catch { return "<\(error)>" }
    }
    table.equal = { $0.value == $1.value && $0.owner.memory === $1.owner.memory }
    return table
  }

  private static var members: [LuaMember<LuaTypedValue>] {
    [
      .property("type_", "string", "Its type, as C writes it.") { object, frame in
        frame.push(object.owner.memory.description(of: object.value.type))
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
        object, frame in frame.push(LuaValue.unsigned(try object.integer()))
      },
      .property("members_", "string[]", "The names of a structure's members.") { object, frame in
        let all = object.owner.memory.members(of: object.value.type)
        frame.push(LuaValue.list(all.map { .text($0.name) }))
      },
      .method("deref_", "(): any", "What a pointer points to.") { object, frame in
        try push(object.owner, try object.memory.dereference(object.value), frame)
        return 1
      },
      .method(
        "string_", "(limit?: integer): string?, Error?",
        "The bytes that a pointer to characters points to, up to the first zero."
      ) { object, frame in
        let limit = frame.isMissing(2) ? 4096 : Int(try frame.integer(2, in: 1...1 << 20))
        let address = try object.integer()
        do {
          let bytes = try object.memory.memory.string(address, limit: limit)
          frame.push(LuaValue.string(bytes))
          return 1
        } catch { return try frame.fail(error) }
      },
      .method(
        "container_of_", "(type: string, member: string): any",
        "The structure that has this value, or what it points to, as a member."
      ) { object, frame in
        let (type, member) = (try frame.string(2), try frame.string(3))
        let memory = try object.memory
        let outer = try memory.container(of: object.value, try memory.type(type), member)
        try push(object.owner, outer, frame)
        return 1
      },
    ]
  }

  private typealias Iterator =
    (any TypedMemory, TypedValue, TypeReference, String) throws -> Listing<TypedValue>

  /// A method that gives the structures of a list or tree.
  private static func iterator(
    _ name: String, _ doc: String, example: String = "", _ body: @escaping Iterator
  ) -> LuaMember<LuaTypedValue> {
    .method(
      name, "(type: string, member: string): TypedValue[], string?",
      doc + " Where there may be more of them, the second result says why.", example: example
    ) { object, frame in
      let (type, member) = (try frame.string(2), try frame.string(3))
      let memory = try object.memory
      return try object.push(
        body(memory, object.value, memory.type(type), member), frame)
    }
  }

  private static func entries(
    _ name: String, _ doc: String, example: String = "",
    _ body: @escaping (any TypedMemory, TypedValue) throws -> Listing<IndexedEntry>
  ) -> LuaMember<LuaTypedValue> {
    .method(
      name, "(type?: string): table[], string?",
      doc
        + " Tables of first and last (indices), and of value (what a pointer points to, where `type` "
        + "says what that is), address (without a type) or number (what stands in place of a pointer). "
        + "Where there may be more of them, the second result says why.", example: example
    ) { object, frame in
      let memory = try object.memory
      let type = frame.isMissing(2) ? nil : try memory.type(frame.string(2))
      return try object.push(body(memory, object.value), type, frame)
    }
  }

  private static var iteration: [LuaMember<LuaTypedValue>] {
    [
      iterator(
        "list_",
        "The structures in the list that begins at this struct list_head, of which `member` is the "
          + "node.",
        example: "local modules = img.linux.symbol.modules:list_(\"struct module\", \"list\")"
      ) { try $0.list($1, $2, $3) },
      iterator(
        "hlist_",
        "The structures in the list of this struct hlist_head (or hlist_nulls_head, hlist_bl_head), of "
          + "which `member` is the node."
      ) { try $0.hashList($1, $2, $3) },
      iterator(
        "rbtree_",
        "The structures in the red-black tree of this struct rb_root or rb_root_cached, in its order; "
          + "`member` is the node.",
        example: "local areas = root:rbtree_(\"struct vmap_area\", \"rb_node\")"
      ) { try $0.redBlackTree($1, $2, $3) },
      entries(
        "xarray_", "The entries of this struct xarray or idr, ascending.",
        example:
          "for _, e in ipairs(disk.part_tbl:xarray_ \"struct block_device\") do print(e.first) end"
      ) { try $0.indexedArray($1) },
      entries(
        "maple_", "The entries of this struct maple_tree, ascending.",
        example: "print(#task.mm.mm_mt:maple_ \"struct vm_area_struct\")"
      ) { try $0.mapleTree($1) },
    ]
  }
}
