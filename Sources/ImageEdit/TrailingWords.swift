// What may follow an image.

public import Stream
public import SystemIO

extension TrailingBytes {
  /// What `xl migrate` sends after the image, with its NUL.
  private static let handshake = Array("domain is yours, you are cleared to unpause\0".utf8)

  /// Whether it is nothing but xl's word to the receiver of a migration.
  public func isHandshake(byteCount: UInt64) -> Bool {
    kind == .afterEnd && first == TrailingBytes.handshake
      && byteCount == UInt64(TrailingBytes.handshake.count)
  }

  /// Whether it belongs to what `source` holds. A file ends with its image: what follows on a volume
  /// is old data. Of a pipe everything is another program's.
  public func isKept(from source: Source) -> Bool {
    if kind == .opaque { return true }
    guard kind == .afterEnd, source.isFile, let end = source.byteCount else { return true }
    return isHandshake(byteCount: end >= offset ? end - offset : 0)
  }
}
