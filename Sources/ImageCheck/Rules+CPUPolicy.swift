// Rules for X86_CPUID_POLICY and X86_MSR_POLICY: what Xen takes into a domain's policy.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let leafReader = "Xen: xen/lib/x86/cpuid.c, x86_cpuid_copy_from_buffer"
  private static let msrReader = "Xen: xen/lib/x86/msr.c, x86_msr_copy_from_buffer"
  private static let comparison = "Xen: xen/lib/x86/policy.c, x86_cpu_policies_are_compatible"

  static let cpuPolicy: [Rule] = [
    Rule(
      "cpuid-policy.count", .error, "There are no more leaves than a policy of Xen has.",
      leafReader,
      .policy(.x86CPUIDPolicy) { look, record in
        let count = record.length / 24
        guard count > CPUPolicyLimits.leafCount else { return }
        look.report(
          record, "length", at: -4,
          "expected at most \(CPUPolicyLimits.leafCount) leaves, got \(count)")
      }),
    Rule(
      "cpuid-policy.leaf", .error, "Every leaf and subleaf is one that a policy of Xen has.",
      leafReader,
      .policy(.x86CPUIDPolicy) { look, record in
        for (index, leaf) in record.cpuidLeaves.enumerated() {
          guard let problem = CPUPolicyLimits.problem(leaf) else { continue }
          look.report(record, "leaf[\(index)]", at: 24 * index, problem)
        }
      }),
    Rule(
      "cpuid-policy.max-leaf", .error,
      "The greatest leaves are not beyond those of any policy of Xen.", comparison,
      .policy(.x86CPUIDPolicy) { look, record in
        let policy = CPUPolicy(cpuid: record)
        for (index, leaf) in record.cpuidLeaves.enumerated() {
          // Xen compares what is left: the last of a leaf, and none that another leaves out.
          guard let limit = CPUPolicyLimits.greatest(leaf), leaf.a > limit,
            policy.leaf(leaf.leaf, leaf.subleaf) == leaf
          else { continue }
          look.report(
            record, "leaf[\(index)].a", at: 24 * index + 8,
            "expected a greatest leaf of at most \(limit.hex()), got \(leaf.a.hex())")
        }
      }),
    Rule(
      "hvm-cpu.nested", .error,
      "A vCPU has turned on nested virtualisation only where the configuration gives it.",
      "Xen: xen/arch/x86/hvm/hvm.c, hvm_cr4_guest_valid_bits and hvm_efer_valid",
      .entries(HVMContextType.cpu) { look, record, cpu in
        guard look.configuration?.isNested == false else { return }
        for (name, offset, bit) in [("cr4", 680, 13 as UInt64), ("msr_efer", 992, 12)]
        where cpu.u64(offset) >> bit & 1 != 0 {
          look.report(
            record, cpu, name, at: offset,
            "expected no \(bit == 13 ? "VMXE" : "SVME") without nested_hvm in the configuration, got "
              + cpu.u64(offset).hex(), since: bit == 13 ? 15 : 0)
        }
      }),
    Rule(
      "msr-policy.count", .error, "There are no more MSRs than a policy of Xen has.", msrReader,
      .policy(.x86MSRPolicy) { look, record in
        let count = record.length / 16
        guard count > CPUPolicyLimits.msrCount else { return }
        look.report(
          record, "length", at: -4,
          "expected at most \(CPUPolicyLimits.msrCount) MSRs, got \(count)")
      }),
    Rule(
      "msr-policy.msr", .error,
      "Every MSR is PLATFORM_INFO or ARCH_CAPABILITIES, with a value that Xen takes.", msrReader,
      .policy(.x86MSRPolicy) { look, record in
        let msrs = record.policyMSRs
        for (index, msr) in msrs.enumerated() {
          switch msr.index {
          case CPUPolicyLimits.platformInfo:
            // Each has 32 bits. Xen compares the last, and offers CPUID faulting alone.
            let isLast = !msrs[(index + 1)...].contains { $0.index == msr.index }
            guard msr.value & ~(isLast ? 1 << 31 : 0xFFFF_FFFF) != 0 else { continue }
            look.report(
              record, "msr[\(index)].value", at: 16 * index + 8,
              "expected 0 or 0x80000000 (CPUID faulting), got \(msr.value.hex())")
          case CPUPolicyLimits.archCapabilities: continue
          default:
            look.report(
              record, "msr[\(index)].index", at: 16 * index,
              "expected 0xce or 0x10a, got \(msr.index.hex())")
          }
        }
      }),
    Rule(
      "msr-policy.flags", .error, "The flags of an MSR are zero: Xen refuses others.", msrReader,
      .policy(.x86MSRPolicy) { look, record in
        for (index, msr) in record.policyMSRs.enumerated() where msr.flags != 0 {
          look.report(
            record, "msr[\(index)].flags", at: 16 * index + 4,
            "expected 0, got \(msr.flags.hex())")
        }
      }),
  ]
}

extension Rule.Check {
  /// A check of the policies that Xen takes: it passes over later ones.
  fileprivate static func policy(_ type: RecordType, check: @escaping OfRecord) -> Rule.Check {
    .record([type]) { look, record in
      guard !look.libxc.hasTakenPolicies else { return }
      check(look, record)
    }
  }
}

/// The sizes of Xen's struct cpu_policy from 4.17 to 4.22. Older releases have less room, which compat
/// says.
/// Xen: xen/include/xen/lib/x86/cpu-policy.h, CPUID_GUEST_NR_*.
enum CPUPolicyLimits {
  static let leafCount: UInt64 = 120
  static let msrCount: UInt64 = 2
  static let platformInfo: UInt32 = 0xCE
  static let archCapabilities: UInt32 = 0x10A
  static let miscFeatures: UInt32 = 0x140

  private static let basic: UInt32 = 0xD
  private static let extended: UInt32 = 0x8000_0021
  /// Leaves that have subleaves, with their greatest.
  private static let subleaves: [UInt32: UInt32] = [4: 5, 7: 2, 0xB: 1, 0xD: 62]

  /// What is wrong with a leaf's number or subleaf; nil if nothing is.
  static func problem(_ leaf: CPUIDLeaf) -> String? {
    switch leaf.leaf {
    case 0...basic, 0x4000_0000, 0x4000_0100, 0x8000_0000...extended: break
    default:
      return "expected a leaf up to \(basic.hex()), 0x40000000, 0x40000100 or 0x80000000 to "
        + "\(extended.hex()), got \(leaf.leaf.hex())"
    }
    if let greatest = subleaves[leaf.leaf] {
      return leaf.subleaf <= greatest
        ? nil : "expected a subleaf of at most \(greatest), got \(leaf.subleaf.hex())"
    }
    return leaf.subleaf == CPUIDLeaf.noSubleaf
      ? nil : "expected no subleaf (0xffffffff), got \(leaf.subleaf.hex())"
  }

  /// Where EAX of a leaf states a greatest leaf or subleaf: the greatest that Xen has.
  static func greatest(_ leaf: CPUIDLeaf) -> UInt32? {
    switch (leaf.leaf, leaf.subleaf) {
    case (0, CPUIDLeaf.noSubleaf): basic
    case (7, 0): subleaves[7]
    case (0x8000_0000, CPUIDLeaf.noSubleaf): extended
    default: nil
    }
  }
}

extension Record {
  /// The leaves of X86_CPUID_POLICY.
  var cpuidLeaves: [CPUIDLeaf] { CPUIDLeaf.all(in: body, context) }

  /// The MSRs of X86_MSR_POLICY.
  var policyMSRs: [(index: UInt32, flags: UInt32, value: UInt64)] {
    (0..<body.count / 16).map { index in
      (
        body.load(16 * index, as: UInt32.self, context.order),
        body.load(16 * index + 4, as: UInt32.self, context.order),
        body.load(16 * index + 8, as: UInt64.self, context.order)
      )
    }
  }
}
