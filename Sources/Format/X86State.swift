// Placeholder tables: state bodies whose rows are added with the typed records.

enum X86PVState {
  static let context64: [Field] = [Field.octets("context", 5168).native]
  static let context32: [Field] = [Field.octets("context", 2800).native]
  static let extended: [Field] = [.opaque("context")]
  static let sharedInfo64: [Field] = [.octets("page", 4096)]
  static let sharedInfo32: [Field] = [.octets("page", 4096)]
}

enum X86XState {
  static let pvFields: [Field] = [.opaque("xsave")]
}

enum X86MSRs {
  static let names: [UInt64: String] = [
    0xCE: "MSR_INTEL_PLATFORM_INFO", 0x10A: "MSR_ARCH_CAPABILITIES",
  ]
}

public enum HVMRecords {
  public static let all: [EntryLayout] = [
    EntryLayout(0, "END", lengths: [0], "Ends the context.", []),
    EntryLayout(
      1, "HEADER", lengths: [24], "Which Xen and CPU saved it.",
      [
        .x32("magic"), .u32("version"), .x64("changeset"), .x32("cpuid"),
        .u32("gtsc_khz").unit("kHz"),
      ]),
  ]
  private static let byNumber = Dictionary(uniqueKeysWithValues: all.map { ($0.number, $0) })
  public static let chain = Chain(
    layout: { byNumber[$0] },
    number: { name in all.first { $0.name == name }?.number },
    names: { all.map(\.name) })
}
