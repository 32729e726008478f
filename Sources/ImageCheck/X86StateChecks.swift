// What Xen allows in the state of an x86 vCPU: control registers, extended state, MSRs and machine
// checks. HVM_CONTEXT and the records of PV vCPUs are held against the same tables.

internal import Bytes
internal import Format

/// Bits of a control register, and the features of which the CPUID policy needs one.
enum X86ControlBits {
  struct Row {
    let bits: UInt64
    let name: String
    /// One of these has to be there; none is needed where there are none.
    let features: [String]

    init(_ bit: Int, _ name: String, _ features: String...) {
      bits = 1 << UInt64(bit)
      self.name = name
      self.features = features
    }

    /// Whether the policy has none of the features.
    func isDenied(by policy: CPUPolicy?) -> Bool {
      !features.isEmpty && policy?.lacks(features) == true
    }
  }

  /// Xen: hvm_cr4_guest_valid_bits. LA57, CET and the others that are missing: no guest has them.
  static let cr4 = [
    Row(0, "VME", "vme"), Row(1, "PVI", "vme"), Row(2, "TSD", "tsc"), Row(3, "DE", "de"),
    Row(4, "PSE", "pse"), Row(5, "PAE", "pae"), Row(6, "MCE", "mce", "mca"),
    Row(7, "PGE", "pge"), Row(8, "PCE"), Row(9, "OSFXSR", "fxsr"), Row(10, "OSXMMEXCPT", "sse"),
    Row(11, "UMIP", "umip"), Row(13, "VMXE", "vmx"), Row(16, "FSGSBASE", "fsgsbase"),
    Row(17, "PCIDE", "pcid"), Row(18, "OSXSAVE", "xsave"), Row(20, "SMEP", "smep"),
    Row(21, "SMAP", "smap"), Row(22, "PKE", "pku"), Row(24, "PKS", "pks"),
    Row(27, "LASS", "lass"),
  ]

  /// Xen: hvm_efer_valid.
  static let efer = [
    Row(0, "SCE", "syscall"), Row(8, "LME", "lm"), Row(10, "LMA", "lm"), Row(11, "NXE", "nx"),
    Row(12, "SVME", "svm"), Row(14, "FFXSE", "ffxsr"), Row(21, "AIBRSE", "auto_ibrs"),
  ]

  /// Features that the policy does not have, for messages.
  static func absence(_ features: [String], _ policy: CPUPolicy?) -> String {
    features.map { policy?.absence(of: $0) ?? $0 }.joined(separator: " or ")
  }

  /// One problem for each bit that is set and that the policy does not allow. A policy that is not
  /// there allows everything that some guest has.
  static func wrong(_ value: UInt64, _ rows: [Row], _ policy: CPUPolicy?) -> [String] {
    var problems: [String] = []
    for row in rows where value & row.bits != 0 && row.isDenied(by: policy) {
      problems.append(
        "expected no \(row.name) (\(row.bits.hex())) without \(absence(row.features, policy))"
          + " in the CPUID policy, got \(value.hex())")
    }
    return problems
  }

  /// What is wrong with bits that no guest has; nil where there are none.
  static func unknown(_ value: UInt64, _ rows: [Row]) -> String? {
    let known = rows.reduce(0) { $0 | $1.bits }
    guard value & ~known != 0 else { return nil }
    return "expected only bits that a guest has (\(known.hex())), got \((value & ~known).hex()) too"
  }
}

/// The masks of extended state. Xen: xen/arch/x86/xstate.c, validate_xstate.
struct X86ExtendedState {
  let xcr0: UInt64
  let accumulated: UInt64
  /// XSTATE_BV of the area.
  let present: UInt64

  /// A field, and where it lies after xcr0's place.
  typealias Field = (name: String, offset: Int)

  func problems(policy: CPUPolicy?) -> [(Field, String)] {
    var out: [(Field, String)] = []
    if xcr0 & ~accumulated != 0 {
      out.append(
        (
          ("xcr0", 0),
          "expected only components of xcr0_accum (\(accumulated.hex())), got \(xcr0.hex())"
        ))
    }
    if let problem = X86ExtendedState.inconsistency(xcr0) {
      out.append((("xcr0", 0), problem))
    }
    if let problem = X86ExtendedState.inconsistency(accumulated) {
      out.append((("xcr0_accum", 8), problem))
    }
    // A policy that says nothing has all components that some guest has.
    let most = (policy ?? CPUPolicy(leaves: [])).maxXCR0
    if accumulated & ~most != 0 {
      out.append(
        (
          ("xcr0_accum", 8),
          "expected only components that \(policy == nil ? "guests have" : "the CPUID policy has") "
            + "(\(most.hex())), got \(accumulated.hex())"
        ))
    }
    if present & ~accumulated != 0 {
      out.append(
        (
          ("xstate_bv", 16 + 512),
          "expected only components of xcr0_accum (\(accumulated.hex())), got \(present.hex())"
        ))
    }
    return out
  }

  /// Xen: valid_xcr0.
  private static func inconsistency(_ mask: UInt64) -> String? {
    func has(_ bits: UInt64...) -> [Bool] { bits.map { mask & 1 << $0 != 0 } }
    func differ(_ flags: [Bool]) -> Bool { Set(flags).count > 1 }
    if mask & 1 == 0 { return "expected X87 (0x1), got \(mask.hex())" }
    if mask & 1 << 2 != 0, mask & 1 << 1 == 0 {
      return "expected SSE (0x2) beside YMM, got \(mask.hex())"
    }
    let avx512 = has(5, 6, 7)
    if avx512.contains(true), mask & 1 << 2 == 0 || differ(avx512) {
      return "expected OPMASK, ZMM and HI_ZMM together, with YMM, got \(mask.hex())"
    }
    if differ(has(3, 4)) { return "expected BNDREGS and BNDCSR together, got \(mask.hex())" }
    if differ(has(17, 18)) { return "expected TILE_CFG and TILE_DATA together, got \(mask.hex())" }
    return nil
  }
}

/// MSRs that a stream may carry for a vCPU, with what Xen takes. Xen: xen/arch/x86/msr.c, guest_wrmsr.
struct X86SavedMSR: Sendable {
  let indices: [UInt32]
  /// The first release that knows it: the minor number of Xen 4.
  let since: Int
  /// The features of which the CPUID policy needs one; none is needed where there are none.
  let features: [String]
  /// Bits that need features of their own.
  let bits: [X86ControlBits.Row]
  private let check: @Sendable (UInt64, CPUPolicy?) -> String?

  private init(
    _ indices: UInt32..., since: Int = 0, features: [String] = [],
    bits: [X86ControlBits.Row] = [],
    check: @escaping @Sendable (UInt64, CPUPolicy?) -> String? = { _, _ in nil }
  ) {
    self.indices = indices
    self.since = since
    self.features = features
    self.bits = bits
    self.check = check
  }

  /// What is wrong with a value; nil where Xen takes it.
  func problem(_ value: UInt64, _ policy: CPUPolicy?) -> String? {
    if isDenied(by: policy) {
      return
        "expected none without \(X86ControlBits.absence(features, policy)) in the CPUID policy, got one"
    }
    if !bits.isEmpty {
      let allowed = bits.reduce(0) { $1.isDenied(by: policy) ? $0 : $0 | $1.bits }
      guard value & ~allowed == 0 else {
        return "expected no bits but \(allowed.hex()), got \(value.hex())"
      }
    }
    return check(value, policy)
  }

  /// Whether the policy has none of the features.
  func isDenied(by policy: CPUPolicy?) -> Bool {
    !features.isEmpty && policy?.lacks(features) == true
  }

  /// Those of HVM_CONTEXT's CPU_MSR.
  static let hvm: [X86SavedMSR] = [
    specCtrl, miscFeatures, addressMasks,
    X86SavedMSR(0x6E1, since: 18, features: ["pks"]) { value, _ in wide(value) },
    X86SavedMSR(0xD90, features: ["mpx"]) { value, _ in
      value.isCanonical && value & 0xFFC == 0
        ? nil : "expected a canonical address with bits 2 to 11 clear, got \(value.hex())"
    },
    X86SavedMSR(0xDA0, features: ["xsaves"]) { value, _ in
      value == 0 ? nil : "expected 0, got \(value.hex())"
    },
    X86SavedMSR(0xC001_011F, since: 17, features: ["virt_ssbd"]),
  ]

  /// Those of X86_PV_VCPU_MSRS.
  static let pv: [X86SavedMSR] = [
    specCtrl, miscFeatures, addressMasks,
    X86SavedMSR(0xC000_0103, features: ["rdtscp", "rdpid"]) { value, _ in wide(value) },
  ]

  private static let specCtrl = X86SavedMSR(
    0x48, features: ["ibrsb", "ibrs"],
    bits: [
      .init(0, "IBRS"), .init(1, "STIBP"), .init(2, "SSBD", "ssbd", "amd_ssbd"),
      .init(3, "IPRED_DIS_U", "ipred_ctrl"), .init(4, "IPRED_DIS_S", "ipred_ctrl"),
      .init(5, "RRSBA_DIS_U", "rrsba_ctrl"), .init(6, "RRSBA_DIS_S", "rrsba_ctrl"),
      .init(7, "PSFD", "intel_psfd", "psfd"), .init(10, "BHI_DIS_S", "bhi_ctrl"),
    ])

  private static let miscFeatures = X86SavedMSR(0x140) { value, policy in
    // CPUID faulting, where PLATFORM_INFO offers it.
    let allowed: UInt64 = policy?.msr(0xCE).map { $0 >> 31 & 1 } ?? 1
    return value & ~allowed == 0
      ? nil : "expected no bits but \(allowed.hex()), got \(value.hex())"
  }

  private static let addressMasks = X86SavedMSR(
    0xC001_1027, 0xC001_1019, 0xC001_101A, 0xC001_101B, features: ["dbext"]
  ) { value, _ in wide(value) }

  private static func wide(_ value: UInt64) -> String? {
    value >> 32 == 0 ? nil : "expected a value below 0x100000000, got \(value.hex())"
  }
}

/// MCG_CAP of a guest. Xen: vmce_restore_vcpu.
enum X86MachineCheck {
  /// The number of banks and MCG_CTL_P, which every guest may have.
  private static let common: UInt64 = 0x1FF
  /// CMCI_P, TES_P, SER_P and LMCE_P, which guests on Intel have.
  private static let intel: UInt64 = 1 << 10 | 1 << 11 | 1 << 24 | 1 << 27

  static func isAMD(_ policy: CPUPolicy?) -> Bool {
    policy?.vendor == "AuthenticAMD" || policy?.vendor == "HygonGenuine"
  }

  static func problem(_ caps: UInt64, _ policy: CPUPolicy?) -> String? {
    let isAMD = isAMD(policy)
    let allowed = isAMD ? common : common | intel
    guard caps & ~allowed != 0 else { return nil }
    return
      "expected no capabilities but \(allowed.hex())\(isAMD ? " (on AMD)" : ""), got \(caps.hex())"
  }
}
