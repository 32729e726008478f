// Draft B of the image format (version 1 of the image header, 10 February 2014).
//
// No release wrote it. Of its text these parts are known: the image header, the domain header's
// arch and type, the record's header and checksum, VCPU_INFO, the page entries, and that a
// VCPU_CONTEXT follows for each online vCPU. What is not known is filled in from the final
// specification; each row says which it is.

/// What draft B has, and where that is known from.
public enum DraftB {
  /// Where a record's number and body are known from.
  public enum Origin: String, Sendable {
    /// The text of draft B names the record.
    case text
    /// The draft does not define it, or its number is lost: taken from the final specification.
    case inferred
  }

  /// One record type of draft B.
  public struct Row: Sendable {
    /// The number in the stream.
    public let wireValue: UInt32
    /// The type that the reader gives for it.
    public let type: RecordType
    /// Where the record is known from; numbers are all inferred but END's and PAGE_DATA's.
    public let origin: Origin
  }

  /// The version in the image header.
  public static let version = 1

  /// All record types. Those that the final specification has keep its numbers.
  public static let rows: [Row] =
    LibxcRecords.all.map { layout in
      Row(
        wireValue: layout.type.wireValue, type: layout.type,
        origin: fromText.contains(layout.type) ? .text : .inferred)
    } + [
      Row(wireValue: 0x13, type: .vcpuInfo, origin: .text),
      Row(wireValue: 0x14, type: .vcpuContext, origin: .text),
      Row(wireValue: 0x8000_0000, type: .xenVersion, origin: .inferred),
    ]

  private static let fromText: Set<RecordType> = [.end, .pageData]

  private static let own: [UInt32: RecordType] = Dictionary(
    uniqueKeysWithValues: rows.filter { $0.type.layer == .draftB }.map { ($0.wireValue, $0.type) })

  /// The type of a record with this number.
  public static func type(_ wireValue: UInt32) -> RecordType {
    own[wireValue] ?? RecordType(.libxc, wireValue)
  }

  /// The layouts of the records that only draft B has.
  public static let records: [RecordSchema] = [vcpuInfo, vcpuContext, xenVersion]

  ///      0     1     2     3     4     5     6     7 byte
  ///     +-----------------------+-------------------------+
  ///     | max_vcpu_id           | (reserved)              |
  ///     +-----------------------+-------------------------+
  static let vcpuInfo = RecordSchema(
    .vcpuInfo, "VCPU_INFO", "The greatest vCPU number; a VCPU_CONTEXT follows for each online one.",
    guests: .pv, since: 1, length: .exactly(8), [.u32("max_vcpu_id"), .reserved(4)])

  /// The body of the final X86_PV_VCPU_BASIC.
  static let vcpuContext = RecordSchema(
    .vcpuContext, "VCPU_CONTEXT", "Registers and tables of a vCPU.", guests: .pv, since: 1,
    phase: .endOfCheckpoint, perVCPU: true, length: .atLeast(8),
    forms: LibxcRecords.x86PVVCPUBasic.forms)

  /// The review asked for the saver's release in the domain header; the draft has no place for it.
  static let xenVersion = RecordSchema(
    .xenVersion, "XEN_VERSION", "The saver's release of Xen, as the final domain header has it.",
    since: 1, phase: .staticData, length: .exactly(8), [.u32("xen_major"), .u32("xen_minor")])

  /// The bits of a pfn in PAGE_DATA: 60, where the final specification has 52.
  public static let pfnMask: UInt64 = (1 << 60) - 1

  /// arch of the domain header.
  public static let archX86: UInt16 = 1
}

extension RecordType {
  public static let vcpuInfo = RecordType(.draftB, 0x13)
  public static let vcpuContext = RecordType(.draftB, 0x14)

  /// Whether it has the registers of a PV vCPU: X86_PV_VCPU_BASIC, or draft B's with the same body.
  public var hasPVRegisters: Bool { self == .x86PVVCPUBasic || self == .vcpuContext }
  public static let xenVersion = RecordType(.draftB, 0x8000_0000)
}
