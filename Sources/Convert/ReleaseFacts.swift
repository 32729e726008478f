// What releases of Xen have room for, beside what the tables of records and policies say. `Compat` and
// `ReleaseFit` read the same rows.

internal import Format

enum ReleaseFacts {
  /// The first release with a record, where that is not the one with its stream version.
  static let records: [RecordType: XenRelease] = [
    .checkpointDirtyPFNList: XenRelease(4, 7), .checkpointState: XenRelease(4, 7),
  ]

  /// MSRs of a vCPU's CPU_MSR and X86_PV_VCPU_MSRS that some releases refuse; the others have been
  /// there since 4.6. Xen: xen/arch/x86/hvm/hvm.c, hvm_load_cpu_msrs; vmx_load_msr and svm_load_msr
  /// before 4.13; xen/arch/x86/domctl.c, XEN_DOMCTL_set_vcpu_msrs.
  static let msrs: [(index: UInt32, since: ReleaseSince)] = [
    (0x48, ReleaseSince(11, [(7, 5), (8, 4), (9, 2), (10, 1)])),
    (0x140, ReleaseSince(10, [(8, 4), (9, 2)])), (0xDA0, ReleaseSince(7)),
    (0xC000_0103, ReleaseSince(12)), (0xC001_011F, ReleaseSince(17)), (0x6E1, ReleaseSince(18)),
  ]

  /// Whether a release gives Xen the MSRs of X86_PV_VCPU_MSRS: others count none, whatever comes.
  /// Xen: tools/libxc/xc_sr_restore_x86_pv.c, process_vcpu_msrs.
  static let loadsPVMSRs = ReleaseSince(10, [(7, 5), (8, 4), (9, 2)])

  /// Whether a release passes over a vCPU's record that is empty. Xen: handle_x86_pv_vcpu_blob.
  static let passesEmptyRecords = ReleaseSince(11)

  /// HVM_NR_PARAMS from a release on. Xen: xen/include/public/hvm/params.h.
  private static let paramCounts: [(since: ReleaseSince, count: UInt64)] = [
    (ReleaseSince(6), 36), (ReleaseSince(7, [(6, 3)]), 37), (ReleaseSince(9), 38),
    (ReleaseSince(10), 39),
  ]

  /// Whether libxl cannot start qemu-traditional any more. Xen: tools/libs/light/libxl_create.c.
  static func dropsTraditional(_ release: XenRelease) -> Bool { release >= XenRelease(4, 21) }

  /// The number of HVM_PARAM_ALTP2M.
  static let altp2mIndex: UInt64 = 35

  /// Why a release refuses a parameter that others take; nil where it takes it, too. Xen:
  /// xen/arch/x86/hvm/hvm.c, hvm_allow_set_param and hvm_set_param.
  static func refusal(ofParam index: UInt64, _ value: UInt64, by release: XenRelease) -> String? {
    let counts = paramCounts.filter { $0.since.holds(for: release) }
    if let count = counts.last?.count, index >= count {
      return "Xen \(release) has only \(count) parameters"
    }
    guard index == altp2mIndex else { return nil }
    if release >= XenRelease(4, 19) {
      return "Xen \(release) takes it from the configuration only"
    }
    return value > 1 && release < XenRelease(4, 9) ? "Xen \(release) takes 0 and 1 only" : nil
  }
}
