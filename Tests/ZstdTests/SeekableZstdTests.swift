// Files of zstd frames with a seek table: read anywhere, refused where they are wrong.

import Bytes
import Glibc
import SystemIO
import TestKit
import Testing

@testable import Zstd

@Suite struct SeekableZstdTests {
  private static let frame = SeekableZstdWriter.frameByteCount

  /// Bytes of which half repeat themselves.
  private func bytes(_ count: Int, _ random: inout Seed) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(count)
    while out.count < count {
      let run = 1 + random.below(5000)
      out +=
        random.below(2) == 0
        ? [UInt8](repeating: UInt8(random.below(256)), count: run) : random.bytes(run)
    }
    return Array(out.prefix(count))
  }

  private func packed(_ bytes: [UInt8], level: Int = 1, jobs: Int = 2) throws -> [UInt8] {
    let file = TemporaryFile()
    let number = open(file.path, O_RDWR)
    let writer = try SeekableZstdWriter(
      Sink(try Descriptor(taking: number, path: "packed"), path: "packed"), level: level, jobs: jobs
    )
    let sink = try Sink(writer)
    var rest = bytes[...]
    var part = 1
    while !rest.isEmpty {
      try sink.write(Array(rest.prefix(part)))
      rest = rest.dropFirst(part)
      part = part * 3 % 700_001 + 1
    }
    try writer.commit()
    return try Source(opening: file.path).read(1 << 26)
  }

  /// What a file of these bytes holds; nil where it has no seek table.
  private func reader(_ bytes: [UInt8]) throws -> (SeekableZstdReader, TemporaryFile)? {
    let file = TemporaryFile(bytes)
    return try SeekableZstdReader(Source(opening: file.path)).map { ($0, file) }
  }

  private func whole(_ reader: SeekableZstdReader) throws -> [UInt8] {
    let source = try Source(reader)
    return try source.read(Int(reader.byteCount) + 1)
  }

  @Test(arguments: [0, 1, frame - 1, frame, frame + 1, 7 * frame / 2], [1, 3])
  func itIsReadAsItWasWritten(count: Int, jobs: Int) throws {
    var random = Seed()
    let plain = bytes(count, &random)
    let (reader, _) = try #require(try reader(packed(plain, jobs: jobs)))
    #expect(reader.byteCount == UInt64(count))
    #expect(hasSameBytes(try whole(reader), plain))
    // Anywhere, in any order, and by two readers in turn.
    let source = try Source(reader)
    let other = try source.duplicate()
    for index in 0..<200 where count > 0 {
      let source = index % 3 == 0 ? other : source
      let start = random.below(count)
      source.seek(UInt64(start))
      let part = try source.read(random.below(100_000))
      #expect(hasSameBytes(part, Array(plain[start..<start + part.count])))
      #expect(part.count > 0 || start == count || index >= 0)
    }
  }

  /// zstd's own program unpacks it.
  @Test(.enabled(if: runShell("command -v zstd >/dev/null 2>&1") == 0)) func anyZstdUnpacksIt()
    throws
  {
    var random = Seed()
    let plain = bytes(5 * Self.frame / 2, &random)
    let (input, output) = (TemporaryFile(try packed(plain)), TemporaryFile())
    #expect(runShell("zstd -dc <'\(input.path)' >'\(output.path)'") == 0)
    #expect(try Source(opening: output.path).read(plain.count + 1) == plain)
  }

  @Test func otherFilesHaveNoTable() throws {
    #expect(try reader([]) == nil)
    #expect(try reader([UInt8](repeating: 7, count: 100)) == nil)
    #expect(try reader(Array(packed([1, 2, 3]).dropLast())) == nil)
  }

  /// Any damage is an error, or something that does not count.
  @Test func damage() throws {
    var random = Seed()
    let plain = bytes(3 * Self.frame / 2, &random)
    let good = try packed(plain)
    let table = good.count - (17 + 2 * 12)
    for place in Array(table..<good.count) + (0..<60).map({ _ in random.below(table) }) {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      do {
        guard let (reader, _) = try reader(bad) else {
          #expect(place >= good.count - 4, "byte \(place): no table")
          continue
        }
        #expect(try whole(reader) == plain, "byte \(place)")
        // Nothing of it was wrong: a bit of a frame's header that says nothing of the contents, or one of the
        // two bits of the table's descriptor that have no meaning.
        #expect(place < table || place == good.count - 5, "byte \(place)")
      } catch let error as SystemError {
        #expect(error.description.contains("zstd"), "\(error)")
      }
    }
    for count in stride(from: 0, to: table, by: 1 + table / 50) {
      // The table's end stays: its frames are cut.
      let cut = Array(good[count...])
      guard count > 0 else { continue }
      #expect(throws: SystemError.self) { _ = try reader(cut).map { try whole($0.0) } }
    }
  }

  /// Lengths that nobody may believe.
  @Test func forgedTables() throws {
    let good = try packed([UInt8](repeating: 5, count: 1000))
    let entry = good.count - 9 - 12
    func forge(_ place: Int, _ value: UInt32) -> [UInt8] {
      var bad = good
      for byte in 0..<4 {
        bad[place + byte] = UInt8(truncatingIfNeeded: value >> (8 * UInt32(byte)))
      }
      return bad
    }
    for (place, value) in [
      (entry, 0), (entry, .max), (entry + 4, 999), (entry + 4, 1001), (entry + 4, 8 << 20),
      (entry + 4, 8 << 20 + 1), (entry + 4, .max), (good.count - 9, 0), (good.count - 9, 2),
      (good.count - 9, .max), (entry - 8, 1), (entry - 4, 0), (entry + 8, 1),
    ] as [(Int, UInt32)] {
      let error = #expect(throws: SystemError.self, "\(place) \(value)") {
        _ = try reader(forge(place, value)).map { try whole($0.0) }
      }
      #expect(error?.description.contains("zstd") == true)
    }
  }
}
