// Streams built byte by byte, without the code that is tested.

/// Bytes in the making, in one byte order.
struct Wire {
  var isBig = false
  var bytes: [UInt8] = []

  /// The low `width` bytes of a number.
  mutating func put(_ value: UInt64, _ width: Int, big: Bool? = nil) {
    let ascending = (0..<width).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    bytes += (big ?? isBig) ? ascending.reversed() : ascending
  }

  mutating func pad(to multiple: Int) {
    while bytes.count % multiple != 0 { bytes.append(0) }
  }
}

/// CRC-32 a bit at a time.
func slowCRC(_ bytes: [UInt8]) -> UInt32 {
  var crc = UInt32.max
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 0 ? 0 : 0xEDB8_8320) }
  }
  return ~crc
}

/// A libxc stream: which version, order and guest, and its records.
struct TestImage {
  var version = 3
  var isBig = false
  var type: UInt64 = 2
  var major: UInt64 = 4
  var minor: UInt64 = 17

  var wire = Wire()

  init(version: Int = 3, isBig: Bool = false, type: UInt64 = 2) {
    self.version = version
    self.isBig = isBig
    self.type = type
    wire.isBig = isBig
  }

  var bytes: [UInt8] { wire.bytes }

  /// Image header and domain header; draft B's release in a record.
  mutating func headers() {
    wire.bytes += [UInt8](repeating: 0xFF, count: 8)
    wire.put(0x5845_4E46, 4, big: true)
    wire.put(UInt64(version), 4, big: true)
    wire.put(isBig ? 1 : 0, 2, big: true)
    wire.put(0, 6)
    if version == 1 {
      wire.put(1, 2)  // arch: x86
      wire.put(type, 2)
      wire.put(12, 2)
      wire.put(0, 2)
      record(0x8000_0000, numbers: [(major, 4), (minor, 4)])
    } else {
      wire.put(type, 4)
      wire.put(12, 2)
      wire.put(0, 2)
      wire.put(major, 4)
      wire.put(minor, 4)
    }
  }

  mutating func record(_ type: UInt64, _ body: [UInt8] = []) {
    wire.put(type, 4)
    wire.put(UInt64(body.count), 4)
    if version == 1 {
      wire.put(1, 2)
      wire.put(0, 6)
    }
    let start = wire.bytes.count
    wire.bytes += body
    while (wire.bytes.count - start) % 8 != 0 { wire.bytes.append(0) }
    if version == 1 {
      wire.put(UInt64(slowCRC(Array(wire.bytes[start...]))), 4)
      wire.put(0, 4)
    }
  }

  /// A record of numbers (value, bytes), and what follows them whatever the order is.
  mutating func record(
    _ type: UInt64, numbers: [(UInt64, Int)], then rest: [UInt8] = []
  ) {
    var body = Wire(isBig: isBig)
    for (value, width) in numbers { body.put(value, width) }
    record(type, body.bytes + rest)
  }

  /// PAGE_DATA with these entries; pages are filled with the low byte of their place.
  mutating func pages(_ entries: [UInt64]) {
    var contents: [UInt8] = []
    for (index, entry) in entries.enumerated() where entry >> 60 < 0xD {
      contents += [UInt8](repeating: UInt8(index + 1), count: 4096)
    }
    record(
      1, numbers: [(UInt64(entries.count), 4), (0, 4)] + entries.map { ($0, 8) }, then: contents)
  }
}

/// What a small HVM image holds.
func hvmImage(
  version: Int = 3, isBig: Bool = false, hasPolicies: Bool = true, contextByteCount: Int = 40
) -> [UInt8] {
  var image = TestImage(version: version, isBig: isBig)
  image.headers()
  if hasPolicies {
    image.record(
      0x11, numbers: [(0x8000_0001, 4), (0xFFFF_FFFF, 4), (1, 4), (2, 4), (3, 4), (4, 4)])
    image.record(0x12, numbers: [(0xCE, 4), (0, 4), (0x1122_3344_5566_7788, 8)])
  }
  if version != 2 { image.record(0x10) }
  image.pages([0x0, 0x1, 0xF000_0000_0000_00A0, 0x12345])
  image.record(8, numbers: [(0, 4), (2_500_000, 4), (123_456_789, 8), (1, 4), (0, 4)])
  // HVM_CONTEXT is Xen's own: the same in any byte order.
  image.record(9, [1, 0, 0, 0, 24, 0, 0, 0] + [UInt8](repeating: 7, count: contextByteCount - 8))
  image.record(10, numbers: [(2, 4), (0, 4), (1, 8), (0xFF000, 8), (17, 8), (0xFF001, 8)])
  image.record(0)
  return image.bytes
}

/// What a small PV image of two vCPUs holds.
func pvImage(version: Int = 3, isBig: Bool = false, maxVCPU: UInt64 = 1) -> [UInt8] {
  var image = TestImage(version: version, isBig: isBig, type: 1)
  image.headers()
  image.record(2, [8, 4, 0, 0, 0, 0, 0, 0])
  if version != 2 { image.record(0x10) }
  image.record(3, numbers: [(0, 4), (0x3FF, 4), (0x10, 8), (0x11, 8)])
  image.pages([0x0, 0x4000_0000_0000_0001, 0xE000_0000_0000_0002])
  image.record(8, numbers: [(0, 4), (2_500_000, 4), (1, 8), (0, 4), (0, 4)])
  image.record(7, [UInt8](repeating: 0x5A, count: 4096))
  if version == 1 { image.record(0x13, numbers: [(maxVCPU, 4), (0, 4)]) }
  for id in 0..<UInt64(2) {
    image.record(
      version == 1 ? 0x14 : 4, numbers: [(id, 4), (0, 4)],
      then: (0..<5168).map { UInt8(truncatingIfNeeded: $0) })
    image.record(5, numbers: [(id, 4), (0, 4)], then: [UInt8](repeating: 3, count: 64))
    image.record(12, numbers: [(id, 4), (0, 4)], then: [UInt8](repeating: 9, count: 16))
  }
  image.record(0)
  return image.bytes
}

// MARK: - Policies

extension TestImage {
  /// A row of X86_CPUID_POLICY: the registers are those of the instruction.
  typealias Leaf = (leaf: UInt32, subleaf: UInt32, a: UInt32, b: UInt32, c: UInt32, d: UInt32)

  /// An HVM guest of version 2, which has no policies, and one vCPU with `cr4` and the saved MSRs.
  static func withoutPolicies(cr4: UInt64 = 0, saved: [(UInt32, UInt64)] = []) -> [UInt8] {
    var image = TestImage(version: 2)
    image.headers()
    image.addVCPU(cr4: cr4, saved: saved)
    return image.bytes
  }

  /// An HVM guest with these policies, and one vCPU with `cr4` and the saved MSRs.
  static func policies(
    _ leaves: [Leaf], msrs: [(UInt32, UInt64)] = [], cr4: UInt64 = 0,
    saved: [(UInt32, UInt64)] = []
  ) -> [UInt8] {
    var image = TestImage()
    image.headers()
    image.record(
      0x11,
      numbers: leaves.flatMap { [$0.leaf, $0.subleaf, $0.a, $0.b, $0.c, $0.d] }.map {
        (UInt64($0), 4)
      })
    image.record(0x12, numbers: msrs.flatMap { [(UInt64($0.0), 4), (0, 4), ($0.1, 8)] })
    image.record(0x10)
    image.addVCPU(cr4: cr4, saved: saved)
    return image.bytes
  }

  /// A page, and HVM_CONTEXT of one vCPU, to the end of the stream.
  private mutating func addVCPU(cr4: UInt64, saved: [(UInt32, UInt64)]) {
    pages([1])
    var cpu = [UInt8](repeating: 0, count: 1032)
    cpu[656] = 0x10
    for place in 0..<8 { cpu[680 + place] = UInt8(truncatingIfNeeded: cr4 >> UInt64(8 * place)) }
    var context: [UInt8] = [2, 0, 0, 0, 8, 4, 0, 0] + cpu
    if !saved.isEmpty {
      context += [20, 0, 0, 0, UInt8(8 + 16 * saved.count), 0, 0, 0, UInt8(saved.count)]
      context += [UInt8](repeating: 0, count: 7)
      for (index, value) in saved {
        context += (0..<4).map { UInt8(truncatingIfNeeded: index >> (8 * $0)) } + [0, 0, 0, 0]
        context += (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
      }
    }
    record(9, context + [0, 0, 0, 0, 0, 0, 0, 0])
    record(0)
  }
}
