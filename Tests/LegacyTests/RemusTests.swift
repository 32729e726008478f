// Checkpointed streams: the last complete checkpoint counts, compressed or not.

import ImageCheck
import Stream
import SystemIO
import Testing

@testable import Legacy

@Suite struct RemusTests {
  /// Three checkpoints; those after the first send pages 1 and 10 again.
  static func rounds(_ kind: Kind, lastIsLast: Bool = false) -> (bytes: [UInt8], ends: [Int]) {
    var builder = LegacyBuilder(kind)
    builder.head()
    var ends: [Int] = []
    for version in UInt8(0)..<3 {
      if version == 0 {
        builder.allPages()
      } else {
        builder.batch([(0, 1), (0, 10)], version: version)
      }
      builder.tsc(incarnation: UInt32(version))
      builder.vcpuInfo(maxID: 0, [1])
      if !kind.isPV {
        builder.param(-8, UInt64(version) + 1)
        builder.toolstack()
      }
      if lastIsLast, version == 2 { builder.chunk(-9) }
      builder.chunk(0)
      if kind.isPV {
        builder.pvTail([0], version: version)
      } else {
        builder.hvmTail([UInt8](repeating: version, count: 40))
        builder.deviceModel("RemusDeviceModelState", [version])
      }
      ends.append(builder.out.bytes.count)
    }
    return (builder.out.bytes, ends)
  }

  private func check(_ bytes: [UInt8], _ kind: Kind, version: UInt8) throws {
    let stream = try ParsedStream(bytes)
    #expect(stream.records.filter { !$0.isLibxl && $0.type == 0 }.count == 1)
    #expect(stream.rest.isEmpty)
    #expect(stream.bodies(8).map { $0[16] } == [version])
    let pages = stream.pages()
    #expect(pages[1]?.contents == LegacyBuilder.page(1, version))
    #expect(pages[0]?.contents == LegacyBuilder.page(0))
    if kind.isPV {
      #expect(pages[10]?.contents == LegacyBuilder.page(10, version))
      let made = LegacyBuilder(kind)
      #expect(
        stream.bodies(4)
          == [[UInt8](repeating: 0, count: 8) + made.vcpuContext(version: version)])
    } else {
      #expect(stream.bodies(9) == [[UInt8](repeating: version, count: 40)])
      #expect(
        stream.bodies(3, libxl: true) == [[UInt8](repeating: 0, count: 8) + [version]])
      #expect(words(try #require(stream.bodies(10).first)).suffix(1) == [UInt64(version) + 1])
    }
  }

  @Test(arguments: Kind.all)
  func theLastCheckpointCounts(kind: Kind) throws {
    for lastIsLast in [false, true] {
      let (bytes, _) = Self.rounds(kind, lastIsLast: lastIsLast)
      let result = try convert(bytes)
      try check(result.bytes, kind, version: 2)
      #expect(result.report.checkpointCount == 3)
      #expect(!result.report.isCut)
      #expect(try convertThroughPipes(bytes).bytes == result.bytes)
    }
  }

  @Test(arguments: Kind.all)
  func whatIsCutOffDoesNotCount(kind: Kind) throws {
    let (bytes, ends) = Self.rounds(kind)
    var cuts = [ends[0], ends[0] + 1, ends[0] + 3, ends[1] - 1, ends[1], ends[1] + 1, ends[2] - 1]
    if !kind.isPV { cuts += [ends[1] - 26, ends[2] - 26, ends[2] - 25] }
    cuts += stride(from: ends[0] + 5, to: ends[2], by: 1999)
    for cut in cuts {
      let count = ends.lastIndex { $0 <= cut } ?? 0
      let part = Array(bytes[..<cut])
      let result = try convert(part)
      try check(result.bytes, kind, version: UInt8(count))
      #expect(result.report.checkpointCount == count + 1)
      #expect(result.report.isCut == !ends.contains(cut))
      #expect(try convertThroughPipes(part).bytes == result.bytes)
    }
  }

  @Test func nonsenseAfterACheckpointCostsOnlyThat() throws {
    let (bytes, ends) = Self.rounds(Kind.all[0])
    var broken = bytes
    broken[ends[1]] = 0xFF
    broken[ends[1] + 1] = 0x7F
    let (out, report) = try convert(broken)
    try check(out, Kind.all[0], version: 1)
    #expect(report.isCut)
    #expect(report.notes.last?.text.contains("expected a count of pages") == true)
  }

  @Test func aCheckpointAfterAVerifyPassIsRefused() throws {
    var builder = LegacyBuilder(Kind.all[2])
    builder.head()
    builder.chunk(-1)
    for _ in 0..<2 {
      builder.allPages()
      builder.chunk(0)
      builder.hvmTail([1])
    }
    let error = try #require(try conversionError(builder.out.bytes))
    #expect(error.kind == .unsupported)
  }

  // MARK: - Compression

  /// One page as the sender compresses it against what it sent before; nil: it did not.
  static func compress(_ page: [UInt8], _ old: [UInt8]?) -> [UInt8] {
    guard let old else { return [0x80] + page }
    var out: [UInt8] = []
    var word = 0
    func differs(_ word: Int) -> Bool {
      page[4 * word..<4 * word + 4] != old[4 * word..<4 * word + 4]
    }
    while word < 1024 {
      let kind = differs(word)
      var count = 0
      while word + count < 1024, count < 127, differs(word + count) == kind { count += 1 }
      out.append(UInt8(count) | (kind ? 0 : 0x80))
      if kind { out += page[4 * word..<4 * (word + count)] }
      word += count
    }
    return page == old ? [0] : out
  }

  /// A first checkpoint with whole pages, and compressed ones, their data in pieces of `piece`.
  static func compressed(
    _ kind: Kind, piece: Int, base: Bool = true
  ) -> (bytes: [UInt8], pages: [UInt64: [UInt8]]) {
    var builder = LegacyBuilder(kind)
    builder.head()
    builder.allPages()
    builder.chunk(-13)
    builder.chunk(0)
    builder.pvTail([0])
    var pages: [UInt64: [UInt8]] = [:]
    for round in 0..<3 {
      var data: [UInt8] = []
      var entries: [(type: UInt64, pfn: UInt64)] = []
      for pfn in [UInt64(0), 2, 5, 10, 11, 12] {
        let old =
          pages[pfn] ?? (base || round > 0 ? nil : LegacyBuilder.page(pfn))
        var new = pages[pfn] ?? LegacyBuilder.page(pfn)
        for offset in stride(from: round * 40, to: 4096, by: 300 + 100 * Int(pfn)) where pfn != 2 {
          new[offset] ^= 0x55
        }
        data += compress(new, old)
        pages[pfn] = new
        entries.append((pfn == 5 ? 2 : 0, pfn))
      }
      builder.batch([(0xF, 13), entries[0]], isCompressed: true)
      builder.batch(Array(entries[1...]) + [(0xE, 14), (0xF, 0)], isCompressed: true)
      for start in stride(from: 0, to: data.count, by: piece) {
        let part = data[start..<min(start + piece, data.count)]
        builder.chunk(-12)
        builder.ulong(UInt64(part.count))
        builder.out.bytes += part
        if start == 0 {
          builder.chunk(-12)
          builder.ulong(0)
        }
      }
      builder.chunk(0)
      builder.pvTail([0])
    }
    return (builder.out.bytes, pages)
  }

  @Test(arguments: [0, 1, 4, 5], [1 << 20, 4000, 333])
  func inflatesWhatIsCompressed(kind: Int, piece: Int) throws {
    let (bytes, pages) = Self.compressed(Kind.all[kind], piece: piece)
    let result = try convert(bytes)
    let got = try ParsedStream(result.bytes).pages()
    for (pfn, page) in pages {
      #expect(got[pfn]?.contents == page)
      #expect(got[pfn]?.type == (pfn == 5 ? 2 : 0))
    }
    #expect(got[1]?.contents == LegacyBuilder.page(1))
    #expect(got[13]?.type == 0xF)
    #expect(got[14]?.type == 0xE)
    #expect(result.report.checkpointCount == 4)
    let piped = try ParsedStream(convertThroughPipes(bytes).bytes).pages()
    #expect(piped.mapValues(\.contents) == got.mapValues(\.contents))
    #expect(piped.mapValues(\.type) == got.mapValues(\.type))
  }

  @Test func changesOfPagesFromBeforeCompressionNeedAFile() throws {
    // The senders of Xen compress against what they compressed; the format allows this too.
    let (bytes, pages) = Self.compressed(Kind.all[0], piece: 5000, base: false)
    // Pages 11 and 12 did not come before.
    let error = try #require(try conversionError(bytes))
    #expect(error.kind == .malformed)
    #expect(error.problem.contains("pfn 0xb"))
    #expect(pages.count == 6)
    #expect(throws: StreamError.self) { try convertThroughPipes(bytes) }
  }

  @Test func compressedPagesThatCannotBe() throws {
    func error(_ data: [UInt8], _ count: Int = 1) throws -> StreamError? {
      var builder = LegacyBuilder(Kind.all[0])
      builder.head()
      builder.allPages()
      builder.chunk(-13)
      builder.chunk(0)
      builder.pvTail([0])
      builder.batch((0..<count).map { (0, UInt64($0)) }, isCompressed: true)
      builder.chunk(-12)
      builder.ulong(UInt64(data.count))
      builder.out.bytes += data
      builder.chunk(0)
      builder.pvTail([0])
      return try conversionError(builder.out.bytes)
    }
    let full = [0x80] + LegacyBuilder.page(3)
    #expect(try error(full) == nil)
    #expect(try error([0]) == nil)
    #expect(try error(full + [0])?.problem.contains("no more compressed pages") == true)
    #expect(try error(full, 2)?.problem.contains("wait for compressed pages") == true)
    #expect(try error(Array(full.dropLast()))?.problem.contains("wait") == true)
    #expect(try error([0xFF, 0x80])?.problem.contains("1 to 897 words, got 0") == true)
    let tooLong = [UInt8](repeating: 0xFF, count: 9)
    #expect(try error(tooLong)?.problem.contains("1 to 8 words, got 127") == true)
    #expect(try error(full)?.description.contains("\n") != true)
  }
}
