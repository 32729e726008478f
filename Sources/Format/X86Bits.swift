// Bits of the processor's registers: rows of several tables share them.

/// Parts of registers, by the architecture's names in lower case.
enum X86Bits {
  static let rflags: [Field.Bits] =
    single([
      "cf": 0, "pf": 2, "af": 4, "zf": 6, "sf": 7, "tf": 8, "if": 9, "df": 10, "of": 11, "nt": 14,
      "rf": 16, "vm": 17, "ac": 18, "vif": 19, "vip": 20, "id": 21,
    ]) + [Field.Bits("iopl", 12, width: 2)]

  static let cr0 = single([
    "pe": 0, "mp": 1, "em": 2, "ts": 3, "et": 4, "ne": 5, "wp": 16, "am": 18, "nw": 29, "cd": 30,
    "pg": 31,
  ])

  static let cr4 = single([
    "vme": 0, "pvi": 1, "tsd": 2, "de": 3, "pse": 4, "pae": 5, "mce": 6, "pge": 7, "pce": 8,
    "osfxsr": 9, "osxmmexcpt": 10, "umip": 11, "la57": 12, "vmxe": 13, "smxe": 14, "fsgsbase": 16,
    "pcide": 17, "osxsave": 18, "smep": 20, "smap": 21, "pke": 22, "cet": 23, "pks": 24,
    "uintr": 25, "lass": 27, "lam_sup": 28, "fred": 32,
  ])

  static let efer = single([
    "sce": 0, "lme": 8, "lma": 10, "nxe": 11, "svme": 12, "lmsle": 13, "ffxse": 14, "tce": 15,
    "aibrse": 21,
  ])

  /// Xen: struct segment_attributes, the packed form of 12 bits.
  static let segmentAttributes: [Field.Bits] = [
    .init("type", 0, width: 4), .init("s", 4), .init("dpl", 5, width: 2), .init("p", 7),
    .init("avl", 8), .init("l", 9), .init("db", 10), .init("g", 11),
  ]

  static let mxcsr: [Field.Bits] =
    single([
      "ie": 0, "de": 1, "ze": 2, "oe": 3, "ue": 4, "pe": 5, "daz": 6, "im": 7, "dm": 8, "zm": 9,
      "om": 10, "um": 11, "pm": 12, "fz": 15,
    ]) + [Field.Bits("rc", 13, width: 2)]

  static let apicBase: [Field.Bits] = [
    .init("bsp", 8), .init("extd", 10), .init("en", 11), .init("address", 12, width: 40),
  ]

  /// Delivery modes of interrupts: I/O APIC, local vector table and ICR.
  static let deliveryModes: [UInt64: String] = [
    0: "fixed", 1: "lowest_priority", 2: "smi", 4: "nmi", 5: "init", 6: "startup", 7: "extint",
  ]

  /// Types of an event that waits to be injected.
  static let eventTypes: [UInt64: String] = [
    0: "ext_intr", 2: "nmi", 3: "hw_exc", 4: "sw_int", 5: "priv_sw_exc", 6: "sw_exc", 7: "other",
  ]

  /// Memory types of PAT and MTRR.
  static let memoryTypes: [UInt64: String] = [
    0: "uc", 1: "wc", 4: "wt", 5: "wp", 6: "wb", 7: "uc_minus",
  ]

  static let pat: [Field.Bits] = (0..<8).map {
    Field.Bits("pa\($0)", 8 * $0, width: 3, names: memoryTypes)
  }

  private static func single(_ bits: KeyValuePairs<String, Int>) -> [Field.Bits] {
    bits.map { Field.Bits($0.key, $0.value) }
  }
}
