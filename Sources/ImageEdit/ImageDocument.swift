// An image in a file whose parts can be read and edited in any order.

internal import Bytes
public import Format
public import Stream
public import SystemIO

/// An image in a file, with the edits that were made to it and not written yet.
///
/// Reading goes by an index of the headers; edits are kept as whole new headers of records and headers.
/// They reach a file by `edits` (a filter for `Rewriter`) or by `plan`, which says how in place.
public final class ImageDocument {
  public let source: Source
  public let index: RecordIndex
  private var records: [Int: Record] = [:]
  private(set) var editedBodies: [Int: [UInt8]] = [:]
  private(set) var editedHeaders: [HeaderKind: [UInt8]] = [:]
  /// How often something was changed: who has written the edits can tell whether there are new ones.
  public private(set) var editCount = 0

  /// Reads the headers of `source`, which must be a file; with `frontOnly` those before the pages.
  public init(_ source: Source, frontOnly: Bool = false) throws {
    self.source = source
    index = try RecordIndex(source, frontOnly: frontOnly)
  }

  /// What of `source` an index knows already.
  public init(_ source: Source, _ index: RecordIndex) {
    self.source = source
    self.index = index
  }

  public var isEdited: Bool { !editedBodies.isEmpty || !editedHeaders.isEmpty }

  // MARK: - Parts

  /// A header with its edits; nil where the image has none of this kind.
  public func header(_ kind: HeaderKind) -> Header? {
    guard var header = index.header(kind) else { return nil }
    if let bytes = editedHeaders[kind] { header.bytes = bytes }
    return header
  }

  /// Record `recordIndex` (from 1) with its edits. Headers that have been read are kept, except those of
  /// PAGE_DATA.
  public func record(_ recordIndex: Int) throws -> Record {
    var record: Record
    if let known = records[recordIndex] {
      record = known
    } else {
      var reader = index.reader(at: recordIndex, source)
      guard case .record(let read)? = try reader.next() else {
        throw StreamError(
          .truncated, path: source.path, offset: index.entries[recordIndex - 1].offset,
          "record \(recordIndex) is gone: the file has changed")
      }
      record = read
      if read.type != .pageData { records[recordIndex] = read }
    }
    if let body = editedBodies[recordIndex] { record.body = body }
    return record
  }

  /// A reader whose next part is record `recordIndex`, for its payload.
  public func reader(at recordIndex: Int) -> StreamReader { index.reader(at: recordIndex, source) }

  /// Indexes of the records of a type, in their order.
  public func indexes(of type: RecordType) -> [Int] { indexes { $0 == type } }

  /// The indexes of the records whose types fit.
  public func indexes(where isWanted: (RecordType) -> Bool) -> [Int] {
    index.entries.indices.filter { isWanted(index.entries[$0].type) }.map { $0 + 1 }
  }

  /// Takes a new header for record `recordIndex`.
  public func setBody(_ body: [UInt8], ofRecord recordIndex: Int) throws {
    editedBodies[recordIndex] = nil
    editCount += 1
    if try record(recordIndex).body != body { editedBodies[recordIndex] = body }
  }

  /// Takes new bytes for a header.
  public func setBytes(_ bytes: [UInt8], of kind: HeaderKind) {
    editCount += 1
    editedHeaders[kind] = index.header(kind)?.bytes == bytes ? nil : bytes
  }

  // MARK: - Writing

  /// The edits as a filter.
  public var edits: any RewriteFilter {
    EditFilter(bodies: editedBodies, headers: headersByOffset)
  }

  /// The edited headers by their place: of two of one kind, which no good image has, the first is meant.
  private var headersByOffset: [UInt64: [UInt8]] {
    var out: [UInt64: [UInt8]] = [:]
    for (kind, bytes) in editedHeaders {
      if let offset = index.header(kind)?.offset { out[offset] = bytes }
    }
    return out
  }

  /// A part as it will be with the edits.
  package var editing: @Sendable (StreamElement) -> StreamElement {
    let (bodies, headers) = (editedBodies, headersByOffset)
    return { part in
      switch part {
      case .header(var header):
        header.bytes = headers[header.offset] ?? header.bytes
        return .header(header)
      case .record(var record):
        record.body = bodies[record.index] ?? record.body
        return .record(record)
      case .trailing: return part
      }
    }
  }

  /// Record `recordIndex` as it is in the file.
  func originalRecord(_ recordIndex: Int) throws -> Record {
    guard let body = editedBodies.removeValue(forKey: recordIndex) else {
      return try record(recordIndex)
    }
    defer { editedBodies[recordIndex] = body }
    return try record(recordIndex)
  }
}

/// Replaces headers by their place, and records by number.
private final class EditFilter: RewriteFilter {
  var isOfHeadersOnly: Bool { bodies.isEmpty }
  let bodies: [Int: [UInt8]]
  let headers: [UInt64: [UInt8]]

  init(bodies: [Int: [UInt8]], headers: [UInt64: [UInt8]]) {
    self.bodies = bodies
    self.headers = headers
  }

  func begin() {}
  func finish() {}
  func header(_ header: inout Header) {
    if let bytes = headers[header.offset] { header.bytes = bytes }
  }
  func record(_ record: EditableRecord) -> FilterResult {
    if let body = bodies[record.record.index] { record.setBody(body) }
    return .keep
  }
}
