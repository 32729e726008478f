// Scripts that attack whoever runs them (Tests/Fixtures/hostile-lua), in each place where scripts
// that nobody trusts run.

import Format
import Glibc
import HelperProtocol
import ImageEdit
import Live
import Stream
import SystemIO
import TestKit
import Testing

@testable import LuaAPI
@testable import LuaRuntime
@testable import SaveHelper

/// A file defines `attack`, or `opts`, or both; what is done with them is put after it.
enum Hostile {
  static let folder = Checkout.path + "/Tests/Fixtures/hostile-lua"
  static let names: [String] = (FileSystem.names(in: folder) ?? [])
    .filter { $0.hasSuffix(".lua") }.map { String($0.dropLast(4)) }.sorted()
  /// Those that continue until they are stopped.
  static let loops = names.filter { $0.hasPrefix("loop-in-") && $0 != "loop-in-c" }
  /// Those that only a deadline around the thread ends.
  static let stuck = ["search-for-ever"]
  static let others = names.filter { !loops.contains($0) && !stuck.contains($0) }

  /// Whole processes take long: all scripts go through them where XENSAVE_LONG_TESTS is set
  /// (`scripts/check --long`), else every fourth, and in a sandbox all of them.
  static func some(_ names: [String], from first: Int) -> [String] {
    if unsafe getenv("XENSAVE_LONG_TESTS") != nil { return names }
    return names.enumerated().filter { $0.offset % 4 == first }.map(\.element)
  }

  static func text(_ name: String, _ tail: String) throws -> String {
    let source = try Source(opening: "\(folder)/\(name).lua")
    return String(decoding: try source.read(1 << 16), as: UTF8.self) + "\n" + tail + "\n"
  }
}

/// How a child ended.
private struct ChildEnd {
  let status: Int32
  let usage: rusage
  let output: String

  /// MiB at its largest.
  var size: Int { Int(usage.ru_maxrss) >> 10 }
  var signal: Int32 { status & 0x7F }
  var exitCode: Int32 { status >> 8 & 0xFF }

  /// Runs a program with its output in a file, and at most a minute of the processor.
  init(_ words: [String]) throws {
    let file = TemporaryFile()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, file.path, O_WRONLY | O_APPEND, 0)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    closeOthers(&actions, from: 3)
    defer { posix_spawn_file_actions_destroy(&actions) }
    let id = try spawn(Limited.words + words, &actions)
    var (status, usage) = (Int32(0), rusage())
    wait4(id, &status, 0, &usage)
    (self.status, self.usage) = (status, usage)
    output = String(decoding: try Source(opening: file.path).read(1 << 20), as: UTF8.self)
  }
}

/// A shell that limits the processor's time and becomes the program.
private enum Limited {
  static let words = ["/bin/sh", "-c", "ulimit -t 60; exec \"$@\"", "sh"]
}

@Suite(.serialized, .timeLimit(.minutes(10))) struct HostileScriptTests {
  /// MiB beside the memory of a sandbox and what a program without one takes.
  static let margin = 64

  // MARK: - In a sandbox, with all the time they want

  private static func sandbox() throws -> SandboxThread<LuaReference> {
    try SandboxThread<LuaReference>(deadline: 60_000_000_000) { state in
      try SandboxModule.bind(state, [:])
    } make: { state in
      state.frame.push(true)
      defer { state.frame.pop() }
      return state.frame.reference(-1)
    }
  }

  private static func attack(
    _ name: String, _ sandbox: SandboxThread<LuaReference>, deadline: UInt64
  ) throws -> LuaError? {
    let text = try Hostile.text(name, "if attack then attack() end return opts")
    do throws(LuaError) {
      try sandbox.call(deadline: deadline) { _, state in
        try state.load(Array(text.utf8), name: "@\(name).lua")
        try state.call(0, results: 1)
        defer { state.frame.pop() }
        _ = try state.frame.fieldNames(-1)
        _ = try state.frame.value(-1)
        throw LuaError("it has returned")
      }
      return nil
    } catch { return error }
  }

  /// What ends by itself ends with an error, within its memory, and its sandbox can continue.
  @Test(arguments: Hostile.others) func endsInASandbox(name: String) throws {
    let sandbox = try Self.sandbox()
    let error = try #require(try Self.attack(name, sandbox, deadline: 60_000_000_000))
    #expect(error.kind != .interrupted, "\(error.message)")
    #expect(error.message.utf8.count <= 66_000)
    if name == "addresses" {
      #expect(error.message.hasSuffix("nothing found"), "\(error.message)")
    }
    if ["loop-in-c", "stack-arguments", "parser-deep", "require-in-coroutines"]
      .contains(name)
    {
      let isExpected =
        error.message.hasSuffix("refused")
        || error.message.contains("stack overflow")
      #expect(isExpected, "\(error.message)")
    }
    let memory = try sandbox.call(deadline: 60_000_000_000) { _, state in
      state.collectGarbage()
      return state.memory
    }
    #expect(memory < 32 << 20)
  }

  /// What does not is stopped, wherever in it the loop is.
  @Test(arguments: Hostile.loops) func isStoppedInASandbox(name: String) throws {
    let sandbox = try Self.sandbox()
    for _ in 0..<2 {
      let error = try #require(try Self.attack(name, sandbox, deadline: 300_000_000))
      #expect(error.kind == .interrupted)
      // "stuck" is what a starved machine makes of it: then it must have ended a little later.
      guard error.code == "stuck" else { continue }
      var tries = 0
      while tries < 100,
        (try? sandbox.call(deadline: 100_000_000) { _, _ in true }) == nil
      {
        tries += 1
        sleep(nanoseconds: 100_000_000)
      }
      #expect(tries < 100, "it is still at it")
    }
  }

  // MARK: - As a policy

  // Made once, and only read afterwards.
  private static let trace = Result { () throws -> [UInt8] in
    let (trace, script) = (TemporaryFile(), TemporaryFile())
    script.poke(
      0,
      Array(
        """
        local xs = require "xensave"
        local guest = assert(xs.sim { name = "a", pages = 1024,
          workload = { { writes_per_s = 100000 } } })
        local image = os.tmpname()
        assert(guest:save(image, { unchecked = true, trace = "\(trace.path)" }))
        os.remove(image)
        """.utf8))
    let end = try ChildEnd([Checkout.bin + "/xensave-lua", script.path])
    guard end.status == 0 else { throw LuaError(end.output) }
    // The bytes and not the file: what a static variable holds is there until the end, and then left.
    return try Source(opening: trace.path).read(1 << 20)
  }

  @Test(arguments: Hostile.some(Hostile.names, from: 3)) func asPolicy(name: String) throws {
    let file = try Folder([
      "p.lua": try Hostile.text(
        name, "return { opts = opts, precopy = function() attack() return 'stop' end }")
    ])
    let trace = TemporaryFile(try Self.trace.get())
    let program = Checkout.bin + "/xensave-lua"
    let plain = try ChildEnd([program, "policy", "list"])
    let end = try ChildEnd([program, "policy", "test", file.path + "/p.lua", "--trace", trace.path])
    #expect(end.signal == 0 && end.exitCode == 1, "\(end.output)")
    #expect(end.size < plain.size + 32 + Self.margin, "\(end.size) MiB, \(plain.size) without")
    #expect(end.output.utf8.count < 64 << 10)
    let complaints = end.output.split(separator: "\n").filter { $0.hasPrefix("xensave-lua: ") }
    #expect((1...4).contains(complaints.count), "\(end.output)")
  }

  // MARK: - In the helper

  private func help(
    _ text: String, _ words: [String] = ProcessTests.migrate, stream: [UInt8] = []
  ) throws -> (helper: HelperProcess, status: Int32, size: Int) {
    let folder = try Folder(["f.lua": text])
    let helper = try HelperProcess(
      Array(Limited.words.dropFirst()) + [
        HelperProcess.program, "pages=2000", "script=1500", folder.path,
      ]
        + words, program: Limited.words[0])
    helper.file.poke(0, stream)
    let status = try helper.serve()
    return (helper, status, Int(helper.usage.ru_maxrss) >> 10)
  }

  private func expectFailure(
    _ run: (helper: HelperProcess, status: Int32, size: Int), below size: Int
  ) {
    let errors = ProcessTests.errors(run.helper)
    #expect(run.status == 0 && run.helper.result == -1, "\(run.status): \(errors)")
    #expect(errors.count == 1, "\(errors)")
    #expect(errors.allSatisfy { !$0.contains("\n") && $0.utf8.count <= 4096 }, "\(errors)")
    #expect(run.size < size + Self.margin, "\(run.size) MiB")
    #expect(run.helper.messages.count < 1200)
  }

  private static let withoutScript = "return { filter = { HVM_PARAMS = function() end } }"
  private static let restoring = [
    "--restore-domain", "20", "-1", "1", "1", "0", "2", "0", "768", "0",
  ]

  /// What a helper without an attack takes, in MiB, and what it saves: made once for all scripts.
  private struct Plain: Sendable {
    let saving: Int
    let restoring: Int
    let configured: Int
    let stream: [UInt8]
  }

  private static let plain = Result { () throws -> Plain in
    let tests = HostileScriptTests()
    let saved = try tests.help(withoutScript)
    let stream = try Source(opening: saved.helper.file.path).read(64 << 20)
    let restored = try tests.help(withoutScript, restoring, stream: stream)
    let configured = try tests.help("return {}")
    for run in [saved, restored, configured] {
      #expect(run.status == 0 && run.helper.result == 0)
    }
    return Plain(
      saving: saved.size, restoring: restored.size, configured: configured.size, stream: stream)
  }

  @Test(arguments: Hostile.some(Hostile.others, from: 0) + ["loop-in-coroutines", "loop-in-close"])
  func asFilter(name: String) throws {
    // What has no attack is configuration.
    let text = try Hostile.text(name, "return { opts = opts, filter = { PAGE_DATA = attack } }")
    guard text.contains("attack()") else { return }
    let run = try help(text)
    expectFailure(run, below: try Self.plain.get().saving + 256)
    #expect(try !run.helper.isImage)
    #expect(try run.helper.standardError == "left: log-dirty off, 0 pages lent\n")
  }

  @Test(arguments: Hostile.some(Hostile.others, from: 1)) func asRestoreFilter(name: String) throws
  {
    let text = try Hostile.text(
      name, "return { side = 'restore', opts = opts, filter = { PAGE_DATA = attack } }")
    guard text.contains("attack()") else { return }
    let plain = try Self.plain.get()
    expectFailure(
      try help(text, Self.restoring, stream: plain.stream), below: plain.restoring + 256)
  }

  /// Options of a policy that takes none are never read: they do no harm.
  @Test(arguments: Hostile.some(Hostile.names.filter { $0 != "options-names" }, from: 2))
  func asConfiguration(name: String) throws {
    let run = try help(
      try Hostile.text(
        name, "if attack then attack() end return { opts = opts, policy = 'builtin' }"))
    expectFailure(run, below: try Self.plain.get().configured + 32)
    #expect(try !run.helper.isImage)
  }
}
