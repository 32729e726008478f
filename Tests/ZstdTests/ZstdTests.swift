// One zstd frame into a sink and out of a source: every length and level, cut and changed at every byte.

import Bytes
import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing
import Zstd

@Suite struct ZstdTests {
  /// Bytes that can be packed, but not to nothing.
  private static func text(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 / 7) ^ ($0 >> 9) &* 13) & 0x3F }
  }

  private func packed(_ bytes: [UInt8], level: Int = 1, pieces: Int = 5000) throws -> [UInt8] {
    let file = TemporaryFile()
    let sink = Sink(try Descriptor.open(file.path, isWritable: true), path: file.path)
    let writer = try ZstdWriter(sink, level: level)
    var rest = bytes[...]
    while !rest.isEmpty {
      try writer.write(Array(rest.prefix(pieces)))
      rest = rest.dropFirst(pieces)
    }
    try writer.finish()
    return try Source(opening: file.path).read(1 << 24)
  }

  /// From a file.
  private func unpacked(_ frame: [UInt8], step: Int = 3000) throws -> [UInt8] {
    let file = TemporaryFile(frame)
    return try unpacked(Source(opening: file.path), step: step)
  }

  private func unpacked(_ source: Source, step: Int) throws -> [UInt8] {
    let limit = 1 << 22
    let reader = try ZstdReader(source)
    var out: [UInt8] = []
    let buffer = PageAlignedBuffer(capacity: step)
    while out.count < limit {
      let got = try reader.read(into: buffer, 0..<step)
      out += buffer.copy(0..<got)
      if got < step { break }
    }
    if reader.isAtEnd { #expect(!reader.hasMore) }
    return out
  }

  @Test(arguments: [1, 3, 19], [0, 1, 4096, 300_000]) func whatIsPackedComesOut(
    level: Int, count: Int
  ) throws {
    let bytes = Self.text(count)
    let frame = try packed(bytes, level: level)
    #expect(frame.starts(with: [0x28, 0xB5, 0x2F, 0xFD]))
    if count > 10_000 { #expect(frame.count < count / 2) }
    let isSame = try unpacked(frame) == bytes
    #expect(isSame)
  }

  /// However it is read: from a pipe that gives single bytes, in steps of any length.
  @Test(arguments: [1, 7, 4096, 1 << 20]) func stepsMakeNoDifference(step: Int) throws {
    let bytes = Self.text(20_000)
    let frame = try packed(bytes, pieces: step)
    let isSame = try unpacked(frame, step: step) == bytes
    #expect(isSame)
    let end = TestKit.pipe(feeding: frame, inSingleBytes: true)
    let source = try Source(Descriptor(taking: end, path: "pipe"), path: "pipe")
    let isSameFromPipe = try unpacked(source, step: step) == bytes
    #expect(isSameFromPipe)
  }

  @Test func aFrameThatIsCutIsAnError() throws {
    let frame = try packed(Self.text(2000))
    for count in 0..<frame.count {
      let error = #expect(throws: XensaveError.self, "\(count)") {
        _ = try unpacked(Array(frame.prefix(count)))
      }
      let problem = try #require(error?.message, "\(count)")
      #expect(!problem.isEmpty && !problem.contains("\n"))
    }
  }

  /// Its checksum is looked at: no changed byte goes unseen.
  @Test func aFrameThatIsChangedIsAnError() throws {
    let bytes = Self.text(2000)
    let frame = try packed(bytes)
    var unseen = 0
    for index in frame.indices {
      for bit in [UInt8(1), 0x80] {
        var changed = frame
        changed[index] ^= bit
        // Some bits mean nothing, such as the unused one of the frame's header.
        if let out = try? unpacked(changed) {
          unseen += 1
          let isSame = out == bytes
          #expect(isSame, "byte \(index)")
        }
      }
    }
    #expect(unseen < frame.count / 10)
  }

  @Test func whatFollowsAFrameIsKnown() throws {
    let frame = try packed(Self.text(100))
    let file = TemporaryFile(frame + [1])
    let reader = try ZstdReader(Source(opening: file.path))
    let buffer = PageAlignedBuffer(capacity: 4096)
    let got = try reader.read(into: buffer, 0..<4096)
    #expect(got == 100 && reader.isAtEnd && reader.hasMore)
    #expect(try reader.read(into: buffer, 0..<10) == 0)
  }

  /// Skippable frames and windows of more than 8 MiB are refused, as is what is no frame.
  @Test(
    arguments: [
      ("skippable", [0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]),
      ("none", Array("no frame".utf8)), ("nothing", []),
      // Window descriptor 14 << 3: 2^24 bytes. One raw block of one byte.
      ("wide", [0x28, 0xB5, 0x2F, 0xFD, 0x00, 14 << 3, 0x09, 0, 0, 7]),
      // It names a dictionary.
      ("dictionary", [0x28, 0xB5, 0x2F, 0xFD, 0x01, 7 << 3, 5, 0x09, 0, 0, 7]),
    ] as [(String, [UInt8])]) func otherFramesAreRefused(name: String, bytes: [UInt8])
  {
    #expect(throws: XensaveError.self, "\(name)") {
      _ = try unpacked(bytes)
    }
  }

  /// The greatest window that is taken, and a small one.
  @Test(arguments: [0, 13] as [UInt8]) func windowsWithinTheLimit(exponent: UInt8) throws {
    let frame: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD, 0x00, exponent << 3, 0x09, 0, 0, 7]
    let out = try unpacked(frame)
    #expect(out == [7])
  }

  @Test func errorsOfTheSystemAreTold() throws {
    let bytes = Self.text(400_000)
    let file = TemporaryFile()
    let sink = Sink(try Descriptor.open(file.path, isWritable: true), path: file.path)
    let plan = calls_begin(Int32(calls_write.rawValue), calls_fail, 1, 0, Int(ENOSPC))
    defer { calls_end(plan) }
    let error = #expect(throws: SystemError.self) {
      let writer = try ZstdWriter(sink, level: 1)
      try writer.write(bytes)
      try writer.finish()
    }
    #expect(error?.errno == ENOSPC && error?.path == file.path)
  }
}
