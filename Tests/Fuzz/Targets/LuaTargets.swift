// The Lua API: random members of random objects with nasty arguments, as many calls a second as can
// be made. What can be called comes from the declarations of the bindings: a new member is fuzzed
// from the day on that it has its row.

import Bytes
import Format
import Glibc
import ImageEdit
import Stream
import SystemIO

@testable import LuaAPI
@testable import LuaRuntime
@testable import PolicyEngine
@testable import REPL

let luaTargets: [FuzzTarget] = [
  FuzzTarget("lua", limit: 256, seeds: { LuaSeeds.all }) { try LuaMachine.plain().run($0) },
  FuzzTarget("lua-sandbox", limit: 256, seeds: { LuaSeeds.all }) {
    try LuaMachine.sandbox().run($0)
  },
]

private enum LuaSeeds {
  static let all: [[UInt8]] = (0..<24).map { seed in
    var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
    return (0..<96).map { _ in
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt8(truncatingIfNeeded: state >> 32)
    }
  }
}

/// A Lua state with the whole module and a driver that makes calls of the bytes of an input.
final class LuaMachine {
  let shell: ShellContext
  private let isSandbox: Bool
  private var runs = 0
  /// Calls of members that all machines have made.
  nonisolated(unsafe) static private(set) var callCount = 0

  /// What it may write to.
  nonisolated(unsafe) private static let directory = FuzzDirectory()
  nonisolated(unsafe) private static var machines: [Bool: LuaMachine] = [:]
  /// Inputs after which a state is made anew: what one leaves must not pile up.
  private static let runsOfState = 2000

  static func plain() throws -> LuaMachine { try machine(isSandbox: false) }
  static func sandbox() throws -> LuaMachine { try machine(isSandbox: true) }

  private static func machine(isSandbox: Bool) throws -> LuaMachine {
    if let known = machines[isSandbox], known.runs < runsOfState { return known }
    machines[isSandbox]?.shell.state.close()
    let machine = try LuaMachine(isSandbox: isSandbox)
    machines[isSandbox] = machine
    return machine
  }

  private init(isSandbox: Bool) throws {
    self.isSandbox = isSandbox
    let path = LuaMachine.directory.path
    if isSandbox {
      let state = try LuaState(memoryLimit: 32 << 20, .sandbox)
      try SandboxModule.bind(state, [:])
      guard let shell = state.context as? ShellContext else { throw Violation("no context") }
      self.shell = shell
    } else {
      shell = try ShellContext(SessionExplainer())
      try shell.bind()
      shell.logSink = { _, _ in }
      guard chdir(path) == 0 else { throw Violation("chdir: \(errno)") }
      for (number, image) in [Seeds.base, Seeds.memory[0], Seeds.memory[1]].enumerated() {
        LuaMachine.directory.write(image, "image\(number)")
      }
    }
    let state = shell.state
    state.setGlobal(function: "fuzz_class") { frame in
      frame.push(frame.typeName(1))
      return 1
    }
    state.setGlobal(function: "fuzz_count") { frame throws(LuaError) in
      LuaMachine.callCount += Int(try frame.integer(1))
      return 0
    }
    let frame = state.frame
    try state.load(Array(LuaMachine.driver.utf8), name: "=driver")
    frame.push(members(state))
    _ = frame.pushLoaded("xensave")
    frame.push(isSandbox)
    try state.call(3, results: 1)
    state.setGlobalFromTop("fuzz_run")
  }

  /// Names by class, and the functions of the module by their paths.
  private func members(_ state: LuaState) -> LuaValue {
    var byOwner: [String: [LuaValue]] = [:]
    for declaration in state.declarations
    where !LuaMachine.left.contains("\(declaration.owner).\(declaration.name)") {
      switch declaration.kind {
      case .method, .property, .function:
        byOwner[declaration.owner, default: []].append(.text(declaration.name))
      case .module, .class, .metamethod: break
      }
    }
    return .table(byOwner.sorted { $0.key < $1.key }.map { ($0.key, .list($0.value)) })
  }

  /// What is not called: other programs, waits for other domains, and the machine's real domains.
  private static let left: Set<String> = [
    "Domain.migrate", "Domain.store_watch", "xs.domain", "xs.domains",
  ]

  func run(_ input: [UInt8]) throws {
    runs += 1
    // What has no "/" names something in there and nothing else.
    guard chdir(LuaMachine.directory.path) == 0 else { throw Violation("chdir: \(errno)") }
    let state = shell.state
    let frame = state.frame
    let before = frame.count
    _ = frame.pushGlobal("fuzz_run")
    frame.push(input)
    if isSandbox {
      // As a filter: it is given the records of an image.
      try state.call(1, results: 1)
      if LuaFilter.isFilter(frame, -1), let filter = try? shell.filter(frame, frame.count) {
        _ = try? Rewriter(
          MemoryFile.input.source(Seeds.images[Int(input.first ?? 0) % Seeds.images.count]),
          to: MemoryFile.output.sink(), filter: filter
        ).run()
      }
    } else {
      try state.call(1, results: 1)
    }
    frame.pop(frame.count - before)
    try demand(frame.count == before, "\(frame.count) values on the stack, \(before) before")
    if runs % 64 == 0 { state.collectGarbage() }
  }

  /// Calls members as the bytes say. `members` are names by owner.
  private static let driver = #"""
    local members, xs, sealed = ...
    local string, math, table = string, math, table
    local pcall, type, next, select, classof = pcall, type, next, select, fuzz_class
    local count_calls = fuzz_count
    local numbers = {
      0, 1, 2, 3, 4, 7, 8, 9, 12, 16, 63, 64, 65, 255, 256, 4095, 4096, 4097, 65535, 65536, -1, -2,
      2147483647, 2147483648, 4294967295, 4294967296, -2147483648, math.maxinteger, math.mininteger,
      math.maxinteger - 1, math.mininteger + 1, 1 << 52, 1 << 40, 0.5, -0.0, 1e308, -1e308, 1 / 0,
      -1 / 0, 0 / 0, 2.0 ^ 53, 2.0 ^ 63, 2.0 ^ 64, 1e-320, 8208, 1048576,
    }
    local strings = {
      "", "a", "\0", "\xff\xfe", "image0", "image1", "image2", "out", "PAGE_DATA", "HVM_CONTEXT",
      "HVM_PARAMS", "X86_TSC_INFO", "X86_CPUID_POLICY", "X86_MSR_POLICY", "END", "xl", "libxl",
      "libxc", "v2", "v3", "draft_b", "4.17", "any", "zero", "pfn in 0..3", "has_data", "elf-core",
      "raw", "lime", "config.c_info.name", "record[1].khz", "param[1].value", "rip", "cr3", "khz",
      "entries[1].pfn", "[1]", "0x10", "1e3", "auto", "legacy", "notab", "broken", "sse2", "smep",
      "%s%d%5c", "%q", "{\"a\":[1,2,{}]}", "{", ("x"):rep(300), "EMULATOR_CONTEXT", "out2", "*",
      "hex:00ff", "\u{1F600}", "LAPIC", "CPU", "pv", "hvm", "x86_pv", "end", "index", "ACPI",
    }
    local keys = {
      "memory_mib", "name", "guest", "pages", "version", "to", "path", "trace", "filter", "policy",
      "live", "from", "limit", "offset", "count", "depth", "width", "format", "config", "vcpus",
      "seed", "level", "type", "help", "default", "choices", "required", "layer", "in_place",
      "history", "where", "case", "vcpu", "layout", "aligned", "lossy", "release", "order", "domain",
      "rounds", "memory", "dirty", "rate", "workload", "holes", "columns", "title", "total", "unit",
      "number", "khz", "value", "index", "mode", "max_rounds", "downtime", "opts", "record", "begin",
    }
    local roots, age = {}, 1000
    local function refresh()
      age, roots = 0, { xs }
      if sealed then return end
      for number = 0, 2 do roots[#roots + 1] = xs.open("image" .. number) end
      roots[#roots + 1] = xs.sim.domain { pages = 16 }
      roots[#roots + 1] = xs.synth {}
    end
    local paths = {}
    for owner, names in next, members do
      if owner == "xs" or owner:sub(1, 3) == "xs." then
        for _, name in next, names do paths[#paths + 1] = { owner, name } end
      end
    end
    table.sort(paths, function(a, b)
      return a[1] < b[1] or a[1] == b[1] and a[2] < b[2]
    end)
    local modules = {}
    for _, path in next, paths do
      local at = xs
      for part in path[1]:gmatch("[^.]+") do
        if part ~= "xs" and at then at = at[part] end
      end
      local f = at and at[path[2]]
      if type(f) == "function" then modules[#modules + 1] = f end
    end

    return function(data)
      local position, calls, budget = 1, 0, 64
      local function byte()
        local value = data:byte(position) or 0
        position = position + 1
        return value
      end
      age = age + 1
      if age > 50 then refresh() end
      local pool = { table.unpack(roots) }
      local act, filter
      local function keep(value)
        local kind = type(value)
        if kind == "userdata" or kind == "function" then
          pool[#pool < 40 and #pool + 1 or byte() % 40 + 1] = value
        end
      end
      local function value(depth)
        local choice = byte() % 16
        if choice < 5 then return numbers[byte() % #numbers + 1] end
        if choice < 8 then return strings[byte() % #strings + 1] end
        if choice == 8 then
          local count = byte() % 12
          local text = data:sub(position, position + count - 1):gsub("[/~]", "|")
          position = position + count
          return text
        end
        if choice == 9 then return byte() | byte() << 8 | byte() << 16 | byte() << 24 end
        if choice == 10 then return pool[byte() % #pool + 1] end
        if choice == 11 and depth < 3 then
          local out = {}
          for _ = 1, byte() % 4 do out[#out + 1] = value(depth + 1) end
          return out
        end
        if choice == 12 and depth < 3 then
          local out = {}
          for _ = 1, byte() % 4 do out[keys[byte() % #keys + 1]] = value(depth + 1) end
          return out
        end
        if choice == 13 then return filter end
        if choice == 14 then return byte() % 2 == 0 end
        return nil
      end
      local function arguments(left)
        if left == 0 then return end
        return value(0), arguments(left - 1)
      end
      local function call(f, ...)
        calls = calls + 1
        local result, second = select(2, pcall(f, ...))
        keep(result)
        if type(result) == "table" then keep(result[1]) else keep(second) end
        if type(result) == "function" then
          for _ = 1, 6 do
            if budget <= 0 then break end
            calls, budget = calls + 1, budget - 1
            local ok, a, b = pcall(result)
            if not ok or a == nil then break end
            keep(a)
            keep(b)
          end
        end
        return result
      end
      local function get(object, key) return object[key] end
      local function set(object, key, new) object[key] = new end
      function act(object)
        budget = budget - 1
        local op = byte()
        if object == xs or object == nil then
          return call(modules[op % #modules + 1], arguments(byte() % 5))
        end
        if type(object) == "function" then return call(object, arguments(op % 3)) end
        local names = members[classof(object)]
        if not names or op >= 224 then
          -- Operators, indices and lengths.
          local other = value(0)
          local kind = op % 8
          if kind == 0 then return call(get, object, other) end
          if kind == 1 then return call(set, object, other, value(0)) end
          if kind == 2 then return call(function() return #object end) end
          if kind == 3 then return call(tostring, object) end
          if kind == 4 then return call(function() return object == other, object & other end) end
          if kind == 5 then return call(function() return object | other, ~object end) end
          if kind == 6 then return call(function() return object - other end) end
          return call(object, other)
        end
        local name = names[op % #names + 1]
        if op >= 192 then return call(set, object, name, value(0)) end
        local ok, member = pcall(get, object, name)
        if ok and type(member) == "function" then
          return call(member, object, arguments(byte() % 5))
        end
        calls = calls + 1
        if ok then keep(member) end
        return member
      end
      function filter(record)
        if budget <= 0 then return end
        keep(record)
        for _ = 1, byte() % 4 + 1 do act(byte() % 3 == 0 and pool[byte() % #pool + 1] or record) end
        local choice = byte() % 8
        if choice == 0 then return false end
        if choice == 1 then return record end
        if choice == 2 then return value(0) end
      end
      if sealed then
        count_calls(calls)
        calls = 0
        act(xs)
        act(xs)
        return function(record)
          local result = filter(record)
          count_calls(calls)
          calls = 0
          return result
        end
      end
      while position <= #data and budget > 0 do act(pool[byte() % #pool + 1]) end
      count_calls(calls)
    end
    """#
}
