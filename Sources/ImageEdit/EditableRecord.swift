// A record that a filter may look into and change.

public import Bytes
public import Format
public import Stream
public import SystemIO

/// A record on its way through a rewrite, or one made from nothing.
///
/// Its header can be changed at once. Its payload stays in the source until it is asked for; what is
/// never asked for moves from source to sink without passing through memory.
public final class EditableRecord {
  /// The record; its body is what will be written.
  public private(set) var record: Record
  /// The header as it was read, once it has been changed; nil before.
  public private(set) var original: [UInt8]?
  /// The payload in memory; nil while it is in the source, or where there is none.
  public private(set) var loadedPayload: PageAlignedBuffer?
  /// Changes whenever places in the body may have moved: with every new body but those that are known
  /// to be of the same shape.
  public private(set) var shape = 0
  /// Whether the payload, once loaded, has been written to.
  public private(set) var isPayloadChanged = false
  /// Whether the record came from a stream (and not from a script).
  public let isFromStream: Bool
  /// What it was read from, for who reads its payload from a file without loading it.
  public let source: Source?
  /// What writes the record where its payload gets another shape; nil where it is written as it is.
  public var streamer: (any RecordStreamer)?
  /// Reads the payload while the record is the current one of its stream.
  private var loader: ((PageAlignedBuffer, Int) throws -> Void)?
  /// Whether the record is still the current one of its stream, or stands by itself.
  public private(set) var isValid = true

  /// A record that was read; `loader` reads its payload into memory.
  public init(
    reading record: Record, from source: Source? = nil,
    loader: ((PageAlignedBuffer, Int) throws -> Void)? = nil
  ) {
    self.record = record
    self.source = source
    self.loader = loader
    isFromStream = true
  }

  /// A record that a script made.
  public init(making type: RecordType, body: [UInt8], _ context: BodyContext) {
    record = Record(type, body: body, context: context)
    isFromStream = false
    source = nil
  }

  public var type: RecordType { record.type }
  public var body: [UInt8] { record.body }
  /// Bytes of the payload, wherever it is.
  public var payloadByteCount: Int {
    Int(record.payloadByteCount)
  }

  /// Whether anything in it differs from what was read.
  public var isChanged: Bool {
    original != nil && original != record.body || isPayloadChanged || streamer?.isChanging == true
  }

  /// Replaces the header's bytes. `keepsShape`: all places are where they were.
  public func setBody(_ body: [UInt8], keepsShape: Bool = false) {
    if !keepsShape { shape &+= 1 }
    if original == nil { original = record.body }
    record.body = body
    if record.payloadByteCount == 0 {
      // A body of another length has other padding; one of the same keeps what it had.
      if body.count != original?.count { record.padding = [] }
    }
  }

  /// Sets one field.
  public func set(_ path: String, _ value: FieldValue) throws {
    let slot = try record.layout.slot(path, in: record.body)
    var body = record.body
    try slot.set(value, in: &body)
    setBody(body)
  }

  /// The payload in memory; loads it from the source the first time.
  public func payload() throws -> PageAlignedBuffer? {
    if let loadedPayload { return loadedPayload }
    guard payloadByteCount > 0, let loader else { return nil }
    let buffer =
      source?.takeRecycled(payloadByteCount) ?? PageAlignedBuffer(capacity: payloadByteCount)
    try loader(buffer, payloadByteCount)
    loadedPayload = buffer
    self.loader = nil
    return buffer
  }

  /// Notes that bytes of the loaded payload were written to.
  public func markPayloadChanged() { isPayloadChanged = true }

  /// A copy that stands by itself: header and payload in memory.
  public func copy() throws -> EditableRecord {
    var body = record.body
    if let payload = try payload() { body += payload.copy(0..<payloadByteCount) }
    return EditableRecord(making: type, body: body, record.context)
  }

  /// Ends the record's time: its payload is after the source's position now.
  public func invalidate() {
    isValid = false
    loader = nil
    streamer = nil
    // The next record's payload gets the memory: new pages cost more than what is read into them.
    guard var payload = loadedPayload else { return }
    loadedPayload = nil
    if isKnownUniquelyReferenced(&payload) { source?.recycle(payload) }
  }
}
