// Pushing parts into a sink; what is kept as it is moves without being looked at again.

public import Bytes
internal import Format
public import SystemIO

/// Writes a saved domain part by part.
///
/// Parts that are kept as they are, from a file into a file or between two objects of a server, are
/// gathered into runs and copied in one go when something else has to be written (or at `finish()`).
public struct StreamWriter {
  public let sink: Sink
  private let source: Source?
  private var runStart: UInt64 = 0
  private var runEnd: UInt64 = 0
  /// Whether pages were kept already: padding stands before the first of them.
  private var hasPages = false
  /// The length of the padding that was written: no part of the source; nil where there is none.
  public private(set) var paddingByteCount: Int?

  /// Bytes that the store has to take for padding to be worth it: it makes the object 2 % longer at most.
  static let paddedByteCount: UInt64 = 256 << 20

  /// A writer that takes what it keeps from `source`.
  public init(_ sink: Sink, keepingFrom source: Source? = nil) {
    self.sink = sink
    self.source = source
  }

  /// Whether kept parts are gathered instead of being moved one by one.
  private var gathers: Bool {
    guard let source, source.isFile else { return false }
    return sink.kind == .file || sink.takesRanges(of: source)
  }

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
      if !hasPages, record.type == .pageData || record.type == .padding {
        // What an earlier rewrite has put there is made anew, and not fetched.
        guard record.type == .pageData || !isPadded(from: record) else { return }
        hasPages = true
        try pad(before: record)
      }
      // Moving to the next record finds out whether the payload is all there.
      return try keep(record.offset, record.totalByteCount)
    }
    try put(record, movingPayloadFrom: &reader)
  }

  /// Whether what is left of the source from `record` on is so much that padding is worth it.
  private func isPadded(from record: Record) -> Bool {
    guard let source, let count = source.byteCount, record.type.layer == .libxc,
      !record.framing.hasChecksum, sink.takesRanges(of: source)
    else { return false }
    return count >= record.offset && count - record.offset >= StreamWriter.paddedByteCount
  }

  /// Fills up the first part of an object with zeros, which readers ignore, so that the store can take the
  /// pages where they are: else as many bytes of them were fetched, and sent again.
  private mutating func pad(before record: Record) throws(StreamError) {
    // Where nothing was written yet the store takes all from the first byte on.
    let head = record.framing.headByteCount
    guard sink.byteCountUntilRange > head, isPadded(from: record) else { return }
    try flush()
    guard sink.byteCountUntilRange > head else { return }
    let count = (sink.byteCountUntilRange - head + 7) & ~7
    paddingByteCount = count
    try put(
      Record(
        .padding, body: [UInt8](repeating: 0, count: count), context: record.context,
        framing: record.framing))
  }

  /// Keeps everything from here to the end of the source.
  public mutating func keepRest(from reader: inout StreamReader) throws(StreamError) {
    try flush()
    _ = try reader.moveRest(to: sink)
  }

  /// Writes bytes of a header or record that is not the source's.
  public mutating func put(_ bytes: [UInt8]) throws(StreamError) {
    try flush()
    do { try sink.write(bytes) } catch { throw StreamError(error, offset: sink.position) }
  }

  /// Writes a record whose whole body is in memory.
  public mutating func put(_ record: Record) throws(StreamError) {
    precondition(record.payloadByteCount == 0)
    try put(StreamWriter.bytes(record))
  }

  /// All bytes of a record whose whole body is in memory, with its checksum where it has one.
  public static func bytes(_ record: Record) -> [UInt8] {
    let head = record.headBytes
    guard record.framing.hasChecksum else { return head }
    var checksum = CRC32()
    checksum.update(Array(head.dropFirst(record.framing.headByteCount)))
    return head + footer(checksum, record.context.order)
  }

  private static func footer(_ checksum: CRC32, _ order: ByteOrder) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: checksum.value, order)
    return out + [0, 0, 0, 0]
  }

  /// Writes a changed header and then the rest of the body as it is in the source. The payload's
  /// length is the source's.
  public mutating func put(
    _ record: Record, movingPayloadFrom reader: inout StreamReader
  ) throws(StreamError) {
    if record.payloadByteCount == 0 { return try put(record) }
    if record.framing.hasChecksum { return try putSummed(record, from: &reader) }
    try put(record.headBytes)
    if reader.payloadAndPadding > 0 { try reader.movePayload(to: sink) }
  }

  /// Writes a record of draft B: its payload passes through memory, a chunk at a time, for the
  /// checksum. Ends early where the source is a checkpointed stream that is cut.
  public mutating func putSummed(
    _ record: Record, from reader: inout StreamReader
  ) throws(StreamError) {
    let head = record.headBytes
    var checksum = CRC32()
    checksum.update(Array(head.dropFirst(record.framing.headByteCount)))
    try put(head)
    let buffer = PageAlignedBuffer(capacity: Int(min(record.payloadByteCount, 1 << 20)))
    var rest = record.payloadByteCount
    while rest > 0 {
      let chunk = Int(min(rest, UInt64(buffer.capacity)))
      let got = try reader.loadPayload(chunk, into: buffer)
      buffer.withBytes(0..<got) { checksum.update($0) }
      try put([], then: buffer, 0..<got)
      guard reader.ending == nil else { return }
      rest -= UInt64(chunk)
    }
    try putEnd(of: record, checksum, from: &reader)
  }

  /// Writes a record whose payload is bytes 0 to `payloadByteCount` of `payload`, which `reader` has
  /// read. The padding is the reader's, as where the payload is moved.
  public mutating func put(
    _ record: Record, then payload: PageAlignedBuffer, from reader: inout StreamReader
  ) throws(StreamError) {
    let range = 0..<Int(record.payloadByteCount)
    try put(record.headBytes, then: payload, range)
    var checksum = CRC32()
    if record.framing.hasChecksum {
      checksum.update(Array(record.headBytes.dropFirst(record.framing.headByteCount)))
      payload.withBytes(range) { checksum.update($0) }
    }
    try putEnd(of: record, checksum, from: &reader)
  }

  /// What follows a payload: padding, and the checksum of body and padding. The padding stays what it
  /// was where the record has the length that it had; a checkpoint that is cut in it stays cut.
  private mutating func putEnd(
    of record: Record, _ checksum: CRC32, from reader: inout StreamReader
  ) throws(StreamError) {
    var padding = [UInt8](repeating: 0, count: record.framing.paddingByteCount(record.length))
    if reader.payloadAndPadding == UInt64(padding.count), !padding.isEmpty {
      let buffer = PageAlignedBuffer(capacity: padding.count)
      padding = buffer.copy(0..<(try reader.loadPayload(padding.count, into: buffer)))
      guard reader.ending == nil else { return try put(padding) }
    }
    guard record.framing.hasChecksum else {
      if !padding.isEmpty { try put(padding) }
      return
    }
    var checksum = checksum
    checksum.update(padding)
    let footer = StreamWriter.footer(checksum, record.context.order)
    try put(padding + footer.dropLast(reader.missingChecksumByteCount()))
  }

  /// Writes `header`, and then bytes `range` of `buffer`.
  public mutating func put(
    _ head: [UInt8], then buffer: PageAlignedBuffer, _ range: Range<Int>
  ) throws(StreamError) {
    try flush()
    do { try sink.write(head, then: buffer, range) } catch {
      throw StreamError(error, offset: sink.position)
    }
  }

  /// Writes what was gathered. Call it once after the last part.
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
