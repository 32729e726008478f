// Which pages of a record hold nothing but zeros.

public import Bytes
public import Stream

/// Counts pages of zeros: reads all page contents, in chunks that fit the processor's cache.
public enum ZeroPages {
  static let chunkByteCount = 256 << 10

  /// Pages of zeros among those of the record that `reader` has just returned; its payload is used
  /// up by this. `scratch` is memory to read into.
  public static func count(
    in reader: inout StreamReader, _ record: Record, scratch: PageAlignedBuffer
  ) throws -> Int {
    var left = Int(record.payloadByteCount) / 4096
    var zeros = 0
    while left > 0 {
      let pages = min(left, chunkByteCount / 4096)
      try reader.loadPayload(pages * 4096, into: scratch)
      zeros += scratch.withBytes(0..<pages * 4096) { bytes in
        var count = 0
        for page in 0..<pages where isZero(bytes, at: page * 4096) { count += 1 }
        return count
      }
      left -= pages
    }
    return zeros
  }

  /// Whether the 4096 bytes at `offset` are all zero. Looks at 64 bytes at a time, so that pages
  /// that are not zero are known by their first.
  @inline(__always)
  public static func isZero(_ bytes: RawSpan, at offset: Int) -> Bool {
    precondition(offset >= 0 && bytes.byteCount - offset >= 4096)
    var position = offset
    let end = offset + 4096
    while position < end {
      var sum: UInt64 = 0
      for word in 0..<8 {
        // Safety: the precondition holds all bytes of the page inside the span.
        sum |= unsafe bytes.unsafeLoadUnaligned(
          fromUncheckedByteOffset: position &+ 8 &* word, as: UInt64.self)
      }
      if sum != 0 { return false }
      position &+= 64
    }
    return true
  }
}
