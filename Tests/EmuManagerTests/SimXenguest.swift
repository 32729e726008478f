// A xenguest over a simulated domain: real streams, real rounds.

import Format
import Glibc
import Live
import SimDomain
import Stream
import Synchronization
import SystemIO
import TestKit

/// Saves and restores a simulated domain for a fake host, on a thread of its own, as the stock program does:
/// rounds go on until it is paused, and the guest is waited for.
final class SimXenguest: @unchecked Sendable {
  // The domain is used by the thread of the save alone, and by the test when that has ended.
  let domain: SimDomain
  private unowned let host: FakeHost
  private let state = Mutex((isPaused: false, hasGuestStopped: false, isAborted: false))
  private var thread: TestThread?
  private(set) var failure: String?
  /// Rounds that were sent while the guest ran.
  private(set) var rounds = 0

  init(_ domain: SimDomain, _ host: FakeHost) {
    self.domain = domain
    self.host = host
    host.engine = { [unowned self] descriptor, command in self.begin(descriptor, command) }
    host.onCommand = { [unowned self] command in
      self.state.withLock { state in
        switch command {
        case "migrate_pause": state.isPaused = true
        case "migrate_paused": state.hasGuestStopped = true
        case "migrate_abort": (state.isPaused, state.isAborted) = (true, true)
        default: break
        }
      }
    }
  }

  /// Waits for the end of its work.
  func join() { thread?.join() }

  private func begin(_ descriptor: Int32, _ command: String) {
    thread = TestThread { [self] in
      do {
        switch command {
        case "restore": try restore(descriptor)
        default: try save(descriptor, isLive: command == "migrate_live")
        }
        host.complete()
      } catch {
        failure = "\(error)"
        // As the stock program: it exits, and that is all that is heard of it.
        host.xenguest?.hangUp()
        host.puppet.exit(1)
      }
    }
  }

  private func save(_ descriptor: Int32, isLive: Bool) throws {
    let sink = Sink(try Descriptor(taking: descriptor, path: "stream"), path: "stream")
    let waiting = HookedDomain(domain) { [self] hook in
      guard hook == .suspend else { return }
      while !state.withLock({ $0.hasGuestStopped || $0.isAborted }) { usleep(1000) }
    }
    let policy = ClosurePolicy { [self] stats in
      if stats.isBeforeRound, let dirty = stats.dirtyCount {
        rounds = stats.iteration
        host.xenguest?.send(
          #"{ "event" : "MIGRATION", "data": {"sent": \#(stats.totalWritten),"#
            + #""remaining": \#(dirty),"iteration": \#(stats.iteration)}}"# + "\n")
        usleep(3000)
      }
      let (isPaused, isAborted) = state.withLock { ($0.isPaused, $0.isAborted) }
      return isAborted ? .abort("") : isPaused ? .stopAndCopy : .continuePrecopy
    }
    _ = try Save(waiting, to: sink, mode: isLive ? .live(policy) : .nonLive).run()
  }

  private func restore(_ descriptor: Int32) throws {
    let source = try Source(
      Descriptor(taking: descriptor, path: "stream", isStream: true), path: "stream")
    let result = try Restore(source, into: domain).run()
    host.completion =
      #"{ "event" : "MIGRATION", "data": {"status": "completed","result": "#
      + #""\#(result.storePFN ?? 0) \#(result.consolePFN ?? 0)"}}"# + "\n"
  }
}
