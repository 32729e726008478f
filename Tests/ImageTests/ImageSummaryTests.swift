// The facts of a pass: what `info` prints.

import Bytes
import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct ImageSummaryTests {
  @Test func hvm() throws {
    let image = StreamBuilder.hvm()
    let summary = try verify(image).imageSummary
    #expect(summary.layers == ["xl", "libxl", "libxc"])
    #expect(summary.guest == .x86HVM)
    #expect(summary.version == 3)
    #expect(summary.xenVersion.map { [$0.major, $0.minor] } == [4, 17])
    #expect(summary.libxcOrder == .little && summary.libxlOrder == .little)
    #expect(summary.pageTypes[0] == 3 && summary.pageTypes[0xF] == 1)
    #expect(summary.pageEntryCount == 4)
    #expect(summary.pageCount == 3)
    #expect(summary.lowestPFN == 0x10 && summary.highestPFN == 0xFEFFC)
    #expect(summary.roundCount == 1)
    #expect(summary.memoryByteCount == 3 * 4096)
    #expect(summary.vcpuIDs == [0])
    #expect(summary.recordCount == 12)
    #expect(summary.count(.hvmParams) == 1)
    #expect(summary.records[.pageData]?.byteCount == UInt64(image["PAGE_DATA"].count))
    #expect(summary.ending == .end)
    #expect(summary.byteCount == UInt64(image.bytes.count))
    let config = try #require(summary.config)
    #expect(config.offset == 52 && config.text == Array(StreamBuilder.config().utf8))
    #expect(config.byteCount == config.text.count)
  }

  @Test func pv() throws {
    let summary = try verify(.pv(width: 4)).imageSummary
    #expect(summary.guest == .x86PV)
    #expect(summary.context.guestWidth == 4)
    #expect(summary.maxPFN == 5)
    #expect(summary.pageTypes[11] == 1)
    #expect(summary.vcpuIDs == [0])
  }

  @Test func rounds() throws {
    var image = StreamBuilder.hvm()
    image.insert(StreamBuilder.pages([0xFF000, 0xFF001]), before: "X86_TSC_INFO")
    image.insert(StreamBuilder.pages([0x10]), before: "X86_TSC_INFO")
    image.insert(StreamBuilder.record("VERIFY", 0x0D), before: "X86_TSC_INFO")
    image.insert(StreamBuilder.pages([0x10, 0x11]), before: "X86_TSC_INFO")
    let report = try verify(image)
    #expect(report.isGood(isStrict: true), "\(report.text)")
    #expect(report.imageSummary.roundCount == 3)
    #expect(report.imageSummary.firstRoundPageCount == 5)
    #expect(report.imageSummary.pageCount == 8)
    #expect(report.imageSummary.hasVerify)
  }

  @Test func checkpoints() throws {
    let summary = try verify(.remus(checkpoints: 3)).imageSummary
    #expect(summary.checkpointCount == 3)
    #expect(summary.ending == .checkpoint)
  }

  @Test func trailing() throws {
    var image = StreamBuilder.hvm()
    image.add("more", zeros(100_000))
    let summary = try verify(image).imageSummary
    #expect(summary.trailingByteCount == 100_000)
    #expect(summary.trailing?.first.count == 64)
    #expect(summary.byteCount == UInt64(image.bytes.count))
  }

  /// A summary without a verifier, as `info` takes it.
  @Test func alone() throws {
    let file = TemporaryFile(StreamBuilder.hvm().bytes)
    let source = try Source(opening: file.path)
    var reader = StreamReader(source)
    var summary = ImageSummary()
    while let part = try reader.next() { summary.add(part) }
    summary.finish(reader.ending, at: source.position)
    #expect(summary.recordCount == 12)
    #expect(summary.vcpuIDs == [0])
  }
}
