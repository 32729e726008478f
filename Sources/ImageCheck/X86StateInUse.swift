// What vCPUs have turned on of the processor, held against the features of a CPUID policy.

internal import Bytes
public import Format
public import Stream

/// State that a vCPU has turned on, and that Xen refuses without one of some features.
public struct X86StateInUse: Sendable, Hashable, CustomStringConvertible {
  public let vcpu: UInt32
  /// "CR4.SMEP", "XCR0.YMM", "SPEC_CTRL.SSBD", "PKRS".
  public let what: String
  /// The features of which the policy needs one.
  public let features: [String]

  public var description: String { "vCPU \(vcpu): \(what)" }

  /// What a record says that vCPUs have turned on: of HVM_CONTEXT control registers, extended state
  /// and MSRs, of a PV vCPU extended state and MSRs (Xen adapts CR4 of those). Other records have
  /// none. What needs no feature, or is wrong with every policy, is left to verify.
  public static func all(in record: Record) -> [X86StateInUse] {
    switch record.type {
    case .hvmContext:
      Format.entries(of: HVMRecords.chain, in: record.body, 0..<record.body.count)
        .flatMap { all(HVMEntryReader($0, record.body)) }
    case .x86PVVCPUXsave where record.body.count >= 24:
      components(record.body.load(16, as: UInt64.self, record.context.order), record.vcpuID ?? 0)
    case .x86PVVCPUMSRs:
      stride(from: 8, through: record.body.count - 16, by: 16).flatMap { offset in
        msr(
          record.body.load(offset, as: UInt32.self, record.context.order),
          record.body.load(offset + 8, as: UInt64.self, record.context.order),
          of: X86SavedMSR.pv, record.vcpuID ?? 0)
      }
    default: []
    }
  }

  /// Those of these that a policy denies. Where it denies a register, its bits are not said.
  public static func denied(_ uses: [X86StateInUse], by policy: CPUPolicy) -> [X86StateInUse] {
    let denied = uses.filter { use in
      use.features == [faulting]
        ? policy.msr(CPUPolicyLimits.platformInfo).map { $0 >> 31 & 1 == 0 } ?? false
        : policy.lacks(use.features)
    }
    let whole = Set(denied.map(\.description))
    return denied.filter { use in
      guard let dot = use.what.firstIndex(of: ".") else { return true }
      return !whole.contains("vCPU \(use.vcpu): \(use.what[..<dot])")
    }
  }

  /// What CPUID faulting needs: no feature of CPUID, but bit 31 of PLATFORM_INFO.
  private static let faulting = "cpuid_faulting"

  private static func all(_ entry: HVMEntryReader) -> [X86StateInUse] {
    let vcpu = UInt32(entry.entry.instance)
    switch entry.entry.type {
    case HVMContextType.cpu:
      return bits(entry.u64(680), X86ControlBits.cr4, "CR4.", vcpu)
        + bits(entry.u64(992), X86ControlBits.efer, "EFER.", vcpu)
    case HVMContextType.cpuXsave: return components(entry.u64(16), vcpu)
    case HVMContextType.cpuMSR:
      let count = max(0, min(Int(entry.u32(0)), (entry.entry.byteCount - 8) / 16))
      return (0..<count).flatMap { position in
        msr(entry.u32(8 + 16 * position), entry.u64(16 + 16 * position), of: X86SavedMSR.hvm, vcpu)
      }
    default: return []
    }
  }

  private static func bits(
    _ value: UInt64, _ rows: [X86ControlBits.Row], _ register: String, _ vcpu: UInt32
  ) -> [X86StateInUse] {
    rows.filter { value & $0.bits != 0 && !$0.features.isEmpty }
      .map { X86StateInUse(vcpu: vcpu, what: register + $0.name, features: $0.features) }
  }

  private static func components(_ accumulated: UInt64, _ vcpu: UInt32) -> [X86StateInUse] {
    (0..<63).filter { accumulated >> UInt64($0) & 1 != 0 }.compactMap { bit in
      // What no feature gives is wrong with every policy.
      guard let feature = CPUPolicy.feature(ofComponent: bit) else { return nil }
      return X86StateInUse(
        vcpu: vcpu, what: "XCR0.\(X86XState.names[bit] ?? String(bit))", features: [feature])
    }
  }

  private static func msr(
    _ index: UInt32, _ value: UInt64, of rows: [X86SavedMSR], _ vcpu: UInt32
  ) -> [X86StateInUse] {
    guard let row = rows.first(where: { $0.indices.contains(index) }) else { return [] }
    let name = (X86MSRs.names[UInt64(index)] ?? index.hex()).replacing("MSR_", with: "")
    var uses: [X86StateInUse] = []
    if !row.features.isEmpty {
      uses.append(X86StateInUse(vcpu: vcpu, what: name, features: row.features))
    }
    if index == CPUPolicyLimits.miscFeatures, value & 1 != 0 {
      uses.append(
        X86StateInUse(vcpu: vcpu, what: name + ".CPUID_FAULTING", features: [faulting]))
    }
    return uses + bits(value, row.bits, name + ".", vcpu)
  }
}

extension CPUPolicy {
  /// The policies of these records.
  public init(cpuid: Record, msrs: Record? = nil, denying: [CPUIDFeatures.Bit] = []) {
    self.init(
      leaves: Array(cpuid.cpuidLeaves.prefix(Int(CPUPolicyLimits.leafCount))),
      msrs: Dictionary(
        (msrs?.policyMSRs ?? []).prefix(Int(CPUPolicyLimits.msrCount)).map { ($0.index, $0.value) },
        uniquingKeysWith: { $1 }), denying: denying)
  }

  /// The leaves that say how far others go, and those beyond what old releases of Xen have: the
  /// greatest leaf 7 subleaf and extended leaf that a record has at all.
  public static func extent(of cpuid: Record) -> (subleaf: UInt32, extended: UInt32) {
    cpuid.cpuidLeaves.reduce(into: (0, 0x8000_0000)) { extent, leaf in
      if leaf.leaf == 7, leaf.subleaf != CPUIDLeaf.noSubleaf {
        extent.0 = max(extent.0, leaf.subleaf)
      }
      if leaf.leaf >> 16 == 0x8000 { extent.1 = max(extent.1, leaf.leaf) }
    }
  }
}
