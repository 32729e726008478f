// JSON as Lua reads and writes it.

internal import Bytes
internal import JSON
internal import LuaRuntime

extension ShellContext {
  var jsonFunctions: [LuaModuleFunction] {
    [
      LuaModuleFunction(
        "xs", "json", "(value: any, options?: table): string",
        "A plain Lua value as JSON text. An empty table is an object, with the option empty_list a list.",
        example: "print(xs.json({ found = {} }, { empty_list = true }))"
      ) { frame in
        let options = try OptionTable(frame, 2, "json", ["empty_list"])
        guard let value = try frame.value(1) else {
          throw frame.argumentError(1, "expected plain data")
        }
        frame.push(try jsonValue(value, emptyIsList: options.flag("empty_list", false)).text())
        return 1
      },
      LuaModuleFunction(
        "xs", "from_json", "(text: string): any, Error?",
        "The value of a JSON text: objects and arrays as tables, integers up to 64 bits as integers "
          + "(unsigned ones by bit pattern), null as nil. Nil and an error for what is no JSON.",
        example: "local t = assert(xs.from_json(io.open(\"level.json\"):read \"a\"))"
      ) { frame in
        let text = try frame.bytes(1)
        do throws(JSONError) { frame.push(luaValue(try JSONDocument(text).root)) } catch {
          return frame.fail(LuaFailure("\(error)", code: "bad_json"))
        }
        return 1
      },
    ]
  }
}

/// Plain Lua data as JSON. Bytes that are not UTF-8 are refused.
func jsonValue(_ value: LuaValue, emptyIsList: Bool = false) throws -> JSONValue {
  switch value {
  case .none: return .null
  case .boolean(let flag): return .bool(flag)
  case .integer(let value): return .number(JSONNumber(value))
  case .number(let value):
    guard let json = JSONNumber(value) else { throw LuaError("JSON has no number \(value)") }
    return .number(json)
  case .string(let bytes):
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw LuaError("expected UTF-8 text, got bytes \(bytes.prefix(16).hexDigits)")
    }
    return .string(text)
  case .list(let values):
    var items: [JSONValue] = []
    for value in values { items.append(try jsonValue(value, emptyIsList: emptyIsList)) }
    return .array(items)
  case .table(let fields) where fields.isEmpty && emptyIsList: return .array([])
  case .table(let fields):
    var members: [JSONObject.Member] = []
    for field in fields {
      let value = try jsonValue(field.value, emptyIsList: emptyIsList)
      members.append(JSONObject.Member(name: field.name, value: value))
    }
    return .object(JSONObject(distinct: members))
  }
}

/// JSON as plain Lua data.
func luaValue(_ value: JSONValue) -> LuaValue {
  switch value {
  case .null: .none
  case .bool(let flag): .boolean(flag)
  case .number(let value):
    if let integer = value.int64 {
      .integer(integer)
    } else if let unsigned = value.uint64 {
      .unsigned(unsigned)
    } else {
      .number(value.double ?? .nan)
    }
  case .string(let text): .text(text)
  case .array(let items): .list(items.map(luaValue))
  case .object(let object): .table(object.members.map { ($0.name, luaValue($0.value)) })
  }
}
