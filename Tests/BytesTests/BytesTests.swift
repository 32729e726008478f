// Integers, checksums, numbers as text and page-aligned memory, against values written by hand and
// slower code.

import Bytes
import Testing

@Suite struct ByteOrderTests {
  private static let bytes: [UInt8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFF]

  @Test func loadsAreThoseOfTheOrder() {
    let bytes = Self.bytes
    #expect(
      bytes.load(0, as: UInt16.self) == 0x2301 && bytes.load(0, as: UInt16.self, .big) == 0x0123)
    #expect(bytes.load(1, as: UInt32.self) == 0x8967_4523)
    #expect(bytes.load(1, as: UInt32.self, .big) == 0x2345_6789)
    #expect(bytes.load(0, as: UInt64.self, .big) == 0x0123_4567_89AB_CDEF)
    #expect(bytes.load(1, as: UInt64.self) == 0xFFEF_CDAB_8967_4523)
    #expect(bytes.load(8, as: Int8.self) == -1 && bytes.load(7, as: Int16.self) == -17)
  }

  @Test(arguments: [ByteOrder.little, .big]) func whatIsStoredIsLoaded(order: ByteOrder) {
    let values: [UInt64] = [0, 1, 0x80, 0xFF00, 0x1234_5678_9ABC_DEF0, .max]
    for value in values {
      var bytes = [UInt8](repeating: 0xEE, count: 20)
      bytes.store(3, value, order)
      #expect(bytes.load(3, as: UInt64.self, order) == value)
      #expect(bytes[2] == 0xEE && bytes[11] == 0xEE)
      var appended: [UInt8] = []
      appended.append(integer: value, order)
      #expect(appended == Array(bytes[3..<11]))
      #expect(value.ordered(order).ordered(order) == value)
      for width in [1, 2, 4, 8] {
        var place = [UInt8](repeating: 0xEE, count: 10)
        place.set(unsigned: value, at: 1, width: width, order)
        let mask = width == 8 ? UInt64.max : 1 << UInt64(8 * width) - 1
        #expect(place.unsigned(at: 1, width: width, order) == value & mask)
        #expect(place[0] == 0xEE && place[width + 1] == 0xEE)
      }
    }
    #expect(ByteOrder(named: "big") == .big && ByteOrder(named: "little") == .little)
    #expect(ByteOrder(named: "Big") == nil)
  }

  @Test func paddingIsToEight() {
    for (count, padded) in [(0, 0), (1, 8), (7, 8), (8, 8), (9, 16)] as [(UInt64, UInt64)] {
      #expect(paddedTo8(count) == padded)
    }
    // The greatest do not trap.
    #expect(paddedTo8(.max) == 0)
  }
}

@Suite struct ChecksumTests {
  /// Bit by bit, from the polynomial.
  private static func slow(_ bytes: [UInt8]) -> UInt32 {
    var state = UInt32.max
    for byte in bytes {
      state ^= UInt32(byte)
      for _ in 0..<8 { state = state >> 1 ^ (state & 1 == 0 ? 0 : 0xEDB8_8320) }
    }
    return ~state
  }

  private static func of(_ bytes: [UInt8]) -> UInt32 {
    var checksum = CRC32()
    checksum.update(bytes)
    return checksum.value
  }

  @Test func knownValues() {
    #expect(Self.of([]) == 0)
    #expect(Self.of(Array("123456789".utf8)) == 0xCBF4_3926)
    #expect(Self.of(Array("The quick brown fox jumps over the lazy dog".utf8)) == 0x414F_A339)
    #expect(Self.of([UInt8](repeating: 0, count: 32)) == 0x190A_55AD)
    #expect(Self.of([UInt8](repeating: 0xFF, count: 32)) == 0xFF6C_AB0B)
  }

  /// In pieces of any length it is that of the whole.
  @Test func piecesMakeTheWhole() {
    let bytes = (0..<200).map { UInt8(truncatingIfNeeded: $0 * $0 + 3) }
    for count in 0...bytes.count {
      let part = Array(bytes[..<count])
      #expect(Self.of(part) == Self.slow(part))
      for cut in stride(from: 0, through: count, by: 3) {
        var checksum = CRC32()
        checksum.update(Array(part[..<cut]))
        checksum.update(Array(part[cut...]))
        #expect(checksum.value == Self.slow(part))
      }
    }
  }
}

@Suite struct TextTests {
  @Test func numbersAsText() {
    #expect(0.hex() == "0x0" && 255.hex(4) == "0x00ff" && UInt64.max.hex() == "0xffffffffffffffff")
    #expect((0x12345).hex(2) == "0x12345")
    #expect(0.grouped == "0" && 999.grouped == "999" && 1000.grouped == "1,000")
    #expect(
      1_048_576.grouped == "1,048,576" && (-1234).grouped == "-1,234" && (-123).grouped == "-123")
    #expect(UInt64.max.grouped == "18,446,744,073,709,551,615")
    for (count, text) in [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1_048_575, "1023.9 KiB"),
      (1 << 20, "1.0 MiB"), (4 << 30, "4.0 GiB"), (UInt64.max, "16383.9 PiB"),
    ] as [(UInt64, String)] { #expect(count.byteCount == text) }
  }

  @Test func bytesAsText() {
    #expect([0, 1, 0xAB, 0xFF].hexDigits == "0001abff" && [UInt8]().hexDigits == "")
    // What steers a terminal is shown and not done.
    #expect(Array("a\\b\u{1B}[31m\n".utf8).printable == "a\\\\b\\x1b[31m\\x0a")
    #expect([0x7E, 0x7F, 0x80].printable == "~\\x7f\\x80")
  }

  @Test func errorsSayWhere() {
    #expect(FormatError(.invalid, "no").description == "no")
    #expect(FormatError(.invalid, field: "a.b", offset: 4, "no").description == "a.b (+4): no")
    #expect(FormatError(.invalid, offset: 4, "no").description == "(+4): no")
  }
}

@Suite struct SaturatingTests {
  /// Against all of a small type.
  @Test func allOfASmallType() {
    for a in Int8.min...Int8.max {
      for b in Int8.min...Int8.max {
        let (sum, product) = (Int(a) + Int(b), Int(a) * Int(b))
        #expect(a.addingSaturated(b) == Int8(clamping: sum))
        #expect(a.multipliedSaturated(by: b) == Int8(clamping: product))
      }
    }
  }

  @Test func fromFloatingPoint() {
    #expect(
      UInt8(saturating: -1) == 0 && UInt8(saturating: 254.9) == 254 && UInt8(saturating: 256) == 255
    )
    #expect(Int64(saturating: 9.3e18) == .max && Int64(saturating: -9.3e18) == .min)
    #expect(UInt64(saturating: 1.9e19) == .max && UInt64(saturating: 0.5) == 0)
    #expect(Int(saturating: .nan) == 0 && Int(saturating: .infinity) == .max)
    #expect(
      Int(saturating: -.infinity) == .min
        && Int64(saturating: 9_223_372_036_854_774_784) == 9_223_372_036_854_774_784)
  }
}

@Suite struct PageAlignedBufferTests {
  @Test func bytesStayWhereTheyAre() {
    let buffer = PageAlignedBuffer(capacity: 10)
    #expect(buffer.capacity == 4096)
    for index in 0..<4096 { buffer.store(index, UInt8(truncatingIfNeeded: index &* 3)) }
    let before = buffer.copy(0..<4096)
    buffer.reserve(100)
    #expect(buffer.capacity == 4096)
    buffer.reserve(20_000)
    #expect(buffer.capacity == 20_000 && buffer.copy(0..<4096) == before)
    let isAligned = unsafe UInt(bitPattern: buffer.pointer()) % 4096 == 0
    #expect(isAligned)
    // Overlapping ranges.
    buffer.moveToStart(10..<4096)
    #expect(buffer.copy(0..<4086) == Array(before[10...]))
    buffer.store(100, words: [1, 0x0102_0304_0506_0708])
    #expect(buffer.copy(100..<116) == [1, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1])
    buffer.store(200, UInt32(0x0102_0304), .big)
    #expect(buffer.withBytes(200..<204) { $0.load(0, as: UInt32.self, .big) } == 0x0102_0304)
    let bytes: [UInt8] = [9, 8, 7]
    buffer.store(30_000, bytes.span.bytes)
    #expect(buffer.copy(30_000..<30_003) == bytes && buffer.capacity >= 30_003)
  }
}

@Suite struct XXH64Tests {
  /// Values of the reference implementation.
  @Test func knownValues() {
    #expect(XXH64.hash([]) == 0xEF46_DB37_51D8_E999)
    #expect(XXH64.hash(Array("a".utf8)) == 0xD24E_C4F1_A98C_6E5B)
    #expect(XXH64.hash(Array("abc".utf8)) == 0x44BC_2CF5_AD77_0999)
    let text = Array("Nobody inspects the spammish repetition".utf8)
    #expect(XXH64.hash(text) == 0xFBCE_A83C_8A37_8BF1)
  }

  /// Every length goes through another end of the algorithm; every byte and the seed count.
  @Test func everyByteCounts() {
    var seen: Set<UInt64> = []
    for count in 0..<100 {
      var bytes = [UInt8](repeating: 3, count: count)
      seen.insert(XXH64.hash(bytes))
      seen.insert(XXH64.hash(bytes, seed: 1))
      for place in bytes.indices {
        bytes[place] = 4
        seen.insert(XXH64.hash(bytes))
        bytes[place] = 3
      }
    }
    #expect(seen.count == 100 + 100 + 99 * 100 / 2)
  }
}
