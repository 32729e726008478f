// Wires that are cut, damaged or forged.

import Bytes
import SystemIO
import TestKit
import Testing

@testable import Wire

@Suite struct DamageTests {
  private static let stream: [UInt8] = {
    var image = StreamBuilder()
    image.addLibxcHeaders(guest: 2, version: 3)
    let text = (0..<4096).map { UInt8(0x30 + ($0 / 64) % 10) }
    var changed = text
    changed[17] = 0x41
    image.add(Pages.record([(1, text), (2, zeros(4096))]))
    image.add(Pages.record([(1, changed)]))
    image.add(StreamBuilder.record("END", 0))
    return image.bytes
  }()

  private func code(_ error: (any Error)?) -> ErrorCode? { error.map { XensaveError($0).code } }

  @Test func cutAtEveryByte() throws {
    let way = Way(cacheByteCount: 1 << 16)
    let frames = try way.sent(Self.stream).frames
    #expect(frames.count < 700)
    for count in 0..<frames.count {
      let (out, problem) = try way.restored(Array(frames[..<count]))
      #expect(code(problem) == .truncated, "after \(count) bytes")
      #expect(Self.stream.starts(with: out), "after \(count) bytes")
    }
  }

  /// A changed byte is found, or changes nothing: zstd has bits that mean nothing.
  @Test func changedAtEveryByte() throws {
    let way = Way(cacheByteCount: 1 << 16)
    let frames = try way.sent(Self.stream).frames
    var unnoticed = 0
    for place in frames.indices {
      var damaged = frames
      damaged[place] ^= 0x10
      let (out, problem) = try way.restored(damaged)
      if problem == nil { unnoticed += 1 }
      #expect(problem == nil ? out == Self.stream : Self.stream.starts(with: out), "byte \(place)")
    }
    #expect(unnoticed < frames.count / 20, "\(unnoticed)")
  }

  /// Frames left out, doubled or in another order.
  @Test func sequence() throws {
    let frame = try Way().sent([1, 2, 3]).frames
    let end = Array(frame.suffix(FrameHeader.byteCount))
    let data = Array(frame.dropLast(FrameHeader.byteCount))
    for wrong in [end, data + data + end, data + data, data + end.dropLast()] {
      #expect(try Way().restored(wrong).problem != nil)
    }
    #expect(try Way().restored(data + end).problem == nil)
  }

  private func header(_ change: (inout FrameHeader) -> Void) -> FrameHeader {
    var header = FrameHeader(.data, sequence: 0)
    (header.restored, header.commands, header.unpacked, header.packed) = (8, 2, 8, 8)
    change(&header)
    return header
  }

  /// Lengths that no sender writes are refused before any memory is taken for them.
  @Test func forgedLengths() throws {
    _ = try FrameHeader(parsing: header { _ in }.bytes, sequence: 0)
    let forged = [
      header { $0.restored = 1 << 20 + 1 }, header { $0.restored = 0 },
      header { $0.commands = 1 << 16 + 1 }, header { $0.commands = 0 },
      header { $0.unpacked = 0xFFFF_FFFF }, header { $0.stored = 9 },
      header { $0.packed = 7 }, header { $0.isPacked = true },
      header { $0.kind = .end },
    ]
    for header in forged {
      let (_, problem) = try Way().restored(header.bytes + zeros(64))
      #expect(code(problem) == .limit, "\(header)")
    }
    var unknown = header { _ in }.bytes
    unknown[0] = 3
    unknown.replaceSubrange(40..<48, with: le64(XXH64.hash(Array(unknown[..<40]))))
    #expect(try code(Way().restored(unknown).problem) == .unsupported)
  }

  /// Commands that do not fit their sections, or ask for pages that never came.
  @Test(
    arguments: [
      ([0x48], "too many bytes"), ([0x38], "too few"), ([0x80], "an integer without an end"),
      ([0x09], "a page of zeros in 8 bytes"), ([0x0A], "the same page as none"),
      ([0x0B], "a difference to none"), ([0x0C], "a packed page in 8 bytes"),
      ([0x0D], "a stored page in 8 bytes"), ([0x47], "stored bytes that are not there"),
      ([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], "a key without an end"),
      (
        [0x06, 0x46, 0x40, 0x00, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F],
        "a large key"
      ),
    ] as [([UInt8], String)])
  func forgedCommands(commands: [UInt8], what: String) throws {
    let header = header { $0.commands = commands.count }
    let (out, problem) = try Way().restored(header.bytes + commands + zeros(8))
    #expect(code(problem) == .malformed, "\(what): \(String(describing: problem))")
    #expect(out.isEmpty)
  }

  /// A frame of zstd's that is longer than its section says, or none at all.
  @Test func forgedPacking() throws {
    let frames = try Way().sent([UInt8](repeating: 0x41, count: 1000)).frames
    let good = try FrameHeader(parsing: Array(frames[..<FrameHeader.byteCount]), sequence: 0)
    #expect(good.isPacked)
    for change in [
      { $0.unpacked = 999 },
      {
        $0.unpacked = 1000; $0.packed -= 1
      },
    ]
      as [(inout FrameHeader) -> Void]
    {
      var header = good
      change(&header)
      let body = frames[FrameHeader.byteCount..<FrameHeader.byteCount + header.bodyByteCount]
      #expect(try code(Way().restored(header.bytes + body).problem) == .malformed)
    }
  }

  @Test func greetings() throws {
    let greeting = Greeting(cacheByteCount: 77)
    #expect(greeting.bytes.count == WireFormat.greetingByteCount)
    #expect(try Greeting(parsing: greeting.bytes) == greeting)
    #expect(greeting.isKnown)
    for place in 0..<WireFormat.greetingByteCount {
      var damaged = greeting.bytes
      damaged[place] ^= 1
      #expect(throws: XensaveError.self) { try Greeting(parsing: damaged) }
    }
    var newer = greeting
    (newer.lowest, newer.highest) = (2, 3)
    #expect(try !Greeting(parsing: newer.bytes).isKnown)
    newer.lowest = 1
    #expect(newer.isKnown)
  }
}
