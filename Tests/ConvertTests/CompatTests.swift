// Which release restores what.

import Convert
import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct CompatTests {
  func reasons(_ bytes: [UInt8], _ release: String) throws -> [CompatReason] {
    let file = try TemporaryFile(bytes)
    let summary = try CompatSummary(Source(opening: file.path))
    return Compat.check(summary, for: try #require(XenRelease(release)))
  }

  func errors(_ bytes: [UInt8], _ release: String) throws -> [String] {
    // The images are cut down to what a test is about: verify has more to say of them.
    try reasons(bytes, release).filter { $0.severity == .error && $0.subject != "verify" }
      .map(\.subject)
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
    #expect(try errors(image.bytes, release).contains("version") != isReadable)
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
    #expect(try errors(image.bytes, "4.9") == ["record 1 (0x80000001)"])
    #expect(try errors(image.bytes, "4.10").isEmpty)
  }

  /// LAPIC has 24 bytes before Xen 4.18 and 32 from then on.
  @Test(arguments: [
    (24, "4.17", true), (24, "4.18", true), (32, "4.17", false), (32, "4.18", true),
    (32, "4.18.4", false), (32, "4.18.5", true), (32, "4.19.1", false), (32, "4.19.2", true),
    (32, "4.20.0", false), (32, "4.20.1", true), (32, "4.21.0", true), (24, "4.20.0", true),
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
    #expect(try errors(image.bytes, release).isEmpty == isGood)
  }

  /// Of several HVM_CONTEXT Xen reads the last.
  @Test func theLastContextCounts() throws {
    var image = StreamBuilder.hvm()
    image.insert(
      StreamBuilder.record("HVM_CONTEXT", 9, le32(0xCE, 8) + zeros(8)), before: "HVM_CONTEXT")
    #expect(try errors(image.bytes, "4.17").isEmpty)
    #expect(try errors(image.bytes, "4.17") == errors(StreamBuilder.hvm().bytes, "4.17"))
  }

  /// Xen before 4.14 does not know the records of version 3, whatever version the stream says.
  @Test func recordsOfALaterVersion() throws {
    var image = StreamBuilder.hvm(version: 2)
    image.insert(StreamBuilder.record("STATIC_DATA_END", 0x10), before: "PAGE_DATA")
    #expect(try errors(image.bytes, "4.17").isEmpty)
    #expect(try !errors(image.bytes, "4.13").isEmpty)
  }

  @Test func params() throws {
    var image = TestImage(version: 2)
    image.headers()
    image.pages([1])
    image.record(10, numbers: [(1, 4), (0, 4), (38, 8), (1, 8)])
    image.record(0)
    #expect(try errors(image.bytes, "4.9") == ["HVM_PARAMS"])
    #expect(try errors(image.bytes, "4.10").isEmpty)
  }

  /// ALTP2M: before 4.9 one bit, and since 4.19 no parameter of streams.
  @Test(arguments: [
    (1 as UInt64, "4.6", true), (2, "4.8.5", false), (2, "4.9.0", true), (3, "4.18.6", true),
    (0, "4.19.0", false), (1, "4.22", false),
  ]) func altp2m(value: UInt64, release: String, isGood: Bool) throws {
    var image = TestImage(version: 2)
    image.headers()
    image.pages([1])
    image.record(10, numbers: [(1, 4), (0, 4), (35, 8), (value, 8)])
    image.record(0)
    #expect(try errors(image.bytes, release) == (isGood ? [] : ["HVM_PARAMS"]))
  }

  // MARK: - State of PV vCPUs

  /// One MSR of value 0, of a PV vCPU.
  @Test(arguments: [
    (0xC000_0103 as UInt32, "4.11.4", false), (0xC000_0103, "4.12.0", true),
    (0x48, "4.10.0", false), (0x48, "4.10.1", true), (0x140, "4.7.6", false),
    (0x140, "4.8.4", true), (0xC001_1027, "4.7.6", true),
  ]) func pvMSRs(index: UInt32, release: String, isGood: Bool) throws {
    #expect(try errors(Self.pv(msrs: [(index, 0)]), release).isEmpty == isGood)
  }

  /// The first releases set none, and say nothing of it.
  @Test(arguments: [("4.7.4", false), ("4.7.5", true), ("4.9.1", false), ("4.9.2", true)])
  func pvMSRsThatAreLost(release: String, isLoaded: Bool) throws {
    let image = Self.pv(msrs: [(0xC001_1027, 1)])
    #expect(try errors(image, release).isEmpty)
    #expect(
      try reasons(image, release).contains { $0.text.hasPrefix("the guest loses its MSRs") }
        != isLoaded)
  }

  @Test(arguments: [("4.6.0", false), ("4.10.4", false), ("4.11.0", true), ("4.13", true)])
  func emptyRecords(release: String, isGood: Bool) throws {
    #expect(try errors(Self.pv(msrs: []), release).isEmpty == isGood)
    #expect(try errors(StreamBuilder.pv(version: 2).bytes, "4.13").isEmpty)
  }

  /// A PV guest of version 2 whose vCPU has these MSRs.
  static func pv(msrs: [(UInt32, UInt64)]) -> [UInt8] {
    var image = StreamBuilder.pv(version: 2)
    image.replace(
      "X86_PV_VCPU_MSRS",
      StreamBuilder.record(
        "X86_PV_VCPU_MSRS", 0x0C, le32(0, 0) + msrs.flatMap { le32($0.0, 0) + le64($0.1) }))
    return image.bytes
  }

  @Test func byteOrder() throws {
    #expect(try errors(hvmImage(isBig: true), "4.17").contains("byte order"))
  }

  @Test func releases() {
    let saver = try? reasons(hvmImage(), "4.16").first { $0.subject == "release" }
    #expect(saver?.severity == .warning && saver?.text.contains("newer Xen 4.17") == true)
    #expect(XenRelease("4.17.3") == XenRelease(4, 17, 3))
    #expect(XenRelease("4.17.3")?.description == "4.17.3")
    for text in ["", "4", "4.", ".4", "4.x", "4.17.3.1", "-4.1", "99999999999.1"] {
      #expect(XenRelease(text) == nil, "\(text)")
    }
    #expect(XenRelease(4, 9) < XenRelease(4, 10))
    #expect(XenRelease(4, 0).previous == XenRelease(3, 4))
  }

  @Test(arguments: ["4.23", "5.0", "3.5", "2.0"]) func unknownReleases(release: String) throws {
    #expect(try errors(hvmImage(), release) == ["release"])
  }

  /// HVM_CONTEXT of one CPU_MSR entry with one MSR of value 0.
  @Test(arguments: [
    (0x48 as UInt32, "4.14", true), (0xC001_011F, "4.14", false), (0xC001_011F, "4.16", false),
    (0xC001_011F, "4.17", true), (0x6E1, "4.17", false), (0x6E1, "4.18", true),
  ])
  func msrs(index: UInt32, release: String, isGood: Bool) throws {
    var image = TestImage()
    image.headers()
    image.record(0x10)
    image.pages([1])
    image.record(
      9,
      numbers: [
        (20, 2), (0, 2), (24, 4), (1, 4), (0, 4), (UInt64(index), 4), (0, 4), (0, 8), (0, 8),
      ])
    image.record(0)
    #expect(try errors(image.bytes, release).isEmpty == isGood)
  }

  @Test(arguments: [
    (0x3FF as UInt64, "4.14", true), (0x7FF, "4.14", false), (0x1FFF, "4.15", true),
    (0x7F, "4.12", true), (0x1FF, "4.12", false), (0x7F, "4.8", false), (7, "4.6", true),
    (0x1F, "4.6", false), (0x3F, "4.7", true), (0x1FFF, "4.22", true), (0x2001, "4.22", false),
  ])
  func enlightenments(value: UInt64, release: String, isGood: Bool) throws {
    var image = TestImage(version: 2)
    image.headers()
    image.pages([1])
    image.record(10, numbers: [(1, 4), (0, 4), (9, 8), (value, 8)])
    image.record(0)
    #expect(try errors(image.bytes, release).isEmpty == isGood)
  }

  /// A state that Xen refuses since 4.19 only is no reason against 4.17.
  @Test func errorsOfVerifyByRelease() throws {
    var image = TestImage()
    image.headers()
    image.record(0x10)
    image.pages([1])
    // A master PIC that says it is none, and a PCI link to IRQ 99.
    image.record(
      9, numbers: [(3, 2), (0, 2), (8, 4), (0, 8), (9, 2), (0, 2), (8, 4), (99, 8), (0, 8)])
    image.record(0)
    func rules(_ release: String) throws -> Set<String> {
      let texts = try reasons(image.bytes, release).filter { $0.subject == "verify" }.map(\.text)
      return Set(
        ["hvm-pic.state", "hvm-pci-link.route"].filter { id in
          texts.contains { $0.contains("[\(id)]") }
        })
    }
    #expect(try rules("4.17") == ["hvm-pci-link.route"])
    #expect(try rules("4.19") == ["hvm-pic.state", "hvm-pci-link.route"])
  }

  /// Point releases of an older branch may refuse it, too.
  @Test(arguments: [
    ("4.17.7", false), ("4.21.0", false), ("4.21.1", true), ("4.21", true), ("4.22.0", true),
  ]) func errorsOfVerifyByPointRelease(release: String, isRefused: Bool) throws {
    var image = StreamBuilder.pv(width: 4)
    image.poke("X86_PV_VCPU_BASIC", 8 + 8 + 556, le32(1 << 17))
    let found = try reasons(image.bytes, release).first { $0.text.contains("[vcpu-basic.vm86]") }
    #expect((found?.severity == .error) == isRefused)
    #expect((found?.text.contains("from 4.21.1 on") == true) == (release == "4.21"))
  }

  /// The configuration says what xl starts; the stream's number no restore looks at.
  @Test func emulators() throws {
    var image = LayersTests.libxl
    let place = image.count - 8 - 24 - 8
    #expect(try errors(image, "4.21").isEmpty)
    image[place + 8] = 1
    #expect(try errors(image, "4.21").isEmpty)
    #expect(
      try reasons(image, "4.21").contains {
        $0.subject == "EMULATOR_CONTEXT" && $0.severity == .warning
      })
    #expect(try errors(image, "4.20").isEmpty)
  }

  @Test func legacy() throws {
    var image = try convert(LayersTests.libxl, asking("xl"))
    image[36] = 0
    // The stream is what counts: in place of libxl's a legacy one, which begins with its p2m's size.
    let stream = try #require(image.indices.first { image[$0...].starts(with: "LibxlFmt".utf8) })
    image.replaceSubrange(stream..<stream + 8, with: [0, 16, 0, 0, 0, 0, 0, 0])
    #expect(try errors(image, "4.4").isEmpty)
    #expect(try reasons(image, "4.17").map(\.severity) == [.warning])
    #expect(try errors(convert(LayersTests.libxl, asking("xl")), "4.5").contains("xl header"))
  }

  @Test(arguments: Fixture.names) func fixtures(name: String) throws {
    let summary = try CompatSummary(Source(opening: Fixture.folder + name))
    #expect(Compat.isCompatible(Compat.check(summary, for: XenRelease(4, 17))))
    #expect(!Compat.isCompatible(Compat.check(summary, for: XenRelease(4, 13))))
  }
}
