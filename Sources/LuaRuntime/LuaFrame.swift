// A stack of Lua values as a Swift function sees it.

/// The arguments of a call from Lua, and the place for its results. Indexes count from 1, negative
/// ones from the top. Nothing here can raise a Lua error over Swift's frames.
public struct LuaFrame {
  public let state: LuaState
  let L: Stack

  init(_ state: LuaState, _ L: Stack) {
    self.state = state
    self.L = L
  }

  /// Values on the stack: at the start of a call, its arguments.
  public var count: Int { Int(L.top) }

  public func type(_ index: Int) -> LuaType { LuaType(L.type(index)) }
  /// Whether nothing, or nil, was given.
  public func isMissing(_ index: Int) -> Bool { L.type(index) <= 0 }

  // MARK: - Reading arguments

  /// The error of a wrong argument. Methods count their own object as argument 0.
  public func argumentError(_ index: Int, _ expected: String) -> LuaError {
    let argumentIndex = state.currentIsMethod ? index - 1 : index
    return LuaError(
      "bad argument #\(argumentIndex) to '\(state.currentName)' (\(expected), got \(typeName(index)))"
    )
  }

  /// The name of a value's type; of an object its class's.
  public func typeName(_ index: Int) -> String {
    let type = type(index)
    guard type == .userdata, let name = state.className(L, index) else { return type.name }
    return name
  }

  public func boolean(_ index: Int) -> Bool { L.boolean(index) }

  /// An integer: a Lua integer, a float without a fraction, or a decimal or hexadecimal string.
  public func integer(_ index: Int) throws(LuaError) -> Int64 {
    guard let value = integerIfAny(index) else { throw argumentError(index, "expected an integer") }
    return value
  }

  public func integerIfAny(_ index: Int) -> Int64? {
    switch type(index) {
    case .number: return L.integer(index)
    case .string:
      // Hexadecimal and large decimal numbers are unsigned: registers, pfns.
      guard let text = stringIfAny(index) else { return nil }
      if text.hasPrefix("0x") || text.hasPrefix("0X") {
        return UInt64(text.dropFirst(2), radix: 16).map(Int64.init(bitPattern:))
      }
      return Int64(text) ?? UInt64(text).map(Int64.init(bitPattern:))
    default: return nil
    }
  }

  /// An integer in `range`.
  public func integer(
    _ index: Int, in range: ClosedRange<Int64>
  ) throws(LuaError) -> Int {
    let value = try integer(index)
    guard range.contains(value) else {
      throw LuaError(
        "bad argument #\(state.currentIsMethod ? index - 1 : index) to '\(state.currentName)' "
          + "(expected \(range.lowerBound)..\(range.upperBound), got \(value))")
    }
    return Int(value)
  }

  /// The bytes of a string. The copy must find room below the state's limit.
  public func bytes(_ index: Int) throws(LuaError) -> [UInt8] {
    if type(index) == .string { try state.checkRoom(L.length(index)) }
    guard let bytes = bytesIfAny(index) else { throw argumentError(index, "expected a string") }
    return bytes
  }

  public func bytesIfAny(_ index: Int) -> [UInt8]? {
    L.bytes(index)
  }

  public func string(_ index: Int) throws(LuaError) -> String {
    String(decoding: try bytes(index), as: UTF8.self)
  }

  public func stringIfAny(_ index: Int) -> String? {
    bytesIfAny(index).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The beginning of a string, for messages and names: at most `limit` bytes; nil for anything
  /// else.
  public func beginning(_ index: Int, _ limit: Int) -> String? {
    L.bytes(index, limit: limit).map { LuaFrame.cut($0, L.length(index)) }
  }

  /// As much of a text of `count` bytes as is at hand, with a sign where that is not all.
  private static func cut(_ bytes: [UInt8], _ count: Int) -> String {
    String(decoding: bytes, as: UTF8.self) + (bytes.count < count ? "..." : "")
  }

  /// The object at `index`, of the class that Swift's type `Object` was registered as.
  public func object<Object: AnyObject>(
    _ index: Int, as type: Object.Type = Object.self
  ) throws(LuaError) -> Object {
    guard let object = objectIfAny(index, as: type) else {
      throw argumentError(index, "expected a \(state.className(of: type))")
    }
    return object
  }

  public func objectIfAny<Object: AnyObject>(
    _ index: Int, as type: Object.Type = Object.self
  ) -> Object? {
    L.object(index, state.className(of: type), type)
  }

  /// A global, pushed; its type.
  @discardableResult
  public func pushGlobal(_ name: String) -> LuaType {
    _ = L.rawGet(Stack.registry, Stack.globals)
    let type = pushField(-1, name)
    L.rotate(-2, 1)
    pop()
    return type
  }

  /// A field of a table, pushed; its type. What is no table has no fields.
  @discardableResult
  public func pushField(_ index: Int, _ name: String) -> LuaType {
    let index = L.absolute(index)
    guard type(Int(index)) == .table else {
      pushNil()
      return .nil
    }
    push(name)
    return LuaType(L.rawGet(index))
  }

  /// Element `position` (from 1) of a table, pushed; its type. What is no table has no elements.
  @discardableResult
  public func pushElement(_ index: Int, _ position: Int) -> LuaType {
    guard type(index) == .table else {
      pushNil()
      return .nil
    }
    return LuaType(L.rawGet(Int32(index), position))
  }

  /// The number of elements of a table used as a list, or of bytes of a string.
  public func length(_ index: Int) -> Int { L.length(index) }

  /// What tostring() gives; no more than `limit` bytes of it.
  public func text(_ index: Int, limit: Int = .max) -> String {
    L.pushText(of: index)
    defer { pop() }
    return beginning(-1, limit) ?? ""
  }

  /// The descriptor of the open file handle at `index`, with what was buffered written out; nil for
  /// anything else.
  public func fileDescriptor(_ index: Int) -> Int32? {
    let fileDescriptor = L.fileDescriptor(index)
    return fileDescriptor < 0 ? nil : fileDescriptor
  }

  /// A reference that keeps the value at `index` beyond the call.
  public func reference(_ index: Int) -> LuaReference {
    L.push(copyOf: index)
    return LuaReference(state, L.takeReference())
  }

  // MARK: - Pushing results

  public func pushNil() { L.pushNil() }
  public func push(_ value: Bool) { L.push(value) }
  public func push(_ value: Int64) { L.push(value) }
  public func push(_ value: Int) { L.push(Int64(value)) }
  /// An unsigned value: the same bits as a Lua integer.
  public func push(_ value: UInt64) { L.push(Int64(bitPattern: value)) }
  public func push(_ value: Double) { L.push(value) }

  public func push(_ text: String) { L.push(Array(text.utf8)) }
  public func push(_ bytes: [UInt8]) { L.push(bytes) }

  public func push(_ value: LuaValue) {
    // There is always a place left of what the value around it has reserved.
    guard L.reserve(8) else {
      state.isStackFull = true
      return pushNil()
    }
    switch value {
    case .none: pushNil()
    case .boolean(let value): push(value)
    case .integer(let value): push(value)
    case .number(let value): push(value)
    case .string(let bytes): push(bytes)
    case .list(let values):
      L.newTable(list: values.count)
      for (index, value) in values.enumerated() {
        push(value)
        L.rawSet(-2, index + 1)
      }
    case .table(let fields):
      L.newTable(fields: fields.count)
      for field in fields {
        push(field.name)
        push(field.value)
        L.rawSet(-3)
      }
    }
  }

  /// An object of a registered class; Lua holds a reference to it until it is collected.
  public func push<Object: AnyObject>(object: Object) {
    let known = state.knownClass(of: Object.self)
    L.push(object: object, known.name, weight: known.weight?(object) ?? 0)
  }

  /// Makes room for `count` more values on the stack.
  public func reserve(_ count: Int) throws(LuaError) {
    guard L.reserve(Int32(clamping: count)) else { throw LuaError("stack overflow") }
  }

  public func push(_ reference: LuaReference) {
    _ = L.rawGet(Stack.registry, Int(reference.registryKey))
  }

  /// A copy of the value at `index`.
  public func push(copyOf index: Int) { L.push(copyOf: index) }

  /// A Swift closure as a Lua function; it is freed with the last reference of Lua's.
  public func push(function name: String, _ body: @escaping LuaFunction) {
    state.push(L, function: name, body)
  }

  /// An empty table.
  public func pushTable() { L.newTable() }

  /// Sets `name` of the table below the top to the top, and pops it.
  public func setField(_ name: String) {
    push(name)
    L.rotate(-2, 1)
    L.rawSet(-3)
  }

  /// Sets element `position` of the table below the top to the top, and pops it.
  public func setElement(_ position: Int) { L.rawSet(-2, position) }

  /// Gives the table below the top the table on the top as its metatable, and pops that.
  public func setMetatable() { L.setMetatable(-2) }

  public func pop(_ count: Int = 1) { L.pop(count) }

  /// `nil, err`: how the world's failures reach a script. Returns 2, the number of results.
  public func fail(_ failure: LuaFailure) -> Int32 {
    pushNil()
    push(failure)
    return 2
  }

  /// The error table of a failure.
  public func push(_ failure: LuaFailure) {
    var fields = failure.fields
    fields.append(("message", .text(failure.message)))
    fields.append(("code", .text(failure.code)))
    push(LuaValue.table(fields))
    state.setErrorMetatable(L)
  }
}
