// Scratch files, shared memory, and threads for one job.

import Bytes
import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing

@Suite struct AvailableMemoryTests {
  /// Linux says it; no machine has less than a MiB, or an EiB.
  @Test func memoryIsKnown() throws {
    let count = try #require(Environment.availableMemory)
    #expect(count > 1 << 20 && count < 1 << 60 && count % 1024 == 0)
  }
}

@Suite struct MemoryTests {
  @Test func scratchFilesHoldWhatIsWritten() throws {
    let scratch = try ScratchFile()
    let buffer = PageAlignedBuffer(capacity: 10_000)
    for index in 0..<10_000 { buffer.store(index, UInt8(truncatingIfNeeded: index &* 7)) }
    try scratch.write(buffer, 0..<10_000, at: 5000)
    let back = PageAlignedBuffer(capacity: 20_000)
    try scratch.read(into: back, 0..<20_000, at: 0)
    // What was never written is zero, before and after.
    #expect(back.copy(0..<5000) == [UInt8](repeating: 0, count: 5000))
    #expect(back.copy(5000..<15_000) == buffer.copy(0..<10_000))
    #expect(back.copy(15_000..<20_000) == [UInt8](repeating: 0, count: 5000))
  }

  @Test(arguments: [Fault.Effect.error(EINTR), .short(1), .short(3000)])
  func scratchFilesBearInterruptedCalls(effect: Fault.Effect) throws {
    let calls = calls_set(rawValue: calls_pread.rawValue | calls_pwrite.rawValue)
    let buffer = PageAlignedBuffer(capacity: 4096)
    for index in 0..<4096 { buffer.store(index, UInt8(truncatingIfNeeded: index)) }
    for at in 1...2 {
      let scratch = try ScratchFile()
      let back = PageAlignedBuffer(capacity: 4096)
      let hits = try Fault(calls: calls, effect: effect, at: at).during {
        try scratch.write(buffer, 0..<4096, at: 10)
        try scratch.read(into: back, 0..<4096, at: 10)
      }
      #expect(hits == 1)
      #expect(back.copy(0..<4096) == buffer.copy(0..<4096))
    }
    let scratch = try ScratchFile()
    for number in [ENOSPC, EIO] {
      let error = #expect(throws: SystemError.self) {
        _ = try Fault(calls: calls, effect: .error(number)).during {
          try scratch.write(buffer, 0..<4096, at: 0)
        }
      }
      #expect(error?.errno == number)
    }
  }

  /// What is left of a pipe becomes a file that can be read anywhere, under the pipe's name.
  @Test(arguments: Origin.allCases) func theRestOfASourceBecomesAFile(origin: Origin) throws {
    var keep: [AnyObject] = []
    let bytes = pattern(origin == .singleBytePipe ? 2000 : 50_000)
    let source = try origin.source(bytes, &keep)
    _ = try source.read(700)
    _ = try source.peek(300)
    let rest = try ScratchFile().source(ofRestOf: source)
    #expect(rest.isFile && rest.path == source.path && rest.byteCount == UInt64(bytes.count - 700))
    rest.seek(100)
    let isSame = try rest.read(100_000) == Array(bytes.dropFirst(800))
    #expect(isSame)
  }

  @Test func sharedMemoryIsZeroAndGivesRoomBack() throws {
    let memory = try SharedMemory(byteCount: 3 * 4096, name: "test")
    #expect(
      memory.withBytes(0..<3 * 4096) { span in
        (0..<span.byteCount).allSatisfy { span.load($0, as: UInt8.self) == 0 }
      })
    memory.fill(0..<3 * 4096, 0xAB)
    memory.store(4096, UInt64(0x0102_0304_0506_0708))
    #expect(memory.withBytes(4096..<4104) { $0.load(0, as: UInt8.self) } == 8)
    memory.punch(4096..<8192)
    #expect(
      memory.withBytes(4095..<4097) { [$0.load(0, as: UInt8.self), $0.load(1, as: UInt8.self)] }
        == [0xAB, 0])
    #expect(memory.withBytes(8192..<8193) { $0.load(0, as: UInt8.self) } == 0xAB)
    let error = #expect(throws: SystemError.self) {
      _ = try Fault(calls: calls_ftruncate, effect: .error(ENOSPC)).during {
        _ = try SharedMemory(byteCount: 4096, name: "test")
      }
    }
    #expect(error?.errno == ENOSPC && error?.call == "ftruncate")
  }

  @Test func jobsOfAThreadComeOneAfterAnother() throws {
    let thread = try WorkerThread()
    var list: [Int] = []
    for index in 0..<100 {
      thread.start { list.append(index) }
    }
    thread.wait()
    #expect(list == Array(0..<100))
  }

  @Test func errorsSayWhereAndWhat() {
    let error = SystemError("write", ENOSPC, "/some/file")
    #expect(error.description == "/some/file: write: No space left on device")
    #expect(error.symbol == "enospc" && !error.isInterrupt && !error.isBrokenPipe)
    #expect(SystemError("x", 12_345, "f").symbol == "errno12345")
    #expect(SystemError.interrupted("f").description == "f: interrupted")
    #expect(SystemError.interrupted("f").isInterrupt)
  }
}
