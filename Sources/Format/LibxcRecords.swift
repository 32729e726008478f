// All records of the libxc stream. Spec: docs/specs/libxc-migration-stream.pandoc.

/// The libxc record types, in the specification's order. To add one, add its row here.
public enum LibxcRecords {
  public static let all: [RecordSchema] = [
    end, pageData, x86PVInfo, x86PVP2MFrames, x86PVVCPUBasic, x86PVVCPUExtended, x86PVVCPUXsave,
    sharedInfo, x86TSCInfo, hvmContext, hvmParams, toolstack, x86PVVCPUMSRs, verify, checkpoint,
    checkpointDirtyPFNList, staticDataEnd, x86CPUIDPolicy, x86MSRPolicy,
  ]

  /// Ends the image; nothing follows at this layer.
  static let end = RecordSchema(.end, "END", "End of the image.", length: .exactly(0), [])

  ///      0     1     2     3     4     5     6     7 byte
  ///     +-----------------------+-------------------------+
  ///     | count (C)             | (reserved)              |
  ///     +-----------------------+-------------------------+
  ///     | pfn[0]  (type in bits 63-60)                    |
  ///     ...
  ///     | pfn[C-1]                                        |
  ///     +-------------------------------------------------+
  ///     | page_data[0] ... of the entries that have data  |
  static let pageData = RecordSchema(
    .pageData, "PAGE_DATA", "Page numbers, types and the contents of pages that have some.",
    length: .atLeast(16),
    [
      .u32("count").doc("Entries of pfn."), .reserved(4),
      .array(
        "pfn", .field("count"),
        each: .x64("").bits([
          Field.Bits("pfn", 0, width: 52), Field.Bits("type", 60, width: 4),
        ])
      ).doc("Bits 63-60 are the type, 51-0 the page number."),
    ])

  ///     +-----+-----+-----------+-------------------------+
  ///     | w   | ptl | (reserved)                          |
  ///     +-----+-----+-----------+-------------------------+
  static let x86PVInfo = RecordSchema(
    .x86PVInfo, "X86_PV_INFO", "Word size and page-table levels of a PV guest.", guests: .pv,
    phase: .staticData, length: .exactly(8),
    [
      .u8("guest_width").unit("bytes").doc("Bytes of a word of the guest: 4 or 8."),
      .u8("pt_levels").doc("Page-table levels: 3 (guest_width 4) or 4 (guest_width 8)."),
      .reserved(6),
    ])

  ///     +-----------------------+-------------------------+
  ///     | p2m_start_pfn (S)     | p2m_end_pfn (E)         |
  ///     +-----------------------+-------------------------+
  ///     | p2m_pfn[p2m frame containing pfn S]             |
  ///     ...
  ///     | p2m_pfn[p2m frame containing pfn E]             |
  static let x86PVP2MFrames = RecordSchema(
    .x86PVP2MFrames, "X86_PV_P2M_FRAMES", "The pages that hold the guest's p2m table.",
    guests: .pv, phase: .startOfStream, length: .elements(base: 8, step: 8, atLeast: 0),
    [
      .x32("p2m_start_pfn").doc("First pfn that the frames cover."),
      .x32("p2m_end_pfn").doc("Last pfn that they cover: the guest's greatest."),
      .array("p2m_pfn", .rest, each: .x64("")).doc("Page numbers of the p2m pages."),
    ])

  ///     +-----------------------+-------------------------+
  ///     | vcpu_id               | (reserved)              |
  ///     +-----------------------+-------------------------+
  ///     | context: struct vcpu_guest_context              |
  static let x86PVVCPUBasic = RecordSchema(
    .x86PVVCPUBasic, "X86_PV_VCPU_BASIC", "Registers and tables of a PV vCPU.", guests: .pv,
    phase: .endOfCheckpoint, perVCPU: true, length: .atLeast(8), mayBeEmpty: true,
    forms: [
      RecordSchema.Form(.bodyByteCount(8 + 5168), vcpu(X86PVState.context64)),
      RecordSchema.Form(.bodyByteCount(8 + 2800), vcpu(X86PVState.context32)),
      RecordSchema.Form(.always, vcpu([.opaque("context")])),
    ])

  static let x86PVVCPUExtended = RecordSchema(
    .x86PVVCPUExtended, "X86_PV_VCPU_EXTENDED", "Callbacks and machine-check state of a PV vCPU.",
    guests: .pv, phase: .endOfCheckpoint, perVCPU: true, length: .atLeast(8), mayBeEmpty: true,
    vcpu(X86PVState.extended))

  static let x86PVVCPUXsave = RecordSchema(
    .x86PVVCPUXsave, "X86_PV_VCPU_XSAVE", "Extended processor state of a PV vCPU.", guests: .pv,
    phase: .endOfCheckpoint, perVCPU: true, length: .atLeast(8), mayBeEmpty: true,
    vcpu(X86XState.pvFields))

  static let sharedInfo = RecordSchema(
    .sharedInfo, "SHARED_INFO", "The page that a PV guest shares with Xen.", guests: .pv,
    phase: .endOfCheckpoint, length: .exactly(4096),
    forms: [
      RecordSchema.Form(.guestWidth(4), X86PVState.sharedInfo32),
      RecordSchema.Form(.always, X86PVState.sharedInfo64),
    ])

  ///      0     1     2     3     4     5     6     7 byte
  ///     +-----------------------+-------------------------+
  ///     | mode                  | khz                     |
  ///     +-----------------------+-------------------------+
  ///     | nsec                                            |
  ///     +-----------------------+-------------------------+
  ///     | incarnation           | (reserved)              |
  ///     +-----------------------+-------------------------+
  static let x86TSCInfo = RecordSchema(
    .x86TSCInfo, "X86_TSC_INFO", "The domain's time-stamp counter.", phase: .endOfCheckpoint,
    length: .exactly(24),
    [
      .u32("mode").enumeration([
        0: "default", 1: "always_emulate", 2: "never_emulate", 3: "pvrdtscp",
      ]).doc("How RDTSC works."),
      .u32("khz").unit("kHz").doc("Frequency that the guest sees."),
      .u64("nsec").unit("ns").doc("Time elapsed."),
      .u32("incarnation").doc("How often the counter's parameters have changed."), .reserved(4),
    ])

  static let hvmContext = RecordSchema(
    .hvmContext, "HVM_CONTEXT", "State of vCPUs and platform devices, as Xen saved it.",
    guests: .hvm, phase: .endOfCheckpoint, isKeyed: true, length: .atLeast(1),
    [Field("entry", .chain(HVMRecords.chain))])

  ///     +-----------------------+-------------------------+
  ///     | count (C)             | (reserved)              |
  ///     +-----------------------+-------------------------+
  ///     | param[0].index                                  |
  ///     +-------------------------------------------------+
  ///     | param[0].value                                  |
  ///     ...
  static let hvmParams = RecordSchema(
    .hvmParams, "HVM_PARAMS", "HVM parameters that are not zero.", guests: .hvm,
    phase: .endOfCheckpoint, isKeyed: true, length: .elements(base: 8, step: 16, atLeast: 0),
    mayBeEmpty: true,
    [
      .u32("count").doc("Entries of param."), .reserved(4),
      .array(
        "param", .field("count"),
        of: [
          .u64("index").names(HVMParams.names),
          .x64("value").bits(by: "index", HVMParams.bits),
        ]
      ).keyed(by: "index").doc("Parameters by number."),
    ])

  static let toolstack = RecordSchema(
    .toolstack, "TOOLSTACK", "Deprecated: no release wrote it, restorers refuse it.",
    length: .atLeast(0), [.opaque("data")])

  static let x86PVVCPUMSRs = RecordSchema(
    .x86PVVCPUMSRs, "X86_PV_VCPU_MSRS", "Model-specific registers of a PV vCPU.", guests: .pv,
    phase: .endOfCheckpoint, perVCPU: true, isKeyed: true,
    length: .elements(base: 8, step: 16, atLeast: 0), mayBeEmpty: true,
    vcpu([
      Field.array(
        "msr", .rest,
        of: [.x32("index").names(X86MSRs.names), .reserved(4), .x64("value")]
      ).keyed(by: "index").native
    ]))

  static let verify = RecordSchema(
    .verify, "VERIFY", "From here on pages are compared, not loaded.", length: .exactly(0), [])

  static let checkpoint = RecordSchema(
    .checkpoint, "CHECKPOINT", "End of a checkpoint of a checkpointed stream.",
    length: .exactly(0), [])

  static let checkpointDirtyPFNList = RecordSchema(
    .checkpointDirtyPFNList, "CHECKPOINT_DIRTY_PFN_LIST",
    "Pages that the secondary dirtied (COLO's back channel only).", guests: .hvm,
    length: .elements(base: 0, step: 8, atLeast: 0), [.array("pfn", .rest, each: .x64(""))])

  static let staticDataEnd = RecordSchema(
    .staticDataEnd, "STATIC_DATA_END", "End of what the saver knows before the guest runs.",
    since: 3, phase: .staticData, length: .exactly(0), [])

  ///     +-----------+-----------+-----------+-------------+
  ///     | leaf      | subleaf   | a         | b           |
  ///     +-----------+-----------+-----------+-------------+
  ///     | c         | d         |
  ///     +-----------+-----------+
  static let x86CPUIDPolicy = RecordSchema(
    .x86CPUIDPolicy, "X86_CPUID_POLICY", "What CPUID tells the guest.", since: 3,
    phase: .staticData, isKeyed: true, length: .elements(base: 0, step: 24, atLeast: 1),
    [
      .array(
        "leaf", .rest,
        of: [
          .x32("leaf"), .x32("subleaf").doc("0xffffffff where the leaf has no subleaves."),
          .x32("a"), .x32("b"), .x32("c"), .x32("d"),
        ])
    ])

  static let x86MSRPolicy = RecordSchema(
    .x86MSRPolicy, "X86_MSR_POLICY", "Read-only MSRs that the guest sees.", since: 3,
    phase: .staticData, isKeyed: true, length: .elements(base: 0, step: 16, atLeast: 1),
    [
      .array(
        "msr", .rest,
        of: [
          .x32("index").names(X86MSRs.names), .reserved(4, "flags"),
          .x64("value").bits(by: "index", CPUIDFeatures.bits(msr:)),
        ]
      ).keyed(by: "index")
    ])

  /// The header that all vCPU records share, and what follows it.
  private static func vcpu(_ fields: [Field]) -> [Field] {
    [.u32("vcpu_id"), .reserved(4)] + fields
  }
}
