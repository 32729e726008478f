// What crosses between Lua and Swift is bounded, and running out of memory harms nothing.

import Testing

@testable import LuaRuntime

/// An object that keeps as many bytes for the script as it is told.
private final class Keeper {
  nonisolated(unsafe) static var living = 0
  var bytes: [UInt8] = []
  init() { Keeper.living += 1 }
  deinit { Keeper.living -= 1 }

  static var table: LuaClass<Keeper> {
    var table = LuaClass<Keeper>(
      "Keeper", "For tests.",
      [
        .method("grow", "(n: integer)", "Keeps more.") { keeper, frame throws(LuaError) in
          keeper.bytes += [UInt8](repeating: 0, count: try frame.integer(2, in: 0...1 << 30))
          return 0
        },
        .method("each", "(): function", "A closure.") { keeper, frame in
          frame.push(function: "each") { frame in
            frame.push(keeper.bytes.count)
            return 1
          }
          return 1
        },
        .method("fail", "()", "An error with a code.") { _, _ throws(LuaError) in
          throw LuaError("it failed", code: "failed")
        },
        .property(
          "value", "any", "Plain data.",
          get: { _, frame in
            frame.push(
              LuaValue.table([("a", .list([.integer(1), .text("two")])), ("b", .number(0.5))]))
          },
          set: { _, frame throws(LuaError) in _ = try frame.value(3) }),
      ])
    table.weight = { $0.bytes.count }
    table.toString = { "keeper of \($0.bytes.count)" }
    table.length = { keeper, frame in
      frame.push(keeper.bytes.count)
      return 1
    }
    return table
  }
}

@Suite(.serialized) struct BudgetTests {
  private func state(
    _ libraries: LuaState.Libraries = .sandbox, memoryLimit: Int = 8 << 20
  ) throws -> LuaState {
    let state = try LuaState(memoryLimit: memoryLimit, libraries)
    state.register(Keeper.table)
    state.registerViews("Views.", [])
    state.setGlobal(function: "keeper") { frame in
      frame.push(object: Keeper())
      return 1
    }
    state.setGlobal(function: "copy") { frame throws(LuaError) in
      guard let value = try frame.value(1) else { throw frame.argumentError(1, "expected data") }
      frame.push(value)
      return 1
    }
    state.setGlobal(function: "echo") { frame throws(LuaError) in
      frame.push(try frame.bytes(1))
      return 1
    }
    state.setGlobal(function: "names") { frame throws(LuaError) in
      frame.push(try frame.fieldNames(1).count)
      return 1
    }
    state.setGlobal(function: "view") { frame in
      frame.push(viewOfCopy: [1, 2, 3, 4], address: 0x1000, reason: "because")
      return 1
    }
    state.setGlobal(function: "callback") { frame throws(LuaError) in
      frame.push(copyOf: 1)
      frame.push("word")
      try frame.state.call(frame, 1, results: 1)
      return 1
    }
    return state
  }

  private func run(_ state: LuaState, _ text: String) throws(LuaError) -> String {
    try state.load(Array(text.utf8), name: "=test")
    try state.call(0, results: 1)
    defer { state.frame.pop() }
    return state.frame.text(-1)
  }

  private func failure(_ state: LuaState, _ text: String) -> String {
    do { return "returned " + (try run(state, text)) } catch { return error.message }
  }

  @Test(arguments: [
    ("local t = { 1 } for i = 1, 28 do t = { t, t } end return copy(t)", "not enough memory"),
    ("local t = {} t.t = t return copy(t)", "inside itself"),
    ("local t = {} t[1] = t return copy(t)", "inside itself"),
    ("local t = {} for i = 1, 40 do t = { t } end return copy(t)", "more than 32 deep"),
    ("return copy { 1, 2, x = 3 }", "a list or a map: expected the keys 1 to 2 alone, got 'x'"),
    ("return copy { 1, 2, [9] = 3 }", "got 9"), ("return copy { [9] = 3 }", "the key 9"),
    ("return copy { a = 1, [true] = 3 }", "the key true"),
    ("return copy { a = 1, [0.5] = 3 }", "the key a number"),
    ("return copy { a = type }", "expected data"),
    ("return copy { type }", "expected data"),
    (
      "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 100 do t[i] = s end return copy(t)",
      "not enough memory"
    ),
    ("return echo(('x'):rep(5 << 20))", "not enough memory"),
    ("local t = {} for i = 1, 5000 do t['n' .. i] = 1 end return names(t)", "at most 4096 fields"),
    ("return #copy { 1, 2, { a = 'b' } }", "returned 3"),
    ("return copy({ a = { 1, { b = 2 } } }).a[2].b", "returned 2"),
    ("return #copy {}", "returned 0"),
    ("return names { a = 1, b = 2, 3 }", "returned 2"),
  ])
  func tablesAreBounded(text: String, expected: String) throws {
    let state = try state()
    defer { state.close() }
    let answer = failure(state, text)
    #expect(answer.contains(expected), "\(answer)")
    state.collectGarbage()
    #expect(state.memory < 1 << 20)
  }

  /// The depth of values that Swift pushes is bounded by the stack alone, and safe.
  @Test func deepValuesArePushed() throws {
    let state = try state(.all, memoryLimit: 0)
    defer { state.close() }
    var value = LuaValue.integer(1)
    for _ in 0..<2000 { value = .list([value]) }
    state.setGlobal(function: "deep") { [value] frame in
      frame.push(value)
      return 1
    }
    let depth = try run(
      state, "local t, n = deep(), 0 while type(t) == 'table' do t, n = t[1], n + 1 end return n")
    #expect(depth == "2000")
  }

  /// What objects keep counts, whenever they came to it, and no longer than they live.
  @Test func objectsCount() throws {
    let before = Keeper.living
    let state = try state()
    #expect(
      failure(state, "local t = {} for i = 1, 100 do t[i] = keeper() t[i]:grow(1 << 20) end")
        .contains("not enough memory"))
    #expect(failure(state, "keeper():grow(9 << 20)").contains("not enough memory"))
    #expect(failure(state, "for i = 1, 100 do keeper():grow(1 << 20) end return 1") == "returned 1")
    #expect(
      failure(state, "local t, k = {}, keeper() for i = 1, math.huge do t[i] = k:each() end")
        .contains("not enough memory"))
    state.collectGarbage()
    #expect(state.memory < 2 << 20)
    #expect(throws: LuaError.self) { try state.hold(8 << 20) }
    try state.hold(4 << 20)
    #expect(failure(state, "return #('x'):rep(3 << 20)").contains("not enough memory"))
    state.release(4 << 20)
    #expect(failure(state, "return #('x'):rep(3 << 20)") == "returned \(3 << 20)")
    state.close()
    #expect(Keeper.living == before)
  }

  static let everything = """
    local kept = {}
    local k = keeper()
    k:grow(1000)
    kept[#kept + 1] = k:each()
    kept[#kept + 1] = k.value
    k.value = { a = 1, b = { 1, 2, 3 } }
    kept[#kept + 1] = tostring(k) .. #k
    kept[#kept + 1] = copy { 1, { x = "y" }, "three" }
    kept[#kept + 1] = echo(("x"):rep(5000)) .. "tail"
    kept[#kept + 1] = names { a = 1, b = 2 }
    local v = view()
    kept[#kept + 1] = v:bytes() .. tostring(v:u8(0)) .. tostring(v)
    kept[#kept + 1] = v:sub(1, 2)
    kept[#kept + 1] = { pcall(k.fail, k) }
    kept[#kept + 1] = { pcall(k.grow, k, "x") }
    kept[#kept + 1] = { pcall(function() return k.nothing end) }
    kept[#kept + 1] = callback(function(word) return word .. tostring(keeper()) end)
    kept[#kept + 1] = { pcall(callback, function() error { code = "x" } end) }
    kept[#kept + 1] = coroutine.wrap(function()
      local c <close> = setmetatable({}, { __close = function() kept[#kept + 1] = keeper() end })
      return coroutine.yield(copy { 1 }) or copy { 2 }
    end)()
    local co = coroutine.create(function()
      local c <close> = setmetatable({}, { __close = function() kept[#kept + 1] = keeper() end })
      coroutine.yield(keeper())
    end)
    coroutine.resume(co)
    kept[#kept + 1] = { coroutine.close(co) }
    kept[#kept + 1] = { xpcall(k.fail, function(e) return { e, keeper() } end, k) }
    kept[#kept + 1] = ("%s %d"):format(k, 5)
    table.sort({ 3, 2, 1 }, function(a, b) return a + #copy { 1 } < b + 1 end)
    kept[#kept + 1] = (("abc"):gsub(".", function(c) return echo(c) end))
    kept[#kept + 1] = load("return " .. ("1 + "):rep(100) .. "1")()
    return #kept
    """

  /// The system has no more memory after N allocations, for every N until all is well: the script
  /// gets an error, nothing is jumped over, nothing leaks, and the state is as good as before.
  @Test(arguments: [LuaState.Libraries.sandbox, .harmless, .all])
  func everyAllocationMayFail(libraries: LuaState.Libraries) throws {
    let before = Keeper.living
    let state = try state(libraries, memoryLimit: libraries == .sandbox ? 8 << 20 : 0)
    let good = try run(state, BudgetTests.everything)
    var (failures, count) = (0, UInt64(0))
    while true {
      try state.load(Array(BudgetTests.everything.utf8), name: "=test")
      state.failAllocations(after: count)
      var answer = ""
      do throws(LuaError) {
        try state.call(0, results: 1)
        state.failAllocations(after: nil)
        answer = state.frame.text(-1)
        state.frame.pop()
      } catch {
        state.failAllocations(after: nil)
        #expect(error.message.contains("not enough memory"), "\(count): \(error.message)")
        failures += 1
      }
      if answer == good { break }
      // A pcall in the script has caught it: it may have continued without.
      count += 1
      guard count < 100_000 else { break }
    }
    #expect(failures > 100 && count < 100_000, "\(failures) failures in \(count) runs")
    state.collectGarbage()
    #expect(Keeper.living == before)
    #expect(try run(state, BudgetTests.everything) == good)
    state.close()
    #expect(Keeper.living == before)
  }
}
