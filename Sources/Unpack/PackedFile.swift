// What a packed file holds.

public import SystemIO
internal import Zstd

/// What opens packed files.
public enum PackedFile {
  /// The contents of `source`, which is packed like this: at any offset where it is a zstd file with a seek
  /// table, else from its start only.
  public static func open(
    _ source: Source, _ packing: Packing
  ) throws(SystemError) -> PackedContents {
    if packing == .zstd, source.isFile {
      if let reader = try SeekableZstdReader(source) { return .anywhere(reader) }
      source.seek(0)
    }
    return .inOrder(try UnpackedStream(source, packing))
  }
}
