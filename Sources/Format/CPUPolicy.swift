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

  /// A leaf; nil where the policy does not have it, which is the same as a leaf of zeros.
  public func leaf(_ leaf: UInt32, _ subleaf: UInt32 = CPUIDLeaf.noSubleaf) -> CPUIDLeaf? {
    leaves[CPUPolicy.key(leaf, subleaf)]
  }

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
      if let found = leaf(leafID, subleaf) { return UInt64(found[register]) & bit.mask != 0 }
      return isOutOfRange(leafID, subleaf) ? false : nil
    }
  }

  /// Whether the policy says that it does not have any of these features.
  public func lacks(_ names: [String]) -> Bool { names.allSatisfy { has($0) == false } }

  /// Whether a leaf is beyond the greatest that the policy states.
  private func isOutOfRange(_ leafID: UInt32, _ subleaf: UInt32) -> Bool {
    if let greatest = leaf(leafID & 0xFFFF_0000)?.a, leafID > greatest { return true }
    guard leafID == 7, subleaf != CPUIDLeaf.noSubleaf, let greatest = leaf(7, 0)?.a else {
      return false
    }
    return subleaf > greatest
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

  /// The components of extended state that the guest may turn on in XCR0: all of those whose
  /// feature the policy does not deny. 0 without XSAVE.
  public var maxXCR0: UInt64 {
    guard has("xsave") != false else { return 0 }
    var mask: UInt64 = 0b11
    for (feature, components) in CPUPolicy.components where has(feature) != false {
      mask |= components
    }
    return mask
  }

  /// The feature that a component of extended state belongs to; nil where none does. x87 and SSE
  /// come with XSAVE itself.
  public static func feature(ofComponent bit: Int) -> String? {
    bit < 2 ? "xsave" : components.first { $0.1 >> UInt64(bit) & 1 != 0 }?.0
  }

  /// Features with the components of extended state that belong to them. Xen: recalculate_xstate.
  public static let components: [(String, UInt64)] = [
    ("avx", 1 << 2), ("mpx", 0b11 << 3), ("avx512f", 0b111 << 5), ("pku", 1 << 9),
    ("amx_tile", 0b11 << 17), ("lwp", 1 << 62),
  ]

  /// Where XSAVE puts the components: by the policy's leaf 0xD, else where processors of Intel do.
  public var xstateComponents: [Int: X86XState.Component] {
    let stated = CPUIDFeatures.xstateComponents(fromCPUIDLeaves: Array(leaves.values))
    return X86XState.customary.merging(stated) { $1 }
  }
}
