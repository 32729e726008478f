// Rules for HVM_CONTEXT's entries and for HVM_PARAMS.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let load = "Xen: xen/arch/x86/hvm/save.c, hvm_load"
  private static let setParam = "Xen: xen/arch/x86/hvm/hvm.c, hvm_set_param"
  private static let handler = "Xen: tools/libs/guest/xg_sr_restore_x86_hvm.c, handle_hvm_params"

  static let hvmContext: [Rule] = [
    Rule(
      "hvm-context.header", .error,
      "The first entry is HEADER with its magic and version 1.",
      "Xen: xen/arch/x86/hvm/save.c, arch_hvm_check",
      .context { look, record, entries in
        guard let first = entries.first else { return }
        // Whatever its instance is: Xen does not look at it.
        guard first.type == HVMContextType.header else {
          look.report(
            record, "entry[0]", at: first.offset - 8,
            "expected HEADER (type 1), got type \(first.type)")
          return
        }
        guard first.claimed == 24, first.byteCount == 24 else {
          look.report(
            record, "HEADER[0]", at: first.offset - 4, "expected 24 bytes, got \(first.claimed)")
          return
        }
        let magic = record.body.load(first.offset, as: UInt32.self)
        let version = record.body.load(first.offset + 4, as: UInt32.self)
        if magic != 0x5438_1286 {
          look.report(
            record, "HEADER[0].magic", at: first.offset,
            "expected 0x54381286, got \(magic.hex(8))")
        }
        if version != 1 {
          look.report(
            record, "HEADER[0].version", at: first.offset + 4, "expected 1, got \(version)")
        }
      }),
    Rule(
      "hvm-context.overrun", .error, "Every entry ends within the record.", load,
      .context { look, record, entries in
        // Xen stops at END, whatever its length says.
        guard let last = entries.last, last.type != HVMContextType.end,
          Int(last.claimed) > last.byteCount
        else { return }
        look.report(
          record, "entry[\(entries.count - 1)]", at: last.offset - 4,
          "expected at most \(last.byteCount) bytes, got \(last.claimed)")
      }),
    Rule(
      "hvm-context.end", .error, "The last entry is END.", load,
      .context { look, record, entries in
        guard record.length > 0 else { return }
        if let last = entries.last {
          guard last.type != HVMContextType.end, Int(last.claimed) == last.byteCount
          else { return }
        }
        let end = entries.last.map { $0.offset + $0.byteCount } ?? 0
        look.report(
          record, "entry[\(entries.count)]", at: end,
          "expected an entry or END, got \(record.body.count - end) bytes")
      }),
    Rule(
      "hvm-context.excess", .warning, "END has no data and nothing follows it: Xen stops there.",
      load,
      .context { look, record, entries in
        guard let last = entries.last, last.type == HVMContextType.end else { return }
        if last.offset == record.body.count {
          guard last.claimed != 0 else { return }
          return look.report(
            record, "entry[\(entries.count - 1)]", at: last.offset - 4,
            "expected 0 bytes, got \(last.claimed)")
        }
        look.report(
          record, "entry[\(entries.count - 1)]", at: last.offset,
          "expected the end, got \(record.body.count - last.offset) bytes after END")
      }),
    Rule(
      "hvm-context.duplicate", .warning,
      "Each instance of a type has one entry: of two, Xen takes the last.",
      "Rationale: no Xen writes two",
      .context { look, record, entries in
        let keys = entries.map { UInt32($0.type) << 16 | UInt32($0.instance) }
        let sorted = keys.sorted()
        let twice = Set(
          sorted.indices.dropFirst().filter { sorted[$0] == sorted[$0 - 1] }
            .prefix(VerificationContext.findingLimitOfRule).map { sorted[$0] })
        guard !twice.isEmpty else { return }
        var seen: Set<UInt32> = []
        for (index, key) in keys.enumerated() where twice.contains(key) {
          if seen.insert(key).inserted { continue }
          look.report(
            record, "entry[\(index)]", at: entries[index].offset - 8,
            "expected another instance, got a second entry of type \(key >> 16), instance "
              + "\(key & 0xFFFF)")
        }
      }),
    Rule(
      "hvm-context.type", .error,
      "Every entry has a type that Xen knows, and only the first is HEADER: it refuses others.",
      load,
      .context { look, record, entries in
        for (index, entry) in entries.enumerated() where entry.type > HVMContextType.greatest {
          look.report(
            record, "entry[\(index)]", at: entry.offset - 8,
            "expected a type up to \(HVMContextType.greatest), got \(entry.type)")
        }
        for (index, entry) in entries.enumerated().dropFirst()
        where entry.type == HVMContextType.header {
          look.report(
            record, "entry[\(index)]", at: entry.offset - 8,
            "expected a type other than HEADER after the first entry, got HEADER")
        }
      }),
    Rule(
      "hvm-context.entry-length", .error, "An entry has a length that a release has written.",
      "Xen: xen/arch/x86/hvm/save.c, _hvm_check_entry",
      .context { look, record, entries in
        // END's length is for hvm-context.excess: Xen does not look at it.
        for entry in entries where entry.type != HVMContextType.end {
          guard let layout = HVMRecords.chain.layout(entry.type), !layout.lengths.isEmpty,
            !layout.lengths.contains(Int(entry.claimed)), Int(entry.claimed) == entry.byteCount,
            !layout.isFilledUp(entry)
          else { continue }
          let lengths = layout.lengths.map(String.init).joined(separator: " or ")
          look.report(
            record, "\(layout.name)[\(entry.instance)]", at: entry.offset - 4,
            "expected \(lengths) bytes, got \(entry.claimed)")
        }
      }),
    Rule(
      "hvm-context.entry-short", .warning,
      "An entry that Xen fills up with zeros has a length that a release has written.",
      "Xen: xen/arch/x86/hvm/save.c, _hvm_read_entry",
      .context { look, record, entries in
        for entry in entries {
          guard let layout = HVMRecords.chain.layout(entry.type), layout.isFilledUp(entry),
            !layout.lengths.contains(Int(entry.claimed))
          else { continue }
          look.report(
            record, "\(layout.name)[\(entry.instance)]", at: entry.offset - 4,
            "expected \(layout.lengths.map(String.init).joined(separator: " or ")) bytes, got "
              + "\(entry.claimed): Xen takes the rest as zeros")
        }
      }),
    Rule(
      "hvm-context.cpu", .warning, "A vCPU has a CPU entry: without one, none of them runs.", load,
      .context { look, record, entries in
        guard !entries.contains(where: { $0.type == HVMContextType.cpu }) else { return }
        look.report(record, "", "expected an entry of type CPU, got none")
      }),
  ]

  static let hvmParams: [Rule] = [
    Rule(
      "hvm-params.count", .error, "The body is its header and as many parameters as count says.",
      handler,
      .record([.hvmParams]) { look, record in
        guard record.body.count >= 8 else { return }
        let count = record.body.load(0, as: UInt32.self, record.context.order)
        let expected = 8 + 16 * UInt64(count)
        guard record.length != expected else { return }
        look.report(
          record, "count", at: 0,
          "expected a count that fits \(record.length) bytes, got \(count), which takes "
            + "\(expected)",
          // Before, what follows was left alone.
          since: record.length > expected ? ReleaseSince(9, [(6, 6), (7, 3), (8, 2)]) : 0)
      }),
    Rule(
      "hvm-params.index", .error,
      "Every parameter is one that Xen lets a toolstack set; PAE_ENABLED is passed over.", setParam,
      .record([.hvmParams]) { look, record in
        for (position, param) in record.hvmParams.enumerated() {
          // The rest of the index is for hvm-params.number, but PAE_ENABLED is passed over by all of
          // it.
          let parameter = HVMParams.parameter(param.index)
          if HVMParams.settable.contains(parameter),
            parameter != HVMParams.paeEnabled || parameter == param.index
          {
            continue
          }
          let name = HVMParams.names[parameter].map { " (\($0))" } ?? ""
          look.report(
            record, "param[\(position)].index", at: 8 + 16 * position,
            "expected a parameter that Xen sets, got \(param.index.hex())\(name)",
            since: HVMParams.refused(parameter, param.value))
        }
      }),
    Rule(
      "hvm-params.value", .error, "Every parameter has a value that Xen takes.", setParam,
      .record([.hvmParams]) { look, record in
        let isNested = look.configuration?.isNested == true
        for (position, param) in record.hvmParams.enumerated() {
          let parameter = HVMParams.parameter(param.index)
          func report(_ expected: String) {
            look.report(
              record, "param[\(position)].value", at: 16 + 16 * position,
              "expected \(expected) for \(HVMParams.names[parameter] ?? ""), got "
                + param.value.hex(), since: HVMParams.valuesSince[parameter])
          }
          if let range = HVMParams.values[parameter], !range.contains(param.value) {
            report(range.text)
          } else if parameter == HVMParams.altp2m, param.value != 0, isNested {
            report("0 beside nested_hvm")
          }
        }
      }),
    Rule(
      "hvm-params.number", .warning,
      "A parameter's number has 32 bits: libxc passes over the others when it sets it.",
      "Xen: tools/libs/ctrl/xc_domain.c, xc_hvm_param_set; xl of 4.17",
      .record([.hvmParams]) { look, record in
        for (position, param) in record.hvmParams.enumerated() where param.index >> 32 != 0 {
          look.report(
            record, "param[\(position)].index", at: 8 + 16 * position,
            "expected a number below 0x100000000, got \(param.index.hex())")
        }
      }),
    Rule(
      "hvm-params.pvh", .error,
      "A PVH guest has no ACPI power management, which a parameter places.",
      "Xen: xen/arch/x86/hvm/pmtimer.c, pmtimer_change_ioport, ENODEV",
      .record([.hvmParams]) { look, record in
        guard look.configuration?.type == "pvh" else { return }
        for (position, param) in record.hvmParams.enumerated()
        where HVMParams.parameter(param.index) == HVMParams.acpiIOPorts {
          look.report(
            record, "param[\(position)].index", at: 8 + 16 * position,
            "expected none in a PVH guest, got 19 (ACPI_IOPORTS_LOCATION)")
        }
      }),
    Rule(
      "hvm-params.once", .error, "A parameter that Xen lets be set once has one value.",
      "Xen: xen/arch/x86/hvm/hvm.c, hvm_allow_set_param",
      .record([.hvmParams]) { look, record in
        var values = look.libxc.onceParams
        if let config = look.configuration, config.isTranslated {
          for (index, value) in config.onceParams where value != 0 { values[index] = value }
        }
        for (position, param) in record.hvmParams.enumerated() {
          let parameter = HVMParams.parameter(param.index)
          guard HVMParams.setOnce.contains(parameter) else { continue }
          if let before = values[parameter], before != 0, before != param.value {
            look.report(
              record, "param[\(position)].value", at: 16 + 16 * position,
              "expected \(before.hex()) as before, got \(param.value.hex())",
              since: HVMParams.onceSince[parameter])
          } else {
            values[parameter] = param.value
          }
        }
      }),
    Rule(
      "hvm-params.suspended", .error,
      "The last ACPI_S_STATE is 0: with 3, Xen keeps the guest suspended.",
      "Xen: xen/arch/x86/hvm/hvm.c, hvm_s3_suspend",
      .completion { look, record in
        guard look.libxc.guest == .x86HVM, look.libxc.isSuspended else { return }
        look.report(record, "", "expected 0 as the last ACPI_S_STATE before it, got 3")
      }),
    Rule(
      "hvm-params.duplicate", .warning, "Each parameter comes once: a second value replaces it.",
      handler,
      .record([.hvmParams]) { look, record in
        var seen = look.libxc.checkpoint.params
        for (position, param) in record.hvmParams.enumerated() where param.index < 64 {
          if seen & 1 << param.index != 0 {
            look.report(
              record, "param[\(position)].index", at: 8 + 16 * position,
              "expected a parameter that has not come yet, got \(param.index)")
          }
          seen |= 1 << param.index
        }
      }),
    Rule(
      "hvm-params.page", .error,
      "STORE_PFN and CONSOLE_PFN are pages of the guest: xenstored and xenconsoled map them.",
      "Xen: tools/libs/light/libxl_create.c, domcreate_console_available; xl of 4.17",
      .completion { look, record in
        guard look.libxc.guest == .x86HVM else { return }
        // They are mapped by the grant table, which takes 32 bits of a pfn.
        let state = look.libxc.checkpoint
        for (name, pfn) in [("STORE_PFN", state.storePFN), ("CONSOLE_PFN", state.consolePFN)]
        where pfn != 0 && look.libxc.populated.contains(pfn & 0xFFFF_FFFF) == false {
          look.report(
            record, "", "expected the page of \(name) (pfn \(pfn.hex())) before it, got none")
        }
      }),
    Rule(
      "hvm-params.store-pfn", .warning, "STORE_PFN is among them: else the guest has no xenstore.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_hvm.c, x86_hvm_stream_complete",
      .completion { look, record in
        guard look.libxc.guest == .x86HVM, look.libxc.checkpoint.has(.hvmParams),
          look.libxc.checkpoint.storePFN == 0
        else { return }
        look.report(record, "", "expected STORE_PFN in HVM_PARAMS before it, got none")
      }),
  ]
}

extension HVMParams {
  static let paeEnabled: UInt64 = 4
  static let acpiSState: UInt64 = 14
  static let acpiIOPorts: UInt64 = 19
  static let altp2m: UInt64 = 35

  /// The parameter that an index sets: libxc takes its lower 32 bits.
  /// Xen: tools/libs/ctrl/xc_domain.c, xc_hvm_param_set.
  static func parameter(_ index: UInt64) -> UInt64 { index & 0xFFFF_FFFF }
}

extension EntrySchema {
  /// Whether Xen takes an entry of this length, which is shorter than its own.
  fileprivate func isFilledUp(_ entry: ChainEntry) -> Bool {
    guard mayBeShorter, let greatest = lengths.max() else { return false }
    return Int(entry.claimed) == entry.byteCount && entry.byteCount < greatest
  }
}
