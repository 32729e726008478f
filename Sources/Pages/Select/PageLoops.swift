// The leaf loops over page contents: the only ones of this target that touch every byte.
//
// They read UInt64 by unaligned loads, which the compiler vectorises; SIMD types are slower here.

internal import Bytes
internal import Format
internal import Glibc

/// Loops over the bytes of pages. Each checks its range once and then loads unchecked.
public enum PageLoops {
  // Odd constants without a pattern: the fractional digits of the square roots of 2, 3, 5 and 7.
  private static let key0: UInt64 = 0x6A09_E667_F3BC_C909
  private static let key1: UInt64 = 0xBB67_AE85_84CA_A73B
  private static let key2: UInt64 = 0x3C6E_F372_FE94_F82B
  private static let key3: UInt64 = 0xA54F_F53A_5F1D_36F1

  /// Multiplies to 128 bits and folds the halves; what goes in is folded in too, so that a factor of
  /// zero does not lose the other.
  @inline(__always)
  private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return (a ^ product.low) ^ (b ^ product.high)
  }

  /// A hash of 64 bits of the 4096 bytes at `offset`.
  ///
  /// Not cryptographic: whoever knows the function can make pages that collide, so every match is
  /// compared byte by byte before it counts. Four lanes of 16 bytes a step, each mixed by a
  /// 64x64 to 128-bit multiplication whose halves are folded (the construction that the fast
  /// hashes of this class share); about as fast as reading the memory.
  @inline(__always)
  public static func hash(_ bytes: RawSpan, at offset: Int, seed: UInt64 = 0) -> UInt64 {
    precondition(offset >= 0 && bytes.byteCount - offset >= pageByteCount)
    return unsafe bytes.withUnsafeBytes { raw in
      var a = seed ^ key0
      var b = seed &+ key1
      var c = seed ^ key2
      var d = seed &+ key3
      var position = offset
      let end = offset + pageByteCount
      while position < end {
        // Safety: the precondition holds the whole page inside the span; 4096 is 64 steps of 64.
        func word(_ index: Int) -> UInt64 {
          unsafe raw.loadUnaligned(fromByteOffset: position &+ 8 &* index, as: UInt64.self)
        }
        a = fold(word(0) ^ key1, word(1) ^ a)
        b = fold(word(2) ^ key2, word(3) ^ b)
        c = fold(word(4) ^ key3, word(5) ^ c)
        d = fold(word(6) ^ key0, word(7) ^ d)
        position &+= 64
      }
      let ab = fold(a ^ key2, b ^ key3)
      let cd = fold(c ^ key0, d ^ key1)
      return fold(ab ^ key1, cd ^ UInt64(pageByteCount))
    }
  }

  /// Mixes two numbers into one of 64 bits.
  static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 { fold(fold(a ^ key0, b ^ key1), key2) }

  /// A hash of bytes `range`, of any length: whole pages, then what is left, then the length.
  static func hash(_ bytes: RawSpan, _ range: Range<Int>, seed: UInt64) -> UInt64 {
    var state = seed
    var position = range.lowerBound
    while range.upperBound - position >= pageByteCount {
      state = hash(bytes, at: position, seed: state)
      position += pageByteCount
    }
    while range.upperBound - position >= 8 {
      state = mix(state, bytes.load(position, as: UInt64.self))
      position += 8
    }
    var rest: UInt64 = 0
    while position < range.upperBound {
      rest = rest << 8 | UInt64(bytes.load(position, as: UInt8.self))
      position += 1
    }
    return mix(state ^ rest, UInt64(range.count))
  }

  /// Whether `count` bytes of two spans are the same.
  @inline(__always)
  static func isEqual(
    _ a: RawSpan, at first: Int, _ b: RawSpan, at second: Int, count: Int = pageByteCount
  ) -> Bool {
    precondition(first >= 0 && a.byteCount - first >= count)
    precondition(second >= 0 && b.byteCount - second >= count)
    return unsafe a.withUnsafeBytes { x in
      // Safety: the preconditions hold both ranges inside their spans.
      unsafe b.withUnsafeBytes { y in
        unsafe memcmp(
          x.baseAddress.unsafelyUnwrapped + first, y.baseAddress.unsafelyUnwrapped + second, count)
          == 0
      }
    }
  }
}

/// How often each byte stands in a page. Made once for many pages, by one thread: an InlineArray of
/// this size would be copied at every use.
@safe
public final class ByteCounts {
  /// Four tables of 256: a byte that comes twice running would wait for its own last count.
  private let tables: UnsafeMutablePointer<UInt16>

  public init() {
    unsafe tables = .allocate(capacity: 1024)
    unsafe tables.initialize(repeating: 0, count: 1024)
  }

  deinit { unsafe tables.deallocate() }

  /// Of the page that was counted last: how often `byte` stands in it, 0 to 4096.
  @inline(__always)
  public subscript(byte: UInt8) -> Int { unsafe Int(tables[Int(byte)]) }

  /// Counts the page at `offset`.
  @inline(__always)
  public func count(_ bytes: RawSpan, at offset: Int) {
    precondition(offset >= 0 && bytes.byteCount - offset >= pageByteCount)
    unsafe tables.update(repeating: 0, count: 1024)
    if bytes.isZeroPage(at: offset) {
      unsafe tables[0] = UInt16(pageByteCount)
      return
    }
    unsafe bytes.withUnsafeBytes { raw in
      // Safety: the precondition holds the whole page inside the span; a byte and one of four
      // tables of 256 are below 1024.
      let (a, b, c, d) = unsafe (tables, tables + 256, tables + 512, tables + 768)
      var position = offset
      let end = offset + pageByteCount
      while position < end {
        var word = unsafe raw.loadUnaligned(fromByteOffset: position, as: UInt64.self)
        for _ in 0..<2 {
          unsafe a[Int(word & 0xFF)] &+= 1
          unsafe b[Int(word >> 8 & 0xFF)] &+= 1
          unsafe c[Int(word >> 16 & 0xFF)] &+= 1
          unsafe d[Int(word >> 24 & 0xFF)] &+= 1
          word >>= 32
        }
        position &+= 8
      }
      for byte in 0..<256 {
        unsafe a[byte] = a[byte] &+ b[byte] &+ c[byte] &+ d[byte]
      }
    }
  }
}

/// Bytes to search for. The search looks for the rarest of them first.
public struct Needle: Sendable, Equatable {
  public let pattern: [UInt8]
  /// Which of them is looked for first.
  private let anchor: Int

  /// A needle of 1 to 4096 bytes; nil of others.
  public init?(_ pattern: [UInt8]) {
    guard !pattern.isEmpty, pattern.count <= pageByteCount else { return nil }
    self.pattern = pattern
    // Zeros, all-ones, blanks and the usual letters are everywhere in memory.
    func rarity(_ byte: UInt8) -> Int {
      switch byte {
      case 0: 0
      case 0xFF, 0x20: 1
      case 0x61...0x7A: 2
      case 1...0x1F: 3
      case 0x30...0x39, 0x40...0x5A: 4
      default: 5
      }
    }
    anchor = pattern.indices.max { rarity(pattern[$0]) < rarity(pattern[$1]) } ?? 0
  }

  /// The offset of its first occurrence that lies wholly in `range`, or nil.
  public func first(in bytes: RawSpan, _ range: Range<Int>) -> Int? {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.byteCount)
    guard range.count >= pattern.count else { return nil }
    return unsafe bytes.withUnsafeBytes { raw in
      let base = unsafe raw.baseAddress.unsafelyUnwrapped
      let last = range.upperBound - pattern.count + anchor
      var position = range.lowerBound + anchor
      while position <= last {
        // Safety: position and the bytes around the anchor stay inside the range.
        guard
          let hit = unsafe memchr(base + position, Int32(pattern[anchor]), last - position + 1)
        else { return nil }
        let start = unsafe UnsafeRawPointer(hit) - base - anchor
        if unsafe memcmp(base + start, pattern, pattern.count) == 0 { return start }
        position = start + anchor + 1
      }
      return nil
    }
  }
}
