// /etc/xen/xensave.d: who it is for, what it may be, and what happens where it is broken.

import Format
import Glibc
import HelperProtocol
import ImageEdit
import Live
import SimDomain
import Stream
import SystemIO
import TestKit
import Testing

@testable import LuaAPI
@testable import PolicyEngine
@testable import SaveHelper

/// A folder of configuration that goes with the value.
final class Folder {
  let path: String

  init(_ files: [String: String] = [:]) throws {
    // Helpers and filters may go while a test writes to them.
    signal(SIGPIPE, SIG_IGN)
    path = try FileSystem.temporaryFolder()
    for (name, text) in files { try FileSystem.create("\(path)/\(name)", text) }
  }

  deinit { runShell("rm -r '\(path)'") }
}

@Suite struct ConfigurationTests {
  static let facts = HelperFacts(id: 7, name: "web1", type: "pvh")

  static func load(
    _ files: [String: String], _ side: HelperSide = .save
  ) throws -> HelperConfiguration {
    let folder = try Folder(files)
    return try HelperConfiguration(folder: folder.path, facts, side)
  }

  @Test(arguments: [
    ("{ policy = 'downtime' }", true), ("{ match = { name = 'web1' }, filter = print }", true),
    ("{ match = { name = 'web2' }, filter = print }", false),
    ("{ match = { name = { 'db', 'web1' } }, filter = print }", true),
    ("{ match = { type = 'pvh' }, filter = print }", true),
    ("{ match = { type = { 'pv', 'hvm' } }, filter = print }", false),
    ("{ match = { pattern = '^web%d+$' }, filter = print }", true),
    ("{ match = { pattern = '^db' }, filter = print }", false),
    ("{ match = { pattern = '^web', type = 'pv' }, filter = print }", false),
    ("{ side = 'restore', filter = print }", false), ("{ side = 'both', filter = print }", true),
    ("{}", false),
  ])
  func matches(table: String, isFound: Bool) throws {
    #expect(try Self.load(["a.lua": "return " + table]).scripts.count == (isFound ? 1 : 0))
  }

  @Test func sides() throws {
    let files = [
      "a.lua": "return { side = 'both', policy = 'downtime', filter = print }",
      "b.lua": "return { side = 'restore', filter = print }", "c.lua": "return { filter = print }",
      "not-lua": "error()",
    ]
    let save = try Self.load(files)
    #expect(save.filters.map { $0.path.suffix(5) } == ["a.lua", "c.lua"])
    #expect(save.policy?.policyName == "downtime")
    let restore = try Self.load(files, .restore)
    #expect(restore.filters.map { $0.path.suffix(5) } == ["a.lua", "b.lua"])
    #expect(restore.policy == nil)
  }

  /// A file that cannot be used stops the save: it might have held a filter.
  @Test(arguments: [
    ("return {", "unexpected symbol near <eof>"), ("error 'no'", "no"),
    ("return 5", "expected a table to be returned, got number"),
    ("return { polcy = 1 }", "unknown key 'polcy'"),
    ("return { match = 'web' }", "match: expected"),
    ("return { match = { nme = 1 } }", "match: unknown key 'nme'"),
    ("return { side = 'left' }", "side: expected save, restore or both"),
    ("return { policy = 5 }", "policy: expected a name"),
    ("return { match = { name = 5 } }", "match.name: expected a string"),
    ("while true do end", "no answer within"), ("return io.open('/etc/passwd')", "io"),
    ("os.execute 'true'", "execute"), ("return { filter = require 'evil' }", "evil"),
  ])
  func broken(text: String, problem: String) throws {
    let error = #expect(throws: XensaveError.self) { try Self.load(["a.lua": text]) }
    #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
    #expect(error?.description.contains("\n") == false)
  }

  @Test func whoMayWrite() throws {
    let folder = try Folder(["a.lua": "return { filter = print }"])
    let path = folder.path + "/a.lua"
    func problem() -> String? {
      do { _ = try HelperConfiguration(folder: folder.path, Self.facts, .save) } catch {
        return "\(error)"
      }
      return nil
    }
    #expect(problem() == nil)
    for mode: mode_t in [0o664, 0o646] {
      chmod(path, mode)
      #expect(problem()?.contains("only its owner may write it") == true)
    }
    chmod(path, 0o644)
    chmod(folder.path, 0o777)
    #expect(problem()?.contains("only its owner may write it") == true)
    chmod(folder.path, 0o700)
    #expect(rename(path, folder.path + "/real") == 0)
    #expect(symlink(folder.path + "/real", path) == 0)
    #expect(problem()?.contains("a.lua") == true)
    unlink(path)
    mkdir(path, 0o700)
    #expect(problem()?.contains("expected a file") == true)
    if geteuid() == 0 {
      rmdir(path)
      #expect(rename(folder.path + "/real", path) == 0)
      #expect(chown(path, 1234, 0) == 0)
      #expect(problem()?.contains("got user 1234's") == true)
    }
  }

  @Test func noFolder() throws {
    #expect(
      try HelperConfiguration(folder: "/nonexistent", Self.facts, .save).scripts.isEmpty)
  }

  /// The environment of whoever started xl has no say.
  @Test func environment() throws {
    setenv("XENSAVE_LUA_PATH", "/tmp", 1)
    setenv("LUA_PATH", "/tmp/?.lua", 1)
    setenv("LUA_INIT", "error 'LUA_INIT ran'", 1)
    defer { for name in ["XENSAVE_LUA_PATH", "LUA_PATH", "LUA_INIT"] { unsetenv(name) } }
    #expect(try Self.load(["a.lua": "return { filter = print }"]).filters.count == 1)
  }
}

@Suite struct HelperPolicyTests {
  func run(_ text: String) throws -> HelperRun {
    let folder = try Folder(["p.lua": text])
    let run = try HelperRun(.migrate)
    run.folder = folder.path
    #expect(run.run() == 0)
    return run
  }

  @Test func decidesTheRounds() throws {
    let run = try run(
      "return { policy = function(s) return s.iteration >= 2 and 'stop' or 'continue' end }")
    #expect(run.manager.result == 0)
    let lines = run.manager.lines(.debug).filter { $0.contains("before round") }
    #expect(lines.count == 3, "\(lines)")
    #expect(lines.allSatisfy { $0.contains("p.lua") })
    #expect(try run.isImage)
  }

  @Test func givesUp() throws {
    let run = try run("return { policy = function(s) return 'abort', 'not today' end }")
    #expect(run.manager.result == -1)
    #expect(run.manager.lines(.error).contains { $0.contains("not today") })
    run.expectUntouched("abort")
  }

  /// A policy that fails, loops or cannot even be made does not stop a save.
  @Test(arguments: [
    "return { policy = function(s) error 'oops' end }",
    "return { policy = function(s) while true do end end }",
    "return { policy = function(s) return {} end }", "return { policy = 'no-such-policy' }",
    "return { policy = { precopy = 5 } }",
  ])
  func fallsBack(text: String) throws {
    let run = try run(text)
    #expect(run.manager.result == 0)
    #expect(!run.manager.lines(.warn).isEmpty)
    #expect(try run.isImage)
  }

  @Test func shippedByName() throws {
    let run = try run("return { policy = 'downtime-budget' }")
    #expect(run.manager.result == 0)
    #expect(run.manager.lines(.warn).isEmpty, "\(run.manager.lines(.warn))")
    #expect(run.manager.lines(.debug).contains { $0.hasPrefix("policy downtime-budget") })
  }

  /// Only where there is nothing of that name there is no configuration. Whatever else keeps it from
  /// being read, the save must not continue without its filters.
  @Test(arguments: ["dangling", "loop", "file", "below", "fifo"])
  func unreadableFoldersFailClosed(kind: String) throws {
    let folder = try Folder()
    var path = "\(folder.path)/\(kind)"
    switch kind {
    case "dangling": #expect(symlink("\(folder.path)/nothing", path) == 0)
    case "loop": #expect(symlink(path, path) == 0)
    case "file": try FileSystem.create(path, "")
    case "below":
      try FileSystem.create(path, "")
      path += "/xensave.d"
    default: #expect(mkfifo(path, 0o600) == 0)
    }
    let error = #expect(throws: XensaveError.self) {
      _ = try HelperConfiguration(folder: path, ConfigurationTests.facts, .save)
    }
    let text = error?.description ?? ""
    #expect(text.contains(path) && !text.contains("\n"), "\(text)")
    #expect(
      try HelperConfiguration(folder: folder.path + "/nothing", ConfigurationTests.facts, .save)
        .scripts.isEmpty)
  }

  /// A FIFO among the files is refused, and not waited for.
  @Test func filesThatAreNone() throws {
    let folder = try Folder()
    #expect(mkfifo("\(folder.path)/a.lua", 0o600) == 0)
    let error = #expect(throws: XensaveError.self) {
      _ = try HelperConfiguration(folder: folder.path, ConfigurationTests.facts, .save)
    }
    #expect(error?.description.contains("expected a file") == true)
  }

  /// The text of a file is a chunk of its own: what would end a function around it is an error.
  @Test func policiesAreNoPartOfAnotherText() throws {
    let folder = try Folder([
      "a.lua": "return { policy = { precopy = function() return 'stop' end } }\nend, function()"
    ])
    #expect(throws: XensaveError.self) {
      _ = try HelperConfiguration(folder: folder.path, ConfigurationTests.facts, .save)
    }
    let good = try Folder([
      "a.lua": "-- The first line.\nreturn { policy = { precopy = function() error('here') end } }"
    ])
    let found = try HelperConfiguration(folder: good.path, ConfigurationTests.facts, .save)
    var lines: [String] = []
    let script = try #require(found.policy)
    let policy = try script.policy { lines.append($1) }
    var stats = PrecopyStats()
    stats.dirtyCount = 1
    _ = policy.decide(stats)
    #expect(lines.contains { $0.contains("a.lua:2: here") }, "\(lines)")
  }

  /// What runs is what was read: a policy's file runs once, and a call that finds out what kind of
  /// function it gives leaves no trace in its locals.
  @Test func filesRunOnce() throws {
    func decisions(_ text: String, _ options: [String: PolicyOption] = [:]) throws -> [String] {
      var recipe = PolicyRecipe(
        source: PolicySource(name: "p", path: "p.lua", text: Array(text.utf8)))
      recipe.options = options
      var lines: [String] = []
      let policy = try recipe.make { lines.append($1) }
      var out: [String] = []
      var stats = PrecopyStats()
      stats.dirtyCount = 1
      for _ in 0..<2 { out.append("\(policy.decide(stats))") }
      return out + lines
    }
    let counting = """
      local n = 0
      return function(s)
        n = n + 1
        return n == 1 and "continue" or "stop"
      end
      """
    #expect(try decisions(counting).prefix(2) == ["continuePrecopy", "stopAndCopy"])
    let maker = """
      local n = 0
      return function(options)
        n = n + 1
        return { opts = { what = "" },
          precopy = function(self) return n == 1 and options.what and self.opts.what end }
      end
      """
    #expect(
      try decisions(maker, ["what": .word("stop")]).prefix(2) == ["stopAndCopy", "stopAndCopy"])
  }
}
