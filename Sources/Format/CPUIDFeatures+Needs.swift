// Which CPU features are nothing without another one, and which Xen gives to guests by itself.

extension CPUIDFeatures {
  /// A feature, and those that need it directly. A guest that loses the first loses all of them: Xen
  /// takes them out of every policy that lacks it. These are the pairs of Xen 4.22; older releases
  /// know fewer features, and of pairs that these do not imply only invpcid, which needs pcid up to
  /// 4.12. That movrs needs lm is from Xen's master. Xen: xen/tools/gen-cpuid.py; Intel SDM
  /// volume 1, chapter 13.
  private static let needs: [(feature: String, dependents: [String])] = [
    ("fpu", ["mmx", "rstr_fp_err_ptrs"]),
    ("pse", ["pse36"]),
    ("pae", ["lm", "nx"]),
    ("tsc", ["tsc_deadline", "rdtscp", "tsc_adjust", "itsc"]),
    ("apic", ["x2apic", "tsc_deadline", "extapic"]),
    ("clflush", ["clzero"]),
    ("mmx", ["mmxext", "3dnow"]),
    ("3dnow", ["3dnowext"]),
    ("fxsr", ["ffxsr", "sse"]),
    ("sse", ["sse2", "misalignsse"]),
    ("sse2", ["sse3", "lm", "aesni", "pclmulqdq", "sha", "gfni"]),
    ("sse3", ["ssse3", "sse4a"]),
    ("ssse3", ["sse4_1"]),
    ("sse4_1", ["sse4_2"]),
    (
      "xsave",
      ["xsaveopt", "xsavec", "xgetbv1", "xsaves", "avx", "mpx", "pku", "amx_tile", "lwp"]
    ),
    ("avx", ["fma", "fma4", "f16c", "avx2", "xop", "avx_ne_convert", "sm3"]),
    ("nx", ["smap"]),
    (
      "lm",
      [
        "cx16", "pcid", "lahf_lm", "page1gb", "pku", "no_lmsl", "amx_tile", "cmpccxadd", "lkgs",
        "movrs",
      ]
    ),
    (
      "avx2",
      [
        "avx512f", "vaes", "vpclmulqdq", "avx_vnni", "avx_ifma", "avx_vnni_int8",
        "avx_vnni_int16", "sha512", "sm4",
      ]
    ),
    (
      "avx512f",
      [
        "avx512dq", "avx512_ifma", "avx512pf", "avx512er", "avx512cd", "avx512bw", "avx512vl",
        "avx512_4vnniw", "avx512_4fmaps", "avx512_vnni", "avx512_vpopcntdq",
        "avx512_vp2intersect",
      ]
    ),
    (
      "avx512bw",
      [
        "avx512_vbmi", "avx512_vbmi2", "avx512_bitalg", "avx512_bf16", "avx512_fp16",
        "avx512_bmm",
      ]
    ),
    ("pclmulqdq", ["vpclmulqdq"]),
    ("aesni", ["vaes"]),
    (
      "ibrsb",
      ["stibp", "ssbd", "intel_psfd", "eibrs", "ipred_ctrl", "rrsba_ctrl", "bhi_ctrl"]
    ),
    (
      "ibrs",
      [
        "amd_stibp", "amd_ssbd", "psfd", "auto_ibrs", "ibrs_always", "ibrs_fast",
        "ibrs_same_mode",
      ]
    ),
    ("ibpb", ["ibpb_ret", "sbpb", "ibpb_brtype"]),
    ("amd_stibp", ["stibp_always"]),
    ("rtm", ["tsxldtrk"]),
    ("psfd", ["epsf"]),
    ("arch_caps", all.filter { $0.place == .msr(0x10A) }.map(\.name)),
    ("eibrs", ["rrsba"]),
    ("amx_tile", ["amx_bf16", "amx_int8", "amx_fp16", "amx_complex"]),
  ]

  /// By feature, those that need it directly.
  private static let dependents: [Bit: [Bit]] = Dictionary(
    uniqueKeysWithValues: needs.compactMap { feature, names in
      bit(named: feature).map { ($0, names.compactMap(bit(named:))) }
    })

  /// The features that others need.
  public static let needed: [Bit] = needs.compactMap { bit(named: $0.feature) }

  /// Features with all that are nothing without one of them: first those that were given, in their
  /// order, none twice.
  public static func withDependents(_ features: [Bit]) -> [Bit] {
    var seen: Set<Bit> = []
    var found = features.filter { seen.insert($0).inserted }
    var next = 0
    while next < found.count {
      for dependent in dependents[found[next]] ?? [] where seen.insert(dependent).inserted {
        found.append(dependent)
      }
      next += 1
    }
    return found
  }

  /// What Xen tells every guest, whatever the processor has: bits of the running system, what it
  /// emulates, and what warns of a weakness of some host. They are no reason against a host, and
  /// levelling leaves them alone. Xen: cpufeatureset.h (bits marked `|` and `!`) and
  /// xen/arch/x86/cpu-policy.c, guest_common_max_feature_adjustments and calculate_hvm_max_policy.
  public static let givenByXen: Set<Bit> = Set(
    [
      "osxsave", "ospke", "apic", "x2apic", "hypervisor", "htt", "cmp_legacy", "no_lmsl",
      "fdp_excp_only", "no_fpu_sel", "arch_caps", "rsba", "rrsba", "md_clear", "fb_clear",
      "rfds_clear", "verw_clear", "fs_gs_ns", "ss", "acpi",
    ].compactMap(bit(named:)))

  /// Bits of leaf 1, register d, that AMD's processors repeat in leaf 0x80000001: Xen makes them
  /// the same. Xen: CPUID_COMMON_1D_FEATURES.
  public static let repeatedByAMD: UInt32 = [
    "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "mtrr", "pge", "mca",
    "cmov", "pat", "pse36", "mmx", "fxsr",
  ].reduce(0) { $0 | UInt32(truncatingIfNeeded: bit(named: $1)?.mask ?? 0) }

  // MARK: - Words

  /// The feature words in the order in which Xen counts them, which is that of `xen-cpuid`, of XAPI
  /// and of `xl info`. An MSR has two of them: its low and its high half.
  public static let wordPlaces: [(place: Place, isHigh: Bool)] = places.flatMap { place in
    if case .msr = place { return [(place, false), (place, true)] }
    return [(place, false)]
  }
}

// MARK: - Generations

extension CPUIDFeatures {
  /// One generation of a table: what it has beside the one that it is based on.
  struct Step {
    let name: String
    let vendor: String?
    let after: String?
    let source: String
    let adds: [String]
    let drops: [String]
    let optional: [String]

    init(
      _ name: String, vendor: String? = nil, after: String? = nil, source: String,
      adds: [String] = [], drops: [String] = [], optional: [String] = []
    ) {
      self.name = name
      self.vendor = vendor
      self.after = after
      self.source = source
      self.adds = adds
      self.drops = drops
      self.optional = optional
    }
  }

  /// A level by name: what a generation of processors has.
  public struct Level: Sendable {
    public let name: String
    /// What CPUID says of the vendor; nil where the level is of no vendor.
    public let vendor: String?
    /// The model of libvirt's CPU map that it is from, or "psABI".
    public let source: String
    /// All of its features.
    public let features: [Bit]
    /// Those that some processors of the generation have and some do not, by microcode or settings.
    public let optional: Set<Bit>
    /// Whether it speaks of few features only: it says nothing of the others.
    public var isPartial: Bool { vendor == nil }
  }

  /// All levels, older before newer ones of a family.
  public static let levels: [Level] = {
    var made: [Level] = []
    for step in steps {
      let base = made.first { $0.name == step.after }
      let drops = Set(step.drops.compactMap(bit(named:)))
      let kept = (base?.features ?? []).filter { !drops.contains($0) }
      let added = step.adds.compactMap(bit(named:)).filter { !kept.contains($0) }
      made.append(
        Level(
          name: step.name, vendor: step.vendor, source: step.source, features: kept + added,
          optional: (base?.optional ?? []).union(step.optional.compactMap(bit(named:)))))
    }
    return made
  }()

  /// The level of this name, in any case, with `-` or `_`: ours, or that of libvirt's model.
  public static func level(named name: String) -> Level? {
    func plain(_ text: String) -> String {
      String(text.lowercased().map { $0 == "_" ? "-" : $0 })
    }
    let wanted = plain(name)
    return levels.first { plain($0.name) == wanted }
      ?? levels.first { plain($0.source) == wanted && !$0.isPartial }
  }
}
