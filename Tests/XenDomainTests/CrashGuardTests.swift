// SIGKILL of a program that has a domain in its hands: the crash guard puts the domain back.

import Glibc
import Live
import SystemIO
import Testing
import XenDomain

import enum TestKit.BuiltPrograms
import struct TestKit.Seed
import func TestKit.spawn

/// xen-victim over the fake libraries.
final class Victim {
  static let program = BuiltPrograms.path("xen-victim")

  let id: pid_t
  private let output: Int32
  private let errors: Int32

  init(_ xen: FakeXen, _ steps: [String]) throws {
    var (out, err): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard closedPipe(&out) == 0, closedPipe(&err) == 0 else { throw FakeXen.Failed(what: "pipe") }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, out[1], 1)
    posix_spawn_file_actions_adddup2(&actions, err[1], 2)
    let words = [Victim.program, xen.folder, "\(xen.minor)"] + steps
    id = try spawn(words, &actions)
    posix_spawn_file_actions_destroy(&actions)
    (output, errors) = (out[0], err[0])
    close(out[1])
    close(err[1])
  }

  deinit {
    close(output)
    close(errors)
  }

  /// Waits until it has said that it is ready.
  func awaitReady() -> Bool { Victim.read(output, 6) == "ready\n" }

  /// Kills it and waits until nobody holds its standard error any more, and so its crash guard is gone
  /// too: what these have said there.
  func kill() -> String {
    Glibc.kill(id, SIGKILL)
    return end()
  }

  func end() -> String {
    var status: Int32 = 0
    waitpid(id, &status, 0)
    return Victim.read(errors, .max)
  }

  private static func read(_ number: Int32, _ limit: Int) -> String {
    var text: [UInt8] = []
    var byte: UInt8 = 0
    while text.count < limit, Glibc.read(number, &byte, 1) == 1 { text.append(byte) }
    return String(decoding: text, as: UTF8.self)
  }
}

/// A pipe that no other program inherits.
private func closedPipe(_ ends: inout [Int32]) -> Int32 {
  guard pipe(&ends) == 0 else { return -1 }
  for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  return 0
}

@Suite(.serialized, .enabled(if: FakeXen.hasCompiler, "needs a C compiler called cc"))
struct CrashGuardTests {
  func state(_ xen: FakeXen) -> [Int] {
    ["paused", "suspended", "log_dirty"].map(xen.number)
  }

  /// What was done, and what there is before the kill; after it there is nothing.
  @Test(arguments: [
    (["pause"], [1, 0, 0]), (["log-dirty"], [0, 0, 1]), (["suspend"], [0, 1, 0]),
    (["pause", "log-dirty"], [1, 0, 1]), (["log-dirty", "suspend", "pause"], [1, 1, 1]),
    (["pause", "unpause"], [0, 0, 0]), (["log-dirty", "no-log-dirty", "pause"], [1, 0, 0]),
    (["suspend", "resume", "suspend"], [0, 1, 0]),
  ])
  func kills(steps: [String], before: [Int]) throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let victim = try Victim(xen, steps)
    #expect(victim.awaitReady())
    #expect(state(xen) == before)
    #expect(victim.kill() == "")
    #expect(state(xen) == [0, 0, 0])
  }

  /// A guest that was slowed down has what it had before, whatever that was.
  @Test(arguments: [0, 150]) func throttleIsTakenBack(cap: Int) throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    xen.schedule(0, cap: cap)
    // Of what two vCPUs could have, or of the cap that it had, two fifths are left.
    let throttled = cap == 0 ? 80 : 60
    var victim = try Victim(xen, ["throttle", "log-dirty", "throttle"])
    #expect(victim.awaitReady())
    #expect(xen.number("cap") == throttled)
    #expect(victim.kill() == "")
    #expect(xen.number("cap") == cap && state(xen) == [0, 0, 0])
    victim = try Victim(xen, ["throttle", "no-throttle"])
    #expect(victim.awaitReady())
    #expect(xen.number("cap") == cap)
    #expect(victim.kill() == "")
    #expect(xen.number("cap") == cap)
  }

  /// As libxl's helper: the throttle is taken back, and what libxl looks after is left to it.
  @Test func onlyThrottlesOfHelpers() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let victim = try Victim(xen, ["throttle-only", "log-dirty", "throttle", "suspend"])
    #expect(victim.awaitReady())
    #expect(xen.number("cap") == 80)
    #expect(victim.kill() == "")
    #expect(xen.number("cap") == 0 && state(xen) == [0, 1, 1])
  }

  /// Both schedulers that have caps; others say so, and where nobody would take it back it is not done.
  @Test func schedulers() throws {
    let xen = try FakeXen(minor: 17)
    let host = try xen.host()
    let domain = try host.domain(5)
    #expect(throws: XensaveError.self) { try domain.throttle(50) }
    #expect(xen.number("cap") == 0)
    host.crashGuardWords = [Victim.program, xen.folder, "17", "guard"]
    for kind in [0, 1] {
      xen.schedule(kind, cap: 0)
      for (percent, cap) in [(50, 100), (99, 2), (10, 180), (0, 0)] {
        try domain.throttle(percent)
        #expect(xen.number("cap") == cap, "\(kind) \(percent)")
      }
    }
    xen.schedule(2, cap: 0)
    let error = #expect(throws: XensaveError.self) { try domain.throttle(50) }
    #expect(error?.operation == "throttle")
  }

  /// What was like that before is nobody's to undo, and neither is a domain that somebody else may
  /// have by now.
  @Test func leavesWhatIsNotOurs() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let host = try xen.host()
    try host.domain(5).pause()
    var victim = try Victim(xen, ["pause", "log-dirty"])
    #expect(victim.awaitReady())
    #expect(victim.kill() == "")
    #expect(state(xen) == [1, 0, 0])
    try host.domain(5).unpause()
    victim = try Victim(xen, ["log-dirty", "suspend", "leave"])
    #expect(victim.awaitReady())
    #expect(victim.kill() == "")
    #expect(state(xen) == [0, 1, 0])
  }

  /// A domain that was suspended before stays suspended, whatever a save that is killed was at; one
  /// that ran runs.
  @Test(arguments: [0, 1]) func killedFailingSaves(suspended: Int) throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let domain = try xen.host().domain(5)
    var random = Seed(0x5EED_0011)
    if suspended == 1 { try domain.suspend() }
    for _ in 0..<25 {
      let victim = try Victim(xen, ["failing-saves"])
      #expect(victim.awaitReady())
      sleep(nanoseconds: UInt64.random(in: 0..<20_000_000, using: &random))
      #expect(victim.kill() == "")
      #expect(state(xen) == [0, suspended, 0])
    }
  }

  /// What a save gave away and then did not is to be undone again.
  @Test func takesBack() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let victim = try Victim(xen, ["suspend", "leave", "take-back"])
    #expect(victim.awaitReady())
    #expect(state(xen) == [0, 1, 0])
    #expect(victim.kill() == "")
    #expect(state(xen) == [0, 0, 0])
  }

  /// A program that ends without undoing anything.
  @Test func exits() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    let victim = try Victim(xen, ["pause", "log-dirty", "exit"])
    #expect(victim.end() == "")
    #expect(state(xen) == [0, 0, 0])
  }

  /// SIGKILL at 50 seeded instants of saves that follow each other, and more until ten of them have
  /// found the domain changed.
  @Test func killedSaves() throws {
    let xen = try FakeXen(minor: 17, isShared: true)
    var random = Seed(0x5EED_0010)
    var (busy, kills) = (0, 0)
    while kills < 50 || (busy < 10 && kills < 500) {
      kills += 1
      let victim = try Victim(xen, ["saves"])
      #expect(victim.awaitReady())
      sleep(nanoseconds: UInt64.random(in: 0..<30_000_000, using: &random))
      Glibc.kill(victim.id, SIGSTOP)
      if state(xen) != [0, 0, 0] { busy += 1 }
      #expect(victim.kill() == "")
      #expect(state(xen) == [0, 0, 0])
    }
    #expect(busy >= 10)
  }

  /// Nothing is done to a domain that nobody would put back.
  @Test func noGuardian() throws {
    let xen = try FakeXen(minor: 17)
    let host = try xen.host()
    let domain = try host.domain(5)
    for words in [["/nonexistent"], ["/bin/true"]] {
      host.crashGuardWords = words
      for work in [domain.pause, domain.suspend, domain.enableLogDirty] {
        let error = #expect(throws: XensaveError.self) { try work() }
        #expect(error?.description.hasPrefix("the crash guard that would put") == true)
      }
      #expect(state(xen) == [0, 0, 0])
    }
    host.crashGuardWords = []
    try domain.pause()
    #expect(state(xen) == [1, 0, 0])
  }
}
