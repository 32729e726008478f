// What releases of Xen have room for, beside what the tables of records and policies say. `Compat` and
// `ReleaseFit` read the same rows.

internal import Format

enum ReleaseFacts {
  /// The first release with a record, where that is not the one with its stream version.
  static let records: [RecordType: XenRelease] = [
    .checkpointDirtyPFNList: XenRelease(4, 7), .checkpointState: XenRelease(4, 7),
  ]

  /// MSRs of a vCPU's CPU_MSR that some releases refuse; the others have been there since 4.6.
  /// Xen: xen/arch/x86/hvm/hvm.c, hvm_load_cpu_msrs; vmx_load_msr and svm_load_msr before 4.13.
  static let msrs: [(index: UInt32, since: ReleaseSince)] = [
    (0x48, ReleaseSince(11, [(7, 5), (8, 4), (9, 2), (10, 1)])),
    (0x140, ReleaseSince(10, [(8, 4), (9, 2)])), (0xDA0, ReleaseSince(7)),
    (0xC001_011F, ReleaseSince(17)), (0x6E1, ReleaseSince(18)),
  ]

  /// HVM_NR_PARAMS from a release on. Xen: xen/include/public/hvm/params.h.
  private static let paramCounts: [(since: ReleaseSince, count: UInt64)] = [
    (ReleaseSince(6), 36), (ReleaseSince(7, [(6, 3)]), 37), (ReleaseSince(9), 38),
    (ReleaseSince(10), 39),
  ]

  /// Whether libxl cannot start qemu-traditional any more. Xen: tools/libs/light/libxl_create.c.
  static func dropsTraditional(_ release: XenRelease) -> Bool { release >= XenRelease(4, 21) }

  /// How many parameters an HVM guest has; nil before 4.6.
  static func paramCount(_ release: XenRelease) -> UInt64? {
    paramCounts.last { $0.since.holds(for: release) }?.count
  }
}
