// Where Xen's verify-stream-v2 is wrong: the 15 bad images that it takes, the 2 good ones that it
// refuses. Found by running the one of Xen c447b7308b.

import Format
import ImageCheck
import ImageEdit
import TestKit
import Testing

@Suite struct ReferenceVerifierTests {
  private func expect(
    _ image: StreamBuilder, breaks rule: String, isGood: Bool = false,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let report = try verify(image)
    #expect(report.isGood == isGood, "\(report.text)", sourceLocation: location)
    #expect(report.ids.contains(rule), "\(report.text)", sourceLocation: location)
  }

  private func changed(
    _ image: StreamBuilder, _ change: (inout StreamBuilder) -> Void
  ) -> StreamBuilder {
    var image = image
    change(&image)
    return image
  }

  // MARK: - Taken, though bad

  // What follows the end, and a pfn twice, is taken by real Xen, too: we say it all the same.

  @Test func bytesAfterTheLibxcEnd() throws {
    try expect(
      changed(.hvm().libxc) { $0.add("more", Array("garbage".utf8)) }, breaks: "trailing.octets",
      isGood: true)
  }

  @Test func bytesAfterTheLibxlEnd() throws {
    try expect(
      changed(.hvm().libxl) { $0.add("more", Array("garbage".utf8)) }, breaks: "trailing.octets",
      isGood: true)
  }

  @Test func twoImagesInOne() throws {
    try expect(
      changed(.hvm()) { $0.chunks += StreamBuilder.hvm().chunks }, breaks: "trailing.image",
      isGood: true)
  }

  @Test func greatestPFN() throws {
    try expect(
      changed(.hvm()) { $0.replace("PAGE_DATA", StreamBuilder.pages([1 << 52 - 1])) },
      breaks: "page-data.pfn-limit")
  }

  @Test func samePFNTwiceInARecord() throws {
    try expect(
      changed(.hvm()) { $0.replace("PAGE_DATA", StreamBuilder.pages([7, 7, 0xFEFFC])) },
      breaks: "page-data.duplicate", isGood: true)
  }

  @Test func version3WithoutStaticDataEnd() throws {
    try expect(changed(.hvm()) { $0.remove("STATIC_DATA_END") }, breaks: "static-data-end.missing")
  }

  @Test func twoStaticDataEnds() throws {
    try expect(
      changed(.hvm()) { $0.double("STATIC_DATA_END") }, breaks: "static-data-end.duplicate")
  }

  @Test func noHVMParams() throws {
    try expect(changed(.hvm()) { $0.remove("HVM_PARAMS") }, breaks: "hvm-params.missing")
  }

  @Test func bigEndianFlag() throws {
    try expect(
      changed(.hvm().libxc) { $0.poke("image", 16, [0, 1]) }, breaks: "image-header.endianness")
  }

  @Test func hvmRecordsInAPVStream() throws {
    try expect(changed(.hvm()) { $0.poke("domain", 0, [1]) }, breaks: "record.guest")
  }

  @Test func wrongByteOrderOfXL() throws {
    try expect(
      changed(.hvm()) {
        let config = Array("{}\0".utf8)
        $0.replace(
          "xl",
          .init(
            "xl",
            Array($0["xl"].prefix(32)) + be32(0x0102_0304, 3, 0, UInt32(4 + config.count))
              + be32(UInt32(config.count)) + config))
      }, breaks: "xl-header.byteorder")
  }

  @Test func unknownMandatoryFlagOfXL() throws {
    try expect(
      changed(.hvm()) { $0.poke("xl", 36, le32(0x8000_0003)) }, breaks: "xl-header.mandatory-flags")
  }

  @Test func configurationLongerThanItsData() throws {
    try expect(
      changed(.hvm()) { $0.poke("xl", 48, le32(0xFFFF_FFFF)) }, breaks: "xl-header.config-length")
  }

  @Test func configurationWithoutNUL() throws {
    try expect(
      changed(.hvm()) { $0.replace("xl", StreamBuilder.xl(config: Array("{}".utf8))) },
      breaks: "xl-header.config-end")
  }

  @Test func twoLibxcContexts() throws {
    try expect(
      changed(.hvm()) {
        $0.insert(.init("second", le32(1, 0) + $0.libxc.bytes), before: "libxl END")
      }, breaks: "libxc-context.duplicate")
  }

  // MARK: - Refused, though good

  @Test func optionalRecord() throws {
    let report = try verify(
      changed(.hvm()) {
        $0.insert(StreamBuilder.record("optional", 0x8000_0001, zeros(3)), before: "END")
      })
    #expect(report.isGood(isStrict: true), "\(report.text)")
    #expect(report.ids == ["record.unknown-optional"])
  }

  @Test func xenstoreData() throws {
    let report = try verify(.hvm())
    #expect(report.imageSummary.count(.emulatorXenstoreData) == 1)
    #expect(report.isGood(isStrict: true), "\(report.text)")
  }
}
