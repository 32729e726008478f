// Builds legacy streams byte by byte. Knows nothing of the code that reads them, and must not.

import Testing

/// Bytes, integers little-endian.
struct Bytes {
  var bytes: [UInt8] = []

  mutating func u16(_ value: UInt16) { add(UInt64(value), 2) }
  mutating func u32(_ value: UInt32) { add(UInt64(value), 4) }
  mutating func i32(_ value: Int32) { add(UInt64(UInt32(bitPattern: value)), 4) }
  mutating func u64(_ value: UInt64) { add(value, 8) }
  mutating func text(_ text: String) { bytes += Array(text.utf8) }
  mutating func zero(_ count: Int) { bytes += [UInt8](repeating: 0, count: count) }

  private mutating func add(_ value: UInt64, _ count: Int) {
    for index in 0..<count { bytes.append(UInt8(value >> (8 * UInt64(index)) & 0xFF)) }
  }

  mutating func put(_ value: UInt64, _ count: Int, at offset: Int) {
    for index in 0..<count { bytes[offset + index] = UInt8(value >> (8 * UInt64(index)) & 0xFF) }
  }
}

/// A legacy stream under construction.
struct LegacyBuilder {
  /// Bytes of the toolstack's unsigned long.
  var word = 8
  var isPV = true
  /// Bytes of the guest's pointers.
  var guestWidth = 8
  var hasExtended = true
  var hasXsave = true
  var out = Bytes()

  static let p2mSize: UInt64 = 16
  static let p2mPFN: UInt64 = 1
  static let startInfoPFN: UInt64 = 2
  static let tablePFN: UInt64 = 3

  mutating func ulong(_ value: UInt64) {
    word == 8 ? out.u64(value) : out.u32(UInt32(truncatingIfNeeded: value))
  }

  // MARK: - The header

  /// p2m_size, and for PV extended info and the p2m's frames.
  mutating func head() {
    ulong(Self.p2mSize)
    guard isPV else { return }
    ulong(.max)
    var blocks = Bytes()
    let context = vcpuContext()
    blocks.text("vcpu")
    blocks.u32(UInt32(context.count))
    blocks.bytes += context
    if hasExtended {
      blocks.text("extv")
      blocks.u32(0)
    }
    if hasXsave {
      blocks.text("xcnt")
      blocks.u32(4)
      blocks.u32(UInt32(xsave().count + 16))
    }
    out.u32(UInt32(blocks.bytes.count))
    out.bytes += blocks.bytes
    ulong(Self.p2mPFN)
  }

  // MARK: - Chunks

  /// A page's contents, told by pfn and version.
  static func page(_ pfn: UInt64, _ version: UInt8 = 0) -> [UInt8] {
    (0..<4096).map { UInt8(truncatingIfNeeded: Int(pfn) &* 37 &+ $0 / 16) ^ version }
  }

  /// A batch; the page of each entry that has data, unless `isCompressed`.
  mutating func batch(
    _ entries: [(type: UInt64, pfn: UInt64)], version: UInt8 = 0, isCompressed: Bool = false
  ) {
    out.i32(Int32(entries.count))
    for entry in entries { ulong(entry.type << 28 | entry.pfn) }
    guard !isCompressed else { return }
    for entry in entries where entry.type < 0xD { out.bytes += Self.page(entry.pfn, version) }
  }

  /// The pages of the whole guest, all types that it can have, fillers, in two batches.
  mutating func allPages(version: UInt8 = 0) {
    let table: UInt64 = guestWidth == 8 ? 0xC : 0xB
    if isPV {
      batch(
        [(0, 0), (0, 1), (0, 2), (table, 3), (0xF, 0), (1, 4), (2, 5), (9, 6)], version: version)
      batch([(0xF, 7), (0xE, 8), (0xD, 9), (0, 10), (0xF, 0), (0xF, 0)], version: version)
    } else {
      batch([(0, 0), (0, 1), (0xF, 0), (0xF, 3), (0, 2)], version: version)
      batch([(0xF, 0), (0xE, 4), (0xD, 5), (0, 6)], version: version)
    }
  }

  mutating func chunk(_ type: Int32) { out.i32(type) }

  /// One of the chunks that hold an HVM parameter; the 4 bytes of padding are garbage.
  mutating func param(_ type: Int32, _ value: UInt64) {
    out.i32(type)
    out.u32(0xDEAD_BEEF)
    out.u64(value)
  }

  mutating func tsc(incarnation: UInt32 = 4) {
    out.i32(-7)
    out.u32(1)
    out.u64(0x1122_3344_5566)
    out.u32(2_400_000)
    out.u32(incarnation)
  }

  mutating func vcpuInfo(maxID: Int32, _ words: [UInt64]) {
    out.i32(-2)
    out.i32(maxID)
    for word in words { out.u64(word) }
  }

  static let params: [(type: Int32, index: UInt64, value: UInt64)] = [
    (-14, 34, 0xFC00), (-3, 12, 0xFEFF_E000), (-15, 27, 0xA1), (-16, 28, 0xA2), (-17, 29, 0xA3),
    (-4, 15, 0xFEFF_D000), (-8, 17, 6), (-10, 19, 1), (-11, 9, 1), (-19, 32, 0xB0), (-20, 33, 8),
  ]

  /// libxl's record: two mappings.
  mutating func toolstack() {
    var body = Bytes()
    body.u32(1)
    body.u32(2)
    for (index, name) in ["vga.vram", "e1000.rom"].enumerated() {
      body.u64(0x8000_0000 + UInt64(index) << 20)
      body.u64(0xF000_0000 + UInt64(index) << 24)
      body.u64(0x80_0000)
      body.u32(UInt32(name.utf8.count + 1))
      body.text(name)
      body.bytes.append(0)
      if word == 8 { body.u32(0xCCCC_CCCC) }
    }
    out.i32(-18)
    out.u32(UInt32(body.bytes.count))
    out.bytes += body.bytes
  }

  static let physmapKeys =
    "physmap/80000000/start_addr\0f0000000\0physmap/80000000/size\0800000\0"
    + "physmap/80000000/name\0vga.vram\0physmap/80100000/start_addr\0f1000000\0"
    + "physmap/80100000/size\0800000\0physmap/80100000/name\0e1000.rom\0"

  // MARK: - Tails

  /// vcpu_guest_context of a guest that runs in its kernel on page table `tablePFN`.
  func vcpuContext(_ id: UInt64 = 0, version: UInt8 = 0) -> [UInt8] {
    var out = Bytes()
    out.zero(guestWidth == 8 ? 5168 : 2800)
    out.put(0x37F, 2, at: 0)
    out.put(0x1F80, 4, at: 24)
    out.put(1 << 2 | 1 << 5, 4, at: 512)
    out.put(UInt64(version), 4, at: guestWidth == 8 ? 520 : 516)
    out.put(id == 0 ? Self.startInfoPFN : 0x77, 4, at: guestWidth == 8 ? 616 : 524)
    out.put(Self.tablePFN << 12, guestWidth, at: guestWidth == 8 ? 5008 : 2728)
    return out.bytes
  }

  func extended(_ id: UInt64) -> [UInt8] {
    var out = Bytes()
    out.u32(UInt32(id))
    out.u32(64)
    out.zero(120)
    return out.bytes
  }

  func xsave() -> [UInt8] {
    var out = Bytes()
    out.u64(3)
    out.u64(3)
    out.u16(0x37F)
    out.zero(22)
    out.u32(0x1F80)
    out.zero(484)
    out.u64(3)
    out.zero(56)
    return out.bytes
  }

  func sharedInfo() -> [UInt8] {
    var out = Bytes()
    out.zero(4096)
    out.put(Self.p2mSize, guestWidth, at: guestWidth == 8 ? 3088 : 2316)
    return out.bytes
  }

  mutating func pvTail(_ vcpus: [UInt64], unmapped: [UInt64] = [], version: UInt8 = 0) {
    out.u32(UInt32(unmapped.count))
    for pfn in unmapped { ulong(pfn) }
    for id in vcpus {
      out.bytes += vcpuContext(id, version: version)
      if hasExtended { out.bytes += extended(id) }
      if hasXsave {
        out.u64(7)
        out.u64(UInt64(xsave().count))
        out.bytes += xsave()
      }
    }
    out.bytes += sharedInfo()
  }

  mutating func hvmTail(_ context: [UInt8], store: UInt64 = 4) {
    out.u64(2)
    out.u64(3)
    out.u64(store)
    out.u32(UInt32(context.count))
    out.bytes += context
  }

  /// A QEVM stream without any device.
  static let qemu: [UInt8] = Array("QEVM".utf8) + [0, 0, 0, 3, 0]

  mutating func deviceModel(_ signature: String = "DeviceModelRecord0002", _ state: [UInt8] = qemu)
  {
    out.text(signature)
    if signature != "QemuDeviceModelRecord" { out.u32(UInt32(state.count)) }
    out.bytes += state
  }

  // MARK: - Whole streams

  /// A save of a plain guest with every chunk that it can have.
  static func plain(
    _ kind: Kind, context: [UInt8] = [UInt8](repeating: 7, count: 61), verify: Bool = false
  ) -> [UInt8] {
    var builder = LegacyBuilder(kind)
    builder.head()
    builder.tsc()
    builder.allPages()
    if verify {
      builder.chunk(-1)
      builder.allPages()
    }
    builder.vcpuInfo(maxID: 64, [0b101, 1])
    if !kind.isPV {
      for param in params { builder.param(param.type, param.value) }
      builder.toolstack()
    }
    builder.chunk(-9)
    builder.chunk(0)
    if kind.isPV {
      builder.pvTail([0, 2, 64], unmapped: [11, 12])
    } else {
      builder.hvmTail(context)
      builder.deviceModel()
    }
    return builder.out.bytes
  }

  init(_ kind: Kind) {
    word = kind.word
    isPV = kind.isPV
    guestWidth = kind.guestWidth
  }
}

/// A kind of legacy stream.
struct Kind: Sendable, CustomTestStringConvertible {
  let word: Int
  let isPV: Bool
  var guestWidth = 8

  static let all = [
    Kind(word: 8, isPV: true), Kind(word: 4, isPV: true), Kind(word: 8, isPV: false),
    Kind(word: 4, isPV: false), Kind(word: 8, isPV: true, guestWidth: 4),
    Kind(word: 4, isPV: true, guestWidth: 4),
  ]

  var testDescription: String {
    "\(8 * word)-bit toolstack, \(isPV ? "PV, \(8 * guestWidth)-bit guest" : "HVM")"
  }
}

/// An xl header with this configuration.
func xlHeader(_ config: [UInt8], flags: UInt32) -> [UInt8] {
  var out = Bytes()
  out.text("Xen saved domain, xl format\n \0 \r")
  out.u32(0x0102_0304)
  out.u32(flags)
  out.u32(0)
  out.u32(UInt32(4 + config.count))
  out.u32(UInt32(config.count))
  out.bytes += config
  return out.bytes
}
