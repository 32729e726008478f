// A Lua state: the Swift functions that it can call, and calls into it.

internal import CLua
internal import CLuaShim

/// A Swift function that Lua can call: takes its arguments from the frame, pushes results and
/// returns how many. What it throws is raised in the script (`LuaError(raising:)`).
public typealias LuaFunction = (LuaFrame) throws -> Int32

/// A Lua state with its libraries. It belongs to one thread.
public final class LuaState {
  /// The state itself; nil once it is closed.
  private(set) var stack: Stack?
  private var functions: [(name: String, isMethod: Bool, body: LuaFunction)] = []
  /// Numbers of functions that nothing can call any more.
  private var freeIDs: [Int] = []
  /// The function that moves the bytes of views whose bytes are Swift's.
  var viewSourceFunction = -1
  private(set) var currentName = "?"
  private(set) var currentIsMethod = false
  /// A class that is known here: its name, and what an object of it keeps for the script.
  struct KnownClass {
    var name: String
    var weight: ((AnyObject) -> Int)?
  }
  private var classes: [ObjectIdentifier: KnownClass] = [:]
  /// A value did not find place on the stack.
  var isStackFull = false
  /// The declarations of everything that is bound, for help and documentation.
  public internal(set) var declarations: [LuaDeclaration] = []
  /// The declarations of bound functions and module tables, by the addresses of these.
  var declared: [UInt: LuaDeclaration] = [:]
  /// What whoever made the state wants to find again with it.
  public var context: AnyObject?
  /// What the script is looking at, for messages: "record 8 (X86_TSC_INFO) at 0x1a40".
  public var place: (() -> String)?

  /// What scripts find.
  public enum Libraries: Sendable {
    /// All of Lua's own.
    case all
    /// None of io, os, debug and package.
    case harmless
    /// Those, read-only, without what can be turned against the program: binary chunks, finalizers,
    /// addresses. Of os only the clocks.
    case sandbox
  }

  /// A new state. `memoryLimit` in bytes, 0 for none.
  public init(memoryLimit: Int = 0, _ libraries: Libraries = .all) throws(LuaError) {
    // Safety: the entry is called only while this object lives: `deinit` closes the state.
    let host = unsafe Unmanaged.passUnretained(self).toOpaque()
    let raw = unsafe clua_new(
      memoryLimit, { L, functionID, host in unsafe LuaState.enter(L, functionID, host) },
      { object in
        guard let object = unsafe object else { return }
        unsafe Unmanaged<AnyObject>.fromOpaque(object).release()
      }, host, libraries.kind)
    guard let raw = unsafe raw else { throw LuaError("not enough memory", kind: .memory) }
    stack = unsafe Stack(raw)
    if case .all = libraries {
      // What the whole API takes: tables that grow step by step cost some 4 % of a short run.
      classes.reserveCapacity(64)
      declared.reserveCapacity(512)
    }
    frame.L.newClass(
      FunctionID.className,
      clua_metamethods(
        index: -1, newindex: -1, length: -1, tostring: -1, call: -1, close: -1, equal: -1))
  }

  deinit { close() }

  /// Closes the state: collects everything in it, which runs the scripts' finalizers.
  public func close() {
    guard let L = stack else { return }
    stack = nil
    context = nil
    L.clearActive()
    L.close()
  }

  /// The stack of the main state, for setting things up.
  public var frame: LuaFrame {
    guard let stack else { preconditionFailure("the Lua state is closed") }
    return LuaFrame(self, stack)
  }

  // MARK: - Lua calls Swift

  private static func enter(
    _ raw: OpaquePointer?, _ functionID: Int, _ host: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let raw = unsafe raw, let host = unsafe host else { return 0 }
    let L = unsafe Stack(raw)
    // Safety: `host` is the state object that made this Lua state; see `init`.
    let state = unsafe Unmanaged<LuaState>.fromOpaque(host).takeUnretainedValue()
    let function = state.functions[functionID]
    let (name, isMethod) = (state.currentName, state.currentIsMethod)
    state.currentName = function.name
    state.currentIsMethod = function.isMethod
    defer {
      state.currentName = name
      state.currentIsMethod = isMethod
    }
    let frame = LuaFrame(state, L)
    guard L.reserve(160) else {
      frame.push("stack overflow")
      return -1
    }
    do {
      let count = try function.body(frame)
      guard !state.isStackFull else {
        state.isStackFull = false
        frame.push("stack overflow")
        return -1
      }
      return count
    } catch {
      let error = LuaError(raising: error)
      if error.code.isEmpty {
        frame.push(error.message)
      } else {
        frame.push(LuaFailure(error.message, code: error.code))
      }
      return error.traceback == nil ? -1 : -2
    }
  }

  /// Adds a Swift function; its id for C.
  func add(_ name: String, isMethod: Bool, _ body: @escaping LuaFunction) -> Int {
    if let functionID = freeIDs.popLast() {
      functions[functionID] = (name, isMethod, body)
      return functionID
    }
    functions.append((name, isMethod, body))
    return functions.count - 1
  }

  /// Forgets a function that nothing can call any more.
  fileprivate func remove(_ functionID: Int) {
    functions[functionID] = ("", false, { _ in 0 })
    freeIDs.append(functionID)
  }

  /// Pushes a Swift function as a value of Lua, which goes when nothing can call it any more.
  func push(_ L: Stack, function name: String, _ body: @escaping LuaFunction) {
    let functionID = add(name, isMethod: false, body)
    L.pushFunction(functionID, owning: FunctionID(self, functionID), FunctionID.className)
  }

  /// Makes a Swift function a global.
  public func setGlobal(function name: String, _ body: @escaping LuaFunction) {
    let functionID = add(name, isMethod: false, body)
    frame.L.pushFunction(functionID)
    setGlobalFromTop(name)
  }

  /// Sets a global to the value on the top of the frame, and pops it.
  public func setGlobalFromTop(_ name: String) {
    let L = frame.L
    _ = L.rawGet(Stack.registry, Stack.globals)
    L.rotate(-2, 1)
    frame.setField(name)
    frame.pop()
  }

  // MARK: - Classes

  func setClass(_ known: KnownClass, of type: ObjectIdentifier) { classes[type] = known }
  func knownClass<Object: AnyObject>(of type: Object.Type) -> KnownClass {
    classes[ObjectIdentifier(type)] ?? KnownClass(name: "object")
  }
  func className<Object: AnyObject>(of type: Object.Type) -> String { knownClass(of: type).name }

  /// The class of the userdata at `index`, or nil.
  func className(_ L: Stack, _ index: Int) -> String? {
    guard L.pushMetafield(index, "__name") else { return nil }
    defer { L.pop(1) }
    return LuaFrame(self, L).stringIfAny(-1)
  }

  /// Gives the table on the top the metatable of error tables, whose __tostring is its message.
  func setErrorMetatable(_ L: Stack) {
    if L.newMetatable("xensave.error") {
      let frame = LuaFrame(self, L)
      frame.push(function: "tostring") { frame in
        frame.pushField(1, "message")
        return 1
      }
      frame.setField("__tostring")
    }
    L.setMetatable(-2)
  }

  // MARK: - Swift calls Lua

  /// Compiles `text`; the function is on the top of the frame. Text only: no precompiled chunks.
  public func load(_ text: [UInt8], name: String) throws(LuaError) {
    try load(frame, text, name: name)
  }

  /// The same on the stack of a call that is under way.
  public func load(_ frame: LuaFrame, _ text: [UInt8], name: String) throws(LuaError) {
    let status = frame.L.load(text, name)
    if status != Stack.statusOK {
      let message = frame.stringIfAny(-1) ?? "syntax error"
      frame.pop()
      throw LuaError(message, kind: status == Stack.statusMemory ? .memory : .syntax)
    }
  }

  /// Calls the function below `arguments` values on the top. `results` values are left (-1: all).
  public func call(_ arguments: Int, results: Int = 0) throws(LuaError) {
    try call(frame, arguments, results: results)
  }

  /// The same on the stack of a call that is under way.
  public func call(
    _ frame: LuaFrame, _ arguments: Int, results: Int = 0
  ) throws(LuaError) {
    let L = frame.L
    guard L.reserve(16) else { throw LuaError("stack overflow") }
    let status = L.call(arguments, results)
    guard status != Stack.statusOK else { return }
    let isStopped = L.isStopping
    var code = ""
    if frame.type(-1) == .table {
      if frame.pushField(-1, "code") == .string { code = frame.beginning(-1, 100) ?? "" }
      frame.pop()
    }
    // error() may be given anything; a table without a text says nothing but its address.
    let isText = frame.type(-1) != .table || frame.hasMetafield(-1, "__tostring")
    let message =
      isStopped
      ? "interrupted"
      : isText
        ? frame.text(-1, limit: LuaState.messageLimit)
        : "(error object is a table)" + (code.isEmpty ? "" : ": \(code)")
    frame.pop()
    var error = LuaError(
      message,
      kind: isStopped ? .interrupted : status == Stack.statusMemory ? .memory : .script, code: code)
    error.traceback = L.traceback
    throw error
  }

  /// Whether this error message means that the text ends too early: more lines may complete it.
  public static func isIncomplete(_ error: LuaError) -> Bool {
    error.kind == .syntax && error.message.hasSuffix("<eof>")
  }

  // MARK: - Limits

  /// Lets SIGINT (by `LuaState.stopActive`) stop the scripts of this state.
  public func makeActive() { frame.L.makeActive() }

  /// Stops the running script of the active state; may be called from a signal handler.
  public static var stopActive: @convention(c) () -> Void { { clua_stop_active() } }

  /// "Lua 5.4".
  public static let release = "Lua \(LUA_VERSION_MAJOR).\(LUA_VERSION_MINOR).\(LUA_VERSION_RELEASE)"

  /// Ends a stop: scripts may run again.
  public func endStop() { frame.L.endStop() }

  /// Makes the calling thread the state's: `stopSignal`, sent to the thread, stops the script.
  public func takeThread() { frame.L.takeThread() }

  /// The signal that `takeThread` lets through.
  public static var stopSignal: Int32 { clua_stop_signal() }

  /// Bytes of an error's message that are kept.
  static let messageLimit = 64 << 10

  /// Bytes that the state and, for it, Swift hold.
  public var memory: Int { frame.L.memory }

  /// Counts `count` bytes that Swift keeps for the script, until they are let go.
  public func hold(_ count: Int) throws(LuaError) {
    guard frame.L.hold(count) else { throw LuaError("not enough memory", kind: .memory) }
  }
  public func release(_ count: Int) { stack?.release(count) }

  /// Throws where a copy of `count` bytes would pass the limit.
  func checkRoom(_ count: Int) throws(LuaError) {
    guard let room = frame.L.room, room < count else { return }
    collectGarbage()
    guard let room = frame.L.room, room < count else { return }
    throw LuaError("not enough memory", kind: .memory)
  }

  /// For tests: after `count` more allocations the system has no more memory; nil: it has again.
  public func failAllocations(after count: UInt64?) {
    frame.L.failAllocations(after: count ?? .max)
  }

  /// Collects what no script can reach.
  public func collectGarbage() { frame.L.collect() }
}

extension LuaState.Libraries {
  fileprivate var kind: clua_libraries {
    switch self {
    case .all: clua_all_libraries
    case .harmless: clua_harmless_libraries
    case .sandbox: clua_sandbox
    }
  }
}

/// What a Lua function of a Swift closure holds: the closure goes with it.
private final class FunctionID {
  static let className = "xensave.function"
  private weak var state: LuaState?
  private let functionID: Int

  init(_ state: LuaState, _ functionID: Int) {
    self.state = state
    self.functionID = functionID
  }

  deinit { state?.remove(functionID) }
}
