// Edits in place, with each system call refused, interrupted or cut short: the file is as it was before
// or after, or `recover` makes it so.

import CSystemCalls
import Glibc
import TestKit
import Testing

@testable import SystemIO

@Suite struct FileEditTests {
  private static let before = pattern(30_000)
  private static let patches = [
    Patch(offset: 10, before: Array(before[10..<20]), after: [UInt8](repeating: 1, count: 10)),
    Patch(
      offset: 8000, before: Array(before[8000..<14_000]), after: [UInt8](repeating: 2, count: 6000)),
  ]
  private static let after: [UInt8] = {
    var bytes = before
    for patch in patches {
      bytes.replaceSubrange(
        Int(patch.offset)..<Int(patch.offset) + patch.after.count, with: patch.after)
    }
    return bytes
  }()
  private static let calls = calls_set(rawValue: calls_all.rawValue & ~calls_lseek.rawValue)

  /// A file in a directory of its own, so that its journal can be seen.
  private func inDirectory(_ body: (String, TemporaryDirectory) throws -> Void) rethrows {
    let directory = TemporaryDirectory()
    let path = directory.path + "/image"
    let descriptor = creat(path, 0o600)
    precondition(
      Self.before.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == 30_000)
    close(descriptor)
    try body(path, directory)
  }

  private func edit(_ path: String) throws {
    try patiently { try FileEdit(path).apply(Self.patches) }
  }

  private func recover(_ path: String) throws -> Recovery {
    try patiently { try FileEdit.recover(path) }
  }

  /// Tests that run at once start programs: between its fork and its exec each has a copy of our file
  /// descriptors, and the lock of one that we have closed.
  @discardableResult
  private func patiently<R>(_ body: () throws -> R) throws -> R {
    for _ in 0..<200 {
      do { return try body() } catch let error as XensaveError where error.word == "busy" {
        usleep(10_000)
      }
    }
    return try body()
  }

  @Test func interruptedAndShortCallsChangeNothing() throws {
    var count = 0
    try inDirectory { path, _ in count = try Fault.count(Self.calls) { try edit(path) } }
    #expect(count > 8)
    // linkat gives no EINTR.
    let calls = calls_set(rawValue: Self.calls.rawValue & ~calls_linkat.rawValue)
    for at in 1...count {
      for effect in [Fault.Effect.error(EINTR), .short(1)] {
        try inDirectory { path, directory in
          _ = try Fault(calls: calls, effect: effect, at: at).during { try edit(path) }
          let isSame = contents(path) == Self.after
          #expect(isSame && directory.names == ["image"], "\(effect) at \(at)")
        }
      }
    }
  }

  @Test(arguments: [ENOSPC, EIO]) func whateverFailsCanBeUndone(number: Int32) throws {
    var count = 0
    try inDirectory { path, _ in count = try Fault.count(Self.calls) { try edit(path) } }
    var unfinished = 0
    for at in 1...count {
      try inDirectory { path, directory in
        let thrown = #expect(throws: (any Error).self, "at \(at)") {
          _ = try Fault(calls: Self.calls, effect: .error(number), at: at).during { try edit(path) }
        }
        let error = thrown.map { XensaveError($0) }
        if error?.description.contains("recover") == true, directory.names.count > 1 {
          unfinished += 1
          // Nobody else edits it before that.
          let refused = #expect(throws: XensaveError.self) { try edit(path) }
          #expect(refused?.word == "unfinished")
        }
        let outcome = try recover(path)
        let now = contents(path)
        // A journal that is gone was of an edit that had been brought to its end.
        let isBefore = now == Self.before
        let isAfter = now == Self.after
        #expect(isBefore || isAfter && outcome == .nothing, "\(outcome) at \(at)")
        #expect(directory.names == ["image"], "at \(at)")
        // And it can be edited as if nothing had been.
        if isBefore {
          try edit(path)
          let isSame = contents(path) == Self.after
          #expect(isSame)
        }
      }
    }
    #expect(unfinished >= 3)
  }

  /// A recovery that fails can be begun again.
  @Test func whateverFailsOfARecoveryCanBeRepeated() throws {
    var writes = 0
    try inDirectory { path, _ in writes = try Fault.count(calls_pwrite) { try edit(path) } }
    /// Leaves a file with its journal, in the middle of an edit: the last write to it fails.
    func breakOff(_ path: String) {
      let hits = Fault(calls: calls_pwrite, effect: .error(EIO), at: writes).during {
        try? edit(path)
      }
      #expect(hits == 1)
    }
    var count = 0
    try inDirectory { path, directory in
      breakOff(path)
      let isBroken = contents(path) != Self.before && contents(path) != Self.after
      #expect(isBroken && directory.names == [".image.undo", "image"])
      count = try Fault.count(Self.calls) { _ = try recover(path) }
      let isBefore = contents(path) == Self.before
      #expect(isBefore && directory.names == ["image"])
    }
    for at in 1...count {
      for effect in [Fault.Effect.error(EIO), .error(EINTR), .short(1)] {
        try inDirectory { path, directory in
          breakOff(path)
          _ = Fault(calls: Self.calls, effect: effect, at: at).during {
            _ = try? recover(path)
          }
          _ = try recover(path)
          let isBefore = contents(path) == Self.before
          #expect(isBefore && directory.names == ["image"], "\(effect) at \(at)")
        }
      }
    }
  }

  @Test func twoEditsExcludeEachOther() throws {
    try inDirectory { path, _ in
      let first = try FileEdit(path)
      let second = #expect(throws: XensaveError.self) { _ = try FileEdit(path) }
      #expect(second?.word == "busy")
      let recovery = #expect(throws: XensaveError.self) { _ = try FileEdit.recover(path) }
      #expect(recovery?.word == "busy")
      try first.apply(Self.patches)
    }
    try inDirectory { path, _ in
      let edit = try FileEdit(path)
      // Bytes that are not what the edit saw.
      let wrong = [Patch(offset: 0, before: [99], after: [1])]
      let error = #expect(throws: XensaveError.self) { try edit.apply(wrong) }
      #expect(error?.word == "changed")
      let isSame = contents(path) == Self.before
      #expect(isSame)
    }
  }
}
