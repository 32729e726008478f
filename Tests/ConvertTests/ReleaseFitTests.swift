// Images for a given release of Xen: what is cut, dropped, leveled and refused.

import Convert
import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct ReleaseFitTests {
  typealias Leaf = TestImage.Leaf

  static func asking(
    _ release: String, on host: HostDescription? = nil, isLossy: Bool = false
  ) throws -> Conversion {
    var conversion = Conversion()
    conversion.isLossy = isLossy
    #expect(conversion.fit(to: XenRelease(release), on: host) == nil)
    return conversion
  }

  /// What came out and what was done; the compat of the result is held against what was planned.
  func fit(
    _ bytes: [UInt8], _ release: String, on host: HostDescription? = nil, isLossy: Bool = false
  ) throws -> (bytes: [UInt8], changes: [String]) {
    let file = try TemporaryFile(bytes)
    let (out, report) = try convert(
      Source(opening: file.path), Self.asking(release, on: host, isLossy: isLossy))
    let plan = try CompatSummary.planned(
      Source(opening: file.path), for: try #require(XenRelease(release)), on: host,
      isLossy: isLossy
    ).plan
    #expect(plan?.changes == report.changes)
    return (out, report.changes.map(\.description))
  }

  func refused(
    _ bytes: [UInt8], _ release: String, on host: HostDescription? = nil
  ) throws -> String {
    let file = try TemporaryFile(bytes)
    let plan = try CompatSummary.planned(
      Source(opening: file.path), for: try #require(XenRelease(release)), on: host
    ).plan
    #expect(plan?.isPossible == false)
    let first = plan?.changes.first { $0.action == .refused }
    let text = refusal(bytes, try Self.asking(release, on: host))
    #expect(first.map { text.hasSuffix($0.description) } == true, "\(text)")
    return first?.description ?? ""
  }

  func image(version: Int = 3, _ records: (inout TestImage) -> Void) -> [UInt8] {
    var image = TestImage(version: version)
    image.headers()
    if version == 3 { image.record(0x10) }
    image.pages([1])
    records(&image)
    image.record(0)
    return image.bytes
  }

  /// HVM_CONTEXT with these entries and END.
  func context(_ entries: [(type: UInt16, data: [UInt8])]) -> [UInt8] {
    var wire = Wire()
    for (type, data) in entries + [(0, [])] {
      wire.put(UInt64(type), 2)
      wire.put(0, 2)
      wire.put(UInt64(data.count), 4)
      wire.bytes += data
    }
    let body = wire.bytes
    return image { $0.record(9, body) }
  }

  /// The data of the entries of the result.
  func entries(_ bytes: [UInt8]) throws -> [(UInt16, [UInt8])] {
    let file = try TemporaryFile(bytes)
    var reader = StreamReader(try Source(opening: file.path))
    var out: [(UInt16, [UInt8])] = []
    while let part = try reader.next() {
      guard case .record(let record) = part, record.type == .hvmContext else { continue }
      for entry in Format.entries(of: HVMRecords.chain, in: record.body, 0..<record.body.count) {
        let end = entry.offset + entry.byteCount
        out.append((entry.type, Array(record.body[entry.offset..<end])))
      }
    }
    return out
  }

  // MARK: - HVM_CONTEXT

  /// LAPIC, which is longer from 4.18.5, 4.19.2 and 4.20.1 on.
  @Test(arguments: [
    ("4.17", 24), ("4.14", 24), ("4.18.4", 24), ("4.18.5", 32), ("4.20.0", 24), ("4.20.1", 32),
    ("4.18", 24), ("4.21", 32), ("4.22", 32),
  ]) func lengths(release: String, byteCount: Int) throws {
    let lapic = [UInt8](repeating: 7, count: 24) + [UInt8](repeating: 0, count: 8)
    let (out, changes) = try fit(context([(5, lapic)]), release)
    let found = try entries(out)
    #expect(found.map(\.0) == [5, 0])
    #expect(found[0].1 == Array(lapic.prefix(byteCount)))
    #expect(
      changes == (byteCount == 24 ? ["record 3 (HVM_CONTEXT): LAPIC[0]: 32 bytes -> 24"] : []))
  }

  /// What is not zero is the guest's: it goes only where something may be lost.
  @Test func tails() throws {
    var lapic = [UInt8](repeating: 0, count: 32)
    lapic[24] = 0x40
    let bytes = context([(5, lapic)])
    #expect(
      try refused(bytes, "4.17") == "record 3 (HVM_CONTEXT): LAPIC[0]: Xen 4.17 has no place for "
        + "pending_esr 0x40 (a lossy conversion leaves it out)")
    let (out, changes) = try fit(bytes, "4.17", isLossy: true)
    #expect(try entries(out)[0].1.count == 24)
    #expect(
      changes == [
        "record 3 (HVM_CONTEXT): LAPIC[0]: 32 bytes -> 24: pending_esr 0x40 is lost"
      ])
    // All of 4.18 takes the short form, its newest point releases the long one.
    #expect(try fit(bytes, "4.18").changes.isEmpty)
    #expect(try refused(bytes, "4.18.4").contains("pending_esr"))
  }

  /// Before 4.7 an FPU that the guest has not used is loaded all the same.
  @Test(arguments: [(1 as UInt8, 0 as UInt8), (0, 0x7F)])
  func unusedFPU(flags: UInt8, control: UInt8) throws {
    var cpu = [UInt8](repeating: 0, count: 1032)
    cpu[1024] = flags
    let (out, changes) = try fit(context([(2, cpu)]), "4.6")
    let data = try entries(out)[0].1
    #expect(data.count == 1024 && data[0] == control)
    #expect(changes.count == (flags == 1 ? 1 : 2) + 1, "\(changes)")
  }

  static func msrs(_ list: [(UInt32, UInt64)]) -> (type: UInt16, data: [UInt8]) {
    var wire = Wire()
    wire.put(UInt64(list.count), 4)
    wire.put(0, 4)
    for (index, value) in list {
      wire.put(UInt64(index), 4)
      wire.put(0, 4)
      wire.put(value, 8)
    }
    return (20, wire.bytes)
  }

  @Test func msrsOfVCPUs() throws {
    let some = context([Self.msrs([(0x48, 5), (0xC001_011F, 0)])])
    let (out, changes) = try fit(some, "4.14")
    #expect(try entries(out).map(\.1) == [Self.msrs([(0x48, 5)]).data, []])
    #expect(
      changes == [
        "record 3 (HVM_CONTEXT): CPU_MSR[0].MSR_VIRT_SPEC_CTRL: 0x0, which Xen loads from 4.17 on"
      ])
    // An entry without MSRs is no entry.
    let one = context([Self.msrs([(0xC001_011F, 0)])])
    #expect(try entries(fit(one, "4.14").bytes).map(\.0) == [0])
    let used = context([Self.msrs([(0xC001_011F, 4)])])
    #expect(try refused(used, "4.16").contains("CPU_MSR[0].MSR_VIRT_SPEC_CTRL: 0x4"))
    #expect(try fit(used, "4.17").changes.isEmpty)
    #expect(try entries(fit(used, "4.16", isLossy: true).bytes).map(\.0) == [0])
  }

  @Test func unknownEntries() throws {
    let bytes = context([(77, [1, 2, 3, 4])])
    #expect(try refused(bytes, "4.17").contains("entry type 77[0]: known to no release"))
    #expect(try entries(fit(bytes, "4.17", isLossy: true).bytes).map(\.0) == [0])
  }

  /// A chain that is broken off stays as it is: verify speaks of it.
  @Test(
    arguments: [
      [5, 0, 0, 0, 32, 0, 0, 0, 1, 2, 3, 4], [5, 0, 0, 0, 32],
      [5, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF],
      [20, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0], [20, 0, 0, 0, 8, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0],
    ] as [[UInt8]]) func brokenChains(body: [UInt8]) throws
  {
    let bytes = image { $0.record(9, body) }
    #expect(try fit(bytes, "4.17").bytes == bytes)
  }

  // MARK: - Other records

  @Test func params() throws {
    func params(_ value: UInt64) -> [UInt8] {
      image(version: 2) { image in
        image.record(10, numbers: [(2, 4), (0, 4), (1, 8), (9, 8), (38, 8), (value, 8)])
      }
    }
    let (out, changes) = try fit(params(0), "4.9")
    #expect(out == image(version: 2) { $0.record(10, numbers: [(1, 4), (0, 4), (1, 8), (9, 8)]) })
    #expect(
      changes == [
        "record 2 (HVM_PARAMS): params[MCA_CAP]: 0x0, and Xen 4.9 has only 38 parameters"
      ])
    #expect(try refused(params(1), "4.9").contains("params[MCA_CAP]: 0x1"))
    #expect(try fit(params(1), "4.10").changes.isEmpty)
    let viridian = image { $0.record(10, numbers: [(1, 4), (0, 4), (9, 8), (0x1FFF, 8)]) }
    #expect(try refused(viridian, "4.14").contains("which Xen knows from 4.15 on"))
  }

  /// What a release takes from the configuration only is no parameter of its streams.
  @Test func altp2mParam() throws {
    func params(_ value: UInt64) -> [UInt8] {
      image { $0.record(10, numbers: [(2, 4), (0, 4), (1, 8), (9, 8), (35, 8), (value, 8)]) }
    }
    let (out, _) = try fit(params(0), "4.19")
    #expect(out == image { $0.record(10, numbers: [(1, 4), (0, 4), (1, 8), (9, 8)]) })
    #expect(try refused(params(2), "4.22").contains("params[ALTP2M]: 0x2"))
    #expect(try fit(params(2), "4.18").changes.isEmpty)
  }

  /// MSRs of a PV vCPU: where none is left, the record goes, too.
  @Test func msrsOfPVVCPUs() throws {
    func records(_ bytes: [UInt8]) throws -> [[UInt8]] {
      let file = try TemporaryFile(bytes)
      var reader = StreamReader(try Source(opening: file.path))
      var out: [[UInt8]] = []
      while let part = try reader.next() {
        guard case .record(let record) = part, record.type == .x86PVVCPUMSRs else { continue }
        out.append(record.body)
      }
      return out
    }
    let unused = CompatTests.pv(msrs: [(0xC000_0103, 0)])
    #expect(try records(fit(unused, "4.11").bytes).isEmpty)
    #expect(try records(fit(unused, "4.12").bytes).count == 1)
    let used = CompatTests.pv(msrs: [(0x48, 1), (0xC000_0103, 5)])
    #expect(try refused(used, "4.11").contains("vcpu[0].MSR_TSC_AUX: 0x5"))
    let (lossy, changes) = try fit(used, "4.11", isLossy: true)
    #expect(try records(lossy) == [le32(0, 0, 0x48, 0) + le64(1)], "\(changes)")
    // Old releases refuse a record without an MSR.
    let empty = CompatTests.pv(msrs: [])
    #expect(try records(fit(empty, "4.10").bytes).isEmpty)
    #expect(try records(fit(empty, "4.11").bytes).count == 1)
  }

  @Test func versions() throws {
    let (out, changes) = try fit(hvmImage(), "4.13")
    #expect(out == hvmImage(version: 2, hasPolicies: false))
    #expect(changes.count == 3 && changes[0] == "image header: version: 3 -> 2", "\(changes)")
    #expect(changes[1].hasPrefix("record 1 (X86_CPUID_POLICY): Xen 4.13 knows no such record"))
    // Up again: STATIC_DATA_END is what the newer version asks for.
    let up = try fit(out, "4.22")
    #expect(up.bytes == hvmImage(hasPolicies: false) && up.changes.count == 1)
    #expect(try fit(hvmImage(isBig: true), "4.17").bytes == hvmImage())
  }

  @Test(arguments: ["4.5", "3.4", "4.23", "5.0"]) func releases(release: String) {
    var conversion = Conversion()
    let problem = conversion.fit(to: XenRelease(release))
    #expect(problem?.contains("expected 4.6 to 4.22") == true, "\(problem ?? "")")
    #expect(conversion.release == nil)
  }

  // MARK: - Policies

  /// The leaves and MSRs of the result.
  func found(_ bytes: [UInt8]) throws -> (leaves: [CPUIDLeaf], msrs: [UInt8]) {
    let file = try TemporaryFile(bytes)
    var reader = StreamReader(try Source(opening: file.path))
    var (leaves, msrs): ([CPUIDLeaf], [UInt8]) = ([], [])
    while let part = try reader.next() {
      guard case .record(let record) = part else { continue }
      if record.type == .x86CPUIDPolicy { leaves = CPUIDLeaf.all(in: record.body, record.context) }
      if record.type == .x86MSRPolicy { msrs = record.body }
    }
    return (leaves, msrs)
  }

  static let basic: [Leaf] = [
    CompatProcessorTests.intel, CompatProcessorTests.common,
    (7, 0, 2, 0, 0, 0), (7, 1, 0x10, 0, 0, 0), (7, 2, 0, 0, 0, 1),
    (0x8000_0000, CompatProcessorTests.none, 0x8000_0021, 0, 0, 0),
    (0x8000_0021, CompatProcessorTests.none, 4, 0, 0, 0),
  ]

  /// What a release gives to no guest, and leaves that it has no room for.
  @Test func leveling() throws {
    let bytes = TestImage.policies(Self.basic, msrs: [(0xCE, 0), (0x10A, 1)])
    let (out, changes) = try fit(bytes, "4.14.0")
    let (leaves, msrs) = try found(out)
    #expect(leaves.map(\.leaf) == [0, 1, 7, 7, 0x8000_0000])
    #expect(leaves[2].a == 1 && leaves[3].a == 0 && leaves[4].a == 0x8000_001C)
    #expect(msrs.count == 16 && msrs[0] == 0xCE)
    #expect(changes.contains { $0.contains("avx_vnni") && $0.contains("intel_psfd") }, "\(changes)")
    #expect(changes.contains { $0.contains("leaf 7: subleaves to 2 -> 1") }, "\(changes)")
    #expect(changes.contains { $0.contains("leaves to 0x80000021 -> 0x8000001c") }, "\(changes)")
    #expect(changes.contains { $0.contains("MSR 0x10a, 0x1") }, "\(changes)")
    // The release that has all of it changes nothing.
    #expect(try fit(bytes, "4.20.1").bytes == bytes)
  }

  @Test func wideArchCapabilities() throws {
    let bytes = TestImage.policies(Self.basic, msrs: [(0x10A, 1 << 40 | 1)])
    let (out, changes) = try fit(bytes, "4.17.1")
    #expect(try found(out).msrs == le32(0x10A, 0) + le64(0))
    #expect(changes.contains { $0.contains("0x10000000000 of MSR 0x10a") }, "\(changes)")
    #expect(try found(fit(bytes, "4.17.2").bytes).msrs == le32(0x10A, 0) + le64(1 << 40 | 1))
  }

  /// What a release without policies gives to no guest is refused where a vCPU has turned it on.
  @Test func stateInUseWithoutPolicies() throws {
    let bytes = TestImage.policies(Self.basic, cr4: 1 << 11)
    let text = try refused(bytes, "4.9")
    #expect(
      text.contains("vCPU 0: CR4.UMIP is turned on, and Xen 4.9 gives no guest umip"), "\(text)")
    #expect(try fit(bytes, "4.10").changes.allSatisfy { !$0.contains("CR4.UMIP") })
  }

  /// CR4.PKS is turned on, and 4.17 gives no guest such keys.
  @Test func stateInUse() throws {
    var leaves = Self.basic
    leaves[2].c = 1 << 31
    leaves[2].b = 0
    let bytes = TestImage.policies(leaves, cr4: 1 << 24)
    #expect(try fit(bytes, "4.18").changes.isEmpty)
    let text = try refused(bytes, "4.17")
    #expect(text.contains("vCPU 0: CR4.PKS is turned on") && text.contains("pks"), "\(text)")
    #expect(try fit(TestImage.policies(leaves), "4.17").changes.count == 1)
  }

  static func host(_ leaves: [Leaf], msrs: [UInt32: UInt64] = [0xCE: 0]) -> HostDescription {
    var host = HostDescription(origin: .xen)
    host.xen = "4.17.7"
    host.hvm = HostDescription.Policy(
      leaves: leaves.map {
        CPUIDLeaf(leaf: $0.leaf, subleaf: $0.subleaf, a: $0.a, b: $0.b, c: $0.c, d: $0.d)
      }, msrs: msrs)
    return host
  }

  /// A host with less: its features are taken, leaves where the release asks for it.
  @Test func hosts() throws {
    var own = Self.basic
    own[1].c |= 1 << 25
    let bytes = TestImage.policies(own, msrs: [(0xCE, 1 << 31)])
    let host = Self.host([
      CompatProcessorTests.intel, CompatProcessorTests.common, (7, 0, 0, 0, 0, 0),
      (0x8000_0000, CompatProcessorTests.none, 0x8000_0008, 0, 0, 0),
    ])
    let (out, changes) = try fit(bytes, "4.17.0", on: host)
    let (leaves, msrs) = try found(out)
    #expect(leaves.map(\.leaf) == [0, 1, 7, 0x8000_0000], "\(leaves)")
    #expect(leaves[1].c == CompatProcessorTests.common.c && leaves[2].a == 0)
    #expect(leaves[3].a == 0x8000_0008)
    #expect(msrs[11] == 0)
    #expect(changes.contains { $0.contains("aesni on") || $0.contains("aesni") }, "\(changes)")
    // Later releases let leaves go further than the host's.
    #expect(try found(fit(bytes, "4.20.1", on: host).bytes).leaves.count == own.count)
    #expect(try fit(bytes, "4.17.0").changes.isEmpty)
  }

  @Test func hostsThatAreOthers() throws {
    var amd = CompatProcessorTests.intel
    (amd.b, amd.c, amd.d) = (0x6874_7541, 0x444D_4163, 0x6974_6E65)
    var host = Self.host([amd, CompatProcessorTests.common])
    host.byteCount = 4096
    host.freeByteCount = 0
    let bytes = TestImage.policies([CompatProcessorTests.intel, CompatProcessorTests.common])
    let file = try TemporaryFile(bytes)
    func severities(_ release: String) throws -> [Severity] {
      let summary = try CompatSummary(Source(opening: file.path))
      return Compat.check(summary, for: try #require(XenRelease(release)), on: host)
        .filter { $0.text.contains("GenuineIntel") || $0.subject == "memory" }.map(\.severity)
    }
    #expect(try severities("4.22") == [.error, .warning])
    #expect(try severities("4.21") == [.warning, .warning])
    host.byteCount = 100
    #expect(try severities("4.21") == [.warning, .error])
  }

  // MARK: - Configurations

  func xl(_ config: String) throws -> [UInt8] {
    try convert(
      LayersTests.libxl,
      ConvertTests.asking("xl") { $0.config = Array(config.utf8) })
  }

  static let config =
    #"{"c_info":{"type":"hvm","name":"guest","uuid":"00000000-0000-4000-8000-000000000001"},"#
    + #""b_info":{"max_memkb":1048576,"type.hvm":{},"altp2m":"mixed","altp2m_count":3%},"#
    + #""on_crash":"destroy"}"#

  @Test func keys() throws {
    let bytes = try xl(Self.config.replacing("%", with: ""))
    let (out, changes) = try fit(bytes, "4.20")
    #expect(out == (try xl(Self.config.replacing(#","altp2m_count":3%"#, with: ""))))
    #expect(changes.count == 1)
    #expect(changes[0].hasPrefix("xl header: config.b_info.altp2m_count: 3: expected a key"))
    #expect(try fit(bytes, "4.21").bytes == bytes)
  }

  /// Views of memory in a PVH guest: since 4.21 their number has to be stated.
  @Test func altp2mCount() throws {
    let config =
      #"{"c_info":{"type":"pvh","name":"guest"},"b_info":{"type.pvh":{},"altp2m":"external"%}}"#
    let bytes = try xl(config.replacing("%", with: ""))
    #expect(try fit(bytes, "4.20").bytes == bytes)
    let (out, changes) = try fit(bytes, "4.21")
    #expect(out == (try xl(config.replacing("%", with: #","altp2m_count":10"#))))
    #expect(
      changes == [
        "xl header: config.b_info.altp2m_count: expected 1 to 512 beside altp2m, got none"
      ])
  }

  /// A value that libxl stops at is the guest's: the rest would be lost with it.
  @Test func values() throws {
    let bytes = try xl(
      Self.config.replacing(#","altp2m_count":3%"#, with: "")
        .replacing(#""destroy""#, with: #""soft_reset""#))
    let text = try refused(bytes, "4.6")
    #expect(text.contains("config.on_crash"), "\(text)")
    #expect(try fit(bytes, "4.7").changes.allSatisfy { !$0.contains("on_crash") })
  }

  @Test func traditional() throws {
    let bytes = try xl(
      Self.config.replacing(
        #""altp2m_count":3%"#, with: #""device_model_version":"qemu_xen_traditional""#))
    #expect(try refused(bytes, "4.21").contains("qemu_xen_traditional"))
    #expect(try fit(bytes, "4.20").changes.isEmpty)
  }

  // MARK: - Real images

  /// From every release to every other: the result is good, and that release restores it.
  @Test(arguments: ReleaseFixture.names) func realImages(name: String) throws {
    let file = try TemporaryFile(ReleaseFixture.read(name))
    for minor in [6, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22] {
      let release = XenRelease(4, UInt32(minor), 0)
      let conversion = try Self.asking("\(release)")
      let (summary, plan) = try CompatSummary.planned(Source(opening: file.path), for: release)
      // Before 4.10 there is no such guest.
      if name.hasPrefix("pvh"), minor < 10 {
        #expect(plan?.isPossible == false)
        #expect(plan?.changes.first { $0.action == .refused }?.place.contains("type") == true)
        continue
      }
      let out = try TemporaryFile()
      var converter = Converter(try Source(opening: file.path), to: out.sink, conversion)
      let report = try converter.run()
      #expect(plan?.isPossible == true && plan?.changes == report.changes, "\(release)")
      // What is right as it is stays as it is, but for keys that are not read and features.
      if Compat.isCompatible(Compat.check(summary, for: release)) {
        #expect(
          report.changes.allSatisfy { $0.action == .leveled || $0.place.contains("config.") },
          "\(release): \(report.changes)")
      }
      let result = try CompatSummary(Source(opening: out.path))
      let reasons = Compat.check(result, for: release)
      #expect(Compat.isCompatible(reasons), "\(release): \(reasons)")
      let verified = try Verifier(Source(opening: out.path)).run()
      #expect(verified.findings.filter { $0.severity == .error }.map(\.description) == [])
    }
  }
}
