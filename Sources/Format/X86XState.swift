// FXSAVE and XSAVE areas: PV and HVM vCPUs carry the same rows.

/// Processor state as XSAVE stores it, in the standard form that Xen migrates (not compacted).
///
///       0     512    576                      byte
///     +------+------+------------- ... -+
///     | fpu  | hdr  | components        |
///     | _sse |      |                   |
///     +------+------+------------- ... -+
public enum X86XState {
  /// Where one state component lies. CPUID leaf 0xD, subleaf n: EBX and EAX.
  public struct Component: Sendable, Hashable {
    /// Bytes from the start of the area: at least 576.
    public let offset: Int
    public let byteCount: Int
    public init(offset: Int, byteCount: Int) {
      self.offset = offset
      self.byteCount = byteCount
    }
  }

  /// Bytes of the legacy region and the header; components follow.
  public static let headByteCount = 576

  /// The largest area that any table describes: far above every processor's, to keep wrong CPUID
  /// leaves from asking for memory.
  static let areaLimit = 1 << 20

  /// Names of the components by their bit in XCR0.
  public static let names: [Int: String] = [
    0: "X87", 1: "SSE", 2: "YMM", 3: "BNDREGS", 4: "BNDCSR", 5: "OPMASK", 6: "ZMM", 7: "HI_ZMM",
    9: "PKRU", 17: "TILE_CFG", 18: "TILE_DATA", 62: "LWP",
  ]

  /// Where Intel's processors put the components. Others differ: an image's CPUID leaves decide.
  public static let customary: [Int: Component] = [
    2: Component(offset: 576, byteCount: 256), 3: Component(offset: 960, byteCount: 64),
    4: Component(offset: 1024, byteCount: 64), 5: Component(offset: 1088, byteCount: 64),
    6: Component(offset: 1152, byteCount: 512), 7: Component(offset: 1664, byteCount: 1024),
    9: Component(offset: 2688, byteCount: 8), 17: Component(offset: 2752, byteCount: 64),
    18: Component(offset: 2816, byteCount: 8192),
  ]

  /// The bytes of an area that has the components of `mask`, which is xcr0_accum; nil if the
  /// place of one of them is not known or none that a processor gives. Xen: xstate_uncompressed_size.
  public static func byteCount(mask: UInt64, components: [Int: Component]) -> Int? {
    var end = headByteCount
    for bit in 2..<63 where mask >> UInt64(bit) & 1 != 0 {
      guard let component = components[bit], component.offset <= areaLimit,
        component.byteCount <= areaLimit
      else { return nil }
      end = max(end, component.offset + component.byteCount)
    }
    return end
  }

  // MARK: - Rows

  /// X86_PV_VCPU_XSAVE, after the record's vcpu_id.
  static let pvFields: [Field] = (masks + [area]).map(\.native)

  /// HVM CPU_XSAVE. Xen: struct hvm_hw_cpu_xsave.
  static let hvmFields: [Field] =
    [.x64("xfeature_mask").doc("Xen ignores it.")] + masks + [area]

  private static let masks: [Field] = [
    .x64("xcr0").bits(componentBits),
    .x64("xcr0_accum").bits(componentBits).doc("All that XCR0 has ever had."),
  ]

  /// The area as rows where nothing is known of its components; with the image's CPUID leaves the
  /// context gives their places.
  static let area = Field.group("save_area", head + [.opaque("components")])
    .rows { context in context.xstate.isEmpty ? nil : fields(components: context.xstate) }

  /// The rows of an area whose components lie at these places. Places that no processor gives
  /// (inside the header, over another component, too large) are left to the gaps.
  public static func fields(components: [Int: Component]) -> [Field] {
    let sorted = components.sorted { ($0.value.offset, $0.key) < ($1.value.offset, $1.key) }
    var placed: [(offset: Int, field: Field)] = []
    var end = headByteCount
    for (component, place) in sorted {
      guard place.offset >= end, place.offset <= areaLimit, place.byteCount > 0,
        place.byteCount <= areaLimit
      else { continue }
      placed.append((place.offset - headByteCount, Self.component(component, place.byteCount)))
      end = place.offset + place.byteCount
    }
    return head + Field.tiled(end - headByteCount, placed) + [.opaque("_rest")]
  }

  /// The 512 bytes that FXSAVE stores. Intel SDM vol. 1, 10.5.1; the last byte is from Xen:
  /// xen/arch/x86/include/asm/i387.h, FPU_WORD_SIZE_OFFSET.
  static func fxsave(_ name: String) -> Field {
    .group(
      name,
      [
        .x16("fcw"), .x16("fsw"), .x8("ftw"), .bytes("_rsvd1", 1), .x16("fop"), .x64("fpuip"),
        .x64("fpudp"), .x32("mxcsr").bits(X86Bits.mxcsr), .x32("mxcsr_mask"),
        Field.array("st", .fixed(8), each: .bytes("", 16)).doc("x87 and MMX registers."),
        .array("xmm", .fixed(16), each: .bytes("", 16)), .bytes("_rsvd2", 48),
        Field.bytes("_software", 47).doc("The processor leaves them to software."),
        Field.u8("fip_width").unit("bytes").doc("Xen's: which form fpuip and fpudp have."),
      ])
  }

  private static let head: [Field] = [
    fxsave("fpu_sse"),
    .group(
      "xsave_hdr",
      [
        .x64("xstate_bv").bits(componentBits),
        Field.x64("xcomp_bv").doc("0: Xen refuses the compacted form."), .reserved(48),
      ]),
  ]

  private static let componentBits: [Field.Bits] = names.sorted { $0.key < $1.key }.map {
    Field.Bits($0.value.lowercased(), $0.key)
  }

  private static func component(_ component: Int, _ byteCount: Int) -> Field {
    let name = names[component] ?? "XSTATE\(component)"
    guard let inner = inside[component], let count = Field.fixedByteCount(of: inner),
      count <= byteCount
    else { return .bytes(name, byteCount) }
    return .group(name, count == byteCount ? inner : inner + [.bytes("_pad", byteCount - count)])
  }

  /// The registers of components. Intel SDM vol. 1, 13.5.
  private static let inside: [Int: [Field]] = [
    2: [.array("ymm_high", .fixed(16), each: .bytes("", 16))],
    3: [.array("bnd", .fixed(4), of: [.x64("lower"), .x64("upper")])],
    4: [.x64("bndcfgu"), .x64("bndstatus")],
    5: [.array("k", .fixed(8), each: .x64(""))],
    6: [.array("zmm_high", .fixed(16), each: .bytes("", 32))],
    7: [.array("zmm", .fixed(16), each: .bytes("", 64))],
    9: [.x32("pkru"), .bytes("_pad0", 4)],
    17: [
      .u8("palette"), .u8("start_row"), .bytes("_rsvd0", 14),
      .array("colsb", .fixed(8), each: .u16("")), .bytes("_rsvd1", 16),
      .array("rows", .fixed(8), each: .u8("")), .bytes("_rsvd2", 8),
    ],
    18: [.array("tmm", .fixed(8), each: .bytes("", 1024))],
  ]
}
