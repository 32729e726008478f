// The numbers of the format that Xen 3.0 to 4.5 saved domains in.

internal import Format

/// Bytes of the saving toolstack's unsigned long. The guest's own width is independent of it.
public enum ToolstackWidth: Int, Sendable, CaseIterable {
  case bits32 = 4
  case bits64 = 8
}

/// The type of a chunk: an i32 before its data. Positive numbers are counts of pages.
/// Xen: RELEASE-4.5.0 tools/libxc/xg_save_restore.h, XC_SAVE_ID_*.
public struct LegacyChunk: RawRepresentable, Sendable, Hashable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }

  public static let end = LegacyChunk(rawValue: 0)
  public static let enableVerifyMode = LegacyChunk(rawValue: -1)
  public static let vcpuInfo = LegacyChunk(rawValue: -2)
  public static let tmem = LegacyChunk(rawValue: -5)
  public static let tmemExtra = LegacyChunk(rawValue: -6)
  public static let tscInfo = LegacyChunk(rawValue: -7)
  public static let lastCheckpoint = LegacyChunk(rawValue: -9)
  public static let compressedData = LegacyChunk(rawValue: -12)
  public static let enableCompression = LegacyChunk(rawValue: -13)
  public static let toolstack = LegacyChunk(rawValue: -18)

  /// Names by the number's absolute value.
  private static let names = [
    "END", "ENABLE_VERIFY_MODE", "VCPU_INFO", "HVM_IDENT_PT", "HVM_VM86_TSS", "TMEM", "TMEM_EXTRA",
    "TSC_INFO", "HVM_CONSOLE_PFN", "LAST_CHECKPOINT", "HVM_ACPI_IOPORTS_LOCATION", "HVM_VIRIDIAN",
    "COMPRESSED_DATA", "ENABLE_COMPRESSION", "HVM_GENERATION_ID_ADDR", "HVM_PAGING_RING_PFN",
    "HVM_MONITOR_RING_PFN", "HVM_SHARING_RING_PFN", "TOOLSTACK", "HVM_IOREQ_SERVER_PFN",
    "HVM_NR_IOREQ_SERVER_PAGES",
  ]

  /// The numbers of HVM_PARAMS by the number of the chunk that holds one.
  private static let params: [Int32: UInt64] = [
    -3: 12, -4: 15, -8: 17, -10: 19, -11: 9, -14: 34, -15: 27, -16: 28, -17: 29, -19: 32, -20: 33,
  ]

  /// The specification's name without XC_SAVE_ID_; "batch of N pages" for counts.
  public var name: String {
    if rawValue > 0 { return "batch of \(rawValue) pages" }
    let index = Int(rawValue.magnitude)
    return index < Self.names.count ? Self.names[index] : "chunk \(rawValue)"
  }

  /// The HVM parameter that the chunk holds, if it is one of those.
  public var hvmParam: UInt64? { Self.params[rawValue] }

  /// Whether a saver writes such a number.
  public var isKnown: Bool { (-20...Int32(LegacyLimit.batch)).contains(rawValue) }
}

/// Which program's state of the device model follows an HVM guest. 21 bytes without a NUL.
public enum LegacySignature: String, Sendable, CaseIterable {
  /// xend with qemu-traditional: data to the end of the file.
  case untilEnd = "QemuDeviceModelRecord"
  /// libxl (Xen 4.1 and later): u32 length, data.
  case record = "DeviceModelRecord0002"
  /// A checkpoint of Remus: u32 length, data.
  case checkpoint = "RemusDeviceModelState"

  static let byteCount = 21
}

/// What no saver exceeds. Streams that do are refused before anything is allocated.
enum LegacyLimit {
  /// Entries hold 28 bits of pfn.
  static let p2mSize: UInt64 = 1 << 28
  /// Xen: MAX_BATCH_SIZE.
  static let batch = 1024
  static let extendedInfo = 64 << 10
  /// Xen: XC_SR_MAX_VCPUS.
  static let vcpus = 4096
  static let xsave: UInt64 = 64 << 10
  static let toolstack = 1 << 20
  static let hvmContext: UInt64 = 8 << 20
  static let deviceModel: UInt64 = 1 << 30
  static let xlData: UInt32 = 16 << 20
  /// Entries that wait for their compressed pages: 4 GiB of them; Xen buffers 8192 pages.
  static let pendingPages = 1 << 20
}

/// "Xen saved domain": the front of xend's files. A big-endian i32 length and the SXP config follow.
let xendMagic = "LinuxGuestRecord"

extension GuestType {
  /// "PV" or "HVM", for messages.
  var shortName: String { self == .x86PV ? "PV" : "HVM" }
}
