// How the records of each format begin and end, as rows.

/// The bytes around a body: what differs between formats whose records are otherwise read alike.
///
///     | type | length | options? | body ... | padding? | checksum? |
public struct RecordFraming: Sendable, Equatable {
  /// Bytes before the body.
  public let headByteCount: Int
  /// Bytes of the type and of the length, which lie one after the other.
  public let headFieldByteCount: Int
  /// What a body is filled up to a multiple of, with zeros.
  public let alignment: Int
  /// Bytes after the padding: a CRC-32 of body and padding, and reserved ones.
  public let footerByteCount: Int

  /// libxc since version 2, and libxl. Spec: libxc-migration-stream, Records.
  public static let plain = RecordFraming(
    headByteCount: 8, headFieldByteCount: 4, alignment: 8, footerByteCount: 0)
  /// Version 1. Draft B, Records: type, body_length, options (bit 0: the checksum is valid).
  public static let draftB = RecordFraming(
    headByteCount: 16, headFieldByteCount: 4, alignment: 8, footerByteCount: 8)
  /// xenopsd's suspend images: two 64-bit integers, and the record.
  /// xenopsd: doc/suspend-image-framing-format.
  public static let xenopsd = RecordFraming(
    headByteCount: 16, headFieldByteCount: 8, alignment: 1, footerByteCount: 0)

  /// What lies around the records of a layer, in a stream of this version.
  public static func of(_ layer: Layer, version: Int?) -> RecordFraming {
    switch layer {
    case .xenopsd: .xenopsd
    case .libxl: .plain
    case .libxc, .draftB: version == DraftB.version ? .draftB : .plain
    }
  }

  /// Bytes of padding after a body of `length` bytes.
  public func paddingByteCount(_ length: UInt64) -> Int {
    let rest = Int(length % UInt64(alignment))
    return rest == 0 ? 0 : alignment - rest
  }

  /// Bytes of a record whose body has `length`.
  public func totalByteCount(_ length: UInt64) -> UInt64 {
    length + UInt64(headByteCount + footerByteCount + paddingByteCount(length))
  }

  /// Whether records carry a checksum.
  public var hasChecksum: Bool { footerByteCount > 0 }
}
