// Rules for the state in HVM_CONTEXT: what each loader of Xen checks.
//
// `release` is the first release whose loader makes the check: an older one takes such a state,
// and the guest continues with it.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let cpuLoader = "Xen: xen/arch/x86/hvm/hvm.c, hvm_load_cpu_ctxt"
  private static let xsaveLoader =
    "Xen: xen/arch/x86/hvm/hvm.c, hvm_load_cpu_xsave_states; xstate.c, validate_xstate"
  private static let msrLoader = "Xen: xen/arch/x86/hvm/hvm.c, hvm_load_cpu_msrs"

  static let hvmState: [Rule] =
    hvmInstances + hvmCPU + hvmExtendedState + hvmMSRs + hvmInterruptControllers + hvmTimers
    + hvmOthers

  // MARK: - Instances

  private static let hvmInstances: [Rule] = [
    Rule(
      "hvm-context.vcpu", .error, "An entry of a vCPU is of one that the domain has.",
      "Xen: the loaders of CPU, CPU_XSAVE, CPU_MSR, LAPIC, LAPIC_REGS, MTRR, VIRIDIAN_VCPU, "
        + "VMCE_VCPU and TSC_ADJUST",
      .context { look, record, entries in
        guard let count = look.configuration?.vcpuCount else { return }
        for entry in entries
        where HVMContextType.ofVCPU.contains(entry.type) && Int(entry.instance) >= count {
          let reader = HVMEntryReader(entry, record.body)
          look.report(
            record, reader, "", at: -6,
            "expected a vCPU below \(count) (b_info.max_vcpus), got \(entry.instance)")
        }
      }),
    Rule(
      "hvm-context.vcpus", .warning,
      "Every vCPU has the entries that Xen saves of each: LAPIC, LAPIC_REGS, MTRR and others.",
      "Xen: xen/arch/x86/hvm/save.c, hvm_save",
      .context { look, record, entries in
        var instances: [UInt16: Set<UInt16>] = [:]
        for entry in entries where HVMContextType.ofEveryVCPU.contains(entry.type) {
          instances[entry.type, default: []].insert(entry.instance)
        }
        let all = instances.values.reduce(into: Set<UInt16>()) { $0.formUnion($1) }
        for type in instances.keys.sorted() {
          let missing = all.subtracting(instances[type] ?? [])
          guard let first = missing.min() else { continue }
          let name = HVMRecords.chain.layout(type)?.name ?? String(type)
          look.report(
            record, "\(name)[\(first)]",
            "expected an entry as other types have one of this vCPU, got none"
              + (missing.count > 1 ? " (and \(missing.count - 1) more like it)" : ""))
        }
      }),
    Rule(
      "hvm-context.device", .error, "A PVH guest has no entry of a device that it does not have.",
      "Xen: vpic_load, ioapic_load, pit_load, rtc_load, hpet_load and acpi_load, ENODEV",
      .context { look, record, entries in
        guard look.configuration?.type == "pvh" else { return }
        for entry in entries where HVMContextType.ofPlatform.contains(entry.type) {
          look.report(
            record, HVMEntryReader(entry, record.body), "", at: -8,
            "expected no such entry in a PVH guest, got one")
        }
      }),
  ]

  // MARK: - CPU

  private static let hvmCPU: [Rule] = [
    Rule(
      "hvm-cpu.cr0", .error, "CR0 has ET, no reserved bit, and paging only in protected mode.",
      cpuLoader,
      .entries(HVMContextType.cpu) { look, record, cpu in
        let value = cpu.u64(656)
        if value & ~0xE005_003F != 0 {
          look.report(
            record, cpu, "cr0", at: 656,
            "expected no bits but 0xe005003f, got \(value.hex())")
        } else if value & 1 << 4 == 0 {
          look.report(record, cpu, "cr0", at: 656, "expected ET (0x10), got \(value.hex())")
        } else if value & 1 << 31 != 0, value & 1 == 0 {
          look.report(
            record, cpu, "cr0", at: 656, "expected PE (0x1) beside PG, got \(value.hex())")
        }
      }),
    Rule(
      "hvm-cpu.cr4", .error, "CR4 has only bits whose features the CPUID policy has.",
      "Xen: xen/arch/x86/hvm/hvm.c, hvm_cr4_guest_valid_bits",
      .entries(HVMContextType.cpu) { look, record, cpu in
        let value = cpu.u64(680)
        for bit in X86ControlBits.wrong(value, X86ControlBits.cr4, look.libxc.policy) {
          look.report(record, cpu, "cr4", at: 680, bit)
        }
        if let problem = X86ControlBits.unknown(value, X86ControlBits.cr4) {
          look.report(record, cpu, "cr4", at: 680, problem)
        }
      }),
    Rule(
      "hvm-cpu.efer", .error,
      "EFER has only bits whose features the CPUID policy has, and agrees with CR0.PG.",
      "Xen: xen/arch/x86/hvm/hvm.c, hvm_efer_valid",
      .entries(HVMContextType.cpu) { look, record, cpu in
        let value = cpu.u64(992)
        for bit in X86ControlBits.wrong(value, X86ControlBits.efer, look.libxc.policy) {
          look.report(record, cpu, "msr_efer", at: 992, bit)
        }
        if let problem = X86ControlBits.unknown(value, X86ControlBits.efer) {
          look.report(
            record, cpu, "msr_efer", at: 992, problem,
            since: ReleaseSince(12, [(8, 5), (9, 3), (10, 2), (11, 1)]))
        }
        let isPaging = cpu.u64(656) & 1 << 31 != 0
        if value & 1 << 10 != 0, value & 1 << 8 == 0 || !isPaging {
          look.report(
            record, cpu, "msr_efer", at: 992,
            "expected LMA (0x400) only with LME (0x100) and CR0.PG, got \(value.hex())")
        }
      }),
    Rule(
      "hvm-cpu.entry", .error,
      "A processor enters the vCPU: long mode has CR4.PAE and not both CS.L and CS.D, and AMD's "
        + "CR0.NW comes with CD.",
      "Xen: xen/arch/x86/hvm/svm/svmdebug.c, svm_vmcb_isvalid; Intel SDM volume 3, VM Entries",
      .entries(HVMContextType.cpu) { look, record, cpu in
        // Xen takes such a state, and crashes the domain when the vCPU is to run.
        let cr0 = cpu.u64(656)
        if cr0 & 1 << 29 != 0, cr0 & 1 << 30 == 0, X86MachineCheck.isAMD(look.libxc.policy) {
          look.report(
            record, cpu, "cr0", at: 656, "expected CD (0x40000000) beside NW, got \(cr0.hex())")
        }
        guard cpu.u64(992) & 1 << 10 != 0 else { return }
        // With shadow page tables the processor has Xen's own CR4.PAE.
        if cpu.u64(680) & 1 << 5 == 0, look.configuration?.usesHAP != false {
          look.report(
            record, cpu, "cr4", at: 680,
            "expected PAE (0x20) in long mode, got \(cpu.u64(680).hex())")
        }
        let attributes = cpu.segmentAttributes(888)
        if attributes & 0x600 == 0x600 {
          look.report(
            record, cpu, "cs_arbytes", at: 888,
            "expected L (0x200) or D (0x400) in long mode, got both (\(attributes.hex()))")
        }
      }),
    Rule(
      "hvm-cpu.debug", .error, "DR6 and DR7 have 32 bits.", cpuLoader, since: 18,
      .entries(HVMContextType.cpu) { look, record, cpu in
        for (name, offset) in [("dr6", 720), ("dr7", 728)] where cpu.u64(offset) >> 32 != 0 {
          look.report(
            record, cpu, name, at: offset,
            "expected a value below 0x100000000, got \(cpu.u64(offset).hex())")
        }
      }),
    Rule(
      "hvm-cpu.cr3", .error, "CR3 is a physical address of the guest.", cpuLoader,
      since: 14,
      .entries(HVMContextType.cpu) { look, record, cpu in
        // No processor has more than 52.
        let bits = min(look.libxc.policy?.physicalAddressBits ?? 52, 52)
        guard cpu.u64(672) >> UInt64(bits) != 0 else { return }
        look.report(
          record, cpu, "cr3", at: 672,
          "expected at most \(bits) bits (maxphysaddr), got \(cpu.u64(672).hex())")
      }),
    Rule(
      "hvm-cpu.reserved", .error, "pad0 and the reserved flags are zero: Xen refuses others.",
      cpuLoader,
      .entries(HVMContextType.cpu) { look, record, cpu in
        guard cpu.entry.byteCount != HVMContextType.oldCPUByteCount else { return }
        // Of a shorter entry Xen sets the flags itself.
        if cpu.entry.byteCount == HVMContextType.cpuByteCount, cpu.u32(1024) & ~1 != 0 {
          look.report(
            record, cpu, "flags", at: 1024, "expected 0 or 1, got \(cpu.u32(1024).hex())")
        }
        if cpu.u32(1028) != 0 {
          look.report(record, cpu, "pad0", at: 1028, "expected 0, got \(cpu.u32(1028).hex())")
        }
      }),
    Rule(
      "hvm-cpu.tsc-aux", .error, "TSC_AUX has 32 bits.", cpuLoader, since: 12,
      .entries(HVMContextType.cpu) { look, record, cpu in
        guard cpu.entry.byteCount != HVMContextType.oldCPUByteCount, cpu.u64(1000) >> 32 != 0
        else { return }
        look.report(
          record, cpu, "msr_tsc_aux", at: 1000,
          "expected a value below 0x100000000, got \(cpu.u64(1000).hex())")
      }),
    Rule(
      "hvm-cpu.event", .error, "A pending event is one that a processor can have.",
      "Xen: xen/arch/x86/hvm/vmx/vmx.c, vmx_vmcs_restore; svm/svm.c, svm_vmcb_restore; "
        + "AMD APM volume 2, VMRUN; Intel SDM volume 3, VM Entries",
      .entries(HVMContextType.cpu) { look, record, cpu in
        let base = cpu.entry.byteCount == HVMContextType.oldCPUByteCount ? 1008 : 1016
        let event = cpu.u32(base)
        guard event >> 31 != 0 else { return }
        let (type, vector) = (event >> 8 & 7, event & 0xFF)
        let isAMD = X86MachineCheck.isAMD(look.libxc.policy)
        let greatest: UInt32 = isAMD ? 4 : 6
        if type == 1 || type > greatest {
          look.report(
            record, cpu, "pending_type", at: base, "expected 0 or 2 to \(greatest), got \(type)")
        }
        // Xen takes it, and the processor does not enter the guest with it.
        if type == 3, vector > 31 || isAMD && vector == 2 {
          look.report(
            record, cpu, "pending_vector", at: base,
            "expected the vector of an exception, got \(vector)")
        }
        if event >> 12 & 0x7FFFF != 0 {
          look.report(
            record, cpu, "pending_reserved", at: base,
            "expected 0, got \((event >> 12 & 0x7FFFF).hex())")
        }
        if event & 1 << 11 != 0, cpu.u32(base + 4) >> 16 != 0 {
          look.report(
            record, cpu, "error_code", at: base + 4,
            "expected a value below 0x10000, got \(cpu.u32(base + 4).hex())", since: 9)
        }
      }),
  ]

  // MARK: - CPU_XSAVE

  private static let hvmExtendedState: [Rule] = [
    Rule(
      "hvm-xsave.size", .error,
      "CPU_XSAVE has the size of its components; what is beyond them is zero.", xsaveLoader,
      .entries(HVMContextType.cpuXsave) { look, record, xsave in
        let length = Int(xsave.entry.claimed)
        guard length == xsave.entry.byteCount else { return }
        guard length >= 24 + X86XState.headByteCount else {
          look.report(
            record, xsave, "", at: -4,
            "expected at least \(24 + X86XState.headByteCount) bytes, got \(length)")
          return
        }
        let components = look.libxc.policy?.xstateComponents ?? X86XState.customary
        guard let area = X86XState.byteCount(mask: xsave.u64(16), components: components),
          xsave.u64(16) != 0
        else { return }
        if length < 24 + area {
          look.report(
            record, xsave, "", at: -4,
            "expected \(24 + area) bytes for xcr0_accum \(xsave.u64(16).hex()), got \(length)")
        } else if let place = xsave.firstNonZero(from: 24 + area) {
          look.report(
            record, xsave, "", at: place,
            "expected zero after byte \(24 + area), got \(xsave.u8(place).hex())")
        }
      }),
    Rule(
      "hvm-xsave.components", .error,
      "xcr0 and xcr0_accum are sets of components that belong together and that the CPUID policy "
        + "has.", xsaveLoader,
      .entries(HVMContextType.cpuXsave) { look, record, xsave in
        guard xsave.entry.byteCount >= 24 + X86XState.headByteCount else { return }
        let state = X86ExtendedState(
          xcr0: xsave.u64(8), accumulated: xsave.u64(16), present: xsave.u64(24 + 512))
        for (field, problem) in state.problems(policy: look.libxc.policy) {
          look.report(record, xsave, field.name, at: 8 + field.offset, problem)
        }
      }),
    Rule(
      "hvm-xsave.header", .error,
      "The header of the area says the standard form, and its reserved bytes are zero.",
      xsaveLoader,
      .entries(HVMContextType.cpuXsave) { look, record, xsave in
        guard xsave.entry.byteCount >= 24 + X86XState.headByteCount else { return }
        if xsave.u64(24 + 520) != 0 {
          look.report(
            record, xsave, "xcomp_bv", at: 24 + 520,
            "expected 0 (not compacted), got \(xsave.u64(24 + 520).hex())")
        }
        if let place = xsave.firstNonZero(from: 24 + 528, to: 24 + 576) {
          look.report(
            record, xsave, "reserved", at: place,
            "expected zeros, got \(xsave.u8(place).hex())")
        }
      }),
  ]

  // MARK: - CPU_MSR

  private static let hvmMSRs: [Rule] = [
    Rule(
      "hvm-msr.count", .error, "CPU_MSR has as many MSRs as count says, and one at least.",
      msrLoader,
      .entries(HVMContextType.cpuMSR) { look, record, msrs in
        let length = UInt64(msrs.entry.claimed)
        guard length == UInt64(msrs.entry.byteCount) else { return }
        let count = UInt64(msrs.u32(0))
        if length < 24 {
          look.report(
            record, msrs, "", at: -4, "expected at least 24 bytes (one MSR), got \(length)")
        } else if length != 8 + 16 * count {
          look.report(
            record, msrs, "count", at: 0,
            "expected a count that fits \(length) bytes, got \(count)")
        }
      }),
    Rule(
      "hvm-msr.msr", .error,
      "Every MSR is one that Xen loads, with a value that the policies allow.",
      msrLoader + "; xen/arch/x86/msr.c, guest_wrmsr",
      .entries(HVMContextType.cpuMSR) { look, record, msrs in
        let count = max(0, min(Int(msrs.u32(0)), (msrs.entry.byteCount - 8) / 16))
        for position in 0..<count {
          let place = 8 + 16 * position
          if msrs.u32(place + 4) != 0 {
            look.report(
              record, msrs, "msr[\(position)]._rsvd", at: place + 4,
              "expected 0, got \(msrs.u32(place + 4).hex())")
          }
          let index = msrs.u32(place)
          guard let row = X86SavedMSR.hvm.first(where: { $0.indices.contains(index) }) else {
            look.report(
              record, msrs, "msr[\(position)].index", at: place,
              "expected an MSR that Xen loads, got \(index.hex())")
            continue
          }
          guard let problem = row.problem(msrs.u64(place + 8), look.libxc.policy) else { continue }
          look.report(
            record, msrs, "msr[\(position)].val", at: place + 8, "\(index.hex()): \(problem)")
        }
      }),
    Rule(
      "hvm-msr.bounds", .error,
      "BNDCFGS turns on bounds only after a CPU_XSAVE of the vCPU that has BNDREGS and BNDCSR in "
        + "xcr0_accum.", msrLoader + "; xen/arch/x86/msr.c, guest_wrmsr",
      since: ReleaseSince(13, [(6, 6), (7, 3)]),
      .context { look, record, entries in
        var accumulated: [UInt16: UInt64] = [:]
        for entry in entries {
          let reader = HVMEntryReader(entry, record.body)
          if entry.type == HVMContextType.cpuXsave { accumulated[entry.instance] = reader.u64(16) }
          guard entry.type == HVMContextType.cpuMSR,
            accumulated[entry.instance, default: 0] & 0b11 << 3 == 0
          else { continue }
          for place in stride(from: 8, through: entry.byteCount - 16, by: 16)
          where reader.u32(place) == 0xD90 && reader.u64(place + 8) & 1 != 0 {
            look.report(
              record, reader, "msr[\((place - 8) / 16)].val", at: place + 8,
              "expected no ENABLE (0x1) without BNDREGS and BNDCSR, got "
                + reader.u64(place + 8).hex())
          }
        }
      }),
  ]

  // MARK: - Devices

  private static let hvmInterruptControllers: [Rule] = [
    Rule(
      "hvm-pic.instance", .error, "There are two PICs: 0, the master, and 1.",
      "Xen: xen/arch/x86/hvm/vpic.c, vpic_load",
      .entries(HVMContextType.pic) { look, record, pic in
        guard pic.entry.instance > 1 else { return }
        look.report(record, pic, "", at: -6, "expected 0 or 1, got \(pic.entry.instance)")
      }),
    Rule(
      "hvm-pic.state", .error, "A PIC is in a state that it can reach.",
      "Xen: xen/arch/x86/hvm/vpic.c, vpic_check", since: 19,
      .entries(HVMContextType.pic) { look, record, pic in
        guard pic.entry.instance <= 1 else { return }
        let isMaster = pic.u8(5) & 1 << 6 != 0
        let elcr: UInt8 = isMaster ? 0xFC : 0xDE
        if pic.u8(7) > 1 {
          look.report(record, pic, "int_output", at: 7, "expected 0 or 1, got \(pic.u8(7))")
        } else if pic.u8(7) != 0, pic.u8(4) & 0xF != 0 {
          look.report(
            record, pic, "int_output", at: 7,
            "expected 0 while it is initialised (init_state \(pic.u8(4) & 0xF)), got 1")
        }
        if isMaster != (pic.entry.instance == 0) {
          look.report(
            record, pic, "is_master", at: 5,
            "expected \(pic.entry.instance == 0 ? 1 : 0), got \(isMaster ? 1 : 0)")
        } else if pic.u8(6) & ~elcr != 0 {
          look.report(
            record, pic, "elcr", at: 6,
            "expected no bits but \(elcr.hex()), got \(pic.u8(6).hex())")
        }
      }),
    Rule(
      "hvm-lapic.mode", .error, "A local APIC in x2APIC mode (EXTD) is enabled (EN).",
      "Xen: xen/arch/x86/hvm/vlapic.c, lapic_load_hidden",
      .entries(HVMContextType.lapic) { look, record, apic in
        guard apic.u64(0) & 0xC00 == 0x400 else { return }
        look.report(
          record, apic, "apic_base_msr", at: 0,
          "expected EN (0x800) beside EXTD (0x400), got \(apic.u64(0).hex())")
      }),
    Rule(
      "hvm-lapic.divisor", .warning,
      "The timer of a local APIC divides by a power of two up to 128: with 0, a guest that reads "
        + "it stops the host.",
      "Xen: xen/arch/x86/hvm/vlapic.c, vlapic_set_tdcr and vlapic_get_tmcct",
      .entries(HVMContextType.lapic) { look, record, apic in
        let divisor = apic.u32(12)
        guard divisor.nonzeroBitCount != 1 || divisor > 128 else { return }
        look.report(
          record, apic, "timer_divisor", at: 12,
          "expected a power of two up to 128, got \(divisor)")
      }),
    Rule(
      "hvm-pci-link.route", .error, "A PCI link is routed to an ISA IRQ, 0 to 15.",
      "Xen: xen/arch/x86/hvm/irq.c, irq_load_link",
      .entries(HVMContextType.pciLink) { look, record, links in
        for link in 0..<4 where links.u8(link) > 15 {
          look.report(
            record, links, "route[\(link)]", at: link, "expected 0 to 15, got \(links.u8(link))")
        }
      }),
    Rule(
      "hvm-pci-link.reserved", .error, "The reserved bytes of PCI_LINK are zero.",
      "Xen: xen/arch/x86/hvm/irq.c, irq_check_link", since: 19,
      .entries(HVMContextType.pciLink) { look, record, links in
        guard let place = links.firstNonZero(from: 4, to: 8) else { return }
        look.report(
          record, links, "pad0[\(place - 4)]", at: place,
          "expected 0, got \(links.u8(place).hex())")
      }),
  ]

  private static let hvmTimers: [Rule] = [
    Rule(
      "hvm-pit.state", .error, "The PIT is in a state that it can reach.",
      "Xen: xen/arch/x86/emul-i8254.c, pit_check", since: 19,
      .entries(HVMContextType.pit) { look, record, pit in
        for channel in 0..<3 {
          let base = 16 * channel
          func report(_ field: String, _ offset: Int, _ problem: String) {
            look.report(
              record, pit, "channels[\(channel)].\(field)", at: base + offset, problem)
          }
          if pit.u32(base) > 0x10000 {
            report("count", 0, "expected at most 0x10000, got \(pit.u32(base).hex())")
          }
          // The greatest values: Xen's states are 0 to 4, and WORD1 is no mode.
          let limits: [(String, Int, UInt8)] = [
            ("count_latched", 6, 4), ("read_state", 9, 4), ("write_state", 10, 4),
            ("rw_mode", 12, 3), ("bcd", 14, 1), ("gate", 15, 1),
          ]
          for (field, offset, limit) in limits where pit.u8(base + offset) > limit {
            report(field, offset, "expected at most \(limit), got \(pit.u8(base + offset))")
          }
          if channel != 2, pit.u8(base + 15) == 0 { report("gate", 15, "expected 1, got 0") }
        }
        if pit.u32(48) > 1 {
          look.report(
            record, pit, "speaker_data_on", at: 48, "expected 0 or 1, got \(pit.u32(48).hex())")
        }
        if pit.u32(52) != 0 {
          look.report(record, pit, "pad0", at: 52, "expected 0, got \(pit.u32(52).hex())")
        }
      })
  ]

  private static let hvmOthers: [Rule] = [
    Rule(
      "hvm-mtrr.count", .error, "A vCPU has at most 8 MTRRs of variable ranges.",
      "Xen: xen/arch/x86/hvm/mtrr.c, hvm_load_mtrr_msr", since: 12,
      .entries(HVMContextType.mtrr) { look, record, mtrr in
        guard mtrr.u8(224) > 8 else { return }
        look.report(
          record, mtrr, "msr_mtrr_cap.vcnt", at: 224, "expected at most 8, got \(mtrr.u8(224))")
      }),
    Rule(
      "hvm-vmce.caps", .error,
      "The capabilities of virtual machine checks are those of Xen for the processor's vendor.",
      "Xen: xen/arch/x86/cpu/mcheck/vmce.c, vmce_restore_vcpu",
      .entries(HVMContextType.vmce) { look, record, vmce in
        guard let problem = X86MachineCheck.problem(vmce.u64(0), look.libxc.policy) else { return }
        look.report(record, vmce, "caps", at: 0, problem)
      }),
    Rule(
      "hvm-viridian.reserved", .error, "The reserved bytes of VIRIDIAN_VCPU are zero.",
      "Xen: xen/arch/x86/hvm/viridian/viridian.c, viridian_load_vcpu_ctxt",
      .entries(HVMContextType.viridianVCPU) { look, record, viridian in
        guard let place = viridian.firstNonZero(from: 9, to: 16) else { return }
        look.report(
          record, viridian, "_pad", at: place, "expected zeros, got \(viridian.u8(place).hex())")
      }),
    Rule(
      "hvm-viridian.page", .warning,
      "The pages that the guest lends to the Hyper-V interface are pages of the guest.",
      "Xen: xen/arch/x86/hvm/viridian/viridian.c, viridian_map_guest_page; XSA-472",
      .entries(HVMContextType.viridianDomain, HVMContextType.viridianVCPU) {
        look, record, viridian in
        // Xen before 4.17.6, 4.18.6, 4.19.4, 4.20.2 and 4.21 writes to them without looking whether
        // they are there, and stops.
        guard let highest = look.imageSummary.highestPFN else { return }
        let pages =
          viridian.entry.type == HVMContextType.viridianDomain
          ? [("reference_tsc", 24)] : [("vp_assist_msr", 0), ("simp_msr", 16)]
        for (name, offset) in pages {
          let value = viridian.u64(offset)
          guard value & 1 != 0, value >> 12 > highest else { continue }
          look.report(
            record, viridian, name, at: offset,
            "expected a pfn up to \(highest.hex()), got \((value >> 12).hex())")
        }
      }),
  ]
}
