// Which release restores what: CPUID and MSR policies, processors and device models.

import Convert
import Format
import ImageCheck
import Stream
import SystemIO
import Testing

@Suite struct CompatProcessorTests {
  typealias Leaf = TestImage.Leaf
  static let none: UInt32 = 0xFFFF_FFFF

  /// Leaf 0 of an Intel processor, going to 0xD.
  static let intel: Leaf = (0, none, 0xD, 0x756E_6547, 0x6C65_746E, 0x4965_6E69)
  /// FPU to XMM, PAE and XSAVE.
  static let common: Leaf = (1, none, 0, 0, 0x0400_0001, 0x0781_8BFF)

  func image(
    _ leaves: [Leaf], msrs: [(UInt32, UInt64)] = [(0xCE, 0)], cr4: UInt64 = 0,
    saved: [(UInt32, UInt64)] = []
  ) throws -> CompatSummary {
    let file = try TemporaryFile(TestImage.policies(leaves, msrs: msrs, cr4: cr4, saved: saved))
    return try CompatSummary(Source(opening: file.path))
  }

  func reasons(_ image: CompatSummary, _ release: String) throws -> [CompatReason] {
    Compat.check(image, for: try #require(XenRelease(release)))
  }

  func errors(_ image: CompatSummary, _ release: String) throws -> [String] {
    try reasons(image, release).filter { $0.severity == .error && $0.subject != "verify" }
      .map(\.description)
  }

  func texts(_ image: CompatSummary, _ release: String) throws -> String {
    try reasons(image, release).map(\.description).joined(separator: "\n")
  }

  // MARK: - What a policy has room for

  @Test(arguments: [
    ("4.14.4", false), ("4.14.5", true), ("4.15.2", false), ("4.15.3", true), ("4.16.0", false),
    ("4.16.1", true), ("4.17.0", true), ("4.22.0", true),
  ]) func subleaf2(release: String, isGood: Bool) throws {
    let image = try image([Self.intel, Self.common, (7, 0, 2, 0, 0, 0), (7, 2, 0, 0, 0, 0)])
    #expect(try errors(image, release).isEmpty == isGood)
    #expect(
      try errors(self.image([Self.intel, (7, 0, 1, 0, 0, 0), (7, 1, 0, 0, 0, 0)]), release).isEmpty)
  }

  @Test(arguments: [
    ("4.14.4", false), ("4.14.5", true), ("4.15.2", false), ("4.15.3", true), ("4.16.0", true),
  ]) func extendedLeaves(release: String, isGood: Bool) throws {
    let long = try image([Self.intel, Self.common, (0x8000_0021, Self.none, 0, 0, 0, 0)])
    #expect(try errors(long, release).isEmpty == isGood)
    let short = try image([Self.intel, Self.common, (0x8000_001C, Self.none, 0, 0, 0, 0)])
    #expect(try errors(short, release).isEmpty)
  }

  @Test func archCapabilities() throws {
    let image = try image([Self.intel, Self.common], msrs: [(0x10A, 0)])
    #expect(try errors(image, "4.14.0").map { $0.hasPrefix("X86_MSR_POLICY: MSR 0x10a") } == [true])
    #expect(try errors(image, "4.14.1").isEmpty)
    // Of a whole branch the newest counts, and the older ones are said.
    #expect(try errors(image, "4.14").isEmpty)
    #expect(try texts(image, "4.14").contains("MSR 0x10a: Xen takes it from 4.14.1 on"))
  }

  /// Before these releases the value has 32 bits.
  @Test(arguments: [
    ("4.14.5", false), ("4.14.6", true), ("4.15.4", false), ("4.15.5", true), ("4.16.4", false),
    ("4.16.5", true), ("4.17.1", false), ("4.17.2", true), ("4.18.0", true),
  ]) func wideArchCapabilities(release: String, isGood: Bool) throws {
    let image = try image([Self.intel, Self.common], msrs: [(0x10A, 1 << 62)])
    #expect(try errors(image, release).isEmpty == isGood)
    let narrow = try self.image([Self.intel, Self.common], msrs: [(0x10A, 1 << 31)])
    #expect(try errors(narrow, release).isEmpty)
  }

  // MARK: - The host

  @Test func vendor() throws {
    let image = try image([Self.intel, Self.common])
    #expect(try texts(image, "4.22").contains("has to be a GenuineIntel"))
    #expect(try !texts(image, "4.21").contains("GenuineIntel"))
  }

  /// Whether a policy may go further than the host's: by the tags of Xen.
  @Test(arguments: [
    ("4.14.6", false, true), ("4.15.0", true, true), ("4.17.4", true, true),
    ("4.17.5", false, true), ("4.18.2", true, true), ("4.18.3", false, true),
    ("4.18.4", false, false), ("4.19.0", false, true), ("4.19.1", false, false),
    ("4.20.0", false, false), ("4.22.0", false, false),
  ]) func leaves(release: String, limitsSubleaf: Bool, limitsLeaves: Bool) throws {
    let image = try image([Self.intel, Self.common, (7, 0, 1, 0, 0, 0), (7, 1, 0, 0, 0, 0)])
    let text = try texts(image, release)
    #expect(text.contains("leaf 7 goes to 1") == limitsSubleaf)
    #expect(text.contains("leaves go to 0xd") == limitsLeaves)
    let rules = try #require(XenRelease(release))
    #expect(CPUPolicyRules.limitsSubleaf(rules) == limitsSubleaf)
    #expect(CPUPolicyRules.limitsLeaves(rules) == limitsLeaves)
  }

  @Test func wholeBranchesSayTheirFirstRelease() throws {
    let image = try image([Self.intel, (7, 0, 1, 0, 0, 0), (7, 1, 0, 0, 0, 0)])
    #expect(try texts(image, "4.17").contains("before Xen 4.17.5"))
    #expect(try texts(image, "4.18").contains("before Xen 4.18.4"))
    #expect(try !texts(image, "4.20").contains("before Xen"))
  }

  // MARK: - Features by release

  @Test func featuresThatAReleaseDoesNotKnow() throws {
    // SERIALIZE (4.14), FSRM (4.16), AVX512_FP16 (4.18, and without AVX2 nothing).
    let image = try image([
      Self.intel, Self.common, (7, 0, 0, 0, 0, 1 << 14 | 1 << 4 | 1 << 23),
    ])
    #expect(try texts(image, "4.15").contains("the guest loses fsrm: Xen 4.15"))
    #expect(try !texts(image, "4.16").contains("the guest loses"))
    #expect(try errors(image, "4.15").isEmpty)
  }

  /// A vCPU that has turned on what an older release gives to no guest.
  @Test(arguments: [
    (1 << 24 as UInt64, "4.17", "4.18"), (1 << 27, "4.21", "4.22"),
  ]) func controlBitsInUse(cr4: UInt64, old: String, new: String) throws {
    // PAE, FXSR, XSAVE; PKS and LASS.
    let image = try image(
      [
        Self.intel, Self.common, (7, 0, 1, 0, 1 << 31, 0), (7, 1, 1 << 6, 0, 0, 0),
        (0x8000_0001, Self.none, 0, 0, 0, 1 << 29),
      ], cr4: cr4)
    let refused = try errors(image, old)
    #expect(refused.count == 1 && refused.first?.contains("vCPU 0: CR4.") == true, "\(refused)")
    #expect(try errors(image, new).isEmpty)
  }

  /// The same where there is no policy: UMIP, PKE, PKS and LASS.
  @Test(
    arguments: [
      (0x800, "4.9.4", "4.10.0"), (0x40_0000, "4.6.6", "4.7.0"),
      (0x100_0000, "4.17.7", "4.18.0"), (0x800_0000, "4.21.0", "4.22.0"),
    ] as [(UInt64, String, String)])
  func controlBitsWithoutPolicy(cr4: UInt64, old: String, new: String) throws {
    let file = try TemporaryFile(TestImage.withoutPolicies(cr4: cr4))
    let image = try CompatSummary(Source(opening: file.path))
    func refused(_ release: String) throws -> Bool {
      try errors(image, release).contains { $0.hasPrefix("vCPU 0: CR4.") }
    }
    #expect(try refused(old))
    #expect(try !refused(new))
  }

  /// SPEC_CTRL: SSBD, and PSFD, of which releases of version 2 know nothing.
  @Test(
    arguments: [
      (4, "4.8.4", false), (4, "4.8.5", true), (4, "4.9.3", false), (4, "4.9.4", true),
      (4, "4.10.1", false), (4, "4.10.2", true), (4, "4.11.0", true), (0x80, "4.13.5", false),
      (1, "4.10.1", true),
    ] as [(UInt64, String, Bool)])
  func specCtrlWithoutPolicy(value: UInt64, release: String, isGood: Bool) throws {
    let file = try TemporaryFile(TestImage.withoutPolicies(saved: [(0x48, value)]))
    let image = try CompatSummary(Source(opening: file.path))
    #expect(try errors(image, release).isEmpty == isGood)
  }

  /// What releases gave to guests, and have taken away.
  @Test func featuresThatWereDropped() throws {
    // AVX, and with it AVX2, AVX512F and AVX512PF.
    var common = Self.common
    common.c |= 1 << 28
    let image = try image([Self.intel, common, (7, 0, 0, 1 << 5 | 1 << 16 | 1 << 26, 0, 0)])
    #expect(try !texts(image, "4.19").contains("avx512pf"))
    #expect(try texts(image, "4.20").contains("the guest loses avx512pf: Xen 4.20"))
  }

  @Test func specCtrlInUse() throws {
    // BHI_DIS_S, from bhi_ctrl (4.17.4, 4.18.2).
    let image = try image(
      [Self.intel, Self.common, (7, 0, 2, 0, 0, 1 << 26), (7, 2, 0, 0, 0, 1 << 4)],
      saved: [(0x48, 1 << 10)])
    #expect(
      try errors(image, "4.17.3") == [
        "vCPU 0: SPEC_CTRL.BHI_DIS_S is turned on, and Xen 4.17.3 gives no guest bhi_ctrl"
      ])
    #expect(try errors(image, "4.17.4").isEmpty)
  }

  /// What the image's own policy denies is one error of verify, whatever the release.
  @Test func stateThatTheImageDenies() throws {
    let image = try image([Self.intel, Self.common, (7, 0, 0, 0, 0, 0)], cr4: 1 << 20)
    let all = try reasons(image, "4.17").filter { $0.severity == .error }
    #expect(all.filter { $0.text.contains("[hvm-cpu.cr4]") }.count == 1)
    #expect(try errors(image, "4.17").isEmpty)
  }

  // MARK: - Guests

  @Test func narrowPV() throws {
    var image = TestImage(type: 1)
    image.headers()
    image.record(2, [4, 3, 0, 0, 0, 0, 0, 0])
    image.record(0x10)
    image.record(0)
    let file = try TemporaryFile(image.bytes)
    let summary = try CompatSummary(Source(opening: file.path))
    func severity(_ release: String) throws -> Severity? {
      try reasons(summary, release).first { $0.text.contains("CONFIG_PV32") }?.severity
    }
    #expect(try severity("4.15") == .note)
    #expect(try severity("4.16") == .warning)
  }

  @Test(arguments: [
    ("qemu_xen_traditional", "hvm", "4.20", true), ("qemu_xen_traditional", "hvm", "4.21", false),
    ("qemu_xen", "hvm", "4.21", true), ("qemu_xen_traditional", "pvh", "4.21", true),
  ]) func deviceModel(version: String, type: String, release: String, isGood: Bool) throws {
    let config =
      #"{"c_info":{"type":"\#(type)"},"b_info":{"device_model_version":"\#(version)"}}"#
    func le(_ value: Int) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    let data = le(config.utf8.count + 1) + Array(config.utf8) + [0]
    let header =
      Array("Xen saved domain, xl format\n \0 \r".utf8) + le(0x0102_0304) + le(3) + le(0)
      + le(data.count) + data
    let file = try TemporaryFile(header + LayersTests.libxl)
    let summary = try CompatSummary(Source(opening: file.path))
    let found = try errors(summary, release).filter { $0.contains("device_model_version") }
    #expect(found.isEmpty == isGood, "\(found)")
  }

  @Test func viridiansNames() throws {
    var image = TestImage(version: 2)
    image.headers()
    image.pages([1])
    image.record(10, numbers: [(1, 4), (0, 4), (9, 8), (0x2B, 8)])
    image.record(0)
    let file = try TemporaryFile(image.bytes)
    let summary = try CompatSummary(Source(opening: file.path))
    #expect(
      try texts(summary, "4.13").contains(
        "VIRIDIAN: base_freq, no_freq, reference_tsc, apic_assist"))
    #expect(try texts(summary, "4.22").contains("CONFIG_VIRIDIAN"))
  }
}
