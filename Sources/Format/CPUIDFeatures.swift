// CPUID feature bits by name, and what a policy's leaves say of the XSAVE area.
// Xen: xen/include/public/arch-x86/cpufeatureset.h, names in lower case.

public import Bytes

/// One leaf of X86_CPUID_POLICY. Xen: struct xen_cpuid_leaf.
public struct CPUIDLeaf: Sendable, Hashable {
  /// The subleaf of leaves that have none.
  public static let noSubleaf: UInt32 = 0xFFFF_FFFF

  public var leaf: UInt32
  public var subleaf: UInt32
  public var a: UInt32
  public var b: UInt32
  public var c: UInt32
  public var d: UInt32

  public init(
    leaf: UInt32, subleaf: UInt32 = CPUIDLeaf.noSubleaf, a: UInt32 = 0, b: UInt32 = 0,
    c: UInt32 = 0, d: UInt32 = 0
  ) {
    self.leaf = leaf
    self.subleaf = subleaf
    self.a = a
    self.b = b
    self.c = c
    self.d = d
  }

  /// One of its registers.
  public subscript(register: CPUIDFeatures.Register) -> UInt32 {
    switch register {
    case .a: a
    case .b: b
    case .c: c
    case .d: d
    }
  }

  /// The leaves of an X86_CPUID_POLICY body; bytes after the last whole leaf are left out.
  public static func all(in body: [UInt8], _ context: BodyContext) -> [CPUIDLeaf] {
    (0..<body.count / 24).map { index in
      func word(_ position: Int) -> UInt32 {
        body.load(24 * index + 4 * position, as: UInt32.self, context.order)
      }
      return CPUIDLeaf(
        leaf: word(0), subleaf: word(1), a: word(2), b: word(3), c: word(4), d: word(5))
    }
  }
}

/// The feature bits that Xen names.
public enum CPUIDFeatures {
  public enum Register: String, Sendable, Hashable, CaseIterable {
    case a, b, c, d
  }

  /// Where feature bits are: a register of a CPUID leaf, or an MSR.
  public enum Place: Sendable, Hashable {
    case cpuid(leaf: UInt32, subleaf: UInt32, Register)
    case msr(UInt32)
  }

  /// A feature: one bit of a place.
  public struct Bit: Sendable, Hashable {
    public let place: Place
    /// 0 to 31; of an MSR to 63.
    public let bit: Int
    public let name: String
    public var mask: UInt64 { 1 << UInt64(bit) }
  }

  /// All features, in the order of Xen's feature words.
  public static let all: [Bit] = words.flatMap { word in
    word.names.sorted { $0.key < $1.key }.map {
      Bit(place: word.place, bit: $0.key, name: $0.value)
    }
  }

  /// The feature called `name`: in any case, with `-` or `_`, by today's name or an older one.
  public static func bit(named name: String) -> Bit? {
    let key = String(name.lowercased().map { $0 == "-" ? "_" : $0 })
    return byName[olderNames[key] ?? key]
  }

  /// The feature called `name`, or an error that suggests the nearest one.
  public static func require(_ name: String) throws(FormatError) -> Bit {
    if let bit = bit(named: name) { return bit }
    throw FormatError(
      .unknownName, field: name,
      "no CPUID feature '\(name)'"
        + didYouMean(name, among: all.map(\.name)))
  }

  /// Names by bit. `subleaf` does not matter for leaves that have none.
  public static func names(
    leaf: UInt32, subleaf: UInt32 = 0, register: Register
  ) -> [Int: String] {
    byPlace[.cpuid(leaf: leaf, subleaf: subleaf, register)]
      ?? byPlace[.cpuid(leaf: leaf, subleaf: CPUIDLeaf.noSubleaf, register)] ?? [:]
  }

  /// Names by bit, 0 to 63. Only 0x10A, MSR_ARCH_CAPABILITIES, has some.
  public static func names(msr: UInt32) -> [Int: String] { byPlace[.msr(msr)] ?? [:] }

  /// The same as parts of a field, in the order of the bits.
  static func bits(msr: UInt64) -> [Field.Bits] {
    guard let index = UInt32(exactly: msr) else { return [] }
    return names(msr: index).sorted { $0.key < $1.key }.map { Field.Bits($0.value, $0.key) }
  }

  /// Where these leaves put the components of an XSAVE area: subleaves 2 to 62 of leaf 0xD. Those
  /// of supervisor state (ECX bit 0) are not in the standard form and left out.
  public static func xstateComponents(
    fromCPUIDLeaves leaves: [CPUIDLeaf]
  ) -> [Int: X86XState.Component] {
    var components: [Int: X86XState.Component] = [:]
    for leaf in leaves where leaf.leaf == 0xD && (2...62).contains(leaf.subleaf) {
      guard leaf.a != 0, leaf.c & 1 == 0, leaf.b >= UInt32(X86XState.headByteCount) else {
        continue
      }
      components[Int(leaf.subleaf)] = X86XState.Component(
        offset: Int(leaf.b), byteCount: Int(leaf.a))
    }
    return components
  }

  // MARK: - Table

  /// A register's features by bit.
  private struct Word {
    let place: Place
    let names: [Int: String]

    init(leaf: UInt32, _ subleaf: UInt32, _ register: Register, _ names: [Int: String]) {
      self.place = .cpuid(leaf: leaf, subleaf: subleaf, register)
      self.names = names
    }

    init(leaf: UInt32, _ register: Register, _ names: [Int: String]) {
      self.init(leaf: leaf, CPUIDLeaf.noSubleaf, register, names)
    }

    init(msr: UInt32, _ names: [Int: String]) {
      self.place = .msr(msr)
      self.names = names
    }
  }

  /// The registers and MSRs with features, in Xen's order.
  static let places: [Place] = words.map(\.place)

  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
  private static let byPlace = Dictionary(
    uniqueKeysWithValues: words.map { ($0.place, $0.names) })

  /// Names of Xen 4.10 and before that have changed since.
  private static let olderNames = ["avx512ifma": "avx512_ifma", "avx512vbmi": "avx512_vbmi"]

  /// In Xen's order. Word 14 (leaf 7, subleaf 1, register c) has no names yet.
  private static let words: [Word] = [
    Word(
      leaf: 1, .d,
      [
        0: "fpu", 1: "vme", 2: "de", 3: "pse", 4: "tsc", 5: "msr", 6: "pae", 7: "mce", 8: "cx8",
        9: "apic", 11: "sep", 12: "mtrr", 13: "pge", 14: "mca", 15: "cmov", 16: "pat", 17: "pse36",
        19: "clflush", 21: "ds", 22: "acpi", 23: "mmx", 24: "fxsr", 25: "sse", 26: "sse2",
        27: "ss", 28: "htt", 29: "tm1", 31: "pbe",
      ]),
    Word(
      leaf: 1, .c,
      [
        0: "sse3", 1: "pclmulqdq", 2: "dtes64", 3: "monitor", 4: "dscpl", 5: "vmx", 6: "smx",
        7: "eist", 8: "tm2", 9: "ssse3", 11: "sdbg", 12: "fma", 13: "cx16", 14: "xtpr", 15: "pdcm",
        17: "pcid", 18: "dca", 19: "sse4_1", 20: "sse4_2", 21: "x2apic", 22: "movbe", 23: "popcnt",
        24: "tsc_deadline", 25: "aesni", 26: "xsave", 27: "osxsave", 28: "avx", 29: "f16c",
        30: "rdrand", 31: "hypervisor",
      ]),
    Word(
      leaf: 0x8000_0001, .d,
      [
        11: "syscall", 20: "nx", 22: "mmxext", 25: "ffxsr", 26: "page1gb", 27: "rdtscp", 29: "lm",
        30: "3dnowext", 31: "3dnow",
      ]),
    Word(
      leaf: 0x8000_0001, .c,
      [
        0: "lahf_lm", 1: "cmp_legacy", 2: "svm", 3: "extapic", 4: "cr8_legacy", 5: "abm",
        6: "sse4a", 7: "misalignsse", 8: "3dnowprefetch", 9: "osvw", 10: "ibs", 11: "xop",
        12: "skinit", 13: "wdt", 15: "lwp", 16: "fma4", 19: "nodeid_msr", 21: "tbm", 22: "topoext",
        26: "dbext", 29: "monitorx", 30: "addr_msk_ext",
      ]),
    Word(
      leaf: 0xD, 1, .a,
      [
        0: "xsaveopt", 1: "xsavec", 2: "xgetbv1", 3: "xsaves", 4: "xfd",
      ]),
    Word(
      leaf: 7, 0, .b,
      [
        0: "fsgsbase", 1: "tsc_adjust", 2: "sgx", 3: "bmi1", 4: "hle", 5: "avx2",
        6: "fdp_excp_only", 7: "smep", 8: "bmi2", 9: "erms", 10: "invpcid", 11: "rtm", 12: "pqm",
        13: "no_fpu_sel", 14: "mpx", 15: "pqe", 16: "avx512f", 17: "avx512dq", 18: "rdseed",
        19: "adx", 20: "smap", 21: "avx512_ifma", 23: "clflushopt", 24: "clwb", 25: "proc_trace",
        26: "avx512pf", 27: "avx512er", 28: "avx512cd", 29: "sha", 30: "avx512bw", 31: "avx512vl",
      ]),
    Word(
      leaf: 7, 0, .c,
      [
        0: "prefetchwt1", 1: "avx512_vbmi", 2: "umip", 3: "pku", 4: "ospke", 5: "waitpkg",
        6: "avx512_vbmi2", 7: "cet_ss", 8: "gfni", 9: "vaes", 10: "vpclmulqdq", 11: "avx512_vnni",
        12: "avx512_bitalg", 13: "tme", 14: "avx512_vpopcntdq", 16: "la57", 22: "rdpid", 24: "bld",
        25: "cldemote", 27: "movdiri", 28: "movdir64b", 29: "enqcmd", 30: "sgx_lc", 31: "pks",
      ]),
    Word(
      leaf: 0x8000_0007, .d,
      [
        7: "hw_pstate", 8: "itsc", 9: "cpb", 10: "efro",
      ]),
    Word(
      leaf: 0x8000_0008, .b,
      [
        0: "clzero", 2: "rstr_fp_err_ptrs", 9: "wbnoinvd", 12: "ibpb", 14: "ibrs", 15: "amd_stibp",
        16: "ibrs_always", 17: "stibp_always", 18: "ibrs_fast", 19: "ibrs_same_mode",
        20: "no_lmsl", 23: "amd_ppin", 24: "amd_ssbd", 25: "virt_ssbd", 26: "ssb_no", 27: "cppc",
        28: "psfd", 29: "btc_no", 30: "ibpb_ret",
      ]),
    Word(
      leaf: 7, 0, .d,
      [
        1: "sgx_keys", 2: "avx512_4vnniw", 3: "avx512_4fmaps", 4: "fsrm", 5: "uintr",
        8: "avx512_vp2intersect", 9: "srbds_ctrl", 10: "md_clear", 11: "rtm_always_abort",
        13: "tsx_force_abort", 14: "serialize", 15: "hybrid", 16: "tsxldtrk", 18: "pconfig",
        19: "arch_lbr", 20: "cet_ibt", 22: "amx_bf16", 23: "avx512_fp16", 24: "amx_tile",
        25: "amx_int8", 26: "ibrsb", 27: "stibp", 28: "l1d_flush", 29: "arch_caps",
        30: "core_caps", 31: "ssbd",
      ]),
    Word(
      leaf: 7, 1, .a,
      [
        0: "sha512", 1: "sm3", 2: "sm4", 4: "avx_vnni", 5: "avx512_bf16", 6: "lass",
        7: "cmpccxadd", 8: "arch_perf_mon", 10: "fzrm", 11: "fsrs", 12: "fsrcs", 17: "fred",
        18: "lkgs", 19: "wrmsrns", 20: "nmi_src", 21: "amx_fp16", 23: "avx_ifma", 26: "lam",
        27: "msrlist", 30: "no_invd", 31: "movrs",
      ]),
    Word(
      leaf: 0x8000_0021, .a,
      [
        0: "no_nest_bp", 1: "fs_gs_ns", 2: "lfence_dispatch", 5: "verw_clear", 6: "nscb",
        8: "auto_ibrs", 10: "amd_fsrs", 11: "amd_fsrc", 17: "cpuid_user_dis", 18: "epsf",
        19: "fsrsc", 20: "amd_prefetchi", 23: "avx512_bmm", 27: "sbpb", 28: "ibpb_brtype",
        29: "srso_no", 30: "srso_us_no", 31: "srso_msr_fix",
      ]),
    Word(
      leaf: 7, 1, .b,
      [
        0: "intel_ppin"
      ]),
    Word(
      leaf: 7, 2, .d,
      [
        0: "intel_psfd", 1: "ipred_ctrl", 2: "rrsba_ctrl", 3: "ddp_ctrl", 4: "bhi_ctrl",
        5: "mcdt_no", 6: "uc_lock_dis",
      ]),
    Word(leaf: 7, 1, .c, [:]),
    Word(
      leaf: 7, 1, .d,
      [
        4: "avx_vnni_int8", 5: "avx_ne_convert", 8: "amx_complex", 10: "avx_vnni_int16",
        14: "prefetchi", 17: "uiret_uif", 18: "cet_sss", 24: "slsm",
      ]),
    Word(
      msr: 0x10A,
      [
        0: "rdcl_no", 1: "eibrs", 2: "rsba", 3: "skip_l1dfl", 4: "intel_ssb_no", 5: "mds_no",
        6: "if_pschange_mc_no", 7: "tsx_ctrl", 8: "taa_no", 9: "mcu_ctrl", 10: "misc_pkg_ctrl",
        11: "energy_filtering", 12: "doitm", 13: "sbdr_ssdp_no", 14: "fbsdp_no", 15: "psdp_no",
        16: "mcu_ext", 17: "fb_clear", 18: "fb_clear_ctrl", 19: "rrsba", 20: "bhi_no",
        21: "xapic_status", 23: "ovrclk_status", 24: "pbrsb_no", 25: "gds_ctrl", 26: "gds_no",
        27: "rfds_no", 28: "rfds_clear", 29: "ign_umonitor", 30: "mon_umon_mitg",
        32: "pb_opt_ctrl", 62: "its_no",
      ]),
    Word(
      leaf: 0x8000_0021, .c,
      [
        1: "tsa_sq_no", 2: "tsa_l1_no",
      ]),
  ]
}
