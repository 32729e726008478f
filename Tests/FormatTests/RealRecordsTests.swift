// Records that Xen's own tools wrote (Tests/Fixtures/records), read through the tables.

import Bytes
import Testing

@testable import Format

@Suite struct RealRecordsTests {
  struct Value: Sendable, CustomTestStringConvertible {
    let file: String
    let type: RecordType
    let path: String
    let value: UInt64
    init(_ file: String, _ type: RecordType, _ path: String, _ value: UInt64) {
      self.file = file
      self.type = type
      self.path = path
      self.value = value
    }
    var testDescription: String { "\(file) \(path)" }
  }

  static let hvm = "hvm-context"
  static let basic = "pv-vcpu-basic"

  /// Values read from the bytes by hand.
  static let values: [Value] = [
    Value(basic, .x86PVVCPUBasic, "vcpu_id", 0),
    Value(basic, .x86PVVCPUBasic, "fpu_ctxt.fcw", 0x37F),
    Value(basic, .x86PVVCPUBasic, "fpu_ctxt.mxcsr.pm", 1),
    Value(basic, .x86PVVCPUBasic, "fpu_ctxt.fip_width", 4),
    Value(basic, .x86PVVCPUBasic, "flags.i387_valid", 1),
    Value(basic, .x86PVVCPUBasic, "flags.online", 1),
    Value(basic, .x86PVVCPUBasic, "user_regs.rip", 0xFFFF_FFFF_81A0_43A5),
    Value(basic, .x86PVVCPUBasic, "user_regs.cs", 0xE033),
    Value(basic, .x86PVVCPUBasic, "user_regs.rdx", 0x3E00),
    Value(basic, .x86PVVCPUBasic, "user_regs.rflags.if", 1),
    Value(basic, .x86PVVCPUBasic, "gdt_ents", 16),
    Value(basic, .x86PVVCPUBasic, "ctrlreg[3]", 0x2A1_0000),
    Value(basic, .x86PVVCPUBasic, "vm_assist.runstate_update_flag", 1),
    Value(basic, .x86PVVCPUBasic, "event_callback_eip", 0xFFFF_FFFF_8102_6130),
    Value("pv-vcpu-extended", .x86PVVCPUExtended, "size", 64),
    Value("pv-vcpu-extended", .x86PVVCPUExtended, "syscall32_disables_events", 1),
    Value("pv-vcpu-extended", .x86PVVCPUExtended, "vmce.caps", 2),
    Value("pv-vcpu-xsave", .x86PVVCPUXsave, "xcr0_accum.ymm", 1),
    Value("pv-vcpu-xsave", .x86PVVCPUXsave, "save_area.fpu_sse.fcw", 0x37F),
    Value("pv-vcpu-xsave", .x86PVVCPUXsave, "save_area.xsave_hdr.xstate_bv", 7),
    Value("pv-shared-info", .sharedInfo, "arch.max_pfn", 0x8000),
    Value("pv-shared-info", .sharedInfo, "arch.p2m_vaddr", 0xFFFF_C900_0000_0000),
    Value("pv-shared-info", .sharedInfo, "wc_sec", 0x6B03_BF65),
    Value("msr-policy", .x86MSRPolicy, "msr[MSR_INTEL_PLATFORM_INFO].value", 0x8000_0000),
    Value(hvm, .hvmContext, "HEADER.magic", 0x5438_1286),
    Value(hvm, .hvmContext, "HEADER.gtsc_khz", 0x279D01),
    Value(hvm, .hvmContext, "CPU[0].rip", 0xFFFF_FFFF_AD00_3DB3),
    Value(hvm, .hvmContext, "CPU[0].cr0.pg", 1),
    Value(hvm, .hvmContext, "CPU[0].cs_arbytes.l", 1),
    Value(hvm, .hvmContext, "CPU[0].msr_efer.nxe", 1),
    Value(hvm, .hvmContext, "CPU[0].flags.fpu_initialised", 1),
    Value(hvm, .hvmContext, "CPU[0].pending_valid", 0),
    Value(hvm, .hvmContext, "PIC[0].is_master", 1), Value(hvm, .hvmContext, "PIC[1].is_master", 0),
    Value(hvm, .hvmContext, "PIC[1].irq_base", 0x38),
    Value(hvm, .hvmContext, "IOAPIC.redirtbl[1].vector", 0x23),
    Value(hvm, .hvmContext, "IOAPIC.redirtbl[1].mask", 1),
    Value(hvm, .hvmContext, "LAPIC.apic_base_msr.extd", 1),
    Value(hvm, .hvmContext, "LAPIC.apic_base_msr.address", 0xFEE00),
    Value(hvm, .hvmContext, "LAPIC.timer_divisor", 2),
    Value(hvm, .hvmContext, "LAPIC_REGS.version", 0x50014),
    Value(hvm, .hvmContext, "LAPIC_REGS.tpr", 0x10),
    Value(hvm, .hvmContext, "LAPIC_REGS.dfr", 0xFFFF_FFFF),
    Value(hvm, .hvmContext, "LAPIC_REGS.lvt_error.mask", 1),
    Value(hvm, .hvmContext, "PIT.channels[0].count", 0x10000),
    Value(hvm, .hvmContext, "PIT.channels[2].gate", 1),
    Value(hvm, .hvmContext, "PIT.channels[1].mode", 0xFF),
    Value(hvm, .hvmContext, "RTC.cmos_data[7]", 0x23),
    Value(hvm, .hvmContext, "HPET.config.leg_rt", 1),
    Value(hvm, .hvmContext, "HPET.capability.counter_clk_period", 0xF42400),
    Value(hvm, .hvmContext, "HPET.timers[0].config.type", 1),
    Value(hvm, .hvmContext, "HPET.timers[0].config.int_route_cap", 0xF00000),
    Value(hvm, .hvmContext, "HPET.period[0]", 0x3D090),
    Value(hvm, .hvmContext, "PMTIMER.pm1a_en.gbl", 1),
    Value(hvm, .hvmContext, "MTRR.msr_pat_cr.pa1", 4),
    Value(hvm, .hvmContext, "MTRR.msr_mtrr_def_type.e", 1),
    Value(hvm, .hvmContext, "MTRR.msr_mtrr_cap.vcnt", 8),
    Value(hvm, .hvmContext, "VMCE_VCPU.caps", 2),
  ]

  @Test(arguments: values) func value(_ value: Value) throws {
    let body = try Fixture.read("records/\(value.file).bin")
    let layout = BodySchema(value.type, body: body, BodyContext(guestWidth: 8))
    let slot = try layout.slot(value.path, in: body)
    #expect(slot.value(in: body) == .unsigned(value.value))
  }

  static let files: [(String, RecordType)] = [
    (basic, .x86PVVCPUBasic), ("pv-vcpu-extended", .x86PVVCPUExtended),
    ("pv-vcpu-xsave", .x86PVVCPUXsave), ("pv-shared-info", .sharedInfo),
    ("cpuid-policy", .x86CPUIDPolicy), ("msr-policy", .x86MSRPolicy), (hvm, .hvmContext),
    ("pvh-context", .hvmContext), ("emulator-context", .emulatorContext),
  ]

  /// Every byte has a place, none is in excess, and what is reserved is zero.
  @Test(arguments: files) func tablesFit(_ file: String, _ type: RecordType) throws {
    let body = try Fixture.read("records/\(file).bin")
    let layout = BodySchema(type, body: body, BodyContext(guestWidth: 8))
    var offset = 0
    layout.walk(body) { leaf in
      // A chain's headers of 8 bytes belong to no leaf.
      let head = type == .hvmContext && leaf.offset == offset + 8 ? 8 : 0
      #expect(leaf.offset == offset + head, "\(leaf.path)")
      offset = leaf.offset + leaf.byteCount
      #expect(leaf.field.name != "excess", "\(leaf.path)")
      if case .reserved(let count) = leaf.field.kind {
        #expect(leaf.value(in: body) == .bytes([UInt8](repeating: 0, count: count)))
      }
    }
    #expect(offset + (type == .hvmContext ? 8 : 0) == body.count)
  }

  @Test func entriesInOrder() throws {
    let body = try Fixture.read("records/hvm-context.bin")
    let layout = BodySchema(.hvmContext, body: body, BodyContext())
    let entries = layout.children(of: try layout.slot("entry", in: body), in: body)
    #expect(
      entries.map(\.path) == [
        "HEADER[0]", "CPU[0]", "PIC[0]", "PIC[1]", "IOAPIC[0]", "LAPIC[0]", "LAPIC_REGS[0]",
        "PCI_IRQ[0]", "ISA_IRQ[0]", "PCI_LINK[0]", "PIT[0]", "RTC[0]", "HPET[0]", "PMTIMER[0]",
        "MTRR[0]", "VMCE_VCPU[0]", "TSC_ADJUST[0]", "END[0]",
      ])
    // Xen 4.17's LAPIC ends before pending_esr.
    #expect(layout.find("LAPIC[0].pending_esr", in: body) == nil)
    #expect(layout.find("LAPIC[0].tdt_msr", in: body) != nil)
    #expect(layout.find("PIC[2].irr", in: body) == nil)
  }

  @Test func componentsOfTheImage() throws {
    let policy = try Fixture.read("records/cpuid-policy.bin")
    let leaves = CPUIDLeaf.all(in: policy, BodyContext())
    let components = CPUIDFeatures.xstateComponents(fromCPUIDLeaves: leaves)
    #expect(components == [2: X86XState.Component(offset: 576, byteCount: 256)])
    let body = try Fixture.read("records/pv-vcpu-xsave.bin")
    #expect(X86XState.byteCount(mask: 7, components: components) == body.count - 8 - 16)

    let unknown = BodySchema(.x86PVVCPUXsave, body: body, BodyContext())
    #expect(try unknown.slot("save_area.components", in: body).byteCount == 256)
    let known = BodySchema(.x86PVVCPUXsave, body: body, BodyContext(xstate: components))
    let ymm = try known.slot("save_area.YMM.ymm_high[15]", in: body)
    #expect(ymm.offset == 24 + 576 + 240 && ymm.byteCount == 16)
    #expect(known.find("save_area.components", in: body) == nil)

    let features = try #require(leaves.first { $0.leaf == 1 })
    let names = CPUIDFeatures.names(leaf: 1, subleaf: features.subleaf, register: .d)
    for name in ["fpu", "sse2", "fxsr"] {
      let bit = try #require(CPUIDFeatures.bit(named: name))
      #expect(names[bit.bit] == name && UInt64(features.d) & bit.mask != 0)
    }
  }

  @Test func deviceModel() throws {
    let body = try Fixture.read("records/emulator-context.bin")
    let state = try #require(QEMUState(body))
    #expect(state.version == 3)
    #expect(
      state.sections.map { "\($0.id) \($0.idstr) \($0.instance) \($0.version)" } == [
        "0 timer 0 2", "3 cpu_common 0 1", "4 cpu 0 12", "5 apic 0 3", "6 fw_cfg 0 2",
        "8 PCIBUS 0 1", "9 0000:00:00.0/I440FX 0 3", "10 dma 0 1", "11 dma 1 1",
        "12 0000:00:01.0/PIIX3 0 3", "13 ioapic 0 3", "14 hpet 0 2", "15 mc146818rtc 0 3",
        "16 serial 0 3", "17 fdc 0 2", "18 ps2kbd 0 3", "19 ps2mouse 0 2", "20 pckbd 0 3",
        "21 port92 0 1", "22 0000:00:01.1/ide 0 3", "23 i2c_bus 0 1",
        "24 0000:00:01.3/piix4_pm 0 3", "33 0000:00:02.0/platform 0 4",
      ])
    #expect(state.sections.allSatisfy { !$0.isEndCertain })
    #expect(state.end == body.count - 1..<body.count)
  }
}
