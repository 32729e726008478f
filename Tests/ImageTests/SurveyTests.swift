// The facts of a pass: what `info` prints.

import Bytes
import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct SurveyTests {
  @Test func hvm() throws {
    let image = StreamBuilder.hvm()
    let survey = try verify(image).imageSummary
    #expect(survey.layers == ["xl", "libxl", "libxc"])
    #expect(survey.guest == .x86HVM)
    #expect(survey.version == 3)
    #expect(survey.xenVersion.map { [$0.major, $0.minor] } == [4, 17])
    #expect(survey.libxcOrder == .little && survey.libxlOrder == .little)
    #expect(survey.pageTypes[0] == 3 && survey.pageTypes[0xF] == 1)
    #expect(survey.pageEntryCount == 4)
    #expect(survey.pageCount == 3)
    #expect(survey.lowestPFN == 0x10 && survey.highestPFN == 0xFEFFC)
    #expect(survey.roundCount == 1)
    #expect(survey.memoryByteCount == 3 * 4096)
    #expect(survey.vcpuIDs == [0])
    #expect(survey.recordCount == 12)
    #expect(survey.count(.hvmParams) == 1)
    #expect(survey.records[.pageData]?.byteCount == UInt64(image["PAGE_DATA"].count))
    #expect(survey.ending == .end)
    #expect(survey.byteCount == UInt64(image.bytes.count))
    let config = try #require(survey.config)
    #expect(config.offset == 52 && config.text == Array(StreamBuilder.config().utf8))
    #expect(config.byteCount == config.text.count)
  }

  @Test func pv() throws {
    let survey = try verify(.pv(width: 4)).imageSummary
    #expect(survey.guest == .x86PV)
    #expect(survey.context.guestWidth == 4)
    #expect(survey.maxPFN == 5)
    #expect(survey.pageTypes[11] == 1)
    #expect(survey.vcpuIDs == [0])
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
    let survey = try verify(.remus(checkpoints: 3)).imageSummary
    #expect(survey.checkpointCount == 3)
    #expect(survey.ending == .checkpoint)
  }

  @Test func trailing() throws {
    var image = StreamBuilder.hvm()
    image.add("more", zeros(100_000))
    let survey = try verify(image).imageSummary
    #expect(survey.trailingByteCount == 100_000)
    #expect(survey.trailing?.first.count == 64)
    #expect(survey.byteCount == UInt64(image.bytes.count))
  }

  /// A survey without a verifier, as `info` takes it.
  @Test func alone() throws {
    let file = TemporaryFile(StreamBuilder.hvm().bytes)
    let source = try Source(opening: file.path)
    var reader = StreamReader(source)
    var survey = ImageSummary()
    while let part = try reader.next() { survey.add(part) }
    survey.finish(reader.ending, at: source.position)
    #expect(survey.recordCount == 12)
    #expect(survey.vcpuIDs == [0])
  }
}
