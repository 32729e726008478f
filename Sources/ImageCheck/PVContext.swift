// What a PV vCPU's context names: pages, and the tables of the processor.

internal import Bytes
internal import Format
public import Stream

/// What rules need of a PV vCPU's context. Xen: xen/include/public/arch-x86/xen.h,
/// struct vcpu_guest_context. Little-endian whatever the stream's order is.
///
/// Small, without the record's body: one for each vCPU is kept to the end of the stream, where Xen
/// looks at the pages.
public struct PVContext {
  let isWide: Bool
  /// The record that it came in, and where that record's body begins.
  let record: RecordPlace
  let bodyOffset: UInt64
  /// The GDT's entries as a 64-bit guest's field has them.
  let gdtEntries: UInt64
  private let gdtPages: [UInt64]
  private let edx: UInt64
  private let cr1: UInt64
  private let cr3: UInt64
  let ldtBase: UInt64
  let ldtEntryCount: UInt64
  private let assistBits: UInt64

  /// The guest's width where a record comes: a new domain has 8, until X86_PV_INFO says another.
  static func width(at record: Record) -> Int {
    record.context.guestWidth == 0 ? 8 : record.context.guestWidth
  }

  /// Bytes of the context in guests of this width.
  static func byteCount(guestWidth: Int) -> Int? {
    switch guestWidth {
    case 8: 5168
    case 4: 2800
    default: nil
    }
  }

  /// The context in X86_PV_VCPU_BASIC; nil unless it has the right size.
  public init?(_ record: Record) {
    let width = PVContext.width(at: record)
    guard let count = PVContext.byteCount(guestWidth: width), record.body.count == 8 + count
    else { return nil }
    let body = record.body
    func word(_ wide: Int, _ narrow: Int) -> UInt64 {
      width == 8
        ? body.load(8 + wide, as: UInt64.self) : UInt64(body.load(8 + narrow, as: UInt32.self))
    }
    isWide = width == 8
    self.record = RecordPlace(record)
    bodyOffset = record.bodyOffset
    gdtEntries = word(4960, 2704)
    gdtPages = (0..<16).map { word(4832 + 8 * $0, 2640 + 4 * $0) }
    edx = word(616, 524)
    cr1 = width == 8 ? word(4992, 0) : 0
    cr3 = word(5008, 2728)
    ldtBase = word(4816, 2632)
    ldtEntryCount = word(4824, 2636)
    assistBits = word(5136, 2796)
  }

  var gdtEntriesOffset: Int { 8 + (isWide ? 4960 : 2704) }
  /// Xen's library reads 32 bits of it.
  public var gdtEntryCount: UInt64 { gdtEntries & 0xFFFF_FFFF }
  /// Page `index` of the GDT; there are 16 places for them.
  public func gdtFrame(_ index: Int) -> (pfn: UInt64, offset: Int) {
    (gdtPages[index], 8 + (isWide ? 4832 + 8 * index : 2640 + 4 * index))
  }

  /// The page that edx of vCPU 0 names.
  public var startInfo: (pfn: UInt64, offset: Int) { (edx, 8 + (isWide ? 616 : 524)) }

  /// The pages of the GDT; none where it has more entries than Xen takes.
  public var gdtFrames: [UInt64] {
    gdtEntryCount <= 7168 ? Array(gdtPages.prefix(Int((gdtEntryCount + 511) / 512))) : []
  }

  /// A page that the context names, and the field that does it.
  typealias Page = (name: String, pfn: UInt64, offset: Int)

  /// The pages of the GDT and, of vCPU 0, the start info: Xen wants ordinary pages.
  func ordinaryPages(of vcpu: UInt32) -> [Page] {
    var pages: [Page] = gdtFrames.indices.map { index in
      let (pfn, offset) = gdtFrame(index)
      return ("gdt_frames[\(index)]", pfn, offset)
    }
    if vcpu == 0 { pages.append(("user_regs.edx", startInfo.pfn, startInfo.offset)) }
    return pages
  }

  /// cr3, and cr1 where bit 0 says that it is a table.
  var pageTables: [Page] {
    guard isWide else {
      // A 32-bit guest's cr3 is folded: the upper bits of the frame lie in the low ones.
      let folded = UInt32(truncatingIfNeeded: cr3)
      return [("ctrlreg[3]", UInt64(folded >> 12 | folded << 20), 8 + 2728)]
    }
    let user: [Page] = cr1 & 1 != 0 ? [("ctrlreg[1]", cr1 >> 12, 8 + 4992)] : []
    return [("ctrlreg[3]", cr3 >> 12, 8 + 5008)] + user
  }

  var ldtBaseOffset: Int { 8 + (isWide ? 4816 : 2632) }
  var ldtEntriesOffset: Int { 8 + (isWide ? 4824 : 2636) }
  /// vm_assist and its place in the body.
  var assist: (value: UInt64, offset: Int) { (assistBits, 8 + (isWide ? 5136 : 2796)) }
}
