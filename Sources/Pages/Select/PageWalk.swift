// Walking over selected pages with their contents, at the caller's pace.

public import Bytes
internal import Format

/// Goes over the selected pages of an image that have contents, ascending, a chunk at a time.
public struct PageWalk {
  /// At most 64 pages in memory. `buffer` holds them until the next chunk.
  public struct Chunk {
    public let buffer: PageAlignedBuffer
    public let byteCount: Int
    /// pfns, and where their contents begin in the buffer.
    public let pages: [(pfn: UInt64, offset: Int)]
  }

  private let image: PageImage
  private let program: SelectorProgram
  private let batch = PageBatch()
  private let buffer = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
  private var pages: [(pfn: UInt64, offset: Int)] = []
  private var run = 0
  private var done: UInt64 = 0

  public init(_ image: PageImage, _ program: SelectorProgram) {
    self.image = image
    self.program = program
  }

  /// The next chunk; nil at the end.
  public mutating func next() throws -> Chunk? {
    let runs = image.index.runs
    while run < runs.count {
      let current = runs[run]
      guard current.hasData, done < UInt64(current.pageCount) else {
        run += 1
        done = 0
        continue
      }
      let count = min(Int(UInt64(current.pageCount) - done), 64)
      let first = current.pfn + done
      done += UInt64(count)
      let offset = current.offset(of: first)
      if program.isAlwaysTrue(of: count) {
        let bytes = count * pageByteCount
        try image.read(offset, bytes, into: buffer)
        pages.removeAll(keepingCapacity: true)
        for index in 0..<count { pages.append((first + UInt64(index), index * pageByteCount)) }
        return Chunk(buffer: buffer, byteCount: bytes, pages: pages)
      }
      let entries = (0..<count).map { PageEntry(current.type, pfn: first + UInt64($0)) }
      batch.begin(entries) { [image] (range, buffer, place) in
        try image.read(
          offset + UInt64(range.lowerBound * pageByteCount), range.count * pageByteCount,
          into: buffer, at: place)
      }
      let chosen = try program.run(batch)
      if chosen.isEmpty { continue }
      // What the program has read already is read again only here, from the system's cache.
      pages.removeAll(keepingCapacity: true)
      var (low, high) = (count, 0)
      chosen.forEach { index in
        pages.append((first + UInt64(index), index * pageByteCount))
        low = min(low, index)
        high = index + 1
      }
      try image.read(
        offset + UInt64(low * pageByteCount), (high - low) * pageByteCount, into: buffer,
        at: low * pageByteCount)
      return Chunk(buffer: buffer, byteCount: high * pageByteCount, pages: pages)
    }
    return nil
  }
}
