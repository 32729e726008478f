// All records of the libxl stream. Spec: docs/specs/libxl-migration-stream.pandoc.

/// The libxl record types, in the specification's order. To add one, add its row here.
public enum LibxlRecords {
  public static let all: [RecordSchema] = [
    end, libxcContext, emulatorXenstoreData, emulatorContext, checkpointEnd, checkpointState,
  ]

  static let end = RecordSchema(
    .libxlEnd, "END", "End of the libxl stream.", length: .exactly(0), [])

  static let libxcContext = RecordSchema(
    .libxcContext, "LIBXC_CONTEXT", "A libxc stream follows, without a length.",
    phase: .startOfStream, length: .exactly(0), [])

  ///     +------------------------+------------------------+
  ///     | emulator_id            | index                  |
  ///     +------------------------+------------------------+
  ///     | key NUL value NUL ...                           |
  static let emulatorXenstoreData = RecordSchema(
    .emulatorXenstoreData, "EMULATOR_XENSTORE_DATA",
    "Keys that the device model needs in xenstore.", guests: .hvm, phase: .endOfCheckpoint,
    isKeyed: true, length: .atLeast(8),
    emulator([Field("data", .keyValues)]))

  ///     +------------------------+------------------------+
  ///     | emulator_id            | index                  |
  ///     +------------------------+------------------------+
  ///     | emulator_ctx                                    |
  static let emulatorContext = RecordSchema(
    .emulatorContext, "EMULATOR_CONTEXT", "State of the device model, as it saved it.",
    guests: .hvm, phase: .endOfCheckpoint, isKeyed: true, length: .atLeast(8),
    emulator([Field("emulator_ctx", .qemu)]))

  static let checkpointEnd = RecordSchema(
    .checkpointEnd, "CHECKPOINT_END", "End of a checkpoint: libxc records follow.",
    length: .exactly(0), [])

  static let checkpointState = RecordSchema(
    .checkpointState, "CHECKPOINT_STATE", "Where the two sides of COLO are.", guests: .hvm,
    length: .exactly(4),
    [
      .u32("control_id").enumeration([
        0: "NEW", 1: "SVM_SUSPENDED", 2: "SVM_READY", 3: "SVM_RESUMED",
      ])
    ])

  private static func emulator(_ fields: [Field]) -> [Field] {
    [
      .u32("emulator_id").enumeration([0: "UNKNOWN", 1: "QEMU_TRADITIONAL", 2: "QEMU_UPSTREAM"]),
      .u32("index").doc("Always 0."),
    ] + fields
  }
}
