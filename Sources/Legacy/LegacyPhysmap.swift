// libxl's record in chunk TOOLSTACK: where the device model has mapped its memory.

public import Bytes

/// The record, version 1. Xen: RELEASE-4.5.0 tools/libxl/libxl_dom.c, libxl__toolstack_save.
///
///     +-----------------------+-----------------------+
///     | version (1)           | count                 |
///     +-----------------------+-----------------------+   +-----------------------------------+
///     | phys_offset | start_addr | size | namelen u32 |   | name, namelen bytes with its NUL |
///     +-----------------------------------------------+   +-----------------------------------+
///
/// A 64-bit toolstack has 4 more bytes after each name: the padding of its C structure.
public struct LegacyPhysmap: Sendable, Equatable {
  public struct Entry: Sendable, Equatable {
    public let physOffset: UInt64
    public let startAddress: UInt64
    public let byteCount: UInt64
    public let name: [UInt8]
  }

  public private(set) var entries: [Entry] = []

  public init(_ bytes: [UInt8], width: ToolstackWidth) throws(FormatError) {
    guard bytes.count >= 8 else {
      throw FormatError(.truncated, offset: 0, "expected at least 8 bytes, got \(bytes.count)")
    }
    let version = bytes.load(0, as: UInt32.self)
    guard version == 1 else {
      throw FormatError(.invalid, field: "version", offset: 0, "expected 1, got \(version)")
    }
    let padding = width == .bits64 ? 4 : 0
    var here = 8
    for index in 0..<bytes.load(4, as: UInt32.self) {
      let path = "entry[\(index)]"
      guard bytes.count - here >= 28 else {
        throw FormatError(
          .truncated, field: path, offset: here,
          "expected 28 bytes, got \(bytes.count - here)")
      }
      let count = Int(bytes.load(here + 24, as: UInt32.self))
      guard count > 0, count + padding <= bytes.count - here - 28 else {
        throw FormatError(
          .outOfRange, field: "\(path).namelen", offset: here + 24,
          "expected 1 to \(max(0, bytes.count - here - 28 - padding)), got \(count)")
      }
      let name = bytes[here + 28..<here + 28 + count]
      guard let end = name.firstIndex(of: 0) else {
        throw FormatError(
          .invalid, field: "\(path).name", offset: here + 28, "expected a NUL in it")
      }
      entries.append(
        Entry(
          physOffset: bytes.load(here, as: UInt64.self),
          startAddress: bytes.load(here + 8, as: UInt64.self),
          byteCount: bytes.load(here + 16, as: UInt64.self), name: [UInt8](name[..<end])))
      here += 28 + count + padding
    }
  }

  /// The keys and values of EMULATOR_XENSTORE_DATA, each with its NUL.
  public var xenstoreData: [UInt8] {
    var out: [UInt8] = []
    for entry in entries {
      let key = "physmap/" + String(entry.physOffset, radix: 16)
      let values: [(String, [UInt8])] = [
        ("start_addr", Array(String(entry.startAddress, radix: 16).utf8)),
        ("size", Array(String(entry.byteCount, radix: 16).utf8)), ("name", entry.name),
      ]
      for (name, value) in values { out += Array("\(key)/\(name)".utf8) + [0] + value + [0] }
    }
    return out
  }
}
