// What releases of Xen check of a CPU policy, and which features they know.

public import Format

/// What a release checks of the CPUID and MSR policies of a stream. Xen: xen/lib/x86/policy.c,
/// x86_cpu_policies_are_compatible; xen/include/xen/lib/x86/cpu-policy.h; cpu-policy.c,
/// guest_common_max_leaves. The point releases are those of the tags RELEASE-4.x.y.
public enum CPUPolicyRules {
  /// The vendor must be the host's: up to 4.21 Xen takes a policy of another.
  public static let checksVendor = ReleaseSince(22)
  /// CPUID leaf 7 may not go further than the host's, until `freesSubleaf`.
  public static let checksSubleaf = ReleaseSince(15)
  public static let freesSubleaf = ReleaseSince(19, [(17, 5), (18, 3)])
  /// Leaves 0 and 0x80000000 may go further than the host's.
  public static let freesLeaves = ReleaseSince(20, [(18, 4), (19, 1)])
  /// Leaf 7 has subleaf 2; before, subleaf 1 is the last.
  public static let hasSubleaf2 = ReleaseSince(17, [(14, 5), (15, 3), (16, 1)])
  /// The extended leaves go to 0x80000021; before, to 0x8000001c.
  public static let hasLeaf21 = ReleaseSince(16, [(14, 5), (15, 3)])
  /// The policy of MSRs has ARCH_CAPABILITIES.
  public static let hasArchCapabilities = ReleaseSince(15, [(14, 1)])
  /// It has 64 bits; before, 32.
  public static let hasWideArchCapabilities = ReleaseSince(
    18, [(14, 6), (15, 5), (16, 5), (17, 2)])

  /// Whether a release refuses a policy whose leaf 7 goes further than the host's.
  public static func limitsSubleaf(_ release: XenRelease) -> Bool {
    checksSubleaf.holds(for: release) && !freesSubleaf.holds(for: release)
  }

  /// Whether a release refuses a policy whose leaf 0 or 0x80000000 goes further than the host's.
  public static func limitsLeaves(_ release: XenRelease) -> Bool {
    !freesLeaves.holds(for: release)
  }

  // MARK: - Features

  /// Features that releases have brought to guests: all that came after 4.14.0, and of older ones
  /// those without which a release refuses the state of a vCPU. A release takes what it does not know
  /// out of a policy, without a word. From the attributes in cpufeatureset.h of all releases.
  private static let features: [(since: ReleaseSince, names: [String])] = [
    (ReleaseSince(7), ["pku"]), (ReleaseSince(10), ["umip"]),
    (ReleaseSince(15, [(14, 1)]), ["arch_caps"]),
    (
      ReleaseSince(17, [(14, 5), (15, 3), (16, 1)]),
      [
        "ibrs", "amd_stibp", "ibrs_always", "stibp_always", "ibrs_fast", "ibrs_same_mode",
        "amd_ssbd", "ssb_no", "psfd", "intel_psfd",
      ]
    ),
    (ReleaseSince(16, [(14, 5), (15, 3)]), ["lfence_dispatch"]),
    (ReleaseSince(17, [(14, 6), (15, 4), (16, 2)]), ["btc_no"]),
    (ReleaseSince(17, [(14, 6), (15, 4), (16, 3)]), ["ibpb_ret"]),
    (
      ReleaseSince(18, [(14, 6), (15, 5), (16, 5), (17, 2)]),
      [
        "sbpb", "ibpb_brtype", "srso_no", "rdcl_no", "eibrs", "intel_ssb_no", "mds_no",
        "if_pschange_mc_no", "taa_no", "sbdr_ssdp_no", "fbsdp_no", "psdp_no", "fb_clear", "bhi_no",
        "pbrsb_no", "gds_no",
      ]
    ),
    (ReleaseSince(15), ["itsc", "avx512_vp2intersect", "avx_vnni"]),
    (ReleaseSince(16), ["no_lmsl", "fsrm", "fzrm", "fsrs", "fsrcs", "nscb"]),
    (ReleaseSince(17), ["mcdt_no", "virt_ssbd"]),
    (ReleaseSince(17, [(14, 4), (15, 2), (16, 1)]), ["tsxldtrk"]),
    (ReleaseSince(19, [(15, 6), (16, 6), (17, 4), (18, 1)]), ["rfds_no", "rfds_clear"]),
    (
      ReleaseSince(19, [(15, 6), (16, 6), (17, 4), (18, 2)]),
      ["ipred_ctrl", "rrsba_ctrl", "bhi_ctrl"]
    ),
    (
      ReleaseSince(18),
      [
        "pks", "avx512_fp16", "wrmsrns", "avx_ifma", "auto_ibrs", "avx_vnni_int8",
        "avx_ne_convert",
      ]
    ),
    (
      ReleaseSince(19),
      [
        "addr_msk_ext", "sha512", "sm3", "sm4", "no_nest_bp", "fs_gs_ns", "amd_fsrs", "amd_fsrc",
        "epsf", "fsrsc", "amd_prefetchi", "avx_vnni_int16", "prefetchi",
      ]
    ),
    (ReleaseSince(20), ["cmpccxadd"]),
    (ReleaseSince(20, [(17, 7), (18, 5), (19, 2)]), ["srso_us_no"]),
    (
      ReleaseSince(21, [(17, 6), (18, 6), (19, 3), (20, 1)]),
      ["verw_clear", "tsa_sq_no", "tsa_l1_no"]
    ),
    (ReleaseSince(21, [(17, 6), (18, 5), (19, 3), (20, 1)]), ["its_no"]),
    (ReleaseSince(22), ["lass", "avx512_bmm"]),
  ]

  /// SSBD, of which Xen takes the state of HVM and PV guests from different releases on. Xen:
  /// xen/arch/x86/hvm/vmx/vmx.c, vmx_load_msr; xen/arch/x86/domctl.c, XEN_DOMCTL_set_vcpu_msrs.
  private static let ssbd = (
    hvm: ReleaseSince(11, [(8, 5), (9, 4), (10, 2)]),
    pv: ReleaseSince(11, [(7, 6), (8, 4), (9, 3), (10, 2)])
  )

  /// Features that guests had until a release.
  private static let dropped: [(until: ReleaseSince, names: [String])] = [
    (ReleaseSince(20), ["avx512pf", "avx512er", "avx512_4vnniw", "avx512_4fmaps"])
  ]

  /// The features that a release does not give to guests.
  static func unknownFeatures(to release: XenRelease, isHVM: Bool) -> [CPUIDFeatures.Bit] {
    var names = features.filter { !$0.since.holds(for: release) }.flatMap(\.names)
    if !(isHVM ? ssbd.hvm : ssbd.pv).holds(for: release) { names.append("ssbd") }
    names += dropped.filter { $0.until.holds(for: release) }.flatMap(\.names)
    return names.compactMap(CPUIDFeatures.bit(named:))
  }
}
