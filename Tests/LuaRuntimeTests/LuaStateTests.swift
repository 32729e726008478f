// Lua inside Swift: values, errors both ways, objects, limits.

import CLuaShim
import Testing

@testable import LuaRuntime

/// An object that counts how many of its kind there are.
final class Counted {
  nonisolated(unsafe) static var living = 0
  var value: Int64 = 0
  init() { Counted.living += 1 }
  deinit { Counted.living -= 1 }

  static var table: LuaClass<Counted> {
    var table = LuaClass<Counted>(
      "Counted", "For tests.",
      [
        .property(
          "value", "integer", "A number.",
          get: { object, frame in frame.push(object.value) },
          set: { object, frame throws(LuaError) in object.value = try frame.integer(3) }),
        .property("fixed", "integer", "Read-only.") { _, frame in frame.push(1) },
        .method("add", "(n: integer): integer", "Adds.") { object, frame throws(LuaError) in
          object.value += try frame.integer(2)
          frame.push(object.value)
          return 1
        },
        .method("fail", "()", "Throws.") { _, _ throws(LuaError) in throw LuaError("it failed") },
      ])
    table.close = { object, _ in
      object.value = -1
      return 0
    }
    return table
  }
}

@Suite(.serialized) struct LuaStateTests {
  private func state(memoryLimit: Int = 0) throws -> LuaState {
    let state = try LuaState(memoryLimit: memoryLimit)
    state.register(Counted.table)
    state.setGlobal(function: "counted") { frame in
      frame.push(object: Counted())
      return 1
    }
    return state
  }

  private func run(_ state: LuaState, _ text: String, results: Int = 1) throws -> LuaValue? {
    try state.load(Array(text.utf8), name: "=test")
    try state.call(0, results: results)
    defer { if results > 0 { state.frame.pop(results) } }
    return results > 0 ? try state.frame.value(-1) : nil
  }

  private func failure(_ state: LuaState, _ text: String) -> LuaError? {
    do {
      _ = try run(state, text)
      return nil
    } catch { return error as? LuaError }
  }

  @Test func valuesCrossBothWays() throws {
    let state = try state()
    defer { state.close() }
    #expect(try run(state, "return 1 << 63") == .integer(.min))
    #expect(
      try run(state, "return {1, 'a', true}") == .list([.integer(1), .text("a"), .boolean(true)]))
    #expect(
      try run(state, "return {b = 2, a = {}}") == .table([("a", .table([])), ("b", .integer(2))]))
    #expect(try run(state, "return '\\0\\255'") == .string([0, 255]))
  }

  @Test func membersAreFoundAndMistakesNamed() throws {
    let state = try state()
    defer { state.close() }
    #expect(
      try run(state, "local c = counted() c.value = 5 return c:add(2) + c.value") == .integer(14))
    #expect(
      failure(state, "counted().fixed = 2")?.message.contains("cannot be assigned to") == true)
    #expect(
      failure(state, "return counted().nothing")?.message.contains("no member 'nothing'") == true)
    #expect(
      failure(state, "return counted().add(1, 2)")?.message
        .contains("expected a Counted before the ':', got number") == true)
    #expect(
      failure(state, "return counted():add({})")?.message
        == "test:1: bad argument #1 to 'add' (expected an integer, got table)")
    #expect(failure(state, "counted():fail()")?.message == "test:1: it failed")
    #expect(failure(state, "return counted():add(1.5)") != nil)
    #expect(failure(state, "return counted():add(math.huge)") != nil)
  }

  @Test func nothingLeaksWhenSwiftRaises() throws {
    let before = Counted.living
    let state = try state()
    _ = try run(
      state, "for i = 1, 10000 do local c = counted() pcall(c.fail, c) pcall(c.add, c, {}) end",
      results: 0)
    state.collectGarbage()
    #expect(Counted.living == before)
    state.close()
    #expect(Counted.living == before)
  }

  @Test func closeRunsAtTheEndOfTheScope() throws {
    let state = try state()
    defer { state.close() }
    #expect(
      try run(state, "local k do local c <close> = counted() k = c end return k.value")
        == .integer(-1))
  }

  @Test func theMemoryLimitHoldsAndSwiftIsNotJumpedOver() throws {
    let before = Counted.living
    let state = try state(memoryLimit: 8 << 20)
    state.setGlobal(function: "megabyte") { frame in
      // The object lives in this frame while the allocation goes over the limit.
      let counted = Counted()
      frame.push([UInt8](repeating: 65, count: 1 << 20))
      counted.value += 1
      return 1
    }
    let error = failure(state, "local t = {} for i = 1, 100 do t[i] = megabyte() end")
    #expect(error?.message.contains("not enough memory") == true)
    #expect(failure(state, "return ('x'):rep(1 << 28)")?.kind == .memory)
    state.collectGarbage()
    #expect(state.memory < 1 << 20)
    state.close()
    #expect(Counted.living == before)
  }

  @Test(arguments: [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local c = coroutine.wrap(function() while true do end end) c()",
    "local c = coroutine.create(function() while true do end end) while true do coroutine.resume(c) end",
    "xpcall(function() while true do end end, function() while true do end end)",
  ])
  func aStopEndsEveryLoop(text: String) throws {
    let state = try state()
    defer { state.close() }
    // A function that the script cannot do without sets the stop: no timing in the test.
    state.makeActive()
    var calls = 0
    state.setGlobal(function: "tick") { _ in
      calls += 1
      if calls == 100 { LuaState.stopActive() }
      return 0
    }
    let ticking = text.replacing("while true do end", with: "while true do tick() end")
    let error = failure(state, ticking)
    #expect(error?.kind == .interrupted)
    state.endStop()
    #expect(try run(state, "return 1") == .integer(1))
  }

  @Test func precompiledChunksAreRefused() throws {
    let state = try state()
    defer { state.close() }
    #expect(throws: LuaError.self) { try state.load([27] + Array("Lua".utf8), name: "=x") }
  }

  @Test func incompleteTextIsTold() throws {
    let state = try state()
    defer { state.close() }
    do { try state.load(Array("for i = 1, 2 do".utf8), name: "=x") } catch {
      #expect(LuaState.isIncomplete(error))
    }
    do { try state.load(Array("for for".utf8), name: "=x") } catch {
      #expect(!LuaState.isIncomplete(error))
    }
  }

  @Test func errorValuesKeepCodeAndTraceback() throws {
    let state = try state()
    defer { state.close() }
    state.setGlobal(function: "bad") { frame in frame.fail(LuaFailure("gone", code: "enoent")) }
    #expect(
      try run(state, "local v, e = bad() return e.code .. tostring(e)") == .text("enoentgone"))
    let error = failure(state, "assert(bad())")
    #expect(error?.code == "enoent" && error?.message == "gone")
    #expect(error?.traceback?.contains("in main chunk") == true)
  }

  /// A loop in each of several coroutines, one under the other: the stop ends them all.
  @Test(arguments: [1, 2, 3, 20]) func aStopReachesEveryCoroutine(depth: Int) throws {
    let state = try state()
    defer { state.close() }
    state.makeActive()
    var calls = 0
    state.setGlobal(function: "tick") { _ in
      calls += 1
      if calls == 100 { LuaState.stopActive() }
      return 0
    }
    let error = failure(
      state,
      """
      local function under(n)
        if n > 0 then coroutine.resume(coroutine.create(under), n - 1) end
        while true do tick() end
      end
      under(\(depth))
      """)
    #expect(error?.kind == .interrupted)
    state.endStop()
    #expect(try run(state, "return 1") == .integer(1))
  }

  /// A coroutine that a stop has ended has its hooks off: nothing of it runs any more.
  @Test(arguments: [
    "coroutine.wrap(f)()", "pcall(coroutine.wrap(f))",
    "co = coroutine.create(f) coroutine.resume(co)",
  ])
  func nothingIsClosedDuringAStop(text: String) throws {
    let state = try state()
    defer { state.close() }
    state.makeActive()
    var calls = 0
    state.setGlobal(function: "tick") { _ in
      calls += 1
      if calls == 100 { LuaState.stopActive() }
      return 0
    }
    let error = failure(
      state,
      """
      function f()
        local x <close> = setmetatable({}, { __close = function() closed = true end })
        while true do tick() end
      end
      \(text)
      """)
    #expect(error?.kind == .interrupted)
    state.endStop()
    let closing = "if co then return select(2, pcall(coroutine.close, co)) end return '' "
    let answer = try run(state, closing)
    #expect(
      answer == .text("") || answer == .text("cannot close a coroutine that was stopped"))
    #expect(try run(state, "return closed") == LuaValue.none)
  }

  /// Lua 5.4.4 does not count the C calls of closes: here they are.
  @Test func closesAreCounted() throws {
    let state = try state()
    defer { state.close() }
    let error = failure(
      state,
      """
      local co
      for i = 1, 12000 do
        local before = co
        co = coroutine.create(function()
          local c <close> = setmetatable({}, { __close = function()
            if before then coroutine.close(before) end
          end })
          coroutine.yield()
        end)
        coroutine.resume(co)
      end
      coroutine.close(co)
      """)
    #expect(error?.message.contains("C stack overflow") == true)
    #expect(try run(state, "return coroutine.close(coroutine.create(print))") == .boolean(true))
  }

  /// What is closed because its coroutine failed gets the error.
  @Test func closesGetTheError() throws {
    let state = try state()
    defer { state.close() }
    let text = """
      local got
      local ok, message = pcall(coroutine.wrap(function()
        local c <close> = setmetatable({}, { __close = function(_, e) got = e end })
        error("first", 0)
      end))
      return tostring(got) .. "/" .. tostring(message)
      """
    #expect(try run(state, text) == .text("first/first"))
    let replaced = text.replacing("got = e", with: "got = e error('second', 0)")
    #expect(try run(state, replaced) == .text("first/second"))
  }
}
