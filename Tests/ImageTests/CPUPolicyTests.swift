// Policies as Xen takes them, and state that it takes beside them: what is no fault, and the order
// in which records and entries count.

import Format
import ImageCheck
import TestKit
import Testing

@Suite struct CPUPolicyTests {
  static func leaf(
    _ leaf: UInt32, _ subleaf: UInt32 = .max, a: UInt32 = 0, b: UInt32 = 0, c: UInt32 = 0,
    d: UInt32 = 0
  ) -> [UInt8] { le32(leaf, subleaf, a, b, c, d) }

  static func cpuid(_ leaves: [UInt8]...) -> StreamBuilder.Chunk {
    StreamBuilder.record("X86_CPUID_POLICY", 0x11, leaves.flatMap { $0 })
  }

  static func msrs(_ index: UInt32, _ value: UInt64) -> StreamBuilder.Chunk {
    StreamBuilder.record("X86_MSR_POLICY", 0x12, le32(index, 0) + le64(value))
  }

  private static func context(_ entries: [UInt8]...) -> StreamBuilder.Chunk {
    StreamBuilder.record("HVM_CONTEXT", 9, StreamBuilder.context(entries))
  }

  private static func config(_ text: String) -> StreamBuilder.Chunk {
    StreamBuilder.xl(config: Array((text + "\0").utf8))
  }

  /// CPU_XSAVE with a mask and as many bytes.
  private static func xsave(_ mask: UInt64, count: Int, of vcpu: UInt16 = 0) -> [UInt8] {
    StreamBuilder.entry(16, vcpu, zeros(8) + le64(mask, mask) + zeros(count - 24))
  }

  /// CPU_MSR with one MSR.
  private static func msr(_ index: UInt32, _ value: UInt64) -> [UInt8] {
    StreamBuilder.entry(20, 0, le32(1, 0) + le32(index, 0) + le64(value))
  }

  /// The rules that find something in an HVM image after a change.
  private func ids(_ change: (inout StreamBuilder) -> Void) throws -> [String] {
    var image = StreamBuilder.hvm()
    change(&image)
    return try verify(image).ids
  }

  // MARK: - Ranges

  /// Of the greatest extended leaf Xen looks at the lower half; a leaf that is not there is the
  /// destination's.
  @Test func leavesOfTheDestination() throws {
    let ids = try ids {
      $0.replace(
        "X86_CPUID_POLICY", Self.cpuid(Self.leaf(0, a: 0xD), Self.leaf(0x8000_0000, a: 0x1E)))
      $0.poke("HVM_CONTEXT", 8 + 32 + 8 + 992, le64(1 << 11))
    }
    #expect(ids == [])
  }

  @Test func aGreatestSubleafThatAnotherLeafLeavesOut() throws {
    let ids = try ids {
      $0.replace(
        "X86_CPUID_POLICY", Self.cpuid(Self.leaf(0, a: 6), Self.leaf(7, 0, a: 3)))
    }
    #expect(ids == [])
  }

  /// Of a leaf and of an MSR the last counts.
  @Test func theLastOfALeafCounts() throws {
    func twice(leaves: [UInt32], msrs: [UInt64]) throws -> [String] {
      try ids {
        $0.replace(
          "X86_CPUID_POLICY", Self.cpuid(Self.leaf(0, a: leaves[0]), Self.leaf(0, a: leaves[1])))
        let body = msrs.flatMap { le32(0xCE, 0) + le64($0) }
        $0.replace("X86_MSR_POLICY", StreamBuilder.record("X86_MSR_POLICY", 0x12, body))
      }
    }
    #expect(try twice(leaves: [0x14, 0xD], msrs: [1, 0]) == [])
    let bad = try twice(leaves: [0xD, 0x14], msrs: [0, 1])
    #expect(bad == ["cpuid-policy.max-leaf", "msr-policy.msr"])
  }

  @Test func leavesBeyondTheGreatest() {
    let leaves = [
      CPUIDLeaf(leaf: 0, a: 0xD), CPUIDLeaf(leaf: 7, subleaf: 0, a: 0, d: 1 << 26),
      CPUIDLeaf(leaf: 7, subleaf: 2, d: 1 << 4), CPUIDLeaf(leaf: 0xD, subleaf: 0),
      CPUIDLeaf(leaf: 0xD, subleaf: 1, a: 0xF), CPUIDLeaf(leaf: 0x8000_0000, a: 7),
      CPUIDLeaf(leaf: 0x8000_0008, a: 48, b: 1 << 14),
    ]
    let policy = CPUPolicy(leaves: leaves)
    #expect(policy.has("ibrsb") == true && policy.has("bhi_ctrl") == false)
    // Without states there is none of leaf 0xD.
    #expect(policy.has("xsaves") == false)
    #expect(policy.has("ibrs") == false && policy.physicalAddressBits == 36)
    #expect(policy.leaf(7, 2) == CPUIDLeaf(leaf: 7, subleaf: 2))
    #expect(policy.leaf(1) == nil && policy.has("avx") == nil)
    let states = CPUIDLeaf(leaf: 0xD, subleaf: 0, a: 7)
    #expect(CPUPolicy(leaves: leaves + [states]).has("xsaves") == true)
  }

  // MARK: - Records

  /// A record that another replaces, and one after STATIC_DATA_END, Xen never looks at.
  @Test(arguments: [
    ("X86_CPUID_POLICY", cpuid(leaf(0x14))), ("X86_CPUID_POLICY", cpuid(leaf(0, a: 0xE))),
    ("X86_MSR_POLICY", msrs(0x3A, 0)), ("X86_MSR_POLICY", msrs(0xCE, 1)),
  ])
  func policiesThatAreNotTaken(name: String, broken: StreamBuilder.Chunk) throws {
    let chunk = StreamBuilder.Chunk("broken", broken.bytes)
    let replaced = try ids { $0.insert(chunk, before: name) }
    #expect(replaced == ["static-data.duplicate"])
    let late = try ids { $0.insert(chunk, after: "STATIC_DATA_END") }
    #expect(late == ["static-data.late", "static-data.duplicate"])
    let last = try ids { $0.insert(chunk, after: name) }
    #expect(last.contains { $0.contains("-policy.") })
    // Where version 2 has none, memory ends the static data.
    var image = StreamBuilder.hvm(version: 2)
    image.insert(chunk, after: "PAGE_DATA")
    #expect(try verify(image).isGood)
    image = .hvm(version: 2)
    image.insert(chunk, before: "PAGE_DATA")
    #expect(try !verify(image).isGood)
  }

  /// State is held against the policies that Xen takes, and of two records nothing is merged.
  @Test func stateBesideLaterPolicies() throws {
    let without = StreamBuilder.Chunk(
      "without", Self.cpuid(Self.leaf(0, a: 0xD), Self.leaf(0x8000_0001)).bytes)
    let late = try ids {
      $0.insert(without, after: "STATIC_DATA_END")
      $0.poke("HVM_CONTEXT", 8 + 32 + 8 + 992, le64(1 << 11))
    }
    #expect(late == ["static-data.late", "static-data.duplicate"])
    let replaced = try ids {
      $0.replace("X86_MSR_POLICY", Self.msrs(0xCE, 0))
      $0.insert(.init("second", Self.msrs(0x10A, 0).bytes), after: "X86_MSR_POLICY")
      $0.replace("HVM_CONTEXT", Self.context(Self.msr(0x140, 1)))
    }
    #expect(replaced == ["static-data.duplicate"])
  }

  /// What was said of a policy and of a context is taken back one by one.
  @Test func policiesAndContextsThatAreReplaced() throws {
    let ids = try ids {
      let policy = StreamBuilder.Chunk("policy", Self.cpuid(Self.leaf(0x14)).bytes)
      let broken = StreamBuilder.record("HVM_CONTEXT", 9, le32(0x10E, 8) + zeros(8))
      $0.insert(policy, before: "X86_CPUID_POLICY")
      $0.insert(.init("broken", broken.bytes), before: "X86_CPUID_POLICY")
    }
    #expect(ids == ["static-data.duplicate", "record.duplicate"])
  }

  // MARK: - State

  /// The size of an area is that of the components where a processor has them.
  @Test(
    arguments: [
      (7, 832, [leaf(0xD, 2, a: 0x200, b: 576)]), (0x2E7, 2696, []),
      (
        0x2E7, 2440,
        [
          leaf(0xD, 5, a: 64, b: 832), leaf(0xD, 6, a: 512, b: 896),
          leaf(0xD, 7, a: 1024, b: 1408), leaf(0xD, 9, a: 8, b: 2432),
        ]
      ),
      (0x207, 2440, [leaf(0xD, 9, a: 8, b: 2432)]), (0x207, 2696, [leaf(0xD, 9, a: 8, b: 840)]),
    ] as [(UInt64, Int, [[UInt8]])])
  func sizesOfExtendedState(mask: UInt64, byteCount: Int, leaves: [[UInt8]]) throws {
    for (more, isGood) in [(0, true), (-8, false)] {
      let ids = try ids {
        $0.replace(
          "X86_CPUID_POLICY",
          StreamBuilder.record(
            "X86_CPUID_POLICY", 0x11, Self.leaf(0, a: 0xD) + leaves.flatMap { $0 }))
        $0.replace("HVM_CONTEXT", Self.context(Self.xsave(mask, count: 24 + byteCount + more)))
      }
      #expect(ids == (isGood ? [] : ["hvm-xsave.size"]))
    }
  }

  /// Xen takes zeros after an area, however many.
  @Test func aLongContext() throws {
    let ids = try ids {
      $0.replace("HVM_CONTEXT", Self.context(Self.xsave(3, count: 600 + 5 << 20)))
    }
    #expect(ids == [])
  }

  /// Xen loads entries in their order.
  @Test func boundsNeedTheirState() throws {
    let bounds = Self.msr(0xD90, 1)
    func ids(_ entries: [UInt8]...) throws -> [String] {
      try self.ids {
        $0.replace(
          "HVM_CONTEXT",
          StreamBuilder.record("HVM_CONTEXT", 9, StreamBuilder.context(entries)))
      }
    }
    let state = Self.xsave(0x1F, count: 24 + 1088)
    #expect(try ids(state, bounds) == [])
    #expect(try ids(bounds, state) == ["hvm-msr.bounds"])
    #expect(try ids(Self.xsave(7, count: 24 + 832), bounds) == ["hvm-msr.bounds"])
    let other = Self.xsave(0x1F, count: 24 + 1088, of: 1)
    #expect(try ids(other, bounds).contains("hvm-msr.bounds"))
    #expect(try ids(Self.msr(0xD90, 0)) == [])
  }

  /// The flags of an entry that is shorter than Xen's own are not looked at.
  @Test(arguments: [(1032, false), (1028, true), (1025, true)])
  func flagsOfShortEntries(count: Int, isGood: Bool) throws {
    var cpu = zeros(1032)
    cpu[656] = 0x10
    cpu[1024] = 2
    var context = Array(StreamBuilder.context().prefix(32))
    context += StreamBuilder.entry(2, 0, Array(cpu.prefix(count)))
    context += StreamBuilder.entry(0, 0, [])
    var image = StreamBuilder.hvm()
    image.replace("HVM_CONTEXT", StreamBuilder.record("HVM_CONTEXT", 9, context))
    let report = try verify(image)
    #expect(report.isGood == isGood, "\(report.text)")
  }

  /// What a processor of Intel enters, or one that walks Xen's page tables.
  @Test func statesThatAreEntered() throws {
    let cpu = 8 + 32 + 8
    let intel = try ids { $0.poke("HVM_CONTEXT", cpu + 656, le64(1 << 29 | 0x11)) }
    #expect(intel == [])
    for (hap, expected) in [("True", ["hvm-cpu.entry"]), ("False", [])] as [(String, [String])] {
      let ids = try ids {
        let text = StreamBuilder.config().replacing(
          #""name":"guest","#, with: #""name":"guest","hap":"\#(hap)","#)
        $0.replace("xl", Self.config(text))
        $0.poke("HVM_CONTEXT", cpu + 656, le64(0x8000_0011))
        $0.poke("HVM_CONTEXT", cpu + 992, le64(0x500))
      }
      #expect(ids.filter { $0.hasPrefix("hvm") } == expected)
    }
  }

  /// The last ACPI_S_STATE of all records counts.
  @Test(
    arguments: [
      ([(14, 3), (14, 0)], [], true), ([(14, 3)], [(14, 0)], true), ([(14, 0)], [(14, 3)], false),
      ([(1 << 32 | 14, 3)], [], false),
    ] as [([(UInt64, UInt64)], [(UInt64, UInt64)], Bool)])
  func suspended(
    first: [(UInt64, UInt64)], second: [(UInt64, UInt64)], isGood: Bool
  ) throws {
    let pages: [(UInt64, UInt64)] = [(1, 0xFEFFC), (17, 0xFEFFC)]
    let ids = try ids {
      $0.replace("HVM_PARAMS", StreamBuilder.params(pages + first))
      $0.insert(.init("more", StreamBuilder.params(second).bytes), after: "HVM_PARAMS")
    }
    #expect(!ids.contains("hvm-params.suspended") == isGood, "\(ids)")
  }
}
