// What a legacy stream is made of, in the order in which it comes.

public import Format
public import Stream

/// One piece of a legacy save.
public struct LegacyItem: Sendable {
  /// Bytes from the start of the source.
  public let offset: UInt64
  public let content: Content

  public enum Content: Sendable {
    case xlHeader(Header)
    /// The SXP configuration of xend's front.
    case xendConfig([UInt8])
    /// The stream begins; its width and guest are known.
    case start(p2mSize: UInt64)
    case extendedInfo(LegacyExtendedInfo)
    /// Payload: `count` unsigned longs, the pfns of the p2m's pages.
    case p2mFrames(count: Int)
    /// Payload: the pages of the entries that have data, unless they are compressed.
    case pages(LegacyBatch)
    /// Payload: compressed pages, of the batches before it.
    case compressedPages(byteCount: UInt64)
    case enableVerify
    case enableCompression
    case lastCheckpoint
    case vcpuInfo(maxID: UInt32, online: [UInt32])
    case hvmParam(index: UInt64, value: UInt64)
    case tscInfo(LegacyTSCInfo)
    /// libxl's record in chunk TOOLSTACK; `LegacyPhysmap` reads it.
    case toolstack([UInt8])
    case endOfBody
    /// Payload: `count` unsigned longs: pfns that were not mapped at the end.
    case unmappedPFNs(count: UInt64)
    case vcpuBasic(id: UInt32, [UInt8])
    case vcpuExtended(id: UInt32, [UInt8])
    /// `state` begins with xcr0 and xcr0_accum, like X86_PV_VCPU_XSAVE.
    case vcpuXsave(id: UInt32, mask: UInt64, state: [UInt8])
    case sharedInfo([UInt8])
    case hvmMagic(ioreq: UInt64, bufioreq: UInt64, store: UInt64)
    /// Payload: Xen's blob.
    case hvmContext(byteCount: UInt64)
    /// Payload: the device model's state; to the end of the source where the count is nil.
    case deviceModel(LegacySignature, byteCount: UInt64?)
    /// The tail of checkpoint `index` (from 0) is complete; a plain save has one.
    case endOfCheckpoint(index: Int)
  }
}

/// What the blocks before the p2m say of a PV guest.
public struct LegacyExtendedInfo: Sendable, Equatable {
  /// Bytes of the guest's pointers: 8 with 4 levels of page tables, 4 with 3.
  public internal(set) var guestWidth = 0
  /// Whether each vCPU has an extended context (128 bytes).
  public internal(set) var hasExtended = false
  /// Bytes of each vCPU's XSAVE state, without its mask and size; nil where there is none.
  public internal(set) var xsaveByteCount: UInt64?
  /// Blocks that no known saver writes; they were passed over.
  public internal(set) var unknownBlocks: [String] = []

  /// Bytes of vcpu_guest_context.
  var contextByteCount: Int { guestWidth == 8 ? 5168 : 2800 }
}

/// A batch of pages: at most 1024 entries.
public struct LegacyBatch: Sendable {
  /// As PAGE_DATA has them, without fillers.
  public let entries: [PageEntry]
  /// Entries "0xF0000000", which stand for a page that could not be mapped.
  public let fillerCount: Int
  /// Entries whose page follows: here, or compressed later.
  public let dataCount: Int
  public let isCompressed: Bool
}

/// The guest's time stamp counter.
public struct LegacyTSCInfo: Sendable, Equatable {
  public let mode: UInt32
  public let nsec: UInt64
  public let khz: UInt32
  public let incarnation: UInt32
}
