// Lists and trees of values: what C's macros iterate over.

internal import SystemIO
internal import Bytes
internal import Pages

/// An entry of a tree that has indices.
public struct IndexedEntry: Sendable, Equatable {
  /// The first and the last index that the entry is at.
  public let first: UInt64
  public let last: UInt64
  /// As it stands there: a pointer, or a number, whose lowest bit is 1 then.
  public let entry: UInt64

  /// The number that is stored in place of a pointer. Linux: include/linux/xarray.h, xa_to_value.
  public var value: UInt64? { entry & 1 != 0 ? entry >> 1 : nil }
}

extension TypedMemory {
  private func missing(_ problem: String) -> XensaveError { XensaveError(.usage, problem) }

  /// Where a member of a structure lies; throws where there is no such.
  func place(_ structure: String, _ path: String) throws -> Field {
    guard let id = try types.type("struct \(structure)"), let field = try types.field(id, path)
    else { throw missing("there is no struct \(structure) with a member \(path)") }
    return field
  }

  /// The structure that a value is, or that a pointer points to, and its name.
  private func header(_ value: TypedValue) throws -> (value: TypedValue, name: String) {
    let value = try isPointer(value) ? dereference(value) : value
    let types = try types
    guard value.type.pointers == 0, value.address != nil else {
      throw missing("\(description(of: value.type)) is no structure in memory")
    }
    return (value, types.name(types.resolved(value.type.id)))
  }

  private func wrong(_ value: TypedValue, _ expected: String) -> XensaveError {
    missing("expected \(expected), got \(description(of: value.type))")
  }

  private func values(
    _ listing: Listing<UInt64>, _ type: TypeReference
  ) -> Listing<TypedValue> {
    listing.map { TypedValue(.memory($0), type) }
  }

  private func node(_ type: TypeReference, _ member: String) throws -> UInt64 {
    guard type.pointers == 0, let field = try types.field(type.id, member) else {
      throw missing("\(description(of: type)) has no member \(member)")
    }
    return field.offset
  }

  // MARK: - Lists

  /// The structures in the list that begins at a struct list_head, or at what a pointer points to; their
  /// node is `member`.
  public func list(
    _ head: TypedValue, _ type: TypeReference, _ member: String
  ) throws -> Listing<TypedValue> {
    let start = try isPointer(head) ? integer(head) : head.address
    guard let start else { throw wrong(head, "a struct list_head") }
    let offset = try node(type, member)
    return memory.question { values(memory.list(start, offset), type) }
  }

  /// The structures in the list of a struct hlist_head (or one that ends with a mark, as of sockets, or
  /// whose lowest bit is a lock).
  public func hashList(
    _ head: TypedValue, _ type: TypeReference, _ member: String
  ) throws -> Listing<TypedValue> {
    let (head, name) = try header(head)
    let kinds = [
      "hlist_head": "hlist_node", "hlist_nulls_head": "hlist_nulls_node",
      "hlist_bl_head": "hlist_bl_node",
    ]
    guard let kind = kinds[name] else { throw wrong(head, "a struct hlist_head") }
    let offset = try node(type, member)
    var first = try integer(self.member(head, "first"))
    if name == "hlist_bl_head" { first &= ~1 }
    let next = try place(kind, "next")
    return memory.question {
      values(memory.chain(first, next, endsAtOdd: true).map { $0 &- offset }, type)
    }
  }

  // MARK: - Trees

  /// The structures in a red-black tree: of a struct rb_root or rb_root_cached.
  public func redBlackTree(
    _ root: TypedValue, _ type: TypeReference, _ member: String
  ) throws -> Listing<TypedValue> {
    var (root, name) = try header(root)
    if name == "rb_root_cached" {
      root = try self.member(root, "rb_root")
      name = "rb_root"
    }
    guard name == "rb_root" else { throw wrong(root, "a struct rb_root") }
    let offset = try node(type, member)
    let top = try integer(self.member(root, "rb_node"))
    let (left, right) = (try place("rb_node", "rb_left"), try place("rb_node", "rb_right"))
    return memory.question { values(memory.tree(top, left, right, offset), type) }
  }

  /// The entries of a struct xarray, or of a struct idr, ascending.
  public func indexedArray(_ array: TypedValue) throws -> Listing<IndexedEntry> {
    var (array, name) = try header(array)
    var base: UInt64 = 0
    if name == "idr" {
      base = try integer(member(array, "idr_base"))
      (array, name) = try header(member(array, "idr_rt"))
    }
    guard name == "xarray", let address = array.address else {
      throw wrong(array, "a struct xarray")
    }
    return try memory.question { try xarray(address, base: base) }
  }

  /// The entries of the struct xarray at an address.
  func xarray(_ address: UInt64, base: UInt64 = 0) throws -> Listing<IndexedEntry> {
    var walk = try XArrayWalk(self, base)
    walk.begin(try memory.value(address, place("xarray", "xa_head")))
    return walk.out
  }

  /// The entries of a struct maple_tree, ascending.
  public func mapleTree(_ tree: TypedValue) throws -> Listing<IndexedEntry> {
    let (tree, name) = try header(tree)
    guard name == "maple_tree", let address = tree.address else {
      throw wrong(tree, "a struct maple_tree")
    }
    return try memory.question { try mapleTree(address) }
  }

  /// The entries of the struct maple_tree at an address. Linux: lib/maple_tree.c, mt_dump_node.
  func mapleTree(_ tree: UInt64) throws -> Listing<IndexedEntry> {
    var walk = try MapleWalk(self)
    let root = try memory.value(tree, place("maple_tree", "ma_root"))
    if MapleWalk.isNode(root) {
      walk.visit(root, 0, .max, 0)
    } else if root != 0, root & 3 != 2 {
      // One entry needs no node.
      walk.out.items.append(IndexedEntry(first: 0, last: 0, entry: root))
    }
    return walk.out
  }
}

/// Walks over the nodes of an xarray. Linux: lib/xarray.c, xa_dump_node.
private struct XArrayWalk {
  let memory: KernelMemory
  let shift: Field
  let slots: Field
  let base: UInt64
  /// Bits of the index that a node decides.
  let bits: UInt64
  var out = Listing<IndexedEntry>()
  private var nodesLeft = 1 << 18

  init(_ types: some TypedMemory, _ base: UInt64) throws {
    memory = types.memory
    shift = try types.place("xa_node", "shift")
    slots = try types.place("xa_node", "slots")
    self.base = base
    // 64 slots, or 16 of small kernels.
    bits = slots.byteCount >= 64 * 8 ? 6 : 4
  }

  /// Numbers of the array's own, which are no nodes: siblings, and marks for retrying and for zero.
  private static let ownLimit: UInt64 = 4096

  mutating func begin(_ head: UInt64) {
    if head & 3 == 2, head > Self.ownLimit {
      visit(head - 2, 0, 64)
    } else if head != 0, head & 3 != 2 {
      add(0, 1, head)
    }
  }

  private mutating func add(_ index: UInt64, _ count: UInt64, _ entry: UInt64) {
    out.items.append(
      IndexedEntry(first: base &+ index, last: base &+ index &+ (count - 1), entry: entry))
  }

  /// `above`: the shift of the node that this one is below; its own is less, so that all ends.
  private mutating func visit(_ node: UInt64, _ index: UInt64, _ above: UInt64) {
    do {
      let shift = try memory.value(node, shift)
      guard shift < above, shift % bits == 0 else {
        out.problem = out.problem ?? "node \(node.hex()) of an xarray leads back"
        return
      }
      for slot in 0..<(UInt64(1) << bits) {
        guard nodesLeft > 0, out.items.count < KernelMemory.listLimit else {
          out.problem = out.problem ?? "the xarray has no end"
          return
        }
        let entry = try memory.word(node &+ slots.offset &+ 8 * slot)
        let place = index &+ slot << shift
        if entry & 3 != 2 {
          if entry != 0 { add(place, 1 << shift, entry) }
        } else if entry > Self.ownLimit {
          nodesLeft -= 1
          visit(entry - 2, place, shift)
        } else if entry >> 2 < slot, let last = out.items.last,
          last.first == base &+ index &+ (entry >> 2) << shift
        {
          // A sibling: the entry before it is at this index, too.
          out.items[out.items.count - 1] = IndexedEntry(
            first: last.first, last: base &+ place &+ (1 << shift - 1), entry: last.entry)
        }
      }
    } catch { out.problem = out.problem ?? "an xarray ends early: \(error)" }
  }
}

/// Walks over the nodes of a maple tree.
struct MapleWalk {
  let memory: KernelMemory
  let pivots64, slots64, pivotsA, slotsA: Field
  var out = Listing<IndexedEntry>()
  private var nodesLeft = 1 << 18
  /// Most entries of a tree.
  static let entryLimit = 1 << 20

  init(_ types: some TypedMemory) throws {
    memory = types.memory
    pivots64 = try types.place("maple_range_64", "pivot")
    slots64 = try types.place("maple_range_64", "slot")
    pivotsA = try types.place("maple_arange_64", "pivot")
    slotsA = try types.place("maple_arange_64", "slot")
  }

  static func isNode(_ entry: UInt64) -> Bool { entry & 3 == 2 && entry > 4096 }

  mutating func visit(_ entry: UInt64, _ first: UInt64, _ last: UInt64, _ depth: Int) {
    guard depth < 32, nodesLeft > 0, out.items.count < MapleWalk.entryLimit else {
      out.problem = out.problem ?? "the maple tree has no end"
      return
    }
    nodesLeft -= 1
    // Bits 3 to 6: 1 a leaf of ranges, 2 ranges, 3 ranges with gaps.
    let kind = entry >> 3 & 0xF
    let node = entry & ~0xFF
    guard (1...3).contains(kind) else {
      out.problem =
        out.problem ?? "node \(node.hex()) of a maple tree has the unknown kind \(kind)"
      return
    }
    let (pivots, slots) = kind == 3 ? (pivotsA, slotsA) : (pivots64, slots64)
    let count = slots.byteCount / 8
    let pivotCount = pivots.byteCount / 8
    var start = first
    for index in 0..<min(count, 64) {
      let slot: UInt64
      var end = last
      do {
        slot = try memory.word(node &+ slots.offset &+ UInt64(8 * index))
        if index < pivotCount {
          end = try memory.word(node &+ pivots.offset &+ UInt64(8 * index))
        } else if slot == 0, last != .max {
          return
        }
      } catch {
        out.problem = out.problem ?? "a maple tree ends early: \(error)"
        return
      }
      if end == 0, index > 0 { return }
      if kind == 1 {
        if slot != 0, slot & 3 != 2 {
          out.items.append(IndexedEntry(first: start, last: end, entry: slot))
        }
      } else if slot > 4096 {
        visit(slot, start, end, depth + 1)
      }
      guard end < last, end >= start else { return }
      start = end + 1
    }
  }
}
