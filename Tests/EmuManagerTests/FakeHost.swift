// A host around one run of the manager: xenopsd, xenguest, QEMU, xenstored and the stream.

import Glibc
import SystemIO
import TestKit
import Testing

/// A directory that goes with this object.
final class TestFolder {
  let path: String

  init() throws {
    signal(SIGPIPE, SIG_IGN)
    path = try FileSystem.temporaryFolder()
  }

  deinit { runShell("rm -r '\(path)'") }

  func write(_ name: String, _ text: String, mode: UInt32? = nil) throws {
    try FileSystem.create("\(path)/\(name)", text, mode: mode)
  }
}

/// A step of the conversation at which a test lets something go wrong.
enum TestStep: Hashable {
  /// xenguest: its start, its socket, that it is ready, a command, before and after its reports, its end.
  case start, socket, ready, command(String), events, afterEvents, completion
  /// xenopsd: `done` after a line; `restore:`.
  case done(String), restore
  /// QEMU: its socket, its greeting, its answers.
  case qemuSocket, greeting, qemuCommand(String)
}

/// What goes wrong.
enum TestFault: Equatable {
  /// Nothing comes.
  case hang
  /// The other side closes what it speaks through, and does nothing else.
  case hangUp
  /// xenguest exits with this status, or is killed.
  case exit(UInt8), kill
  /// This comes in the place of what was due.
  case instead(String)
  /// This comes before what was due.
  case before(String)
  /// xenopsd cancels.
  case abort
}

/// Plays all others around a run of the manager. With no faults it is a host on which all goes well.
final class FakeHost {
  static let domain: UInt32 = 7
  let folder: TestFolder
  let puppet: Puppet
  private(set) var xenguest: FakePeer?
  private var qemuListener: Int32 = -1
  private(set) var qemu: FakePeer?
  private let store: FakeXenStore
  var faults: [TestStep: TestFault] = [:]

  /// What xenguest reports after migrate_live up to the round after which it is stopped, and after
  /// migrate_pause.
  var liveEvents: [String] = []
  var pausedEvents: [String] = []
  var completion = #"{ "event" : "MIGRATION", "data": {"status": "completed"}}"# + "\n"
  /// What xenguest answers to its commands, in order; what is not here is the usual answer.
  var answers: [String] = []
  var usualAnswer = #"{ "return" : {} }"# + "\n"
  var qemuMessages = [
    #"{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2, "major": 4}}, "capabilities": []}}"#
      + "\r\n",
    #"{"return": {}}"# + "\r\n", #"{"return": {}}"# + "\r\n",
  ]
  /// Bytes of each write to the manager: 0 for whole messages.
  var fragmentSize = 0
  /// Cancels when this line has come.
  var abortAfterLine: String?
  /// The stream: xenguest writes it, or expects to read it.
  var image = FakeHost.emptyImage
  /// What xenguest does in the place of that: called with its descriptor, which it closes, and the
  /// command, when a save or restore begins. It calls `complete` at the end.
  var engine: ((Int32, String) -> Void)?
  /// Called with each command after it was answered.
  var onCommand: ((String) -> Void)?
  /// Microseconds between two reports.
  var pace: UInt32 = 0
  /// What xenguest has read of the stream.
  private(set) var restored: [UInt8] = []

  /// A stream of headers and END: of an HVM domain, version 3.
  static let emptyImage: [UInt8] =
    [UInt8](repeating: 0xFF, count: 8) + Array("XENF".utf8) + [0, 0, 0, 3]
    + [UInt8](repeating: 0, count: 8)
    + [2, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0] + [UInt8](repeating: 0, count: 8)

  // What the manager has said.
  private(set) var lines: [String] = []
  private(set) var commands: [String] = []
  private(set) var qmp: [String] = []
  /// All channels, in the order in which they were seen here.
  private(set) var transcript: [String] = []

  private(set) var process: pid_t = 0
  private var fromManager: Int32 = -1
  private var toManager: Int32 = -1
  private var lineBuffer: [UInt8] = []
  private(set) var streamOfXenguest: Int32 = -1
  private var isOver = false
  /// Seconds after which a run that has not ended is a failed test.
  private let patience: UInt64 = 100

  init(_ configuration: [String: String] = [:]) throws {
    folder = try TestFolder()
    puppet = Puppet(folder.path)
    store = try FakeXenStore(folder.path + "/xenstored")
    store.nodes = [
      "/local/domain/7/vm": "/vm/\(FakeHost.uuid)", "/local/domain/7/name": "web1",
      "/vm/\(FakeHost.uuid)/name": "web1",
    ]
    try FileSystem.createFolder(folder.path + "/conf")
    for (name, text) in configuration { try folder.write("conf/\(name)", text) }
    let program = BuiltPrograms.path("sim-emu-manager")
    try folder.write(
      "xenguest", "#!/bin/sh\nexec '\(program)' puppet '\(folder.path)' \"$@\"\n", mode: 0o755)
    try folder.write(
      "stock",
      "#!/bin/sh\nfor word in \"$@\"; do echo \"$word\"; done >'\(folder.path)/stock-words'\n"
        + "ls /proc/self/fd >'\(folder.path)/stock-descriptors'\nexit 42\n", mode: 0o755)
  }

  deinit {
    if process > 0, !isOver {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
    for descriptor in [fromManager, toManager, qemuListener, streamOfXenguest]
    where descriptor >= 0 {
      close(descriptor)
    }
  }

  static let uuid = "6a0c1bd4-15c8-4d3c-8f2a-0c4e0f2ba111"

  func set(_ node: String, _ value: String) { store.nodes["/local/domain/7/" + node] = value }
  func dropStore() { store.stop() }

  /// Limits in milliseconds: ready, command, answer, stall of saves and restores, exit, exit after a
  /// time-out.
  func setLimits(_ limits: [Int]) throws {
    try folder.write("limits", limits.map { "\($0)" }.joined(separator: " "))
  }

  // MARK: - Starting

  /// The words of xenopsd with the descriptors that a run gets here.
  static func words(_ mode: String, _ rest: [String] = []) -> [String] {
    ["-controloutfd", "3", "-controlinfd", "4", "-fd", "5", "-mode", mode, "-domid", "7"] + rest
  }

  static let liveSave = words("hvm_save", ["-dm", "qemu", "-live", "true"])
  static let nonLiveSave = words("hvm_save", ["-dm", "qemu"])
  static let restore = words(
    "hvm_restore", ["-store_port", "1", "-console_port", "2", "-dm", "qemu"])

  /// Starts the manager with a stream, which it gets a copy of.
  func start(_ words: [String], stream: TestStream, program: String = "emu-manager") throws {
    isRestore = words.contains("restore") || words.contains("hvm_restore")
    if faults[.qemuSocket] != .hangUp { qemuListener = listeningSocket(at: folder.path + "/qmp-7") }
    var (out, into): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard pipe(&out) == 0, pipe(&into) == 0 else { throw SystemError("pipe", errno, "") }
    (fromManager, toManager) = (out[0], into[1])
    for end in [fromManager, toManager] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    // Copies above the numbers that they are to have.
    let sources = [out[1], into[0], stream.descriptor].map { fcntl($0, F_DUPFD_CLOEXEC, 20) }
    close(out[1])
    close(into[0])
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_RDWR, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_RDWR, 0)
    for (index, source) in sources.enumerated() {
      posix_spawn_file_actions_adddup2(&actions, source, Int32(index + 3))
    }
    closeOthers(&actions, from: 6)
    let path = BuiltPrograms.path("sim-emu-manager")
    defer {
      for source in sources { close(source) }
      posix_spawn_file_actions_destroy(&actions)
    }
    process = try spawn([path, folder.path, program] + words, &actions)
    stream.giveAway()
  }

  // MARK: - Running

  /// Plays until the manager has ended; its wait status.
  @discardableResult
  func run() throws -> Int32 {
    let end = monotonicNanoseconds() + patience * 1_000_000_000
    while !isOver {
      guard monotonicNanoseconds() < end else {
        throw SystemError("wait", ETIMEDOUT, "\(transcript)")
      }
      try playOnce()
    }
    return status
  }

  private(set) var status: Int32 = 0

  private func playOnce() throws {
    let all = [
      fromManager, puppet.waiting, xenguest?.descriptor ?? -1, qemu == nil ? qemuListener : -1,
      qemu?.descriptor ?? -1,
    ]
    var entries = all.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    _ = poll(&entries, nfds_t(entries.count), 50)
    if entries[1].revents != 0 { try startXenguest() }
    if entries[3].revents != 0 { takeQEMU() }
    if entries[2].revents != 0 { takeCommands() }
    if entries[4].revents != 0 { takeQMP() }
    if entries[0].revents != 0 { takeLines() }
    if fromManager < 0 || entries.allSatisfy({ $0.revents == 0 }) { reap() }
  }

  private func reap() {
    var result: Int32 = 0
    guard waitpid(process, &result, WNOHANG) == process else { return }
    // What it wrote last.
    while fromManager >= 0 {
      var entry = pollfd(fd: fromManager, events: Int16(POLLIN), revents: 0)
      guard poll(&entry, 1, 0) > 0 else { break }
      takeLines()
    }
    (status, isOver) = (result, true)
  }

  /// The exit status; nil where a signal ended it.
  var exitStatus: Int32? { status & 0x7F == 0 ? status >> 8 & 0xFF : nil }

  /// The lines that are not about progress.
  var results: [String] { lines.filter { !$0.hasPrefix("info:") } }

  var log: String { (try? contents(of: folder.path + "/log")) ?? "" }

  private func note(_ channel: String, _ text: String) { transcript.append("\(channel) \(text)") }

  private func fault(_ step: TestStep) -> TestFault? { faults[step] }

  // MARK: - xenopsd

  /// Writes that found the pipe closed.
  private(set) var lostLineCount = 0
  /// Whether xenopsd is busy with a request, and will send `done`.
  private var isDoneDue = false

  func sendLine(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    var start = 0
    while start < bytes.count {
      let end = fragmentSize > 0 ? min(start + fragmentSize, bytes.count) : bytes.count
      if write(toManager, Array(bytes[start..<end]), end - start) < 0 { lostLineCount += 1 }
      start = end
    }
  }

  private func takeLines() {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(fromManager, &bytes, bytes.count)
    guard count > 0 else {
      close(fromManager)
      fromManager = -1
      return
    }
    lineBuffer += bytes[..<count]
    while let end = lineBuffer.firstIndex(of: 10) {
      let line = String(decoding: lineBuffer[..<end], as: UTF8.self)
      lineBuffer.removeFirst(end + 1)
      lines.append(line)
      note("line", line)
      if line == abortAfterLine { sendLine("abort") }
      if line.hasPrefix("prepare:") || line.hasPrefix("suspend:") { answer(line) }
      if line.hasPrefix("error:"), isDoneDue {
        usleep(100_000)
        isDoneDue = false
        sendLine("done")
      }
    }
  }

  private func answer(_ line: String) {
    switch fault(.done(line)) {
    case nil: sendLine("done")
    case .hang: break
    case .hangUp:
      close(toManager)
      toManager = -1
    case .instead(let text): sendLine(text)
    case .before(let text): sendLine(text + "\ndone")
    case .abort: sendLine("abort")
    case .exit, .kill:
      isDoneDue = true
      _ = play(.done(line))
    }
  }

  /// Sends what xenopsd sends when it has come to xenguest's record.
  private func requestRestore() {
    switch fault(.restore) {
    case .hang: break
    case .hangUp:
      close(toManager)
      toManager = -1
    case .instead(let text): sendLine(text)
    case .abort: sendLine("abort")
    case .before(let text): sendLine(text + "\nrestore:xenguest")
    default: sendLine("restore:xenguest")
    }
  }

  // MARK: - QEMU

  private func takeQEMU() {
    let peer = FakePeer(accept(qemuListener, nil, nil))
    peer.fragmentSize = fragmentSize
    qemu = peer
    guard reply(.greeting, peer, qemuMessages.isEmpty ? "" : qemuMessages.removeFirst()) else {
      return
    }
  }

  private func takeQMP() {
    guard let qemu else { return }
    for command in qemu.receive() {
      qmp.append(command)
      note("qmp", command)
      let name = FakeHost.name(command)
      _ = reply(.qemuCommand(name), qemu, qemuMessages.isEmpty ? "" : qemuMessages.removeFirst())
    }
    if qemu.isAtEnd { qemu.hangUp() }
  }

  /// The name in a command's text.
  static func name(_ command: String) -> String {
    let words = command.split(separator: "\"", omittingEmptySubsequences: false)
    return words.count > 3 ? String(words[3]) : command
  }

  // MARK: - xenguest

  private func startXenguest() throws {
    // One that was killed meanwhile says nothing.
    guard (try? puppet.take()) != nil else { return }
    if play(.start) { return }
    if faults[.socket] == nil { puppet.move("L") }
    switch fault(.ready) {
    case nil: puppet.move("R")
    case .hang: return
    case .hangUp: return puppet.move("c")
    case .before: puppet.move("rc")
    case .instead: puppet.move("r")
    case .exit(let status): return puppet.exit(status)
    default: return puppet.move("K")
    }
    guard faults[.socket] == nil, faults[.ready] == nil else { return }
    xenguest = try? puppet.connection()
    xenguest?.fragmentSize = fragmentSize
  }

  /// Lets a fault of xenguest itself happen; false where there is none.
  private func play(_ step: TestStep) -> Bool {
    switch fault(step) {
    case .exit(let status):
      puppet.exit(status)
      hangUpXenguest()
    case .kill:
      puppet.move("K")
      hangUpXenguest()
    case .hangUp: xenguest?.hangUp()
    case .hang: break
    case .abort: sendLine("abort")
    default: return false
    }
    return true
  }

  /// What the kernel does when it has ended.
  private func hangUpXenguest() {
    if streamOfXenguest >= 0 { close(streamOfXenguest) }
    streamOfXenguest = -1
    xenguest?.hangUp()
  }

  /// Sends an answer, or what a test wants in its place; false where none was sent.
  private func reply(_ step: TestStep, _ peer: FakePeer, _ text: String) -> Bool {
    switch fault(step) {
    case nil: peer.send(text)
    case .before(let other): peer.send(other + text)
    case .instead(let other): peer.send(other)
    case .hangUp where peer === qemu: peer.hangUp()
    default:
      _ = play(step)
      return false
    }
    return true
  }

  private func takeCommands() {
    guard let xenguest else { return }
    for command in xenguest.receive() {
      commands.append(command)
      note("emp", command)
      let name = FakeHost.name(command)
      let answer = answers.isEmpty ? usualAnswer : answers.removeFirst()
      guard reply(.command(name), xenguest, answer) else { continue }
      follow(name, xenguest)
    }
    if xenguest.isAtEnd { xenguest.hangUp() }
  }

  /// What xenguest does after its answer to a command.
  private func follow(_ name: String, _ xenguest: FakePeer) {
    onCommand?(name)
    switch name {
    case "migrate_init":
      streamOfXenguest = xenguest.takeDescriptor() ?? -1
      if isRestore { requestRestore() }
    case "migrate_live":
      if engine == nil { writeImage(..<40) }
      engine?(takeStream(), name)
      guard !play(.events) else { return }
      sendEvents(liveEvents)
      _ = play(.afterEvents)
    case "migrate_pause": sendEvents(pausedEvents)
    case "migrate_nonlive":
      engine?(takeStream(), name)
      if engine == nil {
        writeImage(..<40)
        complete()
      }
    case "restore":
      engine?(takeStream(), name)
      if engine == nil {
        readImage()
        complete()
      }
    case "migrate_paused":
      if engine == nil, commands.contains(where: { FakeHost.name($0) == "migrate_live" }) {
        complete()
      }
    case "quit": puppet.exit(quitStatus)
    default: break
    }
  }

  /// With what xenguest exits after quit.
  var quitStatus: UInt8 = 0
  private var isRestore = false

  private func takeStream() -> Int32 {
    defer { streamOfXenguest = -1 }
    return streamOfXenguest
  }

  private func sendEvents(_ events: [String]) {
    for event in events {
      if pace > 0 { usleep(pace) }
      xenguest?.send(event)
    }
  }

  private func writeImage(_ range: PartialRangeUpTo<Int>) {
    guard streamOfXenguest >= 0 else { return }
    _ = write(streamOfXenguest, Array(image[range]), range.upperBound)
  }

  private func readImage() {
    while restored.count < image.count {
      var bytes = [UInt8](repeating: 0, count: image.count - restored.count)
      let count = read(streamOfXenguest, &bytes, bytes.count)
      guard count > 0 else { return }
      restored += bytes[..<count]
    }
  }

  /// The save or restore is complete. From any thread.
  func complete() {
    if streamOfXenguest >= 0 {
      let rest = Array(image[40...])
      if !isRestore { _ = write(streamOfXenguest, rest, rest.count) }
      close(streamOfXenguest)
      streamOfXenguest = -1
    }
    switch fault(.completion) {
    case .instead(let text): xenguest?.send(text)
    case .before(let text): xenguest?.send(text + completion)
    case nil: xenguest?.send(completion)
    default: _ = play(.completion)
    }
  }

  /// Whether xenguest has ended, within some seconds: after SIGKILL the kernel ends it.
  var hasXenguestEnded: Bool {
    guard puppet.id > 0 else { return true }
    for _ in 0..<500 {
      guard let text = FakeHost.processState(puppet.id), text != "Z" else { return true }
      usleep(10_000)
    }
    return false
  }

  /// The letter of a process's state; nil where there is no such process.
  private static func processState(_ id: pid_t) -> Substring? {
    let file = open("/proc/\(id)/stat", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 512)
    let count = max(0, read(file, &bytes, bytes.count))
    let text = String(decoding: bytes[..<count], as: UTF8.self)
    return text.lastIndex(of: ")").flatMap { text[$0...].split(separator: " ").dropFirst().first }
  }
}
