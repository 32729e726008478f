// Lua's C API as safe calls on one stack: the only place that passes lua_State pointers around.

internal import CLua
internal import CLuaShim

/// A Lua stack. Every call here is one that cannot raise an error while Swift is on the stack; see
/// CLuaShim.h for why.
///
/// Safety of all of them: the pointer comes from `clua_new` or from a call that Lua makes into
/// Swift, and is used only while the `LuaState` that owns it is open; indexes are those of values
/// on the stack, as the callers see to.
@safe
struct Stack: Equatable {
  let raw: OpaquePointer

  init(_ raw: OpaquePointer) { unsafe self.raw = raw }

  static func == (a: Stack, b: Stack) -> Bool { unsafe a.raw == b.raw }

  var top: Int32 { unsafe lua_gettop(raw) }
  func absolute(_ index: Int) -> Int32 { unsafe lua_absindex(raw, Int32(index)) }
  /// Makes room for `count` more values; false where the stack has reached its end.
  func reserve(_ count: Int32) -> Bool { unsafe lua_checkstack(raw, count) != 0 }
  func pop(_ count: Int) { unsafe clua_pop(raw, Int32(count)) }
  func rotate(_ index: Int32, _ by: Int32) { unsafe lua_rotate(raw, index, by) }

  // Values.
  func type(_ index: Int) -> Int32 { unsafe lua_type(raw, Int32(index)) }
  func boolean(_ index: Int) -> Bool { unsafe lua_toboolean(raw, Int32(index)) != 0 }
  func isInteger(_ index: Int) -> Bool { unsafe lua_isinteger(raw, Int32(index)) != 0 }
  func number(_ index: Int) -> Double { unsafe lua_tonumberx(raw, Int32(index), nil) }
  func length(_ index: Int) -> Int { Int(unsafe lua_rawlen(raw, Int32(index))) }

  /// The integer at `index` if the number there has an exact one.
  func integer(_ index: Int) -> Int64? {
    var isInteger: Int32 = 0
    let value = unsafe lua_tointegerx(raw, Int32(index), &isInteger)
    return isInteger != 0 ? value : nil
  }

  /// A copy of the bytes of a string, of the first `limit` of them; nil for anything else.
  func bytes(_ index: Int, limit: Int = .max) -> [UInt8]? {
    var count = 0
    guard let start = unsafe clua_string(raw, Int32(index), &count) else { return nil }
    // Safety: Lua holds `count` bytes there as long as the value is on the stack.
    return unsafe [UInt8](UnsafeRawBufferPointer(start: start, count: min(count, limit)))
  }

  /// The object of class `name` at `index`.
  func object<Object: AnyObject>(_ index: Int, _ name: String, _ type: Object.Type) -> Object? {
    guard let object = unsafe clua_object(raw, Int32(index), name) else { return nil }
    // Safety: clua_object has checked that the userdata is of the class registered for this type.
    return unsafe Unmanaged<Object>.fromOpaque(object).takeUnretainedValue()
  }

  func address(_ index: Int) -> UInt {
    UInt(bitPattern: unsafe lua_topointer(raw, Int32(index)))
  }
  /// Upvalue `upvalueIndex` of a C function, if it is a string.
  func upvalueText(_ index: Int, _ upvalueIndex: Int32) -> String? {
    guard unsafe lua_iscfunction(raw, Int32(index)) != 0,
      unsafe lua_getupvalue(raw, Int32(index), upvalueIndex) != nil
    else { return nil }
    defer { pop(1) }
    return bytes(-1).map { String(decoding: $0, as: UTF8.self) }
  }
  /// Pushes upvalue `upvalueIndex` of a function; false, and nothing pushed, where there is none.
  func pushUpvalue(_ index: Int, _ upvalueIndex: Int) -> Bool {
    unsafe lua_getupvalue(raw, Int32(index), Int32(upvalueIndex)) != nil
  }
  /// Pops it.
  func setUpvalue(_ index: Int, _ upvalueIndex: Int) {
    unsafe _ = lua_setupvalue(raw, Int32(index), Int32(upvalueIndex))
  }
  /// "file:line" of a Lua function.
  func functionSource(_ index: Int) -> String? {
    guard type(index) == LUA_TFUNCTION, unsafe lua_iscfunction(raw, Int32(index)) == 0 else {
      return nil
    }
    var info = unsafe lua_Debug()
    push(copyOf: index)
    guard unsafe lua_getinfo(raw, ">S", &info) != 0 else { return nil }
    // Safety: short_src is an array that ends in NUL; it is copied at once.
    let name = unsafe withUnsafeBytes(of: &info.short_src) {
      unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
    }
    return unsafe "\(name):\(info.linedefined)"
  }

  func pushNil() { unsafe lua_pushnil(raw) }
  func push(_ value: Bool) { unsafe lua_pushboolean(raw, value ? 1 : 0) }
  func push(_ value: Int64) { unsafe lua_pushinteger(raw, value) }
  func push(_ value: Double) { unsafe lua_pushnumber(raw, value) }
  func push(copyOf index: Int) { unsafe lua_pushvalue(raw, Int32(index)) }
  func pushFunction(_ functionID: Int) { unsafe clua_push_function(raw, functionID) }
  /// A function that gives `object` up once nothing can call it.
  func pushFunction<Object: AnyObject>(_ functionID: Int, owning object: Object, _ name: String) {
    // Safety: the release function balances this retain, once.
    unsafe clua_push_owned_function(
      raw, functionID, name, Unmanaged.passRetained(object).toOpaque())
  }
  func pushText(of index: Int) { unsafe clua_push_text(raw, Int32(index)) }

  func push(_ bytes: [UInt8]) {
    // Safety: Lua copies the bytes before it returns.
    unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe buffer.withMemoryRebound(to: CChar.self) {
        _ = unsafe lua_pushlstring(raw, $0.baseAddress, $0.count)
      }
    }
  }

  func push<Object: AnyObject>(object: Object, _ name: String, weight: Int) {
    // Safety: the release function balances this retain, once.
    unsafe clua_push_object(raw, name, Unmanaged.passRetained(object).toOpaque(), weight)
  }
  func setWeight(_ index: Int, of object: AnyObject, _ weight: Int) {
    // Safety: the address is compared and not followed.
    unsafe clua_set_weight(
      raw, Int32(index), Unmanaged.passUnretained(object).toOpaque(), weight)
  }

  // Tables, without metamethods.
  func newTable(list: Int = 0, fields: Int = 0) {
    unsafe lua_createtable(raw, Int32(clamping: list), Int32(clamping: fields))
  }
  func rawGet(_ index: Int32) -> Int32 { unsafe lua_rawget(raw, index) }
  func rawGet(_ index: Int32, _ position: Int) -> Int32 {
    unsafe lua_rawgeti(raw, index, lua_Integer(position))
  }
  func rawSet(_ index: Int32) { unsafe lua_rawset(raw, index) }
  func rawSet(_ index: Int32, _ position: Int) {
    unsafe lua_rawseti(raw, index, lua_Integer(position))
  }
  func next(_ index: Int) -> Bool { unsafe clua_next(raw, Int32(index)) != 0 }

  // The registry.
  static let registry = clua_registry_index()
  static let globals = Int(LUA_RIDX_GLOBALS)
  func takeReference() -> Int32 { unsafe luaL_ref(raw, Stack.registry) }
  func drop(reference: Int32) { unsafe luaL_unref(raw, Stack.registry, reference) }
  /// Pushes a metatable of this name; true if it is new. Pops nothing.
  func newMetatable(_ name: String) -> Bool { unsafe luaL_newmetatable(raw, name) != 0 }
  func setMetatable(_ index: Int32) { unsafe _ = lua_setmetatable(raw, index) }
  func pushLoadedModules() { unsafe _ = luaL_getsubtable(raw, Stack.registry, "_LOADED") }
  /// Pushes field `name` of the value's metatable; false, and nothing pushed, where there is none.
  func pushMetafield(_ index: Int, _ name: String) -> Bool {
    unsafe luaL_getmetafield(raw, Int32(index), name) != 0
  }

  // Classes.
  func newClass(_ name: String, _ metamethods: clua_metamethods) {
    var metamethods = metamethods
    unsafe clua_new_class(raw, name, &metamethods)
  }
  func addMetamethod(_ owner: String, _ name: String, _ functionID: Int) {
    unsafe clua_add_metamethod(raw, owner, name, functionID)
  }
  func addMethod(_ owner: String, _ name: String, _ functionID: Int) {
    unsafe clua_add_method(raw, owner, name, functionID)
  }
  func addProperty(_ owner: String, _ name: String, _ getter: Int, _ setter: Int) {
    unsafe clua_add_property(raw, owner, name, getter, setter)
  }

  // Views of memory.
  func newViewClass(_ name: String) { unsafe clua_new_view_class(raw, name) }
  func addViewMethod(_ name: String, _ functionID: Int) {
    unsafe clua_add_view_method(raw, name, functionID)
  }
  /// Pushes a cell with `owned` bytes of its own.
  @unsafe func pushCell(_ owned: Int) -> UnsafeMutablePointer<clua_cell> {
    unsafe clua_push_cell(raw, owned)
  }
  func pushCell(copying bytes: [UInt8]) {
    let cell = unsafe pushCell(max(1, bytes.count))
    // Safety: the cell has as many bytes of its own.
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe UnsafeMutableRawPointer(cell.pointee.base)
        .copyMemory(from: start, byteCount: source.count)
    }
  }
  func pushView(cell: Int32, _ count: Int, _ address: UInt64, reason: Int32) {
    unsafe clua_push_view(raw, cell, 0, count, address, reason)
  }
  /// Pops an object and pushes a view of its `count` bytes, which function `functionID` moves.
  func pushSourceView(_ functionID: Int, _ count: Int) {
    unsafe clua_push_source_view(raw, functionID, count)
  }
  /// Pushes object and cell of a view that has a source; where in the object's bytes it is.
  func pushSource(_ index: Int) -> Range<Int>? {
    var (offset, count) = (0, 0)
    guard unsafe clua_push_source(raw, Int32(index), &offset, &count) else { return nil }
    return offset..<offset + count
  }
  /// The bytes in the cell at `index`.
  @unsafe func cellBytes(_ index: Int) -> UnsafeMutableRawBufferPointer {
    // Safety: the caller knows that a cell is there; it has `length` bytes from `base` on.
    let cell = unsafe lua_touserdata(raw, Int32(index)).assumingMemoryBound(to: clua_cell.self)
    return unsafe UnsafeMutableRawBufferPointer(
      start: cell.pointee.base, count: cell.pointee.length)
  }
  /// Pushes the items of a loop.
  func pushItems(_ count: Int, _ item: (Int) -> clua_item) {
    unsafe fill(clua_push_items(raw, count), count, item)
  }
  /// Fills the items on the top anew; false where there is no room for as many.
  func renewItems(_ count: Int, _ item: (Int) -> clua_item) -> Bool {
    guard let items = unsafe clua_renew_items(raw, -1, count) else { return false }
    unsafe fill(items, count, item)
    return true
  }
  private func fill(
    _ items: UnsafeMutablePointer<clua_item>?, _ count: Int, _ item: (Int) -> clua_item
  ) {
    // Safety: there are `count` of them.
    for index in 0..<count { unsafe items?[index] = item(index) }
  }
  func pushLoop(cell: Int32) { unsafe clua_push_loop(raw, cell) }
  @unsafe func view(_ index: Int) -> (bytes: UnsafeRawBufferPointer, address: UInt64)? {
    var count = 0
    var address: UInt64 = 0
    guard let start = unsafe clua_view(raw, Int32(index), &count, &address) else { return nil }
    return unsafe (UnsafeRawBufferPointer(start: start, count: count), address)
  }

  // Calls.
  func call(_ arguments: Int, _ results: Int) -> Int32 {
    unsafe clua_call(raw, Int32(arguments), Int32(results))
  }
  func load(_ text: [UInt8], _ name: String) -> Int32 {
    // Safety: Lua reads the bytes before it returns.
    unsafe text.withUnsafeBufferPointer { bytes in
      unsafe bytes.withMemoryRebound(to: CChar.self) {
        unsafe clua_load(raw, $0.baseAddress, $0.count, name)
      }
    }
  }
  var traceback: String? {
    // Safety: the text is copied at once.
    guard let text = unsafe clua_traceback(raw) else { return nil }
    return unsafe String(cString: text)
  }
  var isStopping: Bool { unsafe clua_is_stopping(raw) }
  func endStop() { unsafe clua_end_stop(raw) }
  func takeThread() { unsafe clua_take_thread(raw) }
  func fileDescriptor(_ index: Int) -> Int32 { unsafe clua_file_descriptor(raw, Int32(index)) }
  func makeActive() { unsafe clua_set_active(raw) }
  func clearActive() { unsafe clua_clear_active(raw) }
  var memory: Int { Int(unsafe clua_memory(raw)) }
  /// Bytes below the limit; nil where there is none.
  var room: Int? {
    let room = unsafe clua_room(raw)
    return room == .max ? nil : Int(clamping: room)
  }
  func hold(_ count: Int) -> Bool { unsafe clua_hold(raw, count) }
  func release(_ count: Int) { unsafe clua_let_go(raw, count) }
  func failAllocations(after count: UInt64) { unsafe clua_fail_allocations(raw, count) }
  func collect() { unsafe clua_collect(raw) }
  func close() { unsafe clua_close(raw) }

  static let statusOK = LUA_OK
  static let statusMemory = LUA_ERRMEM
}
