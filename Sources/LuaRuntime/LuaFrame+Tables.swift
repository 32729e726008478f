// Looking into tables, functions and objects without running any of the script's code.

internal import CLua

extension LuaFrame {
  /// A key and its value, as far as they can be had without metamethods.
  public enum Key: Sendable, Equatable {
    case integer(Int64)
    case name([UInt8])
    case boolean(Bool)
    /// Anything else: its type.
    case other(LuaType)
  }

  /// Calls `visit` for every entry of a table with the value on the top, until it returns false.
  /// `visit` leaves the stack as it was.
  public func forEachEntry<E: Error>(
    _ index: Int, _ visit: (Key) throws(E) -> Bool
  ) throws(E) {
    let table = Int(L.absolute(index))
    guard type(table) == .table, L.reserve(8) else { return }
    L.pushNil()
    while L.next(table) {
      let shouldContinue: Bool
      do { shouldContinue = try visit(key(-2)) } catch {
        pop(2)
        throw error
      }
      pop()
      guard shouldContinue else { return pop() }
    }
  }

  /// Fields that a table of options, methods or hooks may have.
  public static var fieldLimit: Int { 4096 }

  /// The names of a table's fields with the types of their values, in order of the names. Keys that
  /// are not strings are left out.
  public func fieldNames(
    _ index: Int
  ) throws(LuaError) -> [(name: String, type: LuaType)] {
    let index = Int(L.absolute(index))
    guard type(index) == .table else { return [] }
    try reserve(8)
    var out: [(name: String, type: LuaType)] = []
    L.pushNil()
    while L.next(index) {
      if let name = beginning(-2, 4096) { out.append((name, type(-1))) }
      pop()
      guard out.count <= LuaFrame.fieldLimit else {
        pop()
        throw LuaError("expected a table of at most \(LuaFrame.fieldLimit) fields")
      }
    }
    return out.sorted { $0.name < $1.name }
  }

  private func key(_ index: Int) -> Key {
    switch type(index) {
    case .number:
      if L.isInteger(index), let value = L.integer(index) { return .integer(value) }
      return .other(.number)
    case .string: return .name(bytesIfAny(index) ?? [])
    case .boolean: return .boolean(boolean(index))
    case let other: return .other(other)
    }
  }

  /// Pushes the value of `key` in a table, following `__index` as long as that is a table; its type.
  @discardableResult
  public func pushRaw(_ index: Int, _ key: LuaValue) -> LuaType {
    L.push(copyOf: index)
    for _ in 0..<16 {
      if type(-1) == .table {
        push(key)
        let found = LuaType(L.rawGet(-2))
        if found != .nil {
          L.rotate(-2, 1)
          pop()
          return found
        }
        pop()
      }
      guard L.pushMetafield(-1, "__index") else { break }
      L.rotate(-2, 1)
      pop()
      guard type(-1) == .table else { break }
    }
    pop()
    pushNil()
    return .nil
  }

  /// What tells tables, functions and objects apart: an address; nil for plain values.
  public func identity(_ index: Int) -> UInt? {
    switch type(index) {
    case .table, .function, .userdata, .thread: L.address(index)
    default: nil
    }
  }

  /// Whether the value has a metatable with this field.
  public func hasMetafield(_ index: Int, _ name: String) -> Bool {
    guard L.pushMetafield(index, name) else { return false }
    pop()
    return true
  }

  /// Whether a number is a Lua integer.
  public func isInteger(_ index: Int) -> Bool { L.isInteger(index) }
  public func number(_ index: Int) -> Double { L.number(index) }

  /// What is declared of a function that Swift bound, or of a module's table; nil for others.
  public func declaration(_ index: Int) -> LuaDeclaration? {
    if let identity = identity(index), let found = state.declared[identity] { return found }
    // A method is a closure over its number, its class's metatable and both names.
    guard type(index) == .function,
      let owner = L.upvalueText(index, 3), let name = L.upvalueText(index, 4)
    else { return nil }
    return state.declarations.first { $0.owner == owner && $0.name == name }
  }

  /// Where a Lua function was defined ("file.lua:12"); nil for functions of C or Swift.
  public func source(_ index: Int) -> String? { L.functionSource(index) }

  /// Pushes the values that the locals around a function have; how many.
  public func pushLocals(of index: Int) throws(LuaError) -> Int {
    let index = Int(L.absolute(index))
    guard source(index) != nil else { return 0 }
    try reserve(260)
    var count = 0
    while L.pushUpvalue(index, count + 1) { count += 1 }
    return count
  }

  /// Pops `count` values, and gives them back to the locals around the function at `index`, which has
  /// pushed them.
  public func popLocals(of index: Int, _ count: Int) {
    let index = Int(L.absolute(index))
    for upvalueIndex in stride(from: count, to: 0, by: -1) { L.setUpvalue(index, upvalueIndex) }
  }

  /// The module that `require` has loaded under this name, pushed; its type.
  @discardableResult
  public func pushLoaded(_ module: String) -> LuaType {
    L.pushLoadedModules()
    let type = pushField(-1, module)
    L.rotate(-2, 1)
    pop()
    return type
  }

  /// Exchanges the two values on the top.
  public func swapTop() { L.rotate(-2, 1) }

  /// The table of globals, pushed.
  public func pushGlobals() { _ = L.rawGet(Stack.registry, Stack.globals) }
}
