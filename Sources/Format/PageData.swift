// PAGE_DATA: the one record that the core reads by hand, because images are made of it.

public import Bytes

/// The type of a page. Spec: libxc-migration-stream, PAGE_DATA, page types.
/// Xen: XEN_DOMCTL_PFINFO_*, shifted.
public struct PageType: RawRepresentable, Sendable, Hashable {
  /// 0 to 15: bits 63 to 60 of an entry.
  public let rawValue: UInt8
  // What is asked of each page is inlined into the loops over them, which are in other modules.
  @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue & 15 }

  @inlinable public static var notab: PageType { PageType(rawValue: 0) }
  @inlinable public static var broken: PageType { PageType(rawValue: 0xD) }
  @inlinable public static var xalloc: PageType { PageType(rawValue: 0xE) }
  @inlinable public static var xtab: PageType { PageType(rawValue: 0xF) }

  /// Names by number; 5 to 8 are reserved.
  public static let names = [
    "NOTAB", "L1TAB", "L2TAB", "L3TAB", "L4TAB", "", "", "", "", "L1TAB_PIN", "L2TAB_PIN",
    "L3TAB_PIN", "L4TAB_PIN", "BROKEN", "XALLOC", "XTAB",
  ]

  public init?(name: String) {
    guard let index = PageType.names.firstIndex(of: name), !name.isEmpty else { return nil }
    self.init(rawValue: UInt8(index))
  }

  /// "L1TAB_PIN" and so on; reserved ones as "reserved 5".
  public var name: String {
    let name = PageType.names[Int(rawValue)]
    return name.isEmpty ? "reserved \(rawValue)" : name
  }

  /// Whether the type is one of the reserved ones, which restorers refuse.
  public var isReserved: Bool { (5...8).contains(rawValue) }
  /// Whether the page's contents follow in the record.
  @inlinable public var hasData: Bool { rawValue < 0xD }
  /// Whether it is a page table, pinned or not.
  @inlinable public var isPageTable: Bool {
    (1...4).contains(rawValue) || (9...12).contains(rawValue)
  }
  /// The level of a page table, 1 to 4; else nil.
  public var tableLevel: Int? { isPageTable ? Int(rawValue & 7) : nil }
}

/// One entry of PAGE_DATA: a page's number and type in a word of 64 bits.
///
///      63    60 59    52 51                                                  0
///     +--------+--------+-----------------------------------------------------+
///     | type   | rsvd 0 | pfn                                                 |
///     +--------+--------+-----------------------------------------------------+
public struct PageEntry: RawRepresentable, Sendable, Equatable {
  public var rawValue: UInt64
  @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ type: PageType, pfn: UInt64) {
    rawValue = UInt64(type.rawValue) << 60 | pfn & PageEntry.pfnMask
  }

  /// The bits of the pfn; the greatest pfn.
  @inlinable public static var pfnMask: UInt64 { (1 << 52) - 1 }
  @inlinable public var pfn: UInt64 { rawValue & PageEntry.pfnMask }
  @inlinable public var type: PageType { PageType(rawValue: UInt8(rawValue >> 60)) }
  /// Bits 59 to 52, which must be zero.
  public var reservedBits: UInt64 { rawValue >> 52 & 0xFF }
}

/// Bytes of a page: x86 pages are 4 KiB (page_shift 12).
public let pageByteCount = 4096

/// What the pfn table of one PAGE_DATA record says, from one pass over it.
public struct PageTableSummary: Sendable, Equatable {
  /// Entries of each type, by number.
  public var counts = [Int](repeating: 0, count: 16)
  /// Entries whose page follows.
  public var dataCount = 0
  public var lowestPFN = UInt64.max
  public var highestPFN: UInt64 = 0
  /// The bitwise or of all reserved bits.
  public var reservedBits: UInt64 = 0
  /// Whether every pfn is greater than the one before: then none stands twice.
  public var isAscending = true

  /// Reads `count` entries of `body` from byte 8 on; the caller has checked that they are there.
  public init(_ body: [UInt8], count: Int, order: ByteOrder) {
    // Counted in a local array of fixed size and stored once: this is the hottest loop of verify.
    var counts: InlineArray<16, Int> = .init(repeating: 0)
    var low = UInt64.max
    var high: UInt64 = 0
    var reserved: UInt64 = 0
    var previous: UInt64 = 0
    var ascending = true
    unsafe body.withUnsafeBytes { raw in
      precondition(raw.count >= 8 && (raw.count - 8) / 8 >= count)
      let isSwapped = order != .native
      for index in 0..<count {
        // Safety: the precondition holds 8 bytes of each entry inside the body.
        var word = unsafe raw.loadUnaligned(fromByteOffset: 8 + 8 * index, as: UInt64.self)
        if isSwapped { word = word.byteSwapped }
        let pfn = word & PageEntry.pfnMask
        reserved |= word
        counts[Int(word >> 60)] &+= 1
        if pfn < low { low = pfn }
        if pfn > high { high = pfn }
        if index > 0, pfn <= previous { ascending = false }
        previous = pfn
      }
    }
    for type in 0..<16 {
      self.counts[type] = counts[type]
      if type < 0xD { dataCount += counts[type] }
    }
    reservedBits = reserved >> 52 & 0xFF
    lowestPFN = low
    highestPFN = high
    isAscending = ascending
  }

  /// Whether an entry has one of the reserved types.
  public var hasReservedType: Bool { counts[5] + counts[6] + counts[7] + counts[8] > 0 }
}
