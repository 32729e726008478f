// Streams that are cut off, altered, or no legacy streams at all: one clear line, and no trap.

import Format
import Glibc
import Stream
import SystemIO
import Testing

import struct TestKit.Seed

@testable import Legacy

@Suite struct DamageTests {
  /// A stream of one page and one vCPU, so that every byte can be tried.
  static func small(_ kind: Kind) -> [UInt8] {
    var builder = LegacyBuilder(kind)
    builder.head()
    builder.batch([(0, 1), (0xF, 0)])
    builder.tsc()
    builder.vcpuInfo(maxID: 0, [1])
    if !kind.isPV {
      builder.param(-8, 6)
      builder.toolstack()
    }
    builder.chunk(-9)
    builder.chunk(0)
    if kind.isPV {
      builder.pvTail([0], unmapped: [4])
    } else {
      builder.hvmTail([1, 2, 3, 4, 5])
      builder.deviceModel()
    }
    return builder.out.bytes
  }

  private func null() throws -> Sink {
    Sink(try Descriptor.open("/dev/null", isWritable: true), path: "null")
  }

  private func check(_ error: StreamError, _ count: Int) {
    #expect(!error.description.contains("\n"))
    #expect(error.description.count < 300)
    #expect(error.offset <= UInt64(count))
  }

  @Test(arguments: Kind.all)
  func cutOffAtEachByte(kind: Kind) throws {
    let bytes = Self.small(kind)
    let folder = Folder()
    let path = folder.write(bytes)
    let sink = try null()
    for count in stride(from: bytes.count - 1, through: 0, by: -1) {
      #expect(truncate(path, count) == 0)
      do {
        _ = try LegacyConverter(Source(opening: path)).run(to: sink)
        Issue.record("cut at \(count): no error")
      } catch let error as StreamError {
        guard error.kind == .truncated else {
          Issue.record("cut at \(count): \(error)")
          continue
        }
        check(error, count)
        #expect(error.offset == UInt64(count))
      }
    }
  }

  @Test(arguments: Kind.all)
  func cutOffPipes(kind: Kind) throws {
    let bytes = xlHeader([0x7B, 0x7D, 0], flags: 1) + Self.small(kind)
    for count in stride(from: 1, to: bytes.count - 50, by: 331) {
      do {
        _ = try convertThroughPipes(Array(bytes[..<count]))
        Issue.record("cut at \(count): no error")
      } catch let error as StreamError {
        #expect(error.kind == .truncated)
        check(error, count)
      }
    }
  }

  /// Numbers at the edges of what fields hold.
  static let edges: [UInt64] = [
    0, 1, 2, 15, 16, 17, 1023, 1024, 1025, 4095, 4096, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    0x0FFF_FFFF, 0x1000_0000, 0xF000_0000, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000, .max,
  ]

  @Test(arguments: Kind.all)
  func alteredStreamsNeverTrap(kind: Kind) throws {
    var random = Seed()
    let good = [Self.small(kind), RemusTests.rounds(kind).bytes, Self.verifiable(kind)]
    let folder = Folder()
    let sink = try null()
    for turn in 0..<900 {
      var bytes = good[turn % good.count]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        // Headers and tails are where numbers stand.
        let limit = Bool.random(using: &random) ? min(bytes.count, 6200) : bytes.count
        let at = Int.random(in: 0..<limit, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1:
          let value = Self.edges.randomElement(using: &random) ?? 0
          for index in 0..<(Bool.random(using: &random) ? 4 : 8) where at + index < bytes.count {
            bytes[at + index] = UInt8(value >> (8 * UInt64(index)) & 0xFF)
          }
        case 2: bytes.removeSubrange(at..<min(bytes.count, at + 4))
        default:
          let chunk = UInt32(bitPattern: Int32.random(in: -22...3, using: &random))
          bytes.insert(
            contentsOf: (0..<4).map { UInt8(chunk >> (8 * UInt32($0)) & 0xFF) }, at: at)
        }
      }
      var options = LegacyConverter.Options()
      if turn % 7 == 0 { options.width = turn % 2 == 0 ? .bits32 : .bits64 }
      if turn % 11 == 0 { options.guest = turn % 2 == 0 ? .x86PV : .x86HVM }
      do {
        if turn % 10 == 0 {
          _ = try convertThroughPipes(bytes, options)
        } else {
          let source = try Source(opening: folder.write(bytes))
          _ = try LegacyConverter(source, options: options).run(to: sink)
        }
      } catch let error as StreamError { check(error, bytes.count) }
    }
  }

  private static func verifiable(_ kind: Kind) -> [UInt8] {
    kind.isPV
      ? RemusTests.compressed(kind, piece: 700).bytes : LegacyBuilder.plain(kind, verify: true)
  }

  /// Alterations that a message must name: where, and what is wrong.
  @Test func messagesNameWhatIsWrong() throws {
    func error(
      _ kind: Kind, _ change: (inout LegacyBuilder) -> Void
    ) throws -> String {
      var builder = LegacyBuilder(kind)
      builder.head()
      builder.batch([(0, 1)])
      change(&builder)
      return try conversionError(builder.out.bytes)?.description ?? "no error"
    }
    let (pv, hvm) = (Kind.all[0], Kind.all[3])
    var empty = LegacyBuilder(Kind.all[2])
    empty.head()
    empty.chunk(0)
    empty.hvmTail([1])
    #expect(try conversionError(empty.out.bytes)?.problem.contains("expected pages") == true)
    #expect(try error(hvm) { $0.chunk(-21) }.contains("type from -20 to 0"))
    #expect(try error(hvm) { $0.chunk(1025) }.contains("up to 1024"))
    #expect(try error(hvm) { $0.chunk(-5) }.contains("transcendent"))
    #expect(
      try error(pv) {
        $0.chunk(-12); $0.ulong(4)
      }.contains("ENABLE_COMPRESSION"))
    #expect(try error(pv) { $0.param(-8, 1) }.contains("PV guest"))
    #expect(try error(pv) { $0.batch([(0, 16)]) }.contains("less than p2m_size (0x10)"))
    #expect(try error(pv) { $0.batch([(5, 1)]) }.contains("got 5"))
    #expect(try error(pv) { $0.batch([(0x10, 1)]) }.contains("32 bits of type and pfn"))
    #expect(try error(hvm) { $0.batch([(0, 3), (0, 1), (0, 3)]) }.contains("stands twice"))
    #expect(try error(pv) { $0.vcpuInfo(maxID: 4096, []) }.contains("0 to 4095, got 4096"))
    #expect(try error(pv) { $0.vcpuInfo(maxID: -1, []) }.contains("got -1"))
    #expect(try error(pv) { $0.vcpuInfo(maxID: 1, [2]) }.contains("vCPU 0"))
    #expect(
      try error(pv) {
        $0.chunk(0); $0.out.u32(17)
      }.contains("at most 16, got 17"))
    #expect(
      try error(hvm) {
        $0.chunk(-18); $0.out.u32(.max)
      }.contains("at most 1048576"))
    #expect(
      try error(hvm) {
        $0.chunk(-9); $0.chunk(0); $0.hvmTail([])
      }.contains("at least 1"))
    #expect(
      try error(hvm) {
        $0.chunk(-9)
        $0.chunk(0)
        $0.hvmTail([1])
        $0.out.text("DeviceModelRecord0003....")
      }.contains("got DeviceModelRecord0003"))
  }

  @Test func whatIsNotLegacyIsSaidSo() throws {
    for name in ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"] {
      let bytes = try readFile("\(checkout)/Tests/Fixtures/\(name)")
      let error = try #require(try conversionError(bytes))
      #expect(error.kind == .unsupported)
      #expect(error.problem.contains("not a legacy stream"))
      let header = 48 + Int(bytes[44]) + Int(bytes[45]) << 8
      let inner = try #require(try conversionError(Array(bytes[header...])))
      #expect(inner.kind == .malformed)
    }
    #expect(try conversionError([])?.kind == .truncated)
    #expect(try conversionError(Array("hello, world, and all".utf8))?.kind == .malformed)
  }
}
