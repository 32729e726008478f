// Pages with the same contents, within an image and across images.

internal import SystemIO
internal import Bytes
internal import Format

/// Finds pages with the same contents. Feed it images one after another.
///
/// A hash table finds candidates, and every candidate is compared byte by byte with the first page
/// of its kind: what counts as a duplicate is one. Memory: a table with places of 32 bytes of which a
/// quarter to a half are used, so 64 to 128 bytes a distinct page.
public final class PageDuplicates {
  /// Pages of one content.
  public struct Group: Sendable, Equatable {
    /// The first of them: in which image (by the order of adding) and its pfn.
    public let image: Int
    public let pfn: UInt64
    public internal(set) var count: UInt64
    public let isZero: Bool
  }

  private struct Entry {
    var hash: UInt64
    var offset: UInt64
    var pfn: UInt64
    /// 0 for a place that is free.
    var count: UInt32 = 0
    var image: UInt16
    var isZero = false
  }

  private var images: [PageImage] = []
  private var table: [Entry]
  private var used = 0
  private let first = PageAlignedBuffer(capacity: pageByteCount)
  private let second = PageAlignedBuffer(capacity: pageByteCount)
  private static let free = Entry(hash: 0, offset: 0, pfn: 0, image: 0)

  /// Pages with contents that were looked at.
  public private(set) var pageCount: UInt64 = 0
  public private(set) var zeroCount: UInt64 = 0
  /// Matches of hashes that the comparison refused.
  public private(set) var collisionCount = 0

  public init() { table = [Entry](repeating: PageDuplicates.free, count: 1024) }

  /// Different contents.
  public var distinctCount: UInt64 { UInt64(used) }

  /// Takes in the pages of an image (of at most 65536 images).
  public func add(_ image: PageImage) throws {
    guard images.count < Int(UInt16.max) else {
      throw XensaveError(.usage, "more than 65535 images")
    }
    images.append(image)
    let imageIndex = UInt16(images.count - 1)
    // Hashes are made on all threads, the table on this one.
    try image.mapChunks({
      { _, bytes, count in
        (0..<count).map { page in
          let place = page * pageByteCount
          return Look(
            hash: PageLoops.hash(bytes, at: place), isZero: bytes.isZeroPage(at: place))
        }
      }
    }) { chunk, found in
      for (page, look) in found.enumerated() {
        try self.add(
          look, chunk.pfn + UInt64(page), chunk.offset + UInt64(page * pageByteCount), imageIndex)
      }
    }
  }

  /// What is known of a page by itself.
  private struct Look {
    let hash: UInt64
    let isZero: Bool
  }

  private func add(
    _ look: Look, _ pfn: UInt64, _ offset: UInt64, _ image: UInt16
  ) throws {
    pageCount += 1
    if look.isZero { zeroCount += 1 }
    if used * 2 >= table.count { grow() }
    var isRead = false
    var index = Int(truncatingIfNeeded: look.hash) & (table.count - 1)
    while table[index].count > 0 {
      if table[index].hash == look.hash {
        if try isSame(table[index], look.isZero, offset, image, &isRead) {
          table[index].count &+= 1
          return
        }
        collisionCount += 1
      }
      index = (index + 1) & (table.count - 1)
    }
    table[index] = Entry(
      hash: look.hash, offset: offset, pfn: pfn, count: 1, image: image, isZero: look.isZero)
    used += 1
  }

  private func isSame(
    _ entry: Entry, _ isZero: Bool, _ offset: UInt64, _ image: UInt16, _ isRead: inout Bool
  ) throws -> Bool {
    // Zeros are known by themselves.
    if isZero || entry.isZero { return isZero && entry.isZero }
    if !isRead { try images[Int(image)].read(offset, pageByteCount, into: second) }
    isRead = true
    try images[Int(entry.image)].read(entry.offset, pageByteCount, into: first)
    return first.withBytes(0..<pageByteCount) { one in
      second.withBytes(0..<pageByteCount) { PageLoops.isEqual(one, at: 0, $0, at: 0) }
    }
  }

  private func grow() {
    let old = table
    table = [Entry](repeating: PageDuplicates.free, count: old.count * 2)
    for entry in old where entry.count > 0 {
      var index = Int(truncatingIfNeeded: entry.hash) & (table.count - 1)
      while table[index].count > 0 { index = (index + 1) & (table.count - 1) }
      table[index] = entry
    }
  }

  /// The contents that most pages have, most first; only those that stand more than once.
  public func top(_ count: Int) -> [Group] {
    table.filter { $0.count > 1 }
      .sorted { ($1.count, $0.image, $0.pfn) < ($0.count, $1.image, $1.pfn) }
      .prefix(count)
      .map {
        Group(image: Int($0.image), pfn: $0.pfn, count: UInt64($0.count), isZero: $0.isZero)
      }
  }
}
