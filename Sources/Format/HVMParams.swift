// Numbers and names of the HVM parameters. Xen: xen/include/public/hvm/params.h.

public enum HVMParams {
  /// Names without the prefix HVM_PARAM_.
  public static let names: [UInt64: String] = [
    0: "CALLBACK_IRQ", 1: "STORE_PFN", 2: "STORE_EVTCHN", 4: "PAE_ENABLED", 5: "IOREQ_PFN",
    6: "BUFIOREQ_PFN", 9: "VIRIDIAN", 10: "TIMER_MODE", 11: "HPET_ENABLED", 12: "IDENT_PT",
    13: "DM_DOMAIN", 14: "ACPI_S_STATE", 15: "VM86_TSS", 16: "VPT_ALIGN", 17: "CONSOLE_PFN",
    18: "CONSOLE_EVTCHN", 19: "ACPI_IOPORTS_LOCATION", 20: "MEMORY_EVENT_CR0",
    21: "MEMORY_EVENT_CR3", 22: "MEMORY_EVENT_CR4", 23: "MEMORY_EVENT_INT3", 24: "NESTEDHVM",
    25: "MEMORY_EVENT_SINGLE_STEP", 26: "BUFIOREQ_EVTCHN", 27: "PAGING_RING_PFN",
    28: "MONITOR_RING_PFN", 29: "SHARING_RING_PFN", 30: "MEMORY_EVENT_MSR",
    31: "TRIPLE_FAULT_REASON", 32: "IOREQ_SERVER_PFN", 33: "NR_IOREQ_SERVER_PAGES",
    34: "VM_GENERATION_ID_ADDR", 35: "ALTP2M", 36: "X87_FIP_WIDTH", 37: "VM86_TSS_SIZED",
    38: "MCA_CAP",
  ]

  /// The index of a name, with or without HVM_PARAM_ before it.
  public static func index(of name: String) -> UInt64? {
    let prefix = "HVM_PARAM_"
    let short = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    return names.first { $0.value == short }?.key
  }

  /// One more than the greatest parameter. Xen: HVM_NR_PARAMS.
  public static let count: UInt64 = 39

  /// Those that a restore may set. The deprecated ones are refused, but for PAE_ENABLED, which Xen's
  /// library passes over. Xen: hvm_allow_set_param; xg_sr_restore_x86_hvm.c, handle_hvm_params.
  public static let settable: Set<UInt64> = Set(0..<count).subtracting([
    13, 20, 21, 22, 23, 24, 25, 26, 30,
  ])

  /// The releases that refuse one of the others, or PAE_ENABLED. Older ones let DM_DOMAIN be set, at
  /// last only to DOMID_SELF, and NESTEDHVM.
  public static func refused(_ index: UInt64, _ value: UInt64) -> ReleaseSince {
    switch index {
    case 4: 14
    case 13: value == 0x7FF0 ? 12 : 11
    case 24 where value <= 1: 15
    default: 0
    }
  }

  /// Those whose value stays once it is not 0.
  public static let setOnce: Set<UInt64> = [5, 6, 9, 32, 33, 35, 38]
  /// The first releases in which it stays, where that is not in all.
  public static let onceSince: [UInt64: ReleaseSince] = [5: 12, 6: 12]

  /// The number of VIRIDIAN.
  public static let viridianIndex: UInt64 = 9

  /// The enlightenments that bits of VIRIDIAN turn on, with the first release that knows each: the
  /// minor number of Xen 4. no_freq takes away what base_freq gives. Xen: HVMPV_*.
  public static let viridian: [(name: String, since: Int)] = [
    ("base_freq", 0), ("no_freq", 4), ("time_ref_count", 4), ("reference_tsc", 6),
    ("hcall_remote_tlb_flush", 7), ("apic_assist", 7), ("crash_ctl", 9), ("synic", 13),
    ("stimer", 13), ("hcall_ipi", 13), ("ex_processor_masks", 15), ("no_vp_limit", 15),
    ("cpu_hotplug", 15),
  ]

  /// The parts of the value of parameter `index`; none but of VIRIDIAN.
  static func bits(_ index: UInt64) -> [Field.Bits] {
    guard index == viridianIndex else { return [] }
    return viridian.enumerated().map { Field.Bits($1.name, $0) }
  }

  /// The values that Xen takes of a parameter.
  public struct Values: Sendable {
    /// "0 to 3", for messages.
    public let text: String
    private let isTaken: @Sendable (UInt64) -> Bool

    fileprivate init(_ text: String, _ isTaken: @escaping @Sendable (UInt64) -> Bool) {
      self.text = text
      self.isTaken = isTaken
    }

    public func contains(_ value: UInt64) -> Bool { isTaken(value) }
  }

  /// By parameter; those that are missing take every value. Xen: hvm_set_param.
  public static let values: [UInt64: Values] = [
    9: Values("bit 0 (base_freq), and no bits above 12") { $0 & 1 == 1 && $0 >> 13 == 0 },
    10: Values("0 to 3") { $0 <= 3 },
    14: Values("0 or 3") { $0 == 0 || $0 == 3 },
    15: Values("a value below 0x100000000") { $0 >> 32 == 0 },
    19: Values("0 or 1") { $0 <= 1 },
    31: Values("0 to 5") { $0 <= 5 },
    33: Values("1 to 64") { (1...64).contains($0) },
    35: Values("0 to 3") { $0 <= 3 },
    36: Values("0, 4 or 8") { [0, 4, 8].contains($0) },
    37: Values("a size of at least 104 in the upper 32 bits") { $0 >> 32 >= 104 },
    38: Values("0 or 1") { $0 <= 1 },
  ]
  /// The first releases that refuse other values, where not all do.
  public static let valuesSince: [UInt64: ReleaseSince] = [15: 9]
}

extension BodySchema {
  /// What people call the value of a parameter: "hvm_params[12] (IDENT_PT)"; nil for all other places.
  public func paramTitle(of slot: FieldLocation, in body: [UInt8]) -> String? {
    guard slot.path.hasPrefix("param["), slot.path.hasSuffix("].value"),
      fields.contains(where: { $0.name == "param" && $0.key == "index" }),
      case .unsigned(let index)? = find(slot.path.dropLast(5) + "index", in: body)?.value(in: body)
    else { return nil }
    return "hvm_params[\(index)]" + (HVMParams.names[index].map { " (\($0))" } ?? "")
  }
}
