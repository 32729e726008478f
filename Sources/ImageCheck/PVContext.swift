// The pages that a PV vCPU's context names.

internal import Bytes
internal import Format
public import Stream

/// The frame numbers in a PV vCPU's context. Xen: xen/include/public/arch-x86/xen.h,
/// struct vcpu_guest_context. Little-endian whatever the stream's order is.
public struct PVContext {
  let body: [UInt8]
  let isWide: Bool

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
    guard let count = PVContext.byteCount(guestWidth: record.context.guestWidth),
      record.body.count == 8 + count
    else { return nil }
    body = record.body
    isWide = record.context.guestWidth == 8
  }

  private func word(_ wide: Int, _ narrow: Int) -> UInt64 {
    isWide
      ? body.load(8 + wide, as: UInt64.self) : UInt64(body.load(8 + narrow, as: UInt32.self))
  }

  var gdtEntriesOffset: Int { 8 + (isWide ? 4960 : 2704) }
  /// The restorer reads 32 bits of it.
  public var gdtEntryCount: UInt64 { word(4960, 2704) & 0xFFFF_FFFF }
  /// Page `index` of the GDT; there are 16 places for them.
  public func gdtFrame(_ index: Int) -> (pfn: UInt64, offset: Int) {
    (word(4832 + 8 * index, 2640 + 4 * index), 8 + (isWide ? 4832 + 8 * index : 2640 + 4 * index))
  }

  /// The page that edx of vCPU 0 names.
  public var startInfo: (pfn: UInt64, offset: Int) { (word(616, 524), 8 + (isWide ? 616 : 524)) }

  /// The pages of the GDT; none where it has more entries than Xen takes.
  public var gdtFrames: [UInt64] {
    gdtEntryCount <= 7168 ? (0..<Int((gdtEntryCount + 511) / 512)).map { gdtFrame($0).pfn } : []
  }

  /// cr3, and cr1 where bit 0 says that it is a table.
  var pageTables: [(name: String, pfn: UInt64, offset: Int)] {
    let cr3 = word(5008, 2728)
    guard isWide else {
      // A 32-bit guest's cr3 is folded: the upper bits of the frame lie in the low ones.
      let folded = UInt32(truncatingIfNeeded: cr3)
      return [("ctrlreg[3]", UInt64(folded >> 12 | folded << 20), 8 + 2728)]
    }
    let cr1 = word(4992, 0)
    let user = cr1 & 1 != 0 ? [("ctrlreg[1]", cr1 >> 12, 8 + 4992)] : []
    return [("ctrlreg[3]", cr3 >> 12, 8 + 5008)] + user
  }
}
