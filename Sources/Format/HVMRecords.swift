// Entries of HVM_CONTEXT: the chain, the header and the vCPU's own state.
// Xen: xen/include/public/arch-x86/hvm/save.h. Devices are in HVMRecords+Devices.swift.

/// The types of HVM_CONTEXT's entries, by number. To add one, add its row here.
///
///      0     1     2     3     4     5     6     7 byte
///     +-----------+-----------+-------------------------+
///     | typecode  | instance  | length                  |
///     +-----------+-----------+-------------------------+
///     | length bytes; the next entry follows at once   |
public enum HVMRecords {
  public static let all: [EntrySchema] = [
    end, header, cpu, pic, ioapic, lapic, lapicRegs, pciIRQ, isaIRQ, pciLink, pit, rtc, hpet,
    pmtimer, mtrr, viridianDomain, cpuXsave, viridianVCPU, vmceVCPU, tscAdjust, cpuMSR,
  ]

  /// HEADER's magic.
  public static let magic: UInt32 = 0x5438_1286

  private static let byType = Dictionary(uniqueKeysWithValues: all.map { ($0.type, $0) })
  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0.type) })

  public static let chain = Chain(
    layout: { byType[$0] }, type: { byName[$0] }, names: { all.map(\.name) })

  // MARK: - Ends

  static let end = EntrySchema(0, "END", lengths: [0: 0], "Ends the context.", [])

  static let header = EntrySchema(
    1, "HEADER", lengths: [0: 24], "Which Xen and processor saved the context.",
    [
      Field.x32("magic").doc("0x54381286."), Field.u32("version").doc("1."),
      Field.x64("changeset").doc("Of the Xen that saved; all ones where not known."),
      Field.x32("cpuid").doc("EAX of CPUID leaf 1 of the saving host."),
      Field.u32("gtsc_khz").unit("kHz").doc("0 leaves the frequency alone."),
    ])

  // MARK: - vCPU

  /// Entries of 1016 bytes are from before Xen 3.4 and lack msr_tsc_aux in the middle; those of
  /// 1024 are from before 4.7 and lack flags at the end.
  static let cpu = EntrySchema(
    2, "CPU", lengths: [0: 1024, 7: 1032], mayBeShorter: true, "Registers of a vCPU.",
    cpuFields(hasTSCAux: true), forms: [1016: cpuFields(hasTSCAux: false)])

  private static func cpuFields(hasTSCAux: Bool) -> [Field] {
    var fields = [X86XState.fxsave("fpu_regs")] + generalRegisters
    fields +=
      segments + [
        .x64("sysenter_cs"), .x64("sysenter_esp"), .x64("sysenter_eip"), .x64("shadow_gs"),
        .x64("msr_flags").doc("Obsolete."), .x64("msr_lstar"), .x64("msr_star"),
        .x64("msr_cstar"), .x64("msr_syscall_mask"), .x64("msr_efer").bits(X86Bits.efer),
      ]
    if hasTSCAux { fields.append(.x64("msr_tsc_aux")) }
    fields += [Field.u64("tsc").doc("What RDTSC gives the guest."), pendingEvent]
    fields.append(.x32("error_code").doc("Of the pending event."))
    if hasTSCAux { fields += [.x32("flags").bits(["fpu_initialised": 0]), .reserved(4, "pad0")] }
    return fields
  }

  private static let generalRegisters: [Field] =
    [
      "rax", "rbx", "rcx", "rdx", "rbp", "rsi", "rdi", "rsp", "r8", "r9", "r10", "r11", "r12",
      "r13", "r14", "r15", "rip",
    ].map(Field.x64) + [
      .x64("rflags").bits(X86Bits.rflags), .x64("cr0").bits(X86Bits.cr0), .x64("cr2"),
      .x64("cr3"), .x64("cr4").bits(X86Bits.cr4), .x64("dr0"), .x64("dr1"), .x64("dr2"),
      .x64("dr3"), .x64("dr6"), .x64("dr7"),
    ]

  private static let segments: [Field] = {
    let selected = ["cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr"]
    let tables = ["idtr", "gdtr"]
    return selected.map { .x32($0 + "_sel") }
      + (selected + tables).map { .x32($0 + "_limit") }
      + (selected + tables).map { .x64($0 + "_base") }
      + selected.map { .x32($0 + "_arbytes").bits(X86Bits.segmentAttributes) }
  }()

  /// An unnamed structure in a union of C: its members are found beside it too.
  private static let pendingEvent = Field.x32("pending_event").memberBits([
    .init("pending_vector", 0, width: 8),
    .init("pending_type", 8, width: 3, names: X86Bits.eventTypes),
    .init("pending_error_valid", 11), .init("pending_reserved", 12, width: 19),
    .init("pending_valid", 31),
  ])

  static let mtrr = EntrySchema(
    14, "MTRR", lengths: [0: 240], "Memory type registers of a vCPU.",
    [
      .x64("msr_pat_cr").bits(X86Bits.pat),
      Field.array("msr_mtrr_var", .fixed(16), each: .x64(""))
        .doc("PHYSBASE and PHYSMASK in turn."),
      Field.array("msr_mtrr_fixed", .fixed(11), each: .x64(""))
        .doc("64K_00000, 16K_80000, 16K_A0000, 4K_C0000 ... 4K_F8000."),
      .x64("msr_mtrr_cap").bits([
        .init("vcnt", 0, width: 8), .init("fix", 8), .init("wc", 10), .init("smrr", 11),
      ]),
      .x64("msr_mtrr_def_type").bits([
        .init("type", 0, width: 8, names: X86Bits.memoryTypes), .init("fe", 10), .init("e", 11),
      ]),
    ])

  /// 24 bytes and an XSAVE area: at least 600. Up to Xen 4.3 it may be longer than its area.
  static let cpuXsave = EntrySchema(
    16, "CPU_XSAVE", "Extended state of a vCPU.", X86XState.hvmFields)

  static let vmceVCPU = EntrySchema(
    18, "VMCE_VCPU", lengths: [0: 24, 10: 32], mayBeShorter: true,
    "Virtual machine-check registers of a vCPU.", X86PVState.vmce)

  static let tscAdjust = EntrySchema(
    19, "TSC_ADJUST", lengths: [0: 8], "TSC_ADJUST of a vCPU.", [.x64("tsc_adjust")])

  /// 8 bytes and 16 for each MSR.
  static let cpuMSR = EntrySchema(
    20, "CPU_MSR", "Further model-specific registers of a vCPU.",
    [
      Field.u32("count").doc("Elements of msr."), .bytes("_pad0", 4),
      Field.array(
        "msr", .field("count"),
        of: [.x32("index").names(X86MSRs.names), .reserved(4, "_rsvd"), .x64("val")]
      ).keyed(by: "index"),
    ])

  // MARK: - Viridian

  static let viridianDomain = EntrySchema(
    15, "VIRIDIAN_DOMAIN", lengths: [0: 16, 5: 24, 6: 32], mayBeShorter: true,
    "Hyper-V interface of the domain.",
    [
      .x64("hypercall_gpa").bits(page), .x64("guest_os_id"), .u64("time_ref_count"),
      .x64("reference_tsc").bits(page),
    ])

  /// vp_assist_msr was apic_assist up to Xen 4.8. The byte after it held a vector, called
  /// apic_assist_vector or vp_assist_vector, before it became apic_assist_pending.
  static let viridianVCPU = EntrySchema(
    17, "VIRIDIAN_VCPU", lengths: [0: 8, 7: 16, 13: 216], mayBeShorter: true,
    "Hyper-V interface of a vCPU.",
    [
      .x64("vp_assist_msr").bits(page), .u8("apic_assist_pending"), .reserved(7, "_pad"),
      .x64("simp_msr").bits(page),
      .array(
        "sint_msr", .fixed(16),
        each: .x64("").bits([
          .init("vector", 0, width: 8), .init("mask", 16), .init("auto_eoi", 17),
          .init("polling", 18),
        ])),
      .array(
        "stimer_config_msr", .fixed(4),
        each: .x64("").bits([
          .init("enable", 0), .init("periodic", 1), .init("lazy", 2), .init("auto_enable", 3),
          .init("vector", 4, width: 8), .init("direct_mode", 12), .init("sintx", 16, width: 4),
        ])),
      .array("stimer_count_msr", .fixed(4), each: .x64("")),
    ])

  /// A page that the guest lends: bit 0 says whether it does.
  private static let page: [Field.Bits] = [.init("enabled", 0), .init("pfn", 12, width: 52)]
}
