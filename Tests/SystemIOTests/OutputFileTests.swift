// A new file is whole or not there, whichever system call fails on its way.

import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing

@Suite struct OutputFileTests {
  private static let bytes = pattern(20_000)
  private static let calls = calls_set(rawValue: calls_all.rawValue & ~calls_lseek.rawValue)

  private func write(_ path: String, _ rule: OutputFile.Rule = .replacing) throws {
    let output = try OutputFile(path, .memory, rule)
    try output.sink.write(Self.bytes)
    try output.commit()
  }

  @Test func nothingCanBeSeenBeforeItIsWhole() throws {
    let directory = TemporaryDirectory()
    let path = directory.path + "/out"
    do {
      let output = try OutputFile(path, .memory)
      try output.sink.write(Self.bytes)
      #expect(directory.names.isEmpty)
      let reading = try #require(output.readingPath)
      #expect(contents(reading) == Self.bytes)
    }
    #expect(directory.names.isEmpty)
    try write(path)
    #expect(directory.names == ["out"] && contents(path) == Self.bytes)
    var status = stat()
    precondition(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    // A second one takes its place, and its mode.
    precondition(chmod(path, 0o640) == 0)
    try write(path)
    precondition(stat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o640)
    let error = #expect(throws: SystemError.self) { try write(path, .new) }
    #expect(error?.errno == EEXIST)
  }

  /// Each call in turn: interrupted and short ones change nothing; any error leaves what was there
  /// before, or nothing, and no other name.
  @Test(arguments: [false, true]) func everyCallMayFail(replaces: Bool) throws {
    func inDirectory(_ body: (String, TemporaryDirectory) throws -> Void) rethrows {
      let directory = TemporaryDirectory()
      let path = directory.path + "/out"
      if replaces { precondition(close(creat(path, 0o600)) == 0) }
      try body(path, directory)
    }
    var count = 0
    try inDirectory { path, _ in count = try Fault.count(Self.calls) { try write(path) } }
    #expect(count >= 4)
    for at in 1...count {
      for effect in [Fault.Effect.error(EINTR), .short(10)] {
        try inDirectory { path, directory in
          // linkat gives no EINTR.
          let calls = calls_set(rawValue: Self.calls.rawValue & ~calls_linkat.rawValue)
          _ = try Fault(calls: calls, effect: effect, at: at).during { try write(path) }
          let isSame = contents(path) == Self.bytes
          #expect(isSame && directory.names == ["out"], "\(effect) at \(at)")
        }
      }
      for number in [ENOSPC, EIO, EACCES] {
        inDirectory { path, directory in
          let error = #expect(throws: SystemError.self, "\(number) at \(at)") {
            _ = try Fault(calls: Self.calls, effect: .error(number), at: at).during {
              try write(path)
            }
          }
          #expect(error?.errno == number)
          // The last one is the directory's fsync: the file has its name by then.
          let isWhole = contents(path) == Self.bytes
          #expect(isWhole == (at == count))
          #expect(directory.names == (replaces || isWhole ? ["out"] : []))
        }
      }
    }
  }

  @Test func linksAreFollowed() throws {
    let directory = TemporaryDirectory()
    precondition(symlink("target", directory.path + "/link") == 0)
    try write(directory.path + "/link")
    #expect(directory.names == ["link", "target"])
    #expect(contents(directory.path + "/target") == Self.bytes)
    precondition(symlink("loop", directory.path + "/loop") == 0)
    let error = #expect(throws: SystemError.self) { try write(directory.path + "/loop") }
    #expect(error?.errno == ELOOP)
    let folder = #expect(throws: SystemError.self) { try write(directory.path) }
    #expect(folder?.errno == EISDIR)
  }

  @Test func aFIFOIsWrittenToAndStays() throws {
    let directory = TemporaryDirectory()
    let path = directory.path + "/fifo"
    precondition(mkfifo(path, 0o600) == 0)
    final class Box: @unchecked Sendable { var bytes: [UInt8] = [] }
    let box = Box()
    let thread = TestThread { box.bytes = contents(path) }
    do { try write(path) }
    thread.join()
    #expect(box.bytes == Self.bytes)
    var status = stat()
    precondition(lstat(path, &status) == 0)
    #expect(status.st_mode & S_IFMT == S_IFIFO)
    let error = #expect(throws: SystemError.self) { _ = try OutputFile(path, .text, .fileOnly) }
    #expect(error?.errno == EEXIST)
  }
}
