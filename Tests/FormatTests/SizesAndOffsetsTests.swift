// Sizes and offsets as measured from Xen's headers, written by hand and not from the tables.

import Bytes
import Testing

@testable import Format

@Suite struct SizesAndOffsetsTests {
  struct Size: Sendable, CustomTestStringConvertible {
    var testDescription: String { name }
    let name: String
    let fields: [Field]
    let byteCount: Int
    init(_ name: String, _ fields: [Field], _ byteCount: Int) {
      self.name = name
      self.fields = fields
      self.byteCount = byteCount
    }
  }

  static func group(_ fields: [Field], _ name: String) -> [Field] {
    guard let field = fields.first(where: { $0.name == name }) else { return [] }
    switch field.kind {
    case .group(let inside): return inside
    case .array(let element, _):
      if case .group(let inside) = element.kind { return inside }
      return [element]
    default: return []
    }
  }

  static let sizes: [Size] = [
    Size("vcpu_guest_context 64", X86PVState.context64, 5168),
    Size("vcpu_guest_context 32", X86PVState.context32, 2800),
    Size("cpu_user_regs 64", group(X86PVState.context64, "user_regs"), 200),
    Size("cpu_user_regs 32", group(X86PVState.context32, "user_regs"), 68),
    Size("trap_info 64", group(X86PVState.context64, "trap_ctxt"), 16),
    Size("trap_info 32", group(X86PVState.context32, "trap_ctxt"), 8),
    Size("FXSAVE", group(X86PVState.context64, "fpu_ctxt"), 512),
    Size("ext_vcpucontext", Array(X86PVState.extended.dropLast()), 64),
    Size("hvm_vmce_vcpu", X86PVState.vmce, 32),
    Size("shared_info 64", Array(X86PVState.sharedInfo64.dropLast()), 3136),
    Size("shared_info 32", Array(X86PVState.sharedInfo32.dropLast()), 2344),
    Size("SHARED_INFO 64", X86PVState.sharedInfo64, 4096),
    Size("SHARED_INFO 32", X86PVState.sharedInfo32, 4096),
    Size("vcpu_info 64", group(X86PVState.sharedInfo64, "vcpu_info"), 64),
    Size("vcpu_info 32", group(X86PVState.sharedInfo32, "vcpu_info"), 64),
    Size("arch_shared_info 64", group(X86PVState.sharedInfo64, "arch"), 48),
    Size("arch_shared_info 32", group(X86PVState.sharedInfo32, "arch"), 28),
    Size(
      "arch_vcpu_info 64", group(group(X86PVState.sharedInfo64, "vcpu_info"), "arch"), 16),
    Size(
      "arch_vcpu_info 32", group(group(X86PVState.sharedInfo32, "vcpu_info"), "arch"), 24),
    Size("vcpu_time_info", group(group(X86PVState.sharedInfo64, "vcpu_info"), "time"), 32),
    Size("start_info 64", X86PVState.startInfo64, 1168),
    Size("start_info 32", X86PVState.startInfo32, 1112),
    Size("X86_TSC_INFO", LibxcRecords.x86TSCInfo.forms[0].fields, 24),
    Size("xen_cpuid_leaf", group(LibxcRecords.x86CPUIDPolicy.forms[0].fields, "leaf"), 24),
    Size("xen_msr_entry", group(LibxcRecords.x86MSRPolicy.forms[0].fields, "msr"), 16),
    Size(
      "xen_domctl_vcpu_msr", group(LibxcRecords.x86PVVCPUMSRs.forms[0].fields, "msr"), 16),
    Size("hvm_one_msr", group(HVMRecords.cpuMSR.fields, "msr"), 16),
    Size("hvm_msr", Array(HVMRecords.cpuMSR.fields.dropLast()), 8),
    Size("PIT channel", group(HVMRecords.pit.fields, "channels"), 16),
    Size("HPET timer", group(HVMRecords.hpet.fields, "timers"), 32),
    Size("save_area header", Array(group(X86XState.hvmFields, "save_area").dropLast()), 576),
  ]

  @Test(arguments: sizes) func size(_ size: Size) {
    #expect(Field.fixedByteCount(of: size.fields) == size.byteCount, "\(size.name)")
  }

  /// Number, name and all lengths of each type, then the bytes of today's table.
  static let entries: [(UInt16, String, [Int], Int?)] = [
    (0, "END", [0], 0), (1, "HEADER", [24], 24), (2, "CPU", [1016, 1024, 1032], 1032),
    (3, "PIC", [8], 8), (4, "IOAPIC", [400], 400), (5, "LAPIC", [24, 32], 32),
    (6, "LAPIC_REGS", [1024], 1024), (7, "PCI_IRQ", [16], 16), (8, "ISA_IRQ", [8], 8),
    (9, "PCI_LINK", [8], 8), (10, "PIT", [56], 56), (11, "RTC", [16, 24], 24),
    (12, "HPET", [1048], 1048), (13, "PMTIMER", [8], 8), (14, "MTRR", [240], 240),
    (15, "VIRIDIAN_DOMAIN", [16, 24, 32], 32), (16, "CPU_XSAVE", [], nil),
    (17, "VIRIDIAN_VCPU", [8, 16, 216], 216), (18, "VMCE_VCPU", [24, 32], 32),
    (19, "TSC_ADJUST", [8], 8), (20, "CPU_MSR", [], nil),
  ]

  @Test(arguments: entries)
  func entry(_ number: UInt16, _ name: String, _ lengths: [Int], _ byteCount: Int?) throws {
    let entry = try #require(HVMRecords.chain.layout(number))
    #expect(entry.name == name)
    #expect(HVMRecords.chain.type(name) == number)
    #expect(entry.lengths == lengths)
    #expect(Field.fixedByteCount(of: entry.fields) == byteCount)
  }

  @Test func entriesAreComplete() {
    #expect(HVMRecords.all.map(\.type) == Array(0...20))
    #expect(HVMRecords.chain.layout(21) == nil)
    #expect(HVMRecords.cpu.fields(byteCount: 1016).count == HVMRecords.cpu.fields.count - 3)
  }

  /// The lengths that each release writes: 4.4, 4.5, 4.6, 4.7, 4.10, 4.13, 4.14, 4.18, 4.22.
  static let releases: [(String, [Int])] = [
    ("CPU", [1024, 1024, 1024, 1032, 1032, 1032, 1032, 1032, 1032]),
    ("LAPIC", [24, 24, 24, 24, 24, 24, 24, 32, 32]),
    ("RTC", [16, 16, 16, 16, 16, 16, 24, 24, 24]),
    ("VIRIDIAN_DOMAIN", [16, 24, 32, 32, 32, 32, 32, 32, 32]),
    ("VIRIDIAN_VCPU", [8, 8, 8, 16, 16, 216, 216, 216, 216]),
    ("VMCE_VCPU", [24, 24, 24, 24, 32, 32, 32, 32, 32]),
    ("MTRR", [240, 240, 240, 240, 240, 240, 240, 240, 240]),
  ]

  @Test(arguments: releases) func release(_ name: String, _ byteCounts: [Int]) throws {
    let entry = try #require(HVMRecords.all.first { $0.name == name })
    #expect([4, 5, 6, 7, 10, 13, 14, 18, 22].map { entry.byteCount(xenMinor: $0) } == byteCounts)
  }

  // MARK: - Offsets

  struct Place: Sendable, CustomTestStringConvertible {
    var testDescription: String { "\(table.name) \(path)" }
    let table: Table
    let path: String
    let offset: Int
    let byteCount: Int
    init(_ table: Table, _ path: String, _ offset: Int, _ byteCount: Int) {
      self.table = table
      self.path = path
      self.offset = offset
      self.byteCount = byteCount
    }
  }

  static func hvm(_ name: String, _ byteCount: Int) -> Table {
    let entry = HVMRecords.all.first { $0.name == name }
    return Table(
      name: name, fields: entry?.fields(byteCount: byteCount) ?? [], byteCount: byteCount)
  }
  static let context64 = Table(name: "64", fields: X86PVState.context64, byteCount: 5168)
  static let context32 = Table(name: "32", fields: X86PVState.context32, byteCount: 2800)
  static let shared64 = Table(name: "64", fields: X86PVState.sharedInfo64, byteCount: 4096)
  static let shared32 = Table(name: "32", fields: X86PVState.sharedInfo32, byteCount: 4096)
  static let extended = Table(name: "ext", fields: X86PVState.extended, byteCount: 64)
  static let xsave = Table(
    name: "xsave", fields: X86XState.pvFields, byteCount: 2712, context: Table.customary)

  static let places: [Place] = [
    Place(context64, "fpu_ctxt.fcw", 0, 2), Place(context64, "fpu_ctxt.fop", 6, 2),
    Place(context64, "fpu_ctxt.mxcsr", 24, 4), Place(context64, "fpu_ctxt.st[0]", 32, 16),
    Place(context64, "fpu_ctxt.fip_width", 511, 1), Place(context64, "fpu_ctxt.xmm[15]", 400, 16),
    Place(context64, "flags", 512, 8),
    Place(context64, "user_regs.r15", 520, 8), Place(context64, "user_regs.rdx", 616, 8),
    Place(context64, "user_regs.error_code", 640, 4), Place(context64, "user_regs.rip", 648, 8),
    Place(context64, "user_regs.cs", 656, 2),
    Place(context64, "user_regs.saved_upcall_mask", 660, 1),
    Place(context64, "user_regs.rflags", 664, 8), Place(context64, "user_regs.gs", 712, 2),
    Place(context64, "trap_ctxt[0].vector", 720, 1),
    Place(context64, "trap_ctxt[255].address", 720 + 255 * 16 + 8, 8),
    Place(context64, "ldt_base", 4816, 8), Place(context64, "gdt_frames[0]", 4832, 8),
    Place(context64, "gdt_ents", 4960, 8), Place(context64, "kernel_ss", 4968, 8),
    Place(context64, "ctrlreg[1]", 4992, 8), Place(context64, "ctrlreg[3]", 5008, 8),
    Place(context64, "debugreg[7]", 5104, 8), Place(context64, "event_callback_eip", 5112, 8),
    Place(context64, "vm_assist", 5136, 8), Place(context64, "gs_base_user", 5160, 8),
    Place(context32, "flags", 512, 4), Place(context32, "user_regs.edx", 524, 4),
    Place(context32, "user_regs.error_code", 544, 2), Place(context32, "user_regs.eip", 548, 4),
    Place(context32, "user_regs.eflags", 556, 4), Place(context32, "user_regs.gs", 580, 2),
    Place(context32, "trap_ctxt[2].address", 604, 4), Place(context32, "ldt_base", 2632, 4),
    Place(context32, "gdt_frames[0]", 2640, 4), Place(context32, "gdt_ents", 2704, 4),
    Place(context32, "ctrlreg[3]", 2728, 4), Place(context32, "event_callback_cs", 2780, 4),
    Place(context32, "vm_assist", 2796, 4), Place(extended, "syscall32_callback_eip", 8, 8),
    Place(extended, "sysenter_callback_cs", 26, 2),
    Place(extended, "sysenter_disables_events", 29, 1), Place(extended, "vmce.caps", 32, 8),
    Place(extended, "vmce.mcg_ext_ctl", 56, 8),
    Place(shared64, "vcpu_info[1].evtchn_upcall_mask", 65, 1),
    Place(shared64, "vcpu_info[2].evtchn_pending_sel", 136, 8),
    Place(shared64, "vcpu_info[0].arch.cr2", 16, 8),
    Place(shared64, "vcpu_info[31].time.tsc_shift", 31 * 64 + 60, 1),
    Place(shared64, "evtchn_pending[0]", 2048, 8), Place(shared64, "evtchn_mask[0]", 2560, 8),
    Place(shared64, "wc_sec_hi", 3084, 4), Place(shared64, "arch.max_pfn", 3088, 8),
    Place(shared64, "arch.p2m_cr3", 3112, 8), Place(shared64, "arch.p2m_generation", 3128, 8),
    Place(shared32, "vcpu_info[1].evtchn_pending_sel", 68, 4),
    Place(shared32, "vcpu_info[0].arch.cr2", 8, 4), Place(shared32, "evtchn_mask[0]", 2176, 4),
    Place(shared32, "wc_nsec", 2312, 4), Place(shared32, "arch.p2m_vaddr", 2332, 4),
    Place(shared32, "arch.wc_sec_hi", 2340, 4), Place(xsave, "xcr0_accum", 8, 8),
    Place(xsave, "save_area.fpu_sse.xmm[0]", 16 + 160, 16),
    Place(xsave, "save_area.xsave_hdr.xstate_bv", 16 + 512, 8),
    Place(xsave, "save_area.YMM.ymm_high[1]", 16 + 592, 16),
    Place(xsave, "save_area.OPMASK.k[7]", 16 + 1088 + 56, 8),
    Place(xsave, "save_area.PKRU.pkru", 16 + 2688, 4),
    Place(hvm("CPU", 1032), "rip", 640, 8), Place(hvm("CPU", 1032), "cr4", 680, 8),
    Place(hvm("CPU", 1032), "cs_sel", 736, 4), Place(hvm("CPU", 1032), "gdtr_limit", 804, 4),
    Place(hvm("CPU", 1032), "gdtr_base", 880, 8), Place(hvm("CPU", 1032), "ldtr_arbytes", 916, 4),
    Place(hvm("CPU", 1032), "msr_efer", 992, 8), Place(hvm("CPU", 1032), "tsc", 1008, 8),
    Place(hvm("CPU", 1032), "error_code", 1020, 4), Place(hvm("CPU", 1032), "flags", 1024, 4),
    Place(hvm("CPU", 1016), "tsc", 1000, 8), Place(hvm("CPU", 1016), "pending_event", 1008, 4),
    Place(hvm("CPU", 1016), "error_code", 1012, 4), Place(hvm("PIC", 8), "elcr", 6, 1),
    Place(hvm("IOAPIC", 400), "redirtbl[47]", 392, 8),
    Place(hvm("LAPIC", 32), "pending_esr", 24, 4), Place(hvm("LAPIC_REGS", 1024), "id", 0x20, 4),
    Place(hvm("LAPIC_REGS", 1024), "irr[7].bits", 0x270, 4),
    Place(hvm("LAPIC_REGS", 1024), "timer_divide", 0x3E0, 4),
    Place(hvm("PIT", 56), "channels[2].gate", 47, 1),
    Place(hvm("PIT", 56), "speaker_data_on", 48, 4), Place(hvm("RTC", 24), "rtc_offset", 16, 8),
    Place(hvm("HPET", 1048), "mc64", 240, 8), Place(hvm("HPET", 1048), "timers[2].cmp", 328, 8),
    Place(hvm("HPET", 1048), "period[0]", 1024, 8),
    Place(hvm("MTRR", 240), "msr_mtrr_fixed[0]", 136, 8),
    Place(hvm("MTRR", 240), "msr_mtrr_def_type", 232, 8),
    Place(hvm("VIRIDIAN_VCPU", 216), "sint_msr[0]", 24, 8),
    Place(hvm("VIRIDIAN_VCPU", 216), "stimer_count_msr[3]", 208, 8),
  ]

  @Test(arguments: places) func offset(_ place: Place) throws {
    let body = [UInt8](repeating: 0, count: place.table.byteCount)
    let slot = try place.table.layout().slot(place.path, in: body)
    #expect(slot.offset == place.offset, "\(place.table.name) \(place.path)")
    #expect(slot.byteCount == place.byteCount, "\(place.table.name) \(place.path)")
    #expect(slot.order == .little)
  }
}
