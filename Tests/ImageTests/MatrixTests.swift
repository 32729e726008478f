// Generated damage: every cut, every reserved bit, every length and count. Whatever the damage, a
// verifier ends with a finding that points into the image, and never traps.

import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct MatrixTests {
  static let images = [
    StreamBuilder.hvm(), .pv(), .pv(width: 4), .hvm(version: 2), .pv().libxc,
  ]

  /// The offsets in the headers of an image: everything but page contents. With `step`, of each chunk
  /// the first `start` bytes, and after them one in so many.
  private func headOffsets(_ image: StreamBuilder, step: Int = 1, start whole: Int = 48) -> [Int] {
    var start = 0
    return image.chunks.flatMap { chunk in
      defer { start += chunk.bytes.count }
      return (0..<chunk.headByteCount).filter { $0 < whole || $0.isMultiple(of: step) }
        .map { start + $0 }
    }
  }

  @Test(arguments: images.indices)
  func cutAtEveryByte(index: Int) throws {
    let image = MatrixTests.images[index]
    let file = TemporaryFile(image.bytes)
    // The first is cut at every byte; the others differ from it in few places.
    for offset in headOffsets(image, step: index == 0 ? 1 : index == 1 ? 7 : 61).reversed() {
      file.truncate(offset)
      let report = try Verifier(Source(opening: file.path)).run()
      let last = try #require(report.findings.last)
      // Fewer bytes than a header's magic has are no format yet.
      if offset >= Container.peekByteCount {
        #expect(last.ruleID == "stream.truncated", "cut at \(offset): \(report.text)")
        #expect(last.offset == UInt64(offset), "cut at \(offset): \(last)")
      }
      #expect(!report.isGood)
      #expect(report.imageSummary.byteCount <= UInt64(offset))
      // What comes before the cut is good: nothing but the cut is found.
      #expect(report.count(.error) == 1, "cut at \(offset): \(report.text)")
    }
  }

  @Test(arguments: images)
  func cutInPages(image: StreamBuilder) throws {
    let file = TemporaryFile(image.bytes)
    let start = image.offset(of: "PAGE_DATA")
    let end = start + image["PAGE_DATA"].count
    for offset in stride(from: end - 1, to: start + 64, by: -499) {
      file.truncate(offset)
      let report = try Verifier(Source(opening: file.path)).run()
      #expect(report.findings.map(\.ruleID) == ["stream.truncated"])
      #expect(report.findings.first?.offset == UInt64(offset))
    }
  }

  /// Reserved bytes: chunk, offset, count.
  static let reserved: [(StreamBuilder, String, Int, Int)] = [
    (.hvm(), "xl", 40, 4), (.hvm(), "libxl", 12, 3), (.hvm(), "image", 16, 1),
    (.hvm(), "image", 18, 6), (.hvm(), "domain", 6, 2), (.hvm(), "X86_MSR_POLICY", 12, 4),
    (.hvm(), "PAGE_DATA", 12, 4), (.hvm(), "X86_TSC_INFO", 28, 4), (.hvm(), "HVM_PARAMS", 12, 4),
    (.pv(), "X86_PV_INFO", 10, 6), (.pv(), "X86_PV_VCPU_BASIC", 12, 4),
    (.pv(), "X86_PV_VCPU_EXTENDED", 12, 4), (.pv(), "X86_PV_VCPU_XSAVE", 12, 4),
    (.pv(), "X86_PV_VCPU_MSRS", 12, 4), (.pv(), "X86_PV_VCPU_MSRS", 20, 4),
  ]

  @Test(arguments: reserved.indices)
  func everyReservedBit(row: Int) throws {
    let (image, chunk, offset, count) = MatrixTests.reserved[row]
    let start = image.offset(of: chunk)
    let good = image.bytes
    for bit in 0..<8 * count {
      let place = start + offset + bit / 8
      var bytes = good
      bytes[place] ^= 1 << UInt8(bit % 8)
      let report = try verify(bytes)
      #expect(!report.isGood(isStrict: true), "\(chunk) +\(offset + bit / 8), bit \(bit % 8)")
      #expect(report.findings.count == 1, "\(report.text)")
      let found = try #require(report.findings.first)
      #expect(found.offset <= UInt64(place) && found.offset + 8 > UInt64(place), "\(found)")
    }
  }

  @Test(arguments: 52..<60)
  func everyReservedBitOfAnEntry(bit: Int) throws {
    var image = StreamBuilder.hvm()
    image.replace("PAGE_DATA", StreamBuilder.pages([1, 1 << UInt64(bit) | 2, 0xFEFFC]))
    #expect(try verify(image).ids == ["page-data.reserved-bits"])
  }

  @Test(arguments: 5...8 as ClosedRange<UInt64>)
  func everyReservedType(type: UInt64) throws {
    var image = StreamBuilder.hvm()
    image.replace("PAGE_DATA", StreamBuilder.pages([1, type << 60 | 2, 0xFEFFC]))
    #expect(try verify(image).ids == ["page-data.type"])
  }

  @Test func everyPaddingByte() throws {
    for count in 1...7 {
      for byte in 0..<(8 - count) {
        var image = StreamBuilder.hvm()
        var chunk = StreamBuilder.record("EMULATOR_CONTEXT", 3, le32(1, 0) + zeros(count))
        chunk.bytes[16 + count + byte] = 0x80
        image.replace("EMULATOR_CONTEXT", chunk)
        let report = try verify(image)
        #expect(report.ids == ["record.padding"], "\(report.text)")
      }
    }
  }

  static let extremes: [UInt32] =
    [0, 1, 7, 9, 0x7FFF_FFFF, 0x8000_0000] + (0xFFFF_FFF0...0xFFFF_FFFF)

  @Test(arguments: images)
  func everyLength(image: StreamBuilder) throws {
    let bytes = image.bytes
    let file = TemporaryFile(bytes)
    for chunk in image.chunks where chunk.name == chunk.name.uppercased() {
      let offset = image.offset(of: chunk.name) + 4
      let right = Array(bytes[offset..<offset + 4])
      for length in MatrixTests.extremes where le32(length) != right {
        file.poke(offset, le32(length))
        let report = try Verifier(Source(opening: file.path)).run()
        #expect(!report.isGood, "\(chunk.name) of length \(length)")
        #expect(
          report.findings.allSatisfy { $0.offset <= UInt64(bytes.count) },
          "\(chunk.name) of length \(length): \(report.text)")
      }
      file.poke(offset, right)
    }
  }

  /// Counts and lengths inside headers and bodies: image, chunk, offset.
  static let counts: [(StreamBuilder, String, Int)] = [
    (.hvm(), "xl", 44), (.hvm(), "xl", 48), (.hvm(), "PAGE_DATA", 8), (.hvm(), "HVM_PARAMS", 8),
    (.hvm(), "HVM_CONTEXT", 12), (.hvm(), "HVM_CONTEXT", 44), (.pv(), "PAGE_DATA", 8),
    (.pv(), "X86_PV_P2M_FRAMES", 8), (.pv(), "X86_PV_P2M_FRAMES", 12),
    (.pv(width: 4), "X86_PV_P2M_FRAMES", 12), (.pv(), "X86_PV_VCPU_BASIC", 8),
    (.pv(), "X86_PV_VCPU_BASIC", 16 + 4960), (.pv(), "domain", 4), (.hvm(), "domain", 0),
    (.hvm(), "image", 12), (.hvm(), "libxl", 8),
  ]

  @Test(arguments: counts.indices)
  func everyCount(row: Int) throws {
    let (image, chunk, offset) = MatrixTests.counts[row]
    let place = image.offset(of: chunk) + offset
    let good = image.bytes
    for count in MatrixTests.extremes {
      var bytes = good
      bytes.replaceSubrange(place..<place + 4, with: le32(count))
      guard bytes != good else { continue }
      let report = try verify(bytes)
      let isHarmless =
        [
          // No GDT, or one of one page; a p2m that begins in its first frame all the same.
          "X86_PV_VCPU_BASIC4976", "X86_PV_P2M_FRAMES8", "X86_PV_P2M_FRAMES12",
        ].contains("\(chunk)\(offset)") && count < 512
      #expect(!report.isGood(isStrict: true) || isHarmless, "\(chunk) +\(offset): \(count)")
      #expect(report.findings.allSatisfy { $0.offset <= UInt64(bytes.count) }, "\(report.text)")
    }
  }

  @Test func unknownTypes() throws {
    for number: UInt32 in [0x13, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF] {
      let isOptional = number >= 0x8000_0000
      for (place, isLibxc) in [("END", true), ("libxl END", false)] {
        var image = StreamBuilder.hvm()
        image.insert(StreamBuilder.record("unknown", number, zeros(9)), before: place)
        let report = try verify(image)
        #expect(report.isGood == (isOptional && isLibxc), "\(report.text)")
      }
    }
  }

  /// Every bit of the first bytes of every header: no trap, and every finding points into the image.
  @Test(arguments: [StreamBuilder.hvm(), .pv(), .remus(guest: 1)])
  func everyBit(image: StreamBuilder) throws {
    let bytes = image.bytes
    let file = TemporaryFile(bytes)
    for offset in headOffsets(image, step: 97, start: 24) {
      for bit in 0..<8 {
        file.poke(offset, [bytes[offset] ^ 1 << UInt8(bit)])
        let report = try Verifier(Source(opening: file.path)).run()
        #expect(report.findings.allSatisfy { $0.offset <= UInt64(bytes.count) })
      }
      file.poke(offset, [bytes[offset]])
    }
  }
}
