// The commands of a frame: what its restored bytes are made of.

internal import Bytes
internal import SystemIO

/// What one command gives. Its number is in the low three bits of the command, a count above them.
enum WireCommand: UInt8 {
  /// So many bytes from the packed section.
  case bytes = 0
  /// So many pages of zeros; the cache forgets their keys.
  case zeroPages = 1
  /// So many pages as the cache has them.
  case samePages = 2
  /// So many pages as differences, from the packed section, to those in the cache.
  case changedPages = 3
  /// So many pages from the packed section, which the cache takes.
  case packedPages = 4
  /// So many pages from the stored section, which the cache takes.
  case storedPages = 5
  /// The key of the next page; each page adds one to it. It is 0 when a frame begins.
  case key = 6
  /// So many bytes from the stored section.
  case storedBytes = 7
}

/// Commands in the making: what comes twice running is one command.
struct WireCommands {
  private(set) var bytes: [UInt8] = []
  private var kind = WireCommand.bytes
  private var count: UInt64 = 0
  private var nextKey: UInt64 = 0

  /// Whether there is room for the commands of another page or chunk of bytes, and those that are open.
  var hasRoom: Bool { bytes.count < WireFormat.commandLimit - 64 }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    count = 0
    nextKey = 0
  }

  mutating func append(_ kind: WireCommand, _ count: Int) {
    if self.kind == kind {
      self.count += UInt64(count)
    } else {
      finish()
      (self.kind, self.count) = (kind, UInt64(count))
    }
  }

  mutating func appendPage(_ kind: WireCommand, key: UInt64) {
    if key != nextKey {
      finish()
      append(varint: key << 3 | UInt64(WireCommand.key.rawValue))
      nextKey = key
    }
    append(kind, 1)
    nextKey += 1
  }

  /// Writes the command that is open.
  mutating func finish() {
    if count > 0 { append(varint: count << 3 | UInt64(kind.rawValue)) }
    count = 0
  }

  private mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// Reads integers of 7 bits a byte, the lowest first; the last byte has no bit 7.
struct VarintReader {
  private(set) var position: Int
  let end: Int

  init(_ range: Range<Int>) {
    position = range.lowerBound
    end = range.upperBound
  }

  var isAtEnd: Bool { position == end }

  mutating func next(_ bytes: RawSpan) throws -> UInt64 {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while position < end, shift < 63 {
      let byte = bytes.load(position, as: UInt8.self)
      position += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    throw XensaveError(.malformed, "wire: an integer does not end")
  }

  mutating func skip(_ count: Int) { position += count }
}
