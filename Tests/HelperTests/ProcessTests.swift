// The helper as a process of its own: signals, standard output, exit statuses.

import Format
import Glibc
import HelperProtocol
import ImageCheck
import Live
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

/// sim-helper with libxl's ends of its pipes.
final class HelperProcess {
  let id: pid_t
  let file = TemporaryFile()
  private let peer: HelperPeer
  private let complaints = TemporaryFile()
  private(set) var messages: [HelperMessage] = []

  static let program = BuiltPrograms.path("sim-helper")

  /// `release`: of the messages. `options` stand before sim-helper's folder. `words` are those of `program`,
  /// the folder included, where it is not sim-helper.
  init(
    _ words: [String], options: [String] = [], folder: String = "",
    program: String = HelperProcess.program, release: HelperRelease = .xen414
  ) throws {
    var (to, from): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard pipe(&to) == 0, pipe(&from) == 0 else { throw SystemError("pipe", errno, "") }
    for end in [to[0], from[1]] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, from[0], 0)
    posix_spawn_file_actions_adddup2(&actions, to[1], 1)
    posix_spawn_file_actions_addopen(&actions, 2, complaints.path, O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 20, file.path, O_RDWR, 0)
    closeOthers(&actions, from: 21)
    let all = [program] + (program == HelperProcess.program ? options + [folder] : []) + words
    id = try spawn(all, &actions)
    posix_spawn_file_actions_destroy(&actions)
    close(to[1])
    close(from[0])
    peer = HelperPeer(
      input: try Source(Descriptor(taking: to[0], path: "helper"), path: "helper"),
      output: Sink(try Descriptor(taking: from[1], path: "helper"), path: "helper"),
      release: release)
  }

  /// Answers until the helper ends; its wait status.
  func serve() throws -> Int32 {
    while let message = try? peer.next()?.message {
      messages.append(message)
      guard message.hasReply else { continue }
      let isYes = message.kind == .suspend
      do { try peer.reply(isYes ? 1 : 0) } catch { break }
    }
    var status: Int32 = 0
    wait4(id, &status, 0, &usage)
    return status
  }

  /// What the helper has used, once it has ended.
  private(set) var usage = rusage()

  var result: Int32? {
    messages.last { $0.kind == .complete }?.number(0).map {
      Int32(bitPattern: UInt32(truncatingIfNeeded: $0))
    }
  }

  var standardError: String {
    get throws {
      String(decoding: try Source(opening: complaints.path).read(1 << 16), as: UTF8.self)
    }
  }

  var isImage: Bool {
    get throws {
      guard try Source(opening: file.path).byteCount ?? 0 > 0 else { return false }
      do { return try Verifier(Source(opening: file.path)).run().isGood } catch { return false }
    }
  }
}

@Suite(.serialized) struct ProcessTests {
  static let migrate = ["--save-domain", "20", "-1", "1", "1", "136", "0"]

  @Test func good() throws {
    let helper = try HelperProcess(Self.migrate)
    #expect(try helper.serve() == 0)
    #expect(helper.result == 0)
    #expect(try helper.isImage)
    #expect(try helper.standardError == "left: log-dirty off, 0 pages lent\n")
  }

  /// What a script prints does not get between the messages.
  @Test func printing() throws {
    let folder = try Folder(["f.lua": "return { filter = function(rec) print(rec.type) end }"])
    let helper = try HelperProcess(Self.migrate, folder: folder.path)
    #expect(try helper.serve() == 0)
    #expect(helper.result == 0)
    #expect(try helper.isImage)
  }

  /// SIGTERM at 50 seeded instants, with filters and without.
  @Test(.timeLimit(.minutes(5)), arguments: [false, true]) func terminations(isFiltered: Bool)
    throws
  {
    let folder = try Folder(isFiltered ? ["f.lua": FilterTests.scrub] : [:])
    var random = Seed(0x5EED_0008)
    var stopped = 0
    for _ in 0..<50 {
      let helper = try HelperProcess(Self.migrate, folder: folder.path)
      let delay = UInt64.random(in: 0..<60_000_000, using: &random)
      let killer = TestThread { [id = helper.id] in
        sleep(nanoseconds: delay)
        kill(id, SIGTERM)
      }
      let status = try helper.serve()
      killer.join()
      // Before the handler is set the signal ends the process, as it does the stock helper.
      if status & 0x7F != 0 {
        #expect(status & 0x7F == SIGTERM && helper.messages.isEmpty)
      } else {
        #expect(status == 0, "delay \(delay)")
        #expect(try helper.standardError == "left: log-dirty off, 0 pages lent\n")
      }
      if helper.result != 0 {
        stopped += 1
        #expect(try !helper.isImage, "delay \(delay)")
      }
    }
    #expect(stopped > 10)
  }

  /// SIGKILL at 50 seeded instants: no message says that it was well, and what there is is no image.
  @Test func kills() throws {
    var random = Seed(0x5EED_0009)
    var killed = 0
    for _ in 0..<50 {
      let helper = try HelperProcess(Self.migrate)
      let delay = UInt64.random(in: 0..<60_000_000, using: &random)
      let killer = TestThread { [id = helper.id] in
        sleep(nanoseconds: delay)
        kill(id, SIGKILL)
      }
      let status = try helper.serve()
      killer.join()
      guard status & 0x7F == SIGKILL, helper.result == nil else { continue }
      killed += 1
      #expect(try !helper.isImage, "delay \(delay)")
    }
    #expect(killed > 10)
  }

  /// A filter inside one search that takes for ever: the helper takes its way out all the same.
  @Test(.timeLimit(.minutes(2))) func stuckFilter() throws {
    let folder = try Folder([
      "f.lua": """
      local subject, pattern = ("a"):rep(60000), ("a-"):rep(20) .. "b"
      return { filter = { PAGE_DATA = function() return subject:find(pattern) end } }
      """
    ])
    let helper = try HelperProcess(Self.migrate, options: ["script=1000"], folder: folder.path)
    #expect(try helper.serve() == 0)
    #expect(helper.result == -1)
    #expect(try !helper.isImage)
    #expect(try helper.standardError == "left: log-dirty off, 0 pages lent\n")
  }

  /// Lines of libxl's log of the level of errors.
  static func errors(_ helper: HelperProcess) -> [String] {
    helper.messages.compactMap { message in
      guard message.kind == .log, message.number(0) == 8, case .text(let text) = message.values[3]
      else { return nil }
      return text
    }
  }

  /// A release that is not known: one line in libxl's log names it and says which are. No
  /// `complete`, and the exit status of a helper that failed.
  @Test(arguments: [6, 13, 23]) func unknownReleases(minor: Int) throws {
    let helper = try HelperProcess(Self.migrate, folder: "release=\(minor)")
    #expect(try helper.serve() == 255 << 8)
    let hint = minor > 22 ? " (XENSAVE_XEN_AS=4.22 tries it with the calls of 4.22)" : ""
    #expect(
      Self.errors(helper) == ["Xen 4.\(minor) is not known here: expected 4.14 to 4.22" + hint])
    #expect(helper.result == nil)
    #expect(try helper.standardError == "")
  }

  /// libxl of an older release: known by the arguments, and told in the messages of that release.
  @Test(arguments: [
    (["--save-domain", "20", "-1", "1", "1", "1", "136", "0"], HelperRelease.xen410),
    (["--save-domain", "20", "-1", "1", "0", "0", "1", "1", "136", "0"], .xen47),
    (["--save-domain", "20", "1", "0", "0", "1", "1", "72"], .xen46),
    (["--restore-domain", "20", "-1", "1", "1", "0", "2", "0", "1", "1", "256", "0"], .xen410),
    (["--restore-domain", "20", "-1", "1", "1", "0", "2", "0", "1", "1", "0", "256", "0"], .xen47),
    (["--restore-domain", "20", "1", "1", "0", "2", "0", "1", "1", "0", "128", "0"], .xen46),
  ])
  func olderReleases(words: [String], release: HelperRelease) throws {
    let helper = try HelperProcess(words, program: Checkout.bin + "/xensave-lua", release: release)
    #expect(try helper.serve() == 255 << 8)
    #expect(
      Self.errors(helper) == [
        "a Xen before 4.14 (by libxl's arguments) is not known here: expected 4.14 to 4.22"
      ])
    #expect(helper.result == nil)
    #expect(try helper.standardError == "")
  }

  @Test(arguments: [[], ["--save-domain", "1"], ["--safe-domain"]]) func wrongArguments(
    words: [String]
  ) throws {
    let helper = try HelperProcess(words)
    #expect(try helper.serve() == 2 << 8)
    #expect(helper.messages.isEmpty)
    #expect(
      try helper.standardError.split(separator: "\n").first?.hasPrefix("xensave-lua: helper: ")
        == true)
  }
}
