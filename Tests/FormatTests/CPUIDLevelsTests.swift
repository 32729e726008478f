// Features that need each other, and generations of processors.

import Testing

@testable import Format

@Suite struct CPUIDLevelsTests {
  func bits(_ names: String...) throws -> [CPUIDFeatures.Bit] {
    try names.map { try #require(CPUIDFeatures.bit(named: $0), "\($0)") }
  }

  func names(_ bits: some Sequence<CPUIDFeatures.Bit>) -> Set<String> { Set(bits.map(\.name)) }

  /// By hand from the manuals: what the SDM and the APM say that a feature builds on.
  @Test(arguments: [
    ("avx", ["avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_fp16", "vaes", "sm4"]),
    ("sse2", ["aesni", "vaes", "sse4_2", "lm", "cx16", "gfni"]),
    ("nx", ["smap"]), ("pae", ["nx", "smap", "lm", "pku"]), ("tsc", ["rdtscp", "tsc_deadline"]),
    ("ibrsb", ["ssbd", "stibp", "eibrs", "rrsba", "bhi_ctrl"]),
    ("ibrs", ["psfd", "epsf", "stibp_always", "auto_ibrs"]), ("rtm", ["tsxldtrk"]),
    ("arch_caps", ["rdcl_no", "its_no", "rrsba"]), ("amx_tile", ["amx_fp16", "amx_complex"]),
  ]) func dependents(of feature: String, have: [String]) throws {
    let lost = names(CPUIDFeatures.withDependents(try bits(feature)))
    #expect(lost.isSuperset(of: have + [feature]), "\(Set(have).subtracting(lost))")
  }

  @Test func whatNeedsNothingOfItStays() throws {
    let lost = names(CPUIDFeatures.withDependents(try bits("avx512bw", "smep")))
    #expect(
      lost == [
        "avx512bw", "smep", "avx512_vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_bf16",
        "avx512_fp16", "avx512_bmm",
      ])
    #expect(CPUIDFeatures.withDependents([]).isEmpty)
  }

  @Test func tablesNameFeaturesThatExist() {
    #expect(CPUIDFeatures.needed.count == 32)
    #expect(CPUIDFeatures.givenByXen.count == 20)
    #expect(CPUIDFeatures.repeatedByAMD == 0x0183_F3FF)
    for step in CPUIDFeatures.steps {
      for name in step.adds + step.drops + step.optional {
        #expect(CPUIDFeatures.bit(named: name)?.name == name, "\(step.name): \(name)")
      }
      #expect(step.after == nil || CPUIDFeatures.level(named: step.after ?? "") != nil)
    }
    // xen-cpuid prints 19 words.
    #expect(CPUIDFeatures.wordPlaces.count == 19)
    #expect(CPUIDFeatures.wordPlaces[18].place == .cpuid(leaf: 0x8000_0021, subleaf: .max, .c))
    #expect(CPUIDFeatures.wordPlaces[17].isHigh)
  }

  /// A generation has all that its features need: else Xen would take them from its guests.
  @Test(arguments: CPUIDFeatures.levels.map(\.name)) func closed(level: String) throws {
    let level = try #require(CPUIDFeatures.level(named: level))
    guard !level.isPartial else { return }
    let missing = CPUIDFeatures.needed.filter { !level.features.contains($0) }
    let torn = names(CPUIDFeatures.withDependents(missing)).intersection(names(level.features))
    #expect(torn.isEmpty, "\(torn.sorted())")
  }

  @Test(arguments: [
    ("nehalem", ["sse4_2", "popcnt"], ["xsave", "aesni", "pcid", "avx"]),
    ("westmere", ["aesni", "pcid", "page1gb"], ["xsave", "avx"]),
    ("ivybridge", ["smep", "f16c", "rdrand", "fsgsbase"], ["avx2", "smap"]),
    ("haswell", ["avx2", "f16c", "abm", "invpcid"], ["smap", "adx", "avx512f"]),
    ("skylake-server", ["avx512f", "mpx", "pku", "clwb"], ["avx512_vnni", "umip"]),
    (
      "icelake-server", ["umip", "vaes", "fsrm", "sha"],
      ["mpx", "serialize", "tsxldtrk", "movdiri", "movdir64b", "cldemote", "fzrm", "fsrs", "fsrcs"]
    ),
    ("graniterapids", ["amx_fp16", "prefetchi"], ["avx_ifma", "cmpccxadd"]),
    (
      "sierraforest", ["avx_ifma", "avx_ne_convert", "avx_vnni_int8", "cmpccxadd"],
      ["avx512f", "sha512", "mpx"]
    ),
    ("clearwaterforest", ["sha512", "sm3", "avx_vnni_int16"], ["avx512f"]),
    ("zen", ["sha", "smap", "clzero"], ["pcid", "umip", "fma4", "xop", "avx512f"]),
    ("zen3", ["pcid", "pku", "vaes"], ["avx512f", "auto_ibrs"]),
    ("zen4", ["avx512_bf16", "auto_ibrs"], ["avx512_vp2intersect", "avx_vnni"]),
    ("zen5", ["avx512_vp2intersect", "avx_vnni", "movdiri", "movdir64b", "amd_prefetchi"], []),
    ("x86-64-v3", ["avx2", "sse4_2"], ["avx512f", "smep"]),
  ]) func levels(name: String, has: [String], lacks: [String]) throws {
    let features = names(try #require(CPUIDFeatures.level(named: name)).features)
    #expect(features.isSuperset(of: has), "\(Set(has).subtracting(features))")
    #expect(features.isDisjoint(with: lacks), "\(features.intersection(lacks))")
  }

  /// All of libvirt's server and client models from Conroe on.
  @Test(arguments: [
    "Conroe", "Penryn", "Nehalem", "Westmere", "SandyBridge", "IvyBridge", "Haswell", "Broadwell",
    "Skylake-Client", "Skylake-Server", "Cascadelake-Server", "Cooperlake", "Icelake-Server",
    "SapphireRapids", "GraniteRapids", "DiamondRapids", "Denverton", "Snowridge", "SierraForest",
    "ClearwaterForest", "Opteron_G1", "Opteron_G2", "Opteron_G3", "Opteron_G4", "Opteron_G5",
    "EPYC",
    "Dhyana", "EPYC-Rome", "EPYC-Milan", "EPYC-Genoa", "EPYC-Turin",
  ]) func libvirtsNames(name: String) {
    #expect(CPUIDFeatures.level(named: name)?.source == name)
    #expect(CPUIDFeatures.level(named: name.lowercased())?.source == name)
  }

  @Test func otherNamesAreNone() {
    for name in ["", "pentium", "psABI", "x86-64-v5"] {
      #expect(CPUIDFeatures.level(named: name) == nil)
    }
    #expect(CPUIDFeatures.level(named: "ZEN_2")?.name == nil)
    #expect(CPUIDFeatures.level(named: "Skylake_Server")?.name == "skylake-server")
  }

  // MARK: - Policies

  /// A policy with these features of leaves 1, 7 and 0x80000001, and no others.
  func policy(_ features: String..., greatest: UInt32 = 0xD) throws -> CPUPolicy {
    var leaves = [
      CPUIDLeaf(leaf: 0, a: greatest), CPUIDLeaf(leaf: 1), CPUIDLeaf(leaf: 7, subleaf: 0),
      CPUIDLeaf(leaf: 0x8000_0001),
    ]
    for name in features {
      let bit = try #require(CPUIDFeatures.bit(named: name))
      guard case .cpuid(let leaf, _, let register) = bit.place,
        let index = leaves.firstIndex(where: { $0.leaf == leaf })
      else { continue }
      let mask = UInt32(bit.mask)
      switch register {
      case .a: leaves[index].a |= mask
      case .b: leaves[index].b |= mask
      case .c: leaves[index].c |= mask
      case .d: leaves[index].d |= mask
      }
    }
    return CPUPolicy(leaves: leaves)
  }

  @Test func whatLacksWhatItNeedsIsNotThere() throws {
    let whole = try policy("fpu", "pae", "fxsr", "sse", "sse2", "nx", "smap", "xsave", "avx")
    #expect(whole.has("smap") == true && whole.has("avx") == true && whole.maxXCR0 == 7)
    let withoutNX = try policy("fpu", "pae", "fxsr", "sse", "sse2", "smap", "xsave", "avx")
    #expect(withoutNX.has("smap") == false)
    #expect(withoutNX.absence(of: "smap") == "smap (which needs nx)")
    #expect(withoutNX.absence(of: "avx2") == "avx2")
    let withoutXSAVE = try policy("fpu", "pae", "fxsr", "sse", "sse2", "avx")
    #expect(withoutXSAVE.has("avx") == false && withoutXSAVE.maxXCR0 == 0)
    // Without leaf 0xD there is no XSAVE.
    let short = try policy("fpu", "fxsr", "sse", "sse2", "xsave", "avx", greatest: 7)
    #expect(short.has("xsave") == false && short.has("avx") == false)
    // What the policy does not speak of stays open.
    #expect(CPUPolicy(leaves: []).has("smap") == nil)
    #expect(CPUPolicy(leaves: [], denying: try bits("nx")).has("smap") == false)
  }
}
