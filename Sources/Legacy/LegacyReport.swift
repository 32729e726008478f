// What a conversion has done.

internal import Bytes
public import Format

/// Something that a user should know of a conversion that went well.
public struct LegacyNote: Sendable, Equatable, CustomStringConvertible {
  /// Bytes from the start of the source.
  public let offset: UInt64
  public let text: String

  public var description: String { "offset \(offset.hex()): \(text)" }
}

/// The counts and notes of a conversion.
public struct LegacyReport: Sendable {
  /// What the input began with.
  public enum Front: Sendable { case none, xl, xend }

  public internal(set) var front = Front.none
  public internal(set) var width = ToolstackWidth.bits64
  public internal(set) var guest = GuestType.x86HVM
  /// Bytes of a PV guest's pointers; 0 for HVM.
  public internal(set) var guestWidth = 0
  public internal(set) var p2mSize: UInt64 = 0
  /// vCPUs of a PV guest whose state was written.
  public internal(set) var vcpuCount = 0
  /// Pages whose contents were written, repeated ones too.
  public internal(set) var pageCount: UInt64 = 0
  /// Checkpoints that were complete; 1 for a plain save.
  public internal(set) var checkpointCount = 0
  /// Whether the bytes of a further checkpoint, incomplete, were left out.
  public internal(set) var isCut = false
  public internal(set) var hasDeviceModel = false
  /// Bytes of the stream that were written.
  public internal(set) var byteCount: UInt64 = 0
  public internal(set) var notes: [LegacyNote] = []
}
