// What came of a guest's pages: which of them a restore makes, and the type that each page of a PV
// guest was last sent with, where it is not NOTAB.

internal import Bytes
internal import Format
internal import Stream

/// Types of pages by pfn. Only regions of 4096 pages that hold another type than NOTAB take memory:
/// 4 KiB each, and at most 16 MiB in all.
struct PageTypeMap {
  private var regions: [UInt64: [UInt8]] = [:]
  /// Whether there were more regions than are followed: then nothing is known of any page.
  private(set) var isIncomplete = false

  private static let regionLimit = 4096
  private static let shift: UInt64 = 12

  /// The type of a page; NOTAB for one that has not come. nil where that is not known.
  func type(of pfn: UInt64) -> PageType? {
    guard !isIncomplete else { return nil }
    guard let region = regions[pfn >> PageTypeMap.shift] else { return .notab }
    return PageType(rawValue: region[Int(pfn & 0xFFF)])
  }

  /// Takes in the pages of a PAGE_DATA record.
  mutating func observe(_ record: Record, _ pages: PageTableSummary) {
    guard !isIncomplete, pages.lowestPFN <= pages.highestPFN else { return }
    let count = pages.counts.reduce(0, +)
    let isPlain = pages.counts[Int(PageType.notab.rawValue)] == count
    if isPlain, !touches(pages.lowestPFN...pages.highestPFN) { return }
    for entryIndex in 0..<count {
      let entry = record.pageEntry(entryIndex)
      let key = entry.pfn >> PageTypeMap.shift
      if entry.type != .notab, regions[key] == nil {
        guard regions.count < PageTypeMap.regionLimit else {
          isIncomplete = true
          regions = [:]
          return
        }
        regions[key] = [UInt8](repeating: 0, count: 1 << Int(PageTypeMap.shift))
      }
      regions[key]?[Int(entry.pfn & 0xFFF)] = entry.type.rawValue
    }
  }

  private func touches(_ pfns: ClosedRange<UInt64>) -> Bool {
    let keys = pfns.lowerBound >> PageTypeMap.shift...pfns.upperBound >> PageTypeMap.shift
    // Whichever is the shorter list.
    return keys.upperBound - keys.lowerBound < UInt64(regions.count)
      ? keys.contains { regions[$0] != nil } : regions.keys.contains { keys.contains($0) }
  }
}

/// The pages that a restore makes because PAGE_DATA has them, each once. A region of 32768 pages of
/// which one came takes 4 KiB, and all together take at most 16 MiB.
struct PopulatedPages {
  private var regions: [UInt64: [UInt64]] = [:]
  private var pageCount = 0
  /// Whether there were more regions than are followed: then nothing is known of any page.
  private(set) var isIncomplete = false

  private static let regionLimit = 4096
  private static let shift: UInt64 = 15
  private static let wordCount = 512

  /// How many there are; nil where that is not known.
  var count: Int? { isIncomplete ? nil : pageCount }

  /// Whether a page is among them; nil where that is not known.
  func contains(_ pfn: UInt64) -> Bool? {
    guard !isIncomplete else { return nil }
    guard let region = regions[pfn >> PopulatedPages.shift] else { return false }
    let bit = pfn & 0x7FFF
    return region[Int(bit / 64)] >> (bit % 64) & 1 != 0
  }

  /// Takes in the pages of a PAGE_DATA record. Xen: page_type_to_populate.
  mutating func observe(_ record: Record, _ pages: PageTableSummary) {
    guard !isIncomplete, pages.lowestPFN <= pages.highestPFN else { return }
    let count = pages.counts.reduce(0, +)
    let unmade =
      pages.counts[Int(PageType.xtab.rawValue)] + pages.counts[Int(PageType.broken.rawValue)]
    // Most records of a small guest are of holes alone.
    guard unmade < count else { return }
    if unmade == 0, pages.isAscending,
      pages.highestPFN - pages.lowestPFN == UInt64(count - 1)
    {
      insert(pages.lowestPFN...pages.highestPFN)
      return
    }
    var run: ClosedRange<UInt64>?
    for index in 0..<count {
      let entry = record.pageEntry(index)
      guard entry.type != .xtab, entry.type != .broken else { continue }
      if let before = run, before.upperBound + 1 == entry.pfn {
        run = before.lowerBound...entry.pfn
      } else {
        if let run { insert(run) }
        run = entry.pfn...entry.pfn
      }
    }
    if let run { insert(run) }
  }

  /// Forgets all: from now on nothing is known of any page.
  mutating func giveUp() {
    isIncomplete = true
    regions = [:]
  }

  private mutating func insert(_ pfns: ClosedRange<UInt64>) {
    var first = pfns.lowerBound
    while first <= pfns.upperBound, !isIncomplete {
      let key = first >> PopulatedPages.shift
      let last = min(pfns.upperBound, first | 0x7FFF)
      if regions[key] == nil {
        guard regions.count < PopulatedPages.regionLimit else {
          giveUp()
          return
        }
        regions[key] = [UInt64](repeating: 0, count: PopulatedPages.wordCount)
      }
      let added = PopulatedPages.set(
        Int(first & 0x7FFF)...Int(last & 0x7FFF), of: &regions[key, default: []])
      pageCount += added
      first = last + 1
    }
  }

  /// Sets bits of a region; gives how many of them were clear.
  private static func set(_ bits: ClosedRange<Int>, of words: inout [UInt64]) -> Int {
    var added = 0
    for index in bits.lowerBound / 64...bits.upperBound / 64 {
      let low = max(bits.lowerBound - 64 * index, 0)
      let high = min(bits.upperBound - 64 * index, 63)
      let mask = UInt64.max << UInt64(low) & UInt64.max >> UInt64(63 - high)
      added += (mask & ~words[index]).nonzeroBitCount
      words[index] |= mask
    }
    return added
  }
}
