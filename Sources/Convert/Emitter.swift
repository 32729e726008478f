// Writing records as the target frames them.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream
internal import SystemIO

/// Writes the parts of the result: kept ones as they are, others with new headers. What lies after a
/// header is moved from the source without being held.
struct Emitter {
  private(set) var recordsWritten = 0
  private let sink: Sink
  private var writer: StreamWriter

  init(_ sink: Sink, keepingFrom source: Source) {
    self.sink = sink
    writer = StreamWriter(sink, keepingFrom: source)
  }

  /// Writes bytes that are no record.
  mutating func put(_ bytes: [UInt8]) throws {
    try write { writer in try writer.put(bytes) }
  }

  /// Writes the bytes of a record (`bytes`).
  mutating func put(record bytes: [UInt8]) throws {
    recordsWritten += 1
    try put(bytes)
  }

  mutating func keep(_ header: Header) throws {
    try write { writer in try writer.keep(header) }
  }

  /// Writes the reader's record as it is.
  mutating func keep(
    _ record: Record, from reader: inout StreamReader
  ) throws {
    if record.framing.hasChecksum { return try put(record, from: &reader) }
    recordsWritten += 1
    try writer.keep(record, from: &reader)
  }

  /// Writes a record that has no part in the source.
  mutating func put(_ record: Record) throws {
    precondition(record.payloadByteCount == 0)
    try put(record: Emitter.bytes(record))
  }

  /// Writes a record whose payload is that of the reader's.
  mutating func put(
    _ record: Record, from reader: inout StreamReader
  ) throws {
    guard reader.payloadAndPadding > 0 else { return try put(record) }
    recordsWritten += 1
    let isPaddedInSource = reader.payloadAndPadding > record.payloadByteCount
    let padding = record.framing.paddingByteCount(record.length)
    if record.framing.hasChecksum {
      try writer.putSummed(record, from: &reader)
    } else {
      try put(record.headBytes)
      try reader.movePayload(record.payloadByteCount, to: sink)
    }
    guard reader.ending == nil else { return }
    if isPaddedInSource {
      try reader.skipPayload(reader.payloadAndPadding)
    }
    if !record.framing.hasChecksum, padding > 0 { try put([UInt8](repeating: 0, count: padding)) }
  }

  /// All bytes of a record that is in memory.
  static func bytes(_ record: Record) -> [UInt8] { StreamWriter.bytes(record) }

  /// Writes all that is left in the source.
  mutating func keepRest(from reader: inout StreamReader) throws {
    try writer.keepRest(from: &reader)
  }

  mutating func finish() throws {
    try write { writer in try writer.finish() }
  }

  private mutating func write(
    _ body: (inout StreamWriter) throws -> Void
  ) throws {
    try body(&writer)
  }
}
