// Which runs are for this program, and which for the stock one.

import Glibc
import SystemIO
import TestKit
import Testing

@testable import EmuManager

@Suite struct ChoiceTests {
  enum Outcome: Equatable { case ours, stock, refused(String) }

  private func outcome(
    _ files: [String: String], _ words: [String] = FakeHost.liveSave,
    program: String = "emu-manager", prepare: (FakeHost) throws -> Void = { _ in }
  ) throws -> Outcome {
    let host = try FakeHost(files)
    try prepare(host)
    host.liveEvents = HostileTests.events
    host.completion = HostileTests.restored
    let isRestore = words.contains("hvm_restore")
    let stream = isRestore ? TestStream(holding: FakeHost.emptyImage) : TestStream()
    try host.start(words, stream: stream, program: program)
    try host.run()
    if host.exitStatus == 42 {
      #expect(host.lines.isEmpty && host.puppet.id == 0)
      return .stock
    }
    if host.exitStatus == 0 {
      #expect(host.results.last?.hasPrefix("result:") == true, "\(host.log)")
      return .ours
    }
    #expect(host.exitStatus == 1 && host.results.count == 1 && host.puppet.id == 0, "\(host.log)")
    return .refused(host.results.last ?? "")
  }

  private static let filter = "filter = function() end, side = 'both'"

  @Test(arguments: [
    ("{ policy = 'builtin' }", true, false, false),
    ("{ trace = '/nowhere/x' }", true, false, false),
    ("{ filter = print }", true, true, false),
    ("{ filter = print, side = 'restore' }", false, false, true),
    ("{ filter = print, side = 'both' }", true, true, true), ("{}", false, false, false),
  ])
  func byWhatAFileHas(text: String, live: Bool, nonLive: Bool, restore: Bool) throws {
    let files = ["f.lua": "return " + text]
    #expect(try outcome(files) == (live ? .ours : .stock))
    #expect(try outcome(files, FakeHost.nonLiveSave) == (nonLive ? .ours : .stock))
    #expect(try outcome(files, FakeHost.restore) == (restore ? .ours : .stock))
  }

  @Test(arguments: [
    ("name = 'web1'", true), ("name = 'web2'", false), ("pattern = '^web'", true),
    ("uuid = '\(FakeHost.uuid)'", true), ("uuid = '\(FakeHost.uuid.uppercased())'", true),
    ("uuid = '00000000-0000-4000-8000-000000000001'", false), ("uuid = ''", false),
    ("type = 'hvm'", true), ("type = 'pv'", false), ("hook = 'scrub'", false),
  ])
  func byDomain(match: String, isOurs: Bool) throws {
    let files = ["f.lua": "return { match = { \(match) }, \(Self.filter) }"]
    #expect(try outcome(files) == (isOurs ? .ours : .stock))
  }

  /// A path of /vm with more than a UUID, and another name.
  @Test func afterMigrations() throws {
    let files = [
      "f.lua": "return { match = { uuid = '\(FakeHost.uuid)', name = 'db' }, \(Self.filter) }"
    ]
    let found = try outcome(files) { host in
      host.set("vm", "/vm/\(FakeHost.uuid)-1")
      host.set("name", "db")
    }
    #expect(found == .ours)
  }

  private static let hooked = ["f.lua": "return { match = { hook = 'scrub' }, \(filter) }"]
  private static let unknown = "error:xensave-lua no file of "

  @Test func byHook() throws {
    #expect(try outcome(Self.hooked) == .stock)
    #expect(try outcome(Self.hooked) { $0.set("platform/xensave-hook", "scrub") } == .ours)
    #expect(try outcome(Self.hooked, program: "/a/emu-manager/scrub") == .ours)
    // A policy is enough to know the hook; then the restore is the stock program's.
    let policy = ["f.lua": "return { match = { hook = 'scrub' }, policy = 'builtin' }"]
    #expect(try outcome(policy, FakeHost.restore, program: "scrub") == .stock)
  }

  /// What a domain asks for must be there: else a filter would be missing.
  @Test func unknownHook() throws {
    for program in ["/a/emu-manager/scrup", "emu-manager"] {
      func run(_ files: [String: String]) throws -> Outcome {
        try outcome(files, program: program) {
          if program == "emu-manager" { $0.set("platform/xensave-hook", "scrup") }
        }
      }
      for files in [Self.hooked, [:]] {
        guard case .refused(let line) = try run(files) else {
          Issue.record("not refused")
          continue
        }
        #expect(line.hasPrefix(Self.unknown), "\(line)")
        let settings = ["emu-manager.conf": "on-unknown-hook = stock\n"]
        #expect(try run(files.merging(settings) { $1 }) == .stock)
      }
    }
  }

  /// A configuration that cannot be had might have held a filter.
  @Test(arguments: ["return {", "error 'no'", "return { fliter = print }", "return 1"])
  func failing(text: String) throws {
    guard case .refused(let line) = try outcome(["f.lua": text]) else {
      Issue.record("not refused")
      return
    }
    #expect(line.hasPrefix("error:xensave-lua "))
    #expect(
      try outcome(["f.lua": text, "emu-manager.conf": "on-error=stock\n"]) == .stock)
  }

  @Test func notToBeTrusted() throws {
    let files = ["f.lua": "return {}"]
    let found = try outcome(files) { chmod($0.folder.path + "/conf/f.lua", 0o666) }
    guard case .refused = found else {
      Issue.record("\(found)")
      return
    }
  }

  /// Without xenstored nobody knows the domain's name.
  @Test func noXenStore() throws {
    #expect(try outcome([:]) { $0.dropStore() } == .stock)
    let found = try outcome(["f.lua": "return { policy = 'builtin' }"]) { $0.dropStore() }
    guard case .refused(let line) = found else {
      Issue.record("\(found)")
      return
    }
    #expect(line.contains("connect"))
  }

  @Test(arguments: ["on-error = perhaps", "stall = -1", "what", "xenguest = relative"])
  func wrongSettings(line: String) throws {
    guard case .refused(let text) = try outcome(["emu-manager.conf": "# good\n\n\(line)\n"]) else {
      Issue.record("not refused")
      return
    }
    #expect(text.hasPrefix("error:xensave-lua "))
  }

  @Test func settings() throws {
    let text = """
      # a comment
      emu-manager = /opt/emu-manager
      xenguest=/opt/xenguest
      on-error = stock
        stall = 300\r

      """
    let settings = try ManagerSettings(parsing: text, path: "f")
    var expected = ManagerSettings()
    expected.emuManager = "/opt/emu-manager"
    expected.xenguest = "/opt/xenguest"
    expected.onError = .stock
    expected.stall = 300
    #expect(settings == expected)
    let setup = settings.applied(to: ManagerSetup { _, _ in })
    #expect(setup.stock == "/opt/emu-manager" && setup.limits.saveStall == 300_000_000_000)
  }

  /// The stock program of the settings is the one that is started.
  @Test func otherStockProgram() throws {
    let host = try FakeHost()
    try host.folder.write("other", "#!/bin/sh\nexit 43\n", mode: 0o755)
    try host.folder.write("conf/emu-manager.conf", "emu-manager = \(host.folder.path)/other\n")
    try host.start(["-supports", "migration-v2"], stream: TestStream())
    try host.run()
    #expect(host.exitStatus == 43)
  }

  /// A stream in which two programs would write over each other's bytes is for the stock one to refuse.
  @Test func streamToWriteAnywhere() throws {
    let host = try FakeHost(["f.lua": "return { \(Self.filter) }"])
    let file = TemporaryFile()
    try host.start(FakeHost.nonLiveSave, stream: TestStream(taking: open(file.path, O_WRONLY)))
    try host.run()
    #expect(host.exitStatus == 42)
  }

  /// There is nobody to leave it to.
  @Test func noStockProgram() throws {
    let host = try FakeHost()
    FileSystem.remove(host.folder.path + "/stock")
    try host.start(FakeHost.liveSave, stream: TestStream())
    try host.run()
    #expect(host.exitStatus == 1)
    #expect(host.log.contains("No such file"))
  }
}
