// Other programs that do not do what they should: the ending is right, and nothing is left running.

import Glibc
import SystemIO
import TestKit
import Testing

@testable import EmuManager

/// One thing that goes wrong in one kind of run, and what xenopsd is to hear of it: nil where it cannot
/// hear anything, or is not to.
private struct Mishap: Sendable, CustomTestStringConvertible {
  enum Run: String { case live, nonLive, restore }
  let run: Run
  let step: TestStep
  let fault: TestFault
  let line: String?
  var exit: Int32 = 1
  var testDescription: String { "\(run) \(step) \(fault)" }

  private static let commands: [(Run, [String])] = [
    (
      .live,
      [
        "migrate_init", "track_dirty", "migrate_progress", "migrate_live", "migrate_pause",
        "migrate_paused",
      ]
    ),
    (.nonLive, ["migrate_init", "migrate_pause", "migrate_paused", "migrate_nonlive"]),
    (.restore, ["migrate_init", "set_args", "restore"]),
  ]

  /// xenguest fails at each of its commands in each way.
  static var atCommands: [Mishap] {
    commands.flatMap { run, names in
      names.flatMap { name in
        [
          Mishap(run: run, step: .command(name), fault: .hang, line: "error:Timer expired"),
          Mishap(
            run: run, step: .command(name), fault: .exit(1),
            line: "error:xenguest exited with an error"),
          Mishap(
            run: run, step: .command(name), fault: .kill,
            line: "error:xenguest was killed by a signal"),
          Mishap(
            run: run, step: .command(name), fault: .instead(#"{ "error" : "No" }"#),
            line: "error:Invalid argument"),
          Mishap(
            run: run, step: .command(name), fault: .instead("nonsense"),
            line: "error:xenguest Invalid argument"),
          Mishap(
            run: run, step: .command(name), fault: .before(#"{"return":{}}{"return":{}}"#),
            line: "error:xenguest Invalid argument"),
          Mishap(run: run, step: .command(name), fault: .abort, line: nil, exit: 0),
        ]
      }
    }
  }

  /// xenopsd does something else than to say `done`.
  static var atAnswers: [Mishap] {
    [
      (Run.live, "prepare:xenguest"), (.live, "suspend:"), (.nonLive, "suspend:"),
      (.nonLive, "prepare:xenguest"),
    ].flatMap { run, line in
      [
        Mishap(run: run, step: .done(line), fault: .hang, line: "error:Timer expired"),
        Mishap(run: run, step: .done(line), fault: .hangUp, line: "error:Broken pipe"),
        Mishap(run: run, step: .done(line), fault: .abort, line: nil, exit: 0),
        Mishap(
          run: run, step: .done(line), fault: .instead("restore:xenguest"),
          line: "error:Invalid argument"),
        Mishap(
          run: run, step: .done(line), fault: .before("done"), line: "error:Invalid argument"),
        Mishap(
          run: run, step: .done(line), fault: .instead(String(repeating: "x", count: 127)),
          line: "error:Invalid argument"),
        Mishap(
          run: run, step: .done(line), fault: .instead(String(repeating: "x", count: 128)),
          line: "error:Message too long"),
        Mishap(
          run: run, step: .done(line), fault: .exit(4),
          line: "error:xenguest exited with an error"),
      ]
    }
  }

  /// xenguest answers where no command was sent: before it reports that it has finished.
  static var uncalled: [Mishap] {
    [Run.live, .nonLive, .restore].flatMap { run in
      [#"{"error":"No"}"#, #"{"error":{"desc":"No"}}"#, #"{"return":{}}"#].map {
        Mishap(
          run: run, step: .completion, fault: .before($0), line: "error:xenguest Invalid argument")
      }
    }
  }

  /// The start of xenguest, its reports and its end.
  static let others: [Mishap] = [
    Mishap(run: .live, step: .start, fault: .exit(1), line: "error:Broken pipe"),
    Mishap(run: .live, step: .start, fault: .hang, line: "error:Timer expired"),
    Mishap(run: .live, step: .ready, fault: .hang, line: "error:Timer expired"),
    Mishap(run: .nonLive, step: .ready, fault: .before(""), line: "error:Broken pipe"),
    Mishap(run: .restore, step: .ready, fault: .hangUp, line: "error:Broken pipe"),
    Mishap(run: .restore, step: .ready, fault: .instead(""), line: "error:Timer expired"),
    Mishap(run: .live, step: .socket, fault: .hang, line: "error:No such file or directory"),
    Mishap(run: .live, step: .events, fault: .hang, line: "error:xenguest Timer expired"),
    Mishap(run: .live, step: .events, fault: .exit(1), line: "error:xenguest exited with an error"),
    Mishap(run: .live, step: .events, fault: .kill, line: "error:xenguest was killed by a signal"),
    Mishap(
      run: .live, step: .events, fault: .hangUp, line: "error:xenguest unexpectedly disconnected"),
    Mishap(run: .live, step: .afterEvents, fault: .abort, line: nil, exit: 0),
    Mishap(run: .live, step: .completion, fault: .hang, line: "error:xenguest Timer expired"),
    Mishap(
      run: .nonLive, step: .completion, fault: .exit(1),
      line: "error:xenguest exited with an error"),
    Mishap(
      run: .nonLive, step: .completion,
      fault: .instead(#"{"event":"MIGRATION","data":{"status":"failed"}}"#),
      line: "error:xenguest erroneous"),
    Mishap(
      run: .restore, step: .completion,
      fault: .instead(#"{"event":"MIGRATION","data":{"status":7}}"#),
      line: "error:xenguest Invalid argument"),
    Mishap(
      run: .restore, step: .completion,
      fault: .instead("{\"event\":\"" + String(repeating: "x", count: 5000)),
      line: "error:xenguest Message too long"),
    Mishap(run: .restore, step: .restore, fault: .hangUp, line: "error:Broken pipe"),
    Mishap(run: .restore, step: .restore, fault: .abort, line: nil, exit: 0),
    Mishap(
      run: .restore, step: .restore, fault: .instead("restore:vgpu"), line: "error:Invalid argument"
    ),
    Mishap(run: .restore, step: .restore, fault: .before("done"), line: "error:Invalid argument"),
    Mishap(
      run: .restore, step: .restore, fault: .before("restore:xenguest"),
      line: "error:Invalid argument"),
    Mishap(run: .live, step: .qemuSocket, fault: .hangUp, line: "error:No such file or directory"),
    Mishap(run: .live, step: .greeting, fault: .hang, line: "error:Timer expired"),
    Mishap(
      run: .live, step: .greeting, fault: .hangUp, line: "error:qemu unexpectedly disconnected"),
    Mishap(
      run: .live, step: .greeting, fault: .instead("220 mail\r\n"),
      line: "error:qemu Invalid argument"),
    Mishap(
      run: .live, step: .qemuCommand("qmp_capabilities"), fault: .hang, line: "error:Timer expired"),
    Mishap(
      run: .live, step: .qemuCommand("xen-set-global-dirty-log"),
      fault: .instead(#"{"error": {"class": "CommandNotFound", "desc": "no"}}"#),
      line: "error:Invalid argument"),
    Mishap(
      run: .live, step: .qemuCommand("xen-set-global-dirty-log"), fault: .hangUp,
      line: "error:qemu unexpectedly disconnected"),
    // After all is done, nothing spoils it.
    Mishap(run: .live, step: .command("quit"), fault: .exit(1), line: "result:0 0", exit: 0),
    Mishap(run: .nonLive, step: .command("quit"), fault: .hang, line: "result:0 0", exit: 0),
    Mishap(
      run: .restore, step: .command("quit"), fault: .kill, line: "result:xenguest 1 2", exit: 0),
  ]
}

@Suite struct HostileTests {
  static let filter = "return { filter = function() end, side = 'both' }"
  /// Reports of a save that is stopped in round 1.
  static let events = [
    #"{"event":"MIGRATION","data":{"sent":0,"remaining":1000,"iteration":0}}"#,
    #"{"event":"MIGRATION","data":{"sent":1000,"remaining":10,"iteration":1}}"#,
  ]
  static let restored =
    #"{"event":"MIGRATION","data":{"status":"completed","result":"1 2"}}"#

  /// Short limits, where something hangs.
  static let limits = [1500, 1500, 1500, 1500, 1500, 3000, 100]

  private func run(_ mishap: Mishap, isFiltered: Bool) throws {
    // A policy is enough where a live save is all that is to be done.
    let host = try FakeHost([
      "f.lua": isFiltered ? Self.filter : "return { policy = 'builtin' }"
    ])
    if mishap.fault == .hang || mishap.fault == .hangUp || mishap.step == .ready
      || mishap.step == .socket
    {
      try host.setLimits(Self.limits)
    }
    host.faults[mishap.step] = mishap.fault
    let stream: TestStream
    switch mishap.run {
    case .live:
      (host.liveEvents, stream) = (Self.events, TestStream())
      try host.start(FakeHost.liveSave, stream: stream)
    case .nonLive:
      stream = TestStream(.pipe)
      try host.start(FakeHost.nonLiveSave, stream: stream)
    case .restore:
      (host.completion, stream) = (Self.restored, TestStream(holding: FakeHost.emptyImage))
      try host.start(FakeHost.restore, stream: stream)
    }
    try host.run()
    #expect(host.exitStatus == mishap.exit, "\(host.log)")
    #expect(host.hasXenguestEnded, "\(host.log)")
    let last = host.results.last { $0.hasPrefix("error:") || $0.hasPrefix("result:") }
    #expect(last == mishap.line, "\(host.log)\(host.transcript)")
    #expect(host.lostLineCount == 0, "xenopsd reads no reason where its `done` is not taken")
  }

  @Test(arguments: Mishap.atCommands) fileprivate func commands(mishap: Mishap) throws {
    try run(mishap, isFiltered: true)
  }

  @Test(arguments: Mishap.atAnswers) fileprivate func answers(mishap: Mishap) throws {
    try run(mishap, isFiltered: true)
  }

  @Test(arguments: Mishap.others + Mishap.uncalled) fileprivate func others(mishap: Mishap) throws {
    try run(mishap, isFiltered: true)
  }

  /// The same of a live save without a filter, where xenguest has the stream itself.
  @Test(
    arguments: Mishap.atCommands.filter { $0.run == .live && $0.fault == .exit(1) }
      + Mishap.others.filter { $0.run == .live && $0.fault != .hang })
  fileprivate func withoutFilters(mishap: Mishap) throws {
    try run(mishap, isFiltered: false)
  }

  /// However messages are cut and joined on their way.
  @Test(arguments: [1, 7]) func fragments(size: Int) throws {
    let host = try FakeHost(["f.lua": "return { policy = 'builtin' }"])
    host.liveEvents = Self.events
    host.fragmentSize = size
    host.faults[.command("migrate_progress")] = .before(
      #"{"event":"MIGRATION","data":{"sent":0,"remaining":1000,"iteration":0}}"#)
    let stream = TestStream()
    try host.start(FakeHost.liveSave, stream: stream)
    try host.run()
    #expect(host.exitStatus == 0 && host.results.last == "result:0 0", "\(host.log)")
  }

  /// xenopsd may come to the record before xenguest is ready.
  @Test func earlyRestore() throws {
    let host = try FakeHost(["f.lua": Self.filter])
    host.faults[.restore] = .hang
    host.completion = Self.restored
    let stream = TestStream(holding: FakeHost.emptyImage)
    try host.start(FakeHost.restore, stream: stream)
    host.sendLine("restore:xenguest")
    try host.run()
    #expect(host.exitStatus == 0 && host.results == ["result:xenguest 1 2"], "\(host.log)")
    #expect(host.commands.map(FakeHost.name) == ["migrate_init", "set_args", "restore", "quit"])
  }

  /// A xenguest that cannot be started.
  @Test func noXenguest() throws {
    let host = try FakeHost(["f.lua": "return { policy = 'builtin' }"])
    FileSystem.remove(host.folder.path + "/xenguest")
    let stream = TestStream()
    try host.start(FakeHost.liveSave, stream: stream)
    try host.run()
    #expect(host.exitStatus == 1 && host.results == ["error:Broken pipe"], "\(host.log)")
  }

  /// xenguest dies while the filters still have much for it, and while they wait for more of it.
  @Test(arguments: [FakeHost.restore, FakeHost.nonLiveSave]) func deathInsideTheStream(
    words: [String]
  ) throws {
    let host = try FakeHost(["f.lua": Self.filter])
    let isRestore = words == FakeHost.restore
    host.faults[.command(isRestore ? "restore" : "migrate_nonlive")] = .exit(1)
    let stream = TestStream()
    // A record of 8 MiB: more than a pipe holds.
    let count: [UInt8] = [0, 0, 0x80, 0]
    if isRestore {
      stream.feed(
        Array(FakeHost.emptyImage.prefix(40)) + [0x7E, 0, 0, 0x80] + count
          + [UInt8](repeating: 1, count: 8 << 20))
    }
    try host.start(words, stream: stream)
    try host.run()
    #expect(host.exitStatus == 1 && host.hasXenguestEnded)
    #expect(host.results.last == "error:xenguest exited with an error", "\(host.log)")
  }

  /// The other end of the stream goes while there is much to be sent.
  @Test func receiverGone() throws {
    let host = try FakeHost(["f.lua": Self.filter])
    host.image.replaceSubrange(40..<40, with: [0x7E, 0, 0, 0x80, 0, 0, 8, 0])
    host.image.insert(contentsOf: [UInt8](repeating: 1, count: 8 << 16), at: 48)
    let stream = TestStream()
    stream.closeOtherEnd()
    try host.start(FakeHost.nonLiveSave, stream: stream)
    try host.run()
    #expect(host.exitStatus == 1 && host.hasXenguestEnded)
    #expect(host.results.last?.hasSuffix("Broken pipe") == true, "\(host.results) \(host.log)")
  }

  /// It asks for a node of memory that xenguest does not know: it goes without.
  @Test func unknownNode() throws {
    let host = try FakeHost(["f.lua": Self.filter])
    host.answers = [host.usualAnswer, #"{ "error" : "Bad Args" }"#]
    host.completion = Self.restored
    let stream = TestStream(holding: FakeHost.emptyImage)
    try host.start(FakeHost.restore + ["-mem_pnode", "1"], stream: stream)
    try host.run()
    #expect(host.results.last == "result:xenguest 1 2", "\(host.log)")
    #expect(host.commands.filter { $0.contains("set_args") }.count == 2)
    #expect(host.commands.filter { $0.contains("mem_pnode") }.count == 1)
  }
}
