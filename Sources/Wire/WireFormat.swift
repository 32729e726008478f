// What goes over the wire: two greetings, then frames. The page FormatWire.md describes it.

internal import Bytes
internal import SystemIO

/// Numbers of the wire's format. All integers are little-endian.
public enum WireFormat {
  /// The only version there is.
  public static let version: UInt16 = 1
  /// Bytes of each greeting.
  public static let greetingByteCount = 32
  /// Begins the greetings of both sides.
  public static let magic: [UInt8] = [0x89, 0x58, 0x53, 0x57, 0x0D, 0x0A, 0x1A, 0x0A]
  /// Stands in the place of a greeting where the other side has no xensave-lua.
  public static let plainMarker: [UInt8] = [0x89, 0x58, 0x53, 0x50, 0x0D, 0x0A, 0x1A, 0x0A]
  /// Bytes of a page.
  public static let pageByteCount = 4096
  /// Bytes that one frame may restore.
  public static let restoredLimit = 1 << 20
  /// Bytes of one frame's commands.
  public static let commandLimit = 1 << 16
  /// Bytes of a page's difference; one that is longer is not worth it.
  public static let differenceLimit = 2048
  /// Bytes that a cache may have.
  public static let cacheLimit: UInt64 = 1 << 40
  /// Keys of pages are below this: a pfn has 52 bits.
  public static let keyLimit: UInt64 = 1 << 52
}

/// What the receiver says first, and what the sender answers.
public struct Greeting: Sendable, Equatable {
  /// The versions that the receiver knows; both are the chosen one in an answer.
  public var lowest: UInt16
  public var highest: UInt16
  /// Bytes that the receiver gives to its cache at most; in an answer, how many both give.
  public var cacheByteCount: UInt64

  /// The greeting of this release.
  public init(cacheByteCount: UInt64) {
    lowest = WireFormat.version
    highest = WireFormat.version
    self.cacheByteCount = cacheByteCount
  }

  public var bytes: [UInt8] {
    var out = WireFormat.magic
    out.append(integer: lowest)
    out.append(integer: highest)
    out.append(integer: UInt32(0))
    out.append(integer: cacheByteCount)
    out.append(integer: XXH64.hash(out))
    return out
  }

  /// Reads a greeting of 32 bytes.
  public init(parsing bytes: [UInt8]) throws {
    guard bytes.count == WireFormat.greetingByteCount, bytes.starts(with: WireFormat.magic) else {
      throw XensaveError(.malformed, "the other side does not greet as a wire does")
    }
    guard bytes.load(24, as: UInt64.self) == XXH64.hash(Array(bytes[..<24])) else {
      throw XensaveError(.malformed, "the other side's greeting is damaged")
    }
    lowest = bytes.load(8, as: UInt16.self)
    highest = bytes.load(10, as: UInt16.self)
    cacheByteCount = min(bytes.load(16, as: UInt64.self), WireFormat.cacheLimit)
  }

  /// Whether this release speaks one of the versions.
  public var isKnown: Bool { (lowest...max(lowest, highest)).contains(WireFormat.version) }
}

/// The 48 bytes before a frame's body.
public struct FrameHeader: Sendable, Equatable {
  public enum Kind: UInt8, Sendable {
    case data = 1
    /// Nothing follows. `checksum` is the number of bytes that all frames have restored.
    case end = 2
  }

  static let byteCount = 48
  /// Bit 0 of the flags: the packed section is a zstd frame.
  private static let isPackedFlag: UInt8 = 1

  public var kind: Kind
  public var isPacked = false
  /// Counts frames from 0 on, modulo 2^32.
  public var sequence: UInt32
  /// Bytes that the frame restores.
  public var restored = 0
  /// Bytes of the three sections as they stand in the frame.
  public var commands = 0
  public var packed = 0
  public var stored = 0
  /// Bytes of the packed section when it is unpacked.
  public var unpacked = 0
  /// XXH64 of the restored bytes, with that of the commands as its seed.
  public var checksum: UInt64 = 0

  init(_ kind: Kind, sequence: UInt32) {
    self.kind = kind
    self.sequence = sequence
  }

  /// Bytes that follow the header.
  var bodyByteCount: Int { commands + packed + stored }

  var bytes: [UInt8] {
    var out = [kind.rawValue, isPacked ? FrameHeader.isPackedFlag : 0, 0, 0]
    out.append(integer: sequence)
    for count in [restored, commands, packed, unpacked, stored, 0] {
      out.append(integer: UInt32(count))
    }
    out.append(integer: checksum)
    out.append(integer: XXH64.hash(out))
    return out
  }

  /// Reads a header that must have this sequence number.
  init(parsing bytes: [UInt8], sequence expected: UInt32) throws {
    guard bytes.count == FrameHeader.byteCount,
      bytes.load(40, as: UInt64.self) == XXH64.hash(Array(bytes[..<40]))
    else { throw XensaveError(.malformed, "wire: the header of frame \(expected) is damaged") }
    func count(_ offset: Int) -> Int { Int(bytes.load(offset, as: UInt32.self)) }
    guard let kind = Kind(rawValue: bytes[0]), bytes[1] & ~FrameHeader.isPackedFlag == 0,
      bytes[2] == 0, bytes[3] == 0, count(28) == 0
    else { throw XensaveError(.unsupported, "wire: frame \(expected) is of an unknown kind") }
    sequence = bytes.load(4, as: UInt32.self)
    guard sequence == expected else {
      throw XensaveError(.malformed, "wire: expected frame \(expected), found \(sequence)")
    }
    self.kind = kind
    isPacked = bytes[1] & FrameHeader.isPackedFlag != 0
    (restored, commands, packed) = (count(8), count(12), count(16))
    (unpacked, stored) = (count(20), count(24))
    checksum = bytes.load(32, as: UInt64.self)
    // Sections hold no more than they restore, so that a forged header is refused before memory is used.
    let isGood =
      kind == .end
      ? restored | commands | packed | unpacked | stored == 0
      : restored > 0 && restored <= WireFormat.restoredLimit
        && commands > 0 && commands <= WireFormat.commandLimit
        && unpacked <= restored && stored <= restored
        && (isPacked ? packed < unpacked : packed == unpacked)
    guard isGood else {
      throw XensaveError(
        .limit, "wire: the lengths in the header of frame \(expected) make no sense")
    }
  }
}
