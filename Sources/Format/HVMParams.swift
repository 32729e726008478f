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

  /// The number of a name, with or without HVM_PARAM_ before it.
  public static func number(_ name: String) -> UInt64? {
    let prefix = "HVM_PARAM_"
    let short = name.hasPrefix(prefix) ? String(name.dropFirst(prefix.count)) : name
    return names.first { $0.value == short }?.key
  }
}

extension BodyLayout {
  /// What people call the value of a parameter: "hvm_params[12] (IDENT_PT)"; nil for all other places.
  public func paramTitle(of slot: Slot, in body: [UInt8]) -> String? {
    guard slot.path.hasPrefix("param["), slot.path.hasSuffix("].value"),
      fields.contains(where: { $0.name == "param" && $0.key == "index" }),
      case .unsigned(let number)? = find(slot.path.dropLast(5) + "index", in: body)?.value(in: body)
    else { return nil }
    return "hvm_params[\(number)]" + (HVMParams.names[number].map { " (\($0))" } ?? "")
  }
}
