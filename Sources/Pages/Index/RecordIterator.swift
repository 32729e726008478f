// Reading the pages of a record in a file.

internal import Bytes
internal import Format
public import ImageEdit
internal import Stream
public import SystemIO

/// Goes over pages of a PAGE_DATA record in a file, 64 at a time; for who only reads.
public struct RecordIterator {
  private let record: EditableRecord
  private let source: Source
  /// Where the payload begins in the file.
  private let start: UInt64
  /// pfns of the pages, and their places in the payload.
  private let all: [(pfn: UInt64, data: Int)]
  /// Given back at the end.
  private var buffer: PageAlignedBuffer?
  private var next = 0
  private var pages: [(pfn: UInt64, offset: Int)] = []

  /// Over `pages` of `record`, which is the current one of `source`'s stream: pfns, and their numbers
  /// in the payload, which ascend.
  init(_ record: EditableRecord, _ source: Source, _ pages: [(pfn: UInt64, data: Int)]) {
    self.record = record
    self.source = source
    start = record.record.bodyOffset + UInt64(record.record.body.count)
    all = pages
    let count = PageEdits.chunkByteCount
    buffer = source.takeRecycled(count) ?? PageAlignedBuffer(capacity: count)
  }

  /// Over all pages that have contents, of a record that nobody edits. Nil as `PageEdits.walk`, and
  /// where the selector may be false of a page.
  public init?(
    whole record: EditableRecord, _ source: Source, _ program: SelectorProgram
  ) throws {
    guard source.isFile, record.loadedPayload == nil, let count = record.record.pageEntryCount,
      program.isAlwaysTrue(of: count)
    else { return nil }
    let (entries, dataIndex) = try PageEdits.entries(of: record)
    var pages: [(pfn: UInt64, data: Int)] = []
    pages.reserveCapacity(entries.count)
    for (entry, data) in zip(entries, dataIndex) where data >= 0 {
      pages.append((entry.pfn, Int(data)))
    }
    self.init(record, source, pages)
  }

  /// The next pages, which are good until those after them are asked for; nil at the end.
  public mutating func nextChunk() throws -> PageEdits.Lent? {
    guard record.isValid else {
      throw XensaveError(
        .usage, "\(record.record.place): the record is no longer the current one of its stream")
    }
    guard next < all.count, let buffer else {
      if let buffer { source.recycle(buffer) }
      buffer = nil
      return nil
    }
    let first = all[next].data
    let limit = first + PageEdits.chunkByteCount / pageByteCount
    var count = 0
    pages.removeAll(keepingCapacity: true)
    while next < all.count, all[next].data < limit {
      let page = all[next]
      pages.append((page.pfn, (page.data - first) * pageByteCount))
      count = (page.data - first + 1) * pageByteCount
      next += 1
    }
    try source.readAside(start + UInt64(first * pageByteCount), count, into: buffer, at: 0)
    return PageEdits.Lent(buffer: buffer, byteCount: count, pages: pages)
  }
}

extension Source {
  /// Reads bytes of a file and stays where it is.
  func readAside(
    _ offset: UInt64, _ count: Int, into buffer: PageAlignedBuffer, at place: Int
  ) throws {
    let here = position
    defer { seek(here) }
    seek(offset)
    let got = try read(into: buffer, place..<place + count)
    guard got == count else { throw shorter(self) }
  }
}
