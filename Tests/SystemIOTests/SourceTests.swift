// What a source shows of its bytes, whatever it is and however it gives them.

import Bytes
import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing

@Suite struct SourceTests {
  private static let bytes = pattern(40_000)

  /// Looks at, reads, loads and skips parts of all bytes, as a seed says, against the array.
  private func walk(_ source: Source, _ bytes: [UInt8], _ random: inout Seed) throws {
    var place = 0
    while true {
      let left = bytes.count - place
      let count = random.below(5) == 0 ? random.below(20_000) : random.below(300)
      let there = min(count, left)
      switch random.below(5) {
      case 0:
        let have = try source.peek(count)
        #expect(have == there)
        let isSame = source.window(have) == Array(bytes[place..<place + have])
        #expect(isSame)
        if have >= 8 {
          let word = source.integer(have - 8, as: UInt64.self, .big)
          #expect(word == bytes.load(place + have - 8, as: UInt64.self, .big))
        }
        continue
      case 1:
        // What is there now: all of a file's window, one byte at least of a pipe's.
        let some = try source.peekAvailable(count)
        #expect(some.count <= there && (some.isEmpty == (there == 0)))
        let isSame = some == Array(bytes[place..<place + some.count])
        #expect(isSame)
        continue
      case 2:
        let isSame = try source.read(count) == Array(bytes[place..<place + there])
        #expect(isSame)
      case 3:
        let buffer = PageAlignedBuffer(capacity: count + 7)
        let got = try source.read(into: buffer, 7..<7 + count)
        #expect(got == there)
        let isSame = buffer.copy(7..<7 + got) == Array(bytes[place..<place + there])
        #expect(isSame)
      default:
        let skipped = try source.skip(UInt64(count))
        #expect(skipped == UInt64(there))
      }
      place += there
      #expect(source.position == UInt64(place))
      if left == 0 { return }
    }
  }

  @Test(arguments: Origin.allCases, [1, 2, 3] as [UInt64])
  func allWaysOfReadingAgree(origin: Origin, seed: UInt64) throws {
    var random = Seed(seed)
    var keep: [AnyObject] = []
    let bytes = origin == .singleBytePipe ? Array(Self.bytes.prefix(3000)) : Self.bytes
    let source = try origin.source(bytes, &keep)
    #expect(source.isFile == (origin == .file || origin == .fileFromTheMiddle))
    #expect(source.byteCount == (source.isFile ? UInt64(bytes.count) : nil))
    try walk(source, bytes, &random)
  }

  /// Interrupted or short, at every call.
  @Test(arguments: [Origin.file, .pipe, .socket]) func everyCallMayBeInterrupted(
    origin: Origin
  ) throws {
    let calls = calls_set(rawValue: calls_read.rawValue | calls_pread.rawValue)
    let bytes = Array(Self.bytes.prefix(12_000))
    func run(_ faults: (() throws -> Void) throws -> Void) throws {
      var random = Seed(7)
      var keep: [AnyObject] = []
      let source = try origin.source(bytes, &keep)
      try faults { try walk(source, bytes, &random) }
    }
    var count = 0
    try run { count = try Fault.count(calls, $0) }
    #expect(count > 2)
    for at in 1...count {
      for effect in [Fault.Effect.error(EINTR), .short(1)] {
        try run { _ = try Fault(calls: calls, effect: effect, at: at).during($0) }
      }
    }
    try run { body in
      let hits = try Fault(calls: calls, effect: .short(7), times: 0).during(body)
      #expect(hits > 100)
    }
  }

  @Test(arguments: [Origin.file, .pipe]) func errorsAreThrown(origin: Origin) throws {
    let calls = calls_set(rawValue: calls_read.rawValue | calls_pread.rawValue)
    var keep: [AnyObject] = []
    let source = try origin.source(Self.bytes, &keep)
    for number in [EIO, EBADF, ESTALE] {
      let hits = Fault(calls: calls, effect: .error(number)).during {
        let error = #expect(throws: SystemError.self) { _ = try source.read(100) }
        #expect(error?.errno == number && error?.path == source.path && error?.call == "read")
      }
      #expect(hits == 1)
      #expect(source.position == 0)
    }
    // What failed can be asked for again: nothing was lost.
    let isSame = try source.read(100) == Array(Self.bytes.prefix(100))
    #expect(isSame)
  }

  /// From a pipe not a byte more is taken than was asked for: the next program finds the rest.
  @Test func aPipeIsNotReadAhead() throws {
    let end = TestKit.pipe(feeding: Array(Self.bytes.prefix(3000)))
    do {
      let source = try Source(
        Descriptor(taking: end, path: "pipe", isOwned: false), path: "pipe")
      _ = try source.peek(10)
      _ = try source.read(100)
      let skipped = try source.skip(50)
      #expect(skipped == 50 && source.position == 150)
    }
    var rest = [UInt8](repeating: 0, count: 4000)
    var count = 0
    while case let got = rest.withUnsafeMutableBytes({
      read(end, $0.baseAddress.map { $0 + count }, $0.count - count)
    }), got > 0 { count += got }
    close(end)
    let isSame = Array(rest[..<count]) == Array(Self.bytes[150..<3000])
    #expect(isSame)
  }

  /// A non-blocking pipe is waited for.
  @Test func aNonBlockingPipeIsWaitedFor() throws {
    let end = TestKit.pipe(feeding: Array(Self.bytes.prefix(2000)), inSingleBytes: true)
    precondition(fcntl(end, F_SETFL, O_NONBLOCK) == 0)
    let source = try Source(Descriptor(taking: end, path: "pipe"), path: "pipe")
    let isSame = try source.read(5000) == Array(Self.bytes.prefix(2000))
    #expect(isSame)
  }

  @Test func filesAreSeenAsTheyWereOpened() throws {
    let file = TemporaryFile(Self.bytes)
    let source = try Source(opening: file.path)
    let other = try source.duplicate()
    _ = try source.read(1000)
    #expect(other.position == 0 && other.identity == source.identity)
    source.seek(39_990)
    other.seek(39_990)
    file.poke(40_000, [1, 2, 3])
    let tail = try source.read(100)
    #expect(tail == Array(Self.bytes.suffix(10)))
    let isUnchanged = try source.isUnchanged()
    #expect(!isUnchanged)
    let rest = try other.read(100)
    #expect(rest.count == 10)
    // Passing the end is no error: there is nothing.
    source.seek(50_000)
    let nothing = try source.read(1)
    #expect(nothing.isEmpty)
    #expect(try source.skip(1) == 0)
  }

  @Test func whatIsNoFileIsRefused() {
    let directory = TemporaryDirectory()
    let error = #expect(throws: SystemError.self) { _ = try Source(opening: directory.path) }
    #expect(error?.errno == EISDIR && error?.call == "open")
    let missing = #expect(throws: SystemError.self) {
      _ = try Source(opening: directory.path + "/none")
    }
    #expect(missing?.errno == ENOENT && missing?.description.hasPrefix(directory.path) == true)
  }

  /// Headers at equal distances are read the same, whether they are asked for in advance or not.
  @Test func regularSkipsShowTheSameBytes() throws {
    let stride = 70_000
    var bytes = [UInt8](repeating: 0, count: 20 * stride)
    for index in 0..<20 {
      bytes.replaceSubrange(index * stride..<index * stride + 64, with: pattern(64))
    }
    let file = TemporaryFile(bytes)
    let source = try Source(opening: file.path)
    for _ in 0..<20 {
      let header = try source.read(64)
      #expect(header == pattern(64))
      _ = try source.skip(UInt64(stride - 64))
    }
    #expect(source.bytesRead < UInt64(bytes.count / 4))
  }
}
