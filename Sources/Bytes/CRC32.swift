// CRC-32 as zlib and ISO-HDLC have it: draft B of the image format closes its records with it.

/// A CRC-32 in the making: polynomial 0x04C11DB7 reflected, begun and ended with all ones.
/// Eight bytes at a time, by eight tables of 256 words.
public struct CRC32: Sendable, Equatable {
  private var state = UInt32.max

  public init() {}

  /// The checksum of all bytes so far; 0 of none.
  public var value: UInt32 { ~state }

  public mutating func update(_ bytes: [UInt8]) {
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe update(bytes.span.bytes)
  }

  public mutating func update(_ span: RawSpan) {
    var state = self.state
    let count = span.byteCount
    // Safety: the buffer is used only inside the closure.
    unsafe CRC32.tables.withUnsafeBufferPointer { tables in
      var offset = 0
      while count - offset >= 8 {
        let word = span.load(offset, as: UInt64.self) ^ UInt64(state)
        var next: UInt32 = 0
        for byte in 0..<8 {
          // Safety: a byte and a number below 8 make an index below 2048, which the tables have.
          let index = Int(truncatingIfNeeded: word >> UInt64(8 * byte)) & 0xFF
          next ^= unsafe tables[(7 - byte) << 8 | index]
        }
        state = next
        offset += 8
      }
      while offset < count {
        let index = Int((state ^ UInt32(span.load(offset, as: UInt8.self))) & 0xFF)
        state = unsafe state >> 8 ^ tables[index]
        offset += 1
      }
    }
    self.state = state
  }

  /// Table n has the effect of a byte that n more bytes follow.
  private static let tables: [UInt32] = {
    var tables = [UInt32](repeating: 0, count: 8 * 256)
    for byte in 0..<256 {
      var word = UInt32(byte)
      for _ in 0..<8 { word = word >> 1 ^ (word & 1 == 0 ? 0 : 0xEDB8_8320) }
      tables[byte] = word
    }
    for index in 256..<8 * 256 {
      let shorter = tables[index - 256]
      tables[index] = shorter >> 8 ^ tables[Int(shorter & 0xFF)]
    }
    return tables
  }()
}
