// libxl's side of a helper: answers as libxl does, on a thread of its own.

import Format
import Glibc
import HelperProtocol
import Live
import SimDomain
import SystemIO
import TestKit

@testable import SaveHelper

/// What libxl does around one run of a helper, with a simulated domain.
final class FakeManager: @unchecked Sendable {
  // The helper waits while this answers: the two never touch the domain at the same time.
  let domain: SimDomain
  let channel: HelperChannel
  private let peer: HelperPeer
  private let ends: (Int32, Int32)
  private(set) var messages: [HelperMessage] = []
  /// Called before each answer: another answer, or nil for the usual one. Throws to hang up.
  var answer: (HelperMessage, Int) throws -> Int32? = { _, _ in nil }
  /// Called when the helper may not write: libxl's own records of a checkpoint.
  var turn: (HelperMessageKind) -> Void = { _ in }
  struct HangUp: Error {}

  init(_ domain: SimDomain, _ arguments: HelperArguments) throws {
    signal(SIGPIPE, SIG_IGN)
    self.domain = domain
    var (to, from): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard pipe(&to) == 0, pipe(&from) == 0 else { throw SystemError("pipe", errno, "") }
    ends = (to[1], from[1])
    channel = HelperChannel(
      output: Sink(try Descriptor(taking: to[1], path: "libxl", isOwned: false), path: "libxl"),
      input: try Source(Descriptor(taking: from[0], path: "libxl"), path: "libxl"),
      release: arguments.release, callbacks: arguments.callbacks)
    peer = HelperPeer(
      input: try Source(Descriptor(taking: to[0], path: "helper"), path: "helper"),
      output: Sink(
        try Descriptor(taking: from[1], path: "helper", isOwned: false), path: "helper"),
      release: arguments.release)
  }

  /// Runs `helper` and answers it; returns its exit status. Afterwards a domain whose save has failed
  /// has been resumed, as libxl does it.
  func run(_ helper: () -> Int32) -> Int32 {
    let thread = TestThread { self.serve() }
    let status = helper()
    close(ends.0)
    thread.join()
    close(ends.1)
    if result != 0, domain.shutdown == .suspend { try? domain.resume() }
    return status
  }

  /// What `complete` said; nil where it was not said.
  var result: Int32? {
    messages.last { $0.kind == .complete }?.number(0).map {
      Int32(bitPattern: UInt32(truncatingIfNeeded: $0))
    }
  }

  /// Lines of the log of at least this level.
  func lines(_ level: HelperMessage.Level) -> [String] {
    messages.compactMap { message in
      guard message.kind == .log, message.number(0) ?? 0 >= UInt64(level.rawValue),
        case .text(let text) = message.values[3]
      else { return nil }
      return text
    }
  }

  private func serve() {
    var asked: [HelperMessageKind: Int] = [:]
    while let message = try? peer.next()?.message {
      messages.append(message)
      guard message.hasReply else { continue }
      let count = asked[message.kind, default: 0] + 1
      asked[message.kind] = count
      do {
        let reply = try answer(message, count) ?? usual(message)
        turn(message.kind)
        try peer.reply(reply)
      } catch {
        // The number stays taken until `run` gives it back: another test could get it meanwhile.
        let nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC)
        dup2(nowhere, ends.1)
        close(nowhere)
        return
      }
    }
  }

  private func usual(_ message: HelperMessage) -> Int32 {
    switch message.kind {
    case .suspend:
      do { try domain.suspend() } catch { return 0 }
      return 1
    case .postcopy:
      do { try domain.resume() } catch { return 0 }
      return 1
    case .checkpoint: return 1
    case .switchQEMULogDirty:
      do { try domain.switchEmulatorLogDirty(message.number(1) == 1) } catch { return -1 }
      return 0
    default: return 0
    }
  }
}

/// A simulated domain as the hypervisor of a helper.
final class SimHelperHost: HelperHost {
  let simulated: SimDomain
  var name = "web1"
  init(_ domain: SimDomain) { simulated = domain }

  func facts(_ id: UInt32) throws -> HelperFacts {
    HelperFacts(
      id: id, name: name, type: simulated.configuration.guest == .x86PV ? "pv" : "pvh")
  }

  func domain(_ arguments: HelperArguments) throws -> (any Domain)? { simulated }

  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws { throw XensaveError(.unsuitable, "not here") }

  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) {
    let source = try Source(
      Descriptor(taking: descriptor, path: "stream", isOwned: false, isStream: true),
      path: "stream")
    let result = try Restore(source, into: simulated).run()
    if callbacks.staticDataDone?(0) ?? 0 != 0 {
      throw XensaveError(.staticDataDone, 0, "libxl could not use the static data")
    }
    return (result.storePFN ?? 0, result.consolePFN ?? 0)
  }
}
