// A restore of checkpoints whose sender dies: it ends, with the last complete one, after filters too.

import Format
import Glibc
import HelperProtocol
import Live
import SimDomain
import Stream
import SystemIO
import TestKit
import Testing

@testable import SaveHelper

/// Reads checkpoints as xc_domain_restore does: where the stream ends after one, or libxl says so, it
/// takes what is complete.
private final class RemusHost: HelperHost {
  private(set) var count = 0

  func facts(_ id: UInt32) throws -> HelperFacts {
    HelperFacts(id: id, name: "web1", type: "pvh")
  }
  func domain(_ arguments: HelperArguments) throws -> (any Domain)? { nil }
  func save(
    _ arguments: HelperArguments, to descriptor: Int32, policy: any Policy,
    _ callbacks: ManagerCallbacks
  ) throws { throw XensaveError(.unsuitable, "not here") }

  func restore(
    _ arguments: HelperArguments, from descriptor: Int32, _ callbacks: ManagerCallbacks
  ) throws -> (store: UInt64, console: UInt64) {
    do {
      let source = try Source(
        Descriptor(taking: descriptor, path: "stream", isOwned: false, isStream: true),
        path: "stream")
      var reader = StreamReader(source)
      while let part = try reader.next() {
        guard case .record(let record) = part, record.type == .checkpoint else { continue }
        count += 1
        switch callbacks.checkpoint?() {
        case 1: continue
        case 2: return (1, 2)
        default: throw XensaveError(.checkpoint, 0, "libxl failed")
        }
      }
    } catch let error as XensaveError {
      throw error
    } catch {
      if count == 0 { throw XensaveError(.unsuitable, "\(error)") }
    }
    return (1, 2)
  }
}

@Suite struct FailoverTests {
  static let filter = """
    return { side = "both", filter = { PAGE_DATA = function(batch) return batch end } }
    """

  /// The stream of three checkpoints, and where each of them ends.
  private func stream() throws -> (bytes: [UInt8], ends: [Int]) {
    let run = try HelperRun(.remus)
    var ends: [Int] = []
    let descriptor = run.descriptor
    run.manager.turn = { kind in
      if kind == .postcopy { ends.append(Int(lseek(descriptor, 0, SEEK_CUR))) }
    }
    #expect(run.run() == 0)
    return (try Source(opening: run.file.path).read(64 << 20), ends)
  }

  /// Restores from a descriptor; libxl says at checkpoint `failover` that the sender is gone.
  private func restore(
    _ descriptor: Int32, filtered: Bool, failover: Int = .max
  ) throws -> (manager: FakeManager, host: RemusHost) {
    let folder = try Folder(filtered ? ["f.lua": Self.filter] : [:])
    let arguments = try HelperArguments(
      parsing: ["--restore-domain", "\(descriptor)", "-1", "1", "1", "0", "2", "0", "800", "1"])
    let manager = try FakeManager(SimDomain(blank: HelperRun.configuration()), arguments)
    manager.answer = { message, count in
      message.kind == .checkpoint ? (count == failover ? 2 : 1) : nil
    }
    let host = RemusHost()
    let status = manager.run {
      HelperSession(arguments, manager.channel, host, configurationFolder: folder.path).run()
    }
    #expect(status == 0)
    return (manager, host)
  }

  /// Cut anywhere after the first checkpoint, the restore is one that worked.
  @Test(arguments: [false, true]) func cutAnywhere(filtered: Bool) throws {
    let (bytes, ends) = try stream()
    #expect(ends.count == 3)
    var random = Seed(0x5EED_0013)
    var cuts = ends + ends.map { $0 + 1 } + ends.dropFirst().map { $0 - 1 }
    for _ in 0..<12 { cuts.append(ends[0] + random.below(ends[2] - ends[0])) }
    for cut in cuts where cut <= bytes.count {
      let file = TemporaryFile(Array(bytes[..<cut]))
      let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
      defer { close(descriptor) }
      let (manager, host) = try restore(descriptor, filtered: filtered)
      #expect(manager.result == 0, "cut at \(cut): \(manager.lines(.error))")
      #expect(host.count == ends.count { $0 <= cut }, "cut at \(cut)")
    }
    // Before the first one there is nothing to take over.
    let file = TemporaryFile(Array(bytes[..<(ends[0] - 1)]))
    let descriptor = open(file.path, O_RDONLY | O_CLOEXEC)
    defer { close(descriptor) }
    #expect(try restore(descriptor, filtered: filtered).manager.result == -1)
  }

  /// A helper whose xl is killed does not end the checkpoint.
  @Test func libxlIsGone() throws {
    var (to, from): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    #expect(pipe(&to) == 0 && pipe(&from) == 0)
    for end in to + from { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(from[1]) }
    let channel = HelperChannel(
      output: Sink(try Descriptor(taking: to[1], path: "libxl"), path: "libxl"),
      input: try Source(Descriptor(taking: from[0], path: "libxl"), path: "libxl"),
      release: .xen414, callbacks: [.checkpoint, .postcopy])
    let checkpoints = HelperCheckpoints(channel)
    try checkpoints.willEnd()
    close(to[0])
    // Another test's child may have the end for a moment.
    var isGone = false
    for _ in 0..<600 where !isGone {
      do { try checkpoints.willEnd() } catch { isGone = true }
      if !isGone { usleep(100_000) }
    }
    #expect(isGone)
  }

  /// libxl takes over while the sender's end is still open, as that of a machine which has stopped or a
  /// process that has inherited it: nobody waits for the next checkpoint.
  @Test(arguments: [false, true]) func openSender(filtered: Bool) throws {
    let (bytes, ends) = try stream()
    var pipe: [Int32] = [-1, -1]
    #expect(Glibc.pipe(&pipe) == 0)
    let writing = pipe[1]
    // What is left of the stream is never written, and the end stays open until the restore is over.
    let writer = TestThread {
      bytes[..<ends[1]].withUnsafeBytes { buffer in
        var done = 0
        while done < buffer.count {
          let count = Glibc.write(writing, buffer.baseAddress! + done, buffer.count - done)
          if count <= 0 { return }
          done += count
        }
      }
    }
    // A restore that waits for ever is let go, and seen to have been.
    let crashGuard = Watchdog(seconds: 50) { close(writing) }
    let (manager, host) = try restore(pipe[0], filtered: filtered, failover: 2)
    #expect(crashGuard.end(), "the restore waited for a sender that keeps its end open")
    writer.join()
    close(writing)
    close(pipe[0])
    #expect(manager.result == 0, "\(manager.lines(.error))")
    #expect(host.count == 2)
    #expect(manager.messages.contains { $0.kind == .restoreResults })
  }
}

/// Does something when so many seconds have passed without `end`.
private final class Watchdog: @unchecked Sendable {
  private var ends: [Int32] = [-1, -1]
  private var thread: TestThread?
  private var isQuiet = true

  init(seconds: Int32, _ action: @escaping @Sendable () -> Void) {
    guard pipe(&ends) == 0 else { return }
    let reading = ends[0]
    thread = TestThread {
      var wanted = pollfd(fd: reading, events: Int16(POLLIN), revents: 0)
      while poll(&wanted, 1, seconds * 1000) == -1, errno == EINTR {}
      guard wanted.revents == 0 else { return }
      self.isQuiet = false
      action()
    }
  }

  /// Whether it had nothing to do.
  func end() -> Bool {
    close(ends[1])
    thread?.join()
    close(ends[0])
    return isQuiet
  }
}
