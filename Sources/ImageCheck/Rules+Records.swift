// Rules for any record, from its table: where it may stand, its length, what must be zero.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  static let records: [Rule] = [
    Rule(
      "record.length", .error, "A body has the length that its type asks for.",
      "Spec: libxc-migration-stream, Records; libxl-migration-stream, Records",
      .any { look, record in
        guard let layout = look.layout, !layout.length.allows(record.length),
          !record.hasUnreadTail
        else { return }
        look.report(
          record, "length", at: -4,
          "expected \(layout.length.description), got \(record.length)")
      }),
    Rule(
      "record.excess", .warning,
      "A record has nothing beyond what its type asks for, where readers do not look at it.",
      "Xen: tools/libs/guest/xg_sr_restore.c, process_record; handle_x86_pv_info; "
        + "tools/libs/light/libxl_stream_read.c, process_record",
      .any { look, record in
        guard let layout = look.layout, !layout.length.allows(record.length),
          record.hasUnreadTail
        else { return }
        look.report(
          record, "length", at: -4,
          "expected \(layout.length.description), got \(record.length): readers pass over the rest")
      }),
    Rule(
      "record.empty", .note, "A record that says nothing is left out.",
      "Spec: libxc-migration-stream, Errata 1 (Xen 4.6 to 4.8 wrote such records)",
      .layer(.libxc) { look, record in
        guard record.length == 8, look.layout?.mayBeEmpty == true else { return }
        look.report(record, "length", at: -4, "expected contents, got none: readers ignore it")
      }),
    Rule(
      "record.reserved", .warning, "Reserved bytes are zero.",
      "Spec: libxc-migration-stream, Records",
      .any { look, record in
        // Of X86_MSR_POLICY they are an error: "msr-policy.flags".
        guard let layout = look.layout, record.type != .x86MSRPolicy else { return }
        let fields = layout.fields(
          byteCount: record.body.count, guestWidth: record.context.guestWidth)
        guard let wrong = nonZeroReserved(record.type.streamFields(fields), in: record.body)
        else { return }
        look.report(
          record, wrong.path, at: wrong.offset, "expected zero, got 0x\(wrong.bytes.hexDigits)")
      }),
    Rule(
      "record.padding", .warning, "The padding after a body is zero.",
      "Spec: libxc-migration-stream, Records, padding",
      .padding { look, record, padding in
        guard padding.contains(where: { $0 != 0 }) else { return }
        look.report(
          offset: record.bodyOffset + record.length, place: record.place, "padding",
          "expected zero, got 0x\(padding.hexDigits)")
      }),
    Rule(
      "record.long", .note, "A body has at most 8 MiB, or Xen before 4.10 refuses it.",
      "Xen: RELEASE-4.9.0 tools/libxc/xc_sr_stream_format.h, REC_LENGTH_MAX",
      .layer(.libxc) { look, record in
        guard record.length > 8 << 20 else { return }
        look.report(record, "length", at: -4, "expected at most 8388608, got \(record.length)")
      }),
  ]

  private static let process = "Xen: tools/libs/guest/xg_sr_restore.c, process_record"

  /// Records that do not belong where they stand.
  static let dispatch: [Rule] = [
    Rule(
      "record.unknown-mandatory", .error, "Readers know every record whose bit 31 is not set.",
      process,
      .layer(.libxc) { look, record in
        guard look.layout == nil, !record.type.isOptional else { return }
        look.report(
          record, "type", "expected a type up to 0x12, got \(record.type.wireValue.hex(8))")
      }),
    Rule(
      "record.unknown-optional", .note, "No optional record is defined.",
      "Spec: libxc-migration-stream, Record types (readers ignore it)",
      .layer(.libxc) { look, record in
        guard look.layout == nil, record.type.isOptional else { return }
        let purpose = record.type == .padding ? " (zeros of xensave-lua)" : ""
        look.report(
          record, "type",
          "expected a type up to 0x12, got \(record.type.wireValue.hex(8))\(purpose): readers ignore it"
        )
      }),
    Rule(
      "record.guest", .error, "A record stands only in streams of the guests that have it.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_{pv,hvm}.c, process_record",
      .any { look, record in
        guard let guest = look.libxc.guest, guest == .x86PV || guest == .x86HVM,
          let layout = look.layout, !layout.guests.include(guest)
        else { return }
        look.report(
          record, "type", "expected a record of \(guest.name) streams, got \(record.type.name)")
      }),
    Rule(
      "record.version", .warning,
      "A record stands only in versions of the stream that have it: Xen 4.14 and later take it all the same.",
      "Spec: libxc-migration-stream, Compatibility with older versions; xl of 4.17",
      .layer(.libxc) { look, record in
        guard let version = look.libxc.version, version >= 2, let layout = look.layout,
          layout.since > version
        else { return }
        look.report(
          record, "type",
          "expected a record of version \(version), got \(layout.name), which came with "
            + "\(layout.since)")
      }),
    Rule(
      "record.toolstack", .error,
      "TOOLSTACK is deprecated: no release wrote it, readers refuse it.",
      process,
      .record([.toolstack]) { look, record in
        look.report(record, "type", "expected none, got TOOLSTACK")
      }),
    Rule(
      "record.back-channel", .error,
      "CHECKPOINT_DIRTY_PFN_LIST goes from the secondary to the primary only.", process,
      .record([.checkpointDirtyPFNList]) { look, record in
        look.report(record, "type", "expected none, got CHECKPOINT_DIRTY_PFN_LIST")
      }),
    Rule(
      "libxl-record.unknown", .error,
      "Every record is known: libxl refuses the optional ones that it does not know, too.",
      "Xen: tools/libs/light/libxl_stream_read.c, process_record",
      .layer(.libxl) { look, record in
        guard look.layout == nil else { return }
        look.report(record, "type", "expected a type up to 5, got \(record.type.wireValue.hex(8))")
      }),
  ]
}

extension Record {
  /// Whether it is longer than its type asks for, and Xen does not mind: records that say something by
  /// being there, and those whose reader asks for a least length.
  fileprivate var hasUnreadTail: Bool {
    switch type {
    case .end, .verify, .checkpoint, .staticDataEnd, .libxlEnd, .libxcContext, .checkpointEnd: true
    case .x86PVInfo: length > 8
    case .checkpointState: length > 4
    default: false
    }
  }
}

extension RecordType {
  /// Those of the record's rows that are the stream's own. The others are the guest's or the
  /// hypervisor's state: what must be zero there is for Xen to say.
  fileprivate func streamFields(_ fields: [Field]) -> ArraySlice<Field> {
    switch self {
    case .sharedInfo: []
    default: RecordSchemas.of(self)?.isVCPUStateOfXen == true ? fields.prefix(2) : fields[...]
    }
  }
}
