// The type that each page of a PV guest was last sent with, where it is not NOTAB.

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
