import LuaRuntime
import Testing

/// Memory lent to Lua, and functions that go with their last reference.
@Suite struct LuaMemoryTests {
  private final class Block {
    let start = UnsafeMutableRawPointer.allocate(byteCount: 8192, alignment: 8)
    init() { start.initializeMemory(as: UInt8.self, repeating: 0, count: 8192) }
    deinit { start.deallocate() }
  }

  private func state() throws -> LuaState {
    let state = try LuaState()
    state.registerViews("Views.", [])
    return state
  }

  private func run(_ state: LuaState, _ text: String) throws {
    try state.load(Array(text.utf8), name: "=test")
    try state.call(0)
  }

  @Test func viewsWriteThroughAndGoStale() throws {
    let state = try state()
    let block = Block()
    let memory = LuaMemory(state.frame)
    memory.lend(block.start, 8192, owner: block)
    memory.pushLoop(state.frame, 2, reasons: ["because"]) { number in
      LuaMemory.Item(
        key: 7 + UInt64(number), address: 0x7000 + 0x1000 * UInt64(number),
        range: 4096 * number..<4096 * (number + 1), reason: number)
    }
    state.setGlobalFromTop("loop")
    try run(
      state,
      """
      key, view = loop()
      view:u32(4092, 0x01020304)
      other, fixed = loop()
      assert(key == 7 and other == 8 and loop() == nil)
      local ok, err = pcall(fixed.u8, fixed, 0, 1)
      assert(not ok and err:find "because", err)
      """)
    #expect(block.start.load(fromByteOffset: 4092, as: UInt32.self) == 0x0102_0304)
    #expect(memory.isWritten && memory.writtenPages == [0])
    memory.end()
    try run(
      state, "local ok, err = pcall(view.u8, view, 0) assert(not ok and err:find 'stale', err)")
    // Other memory at the same place does not bring old views back.
    memory.lend(block.start, 8192, owner: block)
    #expect(!memory.isWritten)
    try run(state, "assert(not pcall(view.u8, view, 0))")
    state.close()
  }

  /// Views may outlive what lent them, and the state may close before it goes.
  @Test func lifetimes() throws {
    let state = try state()
    var memory: LuaMemory? = LuaMemory(state.frame)
    let block = Block()
    memory?.lend(block.start, 8192, owner: block)
    memory?.pushLoop(state.frame, 1, reasons: []) { _ in
      LuaMemory.Item(key: 1, address: 0, range: 0..<16, reason: 0)
    }
    state.setGlobalFromTop("loop")
    try run(state, "_, view = loop()")
    memory = nil
    state.collectGarbage()
    try run(state, "assert(not pcall(view.u8, view, 0)) assert(tostring(view):find '^stale')")
    let last = LuaMemory(state.frame)
    last.lend(block.start, 8192, owner: block)
    state.close()
    #expect(!last.isWritten && last.writtenPages.isEmpty)
    last.end()
  }

  /// A loop that is given other memory 200 times: the views of each chunk are good until the next
  /// one, and not again, whatever comes to lie where they were.
  @Test func loopsOverManyChunks() throws {
    let state = try state()
    let block = Block()
    let memory = LuaMemory(state.frame)
    var chunk = 0
    memory.pushLoop(state.frame, reasons: ["because"]) {
      guard chunk < 200 else {
        memory.end()
        return nil
      }
      chunk += 1
      memory.lend(block.start, 8192, owner: block)
      block.start.storeBytes(of: UInt16(chunk), as: UInt16.self)
      return (
        1 + chunk % 2,
        { number in
          LuaMemory.Item(
            key: UInt64(chunk), address: UInt64(chunk) << 12, range: 4096 * number..<8192,
            reason: chunk % 3 == 0 ? 1 : 0)
        }
      )
    }
    state.setGlobalFromTop("loop")
    try run(
      state,
      """
      local kept, rounds, was = {}, 0, 0
      for key, view in loop do
        if key ~= was then
          for old in pairs(kept) do
            local ok, err = pcall(old.u8, old, 0)
            assert(not ok and err:find "stale", err)
            assert(not pcall(function() return #old end))
            assert(tostring(old):find "^stale")
          end
          assert(view:u16(0) == key and #view == 8192)
        else
          assert(#view == 4096 and view ~= first)
        end
        local part = view:sub(2, 4):be()
        part:u8(0) assert(#part == 4)
        local ok, err = pcall(view.u8, view, 9, 1)
        assert(ok == (key % 3 ~= 0) and (ok or err:find "because"), err)
        assert(pcall(part.u8, part, 1, 7) == ok)
        kept[view] = true
        kept[part] = true
        was, rounds, first = key, rounds + 1, view
      end
      assert(rounds == 300, rounds)
      """)
    state.close()
  }

  /// More loops than there are views without memory; and what is no view of this state's.
  @Test func manyLoopsAndForgedViews() throws {
    let state = try state()
    let block = Block()
    let memory = LuaMemory(state.frame)
    memory.lend(block.start, 8192, owner: block)
    block.start.storeBytes(of: 0x1234, as: UInt16.self)
    for number in 0..<100 {
      memory.pushLoop(state.frame, 1, reasons: ["because"]) { _ in
        LuaMemory.Item(key: UInt64(number), address: 0, range: 0..<4096, reason: number % 2)
      }
      state.setGlobalFromTop("loop\(number)")
    }
    try run(
      state,
      """
      views = {}
      for i = 0, 99 do
        local key, view = _G["loop" .. i]()
        assert(key == i and view:u16(0) == 0x1234 and #view == 4096)
        local ok, err = pcall(view.u16, view, 0, 0x1234)
        assert(ok == (i % 2 == 0) and (ok or err:find "because"), err)
        views[view] = i
      end
      local forged = debug.upvalueid(function() return views end, 1)
      local ok, err = pcall(forged.u8, forged, 0)
      assert(not ok and err:find "stale", err)
      assert(not pcall(function() return forged.nothing end))
      """)
    memory.end()
    try run(state, "for view in pairs(views) do assert(not pcall(view.u8, view, 0)) end")
    state.close()
  }

  /// A closure and what it holds go with the function; its number is used again.
  @Test func functionsAreFreed() throws {
    final class Held {}
    let state = try state()
    weak var first: Held?
    for _ in 0..<1000 {
      let held = Held()
      if first == nil { first = held }
      state.frame.push(function: "f") { frame in
        frame.push(held === held)
        return 1
      }
      state.setGlobalFromTop("f")
      try run(state, "assert(f())")
    }
    state.collectGarbage()
    #expect(first == nil)
    let before = state.memory
    for _ in 0..<10_000 {
      state.frame.push(function: "f") { _ in 0 }
      state.frame.pop()
    }
    state.collectGarbage()
    #expect(state.memory < before + 100_000)
    try run(state, "assert(f())")
    state.close()
  }
}
