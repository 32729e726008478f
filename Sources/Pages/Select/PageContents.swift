// Reading the contents of pages, a chunk at a time.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

/// An image in a file: its index, and a reader of contents with a position of its own.
public final class PageImage {
  public let index: PageIndex
  /// What contents are read from.
  let source: Source

  /// Bytes that are read in one go: they fit the processor's second cache.
  static let chunkByteCount = 256 << 10

  /// Indexes the image at `path`.
  public convenience init(
    opening path: String, options: PageIndex.Options = PageIndex.Options()
  ) throws {
    try self.init(Source(image: path), options: options)
  }

  /// Indexes the image at `path`, or takes the index from its cache beside it; what was not there or
  /// did not fit is written anew. `note` gets one line where a cache was ignored or not written.
  public init(caching path: String, note: (String) -> Void) throws {
    try RemoteFiles.refuse(path, for: "an index beside the image (--cache)", "leave --cache out")
    source = try Source(image: path)
    guard !source.isRemote else {
      note("\(path): the index of a compressed image is not kept")
      index = try PageIndex(source, options: PageIndex.Options())
      return
    }
    let cache = IndexCache(of: path)
    var known: PageIndex?
    do {
      known = source.isFile ? try cache.read(for: source) : nil
    } catch {
      if XensaveError(error).code == .interrupted { throw error }
      note("\(error)")
    }
    if let known {
      index = known
      return
    }
    var options = PageIndex.Options()
    options.keepsPageRecords = true
    index = try PageIndex(source, options: options)
    do { try cache.write(index, of: source) } catch {
      if XensaveError(error).code == .interrupted { throw error }
      note("\(error) (the index is not kept)")
    }
  }

  /// Indexes what is in `source`, which stays the caller's but loses its position.
  public init(
    _ source: Source, options: PageIndex.Options = PageIndex.Options()
  ) throws {
    index = try PageIndex(source, options: options)
    self.source = try source.duplicate()
  }

  /// The image that `index` is of: what somebody else has found in `source`, which stays the caller's.
  public init(_ source: Source, _ index: PageIndex) throws {
    self.index = index
    self.source = try source.duplicate()
  }

  public var path: String { source.path }
  /// Device and inode of the file.
  public var identity: FileIdentity { source.identity }
  /// Bytes of the file when it was opened.
  public var byteCount: UInt64 { source.byteCount ?? 0 }

  /// Reads `count` bytes from `offset` on into `buffer` at `place`.
  func read(_ offset: UInt64, _ count: Int, into buffer: PageAlignedBuffer, at place: Int = 0)
    throws
  {
    buffer.reserve(place + count)
    source.seek(offset)
    let got = try source.read(into: buffer, place..<place + count)
    guard got == count else { throw shorter(source) }
  }

  /// Runs `body`, which reads `count` bytes of the image, as a phase of long work. Whoever reads
  /// only some of the pages does not know how many: nil.
  func reading<R>(
    _ name: String, _ count: UInt64?, _ body: () throws -> R
  ) throws -> R {
    let source = source
    return try Progress.phase(name, of: count, done: { source.bytesRead }, body)
  }

  /// Bytes of all contents that count.
  var dataByteCount: UInt64 { index.dataCount * UInt64(pageByteCount) }

  /// Calls `body` for all last occurrences with contents, in the order of their pfns: the first pfn
  /// of a chunk, its bytes, and how many pages they are. `pages` limits it to a set.
  public func forEachChunk(
    in pages: PageSet? = nil,
    _ body: (_ pfn: UInt64, _ bytes: RawSpan, _ count: Int) throws -> Void
  ) throws {
    var cursor = ChunkCursor(index, pages, PageReader.chunkByteCount / pageByteCount)
    let reader = try PageReader(self)
    let done = Count()
    let total = pages == nil ? dataByteCount : nil
    try Progress.phase("reading pages", of: total, done: { done.bytes }) {
      var next = cursor.next()
      if let first = next { reader.start(first) }
      while let chunk = next {
        let buffer = try reader.finish()
        next = cursor.next()
        if let next { reader.start(next) }
        Progress.beat()
        try buffer.withBytes(0..<chunk.byteCount) { bytes in
          try body(chunk.pfn, bytes, chunk.count)
        }
        done.bytes += UInt64(chunk.byteCount)
      }
    }
  }

  /// Calls `body` for the runs with contents, cut to `pages`.
  func forEachRun(
    in pages: PageSet?, _ body: (PageExtent) throws -> Void
  ) throws {
    for run in index.runs where run.hasData {
      guard let pages else {
        try body(run)
        continue
      }
      var rangeIndex = pages.index(of: run.pfn)
      while rangeIndex < pages.ranges.count, pages.ranges[rangeIndex].lowerBound < run.end {
        try body(run.part(pages.ranges[rangeIndex]))
        rangeIndex += 1
      }
    }
  }

  /// The contents of the last occurrence of a page.
  public func contents(of pfn: UInt64) throws -> [UInt8] {
    guard let page = index.page(pfn) else {
      throw XensaveError(.notFound, "\(path): page \(pfn.hex()) is not in the image")
    }
    guard let offset = page.offset else {
      throw XensaveError(
        .notFound, "\(path): page \(pfn.hex()) is \(page.type.name): it has no contents")
    }
    return try contents(at: offset)
  }

  /// The contents of one occurrence, by the offset that the index gave.
  public func contents(at offset: UInt64) throws -> [UInt8] {
    let buffer = PageAlignedBuffer(capacity: pageByteCount)
    try read(offset, pageByteCount, into: buffer)
    return buffer.copy(0..<pageByteCount)
  }
}

/// Bytes that a loop has been over.
private final class Count {
  var bytes: UInt64 = 0
}
