// The first SIGINT, SIGTERM or SIGHUP ends whatever the program waits for, with its own exit code, and
// nothing is left.

import Glibc
import TestKit
import Testing

/// A run of the program that waits for something which never comes.
private final class Waiting {
  private let id: pid_t
  private let folder: String

  /// `input` and `output`: descriptors, -1 for /dev/null.
  init(_ words: [String], in folder: String, input: Int32 = -1, output: Int32 = -1) {
    self.folder = folder
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    for (number, target) in [(input, Int32(0)), (output, 1)] {
      if number >= 0 {
        posix_spawn_file_actions_adddup2(&actions, number, target)
      } else {
        posix_spawn_file_actions_addopen(&actions, target, "/dev/null", O_RDWR, 0)
      }
    }
    posix_spawn_file_actions_addopen(&actions, 2, folder + "/errors", O_WRONLY | O_CREAT, 0o600)
    closeOthers(&actions, from: 3)
    id = mustSpawn([Program.path] + words, &actions)
    posix_spawn_file_actions_destroy(&actions)
  }

  /// Waits until it sleeps in one system call for a while (or has ended).
  func awaitSleep() {
    var (last, same) = ("", 0)
    for _ in 0..<3000 where same < 5 {
      usleep(20_000)
      let state = Self.state(id)
      same = state == last && state.hasPrefix("S") ? same + 1 : 0
      last = state
      if state.hasPrefix("Z") || state.isEmpty { return }
    }
  }

  /// "S" and the system call with its arguments.
  private static func state(_ id: pid_t) -> String {
    let stat = String(decoding: Program.read("/proc/\(id)/stat"), as: UTF8.self)
    let call = String(decoding: Program.read("/proc/\(id)/syscall"), as: UTF8.self)
    let word = stat.split(separator: ")").last?.split(separator: " ").first ?? ""
    return stat.isEmpty ? "" : word + call
  }

  func send(_ signal: Int32) { kill(id, signal) }

  /// Its exit code, or minus the signal that ended it; nil where it stands still for a minute.
  func end() -> Int32? {
    var status: Int32 = 0
    for _ in 0..<6000 {
      if waitpid(id, &status, WNOHANG) == id {
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
      }
      usleep(10_000)
    }
    kill(id, SIGKILL)
    waitpid(id, &status, 0)
    return nil
  }

  var errors: String {
    String(decoding: Program.read(folder + "/errors"), as: UTF8.self)
  }
}

/// Something to wait for.
struct WaitCase: Sendable, CustomTestStringConvertible {
  enum Peer { case none, silentInput, silentOutput }

  let name: String
  /// Words of the command line; "@" is the folder.
  let words: [String]
  var peer = Peer.none
  var testDescription: String { name }

  static func script(_ name: String, _ text: String, _ peer: Peer = .none) -> WaitCase {
    WaitCase(name: name, words: ["-e", "local xs = require 'xensave' " + text], peer: peer)
  }

  static let all = [
    WaitCase(name: "opening a FIFO to read", words: ["info", "@/fifo"]),
    WaitCase(
      name: "opening a FIFO to write",
      words: ["set", "@/a.img", "HVM_PARAMS.count=5", "--unchecked", "-o", "@/fifo"]),
    WaitCase(name: "reading a stalled pipe", words: ["verify", "-"], peer: .silentInput),
    WaitCase(name: "a script on a stalled pipe", words: ["-"], peer: .silentInput),
    WaitCase(
      name: "rewriting into a full pipe", words: ["-e", "return {}", "@/a.img", "-o", "-"],
      peer: .silentOutput),
    WaitCase(
      name: "rewriting a stalled pipe", words: ["-e", "return {}", "-", "-o", "@/b.img"],
      peer: .silentInput),
    WaitCase(
      name: "a filter that reads pages of a stalled pipe",
      words: [
        "-e", "return { PAGE_DATA = function(b) for _, v in b:each() do v:u8(0) end end }",
        "@/cut", "-o", "@/b.img",
      ], peer: .silentInput),
    WaitCase(
      name: "compact into a full pipe", words: ["compact", "@/a.img", "-"], peer: .silentOutput),
    WaitCase(
      name: "a dump of memory into a full pipe",
      words: ["export", "@/a.img", "-", "--format", "elf-core"], peer: .silentOutput),
    script("printing into a full pipe", "while true do print(('x'):rep(1000)) end", .silentOutput),
    script(
      "io.write into a full pipe",
      "io.stdout:setvbuf('no') while true do io.write(('x'):rep(1000)) end", .silentOutput),
    WaitCase(name: "a session", words: ["-i"], peer: .silentInput),
    script("io.read", "io.read()", .silentInput),
    script("os.execute", "os.execute 'exec sleep 1000'"),
    script("io.popen", "io.popen 'exec sleep 1000':read()"),
    script("closing a command", "io.popen 'exec sleep 1000':close()"),
    script(
      "a live save into a full pipe", "assert(xs.sim { memory_mib = 16 }:save '-')", .silentOutput),
    script(
      "a filtered save into a full pipe",
      "assert(xs.sim { memory_mib = 16 }:save('-', { filter = {} }))", .silentOutput),
    script(
      "a receiver that does not read",
      "assert(xs.sim { memory_mib = 16 }:migrate 'exec sleep 1000')"
    ),
    script(
      "a receiver that does not end",
      "assert(xs.sim { memory_mib = 1 }:migrate 'cat >/dev/null; exec sleep 1000')"),
    script(
      "the next checkpoint",
      "assert(xs.sim { memory_mib = 1, real_time = true }:checkpoint('@/b.img', "
        + "{ count = 3, interval_ms = 1000000 }))"),
    script(
      "restoring from a stalled pipe",
      "assert(xs.sim { blank = true, memory_mib = 16 }:restore '-')", .silentInput),
    script(
      "a loop over a count",
      "local i = assert(xs.open '@/count.img') while true do local _ = i.hvm_params[99] end"),
    script("a loop", "while true do end"),
  ]
}

@Suite struct StopTests {
  /// A folder with a FIFO, an image of some MiB, and one with a count of 2^32 - 1.
  private static func folder() -> String {
    let folder = Program.temporaryFolder()
    mkfifo(folder + "/fifo", 0o600)
    let made = Program.run([
      "-e",
      """
      local xs = require "xensave"
      assert(xs.sim { memory_mib = 4 }:save "\(folder)/a.img")
      """,
    ])
    #expect(made.exitCode == 0, "\(made.errors)")
    let counted = Program.run([
      "set", folder + "/a.img", "HVM_PARAMS.count=4294967295", "--unchecked", "-o",
      folder + "/count.img",
    ])
    #expect(counted.exitCode == 0, "\(counted.errors)")
    return folder
  }

  @Test(.timeLimit(.minutes(20)), arguments: WaitCase.all)
  func ends(wait: WaitCase) {
    let folder = Self.folder()
    defer { Program.remove(folder) }
    for (signal, code) in [(SIGINT, Int32(130)), (SIGTERM, 143), (SIGHUP, 129)] {
      var ends: [Int32] = [-1, -1]
      #expect(pipe(&ends) == 0)
      var input: Int32 = -1
      if wait.peer == .silentInput {
        input = ends[0]
        // The beginning of an image, where one is waited for: less than any pipe holds.
        if wait.words.contains(where: { $0.contains("PAGE_DATA") || $0.contains("restore") }) {
          let start = Array(Program.read(folder + "/a.img").prefix(4000))
          #expect(write(ends[1], start, start.count) == start.count)
        }
      }
      let words = wait.words.map {
        $0 == "@/cut" ? "-" : $0.replacing("@", with: folder)
      }
      let names = Set(Program.names(in: folder)).union(["errors"])
      let run = Waiting(
        words, in: folder, input: input, output: wait.peer == .silentOutput ? ends[1] : -1)
      run.awaitSleepOrRun(wait.name.hasPrefix("a loop"))
      run.send(signal)
      #expect(run.end() == code, "\(wait.name), signal \(signal): \(run.errors)")
      #expect(Set(Program.names(in: folder)) == names, "\(wait.name), signal \(signal)")
      for end in ends { close(end) }
    }
  }

  /// A signal at any microsecond: also one that comes between the look for it and the wait.
  @Test(.timeLimit(.minutes(20))) func anyInstant() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    mkfifo(folder + "/fifo", 0o600)
    var (silent, full): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    #expect(pipe(&silent) == 0 && pipe(&full) == 0)
    defer { for end in silent + full { close(end) } }
    let write = "io.stdout:setvbuf('no') while true do io.write(('x'):rep(1000)) end"
    let kinds: [([String], Int32, Int32)] = [
      (["info", folder + "/fifo"], -1, -1), (["verify", "-"], silent[0], -1),
      (["-e", write], -1, full[1]),
    ]
    // How long it takes until one waits decides where signals are worth most.
    var clock = timespec()
    func now() -> Int {
      clock_gettime(CLOCK_MONOTONIC, &clock)
      return clock.tv_sec * 1_000_000 + clock.tv_nsec / 1000
    }
    let start = now()
    let first = Waiting(["--version"], in: folder)
    #expect(first.end() == 0)
    let span = max(2 * (now() - start), 20_000)
    var random = Seed(0x5EED_0051)
    var caught = 0
    for index in 0..<300 {
      let (words, input, output) = kinds[index % kinds.count]
      let run = Waiting(words, in: folder, input: input, output: output)
      usleep(UInt32.random(in: 0..<UInt32(span), using: &random))
      run.send(SIGTERM)
      let code = run.end()
      // Before the program has begun, the signal ends it as it does any program.
      #expect(code == 143 || code == -SIGTERM, "run \(index): \(code.map { "\($0)" } ?? "hangs")")
      if code == 143 { caught += 1 }
    }
    #expect(caught > 0)
  }

  /// A count of elements that are not there is refused by a restore, and ends no loop late.
  @Test(.timeLimit(.minutes(5))) func wrongCounts() {
    let folder = Self.folder()
    defer { Program.remove(folder) }
    let restored = Program.run([
      "-e",
      """
      local xs = require "xensave"
      assert(xs.sim { blank = true, memory_mib = 4 }:restore "\(folder)/count.img")
      """,
    ])
    #expect(restored.exitCode == 1)
    #expect(restored.errors.contains("HVM_PARAMS"), "\(restored.errors)")
    #expect(restored.errors.contains("got 4294967295"), "\(restored.errors)")
    let read = Program.run([
      "-e",
      """
      local p = assert(require "xensave".open "\(folder)/count.img").hvm_params
      print(#p < 100, p[99] == nil)
      """,
    ])
    #expect(read.text == "true\ttrue\n", "\(read.errors)")
  }
}

extension Waiting {
  /// One that computes never sleeps.
  fileprivate func awaitSleepOrRun(_ runs: Bool) {
    if runs { usleep(300_000) } else { awaitSleep() }
  }
}
