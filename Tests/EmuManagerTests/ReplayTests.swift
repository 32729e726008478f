// The conversations of the real programs, played again with this one in their place.

import JSON
import TestKit
import Testing

@testable import EmuManager

/// A recording, and in what this manager is known to differ from it.
private struct Replay: Sendable, CustomTestStringConvertible {
  let name: String
  /// Makes of the recording what this manager is to do.
  let change: @Sendable (inout Recording) -> Void
  let hasSameProgress: Bool
  var testDescription: String { name }

  init(
    _ name: String, hasSameProgress: Bool = true,
    _ change: @escaping @Sendable (inout Recording) -> Void = { _ in }
  ) {
    self.name = name
    self.hasSameProgress = hasSameProgress
    self.change = change
  }

  static let all = [
    Replay("xcpng-1.2.1-live-save"), Replay("xcpng-1.2.1-pv-save"),
    Replay("xcpng-1.2.1-restore"), Replay("xcpng-1.2.1-pv-restore"), Replay("xcpng-1.2.1-cancel"),
    Replay("xcpng-1.2.1-refused-command"),
    // It reports 0 % of a save without rounds when that is complete; XenServer's reports 100 %.
    Replay("xcpng-1.2.1-nonlive-save", hasSameProgress: false),
    // Where xenguest dies, XenServer's words say what happened.
    Replay("xcpng-1.2.1-xenguest-dies") {
      $0.replaceLine("error:xenguest Invalid argument", "error:xenguest exited with an error")
    },
    // It passes over a status that is not "completed", and takes what comes after it.
    Replay("xcpng-1.2.1-status-failed", hasSameProgress: false) {
      $0.replaceLine("result:0 0", "error:xenguest erroneous")
      $0.commands.insert(#"{ "execute" : "migrate_abort" }"#, at: $0.commands.count - 1)
      $0.exit = 1
    },
    Replay("xenserver-2025-10-live-save"), Replay("xenserver-2025-10-pv-save"),
    Replay("xenserver-2025-10-cancel"), Replay("xenserver-2025-10-suspend-file"),
    // It ends before a line of progress is due.
    Replay("xenserver-2025-10-nonlive-save", hasSameProgress: false),
    // Its exit status of a failure is 2.
    Replay("xenserver-2025-10-xenguest-dies") { $0.exit = 1 },
    Replay("xenserver-2025-10-refused-command") { $0.exit = 1 },
    Replay("xenserver-2025-10-status-failed", hasSameProgress: false) { $0.exit = 1 },
    // It gives xenguest the node as a word; XCP-ng's by set_args, and so does this one.
    Replay("xenserver-2025-10-pv-restore") {
      $0.xenguestArguments.removeLast(2)
      $0.commands[1] = $0.commands[1].replacing(#""2", "#, with: #""2", "mem_pnode":"1", "#)
    },
    // It sends migrate_abort after a success, too.
    Replay("xcpng-1.2.0-live-save") { $0.commands.remove(at: $0.commands.count - 2) },
    Replay("xcpng-1.2.0-nonlive-save", hasSameProgress: false) {
      $0.commands.removeAll { $0.contains("migrate_abort") }
    },
    Replay("xcpng-1.2.0-restore"),
    // Its last line of progress was lost with xenguest.
    Replay("xcpng-1.2.0-xenguest-dies", hasSameProgress: false) {
      $0.replaceLine("error:xenguest Invalid argument", "error:xenguest exited with an error")
    },
  ]
}

extension Recording {
  fileprivate mutating func replaceLine(_ old: String, _ new: String) {
    lines = lines.map { $0 == old ? new : $0 }
  }

  /// The words with the descriptors of a run here.
  fileprivate var words: [String] {
    var words = arguments
    for (name, number) in [("-controloutfd", "3"), ("-controlinfd", "4"), ("-fd", "5")] {
      if let index = words.firstIndex(of: name) { words[index + 1] = number }
    }
    return words
  }
}

@Suite struct ReplayTests {
  /// A host that plays what was recorded, with the recorded bytes of xenguest and QEMU.
  private func host(_ recording: Recording) throws -> FakeHost {
    // Restores and suspends are for this program only where there is a filter.
    let host = try FakeHost([
      "f.lua":
        "return { filter = function() end, side = 'both', match = { uuid = '\(FakeHost.uuid)' } }"
    ])
    host.answers = recording.answers
    if !recording.qemuMessages.isEmpty { host.qemuMessages = recording.qemuMessages }
    var ends: [String] = []
    for event in recording.events {
      let data = try parsed(event)["data"]
      if data?["status"] != nil {
        ends.append(event)
      } else if host.liveEvents.last?.contains(#""iteration": 4"#) == true
        || !host.pausedEvents.isEmpty
      {
        // After the round after which the rule of XenServer stops.
        host.pausedEvents.append(event)
      } else {
        host.liveEvents.append(event)
      }
    }
    if !ends.isEmpty { host.completion = ends.joined() }
    host.abortAfterLine = recording.lineBeforeAbort
    if recording.xenguestExit == 1 { host.faults[.afterEvents] = .exit(1) }
    return host
  }

  @Test(arguments: Replay.all) fileprivate func replay(replay: Replay) throws {
    var recording = try Recording(replay.name)
    let host = try host(recording)
    let next: [UInt8] = [0x00, 0x0F, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0]
    let isRestore = recording.arguments.contains { $0.hasSuffix("restore") }
    let stream =
      isRestore
      ? TestStream(holding: FakeHost.emptyImage + next)
      : TestStream(replay.name.hasSuffix("file") ? .file : .socket)
    stream.isKept = isRestore
    try host.start(recording.words, stream: stream)
    try host.run()

    replay.change(&recording)
    #expect(host.exitStatus == recording.exit, "\(host.log)")
    #expect(host.hasXenguestEnded)
    let isProgress = { (line: String) in line.hasPrefix("info:") }
    #expect(host.results == recording.lines.filter { !isProgress($0) }, "\(host.log)")
    if replay.hasSameProgress {
      #expect(host.lines.filter(isProgress) == recording.lines.filter(isProgress))
    }
    #expect(try host.commands.map(parsed) == recording.commands.map(parsed))
    #expect(try host.qmp.map(parsed) == recording.qmp.map(parsed))
    if replay.name.hasPrefix("xcpng") {
      // The spelling too.
      #expect(host.commands == recording.commands && host.qmp == recording.qmp)
    }
    #expect(host.puppet.arguments == recording.xenguestArguments)
    // The shell that starts the puppet adds where it is.
    #expect(
      host.puppet.environment.filter { !$0.hasPrefix("PWD=") }.sorted() == [
        "LD_PRELOAD=/usr/libexec/coreutils/libstdbuf.so", "_STDBUF_O=0",
      ])
    let isGood = host.results.last?.hasPrefix("result:") == true
    if isRestore, isGood {
      // Not a byte after END.
      #expect(host.restored == FakeHost.emptyImage)
      #expect(stream.rest(ofManager: true) == next)
    } else if isGood {
      #expect(stream.rest() == FakeHost.emptyImage)
    }
  }

  /// xenguest is to stop before the guest is made to stand still, as since 1.2.1.
  @Test func order() throws {
    let host = try host(Recording("xcpng-1.2.1-live-save"))
    let stream = TestStream()
    try host.start(FakeHost.liveSave, stream: stream)
    try host.run()
    let names = host.transcript.filter { !$0.contains("info:") }.map { line in
      line.hasPrefix("line ") ? String(line.dropFirst(5)) : FakeHost.name(line)
    }
    // QEMU's two commands come on another channel, in their own order.
    let ofQEMU: Set = ["qmp_capabilities", "xen-set-global-dirty-log"]
    let others = names.filter { !ofQEMU.contains($0) }
    #expect(
      others.dropLast(2) == [
        "migrate_init", "track_dirty", "migrate_progress", "prepare:xenguest", "migrate_live",
        "migrate_pause", "suspend:", "migrate_paused",
      ])
    // Nobody answers the one before the other is sent, and two threads read them here.
    #expect(Set(others.suffix(2)) == ["result:0 0", "quit"])
    let log = try #require(names.firstIndex(of: "xen-set-global-dirty-log"))
    #expect(try log < #require(names.firstIndex(of: "prepare:xenguest")))
  }

  /// Reports inside rounds end nothing: XCP-ng's manager stops at the first of them.
  @Test func reportsInsideRounds() throws {
    let recording = try Recording("xcpng-1.2.1-live-save-mid-events")
    let host = try host(recording)
    host.pausedEvents = []
    host.liveEvents = recording.events.filter { !$0.contains("status") }
    for (sent, remaining, iteration) in [(268144, 900, 3), (269044, 700, 4)] {
      host.liveEvents.append(
        #"{ "event" : "MIGRATION", "data": {"sent": \#(sent),"remaining": \#(remaining),"#
          + #""iteration": \#(iteration)}}"# + "\n")
    }
    let stream = TestStream()
    try host.start(FakeHost.liveSave, stream: stream)
    try host.run()
    #expect(host.exitStatus == 0 && host.results.last == "result:0 0", "\(host.log)")
    #expect(
      host.log.contains("after round 3") || host.log.contains("before round 4"), "\(host.log)")
    #expect(host.commands.count { FakeHost.name($0) == "migrate_pause" } == 1)
  }

  /// What both refuse is left to the stock program, with all that xenopsd has given.
  @Test(arguments: ["xcpng-1.2.1-compress-refused", "xenserver-2025-10-compress-refused"])
  func compression(name: String) throws {
    let recording = try Recording(name)
    let host = try host(recording)
    let stream = TestStream()
    try host.start(recording.words, stream: stream)
    try host.run()
    #expect(host.exitStatus == 42 && host.lines.isEmpty && host.puppet.id == 0)
    let words = try contents(of: host.folder.path + "/stock-words")
    #expect(words.split(separator: "\n").map(String.init) == recording.words)
    let descriptors = Set(
      try contents(of: host.folder.path + "/stock-descriptors").split(separator: "\n"))
    #expect(descriptors.isSuperset(of: ["3", "4", "5"]))
  }
}
