// Which record a number means: the two layers number theirs independently.

internal import Bytes

/// The layer that a record belongs to. Their record numbers overlap.
public enum Layer: String, Sendable, Hashable {
  case libxc
  case libxl
  /// Records that only draft B of the libxc stream has (`DraftB`).
  case draftB = "draft_b"
  /// xenopsd's suspend image.
  case xenopsd
}

/// The guest that a libxc stream carries. Spec: libxc-migration-stream, Domain Header, type.
public struct GuestType: RawRepresentable, Sendable, Hashable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let x86PV = GuestType(rawValue: 1)
  /// HVM and PVH guests: the stream does not tell them apart.
  public static let x86HVM = GuestType(rawValue: 2)

  /// The specification's name in lower case, or the number.
  public var name: String {
    switch self {
    case .x86PV: "x86_pv"
    case .x86HVM: "x86_hvm"
    default: "unknown type \(rawValue)"
    }
  }
}

/// The type of a record: an open set, because unknown records travel too.
public struct RecordType: Sendable, Hashable {
  public let layer: Layer
  /// The number in the stream.
  public let wireValue: UInt32

  public func hash(into hasher: inout Hasher) {
    // Layer's own hash would go through its text.
    hasher.combine(UInt64(wireValue) << 1 | (layer == .libxl ? 1 : 0))
  }

  public init(_ layer: Layer, _ wireValue: UInt32) {
    self.layer = layer
    self.wireValue = wireValue
  }

  /// Bit 31: a reader that does not know the record may ignore it. The libxl reader of Xen does not
  /// implement this and refuses every unknown record.
  public var isOptional: Bool { wireValue & 0x8000_0000 != 0 }

  /// The specification's name ("HVM_PARAMS"), or the number in hexadecimal.
  public var name: String { RecordSchemas.of(self)?.name ?? wireValue.hex(8) }
}

extension RecordType {
  /// Zeros that this program puts before the pages of an object where the store takes them as they are
  /// (`StreamWriter`). The specification has no such record; readers ignore each optional one.
  public static let padding = RecordType(.libxc, 0x8000_5850)
  public static let end = RecordType(.libxc, 0x00)
  public static let pageData = RecordType(.libxc, 0x01)
  public static let x86PVInfo = RecordType(.libxc, 0x02)
  public static let x86PVP2MFrames = RecordType(.libxc, 0x03)
  public static let x86PVVCPUBasic = RecordType(.libxc, 0x04)
  public static let x86PVVCPUExtended = RecordType(.libxc, 0x05)
  public static let x86PVVCPUXsave = RecordType(.libxc, 0x06)
  public static let sharedInfo = RecordType(.libxc, 0x07)
  public static let x86TSCInfo = RecordType(.libxc, 0x08)
  public static let hvmContext = RecordType(.libxc, 0x09)
  public static let hvmParams = RecordType(.libxc, 0x0A)
  public static let toolstack = RecordType(.libxc, 0x0B)
  public static let x86PVVCPUMSRs = RecordType(.libxc, 0x0C)
  public static let verify = RecordType(.libxc, 0x0D)
  public static let checkpoint = RecordType(.libxc, 0x0E)
  public static let checkpointDirtyPFNList = RecordType(.libxc, 0x0F)
  public static let staticDataEnd = RecordType(.libxc, 0x10)
  public static let x86CPUIDPolicy = RecordType(.libxc, 0x11)
  public static let x86MSRPolicy = RecordType(.libxc, 0x12)

  public static let libxlEnd = RecordType(.libxl, 0)
  public static let libxcContext = RecordType(.libxl, 1)
  public static let emulatorXenstoreData = RecordType(.libxl, 2)
  public static let emulatorContext = RecordType(.libxl, 3)
  public static let checkpointEnd = RecordType(.libxl, 4)
  public static let checkpointState = RecordType(.libxl, 5)
}
