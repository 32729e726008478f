// What a domain's processor offers: the two policies of its stream, as Xen reads them.

/// The CPUID and MSR policies of a domain.
///
/// Xen derives some of what it checks from the features and not from the leaves that state it:
/// `maxXCR0` and `physicalAddressBits` do the same. Xen: xen/arch/x86/cpu-policy.c.
public struct CPUPolicy: Sendable {
  /// By leaf in the upper and subleaf in the lower 32 bits.
  private let leaves: [UInt64: CPUIDLeaf]
  private let msrs: [UInt32: UInt64]
  /// What is nothing without a feature that the policy denies, and those features.
  private var denied: Set<CPUIDFeatures.Bit> = []
  private var lost: [CPUIDFeatures.Bit] = []

  /// - Parameters:
  ///   - leaves: The leaves of X86_CPUID_POLICY. A later one replaces an earlier one, as in Xen.
  ///   - msrs: Values of X86_MSR_POLICY by index.
  ///   - denying: Features that Xen takes away, whatever the leaves say.
  public init(
    leaves: [CPUIDLeaf], msrs: [UInt32: UInt64] = [:], denying: [CPUIDFeatures.Bit] = []
  ) {
    self.leaves = Dictionary(
      leaves.map { (CPUPolicy.key($0.leaf, $0.subleaf), $0) }, uniquingKeysWith: { $1 })
    self.msrs = msrs
    // Xen: recalculate_cpuid_policy, sanitise_featureset.
    var lost = denying + CPUIDFeatures.needed.filter { stated($0) == false }
    if let greatest = leaf(0)?.a, greatest < 0xD, let xsave = CPUIDFeatures.bit(named: "xsave") {
      lost.append(xsave)
    }
    self.lost = lost
    denied = Set(CPUIDFeatures.withDependents(lost))
  }

  private static func key(_ leaf: UInt32, _ subleaf: UInt32) -> UInt64 {
    UInt64(leaf) << 32 | UInt64(subleaf)
  }

  /// A leaf as the guest gets it: all zeros where it is beyond the greatest, whatever the record
  /// says. nil where the policy does not have it: it stays as the destination's.
  public func leaf(_ leaf: UInt32, _ subleaf: UInt32 = CPUIDLeaf.noSubleaf) -> CPUIDLeaf? {
    isOutOfRange(leaf, subleaf)
      ? CPUIDLeaf(leaf: leaf, subleaf: subleaf) : written(leaf, subleaf)
  }

  /// A leaf as the record has it.
  private func written(
    _ leaf: UInt32, _ subleaf: UInt32 = CPUIDLeaf.noSubleaf
  ) -> CPUIDLeaf? { leaves[CPUPolicy.key(leaf, subleaf)] }

  /// The value of an MSR of X86_MSR_POLICY; nil where it is not there: the destination's then.
  public func msr(_ index: UInt32) -> UInt64? { msrs[index] }

  /// Whether a guest with this policy has the feature of this name (`CPUIDFeatures`); nil where the
  /// policy does not say. What lacks a feature that it needs is not there.
  ///
  /// Xen merges a stream's policy into the one that the new domain has: a leaf that the stream
  /// lacks stays as the destination's, unless the greatest leaf leaves it out.
  public func has(_ name: String) -> Bool? {
    guard let bit = CPUIDFeatures.bit(named: name) else { return nil }
    return denied.contains(bit) ? false : stated(bit)
  }

  /// How to say that a feature is not there: "smap", or "smap (which needs nx)" where the leaves
  /// state it, and it is nothing without another.
  public func absence(of name: String) -> String {
    guard let bit = CPUIDFeatures.bit(named: name), stated(bit) == true, denied.contains(bit),
      let need = lost.first(where: { CPUIDFeatures.withDependents([$0]).contains(bit) })
    else { return name }
    return need == bit ? name : "\(name) (which needs \(need.name))"
  }

  /// What the leaves and MSRs say of a feature themselves.
  private func stated(_ bit: CPUIDFeatures.Bit) -> Bool? {
    switch bit.place {
    case .msr(let index): return msrs[index].map { $0 & bit.mask != 0 }
    case .cpuid(let leafID, let subleaf, let register):
      return leaf(leafID, subleaf).map { UInt64($0[register]) & bit.mask != 0 }
    }
  }

  /// Whether the policy says that it does not have any of these features.
  public func lacks(_ names: [String]) -> Bool { names.allSatisfy { has($0) == false } }

  /// Whether a leaf is beyond the greatest that the policy states: Xen clears those before it
  /// compares anything. Xen: xen/lib/x86/cpuid.c, x86_cpu_policy_clear_out_of_range_leaves.
  private func isOutOfRange(_ leafID: UInt32, _ subleaf: UInt32) -> Bool {
    switch leafID >> 16 {
    case 0: break
    // Of the greatest extended leaf Xen looks at the lower half.
    case 0x8000: return written(0x8000_0000).map { leafID & 0xFFFF > $0.a & 0xFFFF } ?? false
    default: return false
    }
    if let greatest = written(0)?.a, leafID > greatest { return true }
    switch leafID {
    case 7 where subleaf != CPUIDLeaf.noSubleaf:
      return written(7, 0).map { subleaf > $0.a } ?? false
    case 0xD:
      // Without a state there are none of its leaves.
      guard let user = written(0xD, 0), let supervisor = written(0xD, 1) else { return false }
      return user.a | user.d | supervisor.c | supervisor.d == 0
    default: return false
    }
  }

  /// "GenuineIntel", "AuthenticAMD", ... : EBX, EDX and ECX of leaf 0; nil without that leaf.
  public var vendor: String? {
    guard let found = leaf(0) else { return nil }
    let bytes = [found.b, found.d, found.c].flatMap { word in
      (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) }
    }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Bits of a physical address of the guest, 32 at least; nil where the policy does not say.
  public var physicalAddressBits: Int? {
    guard let stated = leaf(0x8000_0008)?.a else { return nil }
    return max(Int(stated & 0xFF), lacks(["pae", "pse36"]) ? 32 : 36)
  }

  /// The components of extended state that the guest may turn on in XCR0: of those that guests get,
  /// all whose feature the policy does not deny. 0 without XSAVE.
  public var maxXCR0: UInt64 {
    guard has("xsave") != false else { return 0 }
    var mask: UInt64 = 0b11
    for (feature, components) in CPUPolicy.givenComponents where has(feature) != false {
      mask |= components
    }
    return mask
  }

  /// The feature that gives guests a component of extended state; nil where none does. x87 and SSE
  /// come with XSAVE itself.
  public static func feature(ofComponent bit: Int) -> String? {
    bit < 2 ? "xsave" : givenComponents.first { $0.1 >> UInt64(bit) & 1 != 0 }?.0
  }

  /// Features with the components of extended state that belong to them. Xen: recalculate_xstate.
  public static let components: [(String, UInt64)] =
    givenComponents + [("amx_tile", 0b11 << 17), ("lwp", 1 << 62)]

  /// Those that guests get. Up to 4.22 no release gives amx_tile to a guest, and since 4.13 none
  /// gives lwp. Xen: xen/include/public/arch-x86/cpufeatureset.h.
  private static let givenComponents: [(String, UInt64)] = [
    ("avx", 1 << 2), ("mpx", 0b11 << 3), ("avx512f", 0b111 << 5), ("pku", 1 << 9),
  ]

  /// Where XSAVE puts the components. Xen asks the processor that it runs on: a place that the
  /// policy's leaf 0xD states counts where a processor has it. Others are those of Intel.
  /// Xen: xen/arch/x86/xstate.c, xstate_ctxt_size.
  public var xstateComponents: [Int: X86XState.Component] {
    let stated = CPUIDFeatures.xstateComponents(fromCPUIDLeaves: Array(leaves.values))
    return X86XState.customary.merging(
      stated.filter { CPUPolicy.componentsOfAMD[$0.key] == $0.value }
    ) { $1 }
  }

  /// The places that differ on AMD, where MPX has none.
  private static let componentsOfAMD: [Int: X86XState.Component] = [
    5: .init(offset: 832, byteCount: 64), 6: .init(offset: 896, byteCount: 512),
    7: .init(offset: 1408, byteCount: 1024), 9: .init(offset: 2432, byteCount: 8),
  ]
}
