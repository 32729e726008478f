// Deltas whose zstd frame is not what zstd wrote: built byte by byte from the format (RFC 8878).

import Bytes
import SystemIO
import Testing

@testable import Pages

@Suite struct DeltaFrameTests {
  static let frameMagic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]

  /// A frame of raw blocks without a checksum; the window is 128 KiB unless told.
  static func frame(
    _ contents: [UInt8], window: UInt8 = 7 << 3, descriptor: UInt8 = 0, extra: [UInt8] = []
  ) -> [UInt8] {
    var out = frameMagic + [descriptor, window] + extra
    var rest = contents[...]
    repeat {
      let chunk = rest.prefix(100_000)
      rest = rest.dropFirst(chunk.count)
      let header = UInt32(chunk.count) << 3 | (rest.isEmpty ? 1 : 0)
      out += le32(Int(header)).prefix(3) + chunk
    } while !rest.isEmpty
    return out
  }

  /// `count` blocks of 128 KiB of zeros, 4 bytes each.
  static func bomb(_ count: Int) -> [UInt8] {
    let block = le32(Int(UInt32(128 << 10) << 3 | 1 << 1)).prefix(3) + [0]
    var out: [UInt8] = []
    out.reserveCapacity(4 * count)
    for _ in 0..<count { out += block }
    return out
  }

  let base = TemporaryFile(hvm([[Entry(1, page(1)), Entry(2, page(2))]]))

  /// A delta from `base` with a header that fits itself.
  func delta(
    _ body: [UInt8], size: UInt64, hash: UInt64 = 1, isPacked: Bool = true
  ) throws -> TemporaryFile {
    let source = try Source(opening: base.path)
    var head = PageDelta.Head(
      baseByteCount: source.byteCount ?? 0, baseHash: try ContentHash.of(source, "base"),
      newByteCount: size, newHash: hash, changedPages: 0)
    head.isPacked = isPacked
    return TemporaryFile(head.bytes + body)
  }

  /// What applying it says; it must come to nothing, with one line.
  func problem(_ body: [UInt8], size: UInt64 = 16, hash: UInt64 = 1) throws -> String {
    let file = try delta(body, size: size, hash: hash)
    let out = TemporaryFile()
    let output = try OutputFile(out.path, .memory)
    let error = #expect(throws: XensaveError.self) {
      try PageDelta.apply(
        Source(opening: file.path), to: Source(opening: self.base.path), output.sink)
    }
    let text = error?.description ?? ""
    #expect(!text.contains("\n"))
    #expect(text.hasPrefix(file.path + ": "))
    return text
  }

  let steps = le64(1 << 63 | 16) + [UInt8](repeating: 7, count: 16) + le64(0)

  @Test func aFrameByHandIsApplied() throws {
    var hash = ContentHash()
    let made = [UInt8](repeating: 7, count: 16)
    hash.add(made.span.bytes)
    let file = try delta(DeltaFrameTests.frame(steps), size: 16, hash: hash.finished())
    let out = TemporaryFile()
    let output = try OutputFile(out.path, .memory)
    _ = try PageDelta.apply(
      Source(opening: file.path), to: Source(opening: base.path), output.sink)
    try output.commit()
    #expect(out.bytes == made)
  }

  @Test func everyPrefixOfAFrameIsRefused() throws {
    let frame = DeltaFrameTests.frame(steps)
    for count in 0..<frame.count {
      let text = try problem(Array(frame.prefix(count)))
      #expect(text.contains("zstd") || text.contains("ends"), "\(count): \(text)")
    }
  }

  @Test func framesThatAreNotOursAreRefused() throws {
    let good = DeltaFrameTests.frame(steps)
    let cases: [(String, [UInt8], String)] = [
      (
        "a skippable frame before it", [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4] + good,
        "does not begin like a frame"
      ),
      ("no frame", [UInt8](repeating: 0x41, count: 64), "does not begin like a frame"),
      ("an empty file after the header", [], "does not begin like a frame"),
      ("a second frame", good + good, "bytes after the last step"),
      ("bytes after it", good + [0], "bytes after the last step"),
      (
        "steps after the last one", DeltaFrameTests.frame(steps + steps),
        "bytes after the last step"
      ),
      // Window descriptor: exponent 31, 2^41 bytes.
      ("a window of 2 TiB", DeltaFrameTests.frame(steps, window: 31 << 3), "too much memory"),
      ("a window of 16 MiB", DeltaFrameTests.frame(steps, window: 14 << 3), "too much memory"),
      ("a dictionary", DeltaFrameTests.frame(steps, descriptor: 1, extra: [9]), "zstd"),
      ("a reserved bit", DeltaFrameTests.frame(steps, descriptor: 8), "zstd"),
      ("a block of a reserved type", DeltaFrameTests.frameMagic + [0, 56, 7, 0, 0], "zstd"),
      (
        "a checksum that does not fit",
        DeltaFrameTests.frame(steps, descriptor: 4) + [1, 2, 3, 4], "zstd"
      ),
    ]
    for (name, body, expected) in cases {
      let text = try problem(body)
      #expect(text.contains(expected), "\(name): \(text)")
    }
  }

  /// 40 KB that unpack to 1.3 GB are passed over in chunks, and end where the header's size ends.
  @Test func aBombIsBounded() throws {
    let first = le64(1 << 63 | 1 << 50)
    let before = peakResidentKiB
    let body =
      DeltaFrameTests.frameMagic + [0, 56] + le32(8 << 3).prefix(3) + first
      + DeltaFrameTests.bomb(10_000)
    #expect(try problem(body, size: 1 << 50).contains("the zstd frame is damaged"))
    #expect(try problem(body, size: 1 << 20).contains("exceeds the image of"))
    #expect(peakResidentKiB - before < 32 << 10)
  }

  @Test func unknownFlagsAreRefused() throws {
    let file = try delta([], size: 0)
    var bytes = file.bytes
    bytes[12] = 2
    bytes.replaceSubrange(56..<64, with: le64(PageDelta.hash(Array(bytes[0..<56]))))
    let changed = TemporaryFile(bytes)
    let output = try OutputFile(TemporaryFile().path, .memory)
    let error = #expect(throws: XensaveError.self) {
      try PageDelta.apply(
        Source(opening: changed.path), to: Source(opening: self.base.path), output.sink)
    }
    #expect(error?.description.contains("flags: expected 0 or 1, got 0x2") == true)
  }
}
