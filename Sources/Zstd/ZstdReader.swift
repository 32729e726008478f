// Unpacking one zstd frame, with bounds.

public import Bytes
internal import CZstd
public import SystemIO

/// Reads the contents of one zstd frame that begins where a source stands.
///
/// Memory is bounded whatever the frame says: frames that need a window of more than 8 MiB are
/// refused, as are skippable ones. How much comes out is for the caller to bound; it is at most 32768
/// times what went in, as a block of 4 bytes holds at most 128 KiB.
@safe public final class ZstdReader {
  /// The frame is at its end.
  public private(set) var isAtEnd = false
  /// Whether there is something after the frame; known at its end.
  public private(set) var hasMore = false

  private let source: Source
  private let context: OpaquePointer
  private let input = PageAlignedBuffer(capacity: 128 << 10)
  private var used = 0
  private var filled = 0

  /// log2 of the largest window, in bytes. Levels up to 19 take no more.
  private static let windowLog: Int32 = 23
  /// The first bytes of a frame, as a little-endian word.
  private static let magic: UInt32 = 0xFD2F_B528

  /// A reader of the frame at the source's position.
  public init(_ source: Source) throws {
    // Safety: nil is checked for; the context is freed once, in deinit.
    guard let context = unsafe ZSTD_createDCtx() else {
      throw XensaveError(.invalid, "out of memory")
    }
    unsafe self.context = context
    self.source = source
    _ = try unsafe checked(
      ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZstdReader.windowLog))
    try refill()
    guard filled >= 4, input.withBytes(0..<4, { $0.load(0, as: UInt32.self) }) == ZstdReader.magic
    else { throw XensaveError(.invalid, "it does not begin like a frame") }
  }

  deinit { unsafe _ = ZSTD_freeDCtx(context) }

  private func refill() throws {
    used = 0
    filled = try source.read(into: input, 0..<input.capacity)
  }

  /// Fills `range` of `buffer`; returns how many bytes, fewer only at the end of the frame.
  public func read(into buffer: PageAlignedBuffer, _ range: Range<Int>) throws -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    var done = 0
    while done < range.count, !isAtEnd {
      if used == filled {
        try refill()
        // What zstd still holds of a frame that is cut comes out with no more input.
        if filled == 0, try step(buffer, range, &done) == 0 {
          throw XensaveError(.invalid, "the frame is cut")
        }
        if filled == 0 { continue }
      }
      _ = try step(buffer, range, &done)
    }
    return done
  }

  /// One step of zstd's; how many bytes it gave or took.
  private func step(
    _ buffer: PageAlignedBuffer, _ range: Range<Int>, _ done: inout Int
  ) throws -> Int {
    // Safety: both ranges are as long as they say and lie inside their buffers.
    var from = unsafe ZSTD_inBuffer(src: input.pointer(), size: filled, pos: used)
    var to = unsafe ZSTD_outBuffer(
      dst: buffer.pointer(range.lowerBound + done), size: range.count - done, pos: 0)
    let left = try unsafe checked(ZSTD_decompressStream(context, &to, &from))
    let (took, gave) = unsafe (from.pos - used, to.pos)
    used += took
    done += gave
    if left == 0 {
      isAtEnd = true
      if used == filled { try refill() }
      hasMore = used < filled
    }
    return took + gave + (left == 0 ? 1 : 0)
  }
}
