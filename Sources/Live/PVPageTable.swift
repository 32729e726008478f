// Page tables of PV guests: machine frames out, page numbers in, and back.

public import Bytes
internal import Format

/// Turns the frames in a page table from machine frames into pfns and back.
public enum PVPageTable {
  /// Bits 51 to 12 of an entry.
  static let frameMask: UInt64 = 0x000F_FFFF_FFFF_F000
  static let present: UInt64 = 1
  static let superpage: UInt64 = 1 << 7

  /// What became of a page.
  public enum Result: Sendable, Equatable {
    case done
    /// An entry's frame is none of the domain's.
    case foreign(entry: Int, frame: UInt64)
    /// An entry maps a superpage, which PV guests must not have.
    case superpage(entry: Int)
    /// The guest's width knows no table of this level.
    case badLevel
  }

  /// Copies a page table of `level` into `buffer` at `offset` with pfns for machine frames, and
  /// without the slots that belong to Xen. `width`: bytes of the guest's words.
  /// Xen: tools/libs/guest/xg_sr_save_x86_pv.c, normalise_pagetable.
  public static func normalise(
    _ page: RawSpan, level: Int, width: Int, compatM2PFrame: UInt64?,
    into buffer: PageAlignedBuffer,
    at offset: Int, pageNumber: (UInt64) -> UInt64?
  ) -> Result {
    if level == 4 && width == 4 { return .badLevel }
    let xen = xenSlots(page, level: level, width: width, compatM2PFrame: compatM2PFrame)
    for entry in 0..<512 {
      var word = page.load(entry * 8, as: UInt64.self)
      if xen.contains(entry) {
        word = 0
      } else if word & present != 0 {
        if level > 1, word & superpage != 0 { return .superpage(entry: entry) }
        let frame = (word & frameMask) >> 12
        guard let pfn = pageNumber(frame) else { return .foreign(entry: entry, frame: frame) }
        word = word & ~frameMask | pfn << 12
      }
      buffer.store(offset + entry * 8, word)
    }
    return .done
  }

  /// Puts machine frames for the pfns of a page table's present entries.
  /// Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, x86_pv_localise_page.
  public static func localise(
    _ buffer: PageAlignedBuffer, at offset: Int, frame: (UInt64) -> UInt64
  ) {
    for entry in 0..<512 {
      let word = buffer.withBytes(offset + entry * 8..<offset + entry * 8 + 8) {
        $0.load(0, as: UInt64.self)
      }
      guard word & present != 0 else { continue }
      let pfn = (word & frameMask) >> 12
      buffer.store(offset + entry * 8, word & ~frameMask | frame(pfn) << 12 & frameMask)
    }
  }

  private static func xenSlots(
    _ page: RawSpan, level: Int, width: Int, compatM2PFrame: UInt64?
  ) -> Range<Int> {
    switch (level, width) {
    case (4, 8): return 256..<272
    case (3, 4): return 4..<512
    case (2, 4):
      // Virtual 0xF5800000: where Xen maps its compatibility M2P table.
      let word = page.load(428 * 8, as: UInt64.self)
      guard let compatM2PFrame, word & present != 0, (word & frameMask) >> 12 == compatM2PFrame
      else { return 0..<0 }
      return 428..<512
    default: return 0..<0
    }
  }
}
