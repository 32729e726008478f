// Searching a guest's memory by the addresses that its software uses.

internal import Bytes
internal import Format

extension GuestMemory {
  /// Most mappings that a search looks at.
  static let mappingLimit = 1 << 18

  /// Finds what `pattern` says in what a vCPU's page tables map, across page boundaries. Addresses are
  /// virtual, at most `limit` of them; a page that is mapped twice is found twice. Pages that the
  /// image does not have are passed over. `isComplete` is false where there are more mappings than
  /// are looked at.
  public func search(
    _ vcpu: VCPU, _ pattern: SearchPattern, limit: Int = 1000, in range: ClosedRange<UInt64>? = nil
  ) throws -> (found: SearchResult, isComplete: Bool) {
    let (mappings, isComplete) = self.mappings(vcpu, limit: GuestMemory.mappingLimit)
    var search = MemorySearch(pattern, limit: limit)
    for mapping in mappings {
      let last = mapping.virtual &+ (mapping.byteCount - 1)
      let first = max(mapping.virtual, range.map { $0.lowerBound & ~0xFFF } ?? 0)
      let end = min(last, range?.upperBound ?? .max)
      guard first <= end else { continue }
      try look(
        first, mapping.physical + (first - mapping.virtual), pages: (end - first) >> 12 + 1,
        &search)
    }
    search.finish()
    var found = search.result
    if let range { found.keep { range.contains($0) } }
    return (found, isComplete)
  }

  /// Looks at consecutive addresses, chunk by chunk.
  private func look(
    _ virtual: UInt64, _ physical: UInt64, pages: UInt64, _ search: inout MemorySearch
  ) throws {
    var done: UInt64 = 0
    while done < pages {
      let pfn = physical >> 12 + done
      guard let run = image.index.run(of: pfn), run.hasData else {
        done += 1
        continue
      }
      let most = UInt64(PageImage.chunkByteCount / pageByteCount)
      let count = Int(min(pages - done, run.end - pfn, most))
      try search.look(image, run, pfn, count: count, at: virtual &+ done << 12)
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
