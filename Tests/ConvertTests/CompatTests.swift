// Which release restores what.

import Convert
import Image
import Stream
import SystemIO
import Testing

@Suite struct CompatTests {
  func reasons(_ octets: [UInt8], _ release: String) throws -> [CompatReason] {
    let file = try TemporaryFile(octets)
    let survey = try CompatSurvey(Source(opening: file.path))
    return Compat.check(survey, for: try #require(XenRelease(release)))
  }

  func errors(_ octets: [UInt8], _ release: String) throws -> [String] {
    try reasons(octets, release).filter { $0.severity == .error }.map(\.subject)
  }

  @Test(arguments: [
    (3, "4.17", true), (3, "4.14", true), (3, "4.13", false), (3, "4.5", false),
    (2, "4.5", false), (2, "4.6", true), (2, "4.13", true), (2, "4.14", true), (2, "4.21", true),
    (1, "4.5", false), (1, "4.17", false),
  ]) func versions(version: Int, release: String, isReadable: Bool) throws {
    var image = TestImage(version: version)
    image.headers()
    if version == 3 { image.record(0x10) }
    image.pages([1])
    image.record(0)
    #expect(try errors(image.octets, release).contains("version") != isReadable)
  }

  /// The rule of the specification: V, and V - 1 where the release before wrote it.
  @Test func previousRelease() throws {
    let image = hvmImage(version: 2, hasPolicies: false)
    func severity(_ release: String) throws -> Severity? {
      try reasons(image, release).first { $0.subject == "version" }?.severity
    }
    #expect(try severity("4.13") == .note)
    #expect(try severity("4.14") == .note)
    #expect(try severity("4.15") == .warning)
  }

  @Test func policiesThatAreMissing() throws {
    let old = try reasons(hvmImage(version: 2, hasPolicies: false), "4.17")
    #expect(old.contains { $0.subject == "X86_CPUID_POLICY" && $0.severity == .warning })
    #expect(try !reasons(hvmImage(), "4.17").contains { $0.subject == "X86_CPUID_POLICY" })
    #expect(try errors(hvmImage(), "4.13").contains("X86_CPUID_POLICY"))
  }

  @Test func recordLengths() throws {
    var image = TestImage(version: 2)
    image.headers()
    image.record(0x8000_0001, [UInt8](repeating: 0, count: 8 << 20 | 8))
    image.pages([1])
    image.record(0)
    #expect(try errors(image.octets, "4.9") == ["record 1 (0x80000001)"])
    #expect(try errors(image.octets, "4.10").isEmpty)
  }

  /// LAPIC has 24 octets before Xen 4.18 and 32 from then on.
  @Test(arguments: [
    (24, "4.17", true), (24, "4.18", true), (32, "4.17", false), (32, "4.18", true),
  ])
  func context(byteCount: Int, release: String, isGood: Bool) throws {
    var image = TestImage()
    image.headers()
    image.record(0x10)
    image.pages([1])
    image.record(
      9,
      [5, 0, 0, 0, UInt8(byteCount), 0, 0, 0] + [UInt8](repeating: 0, count: byteCount)
        + [0, 0, 0, 0, 0, 0, 0, 0])
    image.record(0)
    #expect(try errors(image.octets, release).isEmpty == isGood)
  }

  @Test func params() throws {
    var image = TestImage(version: 2)
    image.headers()
    image.pages([1])
    image.record(10, numbers: [(1, 4), (0, 4), (38, 8), (1, 8)])
    image.record(0)
    #expect(try errors(image.octets, "4.9") == ["HVM_PARAMS"])
    #expect(try errors(image.octets, "4.10").isEmpty)
  }

  @Test func byteOrder() throws {
    #expect(try errors(hvmImage(isBig: true), "4.17").contains("byte order"))
  }

  @Test func releases() {
    let saver = try? reasons(hvmImage(), "4.16").first { $0.subject == "release" }
    #expect(saver?.severity == .warning && saver?.text.contains("newer Xen 4.17") == true)
    #expect(XenRelease("4.17.3") == XenRelease(4, 17))
    for text in ["", "4", "4.", ".4", "4.x", "4.17.3.1", "-4.1", "99999999999.1"] {
      #expect(XenRelease(text) == nil, "\(text)")
    }
    #expect(XenRelease(4, 9) < XenRelease(4, 10))
    #expect(XenRelease(4, 0).previous == XenRelease(3, 4))
  }

  @Test func emulators() throws {
    var image = LayersTests.libxl
    let place = image.count - 8 - 24 - 8
    #expect(try errors(image, "4.21").isEmpty)
    image[place + 8] = 1
    #expect(try errors(image, "4.21") == ["EMULATOR_CONTEXT"])
    #expect(try errors(image, "4.20").isEmpty)
  }

  @Test func legacy() throws {
    var image = try convert(LayersTests.libxl, asking("xl"))
    image[36] = 0
    #expect(try errors(image, "4.4").isEmpty)
    #expect(try reasons(image, "4.17").map(\.severity) == [.warning])
    #expect(try errors(convert(LayersTests.libxl, asking("xl")), "4.5").contains("xl header"))
  }

  @Test(arguments: Fixture.names) func fixtures(name: String) throws {
    let survey = try CompatSurvey(Source(opening: Fixture.folder + name))
    #expect(Compat.isCompatible(Compat.check(survey, for: XenRelease(4, 17))))
    #expect(!Compat.isCompatible(Compat.check(survey, for: XenRelease(4, 13))))
  }
}
