// What a sink writes: all of it, once, wherever the kernel stops it; and holes only where nothing is.

import Bytes
import CSystem
import CSystemCalls
import Glibc
import TestKit
import Testing

@testable import SystemIO

@Suite struct SinkTests {
  private static let bytes = pattern(40_000)
  private static let writing = calls_set(rawValue: calls_write.rawValue | calls_writev.rawValue)

  private static func buffer(_ bytes: [UInt8]) -> PageAlignedBuffer {
    let buffer = PageAlignedBuffer(capacity: bytes.count)
    for (index, byte) in bytes.enumerated() { buffer.store(index, byte) }
    return buffer
  }

  /// Everything that a sink can be given.
  private func writeAll(_ sink: Sink) throws {
    let buffer = Self.buffer(Self.bytes)
    try sink.write(Self.bytes)
    try sink.write([])
    try sink.write(buffer, 100..<9000)
    try sink.write(Array(Self.bytes.prefix(50)), then: buffer, 50..<10_000)
    try sink.write([], then: buffer, 7..<7)
    let vectors = WriteVectors()
    // Two that touch, one apart, and more than one call takes.
    vectors.append(buffer, 0..<4096)
    vectors.append(buffer, 4096..<8192)
    for index in 0..<1500 {
      vectors.append(buffer, 8192 + 13 * (index % 2)..<8192 + 13 * (index % 2) + 5)
    }
    vectors.append(buffer, 20_480..<40_000)
    try sink.write(vectors)
    vectors.removeAll()
    try sink.write(vectors)
  }

  private static let expected: [UInt8] = {
    var out = bytes + bytes[100..<9000] + bytes.prefix(50) + bytes[50..<10_000] + bytes[0..<8192]
    for index in 0..<1500 { out += bytes[8192 + 13 * (index % 2)..<8192 + 13 * (index % 2) + 5] }
    return out + bytes[20_480..<40_000]
  }()

  @Test(arguments: Destination.allCases) func everythingArrivesOnce(destination: Destination) throws
  {
    let got = try destination.collect { sink in
      try writeAll(sink)
      #expect(sink.position == UInt64(Self.expected.count))
    }
    guard let got else { return }
    let isSame = got.starts(with: Self.expected)
    #expect(isSame && got.count == max(Self.expected.count, destination == .oldFile ? 3000 : 0))
  }

  @Test(arguments: [Destination.file, .pipe, .socket])
  func interruptedAndShortCallsChangeNothing(destination: Destination) throws {
    var count = 0
    _ = try destination.collect { sink in
      count = try Fault.count(Self.writing) { try writeAll(sink) }
    }
    #expect(count > 5)
    for at in Array(1...count) + [0] {
      for effect in [Fault.Effect.error(EINTR), .short(1), .short(3000)] {
        // 0: all of them, which no call can bear that is always interrupted.
        if at == 0, case .error = effect { continue }
        if at == 0, case .short(1) = effect { continue }
        let fault = Fault(
          calls: Self.writing, effect: effect, at: max(1, at), times: at == 0 ? 0 : 1)
        let got = try destination.collect { sink in
          _ = try fault.during { try writeAll(sink) }
        }
        let isSame = got == Self.expected
        #expect(isSame, "\(fault.testDescription)")
      }
    }
  }

  @Test(arguments: [ENOSPC, EDQUOT, EFBIG, EIO]) func errorsOfEveryCallAreThrown(number: Int32)
    throws
  {
    var count = 0
    _ = try Destination.file.collect { sink in
      count = try Fault.count(Self.writing) { try writeAll(sink) }
    }
    for at in 1...count {
      var position = 0
      let got = try Destination.file.collect { sink in
        let error = #expect(throws: SystemError.self) {
          _ = try Fault(calls: Self.writing, effect: .error(number), at: at).during {
            try writeAll(sink)
          }
        }
        #expect(error?.errno == number && error?.path == sink.path && error?.call == "write")
        position = Int(sink.position)
      }
      let isPrefix = got == Array(Self.expected.prefix(position))
      #expect(isPrefix, "at \(at)")
    }
  }

  @Test func aReaderThatIsGoneIsAnError() throws {
    ignoreWriteSignals()
    let pipe = try Pipe()
    let number = fcntl(pipe.writing.fileDescriptor, F_DUPFD_CLOEXEC, 3)
    let sink = Sink(try Descriptor(taking: number, path: "pipe"), path: "pipe")
    close(pipe)
    let error = #expect(throws: SystemError.self) { try sink.write([1]) }
    #expect(error?.isBrokenPipe == true)
  }

  private func close(_ pipe: consuming Pipe) {}

  /// A non-blocking pipe that is full is waited for.
  @Test func aFullPipeIsWaitedFor() throws {
    let collector = PipeCollector()
    precondition(fcntl(collector.writing, F_SETFL, O_NONBLOCK) == 0)
    do {
      let sink = Sink(try Descriptor(taking: collector.writing, path: "pipe"), path: "pipe")
      try writeAll(sink)
    }
    let isSame = collector.join() == Self.expected
    #expect(isSame)
  }

  // MARK: - Holes

  /// Writes at `offset` of a file with `old` in it: some bytes, a hole of `count`, and bytes again.
  private func hole(_ old: Int, _ offset: Int, _ count: Int, flags: Int32 = 0) throws -> [UInt8] {
    let file = TemporaryFile([UInt8](repeating: 0xAA, count: old))
    let number = open(file.path, O_RDWR | O_CLOEXEC | flags)
    precondition(lseek(number, offset, SEEK_SET) == offset)
    let sink = Sink(try Descriptor(taking: number, path: file.path), path: file.path)
    try sink.write([1, 2, 3])
    try sink.writeHole(UInt64(count))
    try sink.write([4, 5])
    #expect(sink.position == UInt64(count + 5))
    return contents(file.path)
  }

  /// In a file that somebody else opened zeros are written over what is there, and holes are left after
  /// it only.
  @Test(arguments: [0, 1, 5000, 300_000], [0, 1, 4999, 70_000])
  func zerosAreZerosOverOldData(old: Int, count: Int) throws {
    for offset in Set([0, old / 2, old]) {
      let got = try hole(old, offset, count)
      var wanted = [UInt8](repeating: 0xAA, count: old)
      let written = [1, 2, 3] + [UInt8](repeating: 0, count: count) + [4, 5]
      wanted.replaceSubrange(offset..<min(old, offset + written.count), with: written)
      let isSame = got == wanted
      #expect(isSame, "\(offset)")
      // What is appended goes to the end, wherever the position is.
      let isAppended =
        try hole(old, offset, count, flags: O_APPEND)
        == [UInt8](repeating: 0xAA, count: old) + written
      #expect(isAppended, "\(offset)")
    }
  }

  /// In a new file of ours a hole takes no room.
  @Test func holesOfANewFileTakeNoRoom() throws {
    let directory = TemporaryDirectory()
    let path = directory.path + "/out"
    let output = try OutputFile(path, .memory)
    try output.sink.write([1])
    try output.sink.writeHole(64 << 20)
    try output.sink.write([2])
    try output.commit(isDurable: false)
    var status = stat()
    precondition(stat(path, &status) == 0)
    #expect(status.st_size == 64 << 20 + 2)
    #expect(status.st_blocks < 1000)
  }

  /// A pipe has no holes: zeros, and a full disk is met there, too.
  @Test func holesInPipesAreZeros() throws {
    let got = try Destination.pipe.collect { sink in
      try sink.writeHole(100_000)
      try sink.write([1])
    }
    let isSame = got == [UInt8](repeating: 0, count: 100_000) + [1]
    #expect(isSame)
    _ = try Destination.oldFile.collect { sink in
      let error = #expect(throws: SystemError.self) {
        _ = try Fault(calls: calls_write, effect: .error(ENOSPC)).during { try sink.writeHole(100) }
      }
      #expect(error?.errno == ENOSPC)
    }
    let error = #expect(throws: SystemError.self) {
      _ = try Destination.file.collect { sink in
        _ = try Fault(calls: calls_lseek, effect: .error(EIO), at: 2).during {
          try sink.writeHole(100)
        }
      }
    }
    #expect(error?.call == "lseek")
  }

  @Test func vectorsForPipesAreWholePagesOrNone() throws {
    let buffer = Self.buffer(Self.bytes)
    let vectors = WriteVectors()
    vectors.append(buffer, 1..<4096)
    vectors.append(buffer, 4096..<12_288)
    vectors.append(buffer, 16_384..<16_400)
    var calls: [[Int]] = []
    var (first, skipped) = (0, 0)
    while first < vectors.count {
      let done = unsafe vectors.withVectors(from: first, skipping: skipped, isPipe: true) {
        start, count in
        let lengths = (0..<Int(count)).map { unsafe start[$0].iov_len }
        calls.append(lengths)
        return lengths.reduce(0, +)
      }
      (first, skipped) = vectors.advance(first, skipped, by: done)
    }
    #expect(calls.flatMap { $0 }.reduce(0, +) == vectors.byteCount)
    // The first two became one run, which begins in the middle of a page.
    #expect(calls == [[12_287, 16]])
  }
}
