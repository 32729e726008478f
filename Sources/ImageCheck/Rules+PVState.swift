// Rules for the state of PV vCPUs: what Xen's library and Xen itself check before they take it.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let file = "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, "
  private static let setContext = "Xen: xen/arch/x86/domain.c, arch_set_info_guest"
  private static let domctl = "Xen: xen/arch/x86/domctl.c, "

  static let pvState: [Rule] = pvPageTypes + pvContext + pvExtended + pvXsave + pvMSRs

  // MARK: - Pages that the context names

  private static let pvPageTypes: [Rule] = [
    Rule(
      "vcpu-basic.page-table-type", .error,
      "cr3, and a 64-bit guest's user tables, are top-level page tables.",
      file + "process_vcpu_basic",
      .contexts { look, _, context, limit in
        let level = context.isWide ? 4 : 3
        for (name, pfn, offset) in context.pageTables where pfn <= limit {
          guard let type = look.libxc.pageTypes.type(of: pfn), type.rawValue & 7 != level
          else { continue }
          look.report(
            context, name, at: offset,
            "expected a page of type L\(level)TAB, got \(type.name) (pfn \(pfn.hex()))")
        }
      }),
    Rule(
      "vcpu-basic.gdt-type", .error, "The pages of the GDT are ordinary pages (NOTAB).",
      file + "process_vcpu_basic",
      .contexts { look, _, context, limit in
        for index in context.gdtFrames.indices {
          let (pfn, offset) = context.gdtFrame(index)
          guard pfn <= limit, let type = look.libxc.pageTypes.type(of: pfn), type != .notab
          else { continue }
          look.report(
            context, "gdt_frames[\(index)]", at: offset,
            "expected a page of type NOTAB, got \(type.name) (pfn \(pfn.hex()))")
        }
      }),
    Rule(
      "vcpu-basic.start-info-type", .error, "The start info is an ordinary page (NOTAB).",
      file + "process_start_info",
      .contexts { look, vcpu, context, limit in
        let (pfn, offset) = context.startInfo
        guard vcpu == 0, pfn <= limit, let type = look.libxc.pageTypes.type(of: pfn),
          type != .notab
        else { return }
        look.report(
          context, "user_regs.edx", at: offset,
          "expected a page of type NOTAB, got \(type.name) (pfn \(pfn.hex()))")
      }),
    Rule(
      "vcpu-basic.absent", .warning,
      "The start info and the pages of the GDT came: others exist only where a page table names "
        + "them.", file + "process_vcpu_basic",
      .contexts { look, vcpu, context, limit in
        for (name, pfn, offset) in context.ordinaryPages(of: vcpu)
        where pfn <= limit && look.libxc.isAbsent(pfn) {
          look.report(
            context, name, at: offset, "expected pfn \(pfn.hex()) in PAGE_DATA, got none")
        }
      }),
    Rule(
      "vcpu-basic.p2m", .error,
      "No page of a GDT holds a part of the p2m: the p2m is written, and a GDT is not.",
      file + "update_guest_p2m; xl of 4.17",
      .contexts { look, _, context, _ in
        for index in context.gdtFrames.indices {
          let (pfn, offset) = context.gdtFrame(index)
          guard look.libxc.p2m.contains(pfn) else { continue }
          look.report(
            context, "gdt_frames[\(index)]", at: offset,
            "expected a page of its own, got \(pfn.hex()), which holds the p2m")
        }
      }),
  ]

  // MARK: - BASIC

  private static let pvContext: [Rule] = [
    Rule(
      "vcpu.domain", .error, "A vCPU's number is below the domain's number of vCPUs.",
      file + "handle_x86_pv_vcpu_blob",
      .rows({ $0.isVCPUStateOfXen }) {
        look, record in
        guard let count = look.configuration?.vcpuCount, let id = record.vcpuID,
          record.length > 8, id < ImageSummary.vcpuLimit, Int(id) >= count
        else { return }
        look.report(
          record, "vcpu_id", at: 0, "expected less than \(count) (b_info.max_vcpus), got \(id)")
      }),
    Rule(
      "vcpu-basic.addresses", .error,
      "Addresses of a 64-bit guest are canonical.", setContext,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide else { return }
        for (name, offset) in PVContext.addresses {
          let value = record.body.load(8 + offset, as: UInt64.self)
          // The base of an LDT without entries is not looked at.
          guard !value.isCanonical, name != "ldt_base" || context.ldtEntryCount > 0 else {
            continue
          }
          // At the addresses of code all releases look.
          look.report(
            record, name, at: 8 + offset, "expected a canonical address, got \(value.hex())",
            since: name.hasSuffix("ip") ? 0 : ReleaseSince(8, [(6, 5), (7, 2)]))
        }
        for trap in 0..<256 {
          let offset = 8 + 720 + 16 * trap + 8
          let value = record.body.load(offset, as: UInt64.self)
          guard !value.isCanonical else { continue }
          look.report(
            record, "trap_ctxt[\(trap)].address", at: offset,
            "expected a canonical address, got \(value.hex())")
        }
      }),
    Rule(
      "vcpu-basic.user-tables", .error,
      "ctrlreg[1] of a 64-bit guest is 0, or its bit 0 says that it names a page.",
      file + "process_vcpu_basic; " + setContext,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide else { return }
        let value = record.body.load(8 + 4992, as: UInt64.self)
        guard value != 0, value & 1 == 0 else { return }
        look.report(
          record, "ctrlreg[1]", at: 8 + 4992,
          "expected bit 0 (a pfn in bits 12 on) or 0, got \(value.hex())")
      }),
    Rule(
      "vcpu-basic.ldt-address", .error,
      "The LDT of a 64-bit guest is not in Xen's part of the address space.", setContext,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide,
          PVContext.xenAddresses ~= context.ldtBase
        else { return }
        look.report(
          record, "ldt_base", at: context.ldtBaseOffset,
          "expected an address of the guest, got \(context.ldtBase.hex())")
      }),
    Rule(
      "vcpu-basic.guest-addresses", .error,
      "The breakpoints of a 64-bit guest are not in Xen's part of the address space.",
      setContext, since: 18,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide else { return }
        for (name, offset) in PVContext.guestAddresses {
          let value = record.body.load(8 + offset, as: UInt64.self)
          guard PVContext.xenAddresses ~= value else { continue }
          look.report(
            record, name, at: 8 + offset, "expected an address of the guest, got \(value.hex())")
        }
      }),
    Rule(
      "vcpu-basic.ldt", .error, "The LDT begins at a page and has at most 8192 entries.",
      setContext,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record) else { return }
        if context.ldtBase & 0xFFF != 0 {
          look.report(
            record, "ldt_base", at: context.ldtBaseOffset,
            "expected a multiple of 0x1000, got \(context.ldtBase.hex())")
        }
        if context.ldtEntryCount > 8192 {
          look.report(
            record, "ldt_ents", at: context.ldtEntriesOffset,
            "expected at most 8192, got \(context.ldtEntryCount)")
        }
      }),
    Rule(
      "vcpu-basic.debug", .error, "debugreg[6] and debugreg[7] of a 64-bit guest have 32 bits.",
      setContext, since: 18,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide else { return }
        for register in 6...7 {
          let offset = 8 + 5048 + 8 * register
          let value = record.body.load(offset, as: UInt64.self)
          guard value >> 32 != 0 else { continue }
          look.report(
            record, "debugreg[\(register)]", at: offset,
            "expected a value below 0x100000000, got \(value.hex())")
        }
      }),
    Rule(
      "vcpu-basic.assist", .error, "vCPU 0 has only assists that Xen gives.", setContext,
      since: ReleaseSince(14, [(12, 3), (13, 1)]),
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), record.vcpuID == 0 else { return }
        let known: UInt64 = context.isWide ? 0x1_0000_003F : 0x3F
        guard context.assist.value & ~known != 0 else { return }
        look.report(
          record, "vm_assist", at: context.assist.offset,
          "expected no bits but \(known.hex()), got \(context.assist.value.hex())")
      }),
    Rule(
      "vcpu-basic.mode", .error,
      "A 64-bit guest that is in user mode has user page tables (ctrlreg[1]).", setContext,
      .record([.x86PVVCPUBasic]) { look, record in
        guard let context = PVContext(record), context.isWide,
          record.body.load(8 + 512, as: UInt64.self) & 1 << 2 == 0,
          record.body.load(8 + 4992, as: UInt64.self) == 0
        else { return }
        look.report(
          record, "flags", at: 8 + 512,
          "expected in_kernel (0x4) where ctrlreg[1] is 0, got "
            + record.body.load(8 + 512, as: UInt64.self).hex())
      }),
  ]

  // MARK: - EXTENDED

  private static let pvExtended: [Rule] = [
    Rule(
      "vcpu-extended.state", .error,
      "The extended context is long enough, of a vCPU of the domain, and its addresses are "
        + "canonical.", domctl + "XEN_DOMCTL_set_ext_vcpucontext",
      .record([.x86PVVCPUExtended]) { look, record in
        guard record.length > 8 else { return }
        let size = record.body.count >= 16 ? record.body.load(12, as: UInt32.self) : 0
        if size < 32 {
          look.report(record, "size", at: 12, "expected at least 32, got \(size)")
        }
        let vcpu = record.body.count >= 12 ? record.body.load(8, as: UInt32.self) : 0
        if let count = look.configuration?.vcpuCount, Int(vcpu) >= count {
          look.report(
            record, "vcpu", at: 8, "expected less than \(count) (b_info.max_vcpus), got \(vcpu)")
        }
        for (name, offset) in [("syscall32_callback_eip", 16), ("sysenter_callback_eip", 24)]
        where record.body.count >= offset + 8 {
          let value = record.body.load(offset, as: UInt64.self)
          guard !value.isCanonical else { continue }
          look.report(
            record, name, at: offset, "expected a canonical address, got \(value.hex())")
        }
      }),
    Rule(
      "vcpu-extended.short", .error,
      "The extended context has the bytes that its size says: to releases before 4.19 others are chance.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, process_vcpu_extended; xl of 4.17", until: 19,
      .record([.x86PVVCPUExtended]) { look, record in
        guard record.body.count >= 16 else { return }
        // Xen knows 56 bytes of it.
        let size = min(record.body.load(12, as: UInt32.self), 56)
        guard record.body.count - 8 < Int(size) else { return }
        look.report(
          record, "size", at: 12, "expected at most \(record.body.count - 8), got \(size)")
      }),
    Rule(
      "vcpu-extended.caps", .error,
      "The capabilities of virtual machine checks are those of Xen for the processor's vendor.",
      "Xen: xen/arch/x86/cpu/mcheck/vmce.c, vmce_restore_vcpu",
      .record([.x86PVVCPUExtended]) { look, record in
        // Xen passes over what `size` leaves out.
        guard record.body.count >= 48, record.body.load(12, as: UInt32.self) >= 40,
          let problem = X86MachineCheck.problem(
            record.body.load(40, as: UInt64.self), look.libxc.policy)
        else { return }
        look.report(record, "vmce.caps", at: 40, problem)
      }),
  ]

  // MARK: - XSAVE

  private static let pvXsave: [Rule] = [
    Rule(
      "vcpu-xsave.components", .error,
      "xcr0 and xcr0_accum are sets of components that belong together and that the CPUID policy "
        + "has.", domctl + "XEN_DOMCTL_setvcpuextstate; xstate.c, validate_xstate",
      .record([.x86PVVCPUXsave]) { look, record in
        guard record.body.count >= 24 else { return }
        let xcr0 = record.body.load(8, as: UInt64.self)
        let accumulated = record.body.load(16, as: UInt64.self)
        guard accumulated != 0 else {
          if xcr0 != 0 {
            look.report(
              record, "xcr0", at: 8, "expected 0 where xcr0_accum is 0, got \(xcr0.hex())")
          }
          return
        }
        guard record.body.count >= 24 + X86XState.headByteCount else { return }
        let state = X86ExtendedState(
          xcr0: xcr0, accumulated: accumulated,
          present: record.body.load(24 + 512, as: UInt64.self))
        for (field, problem) in state.problems(policy: look.libxc.policy) {
          look.report(record, field.name, at: 8 + field.offset, problem)
        }
      }),
    Rule(
      "vcpu-xsave.area", .error,
      "The area has the size of its components, in the standard form.",
      domctl + "XEN_DOMCTL_setvcpuextstate",
      .record([.x86PVVCPUXsave]) { look, record in
        guard record.length >= 24, record.body.count == Int(clamping: record.length) else { return }
        let accumulated = record.body.load(16, as: UInt64.self)
        let count = record.body.count - 24
        let components = look.libxc.policy?.xstateComponents ?? X86XState.customary
        let area =
          accumulated == 0
          ? 0 : X86XState.byteCount(mask: accumulated, components: components)
        if let area, count != area {
          look.report(
            record, "length", at: -4,
            "expected \(24 + area) for xcr0_accum \(accumulated.hex()), got \(record.length)")
        } else if area == nil, count < X86XState.headByteCount {
          look.report(
            record, "length", at: -4,
            "expected at least \(24 + X86XState.headByteCount) for xcr0_accum "
              + "\(accumulated.hex()), got \(record.length)")
        }
        guard count >= X86XState.headByteCount else { return }
        let compaction = record.body.load(24 + 520, as: UInt64.self)
        if compaction != 0 {
          look.report(
            record, "xcomp_bv", at: 24 + 520, "expected 0 (not compacted), got \(compaction.hex())")
        }
        if let place = (24 + 528..<24 + 576).first(where: { record.body[$0] != 0 }) {
          look.report(
            record, "reserved", at: place, "expected zeros, got \(record.body[place].hex())")
        }
      }),
  ]

  // MARK: - MSRS

  private static let pvMSRs: [Rule] = [
    Rule(
      "vcpu-msrs.count", .error, "There are at most 7 MSRs.",
      domctl + "XEN_DOMCTL_set_vcpu_msrs",
      .record([.x86PVVCPUMSRs]) { look, record in
        guard record.length > 8 + 7 * 16 else { return }
        look.report(record, "length", at: -4, "expected at most 120, got \(record.length)")
      }),
    Rule(
      "vcpu-msrs.msr", .error,
      "Every MSR is one that Xen loads, with a value that the policies allow.",
      domctl + "XEN_DOMCTL_set_vcpu_msrs; msr.c, guest_wrmsr",
      .record([.x86PVVCPUMSRs]) { look, record in
        for offset in stride(from: 8, through: record.body.count - 16, by: 16) {
          let position = (offset - 8) / 16
          let index = record.body.load(offset, as: UInt32.self)
          guard let row = X86SavedMSR.pv.first(where: { $0.indices.contains(index) }) else {
            look.report(
              record, "msr[\(position)].index", at: offset,
              "expected an MSR that Xen loads, got \(index.hex())")
            continue
          }
          let value = record.body.load(offset + 8, as: UInt64.self)
          guard let problem = row.problem(value, look.libxc.policy) else { continue }
          look.report(
            record, "msr[\(position)].value", at: offset + 8, "\(index.hex()): \(problem)")
        }
      }),
  ]
}

extension PVContext {
  /// Addresses of a 64-bit context that have to be canonical, with their places.
  static let addresses: [(name: String, offset: Int)] = [
    ("user_regs.rip", 648), ("user_regs.rsp", 672), ("kernel_sp", 4976), ("ldt_base", 4816),
    ("fs_base", 5144), ("gs_base_kernel", 5152), ("gs_base_user", 5160),
    ("event_callback_eip", 5112), ("syscall_callback_eip", 5128),
    ("failsafe_callback_eip", 5120),
  ]

  /// Those that must not lie in Xen's part of the address space. Xen: __addr_ok.
  static let guestAddresses: [(name: String, offset: Int)] = [
    ("debugreg[0]", 5048), ("debugreg[1]", 5056), ("debugreg[2]", 5064), ("debugreg[3]", 5072),
  ]
  static let xenAddresses: Range<UInt64> = 0x0000_8000_0000_0000..<0xFFFF_8800_0000_0000
}

extension UInt64 {
  /// Whether it is an address of 48 bits, extended by its sign.
  var isCanonical: Bool {
    let signed = Int64(bitPattern: self)
    return (signed << 16) >> 16 == signed
  }
}
