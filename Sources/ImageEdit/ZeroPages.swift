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
        for page in 0..<pages where bytes.isZeroPage(at: page * 4096) { count += 1 }
        return count
      }
      left -= pages
    }
    return zeros
  }
}
