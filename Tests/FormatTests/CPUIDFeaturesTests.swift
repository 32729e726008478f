// Feature names both ways, and the XSAVE area that CPUID leaves describe.

import Bytes
import Testing

@testable import Format

@Suite struct CPUIDFeaturesTests {
  typealias Place = CPUIDFeatures.Place

  /// By hand from the processors' manuals.
  static let known: [(String, Place, Int)] = [
    ("fpu", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .d), 0),
    ("sse", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .d), 25),
    ("htt", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .d), 28),
    ("vmx", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .c), 5),
    ("xsave", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .c), 26),
    ("hypervisor", .cpuid(leaf: 1, subleaf: CPUIDLeaf.noSubleaf, .c), 31),
    ("nx", .cpuid(leaf: 0x8000_0001, subleaf: CPUIDLeaf.noSubleaf, .d), 20),
    ("3dnow", .cpuid(leaf: 0x8000_0001, subleaf: CPUIDLeaf.noSubleaf, .d), 31),
    ("svm", .cpuid(leaf: 0x8000_0001, subleaf: CPUIDLeaf.noSubleaf, .c), 2),
    ("xsavec", .cpuid(leaf: 0xD, subleaf: 1, .a), 1),
    ("avx2", .cpuid(leaf: 7, subleaf: 0, .b), 5),
    ("avx512f", .cpuid(leaf: 7, subleaf: 0, .b), 16),
    ("umip", .cpuid(leaf: 7, subleaf: 0, .c), 2),
    ("avx512_4fmaps", .cpuid(leaf: 7, subleaf: 0, .d), 3),
    ("arch_caps", .cpuid(leaf: 7, subleaf: 0, .d), 29),
    ("avx512_bf16", .cpuid(leaf: 7, subleaf: 1, .a), 5),
    ("intel_ppin", .cpuid(leaf: 7, subleaf: 1, .b), 0),
    ("avx_vnni_int8", .cpuid(leaf: 7, subleaf: 1, .d), 4),
    ("mcdt_no", .cpuid(leaf: 7, subleaf: 2, .d), 5),
    ("itsc", .cpuid(leaf: 0x8000_0007, subleaf: CPUIDLeaf.noSubleaf, .d), 8),
    ("ibpb", .cpuid(leaf: 0x8000_0008, subleaf: CPUIDLeaf.noSubleaf, .b), 12),
    ("auto_ibrs", .cpuid(leaf: 0x8000_0021, subleaf: CPUIDLeaf.noSubleaf, .a), 8),
    ("rdcl_no", .msr(0x10A), 0), ("taa_no", .msr(0x10A), 8), ("its_no", .msr(0x10A), 62),
  ]

  @Test(arguments: known) func feature(_ name: String, _ place: Place, _ bit: Int) throws {
    let found = try #require(CPUIDFeatures.bit(named: name))
    #expect(found.place == place && found.bit == bit && found.name == name)
    #expect(found.mask == 1 << UInt64(bit))
  }

  @Test(arguments: CPUIDFeatures.all) func bothWays(_ bit: CPUIDFeatures.Bit) {
    #expect(CPUIDFeatures.bit(named: bit.name) == bit)
    #expect(CPUIDFeatures.bit(named: bit.name.uppercased()) == bit)
    switch bit.place {
    case .cpuid(let leaf, let subleaf, let register):
      #expect((0..<32).contains(bit.bit))
      let names = CPUIDFeatures.names(leaf: leaf, subleaf: subleaf, register: register)
      #expect(names[bit.bit] == bit.name)
    case .msr(let index):
      #expect((0..<64).contains(bit.bit))
      #expect(CPUIDFeatures.names(msr: index)[bit.bit] == bit.name)
    }
  }

  @Test func leavesWithoutSubleavesTakeAny() {
    for subleaf in [0, CPUIDLeaf.noSubleaf] {
      #expect(CPUIDFeatures.names(leaf: 1, subleaf: subleaf, register: .d)[0] == "fpu")
    }
    #expect(CPUIDFeatures.names(leaf: 7, subleaf: 9, register: .b).isEmpty)
    #expect(CPUIDFeatures.names(leaf: 2, register: .a).isEmpty)
    #expect(CPUIDFeatures.names(msr: 0xCE).isEmpty)
  }

  @Test func namesAreTakenAsPeopleWriteThem() throws {
    #expect(CPUIDFeatures.bit(named: "SSE4-1")?.name == "sse4_1")
    #expect(CPUIDFeatures.bit(named: "avx512ifma")?.name == "avx512_ifma")
    #expect(CPUIDFeatures.bit(named: "avx513f") == nil)
    let error = #expect(throws: FormatError.self) { try CPUIDFeatures.require("avx513f") }
    #expect(error?.problem == "no CPUID feature 'avx513f' (did you mean 'avx512f'?)")
    #expect(try CPUIDFeatures.require("vmx").bit == 5)
  }

  // MARK: - MSR names

  @Test func msrNames() {
    #expect(X86MSRs.index(of: "MSR_SPEC_CTRL") == 0x48)
    #expect(X86MSRs.index(of: "tsc_aux") == 0xC000_0103)
    #expect(X86MSRs.index(of: "MSR_MTRRdefType") == 0x2FF)
    #expect(X86MSRs.index(of: "NOTHING") == nil)
    let carried: [UInt64] = [
      0x48, 0x140, 0x6E1, 0xD90, 0xDA0, 0xC000_0103, 0xC001_011F, 0xC001_1027, 0xC001_1019,
      0xC001_101A, 0xC001_101B, 0xCE, 0x10A,
    ]
    for number in carried { #expect(X86MSRs.names[number] != nil, "\(number.hex())") }
  }

  // MARK: - XSAVE area

  @Test func componentsOfLeaves() {
    let leaves = [
      CPUIDLeaf(leaf: 0xD, subleaf: 0, a: 0x207, b: 0x988, c: 0x988),
      CPUIDLeaf(leaf: 0xD, subleaf: 1, a: 0xF, b: 0x988),
      CPUIDLeaf(leaf: 0xD, subleaf: 2, a: 256, b: 576),
      CPUIDLeaf(leaf: 0xD, subleaf: 9, a: 8, b: 2432),
      // Supervisor state, nothing, inside the header, another leaf, no subleaf.
      CPUIDLeaf(leaf: 0xD, subleaf: 11, a: 16, b: 0, c: 1),
      CPUIDLeaf(leaf: 0xD, subleaf: 5, a: 0, b: 0),
      CPUIDLeaf(leaf: 0xD, subleaf: 6, a: 64, b: 64),
      CPUIDLeaf(leaf: 0xE, subleaf: 2, a: 64, b: 640),
      CPUIDLeaf(leaf: 0xD, a: 64, b: 640),
    ]
    let components = CPUIDFeatures.xstateComponents(fromCPUIDLeaves: leaves)
    #expect(
      components == [
        2: X86XState.Component(offset: 576, byteCount: 256),
        9: X86XState.Component(offset: 2432, byteCount: 8),
      ])
    #expect(X86XState.byteCount(mask: 0x3, components: [:]) == 576)
    #expect(X86XState.byteCount(mask: 0x7, components: components) == 832)
    #expect(X86XState.byteCount(mask: 0x207, components: components) == 2440)
    #expect(X86XState.byteCount(mask: 0x20, components: components) == nil)
    let wrong = [2: X86XState.Component(offset: Int.max, byteCount: Int.max)]
    #expect(X86XState.byteCount(mask: 7, components: wrong) == nil)
  }

  @Test func leavesOfABody() {
    var body: [UInt8] = []
    for word in [0xD, 2, 256, 576, 0, 0, 1, 0xFFFF_FFFF, 3, 4, 5, 6, 7] as [UInt32] {
      body.append(integer: word, .big)
    }
    #expect(
      CPUIDLeaf.all(in: body, BodyContext(order: .big)) == [
        CPUIDLeaf(leaf: 0xD, subleaf: 2, a: 256, b: 576),
        CPUIDLeaf(leaf: 1, a: 3, b: 4, c: 5, d: 6),
      ])
    #expect(CPUIDLeaf.all(in: [1, 2, 3], BodyContext()).isEmpty)
  }
}
