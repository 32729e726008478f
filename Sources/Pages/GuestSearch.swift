// Searching a guest's memory by the addresses that its software uses.

internal import Bytes
internal import Format

extension GuestMemory {
  /// Most mappings that a search looks at.
  static let mappingLimit = 1 << 18

  /// Finds octets in what a vCPU's page tables map, across page boundaries. Addresses are virtual, at
  /// most `limit` of them; a page that is mapped twice is found twice. Pages that the image does not
  /// have are passed over. `isComplete` is false where there are more mappings than are looked at.
  public func search(
    _ vcpu: VCPU, _ octets: [UInt8], limit: Int = 1000, in range: ClosedRange<UInt64>? = nil
  ) throws(PagesError) -> (found: SearchResult, isComplete: Bool) {
    guard let needle = Needle(octets) else {
      throw PagesError(
        .usage, "expected 1 to \(pageByteCount) octets to search for, got \(octets.count)")
    }
    let (mappings, isComplete) = self.mappings(vcpu, limit: GuestMemory.mappingLimit)
    var search = VirtualSearch(image, needle, limit)
    for mapping in mappings {
      let last = mapping.virtual &+ (mapping.byteCount - 1)
      let first = max(mapping.virtual, range.map { $0.lowerBound & ~0xFFF } ?? 0)
      let end = min(last, range?.upperBound ?? .max)
      guard first <= end else { continue }
      try search.look(
        first, mapping.physical + (first - mapping.virtual), pages: (end - first) >> 12 + 1)
    }
    if let range { search.result.keep { range.contains($0) } }
    return (search.result, isComplete)
  }
}

/// Looks through ranges of virtual addresses, ascending.
private struct VirtualSearch {
  let image: PageImage
  let needle: Needle
  let limit: Int
  var result = SearchResult()
  private let arena: Arena
  private let overlap: Int
  /// The last octets of the piece before, and the address at which it ended.
  private var carried = 0
  private var end: UInt64 = 0

  init(_ image: PageImage, _ needle: Needle, _ limit: Int) {
    self.image = image
    self.needle = needle
    self.limit = limit
    overlap = needle.octets.count - 1
    arena = Arena(capacity: pageByteCount + PageImage.pieceByteCount)
  }

  mutating func look(_ virtual: UInt64, _ physical: UInt64, pages: UInt64) throws(PagesError) {
    var done: UInt64 = 0
    while done < pages {
      let pfn = physical >> 12 + done
      guard let run = image.index.run(of: pfn), run.hasData else {
        done += 1
        continue
      }
      let most = UInt64(PageImage.pieceByteCount / pageByteCount)
      let count = Int(min(pages - done, run.end - pfn, most))
      let start = virtual &+ done << 12
      if start != end { carried = 0 }
      try image.read(run.offset(of: pfn), count * pageByteCount, into: arena, at: carried)
      let length = carried + count * pageByteCount
      arena.withBytes(0..<length) { bytes in
        var position = 0
        while let hit = needle.first(in: bytes, position..<length) {
          result.count += 1
          if result.addresses.count < limit {
            result.addresses.append(start &+ UInt64(hit) &- UInt64(carried))
          }
          position = hit + 1
        }
      }
      arena.moveToStart(length - overlap..<length)
      carried = overlap
      end = start &+ UInt64(count * pageByteCount)
      done += UInt64(count)
    }
  }
}

extension SearchResult {
  /// Leaves out addresses for which `rule` does not hold; the count is right where all were kept.
  fileprivate mutating func keep(_ rule: (UInt64) -> Bool) {
    let before = addresses.count
    addresses = addresses.filter(rule)
    count -= UInt64(before - addresses.count)
  }
}
