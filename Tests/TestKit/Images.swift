// Small whole images, as Xen 4.17 writes them: what tests begin with.

extension StreamBuilder {
  /// What xl takes for the smallest guest of a type: "hvm", "pvh" or "pv".
  public static func config(_ type: String = "hvm") -> String {
    #"{"c_info":{"type":"\#(type)","name":"guest","#
      + #""uuid":"00000000-0000-4000-8000-000000000001"},"b_info":{"max_memkb":1048576,"#
      + #""type.\#(type)":{}}}"#
  }

  /// The xl header and a configuration. `claimed` and `count` can be wrong.
  public static func xl(
    config: [UInt8] = Array("\(config())\0".utf8), claimed: UInt32? = nil,
    count: UInt32? = nil
  ) -> Chunk {
    let data = le32(claimed ?? UInt32(config.count)) + config
    return Chunk(
      "xl",
      Array("Xen saved domain, xl format\n \0 \r".utf8)
        + le32(0x0102_0304, 3, 0, count ?? UInt32(data.count)) + data)
  }

  private mutating func addHeaders(guest: UInt32, version: UInt32) {
    add(
      StreamBuilder.xl(config: Array("\(StreamBuilder.config(guest == 1 ? "pv" : "hvm"))\0".utf8)))
    add("libxl", Array("LibxlFmt".utf8) + be32(2, 0))
    add(StreamBuilder.record("LIBXC_CONTEXT", 1))
    addLibxcHeaders(guest: guest, version: version)
  }

  /// The image header and the domain header, of Xen 4.17 or 4.13.
  public mutating func addLibxcHeaders(guest: UInt32, version: UInt32) {
    add("image", be32(0xFFFF_FFFF, 0xFFFF_FFFF, 0x5845_4E46, version) + zeros(8))
    add("domain", le32(guest) + le16(12, 0) + le32(4, version == 2 ? 13 : 17))
  }

  private mutating func addPolicies() {
    // Leaf 0: greatest leaf 0xD, "GenuineIntel".
    add(
      StreamBuilder.record(
        "X86_CPUID_POLICY", 0x11,
        le32(0, 0xFFFF_FFFF, 0xD, 0x756E_6547, 0x6C65_746E, 0x4965_6E69)))
    add(StreamBuilder.record("X86_MSR_POLICY", 0x12, le32(0xCE, 0) + le64(0x8000_0000)))
  }

  private mutating func addTSC() {
    add(
      StreamBuilder.record(
        "X86_TSC_INFO", 0x08, le32(0, 2_000_000) + le64(1_000_000_000) + le32(1, 0)))
  }

  /// The tail of an HVM guest: TSC, context and parameters.
  private mutating func addHVMTail() {
    addTSC()
    add(StreamBuilder.record("HVM_CONTEXT", 0x09, StreamBuilder.context()))
    add(StreamBuilder.params([(1, 0xFEFFC), (5, 0xFEFFE), (6, 0xFEFFF), (17, 0xFEFFC)]))
  }

  /// HVM_CONTEXT's entries: HEADER, the ones given, one CPU and END.
  public static func context(_ entries: [[UInt8]] = []) -> [UInt8] {
    let header =
      le32(0x5438_1286, 1) + le64(0xFFFF_FFFF_FFFF_FFFF) + le32(0x000306A9, 2_000_000)
    // Xen takes no vCPU whose CR0 lacks ET.
    var cpu = zeros(1032)
    cpu[656] = 0x10
    return entry(1, 0, header) + entries.flatMap { $0 } + entry(2, 0, cpu) + entry(0, 0, [])
  }

  /// An HVM guest of three pages with a device model, in all layers.
  public static func hvm(version: UInt32 = 3) -> StreamBuilder {
    var image = StreamBuilder()
    image.addHeaders(guest: 2, version: version)
    if version > 2 {
      image.addPolicies()
      image.add(record("STATIC_DATA_END", 0x10))
    }
    image.add(pages([0x10, 0x11, 0xF000_0000_0000_0012, 0xFEFFC]))
    image.addHVMTail()
    image.add(record("END", 0))
    image.add(
      xenstore([
        "physmap/f0000000/start_addr", "f0000000", "physmap/f0000000/size", "1000000",
        "physmap/f0000000/name", "vga.vram",
      ]))
    image.add(
      record("EMULATOR_CONTEXT", 3, le32(2, 0) + Array("QEVM".utf8) + be32(3) + [4, 0, 0]))
    image.add(record("libxl END", 0))
    return image
  }

  /// A PV guest of four pages: start info (1), GDT (2), top page table (3), p2m (4).
  public static func pv(width: Int = 8, version: UInt32 = 3) -> StreamBuilder {
    var image = StreamBuilder()
    image.addHeaders(guest: 1, version: version)
    let levels: UInt8 = width == 8 ? 4 : 3
    image.add(record("X86_PV_INFO", 0x02, [UInt8(width), levels] + zeros(6)))
    if version > 2 {
      image.addPolicies()
      image.add(record("STATIC_DATA_END", 0x10))
    }
    image.add(p2m(start: 0, end: 5, [4]))
    let table = UInt64(8 + levels) << 60
    image.add(pages([1, 2, table | 3, 4, 0xF000_0000_0000_0005]))
    image.addPVTail(width: width)
    image.add(record("END", 0))
    image.add(record("libxl END", 0))
    return image
  }

  private mutating func addPVTail(width: Int) {
    addTSC()
    add(StreamBuilder.record("SHARED_INFO", 0x07, zeros(4096)))
    add(
      StreamBuilder.record(
        "X86_PV_VCPU_BASIC", 0x04, le32(0, 0) + StreamBuilder.vcpu(width: width)))
    add(StreamBuilder.record("X86_PV_VCPU_EXTENDED", 0x05, le32(0, 0) + le32(0, 64) + zeros(56)))
    add(
      StreamBuilder.record("X86_PV_VCPU_XSAVE", 0x06, le32(0, 0) + le64(3, 3) + zeros(576)))
    add(
      StreamBuilder.record(
        "X86_PV_VCPU_MSRS", 0x0C, le32(0, 0) + le32(0xC000_0103, 0) + le64(0)))
  }

  /// X86_PV_P2M_FRAMES.
  public static func p2m(start: UInt32, end: UInt32, _ frames: [UInt64]) -> Chunk {
    record("X86_PV_P2M_FRAMES", 0x03, le32(start, end) + frames.flatMap { le64($0) })
  }

  /// struct vcpu_guest_context with start info, one page of GDT and page tables in `pv`'s pages.
  public static func vcpu(width: Int) -> [UInt8] {
    var bytes = zeros(width == 8 ? 5168 : 2800)
    func put(_ offset: Int, _ value: [UInt8]) {
      bytes.replaceSubrange(offset..<offset + value.count, with: value)
    }
    if width == 8 {
      put(616, le64(1))  // user_regs.edx: start info
      put(4832, le64(2))  // gdt_frames[0]
      put(4960, le64(512))  // gdt_ents
      put(4992, le64(3 << 12 | 1))  // ctrlreg[1]: user page table, valid
      put(5008, le64(3 << 12))  // ctrlreg[3]
    } else {
      put(524, le32(1))
      put(2640, le32(2))
      put(2704, le32(512))
      put(2728, le32(3 << 12))
    }
    return bytes
  }

  /// A checkpointed stream: `count` checkpoints, and then its bytes end.
  public static func remus(guest: UInt32 = 2, checkpoints count: Int = 2) -> StreamBuilder {
    var image = guest == 1 ? pv() : hvm()
    for name in ["END", "libxl END"] { image.remove(name) }
    let checkpoint = record("CHECKPOINT", 0x0E)
    if guest == 1 {
      image.add(checkpoint)
    } else {
      image.insert(checkpoint, before: "EMULATOR_XENSTORE_DATA")
    }
    image.add(record("CHECKPOINT_END", 4))
    for _ in 1..<count {
      image.add(pages([0x1, 0x2].map { guest == 1 ? $0 : $0 + 0xF }))
      if guest == 1 { image.addPVTail(width: 8) } else { image.addHVMTail() }
      image.add(checkpoint)
      if guest == 2 {
        image.add(
          record("EMULATOR_CONTEXT", 3, le32(2, 0) + Array("QEVM".utf8) + be32(3) + [4, 0, 0]))
      }
      image.add(record("CHECKPOINT_END", 4))
    }
    return image
  }

  /// Only the libxc layer.
  public var libxc: StreamBuilder {
    var image = self
    let first = chunks.firstIndex { $0.name == "image" } ?? 0
    let end = chunks.firstIndex { $0.name == "END" } ?? chunks.count - 1
    image.chunks = Array(chunks[first...end])
    return image
  }

  /// Without the xl header.
  public var libxl: StreamBuilder {
    var image = self
    image.remove("xl")
    return image
  }
}
