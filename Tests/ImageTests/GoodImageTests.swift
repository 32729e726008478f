// Images that are good: no error, no warning.

import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct GoodImageTests {
  @Test(arguments: ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"])
  func fixture(name: String) throws {
    let report = try Verifier(Source(opening: fixtures + name), options: .init(isStrict: true))
      .run()
    #expect(report.isGood, "\(report.text)")
    #expect(report.findings.isEmpty, "\(report.text)")
    #expect(report.imageSummary.ending == .end)
  }

  @Test(arguments: [
    StreamBuilder.hvm(), .hvm(version: 2), .pv(), .pv(width: 4), .pv(version: 2), .remus(),
    .remus(guest: 1), .remus(guest: 1, checkpoints: 5), .hvm().libxl, .hvm().libxc, .pv().libxc,
  ])
  func built(image: StreamBuilder) throws {
    for way in Way.allCases {
      let report = try verify(image.bytes, by: way, isStrict: true)
      #expect(report.isGood, "\(report.text)")
      #expect(report.findings.isEmpty, "\(report.text)")
    }
  }
}
