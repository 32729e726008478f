// Real images there and back again.

import Bytes
import Convert
import Glibc
import ImageCheck
import SystemIO
import Testing

@Suite struct FixtureTests {
  func image(_ name: String) throws -> [UInt8] {
    let source = try Source(opening: Fixture.folder + name)
    return try source.read(Int(source.byteCount ?? 0))
  }

  @Test(arguments: Fixture.names) func draftB(name: String) throws {
    let bytes = try image(name)
    let draft = try convert(bytes, asking("draft-b"))
    #expect(draft != bytes)
    #expect(try convert(draft, asking("v3")) == bytes)
  }

  @Test(arguments: Fixture.names) func byteOrder(name: String) throws {
    let bytes = try image(name)
    let big = try convert(bytes, asking { $0.order = .big })
    #expect(big != bytes)
    #expect(try convert(big, asking { $0.order = .little }) == bytes)
  }

  @Test(arguments: Fixture.names) func version2(name: String) throws {
    let bytes = try image(name)
    #expect(refusal(bytes, asking("v2")).contains("X86_CPUID_POLICY"))
    let old = try convert(bytes, asking("v2", isLossy: true))
    let file = try TemporaryFile(old)
    let report = try Verifier(Source(opening: file.path)).run()
    #expect(report.isGood, "\(report.findings)")
    let new = try convert(old, asking("v3"))
    let again = try TemporaryFile(new)
    #expect(try Verifier(Source(opening: again.path)).run().isGood)
    #expect(try convert(new, asking("v2", isLossy: true)) == old)
  }

  @Test(arguments: Fixture.names, ["libxl", "libxc"]) func layers(name: String, layer: String)
    throws
  {
    let bytes = try image(name)
    let length = Int(bytes[48]) | Int(bytes[49]) << 8 | Int(bytes[50]) << 16
    let config = Array(bytes[52..<52 + length - 1])
    let bare = try convert(bytes, asking(layer))
    #expect(try convert(bare, asking("xl") { $0.config = config }) == bytes)
  }
}
