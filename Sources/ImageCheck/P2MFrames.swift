// The pages that hold a PV guest's p2m table: which they are, and whether they came.

internal import Bytes
internal import Format
internal import Stream

/// The p2m's pages as X86_PV_P2M_FRAMES lists them, and the type that each was last sent with.
///
/// At most 1 Mi of them are followed (a guest of 2 TiB): 17 MiB.
struct P2MFrames {
  /// The pfn of each page of the p2m, in the p2m's order; `hole` where no record has listed it.
  private(set) var pfns: [UInt64] = []
  /// The record that came last, and the numbers of the pages that it lists.
  private(set) var place: RecordPlace?
  private(set) var range = 0..<0
  /// Whether there were more than can be followed, or a record that makes no sense.
  private(set) var isIncomplete = false

  /// The pages of the p2m, ascending, and their types.
  private var watched: [UInt64] = []
  private var types: [UInt8] = []
  /// Types of pages that were listed since `watched` was made: a record of few pages costs no more
  /// than these, however many there are.
  private var fresh: [UInt64: UInt8] = [:]
  /// Whether something may have another problem than when it was last looked for, and where in the
  /// stream that was.
  private var isChanged = false
  private var checkedOffset: UInt64 = 0

  static let limit = 1 << 20
  /// What Xen has for a page that is not listed: INVALID_MFN.
  static let hole = UInt64.max
  private static let missing: UInt8 = 0xFF
  /// Listed after pages of which it is no longer known how they came.
  private static let unknown: UInt8 = 0xFE

  /// Bytes of the p2m in a page, divided by the guest's width.
  static func pfnsPerFrame(guestWidth: Int) -> UInt64 {
    UInt64(pageByteCount / guestWidth)
  }

  /// The numbers of the p2m's pages that `record` lists; nil where its fields make no sense.
  static func range(of record: Record) -> ClosedRange<Int>? {
    let width = record.context.guestWidth
    guard let (first, last) = record.p2mBounds, width > 0, first <= last else { return nil }
    let each = pfnsPerFrame(guestWidth: width)
    return Int(first / each)...Int(last / each)
  }

  /// Takes in a record. `sent` and `populated` say how pages came before it.
  mutating func add(_ record: Record, _ sent: PageTypeMap, _ populated: PopulatedPages) {
    isChanged = true
    guard let range = P2MFrames.range(of: record), range.count == (record.body.count - 8) / 8,
      range.upperBound < P2MFrames.limit
    else {
      isIncomplete = true
      return
    }
    place = RecordPlace(record)
    self.range = Range(range)
    let lacking = range.upperBound + 1 - pfns.count
    if lacking > 0 { pfns += [UInt64](repeating: P2MFrames.hole, count: lacking) }
    func typeSoFar(_ pfn: UInt64) -> UInt8 {
      guard let type = sent.type(of: pfn), let exists = populated.contains(pfn) else {
        return P2MFrames.unknown
      }
      return type == .notab && !exists ? P2MFrames.missing : type.rawValue
    }
    let isLarge = range.count > pfns.count / 8
    for (position, index) in range.enumerated() {
      let pfn = record.body.load(8 + 8 * position, as: UInt64.self, record.context.order)
      pfns[index] = pfn
      if !isLarge, type(of: pfn) == nil { fresh[pfn] = typeSoFar(pfn) }
    }
    if isLarge || fresh.count > pfns.count / 8 + 1024 { sort(typeSoFar) }
  }

  /// Puts all pages in order; those that were not watched have the type `typeSoFar`.
  private mutating func sort(_ typeSoFar: (UInt64) -> UInt8) {
    let old = self
    watched = pfns.filter { $0 != P2MFrames.hole }.sorted()
    types = watched.map { old.type(of: $0) ?? typeSoFar($0) }
    fresh = [:]
  }

  /// The type of a page that is watched.
  private func type(of pfn: UInt64) -> UInt8? {
    let index = watched.lowerBound(pfn)
    return index < watched.count && watched[index] == pfn ? types[index] : fresh[pfn]
  }

  /// Whether a page holds a part of the p2m.
  func contains(_ pfn: UInt64) -> Bool {
    // Pages that another record has replaced are still watched.
    type(of: pfn) != nil && pfns.contains(pfn)
  }

  private mutating func set(_ index: Int, _ type: UInt8) {
    guard types[index] != type else { return }
    types[index] = type
    isChanged = true
  }

  /// Whether it is time to look for problems at a record that ends a checkpoint: where there can be
  /// others than before, and the stream has continued by as much as that costs. At END it always is.
  func isToBeChecked(at record: Record) -> Bool {
    isChanged
      && (record.type == .end
        || record.offset &- checkedOffset >= 8 * UInt64(pfns.count))
  }

  mutating func noteCheck(at record: Record) {
    guard isToBeChecked(at: record) else { return }
    isChanged = false
    checkedOffset = record.offset
  }

  /// Takes in the pages of a PAGE_DATA record.
  mutating func observe(_ record: Record, _ pages: PageTableSummary) {
    if !fresh.isEmpty { observeFresh(record, pages) }
    guard !watched.isEmpty, pages.lowestPFN <= pages.highestPFN else { return }
    var index = watched.lowerBound(pages.lowestPFN)
    guard index < watched.count, watched[index] <= pages.highestPFN else { return }
    let count = pages.counts.reduce(0, +)
    if pages.isAscending {
      while index < watched.count, watched[index] <= pages.highestPFN {
        if let entry = record.pageEntry(of: watched[index], among: count) {
          set(index, entry.type.rawValue)
        }
        index += 1
      }
    } else {
      for entryIndex in 0..<count {
        let entry = record.pageEntry(entryIndex)
        var index = watched.lowerBound(entry.pfn)
        while index < watched.count, watched[index] == entry.pfn {
          set(index, entry.type.rawValue)
          index += 1
        }
      }
    }
  }

  private mutating func observeFresh(_ record: Record, _ pages: PageTableSummary) {
    for entryIndex in 0..<pages.counts.reduce(0, +) {
      let entry = record.pageEntry(entryIndex)
      if fresh[entry.pfn] != nil {
        fresh[entry.pfn] = entry.type.rawValue
        isChanged = true
      }
    }
  }

  /// The type of the page that holds part `index` of the p2m, if that is not NOTAB.
  func wrongType(_ index: Int) -> PageType? {
    switch type(of: pfns[index]) ?? P2MFrames.unknown {
    case PageType.notab.rawValue, P2MFrames.unknown, P2MFrames.missing: nil
    case let type: PageType(rawValue: type)
    }
  }

  /// Whether the page that holds part `index` of the p2m never came.
  func isMissing(_ index: Int) -> Bool { type(of: pfns[index]) == P2MFrames.missing }

  /// The record and the field that name the page of part `index`. One that an earlier record listed
  /// has no field in the last one.
  func spot(of index: Int) -> (record: RecordPlace, offset: UInt64, field: String)? {
    guard let place else { return nil }
    guard range.contains(index) else { return (place, place.offset, "") }
    let position = index - range.lowerBound
    return (place, place.offset + 16 + 8 * UInt64(position), "p2m_pfn[\(position)]")
  }
}

extension [UInt64] {
  /// The number of the first element that is not less than `value`; the array is sorted.
  func lowerBound(_ value: UInt64) -> Int {
    partitioningIndex { $0 >= value }
  }
}

extension Record {
  /// X86_PV_P2M_FRAMES' first and last pfn.
  var p2mBounds: (start: UInt64, end: UInt64)? {
    guard body.count >= 8 else { return nil }
    return (
      UInt64(body.load(0, as: UInt32.self, context.order)),
      UInt64(body.load(4, as: UInt32.self, context.order))
    )
  }

  /// The entry of `pfn` in PAGE_DATA's table of `count` ascending entries.
  func pageEntry(of pfn: UInt64, among count: Int) -> PageEntry? {
    let index = (0..<count).partitioningIndex { pageEntry($0).pfn >= pfn }
    guard index < count, pageEntry(index).pfn == pfn else { return nil }
    return pageEntry(index)
  }
}
