// The bytes of an object that are in memory.

internal import Bytes

/// Ranges of an object that were fetched, none over another. The ones that were not used for longest go
/// where there are too many.
struct RangeCache<Content> {
  struct Entry {
    let range: Range<UInt64>
    let content: Content
    var stamp: UInt64
  }

  /// By their place.
  private(set) var entries: [Entry] = []
  private(set) var byteCount: UInt64 = 0
  private var clock: UInt64 = 0
  let byteLimit: UInt64
  let countLimit: Int

  init(byteLimit: UInt64, countLimit: Int) {
    self.byteLimit = byteLimit
    self.countLimit = countLimit
  }

  /// The index of the first entry that ends after `offset`.
  private func index(after offset: UInt64) -> Int {
    entries.partitioningIndex { $0.range.upperBound > offset }
  }

  /// What holds the byte at `offset`; it counts as used.
  mutating func entry(at offset: UInt64) -> Entry? {
    let index = index(after: offset)
    guard index < entries.count, entries[index].range.contains(offset) else { return nil }
    clock += 1
    entries[index].stamp = clock
    return entries[index]
  }

  /// The parts of `range` that are not here, in their order.
  func missing(_ range: Range<UInt64>) -> [Range<UInt64>] {
    var out: [Range<UInt64>] = []
    var place = range.lowerBound
    for entry in entries[index(after: place)...] {
      guard entry.range.lowerBound < range.upperBound else { break }
      if entry.range.lowerBound > place { out.append(place..<entry.range.lowerBound) }
      place = entry.range.upperBound
    }
    if place < range.upperBound { out.append(place..<range.upperBound) }
    return out
  }

  /// Adds what was missing.
  mutating func insert(_ range: Range<UInt64>, _ content: Content) {
    clock += 1
    entries.insert(
      Entry(range: range, content: content, stamp: clock), at: index(after: range.lowerBound))
    byteCount += UInt64(range.count)
    while byteCount > byteLimit || entries.count > countLimit {
      guard let oldest = entries.indices.min(by: { entries[$0].stamp < entries[$1].stamp }) else {
        return
      }
      byteCount -= UInt64(entries[oldest].range.count)
      entries.remove(at: oldest)
    }
  }
}
