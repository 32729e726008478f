// Plain values as both sides know them.

/// A Lua value without identity. Tables, functions and objects stay on Lua's side.
public enum LuaValue: Sendable, Equatable {
  case none
  case boolean(Bool)
  /// Lua's integer; unsigned values of 64 bits have the same bit pattern.
  case integer(Int64)
  case number(Double)
  case string([UInt8])
  /// A table that is used as a list.
  case list([LuaValue])
  /// A table with names, in the order in which it is to be built.
  case table([(name: String, value: LuaValue)])

  public static func == (a: LuaValue, b: LuaValue) -> Bool {
    switch (a, b) {
    case (.none, .none): true
    case (.boolean(let x), .boolean(let y)): x == y
    case (.integer(let x), .integer(let y)): x == y
    case (.number(let x), .number(let y)): x == y
    case (.string(let x), .string(let y)): x == y
    case (.list(let x), .list(let y)): x == y
    case (.table(let x), .table(let y)):
      x.count == y.count && zip(x, y).allSatisfy { $0.name == $1.name && $0.value == $1.value }
    default: false
    }
  }

  public static func text(_ text: String) -> LuaValue { .string(Array(text.utf8)) }
  public static func unsigned(_ value: UInt64) -> LuaValue { .integer(Int64(bitPattern: value)) }
}

/// The type of a Lua value.
public enum LuaType: Int32, Sendable {
  case none = -1
  case `nil` = 0
  case boolean
  case number = 3
  case string, table, function, userdata, thread

  /// The type by Lua's own value. Light userdata (2), which views in loops are, are userdata as well.
  init(_ rawType: Int32) { self = rawType == 2 ? .userdata : LuaType(rawValue: rawType) ?? .none }

  /// The name that `type()` gives.
  public var name: String {
    switch self {
    case .none: "no value"
    case .nil: "nil"
    case .boolean: "boolean"
    case .userdata: "userdata"
    case .number: "number"
    case .string: "string"
    case .table: "table"
    case .function: "function"
    case .thread: "thread"
    }
  }
}
