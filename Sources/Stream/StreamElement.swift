// What a stream is made of, in the order in which it comes.

public import Bytes
public import Format

/// One chunk of a saved domain.
public enum StreamElement: Sendable {
  case header(Header)
  case record(Record)
  /// Bytes after the end of the stream, of a record that is cut off, or that have no length.
  case trailing(TrailingBytes)
}

/// A header with its optional data.
public struct Header: Sendable {
  public let kind: HeaderKind
  /// Bytes from the start of the source.
  public let offset: UInt64
  /// The header as it is, and the xl header's optional data after it.
  public var bytes: [UInt8]
  /// The byte order of its fields.
  public let order: ByteOrder

  public init(_ kind: HeaderKind, offset: UInt64, bytes: [UInt8], order: ByteOrder) {
    self.kind = kind
    self.offset = offset
    self.bytes = bytes
    self.order = order
  }

  /// The rows laid over it.
  public var layout: BodySchema { BodySchema(kind.fields, BodyContext(order: order)) }

  /// The unsigned number of a field; nil if there is no such number.
  public func unsigned(_ name: String) -> UInt64? {
    guard let slot = layout.find(name, in: bytes),
      case .unsigned(let value) = slot.value(in: bytes)
    else { return nil }
    return value
  }
}

/// A record: its header in memory, and how much of its body is still in the source.
public struct Record: Sendable {
  public let type: RecordType
  /// Number of the record in the stream, from 1; 0 for one that was made here.
  public let index: Int
  /// Bytes from the start of the source to the record's header.
  public let offset: UInt64
  /// The part of the body that is in memory: all of it, or the header before bulk bytes (for
  /// PAGE_DATA: count and pfn table; for large blobs: their fixed fields).
  public var body: [UInt8]
  /// The padding after the body where the whole body is in memory (0 to 7 bytes, normally zero).
  public var padding: [UInt8]
  /// Bytes of the body after `body`, still in the source.
  public let payloadByteCount: UInt64
  /// Byte order and guest width for reading the body.
  public let context: BodyContext
  /// What lies around the body.
  public let framing: RecordFraming
  /// Checkpoint number in a checkpointed stream, from 0.
  public let checkpoint: Int
  /// What the length field holds where it means nothing (xenopsd's Libxc and Demu); else nil.
  public let unusedLength: UInt64?

  public init(
    _ type: RecordType, index: Int = 0, offset: UInt64 = 0, body: [UInt8], padding: [UInt8] = [],
    payloadByteCount: UInt64 = 0, context: BodyContext, framing: RecordFraming = .plain,
    checkpoint: Int = 0, unusedLength: UInt64? = nil
  ) {
    self.type = type
    self.index = index
    self.offset = offset
    self.body = body
    self.padding = padding
    self.payloadByteCount = payloadByteCount
    self.context = context
    self.framing = framing
    self.checkpoint = checkpoint
    self.unusedLength = unusedLength
  }

  /// The body's length, as the record header says it.
  public var length: UInt64 { UInt64(body.count) + payloadByteCount }
  /// Bytes of the record in the stream: header, body, padding, and the checksum of draft B.
  public var totalByteCount: UInt64 { framing.totalByteCount(length) }
  /// The offset of the body's first byte.
  public var bodyOffset: UInt64 { offset + UInt64(framing.headByteCount) }
  /// The offset of the first byte of the payload, which comes after the part of the body in memory.
  public var payloadOffset: UInt64 { bodyOffset + UInt64(body.count) }
  /// The offset of the first byte after it.
  public var endOffset: UInt64 { offset + totalByteCount }
  /// The rows laid over the body.
  public var layout: BodySchema { BodySchema(type, body: body, context) }
  /// "record 17 (X86_TSC_INFO)", for messages.
  public var place: String { "record \(index) (\(type.name))" }

  /// The record header and the part of the body in memory, and the padding if that is all of it.
  /// Of draft B the checksum is left out.
  public var headBytes: [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(framing.headByteCount + 8 + body.count)
    if framing.headFieldByteCount == 8 {
      out.append(integer: UInt64(type.wireValue), context.order)
      out.append(integer: unusedLength ?? length, context.order)
    } else {
      out.append(integer: type.wireValue, context.order)
      out.append(integer: UInt32(truncatingIfNeeded: length), context.order)
    }
    if framing.hasChecksum {
      out.append(integer: UInt16(1), context.order)
      out += [UInt8](repeating: 0, count: 6)
    }
    out += body
    if payloadByteCount == 0 {
      let needed = framing.paddingByteCount(length)
      out += padding.prefix(needed) + [UInt8](repeating: 0, count: max(0, needed - padding.count))
    }
    return out
  }

  /// The unsigned number of a field; nil if there is no such number.
  public func unsigned(_ path: String) -> UInt64? {
    guard let slot = layout.find(path, in: body),
      case .unsigned(let value) = slot.value(in: body)
    else { return nil }
    return value
  }

  /// Whether this is PAGE_DATA whose pfn table is complete.
  public var pageTable: PageTableSummary? {
    guard type == .pageData, let count = pageEntryCount else { return nil }
    return PageTableSummary(body, count: count, order: context.order)
  }

  /// Entries of PAGE_DATA's table, if the whole table lies in the body.
  public var pageEntryCount: Int? {
    guard type == .pageData, body.count >= 8 else { return nil }
    let count = Int(body.load(0, as: UInt32.self, context.order))
    return (body.count - 8) / 8 >= count ? count : nil
  }

  /// Entry `index` of PAGE_DATA's table.
  @inlinable
  public func pageEntry(_ index: Int) -> PageEntry {
    PageEntry(rawValue: body.load(8 + 8 * index, as: UInt64.self, context.order))
  }
}

/// Bytes that belong to no record.
public struct TrailingBytes: Sendable, Equatable {
  public enum Kind: Sendable, Equatable {
    /// After the stream's end: another program's, such as xl's handshake in a migration.
    case afterEnd
    /// The beginning of a record of a checkpoint that was never finished.
    case cutRecord
    /// The state of a virtual GPU, and all that comes after it.
    case opaque
  }
  public let kind: Kind
  public let offset: UInt64
  /// The first of them (at most 64): enough to know them by.
  public let first: [UInt8]

  public init(kind: Kind, offset: UInt64, first: [UInt8]) {
    self.kind = kind
    self.offset = offset
    self.first = first
  }
}
