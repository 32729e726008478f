// Tables that cross into Swift as plain data.

internal import CLua

/// What a value may come to: its parts, and their bytes.
private struct ValueBudget {
  /// What a part takes besides the bytes of its texts.
  static let partSize = 64
  /// For states without a limit.
  static let largest = 1 << 30

  private(set) var left: Int
  private let first: Int

  init(_ room: Int?) {
    first = min(room ?? ValueBudget.largest, ValueBudget.largest)
    left = first
  }

  var taken: Int { first - left }

  /// Takes a part with so many bytes of text.
  mutating func take(_ count: Int = 0) throws(LuaError) {
    guard count <= left - ValueBudget.partSize else {
      throw LuaError(
        "not enough memory for this table (\(first / ValueBudget.partSize) values at most; a table "
          + "that stands in several places counts as often)", kind: .memory)
    }
    left -= ValueBudget.partSize + count
  }
}

extension LuaFrame {
  /// Tables in tables that a plain value may have.
  public static var depthLimit: Int { 32 }

  /// A value with everything in it, as far as it is data; nil where there is something else in it
  /// (a function, an object). A table is a list (1 to n) or a map (names): anything else throws, and
  /// so does a table inside itself, and one that is larger than the state's limit allows.
  public func value(_ index: Int) throws(LuaError) -> LuaValue? {
    var budget = ValueBudget(L.room)
    return try value(index, LuaFrame.depthLimit, &budget)
  }

  /// The same, and about how many bytes Swift keeps with it.
  public func sizedValue(_ index: Int) throws(LuaError) -> (value: LuaValue?, size: Int) {
    var budget = ValueBudget(L.room)
    let value = try value(index, LuaFrame.depthLimit, &budget)
    return (value, budget.taken)
  }

  private func value(
    _ index: Int, _ depth: Int, _ budget: inout ValueBudget
  ) throws(LuaError) -> LuaValue? {
    let index = Int(L.absolute(index))
    switch type(index) {
    case .none, .nil:
      try budget.take()
      return LuaValue.none
    case .boolean:
      try budget.take()
      return .boolean(boolean(index))
    case .number:
      try budget.take()
      if L.isInteger(index), let value = L.integer(index) { return .integer(value) }
      return .number(L.number(index))
    case .string:
      try budget.take(L.length(index))
      return bytesIfAny(index).map { .string($0) }
    case .table:
      guard depth > 0 else {
        throw LuaError(
          "a table is inside itself, or tables are nested more than \(LuaFrame.depthLimit) deep")
      }
      guard !L.isStopping else { throw LuaError("interrupted", kind: .interrupted) }
      try reserve(8)
      try budget.take()
      let length = L.length(index)
      try checkKeys(index, length)
      return length > 0
        ? try list(index, length, depth - 1, &budget) : try map(index, depth - 1, &budget)
    default: return nil
    }
  }

  /// A list has the keys 1 to n, a map names.
  private func checkKeys(_ table: Int, _ length: Int) throws(LuaError) {
    var strange: String?
    forEachEntry(table) { key in
      switch key {
      case .integer(let index) where length > 0 && index >= 1 && index <= length: return true
      case .name where length == 0: return true
      case .integer(let index): strange = "\(index)"
      case .name(let name):
        strange = "'\(String(decoding: name.prefix(40), as: UTF8.self))'"
      case .boolean(let flag): strange = "\(flag)"
      case .other(let type): strange = "a \(type.name)"
      }
      return false
    }
    guard let strange else { return }
    throw LuaError(
      length > 0
        ? "a table is a list or a map: expected the keys 1 to \(length) alone, got \(strange)"
        : "a table is a list (from 1) or a map (of names): got the key \(strange)")
  }

  private func list(
    _ table: Int, _ length: Int, _ depth: Int, _ budget: inout ValueBudget
  ) throws(LuaError) -> LuaValue? {
    var list: [LuaValue] = []
    for item in 1...length {
      _ = L.rawGet(Int32(table), item)
      defer { pop() }
      guard let value = try value(-1, depth, &budget) else { return nil }
      list.append(value)
    }
    return .list(list)
  }

  private func map(
    _ table: Int, _ depth: Int, _ budget: inout ValueBudget
  ) throws(LuaError) -> LuaValue? {
    var fields: [(name: String, value: LuaValue)] = []
    L.pushNil()
    while L.next(table) {
      let found: LuaValue?
      do throws(LuaError) {
        try budget.take(L.length(-2))
        found = try value(-1, depth, &budget)
      } catch {
        pop(2)
        throw error
      }
      guard let found, let name = stringIfAny(-2) else {
        pop(2)
        return nil
      }
      fields.append((name, found))
      pop()
    }
    return .table(fields.sorted { $0.name < $1.name })
  }
}
