// Rules for the libxl records, for checkpoints, and for what follows the end.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream
internal import SystemIO

extension Rule {
  private static let reader = "Xen: tools/libs/light/libxl_stream_read.c, process_record"
  private static let spec = "Spec: libxl-migration-stream, "
  private static let qemu =
    "Rationale: QEMU ends where it cannot read its state (migration/savevm.c), and xl gives up"

  static let libxl: [Rule] = [
    Rule(
      "libxc-context.first", .warning, "LIBXC_CONTEXT is the first record: xl takes another order.",
      "Xen: tools/libs/light/libxl_stream_write.c, stream_header_done; xl of 4.17",
      .layer(.libxl) { look, record in
        guard look.libxl.context == nil, record.type != .libxcContext, look.count == 0
        else { return }
        look.report(record, "type", "expected LIBXC_CONTEXT, got \(record.type.name)")
      }),
    Rule(
      "libxc-context.duplicate", .error, "There is one LIBXC_CONTEXT: each starts a restore.",
      reader,
      .record([.libxcContext]) { look, record in
        guard let place = look.libxl.context else { return }
        look.report(record, "", "expected one, got a second after \(place.text)")
      }),
    Rule(
      "checkpoint-end.place", .error, "CHECKPOINT_END ends a checkpoint that CHECKPOINT announced.",
      reader,
      .record([.checkpointEnd]) { look, record in
        guard !look.libxl.isInCheckpoint else { return }
        look.report(record, "", "expected libxc's CHECKPOINT before it, got none")
      }),
    Rule(
      "checkpoint-end.missing", .error,
      "A checkpoint that CHECKPOINT announced ends with CHECKPOINT_END.",
      reader,
      .record([.libxlEnd]) { look, record in
        guard look.libxl.isInCheckpoint else { return }
        look.report(record, "type", "expected CHECKPOINT_END, got END")
      }),
    Rule(
      "checkpoint-state.place", .error, "CHECKPOINT_STATE follows CHECKPOINT_END.", reader,
      .record([.checkpointState]) { look, record in
        guard !look.libxl.isAfterCheckpointEnd else { return }
        look.report(record, "", "expected CHECKPOINT_END before it, got none")
      }),
    Rule(
      "checkpoint-state.id", .error, "The primary sends control_id 0 (NEW) only.",
      spec + "CHECKPOINT_STATE",
      .record([.checkpointState]) { look, record in
        guard record.body.count >= 4 else { return }
        let id = record.body.load(0, as: UInt32.self, record.context.order)
        guard id != 0 else { return }
        look.report(record, "control_id", at: 0, "expected 0 (NEW), got \(id)")
      }),
  ]

  static let emulator: [Rule] = [
    Rule(
      "emulator.id", .warning, "The emulator is one of those that are defined: xl does not look.",
      spec + "Emulator Records; xl of 4.17",
      .record([.emulatorXenstoreData, .emulatorContext]) { look, record in
        guard record.body.count >= 8 else { return }
        let id = record.body.load(0, as: UInt32.self, record.context.order)
        guard id > 2 else { return }
        look.report(record, "emulator_id", at: 0, "expected 0 to 2, got \(id)")
      }),
    Rule(
      "emulator.unknown", .warning, "Only converted streams do not know their emulator.",
      spec + "Emulator Records",
      .record([.emulatorXenstoreData, .emulatorContext]) { look, record in
        guard record.body.count >= 8, !look.imageSummary.isConverted,
          record.body.load(0, as: UInt32.self, record.context.order) == 0
        else { return }
        look.report(record, "emulator_id", at: 0, "expected 1 or 2, got 0 (UNKNOWN)")
      }),
    Rule(
      "emulator.index", .warning, "A domain has one emulator, of index 0.",
      "Xen: tools/libs/light/libxl_stream_write.c, write_emulator_context_record",
      .record([.emulatorXenstoreData, .emulatorContext]) { look, record in
        guard record.body.count >= 8 else { return }
        let index = record.body.load(4, as: UInt32.self, record.context.order)
        guard index != 0 else { return }
        look.report(record, "index", at: 4, "expected 0, got \(index)")
      }),
    Rule(
      "emulator.duplicate", .warning, "An emulator has one record of each type in a checkpoint.",
      reader,
      .record([.emulatorXenstoreData, .emulatorContext]) { look, record in
        guard let key = record.emulatorKey, look.libxl.emulators.contains(key) else { return }
        look.report(record, "", "expected one for this emulator, got a second")
      }),
    Rule(
      "emulator-context.magic", .error,
      "QEMU's state begins with \"QEVM\": of two the last one is loaded.",
      qemu,
      .image { look in
        guard let (record, firstBytes) = look.libxl.deviceModel, record.isOfQEMU,
          !firstBytes.starts(with: "QEVM".utf8)
        else { return }
        let got = firstBytes.isEmpty ? "nothing" : "0x" + firstBytes.prefix(4).hexDigits
        look.report(record, "emulator_ctx", at: 8, "expected 0x5145564d (QEVM), got \(got)")
      }),
    Rule(
      "emulator-context.version", .error, "QEMU's state is of version 3, as since QEMU 0.11.",
      qemu,
      .image { look in
        guard let (record, firstBytes) = look.libxl.deviceModel, record.isOfQEMU,
          firstBytes.starts(with: "QEVM".utf8)
        else { return }
        let version = firstBytes.dropFirst(4).prefix(4)
        guard version != [0, 0, 0, 3] else { return }
        let got = version.count < 4 ? "\(firstBytes.count) bytes" : "0x" + version.hexDigits
        look.report(record, "emulator_ctx", at: 12, "expected version 3, got \(got)")
      }),
  ]

  static let ending: [Rule] = [
    Rule(
      "libxc-context.missing", .error, "A libxl stream holds a libxc stream.",
      spec + "LIBXC_CONTEXT",
      .image { look in
        guard look.imageSummary.headers[.libxl] != nil, look.libxl.context == nil else { return }
        look.report(
          offset: look.imageSummary.byteCount, place: "", "", "expected LIBXC_CONTEXT, got none")
      }),
    Rule(
      "checkpoint.plain", .error,
      "CHECKPOINT stands only in checkpointed streams, which end without END.",
      "Xen: tools/libs/guest/xg_sr_restore.c, handle_checkpoint",
      .image { look in
        guard look.imageSummary.ending == .end, look.imageSummary.checkpointCount > 0,
          let place = look.libxc.first[.checkpoint]
        else { return }
        look.report(
          offset: place.offset, place: "record \(place.index) (\(place.type.name))", "type",
          "expected none in a stream that ends with END: a plain restore refuses it")
      }),
    Rule(
      "checkpoint.cut", .note, "A checkpointed stream ends after a checkpoint.",
      "Xen: tools/libs/guest/xg_sr_restore.c, restore (a failover takes the last complete one)",
      .image { look in
        guard let ending = look.imageSummary.ending, ending != .end, ending != .opaque else {
          return
        }
        let last = look.imageSummary.lastType
        let isNested = look.imageSummary.headers[.libxl] != nil
        let isComplete =
          isNested
          ? last == .checkpointEnd || last == .checkpointState : last == .checkpoint
        guard ending == .cutCheckpoint || !isComplete else { return }
        look.report(
          offset: look.imageSummary.trailing?.offset ?? look.imageSummary.byteCount, place: "", "",
          "expected a whole checkpoint, got a part of it: the one before it counts")
      }),
    Rule(
      "trailing.handshake", .note, "Nothing follows the end of an image.",
      "Xen: tools/xl/xl.h, migrate_permission_to_go",
      .trailing { look, trailing in
        guard look.isHandshake(trailing) else { return }
        look.report(
          offset: trailing.offset, place: "", "",
          "expected nothing after END, got xl's word to the receiver of a migration")
      }),
    Rule(
      "trailing.image", .warning,
      "No other image follows the end of an image: restore reads one only.",
      "Spec: libxl-migration-stream, END; Xen 4.20 restores the first and leaves the rest unread",
      .trailing { look, trailing in
        guard trailing.kind == .afterEnd, let name = look.secondImage(trailing) else { return }
        look.report(
          offset: trailing.offset, place: "", "",
          "expected nothing after END, got \(look.imageSummary.trailingByteCount) bytes that begin with \(name)"
        )
      }),
    Rule(
      "trailing.octets", .note,
      "Nothing follows the end of an image, but for what a volume holds after it.",
      "Spec: libxl-migration-stream, END; Xen 4.20 leaves the rest unread",
      .trailing { look, trailing in
        guard trailing.kind == .afterEnd, !look.isHandshake(trailing),
          look.secondImage(trailing) == nil
        else { return }
        look.report(
          offset: trailing.offset, place: "", "",
          "expected nothing after END, got \(look.imageSummary.trailingByteCount) bytes: "
            + "\"\(trailing.first.prefix(32).printable)\"")
      }),
  ]
}

extension VerificationContext {
  fileprivate func isHandshake(_ trailing: TrailingBytes) -> Bool {
    trailing.isHandshake(byteCount: imageSummary.trailingByteCount)
  }

  /// The name of the header that the bytes begin with.
  fileprivate func secondImage(_ trailing: TrailingBytes) -> String? {
    switch Container(trailing.first) {
    case .xl: "an xl header"
    case .libxl: "a libxl header"
    case .libxc: "an image header"
    case .libvirt: "a libvirt header"
    case .xenopsd: "a xenopsd signature"
    case .other, .tooShort: nil
    }
  }
}

extension Record {
  /// Whether an emulator record is of QEMU, upstream's. It has a body of 8 bytes at least.
  fileprivate var isOfQEMU: Bool { body.load(0, as: UInt32.self, context.order) == 2 }
}
