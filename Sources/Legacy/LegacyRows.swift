// The parts of a legacy stream as rows: what the reader takes apart by, and what the documents draw.

internal import Bytes
public import Format

/// The fixed parts of what Xen 3.0 to 4.5 saved. All is little-endian but xend's front.
/// Xen: RELEASE-4.5.0 tools/libxc/xc_domain_save.c and xg_save_restore.h.
public enum LegacyRows {
  /// An unsigned long of the toolstack that saved.
  static func long(_ name: String, _ width: ToolstackWidth) -> Field {
    Field(name, .unsigned(width.rawValue))
  }

  /// xend's front: then comes its configuration.
  public static let xendFront: [Field] = [
    .text("magic", xendMagic.utf8.count), .bigEndianCount("config_length"),
  ]

  /// How the stream begins.
  public static func head(_ width: ToolstackWidth) -> [Field] {
    [long("p2m_size", width).unit("pages")]
  }

  /// What follows the header of a PV guest's stream; then come `extended_length` bytes of blocks.
  public static func extendedHead(_ width: ToolstackWidth) -> [Field] {
    [
      long("signature", width).hex.doc("All ones."),
      .u32("extended_length").unit("bytes"),
    ]
  }

  /// The header of a block; then come `size` bytes.
  public static let block: [Field] = [.text("id", 4), .u32("size").unit("bytes")]

  /// A word of the p2m frames and of the pages that were not mapped.
  public static func pfn(_ width: ToolstackWidth) -> Field { long("pfn", width).hex }

  /// The number that a chunk begins with.
  public static let chunk: [Field] = [Field("type", .signed(4)).doc("Or a count of pages.")]

  /// An entry of a batch.
  public static func entry(_ width: ToolstackWidth) -> Field {
    long("entry", width).hex.bits([pfnBits, typeBits])
  }
  static let pfnBits = Field.Bits("pfn", 0, width: 28)
  static let typeBits = Field.Bits("type", 28, width: 4)
  /// An entry that fills a place: the saver could not map a page there.
  static let filler: UInt64 = 0xF000_0000

  // MARK: - After the number of a chunk

  public static let hvmParam: [Field] = [
    Field.bytes("_pad", 4), .x64("value").doc("The bytes before it are C's padding: anything."),
  ]
  public static let tscInfo: [Field] = [
    .u32("mode"), .u64("nsec").unit("ns"), .u32("khz").unit("kHz"), .u32("incarnation"),
  ]
  /// Then come words of 64 bits with a bit for each vCPU.
  public static let vcpuInfo: [Field] = [Field("max_vcpu_id", .signed(4))]
  public static let online = Field.array("online", .rest, each: .x64(""))
  public static func compressedData(_ width: ToolstackWidth) -> [Field] {
    [long("length", width).unit("bytes")]
  }
  /// Before libxl's record, the HVM context and the device model's state.
  public static let length: [Field] = [.u32("length").unit("bytes")]

  // MARK: - Tails

  /// Then come the pfns.
  public static let unmapped: [Field] = [.u32("count")]
  /// Before a vCPU's XSAVE state.
  public static let xsave: [Field] = [.x64("xfeature_mask"), .u64("size").unit("bytes")]
  public static let magicPFNs: [Field] = [
    .x64("ioreq_pfn"), .x64("bufioreq_pfn"), .x64("store_pfn"),
  ]
  public static let signature: [Field] = [.text("signature", LegacySignature.byteCount)]
}

extension Field {
  /// A length of xend: big-endian in every stream.
  fileprivate static func bigEndianCount(_ name: String) -> Field {
    var field = Field(name, .signed(4)).unit("bytes").doc("Big-endian.")
    field.ownOrder = .big
    return field
  }
}

/// Bytes that rows lie over.
struct LegacyPart {
  let body: [UInt8]
  private let layout: BodySchema

  init(_ rows: [Field], _ body: [UInt8]) {
    self.body = body
    layout = BodySchema(rows, BodyContext())
  }

  /// The number in a row; negative ones as two's complement of 64 bits. The bytes are all there.
  subscript(_ name: String) -> UInt64 {
    switch layout.find(name, in: body)?.value(in: body) {
    case .unsigned(let value): return value
    case .signed(let value): return UInt64(bitPattern: value)
    default: preconditionFailure("the rows have no number \(name)")
    }
  }

  /// As `subscript`, for a row of at most 32 bits.
  func word(_ name: String) -> UInt32 { UInt32(truncatingIfNeeded: self[name]) }
}

extension Array where Element == Field {
  /// Bytes of rows that have a fixed length.
  var fixedByteCount: Int { Field.fixedByteCount(of: self) ?? 0 }
}
