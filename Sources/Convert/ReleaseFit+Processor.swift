// What a release and a host give of a processor: policies are leveled to it, and state in use is held
// against what is left.

internal import Bytes
internal import Format
internal import ImageCheck
internal import Stream

/// The policies of an image before and after the fit.
struct FitPolicies: Sendable {
  var leaves: [CPUIDLeaf] = []
  var fittedLeaves: [CPUIDLeaf]?
  var msrs: [UInt32: UInt64] = [:]
  var fittedMSRs: [UInt32: UInt64] = [:]
  var denied: [CPUIDFeatures.Bit] = []

  var before: CPUPolicy { CPUPolicy(leaves: leaves, msrs: msrs) }
  var after: CPUPolicy {
    CPUPolicy(leaves: fittedLeaves ?? leaves, msrs: fittedMSRs, denying: denied)
  }
}

extension ReleaseFit {
  /// "Xen 4.17" or "Xen 4.17 or its host", which has no place for something.
  private var owner: String { host == nil ? "Xen \(release)" : "Xen \(release) on that host" }

  private var denied: [CPUIDFeatures.Bit] {
    CPUPolicyRules.denied(by: release, on: host, isHVM: isHVM)
  }

  // MARK: - Policies

  /// The body of X86_CPUID_POLICY.
  mutating func cpuid(_ record: Record) -> [UInt8] {
    guard record.body.count <= 24 * 256 else { return record.body }
    var leaves = CPUIDLeaf.all(in: record.body, record.context)
    policies.leaves = leaves
    policies.denied = denied
    let lost = CPUIDFeatures.withDependents(policies.denied)
      .filter { !CPUIDFeatures.givenByXen.contains($0) }
    var names: [String] = []
    for index in leaves.indices {
      for bit in lost {
        guard case .cpuid(let leaf, let subleaf, let register) = bit.place,
          leaves[index].leaf == leaf, leaves[index].subleaf == subleaf,
          UInt64(leaves[index][register]) & bit.mask != 0
        else { continue }
        leaves[index].clear(register, UInt32(truncatingIfNeeded: bit.mask))
        names.append(bit.name)
      }
    }
    repeatForAMD(&leaves)
    if !names.isEmpty {
      note(
        .leveled, "",
        "the guest loses \(names.joined(separator: ", ")): \(owner) gives no guest such",
        isLoss: true)
    }
    limitLeaves(&leaves)
    repairXState(&leaves)
    policies.fittedLeaves = leaves
    var body: [UInt8] = []
    for leaf in leaves {
      for word in [leaf.leaf, leaf.subleaf, leaf.a, leaf.b, leaf.c, leaf.d] {
        body.append(integer: word, record.context.order)
      }
    }
    // What follows the last whole leaf is verify's to speak of.
    return body + record.body.suffix(record.body.count % 24)
  }

  /// AMD's copy of leaf 1 in leaf 0x80000001 has what that has.
  private func repeatForAMD(_ leaves: inout [CPUIDLeaf]) {
    guard let first = leaves.first(where: { $0.leaf == 1 }),
      let index = leaves.firstIndex(where: { $0.leaf == 0x8000_0001 })
    else { return }
    leaves[index].clear(.d, CPUIDFeatures.repeatedByAMD & ~first.d)
  }

  /// Leaves beyond what the release has, or takes on that host.
  private mutating func limitLeaves(_ leaves: inout [CPUIDLeaf]) {
    let policy = host?.policy(isHVM: isHVM)
    func greatest(_ leaf: UInt32, _ subleaf: UInt32 = CPUIDLeaf.noSubleaf) -> UInt32? {
      policy?.leaves.first { $0.leaf == leaf && $0.subleaf == subleaf }?.a
    }
    let limitsLeaves = CPUPolicyRules.limitsLeaves(release)
    var basic = limitsLeaves ? greatest(0) : nil
    var extended = limitsLeaves ? greatest(0x8000_0000) : nil
    var subleaf = CPUPolicyRules.limitsSubleaf(release) ? greatest(7, 0) : nil
    if CPUPolicyRules.hasLeaf21.answer(for: release) == .no {
      extended = min(extended ?? .max, 0x8000_001C)
    }
    if CPUPolicyRules.hasSubleaf2.answer(for: release) == .no { subleaf = min(subleaf ?? .max, 1) }
    basic = basic.map { max($0, 1) }
    for (top, first, name) in [(basic, 0 as UInt32, "leaves"), (extended, 0x8000_0000, "leaves")] {
      guard let top, let index = leaves.firstIndex(where: { $0.leaf == first }) else { continue }
      let beyond = leaves.filter { $0.leaf >> 16 == first >> 16 && $0.leaf > top }
      guard leaves[index].a > top || !beyond.isEmpty else { continue }
      note(
        .cut, "", "\(name) to \(leaves[index].a.hex()) -> \(top.hex())",
        isLoss: beyond.contains { $0.a | $0.b | $0.c | $0.d != 0 })
      leaves[index].a = min(leaves[index].a, top)
      leaves.removeAll { $0.leaf >> 16 == first >> 16 && $0.leaf > top }
    }
    guard let subleaf,
      let index = leaves.firstIndex(where: { $0.leaf == 7 && $0.subleaf == 0 })
    else { return }
    func isBeyond(_ leaf: CPUIDLeaf) -> Bool {
      leaf.leaf == 7 && leaf.subleaf != CPUIDLeaf.noSubleaf && leaf.subleaf > subleaf
    }
    let beyond = leaves.filter(isBeyond)
    guard leaves[index].a > subleaf || !beyond.isEmpty else { return }
    let last = max(leaves[index].a, beyond.map(\.subleaf).max() ?? 0)
    note(
      .cut, "", "leaf 7: subleaves to \(last) -> \(subleaf)",
      isLoss: beyond.contains { $0.a | $0.b | $0.c | $0.d != 0 })
    leaves[index].a = min(leaves[index].a, subleaf)
    leaves.removeAll(where: isBeyond)
  }

  /// Leaf 0xD lists only states whose features are left.
  private mutating func repairXState(_ leaves: inout [CPUIDLeaf]) {
    guard let index = leaves.firstIndex(where: { $0.leaf == 0xD && $0.subleaf == 0 })
    else { return }
    let policy = CPUPolicy(leaves: leaves, denying: policies.denied)
    let hasXSAVE = policy.has("xsave") != false
    var gone: UInt64 = 0
    for (feature, components) in CPUPolicy.components where policy.has(feature) == false {
      gone |= components
    }
    let before = UInt64(leaves[index].a) | UInt64(leaves[index].d) << 32
    let after = hasXSAVE ? before & ~gone : 0
    guard after != before else { return }
    leaves[index].a = UInt32(truncatingIfNeeded: after)
    leaves[index].d = UInt32(truncatingIfNeeded: after >> 32)
    // The area ends with the last component that is left; 576 bytes have x87, SSE and its header.
    var byteCount: UInt32 = hasXSAVE ? 576 : 0
    for other in leaves.indices where leaves[other].leaf == 0xD {
      let bit = leaves[other].subleaf
      guard (2..<63).contains(bit) else { continue }
      if after >> UInt64(bit) & 1 != 0 {
        let (end, isOver) = leaves[other].a.addingReportingOverflow(leaves[other].b)
        if !isOver { byteCount = max(byteCount, end) }
      } else if !hasXSAVE || gone >> UInt64(bit) & 1 != 0 {
        (leaves[other].a, leaves[other].b, leaves[other].c, leaves[other].d) = (0, 0, 0, 0)
      }
    }
    leaves[index].b = min(leaves[index].b, byteCount)
    leaves[index].c = byteCount
    note(.leveled, "", "xcr0 \(before.hex()) -> \(after.hex())")
  }

  /// The body of X86_MSR_POLICY: index, flags and value of each.
  mutating func msrs(_ record: Record) -> [UInt8] {
    guard record.body.count <= 16 * 64 else { return record.body }
    let order = record.context.order
    var out: [UInt8] = []
    for offset in stride(from: 0, through: record.body.count - 16, by: 16) {
      var entry = Array(record.body[offset..<(offset + 16)])
      let index = entry.load(0, as: UInt32.self, order)
      let value = entry.load(8, as: UInt64.self, order)
      policies.msrs[index] = value
      let lost = CPUIDFeatures.withDependents(denied).filter {
        $0.place == .msr(index) && $0.mask & value != 0
      }
      if index == 0x10A, CPUPolicyRules.hasArchCapabilities.answer(for: release) == .no {
        note(
          .dropped, "",
          "MSR 0x10a, \(value.hex()): Xen takes it from "
            + "\(CPUPolicyRules.hasArchCapabilities.text) on", isLoss: value != 0)
        continue
      }
      var mask = lost.reduce(0 as UInt64) { $0 | $1.mask }
      var names = lost.map(\.name)
      if index == 0x10A, CPUPolicyRules.hasWideArchCapabilities.answer(for: release) == .no {
        let upper = (value >> 32) << 32 & ~mask
        mask |= upper
        if upper != 0 { names.append("\(upper.hex()) of MSR 0x10a") }
      }
      if index == 0xCE, value >> 31 & 1 != 0, let there = host?.policy(isHVM: isHVM)?.msrs[index],
        there >> 31 & 1 == 0
      {
        mask |= 1 << 31
        names.append("CPUID faulting")
      }
      if mask & value != 0 {
        note(
          .leveled, "",
          "the guest loses \(names.joined(separator: ", ")): \(owner) gives no guest such",
          isLoss: true)
        entry.store(8, value & ~mask, order)
      }
      policies.fittedMSRs[index] = value & ~mask
      out += entry
    }
    return out + record.body.suffix(record.body.count % 16)
  }

  // MARK: - State in use

  /// Refuses the state of vCPUs that have turned on what the policy has lost or, without one, what the
  /// release gives to no guest. What the image's own policy denies is verify's to say.
  mutating func checkUse(of record: Record) {
    let uses = X86StateInUse.all(in: record)
    guard !uses.isEmpty else { return }
    let hasPolicy = policies.fittedLeaves != nil
    let unknown = CPUPolicyRules.denied(by: release, on: nil, isHVM: isHVM)
    let after = hasPolicy ? policies.after : CPUPolicy(leaves: [], denying: unknown)
    let wrong = hasPolicy ? Set(X86StateInUse.denied(uses, by: policies.before)) : []
    for use in X86StateInUse.denied(uses, by: after) where !wrong.contains(use) {
      refuse(
        "vCPU \(use.vcpu)",
        "\(use.what) is turned on, and \(hasPolicy ? owner : "Xen \(release)") gives no guest "
          + use.features.joined(separator: " or "))
    }
  }
}

extension CPUPolicyRules {
  /// The features that a release does not give to a guest, or not on that host.
  static func denied(
    by release: XenRelease, on host: HostDescription?, isHVM: Bool
  ) -> [CPUIDFeatures.Bit] {
    var bits = unknownFeatures(to: release, isHVM: isHVM)
    if let policy = host?.policy(isHVM: isHVM) {
      let has = CPUPolicy(leaves: policy.leaves, msrs: policy.msrs)
      bits += CPUIDFeatures.all.filter { bit in
        // A host that is described by CPUID alone says nothing of its MSRs.
        if case .msr = bit.place, policy.msrs.isEmpty { return false }
        return has.has(bit.name) != true
      }
    }
    return bits.filter { !CPUIDFeatures.givenByXen.contains($0) }
  }
}

extension CPUIDLeaf {
  fileprivate mutating func clear(_ register: CPUIDFeatures.Register, _ mask: UInt32) {
    switch register {
    case .a: a &= ~mask
    case .b: b &= ~mask
    case .c: c &= ~mask
    case .d: d &= ~mask
    }
  }
}
