// Pushing parts into a sink; what is kept as it is moves without being looked at again.

public import Bytes
internal import Format
public import SystemIO

/// Writes a saved domain part by part.
///
/// Parts that are kept as they are, from a file into a file, are gathered into runs and copied in
/// one go when something else has to be written (or at `finish()`).
public struct StreamWriter {
  public let sink: Sink
  private let source: Source?
  private var runStart: UInt64 = 0
  private var runEnd: UInt64 = 0

  /// A writer that takes what it keeps from `source`.
  public init(_ sink: Sink, keepingFrom source: Source? = nil) {
    self.sink = sink
    self.source = source
  }

  /// Whether kept parts are gathered instead of being moved one by one.
  private var gathers: Bool { sink.kind == .file && source?.isFile == true }

  /// Keeps a header as it was read.
  public mutating func keep(_ header: Header) throws(StreamError) {
    if gathers { return try keep(header.offset, UInt64(header.bytes.count)) }
    try put(header.bytes)
  }

  /// Keeps the record that `reader` has just returned.
  public mutating func keep(
    _ record: Record, from reader: inout StreamReader
  ) throws(StreamError) {
    if gathers {
      // Moving to the next record finds out whether the payload is all there.
      return try keep(record.offset, record.totalByteCount)
    }
    try put(record.headBytes)
    if reader.payloadAndPadding > 0 { try reader.movePayload(to: sink) }
  }

  /// Keeps everything from here to the end of the source.
  public mutating func keepRest(from reader: inout StreamReader) throws(StreamError) {
    try flush()
    _ = try reader.moveRest(to: sink)
  }

  /// Writes octets of a header or record that is not the source's.
  public mutating func put(_ bytes: [UInt8]) throws(StreamError) {
    try flush()
    do { try sink.write(bytes) } catch { throw StreamError(error, offset: sink.position) }
  }

  /// Writes a record whose whole body is in memory.
  public mutating func put(_ record: Record) throws(StreamError) {
    precondition(record.payloadByteCount == 0)
    try put(record.headBytes)
  }

  /// Writes a changed head and then the rest of the body as it is in the source. The payload's
  /// length is the source's.
  public mutating func put(
    _ record: Record, movingPayloadFrom reader: inout StreamReader
  ) throws(StreamError) {
    try put(record.headBytes)
    if reader.payloadAndPadding > 0 { try reader.movePayload(to: sink) }
  }

  /// Writes `head`, and then octets `range` of `arena`.
  public mutating func put(
    _ head: [UInt8], then arena: Arena, _ range: Range<Int>
  ) throws(StreamError) {
    try flush()
    do { try sink.write(head, then: arena, range) } catch {
      throw StreamError(error, offset: sink.position)
    }
  }

  /// Writes what was gathered. Call it once behind the last part.
  public mutating func finish() throws(StreamError) { try flush() }

  private mutating func keep(_ offset: UInt64, _ count: UInt64) throws(StreamError) {
    if runEnd != offset || runStart == runEnd {
      try flush()
      runStart = offset
    }
    runEnd = offset + count
  }

  private mutating func flush() throws(StreamError) {
    guard runEnd > runStart, let source else { return }
    let count = runEnd - runStart
    // The last record of a stream that was cut is shorter than its header says.
    let there = min(count, (source.byteCount ?? .max) - runStart)
    let moved: UInt64
    do { moved = try source.copy(from: runStart, there, to: sink) } catch {
      throw StreamError(error, offset: runStart)
    }
    guard moved == there else {
      throw StreamError(
        .truncated, path: source.path, offset: runStart + moved,
        "the file became shorter while it was read")
    }
    runStart = 0
    runEnd = 0
  }
}
