// XXH64, a checksum of 64 bits that is as fast as memory: frames of the wire are closed with it.
//
// Specification: xxHash fast digest algorithm, sections XXH64 and "Test vectors".

/// XXH64 of bytes in memory. It finds damage; whoever wants to can make bytes of any checksum.
public enum XXH64 {
  private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
  private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
  private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
  private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
  private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

  /// The checksum of all of `bytes`.
  public static func hash(_ bytes: [UInt8], seed: UInt64 = 0) -> UInt64 {
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe hash(bytes.span.bytes, seed: seed)
  }

  /// The checksum of all bytes of `span`.
  public static func hash(_ span: RawSpan, seed: UInt64 = 0) -> UInt64 {
    // Safety: the buffer is used only inside the closure.
    unsafe span.withUnsafeBytes { unsafe hash($0, seed: seed) }
  }

  @inline(__always)
  private static func rotated(_ value: UInt64, _ count: UInt64) -> UInt64 {
    value &<< count | value &>> (64 &- count)
  }

  @inline(__always)
  private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
    rotated(lane &+ word &* prime2, 31) &* prime1
  }

  @inline(__always)
  private static func merged(_ state: UInt64, _ lane: UInt64) -> UInt64 {
    (state ^ round(0, lane)) &* prime1 &+ prime4
  }

  private static func hash(_ raw: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
    let count = raw.count
    var offset = 0
    var state: UInt64
    if count >= 32 {
      var a = seed &+ prime1 &+ prime2
      var b = seed &+ prime2
      var c = seed
      var d = seed &- prime1
      let last = count - 32
      while offset <= last {
        // Safety: 32 bytes from the offset on lie inside the buffer.
        a = round(a, unsafe word(raw, offset))
        b = round(b, unsafe word(raw, offset &+ 8))
        c = round(c, unsafe word(raw, offset &+ 16))
        d = round(d, unsafe word(raw, offset &+ 24))
        offset &+= 32
      }
      state = rotated(a, 1) &+ rotated(b, 7) &+ rotated(c, 12) &+ rotated(d, 18)
      state = merged(merged(merged(merged(state, a), b), c), d)
    } else {
      state = seed &+ prime5
    }
    state &+= UInt64(count)
    while count - offset >= 8 {
      state = rotated(state ^ round(0, unsafe word(raw, offset)), 27) &* prime1 &+ prime4
      offset += 8
    }
    if count - offset >= 4 {
      // Safety: as above.
      let half = unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian
      state = rotated(state ^ UInt64(half) &* prime1, 23) &* prime2 &+ prime3
      offset += 4
    }
    while offset < count {
      state = rotated(state ^ UInt64(unsafe raw[offset]) &* prime5, 11) &* prime1
      offset += 1
    }
    state = (state ^ state >> 33) &* prime2
    state = (state ^ state >> 29) &* prime3
    return state ^ state >> 32
  }

  @unsafe
  @inline(__always)
  private static func word(_ raw: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
    unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
  }
}
