// Where each record of a file lies.

public import Format
public import Stream
public import SystemIO

/// The records of an image in a file, found by one pass over their headers. Any of them can then be
/// read again. Costs 32 bytes a record.
public struct RecordIndex {
  public struct Entry: Sendable {
    public let offset: UInt64
    public let type: RecordType
    public let checkpoint: Int32
  }
  /// The records in their order; record number n is element n - 1.
  public private(set) var entries: [Entry] = []
  public private(set) var headers: [Header] = []
  public private(set) var trailing: TrailingBytes?
  /// The reader at the end of the pass: what it knows of the stream.
  public let end: StreamReader

  /// How much of the image is known.
  public enum Coverage: Sendable, Equatable {
    case all
    /// What lies before the pages.
    case front
    /// All but the pages: the records before them, and those from record `tail` on.
    case around(tail: Int)
  }
  public let coverage: Coverage

  /// Walks over `source` from its start; with `frontOnly` to the first PAGE_DATA and no further,
  /// which costs the same for any size of memory.
  public init(_ source: Source, frontOnly: Bool = false) throws {
    var isFront = false
    source.hasShortReadAhead = true
    defer { source.hasShortReadAhead = false }
    var reader = StreamReader(source, skipsPageTables: true)
    var entries: [Entry] = []
    var headers: [Header] = []
    var trailing: TrailingBytes?
    try Progress.phase("indexing", of: source.byteCount, done: { source.position }) {

      while !isFront, let part = try reader.next() {
        switch part {
        case .header(let header): headers.append(header)
        case .record(let record) where frontOnly && record.type == .pageData: isFront = true
        case .record(let record):
          entries.append(
            Entry(
              offset: record.offset, type: record.type, checkpoint: Int32(record.checkpoint)))
        case .trailing(let found): trailing = found
        }
      }
    }
    coverage = isFront ? .front : .all
    self.entries = entries
    self.headers = headers
    self.trailing = trailing
    end = reader
  }

  /// What is known without a walk: the records before the pages, by `front`, and those after them,
  /// which somebody has found who has looked whether their headers are there: the number of the first
  /// one, and where they lie. All that is between is PAGE_DATA.
  public init(
    _ front: RecordIndex, tail recordIndex: Int, _ tail: [(offset: UInt64, type: RecordType)]
  ) {
    coverage = .around(tail: recordIndex)
    headers = front.headers
    trailing = nil
    end = front.end
    let pages = Entry(offset: .max, type: .pageData, checkpoint: 0)
    entries = front.entries
    entries += [Entry](repeating: pages, count: max(0, recordIndex - 1 - front.entries.count))
    entries += tail.map { Entry(offset: $0.offset, type: $0.type, checkpoint: 0) }
  }

  /// The number of the first record after the pages of a plain stream: one whose pages are a chain
  /// of PAGE_DATA and which ends with END. Nil for others.
  public var firstAfterPages: Int? {
    guard coverage == .all, end.ending == .end,
      let first = entries.firstIndex(where: { $0.type == .pageData }),
      let tail = entries[first...].firstIndex(where: { $0.type != .pageData }),
      !entries[tail...].contains(where: { $0.type == .pageData })
    else { return nil }
    return tail + 1
  }

  /// A reader whose next part is record `recordIndex` (from 1).
  public func reader(at recordIndex: Int, _ source: Source) -> StreamReader {
    let entry = entries[recordIndex - 1]
    return StreamReader(
      source, resumingAt: entry.offset, index: recordIndex, layer: entry.type.layer,
      checkpoint: Int(entry.checkpoint), from: end)
  }

  /// The first header of a kind.
  public func header(_ kind: HeaderKind) -> Header? { headers.first { $0.kind == kind } }
}
