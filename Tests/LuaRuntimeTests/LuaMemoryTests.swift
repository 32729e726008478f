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
    memory.pushLoop(
      state.frame,
      [
        LuaMemory.Item(key: 7, address: 0x7000, range: 0..<4096, reason: 0),
        LuaMemory.Item(key: 8, address: 0x8000, range: 4096..<8192, reason: 1),
      ], reasons: ["because"])
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
    memory?.pushLoop(
      state.frame, [LuaMemory.Item(key: 1, address: 0, range: 0..<16, reason: 0)], reasons: [])
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
