// Entries of HVM_CONTEXT: interrupt controllers, timers and the clock.

extension HVMRecords {
  // MARK: - Interrupt controllers

  /// Instance 0 is the master, 1 the slave. C's bit-fields of bytes 4 and 5 have no name of
  /// their own: here they are the parts of `init` and `mode`, and found beside them too.
  static let pic = EntrySchema(
    3, "PIC", lengths: [0: 8], "One of the two 8259 interrupt controllers.",
    [
      .x8("irr"), .x8("imr"), .x8("isr"), .x8("irq_base"),
      .x8("init").memberBits([
        .init("init_state", 0, width: 4), .init("priority_add", 4, width: 4),
      ]),
      .x8("mode").memberBits([
        .init("readsel_isr", 0), .init("poll", 1), .init("auto_eoi", 2),
        .init("rotate_on_auto_eoi", 3), .init("special_fully_nested_mode", 4),
        .init("special_mask_mode", 5), .init("is_master", 6),
      ]),
      .x8("elcr"), .u8("int_output"),
    ])

  static let ioapic = EntrySchema(
    4, "IOAPIC", lengths: [0: 400], "The I/O APIC.",
    [
      .x64("base_address"), .x32("ioregsel"), .x32("id"),
      Field.array("redirtbl", .fixed(48), each: .x64("").bits(redirection))
        .doc("By pin: 16 of ISA, 32 of PCI."),
    ])

  private static let redirection: [Field.Bits] = [
    .init("vector", 0, width: 8),
    .init("delivery_mode", 8, width: 3, names: X86Bits.deliveryModes),
    .init("dest_mode", 11, names: [0: "physical", 1: "logical"]), .init("delivery_status", 12),
    .init("polarity", 13), .init("remote_irr", 14), .init("trig_mode", 15), .init("mask", 16),
    .init("dest_id", 56, width: 8),
  ]

  /// pending_esr came with 4.21 and was given to 4.18.5, 4.19.2 and 4.20.1, too.
  static let lapic = EntrySchema(
    5, "LAPIC", lengths: [0: 24, 18: 32],
    backports: [.init(18, 5), .init(19, 2), .init(20, 1)], mayBeShorter: true,
    "What a local APIC has besides its registers.",
    [
      .x64("apic_base_msr").bits(X86Bits.apicBase),
      .x32("disabled").bits(["hw_disabled": 0, "sw_disabled": 1]), .u32("timer_divisor"),
      .u64("tdt_msr"), .x32("pending_esr"), .bytes("_pad0", 4),
    ])

  /// The register page: a register of 32 bits at each multiple of 16. The names are the
  /// architecture's; what lies between registers belongs to none.
  static let lapicRegs = EntrySchema(
    6, "LAPIC_REGS", lengths: [0: 1024], "Registers of a local APIC.",
    Field.tiled(
      1024,
      [
        (0x20, .x32("id")), (0x30, .x32("version")),
        (0x80, .x32("tpr")), (0x90, .x32("apr")), (0xA0, .x32("ppr")), (0xB0, .x32("eoi")),
        (0xC0, .x32("rrd")), (0xD0, .x32("ldr")), (0xE0, .x32("dfr")),
        (
          0xF0,
          .x32("svr").bits([
            .init("vector", 0, width: 8), .init("enable", 8), .init("focus_disable", 9),
            .init("eoi_suppress", 12),
          ])
        ),
        (0x100, bank("isr")), (0x180, bank("tmr")), (0x200, bank("irr")),
        (0x280, .x32("esr")), (0x2F0, local("lvt_cmci")),
        (0x300, .x32("icr_low").bits(interruptCommand)), (0x310, .x32("icr_high")),
        (0x320, local("lvt_timer", [.init("timer_mode", 17, width: 2, names: timerModes)])),
        (0x330, local("lvt_thermal")), (0x340, local("lvt_perf")),
        (0x350, local("lvt_lint0")), (0x360, local("lvt_lint1")), (0x370, local("lvt_error")),
        (0x380, .u32("timer_initial")), (0x390, .u32("timer_current")),
        (0x3E0, .x32("timer_divide")), (0x3F0, .x32("self_ipi")),
      ]))

  /// 256 bits in 8 registers, which are 16 bytes apart.
  private static func bank(_ name: String) -> Field {
    Field.array(name, .fixed(8), of: [.x32("bits"), .bytes("_gap", 12)])
      .doc("One bit for each vector.")
  }

  private static let timerModes: [UInt64: String] = [
    0: "one_shot", 1: "periodic", 2: "tsc_deadline",
  ]

  private static func local(_ name: String, _ more: [Field.Bits] = []) -> Field {
    Field.x32(name).bits(
      [
        .init("vector", 0, width: 8),
        .init("delivery_mode", 8, width: 3, names: X86Bits.deliveryModes),
        .init("delivery_status", 12), .init("polarity", 13), .init("remote_irr", 14),
        .init("trig_mode", 15), .init("mask", 16),
      ] + more)
  }

  private static let interruptCommand: [Field.Bits] = [
    .init("vector", 0, width: 8),
    .init("delivery_mode", 8, width: 3, names: X86Bits.deliveryModes),
    .init("dest_mode", 11, names: [0: "physical", 1: "logical"]), .init("delivery_status", 12),
    .init("assert", 14), .init("trig_mode", 15),
    .init(
      "shorthand", 18, width: 2, names: [0: "none", 1: "self", 2: "all", 3: "all_but_self"]),
  ]

  static let pciIRQ = EntrySchema(
    7, "PCI_IRQ", lengths: [0: 16], "Levels of the PCI interrupt wires.",
    [Field.array("i", .fixed(2), each: .x64("")).doc("128 bits: device times 4 plus INTx.")])

  static let isaIRQ = EntrySchema(
    8, "ISA_IRQ", lengths: [0: 8], "Levels of the ISA interrupt wires.",
    [Field.array("i", .fixed(1), each: .x64("")).doc("16 bits, one for each IRQ.")])

  static let pciLink = EntrySchema(
    9, "PCI_LINK", lengths: [0: 8], "Router of PCI interrupts.",
    [
      Field.array("route", .fixed(4), each: .u8("")).doc("The ISA IRQ of a link; 0 for none."),
      .reserved(4, "pad0"),
    ])

  // MARK: - Timers and clock

  static let pit = EntrySchema(
    10, "PIT", lengths: [0: 56], "The 8254 timer.",
    [
      .array(
        "channels", .fixed(3),
        of: [
          Field.u32("count").doc("Up to 65536."), .x16("latched_count"), .u8("count_latched"),
          .u8("status_latched"), .x8("status"), .u8("read_state"), .u8("write_state"),
          .x8("write_latch"), .u8("rw_mode"), .u8("mode"), .u8("bcd"), .u8("gate"),
        ]),
      .u32("speaker_data_on"), .reserved(4, "pad0"),
    ])

  static let rtc = EntrySchema(
    11, "RTC", lengths: [0: 16, 14: 24], mayBeShorter: true, "The real-time clock.",
    [
      Field.array("cmos_data", .fixed(14), each: .x8(""))
        .doc("Seconds, minutes and hours with their alarms, date, registers A to D."),
      .x8("cmos_index"), .bytes("pad0", 1),
      Field.i64("rtc_offset").unit("s").doc("From the host's time."),
    ])

  static let hpet = EntrySchema(
    12, "HPET", lengths: [0: 1048], "The high-precision event timer.",
    [
      .x64("capability").bits([
        .init("rev_id", 0, width: 8), .init("num_tim", 8, width: 5), .init("count_size", 13),
        .init("leg_rt", 15), .init("vendor_id", 16, width: 16),
        .init("counter_clk_period", 32, width: 32),
      ]),
      .x64("res0"), .x64("config").bits(["enable": 0, "leg_rt": 1]), .x64("res1"),
      .x64("isr").bits(["t0": 0, "t1": 1, "t2": 2]),
      .array("res2", .fixed(25), each: .x64("")), .u64("mc64"), .x64("res3"),
      .array(
        "timers", .fixed(3),
        of: [.x64("config").bits(hpetTimer), .u64("cmp"), .x64("fsb"), .x64("res4")]),
      .array("res5", .fixed(84), each: .x64("")), .array("period", .fixed(3), each: .u64("")),
    ])

  private static let hpetTimer: [Field.Bits] = [
    .init("int_type", 1, names: [0: "edge", 1: "level"]), .init("int_enb", 2),
    .init("type", 3, names: [0: "one_shot", 1: "periodic"]), .init("per_int_cap", 4),
    .init("size_cap", 5), .init("val_set", 6), .init("32mode", 8),
    .init("int_route", 9, width: 5), .init("fsb_en", 14), .init("fsb_int_del_cap", 15),
    .init("int_route_cap", 32, width: 32),
  ]

  static let pmtimer = EntrySchema(
    13, "PMTIMER", lengths: [0: 8], "The ACPI power-management timer.",
    [
      .u32("tmr_val"), .x16("pm1a_sts").bits(powerEvents), .x16("pm1a_en").bits(powerEvents),
    ])

  /// ACPI, PM1 status and enable registers.
  private static let powerEvents: [Field.Bits] = [
    .init("tmr", 0), .init("bm", 4), .init("gbl", 5), .init("pwrbtn", 8), .init("slpbtn", 9),
    .init("rtc", 10), .init("wak", 15),
  ]
}
