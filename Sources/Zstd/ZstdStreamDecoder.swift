// Unpacking zstd data of others, step by step.

public import Bytes
internal import CZstd
internal import SystemIO

/// Unpacks what may be several zstd frames, with skippable ones between them, as `zstd -d` does.
@safe public final class ZstdStreamDecoder {
  /// log2 of the largest window, in bytes: what zstd itself reads without being told to, and what
  /// `zstd --long` writes.
  public static let windowLog = 27

  private let context: OpaquePointer

  public init() throws {
    // Safety: nil is checked for; the context is freed once, in deinit.
    guard let context = unsafe ZSTD_createDCtx() else {
      throw XensaveError(.invalid, "out of memory")
    }
    unsafe self.context = context
    _ = try unsafe checked(
      ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Int32(ZstdStreamDecoder.windowLog)))
  }

  deinit { unsafe _ = ZSTD_freeDCtx(context) }

  /// One step from `range` of `input` into `room` of `output`: how many bytes it took and gave, and
  /// whether a frame ended with it.
  public func step(
    _ input: PageAlignedBuffer, _ range: Range<Int>, into output: PageAlignedBuffer,
    _ room: Range<Int>
  ) throws -> (taken: Int, given: Int, isBetween: Bool) {
    precondition(range.lowerBound >= 0 && range.upperBound <= input.capacity)
    precondition(room.lowerBound >= 0 && room.upperBound <= output.capacity)
    // Safety: both ranges are as long as they say and lie inside their buffers.
    var from = unsafe ZSTD_inBuffer(
      src: input.pointer(range.lowerBound), size: range.count, pos: 0)
    var to = unsafe ZSTD_outBuffer(
      dst: output.pointer(room.lowerBound), size: room.count, pos: 0)
    let left = try unsafe checked(ZSTD_decompressStream(context, &to, &from))
    return unsafe (from.pos, to.pos, left == 0)
  }
}
