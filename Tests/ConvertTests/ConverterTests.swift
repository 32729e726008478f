// Conversions of versions and byte orders, against streams built by hand.

import Bytes
import Convert
import Format
import SystemIO
import Testing

@Suite struct ConverterTests {
  /// Every pair of version and order, from a hand-made stream to a hand-made stream.
  struct Pair: Sendable, CustomTestStringConvertible {
    let from: Int
    let isFromBig: Bool
    let to: Int
    let isToBig: Bool
    var testDescription: String {
      "\(from)\(isFromBig ? "be" : "le") to \(to)\(isToBig ? "be" : "le")"
    }

    static let all: [Pair] = [1, 2, 3].flatMap { from in
      [false, true].flatMap { isFromBig in
        [1, 2, 3].flatMap { to in
          [false, true].map { Pair(from: from, isFromBig: isFromBig, to: to, isToBig: $0) }
        }
      }
    }

    var conversion: Conversion {
      asking(["draft-b", "v2", "v3"][to - 1]) { $0.order = isToBig ? .big : .little }
    }
  }

  @Test(arguments: Pair.all) func pv(pair: Pair) throws {
    // Draft B made from version 2 has no STATIC_DATA_END, and the other way it is left out.
    let source = pvImage(version: pair.from, isBig: pair.isFromBig)
    guard !(pair.from == 2 && pair.to == 1) else { return }
    let expected = pvImage(version: pair.to, isBig: pair.isToBig)
    #expect(try convert(source, pair.conversion) == expected)
    #expect(try convertPiped(source, pair.conversion) == expected)
  }

  @Test(arguments: Pair.all) func hvm(pair: Pair) throws {
    let hasPolicies = pair.from != 2 && pair.to != 2
    let source = hvmImage(version: pair.from, isBig: pair.isFromBig, hasPolicies: hasPolicies)
    guard !(pair.from == 2 && pair.to == 1) else { return }
    let expected = hvmImage(version: pair.to, isBig: pair.isToBig, hasPolicies: hasPolicies)
    #expect(try convert(source, pair.conversion) == expected)
    #expect(try convertPiped(source, pair.conversion) == expected)
  }

  @Test func policiesAreRefusedByName() throws {
    let image = hvmImage()
    #expect(refusal(image, asking("v2")).contains("X86_CPUID_POLICY"))
    let file = try TemporaryFile(image)
    let (bytes, report) = try convert(Source(opening: file.path), asking("v2", isLossy: true))
    #expect(bytes == hvmImage(version: 2, hasPolicies: false))
    #expect(report.lossCount == 2)
    #expect(
      report.notes.map(\.place) == ["record 1 (X86_CPUID_POLICY)", "record 2 (X86_MSR_POLICY)"])
  }

  @Test func emptyRecordsOfOldSavers() throws {
    var old = TestImage(version: 2)
    old.headers()
    old.pages([1])
    old.record(10, numbers: [(0, 4), (0, 4)])
    old.record(0)
    var new = TestImage(version: 3)
    new.headers()
    new.record(0x10)
    new.pages([1])
    new.record(0)
    #expect(try convert(old.bytes, asking("v3")) == new.bytes)
  }

  @Test func optionalRecordsPass() throws {
    func image(_ version: Int, isBig: Bool = false) -> [UInt8] {
      var image = TestImage(version: version, isBig: isBig)
      image.headers()
      image.record(0x8000_1234, [1, 2, 3])
      if version == 3 { image.record(0x10) }
      image.pages([1])
      image.record(0)
      return image.bytes
    }
    #expect(try convert(image(2), asking("v3")) == image(3))
    // What an unknown record holds cannot be turned.
    let big = asking { $0.order = .big }
    #expect(refusal(image(3), big).contains("record 1 (0x80001234): its fields are not known"))
  }

  /// Bytes that no count or length of the tables covers cannot be turned.
  @Test func fieldsThatAreNotDescribed() {
    for numbers in [
      [(1, 4), (0, 4), (1, 8), (2, 8), (3, 8), (4, 8)], [(1, 4), (0, 4), (1, 8), (2, 4)],
    ] as [[(UInt64, Int)]] {
      var image = TestImage()
      image.headers()
      image.record(0x10)
      image.pages([1])
      image.record(10, numbers: numbers)
      image.record(0)
      let problem = refusal(image.bytes, asking { $0.order = .big })
      #expect(problem.contains("record 3 (HVM_PARAMS): its fields are not known"))
    }
  }

  /// A second release, after the first, is known nowhere else.
  @Test func secondReleaseOfDraftB() {
    var image = TestImage(version: 1)
    image.headers()
    image.pages([1])
    image.record(0x8000_0000, numbers: [(5, 4), (0, 4)])
    image.record(0)
    #expect(
      refusal(image.bytes, asking("v3")).contains("record 3 (XEN_VERSION): version 3 has no"))
  }

  @Test func releaseOfDraftB() throws {
    var draft = TestImage(version: 1)
    draft.headers()
    draft.pages([1])
    draft.record(0)
    // Without the inferred record: 16 bytes of header, 8 of body and 8 of footer after the headers.
    var bytes = draft.bytes
    bytes.removeSubrange(32..<64)
    var final = TestImage(version: 3)
    final.major = 4
    final.minor = 4
    final.headers()
    final.record(0x10)
    final.pages([1])
    final.record(0)
    #expect(try convert(bytes, asking("v3") { $0.xenRelease = XenRelease(4, 4) }) == final.bytes)
    final = TestImage(version: 3)
    final.major = 0
    final.minor = 0
    final.headers()
    #expect(try convert(bytes, asking("v3")).starts(with: final.bytes))
  }

  @Test func vcpuInfoThatSaysMore() throws {
    let image = pvImage(version: 1, maxVCPU: 7)
    #expect(refusal(image, asking("v3")).contains("VCPU_INFO: max_vcpu_id 7"))
    #expect(try convert(image, asking("v3", isLossy: true)) == pvImage(version: 3))
  }

  @Test func widePFNs() {
    var image = TestImage(version: 1)
    image.headers()
    image.pages([5, 0x0010_0000_0000_0000])
    image.record(0)
    let problem = refusal(image.bytes, asking("v3", isLossy: true))
    #expect(problem.contains("pfn[1]: 0x10000000000000 needs more than 52 bits"))
    var final = TestImage(version: 3)
    final.headers()
    final.record(0x10)
    final.pages([0x0110_0000_0000_0000])
    final.record(0)
    #expect(refusal(final.bytes, asking("draft-b")).contains("reserved bits 0x11"))
  }
}

@Suite struct DraftBReadingTests {
  @Test func checksums() throws {
    let good = hvmImage(version: 1)
    #expect(try convert(good, asking("v3")) == hvmImage())
    // One bit of a page, of a pfn table, and of a small body.
    for offset in [good.count - 40, 400, 5000, 100] {
      var bad = good
      bad[offset] ^= 0x10
      let problem = refusal(bad, asking("v3"))
      #expect(
        problem.contains("checksum: expected 0x") || problem.contains("stream ends")
          || problem.contains("limit"), "\(offset): \(problem)")
    }
  }

  @Test func invalidChecksumsAreNotLookedAt() throws {
    var image = TestImage(version: 1)
    image.headers()
    image.pages([1])
    let end = image.bytes.count
    image.record(0)
    var bytes = image.bytes
    bytes[end + 8] = 0
    bytes[end + 16] = 0xEE
    var final = TestImage(version: 3)
    final.headers()
    final.record(0x10)
    final.pages([1])
    final.record(0)
    #expect(try convert(bytes, asking("v3")) == final.bytes)
  }

  @Test func knownValue() {
    var checksum = CRC32()
    checksum.update(Array("12345".utf8))
    checksum.update(Array("6789".utf8))
    #expect(checksum.value == 0xCBF4_3926)
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for count in [0, 1, 7, 8, 9, 63, 1000] {
      var checksum = CRC32()
      checksum.update(Array(bytes.prefix(count)))
      #expect(checksum.value == slowCRC(Array(bytes.prefix(count))))
    }
  }

  @Test func wrongArchitecture() {
    var bytes = hvmImage(version: 1)
    bytes[24] = 2
    #expect(refusal(bytes, asking("v3")).contains("arch: expected 1 (x86), got 2"))
    bytes[24] = 1
    bytes[26] = 9
    #expect(
      refusal(bytes, asking("v3")).contains("type: expected 1 (x86 PV) or 2 (x86 HVM), got 9"))
  }

  @Test func versionsFromTheFuture() {
    for version: UInt8 in [0, 4, 200] {
      var bytes = hvmImage()
      bytes[15] = version
      #expect(
        refusal(bytes, asking("v2")).contains(
          "version: expected 2 or 3, or 1 (draft B), got \(version)"))
    }
  }

  @Test(arguments: [1, 2, 3], [UInt64(0), 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
  func countsAtTheirExtremes(version: Int, count: UInt64) throws {
    for isBig in [false, true] {
      // The count of PAGE_DATA, of HVM_PARAMS, and a record's length.
      for place in 0..<3 {
        var image = TestImage(version: version, isBig: isBig)
        image.headers()
        image.record(0x10)
        let start = image.bytes.count
        if place == 1 {
          image.record(10, numbers: [(count, 4), (0, 4), (1, 8), (2, 8)])
        } else {
          image.record(
            1, numbers: [(count, 4), (0, 4), (1, 8)], then: [UInt8](repeating: 1, count: 4096))
        }
        if place == 2 {
          var length = Wire(isBig: isBig)
          length.put(count, 4)
          image.wire.bytes.replaceSubrange(start + 4..<start + 8, with: length.bytes)
        }
        image.record(0)
        for target in ["draft-b", "v2", "v3"] {
          for order in [ByteOrder.little, .big] {
            let message = refusal(image.bytes, asking(target) { $0.order = order })
            #expect(!message.contains("\n"))
          }
        }
      }
    }
  }
}
