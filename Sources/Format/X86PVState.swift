// State of PV guests: vcpu_guest_context, extended vCPU state, shared_info and start_info.
// Xen: xen/include/public/arch-x86/xen.h, xen.h and domctl.h. Each table names C's padding.

/// Rows of PV state, for guests of 64 and of 32 bits (X86_PV_INFO's guest_width).
public enum X86PVState {
  /// struct vcpu_guest_context of a 64-bit guest: 5168 bytes.
  static let context64: [Field] = native([
    X86XState.fxsave("fpu_ctxt"), .x64("flags").bits(contextFlags),
    .group("user_regs", userRegs64),
    .array(
      "trap_ctxt", .fixed(256),
      of: [.u8("vector"), trapFlags, .x16("cs"), .bytes("_pad0", 4), .x64("address")]),
    .x64("ldt_base"), .u64("ldt_ents"), gdtFrames(each: .x64("")), .u64("gdt_ents"),
    .x64("kernel_ss"), .x64("kernel_sp"),
    Field.array("ctrlreg", .fixed(8), each: .x64("")).doc("By number; 1 is the user page table."),
    .array("debugreg", .fixed(8), each: .x64("")), .x64("event_callback_eip"),
    .x64("failsafe_callback_eip"), .x64("syscall_callback_eip"), .x64("vm_assist").bits(vmAssist),
    .x64("fs_base"), .x64("gs_base_kernel"), .x64("gs_base_user"),
  ])

  /// struct vcpu_guest_context of a 32-bit guest: 2800 bytes.
  static let context32: [Field] = native([
    X86XState.fxsave("fpu_ctxt"), .x32("flags").bits(contextFlags),
    .group("user_regs", userRegs32),
    .array(
      "trap_ctxt", .fixed(256), of: [.u8("vector"), trapFlags, .x16("cs"), .x32("address")]),
    .x32("ldt_base"), .u32("ldt_ents"), gdtFrames(each: .x32("")), .u32("gdt_ents"),
    .x32("kernel_ss"), .x32("kernel_sp"),
    Field.array("ctrlreg", .fixed(8), each: .x32("")).doc("By number; 3 is folded."),
    .array("debugreg", .fixed(8), each: .x32("")), .x32("event_callback_cs"),
    .x32("event_callback_eip"), .x32("failsafe_callback_cs"), .x32("failsafe_callback_eip"),
    .x32("vm_assist").bits(vmAssist.filter { $0.low < 32 }),
  ])

  /// struct xen_domctl_ext_vcpucontext: 64 bytes; 56 from Xen 4.4 to 4.9; legacy streams fill it
  /// up to 128. What a body lacks is zero to Xen.
  static let extended: [Field] = native([
    .u32("vcpu").doc("The vCPU that Xen sets; the record's vcpu_id says the same."),
    .u32("size").unit("bytes"), .x64("syscall32_callback_eip"), .x64("sysenter_callback_eip"),
    .x16("syscall32_callback_cs"), .x16("sysenter_callback_cs"),
    .u8("syscall32_disables_events"), .u8("sysenter_disables_events"), .bytes("_pad0", 2),
    .group("vmce", vmce), .opaque("_rest"),
  ])

  /// struct hvm_vmce_vcpu: 32 bytes; 24 before Xen 4.10. HVM's VMCE_VCPU is the same.
  static let vmce: [Field] = [
    .x64("caps"), .x64("mci_ctl2_bank0"), .x64("mci_ctl2_bank1"), .x64("mcg_ext_ctl"),
  ]

  /// struct shared_info of a 64-bit guest, 3136 bytes, and the rest of its page.
  static let sharedInfo64: [Field] = native([
    .array(
      "vcpu_info", .fixed(32),
      of: upcall + [
        .bytes("_pad0", 6), .x64("evtchn_pending_sel"),
        .group("arch", [.x64("cr2"), .bytes("pad", 8)]), .group("time", time),
      ]),
    .array("evtchn_pending", .fixed(64), each: .x64("")),
    .array("evtchn_mask", .fixed(64), each: .x64("")),
    .u32("wc_version"), .u32("wc_sec").unit("s"), .u32("wc_nsec").unit("ns"),
    .u32("wc_sec_hi").doc("Bits 63 to 32 of wc_sec."),
    .group(
      "arch",
      [
        .u64("max_pfn").unit("pages"), .x64("pfn_to_mfn_frame_list_list"),
        .x64("nmi_reason").bits(nmiReasons), .x64("p2m_cr3"), .x64("p2m_vaddr"),
        .u64("p2m_generation"),
      ]),
    tail(960),
  ])

  /// struct shared_info of a 32-bit guest, 2344 bytes, and the rest of its page.
  static let sharedInfo32: [Field] = native([
    .array(
      "vcpu_info", .fixed(32),
      of: upcall + [
        .bytes("_pad0", 2), .x32("evtchn_pending_sel"),
        .group("arch", [.x32("cr2"), .bytes("pad", 20)]), .group("time", time),
      ]),
    .array("evtchn_pending", .fixed(32), each: .x32("")),
    .array("evtchn_mask", .fixed(32), each: .x32("")),
    .u32("wc_version"), .u32("wc_sec").unit("s"), .u32("wc_nsec").unit("ns"),
    .group(
      "arch",
      [
        .u32("max_pfn").unit("pages"), .x32("pfn_to_mfn_frame_list_list"),
        .x32("nmi_reason").bits(nmiReasons), .x32("p2m_cr3"), .x32("p2m_vaddr"),
        .u32("p2m_generation"), Field.u32("wc_sec_hi").doc("Bits 63 to 32 of wc_sec."),
      ]),
    tail(1752),
  ])

  /// struct start_info of a 64-bit guest, 1168 bytes: it lies in the page that rdx of vCPU 0
  /// names. In a saved image store_mfn and the console's mfn are pfns.
  public static let startInfo64: [Field] = native([
    .text("magic", 32), .u64("nr_pages"), .x64("shared_info"), startFlags, .bytes("_pad0", 4),
    .x64("store_mfn"), .u32("store_evtchn"), .bytes("_pad1", 4),
    console([.x64("mfn"), .u32("evtchn"), .bytes("_pad0", 4)]), .x64("pt_base"),
    .u64("nr_pt_frames"), .x64("mfn_list"), .x64("mod_start"), .u64("mod_len"),
    .text("cmd_line", 1024), .x64("first_p2m_pfn"), .u64("nr_p2m_frames"),
  ])

  /// struct start_info of a 32-bit guest: 1112 bytes.
  public static let startInfo32: [Field] = native([
    .text("magic", 32), .u32("nr_pages"), .x32("shared_info"), startFlags, .x32("store_mfn"),
    .u32("store_evtchn"), console([.x32("mfn"), .u32("evtchn")]), .x32("pt_base"),
    .u32("nr_pt_frames"), .x32("mfn_list"), .x32("mod_start"), .u32("mod_len"),
    .text("cmd_line", 1024), .x32("first_p2m_pfn"), .u32("nr_p2m_frames"),
  ])

  // MARK: - Parts

  /// struct cpu_user_regs of a 64-bit guest: 200 bytes.
  private static let userRegs64: [Field] =
    [
      "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
      "rsi", "rdi",
    ].map(Field.x64) + [
      .x32("error_code"), .x32("entry_vector"), .x64("rip"), .x16("cs"), .bytes("_pad0", 2),
      .u8("saved_upcall_mask"), .bytes("_pad1", 3), .x64("rflags").bits(X86Bits.rflags),
      .x64("rsp"), .x16("ss"), .bytes("_pad2", 6), .x16("es"), .bytes("_pad3", 6), .x16("ds"),
      .bytes("_pad4", 6), .x16("fs"), .bytes("_pad5", 6), .x16("gs"), .bytes("_pad6", 6),
    ]

  /// struct cpu_user_regs of a 32-bit guest: 68 bytes.
  private static let userRegs32: [Field] =
    ["ebx", "ecx", "edx", "esi", "edi", "ebp", "eax"].map(Field.x32) + [
      .x16("error_code"), .x16("entry_vector"), .x32("eip"), .x16("cs"), .u8("saved_upcall_mask"),
      .bytes("_pad0", 1), .x32("eflags").bits(X86Bits.rflags), .x32("esp"), .x16("ss"),
      .bytes("_pad1", 2), .x16("es"), .bytes("_pad2", 2), .x16("ds"), .bytes("_pad3", 2),
      .x16("fs"), .bytes("_pad4", 2), .x16("gs"), .bytes("_pad5", 2),
    ]

  /// struct vcpu_time_info: 32 bytes in both widths.
  private static let time: [Field] = [
    .u32("version"), .bytes("pad0", 4), .x64("tsc_timestamp"), .u64("system_time").unit("ns"),
    .x32("tsc_to_system_mul"), .i8("tsc_shift"),
    .x8("flags").bits(["tsc_stable": 0, "guest_stopped": 1]), .bytes("pad1", 2),
  ]

  private static let upcall: [Field] = [
    .u8("evtchn_upcall_pending"), .u8("evtchn_upcall_mask"),
  ]

  /// VGCF_*.
  private static let contextFlags: [Field.Bits] = [
    .init("i387_valid", 0), .init("in_kernel", 2), .init("failsafe_disables_events", 3),
    .init("syscall_disables_events", 4), .init("online", 5),
  ]

  /// VMASST_TYPE_*.
  private static let vmAssist: [Field.Bits] = [
    .init("4gb_segments", 0), .init("4gb_segments_notify", 1), .init("writable_pagetables", 2),
    .init("pae_extended_cr3", 3), .init("architectural_iopl", 4),
    .init("runstate_update_flag", 5), .init("m2p_strict", 32),
  ]

  /// XEN_NMIREASON_*.
  private static let nmiReasons: [Field.Bits] = [
    .init("io_error", 0), .init("pci_serr", 1), .init("unknown", 2),
  ]

  private static let trapFlags = Field.x8("flags")
    .bits([.init("dpl", 0, width: 2), .init("if", 2)])

  /// SIF_*.
  private static let startFlags = Field.x32("flags").bits([
    "privileged": 0, "initdomain": 1, "multiboot_mod": 2, "mod_start_pfn": 3, "virt_p2m_4tools": 4,
  ])

  private static func gdtFrames(each frame: Field) -> Field {
    Field.array("gdt_frames", .fixed(16), each: frame)
      .doc("Page numbers; gdt_ents says how many are used, 512 entries each.")
  }

  /// The union's other form is dom0's, which is never migrated.
  private static func console(_ fields: [Field]) -> Field {
    .group("console", [.group("domU", fields)])
  }

  private static func tail(_ byteCount: Int) -> Field {
    Field.bytes("_tail", byteCount).doc("The page after struct shared_info.")
  }

  private static func native(_ fields: [Field]) -> [Field] { fields.map(\.native) }
}
