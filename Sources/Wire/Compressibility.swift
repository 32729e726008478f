// Whether a page is worth packing.

internal import Bytes

/// A test that costs a small part of packing the page.
enum Compressibility {
  /// Words that are looked at: one of eight.
  private static let sampled = WireFormat.pageByteCount / 64
  /// The sum of squares of how often each byte comes. 512 even ones give 1534, with a standard deviation
  /// of some 45; text of six bits a byte gives 4600.
  private static let limit = 1800

  /// Whether the bytes of the page at `offset` come as often as random ones, as they do in what is packed
  /// or encrypted already. What repeats in longer distances is not seen.
  static func isRandom(_ bytes: RawSpan, at offset: Int) -> Bool {
    precondition(offset >= 0 && bytes.byteCount - offset >= WireFormat.pageByteCount)
    return unsafe withUnsafeTemporaryAllocation(of: UInt16.self, capacity: 256) { counts in
      unsafe counts.initialize(repeating: 0)
      // Safety: the precondition holds the page inside the span; a byte is below 256.
      return unsafe bytes.withUnsafeBytes { raw in
        var sum = 0
        for word in 0..<sampled {
          var value = unsafe raw.loadUnaligned(
            fromByteOffset: offset &+ 64 &* word, as: UInt64.self)
          for _ in 0..<8 {
            let byte = Int(truncatingIfNeeded: value & 0xFF)
            // The square of n + 1 is that of n, and 2n + 1.
            sum &+= 2 &* Int(unsafe counts[byte]) &+ 1
            unsafe counts[byte] &+= 1
            value &>>= 8
          }
          if sum > limit { return false }
        }
        return true
      }
    }
  }
}
