// A real guest's image, written as Xen 4.5 would have saved it, and converted back.

import Format
import ImageCheck
import SystemIO
import Testing

@testable import Legacy

@Suite struct ImageTests {
  @Test(arguments: [32, 64], [true, false])
  func comesBack(width: Int, isBare: Bool) throws {
    let folder = Folder()
    let fixture = "\(checkout)/Tests/Fixtures/pv-4m-1v-tiny.xlsave"
    let result = shell(
      "scripts/legacy-image --width \(width) \(isBare ? "--bare" : "") '\(fixture)' "
        + "'\(folder.file("old"))'")
    try #require(result.status == 0, "\(result.text)")
    let out = try OutputFile(folder.file("new"), .memory)
    let report = try LegacyConverter(Source(opening: folder.file("old"))).run(to: out.sink)
    #expect(report.width.rawValue == width / 8)
    #expect(report.guest == .x86PV)
    let new = try ParsedStream(readFile(#require(out.readingPath)))
    let old = try ParsedStream(readFile(fixture))
    #expect(new.xl == (isBare ? [] : old.xl))
    #expect(new.libxl.isEmpty == isBare)
    let (before, after) = (old.pages(), new.pages())
    #expect(before.count > 1000)
    #expect(after.mapValues(\.type) == before.mapValues(\.type))
    #expect(after.mapValues(\.contents) == before.mapValues(\.contents))
    // X86_PV_INFO, X86_PV_P2M_FRAMES, X86_PV_VCPU_BASIC, X86_PV_VCPU_XSAVE, X86_TSC_INFO
    for type in [UInt32(2), 3, 4, 6, 8] { #expect(new.bodies(type) == old.bodies(type)) }
    // The extended context was filled up to 128 bytes.
    let (extended, longer) = (old.bodies(5), new.bodies(5))
    #expect(longer.map { $0.prefix(extended[0].count) } == extended.map { $0[...] })
    // The old saver cleared pfn_to_mfn_frame_list_list.
    var shared = try #require(old.bodies(7).first)
    for offset in 3096..<3104 { shared[offset] = 0 }
    #expect(new.bodies(7) == [shared])
    let verified = try Verifier(Source(opening: #require(out.readingPath))).run()
    #expect(verified.isGood, "\(verified.findings.map(\.description))")
    if let verify = Oracle.verify, isBare {
      let result = shell("\(verify) -i '\(try #require(out.readingPath))'")
      #expect(result.status == 0, "\(result.text)")
    }
  }
}
