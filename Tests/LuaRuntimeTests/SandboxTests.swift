// The sandbox: what scripts cannot do in it, and what its caller survives.

import CSystem
import Glibc
import LuaRuntime
import Testing

/// A thread that runs one chunk of Lua after another.
private func sandbox(
  _ boundary: SandboxThread<Int>.Boundary = .compute, memoryLimit: Int = 16 << 20
) throws -> SandboxThread<Int> {
  try SandboxThread(memoryLimit: memoryLimit, boundary: boundary) { _ in
  } make: { _ in
    0
  }
}

extension SandboxThread where Resident == Int {
  /// Runs a chunk; the text of its first result.
  fileprivate func run(_ text: String, deadline: UInt64 = 2_000_000_000) throws -> String {
    try call(deadline: deadline) { _, state throws(LuaError) in
      try state.load(Array(text.utf8), name: "=test")
      try state.call(0, results: 1)
      defer { state.frame.pop() }
      return state.frame.text(-1)
    }
  }

  /// How a chunk that does not end was ended: the error's code.
  fileprivate func stop(_ text: String, after deadline: UInt64 = 50_000_000) -> String {
    do {
      return "returned " + (try run(text, deadline: deadline))
    } catch let error as LuaError { return error.code.isEmpty ? error.message : error.code } catch {
      return "\(error)"
    }
  }
}

private func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

@Suite struct SandboxTests {
  /// Loops of every kind are stopped, and the state can be used after them.
  @Test(arguments: [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local function loop() while true do end end; xpcall(loop, loop); while true do end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "coroutine.wrap(function() while true do end end)()",
    "local co = coroutine.create(function() while true do end end) coroutine.resume(co)",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    """
    local co = coroutine.create(function()
      local x <close> = setmetatable({}, { __close = function() while true do end end })
      coroutine.yield()
    end)
    coroutine.resume(co)
    coroutine.close(co)
    """,
    "local x <close> = setmetatable({}, { __close = function() while true do end end }) return 1",
    "return tostring(setmetatable({}, { __tostring = function() while true do end end }))",
    "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) return t[1]",
    "local function f() return pcall(f) end while true do f() end",
    "table.sort({ 1, 2, 3, 4 }, function() while true do end end)",
  ])
  func loopsAreStopped(text: String) throws {
    let thread = try sandbox()
    let begin = seconds()
    let how = thread.stop(text)
    // A metamethod that calls itself runs out of C stack before the deadline does.
    #expect(how == "deadline" || how.contains("overflow"), "\(how)")
    #expect(seconds() - begin < 10)
    #expect(try thread.run("return 1 + 1") == "2", "and continues")
  }

  /// A deadline is of the thread's own time: one that waits, or does not get a processor, has time.
  @Test func waitingDoesNotCount() throws {
    let thread = try sandbox(.none)
    let slept = try thread.call(deadline: 50_000_000) { _, _ throws(LuaError) -> Bool in
      var time = timespec(tv_sec: 1, tv_nsec: 0)
      return nanosleep(&time, nil) == 0
    }
    #expect(slept, "it was not told to stop")
    #expect(thread.stop("while true do end") == "deadline")
  }

  /// An error value whose text loops is asked for that text on the thread, within the deadline.
  @Test func errorsWithLoopingTexts() throws {
    let thread = try sandbox()
    let how = thread.stop(
      "error(setmetatable({}, { __tostring = function() while true do end end }))")
    #expect(how == "deadline", "\(how)")
    #expect(try thread.run("return 2") == "2")
  }

  /// One long search cannot be stopped: the caller continues without it. It ends after seconds, so that it does not
  /// take the processor from the other tests.
  @Test func searchesAreLeftBehind() throws {
    let thread = try sandbox()
    let begin = seconds()
    let search = "return (('a'):rep(45)):find(('a*'):rep(6) .. 'b')"
    #expect(thread.stop(search) == "stuck")
    #expect(thread.stop("return 1") == "stuck", "at once, as long as it continues")
    #expect(seconds() - begin < 10)
  }

  /// Finalizers run where nothing can stop them: there are none.
  @Test func finalizersAreRefused() throws {
    let thread = try sandbox()
    #expect(
      thread.stop("setmetatable({}, { __gc = function() while true do end end })")
        .contains("__gc is not allowed"))
    #expect(thread.stop("setmetatable({}, { __gc = true })").contains("__gc is not allowed"))
    // Put in later, it is not one.
    #expect(
      try thread.run(
        """
        local m = {}
        setmetatable({}, m)
        m.__gc = function() while true do end end
        return #string.rep('x', 1000000)
        """) == "1000000")
  }

  @Test(arguments: [
    "local t = {} while true do t[#t + 1] = ('x'):rep(1000) end",
    "return #('x'):rep(1 << 33)", "local s = 'x' while true do s = s .. s end",
    "local function f() return { f() } end f()",
    "return #(('x'):rep(60000)):gsub('.', ('y'):rep(60000))",
  ])
  func memoryIsLimited(text: String) throws {
    let thread = try sandbox(memoryLimit: 8 << 20)
    let how = thread.stop(text, after: 5_000_000_000)
    #expect(
      how.contains("not enough memory") || how.contains("too large") || how.contains("overflow"),
      "\(how)")
    #expect(try thread.run("return collectgarbage('count') < 8192") == "true")
  }

  @Test(arguments: [
    "io", "debug", "package", "dofile", "loadfile", "require", "os.execute", "os.getenv",
    "os.remove", "os.exit", "string.dump", "os.tmpname", "os.setlocale", "warn",
  ])
  func isNotThere(name: String) throws {
    let thread = try sandbox()
    let path = name.split(separator: ".")
    let expression = path.count == 2 ? "\(path[0]) and \(name)" : "rawget(_G, '\(name)')"
    #expect(try thread.run("return \(expression)") == "nil")
  }

  @Test func binaryChunksAreRefused() throws {
    let thread = try sandbox()
    #expect(try thread.run("return load('return 1 + 1')()") == "2")
    #expect(try thread.run("return load('return x', 'c', 't', { x = 7 })()") == "7")
    for mode in ["", ", 'c', 'b'", ", 'c', 'bt'"] {
      let answer = try thread.run("return select(2, load('\\27LuaT'\(mode)))")
      #expect(answer.contains("attempt to load a binary chunk"), "\(answer)")
    }
    #expect(
      try thread.run("return select(2, load(function() return nil end, 'c', 'b'))") == "nil")
  }

  @Test func librariesAreReadOnly() throws {
    let thread = try sandbox()
    for text in [
      "string.rep = nil", "rawset(string, 'rep', nil)", "string.new = 1", "math.pi = 3",
      "table.concat = nil", "coroutine.wrap = 5", "os.time = 1",
    ] { #expect(thread.stop(text).contains("read-only"), "\(text)") }
    for text in [
      "getmetatable('').__index = nil", "setmetatable(string, {})", "setmetatable('', {})",
    ] { #expect(!thread.stop(text).hasPrefix("returned"), "\(text)") }
    #expect(try thread.run("return ('x'):rep(3) .. string.rep('y', 2)") == "xxxyy")
    // A script may shadow what it likes for itself.
    #expect(try thread.run("string = 5 return string") == "5")
  }

  @Test func nothingTellsAddresses() throws {
    let thread = try sandbox()
    for text in [
      "tostring({})", "tostring(print or type)", "tostring(coroutine.create(type))",
      "('%s'):format({})", "string.format('%s', type)",
    ] {
      let answer = try thread.run("return \(text)")
      #expect(!answer.contains("0x") && !answer.isEmpty, "\(answer)")
    }
    #expect(thread.stop("return ('%p'):format({})").contains("%p is not allowed"))
    #expect(thread.stop("return ('%-20p'):format({})").contains("%p is not allowed"))
    #expect(try thread.run("return ('%%p %d'):format(5)") == "%p 5")
    #expect(thread.stop("collectgarbage()").contains("only \"count\""))
    #expect(thread.stop("collectgarbage 'step'").contains("only \"count\""))
  }

  @Test func clocksAndPatternsWork() throws {
    let thread = try sandbox()
    #expect(try thread.run("return os.time() > 1e9 and os.clock() >= 0") == "true")
    #expect(try thread.run("return os.date('!%Y', 0)") == "1970")
    #expect(try thread.run("return #os.date('%H:%M')") == "5")
    #expect(try thread.run("return ('a-b'):gsub('%-', '+')") == "a+b")
    #expect(try thread.run("return ('key = 5'):match('(%w+) = (%d)')") == "key")
    #expect(thread.stop("return ('x'):rep(70000):find('y')").contains("searches 65536 bytes"))
    #expect(thread.stop("return ('x'):find(('y'):rep(300))").contains("patterns of 256"))
  }

  /// The same numbers in every run: replays can be compared.
  @Test func randomNumbersAreTheSame() throws {
    let (a, b) = (try sandbox(), try sandbox())
    #expect(try a.run("return math.random(1 << 40)") == b.run("return math.random(1 << 40)"))
  }

  /// Even with Lua's side broken, the thread can open nothing and start nothing: C runs on it here.
  @Test func theKernelHoldsTheWall() throws {
    let thread = try sandbox()
    try #require(thread.sealError == 0, "this kernel has no seccomp filters")
    let answers = try thread.call(deadline: 5_000_000_000) { _, _ in
      var answers: [String: Int32] = [:]
      func note(_ name: String, _ result: Int) { answers[name] = result < 0 ? errno : 0 }
      note("open", Int(open("/etc/passwd", O_RDONLY)))
      note("create", Int(open("/tmp/xensave-escape", O_WRONLY | O_CREAT, 0o600)))
      var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("true"), nil]
      note("execve", Int(execv("/bin/true", &arguments)))
      note("socket", Int(socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)))
      note("kill", Int(kill(getpid(), 0)))
      note("unlink", Int(unlink("/tmp/xensave-nothing")))
      note("write", write(2, "x", 1))
      note(
        "read",
        {
          var byte: UInt8 = 0; return read(0, &byte, 1)
        }())
      note(
        "mmap exec",
        {
          let page = mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          return page == MAP_FAILED ? -1 : 0
        }())
      note(
        "mprotect exec",
        {
          let page = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
          return Int(mprotect(page, 4096, PROT_READ | PROT_EXEC))
        }())
      note(
        "memory",
        {
          guard let memory = malloc(64 << 20) else { return -1 }
          memset(memory, 1, 64 << 20)
          free(memory)
          return 0
        }())
      return answers
    }
    for (name, answer) in answers {
      #expect(answer == (name == "memory" ? 0 : EPERM), "\(name): \(answer)")
    }
    #expect(answers.count == 11)
    // Nobody else is sandboxed.
    let number = open("/etc/passwd", O_RDONLY)
    #expect(number >= 0)
    close(number)
  }

  /// With streams the thread reads and writes what is open, and still opens nothing.
  @Test func streamsOfSealedThreads() throws {
    let thread = try sandbox(.streams)
    try #require(thread.sealError == 0, "this kernel has no seccomp filters")
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reading, writing) = (ends[0], ends[1])
    let answers = try thread.call(deadline: 5_000_000_000) { _, _ in
      var byte: UInt8 = 0
      let written = write(writing, "x", 1)
      let read = Glibc.read(reading, &byte, 1)
      let opened = open("/etc/passwd", O_RDONLY)
      return [written, read, Int(byte), Int(opened), Int(errno)]
    }
    #expect(answers == [1, 1, 0x78, -1, Int(EPERM)])
    close(reading)
    close(writing)
  }

  @Test func aThreadWithoutAWallIsOne() throws {
    let thread = try sandbox(.none)
    let number = try thread.call(deadline: 1_000_000_000) { _, _ in open("/etc/passwd", O_RDONLY) }
    #expect(number >= 0)
    close(number)
  }

  /// What `make` does has a deadline too, and its error is the caller's.
  @Test func makingHasADeadline() {
    let error = #expect(throws: LuaError.self) {
      _ = try SandboxThread<Int>(deadline: 20_000_000) { _ in
      } make: { state throws(LuaError) in
        try state.load(Array("while true do end".utf8), name: "=test")
        try state.call(0)
        return 0
      }
    }
    #expect(error?.code == "deadline")
  }

  /// A hundred of them leave nothing behind.
  @Test func threadsGo() throws {
    func count() -> Int {
      guard let folder = opendir("/proc/self/task") else { return 0 }
      defer { closedir(folder) }
      var count = 0
      while readdir(folder) != nil { count += 1 }
      return count
    }
    _ = try sandbox()
    let before = count()
    for _ in 0..<100 { _ = try sandbox().run("return 1") }
    #expect(count() <= before + 8)
  }
}
