// Whole buffers packed and unpacked in one step.

public import Bytes
internal import CZstd
internal import SystemIO

/// Packs buffers, each into a zstd frame of its own. Used by one thread at a time.
@safe public final class ZstdPacker {
  private let context: OpaquePointer

  public init() throws {
    // Safety: nil is checked for; the context is freed once, in deinit.
    guard let context = unsafe ZSTD_createCCtx() else {
      throw XensaveError(.invalid, "out of memory")
    }
    unsafe self.context = context
  }

  deinit { unsafe _ = ZSTD_freeCCtx(context) }

  /// Levels, from the fastest to the smallest.
  public static let levels = -7...19

  /// Packs `count` bytes at the start of `input` into `output` from byte `offset` on. Returns the number
  /// of bytes that came out, or nil where they would be no fewer than went in.
  public func pack(
    _ input: PageAlignedBuffer, _ count: Int, level: Int, into output: PageAlignedBuffer,
    at offset: Int
  ) throws -> Int? {
    precondition(count >= 0 && count <= input.capacity && ZstdPacker.levels.contains(level))
    precondition(offset >= 0 && offset <= output.capacity)
    let room = min(output.capacity - offset, count)
    // Safety: both ranges lie inside their buffers.
    let result = unsafe ZSTD_compressCCtx(
      context, output.pointer(offset), room, input.pointer(), count, Int32(level))
    // There is one thing that can go wrong with a context of its own: the result does not fit.
    return ZSTD_isError(result) != 0 || result >= count ? nil : result
  }

  /// Packs `count` bytes at the start of `input` to the start of `output`, also where they become more.
  /// Returns the number of bytes that came out.
  ///
  /// - Precondition: `output` has room for `bound(count)` bytes.
  func packWhole(
    _ input: PageAlignedBuffer, _ count: Int, level: Int, into output: PageAlignedBuffer
  ) throws -> Int {
    precondition(count >= 0 && count <= input.capacity && ZstdPacker.levels.contains(level))
    precondition(output.capacity >= ZstdPacker.bound(count))
    // Safety: both ranges lie inside their buffers.
    return try unsafe checked(
      ZSTD_compressCCtx(
        context, output.pointer(), output.capacity, input.pointer(), count, Int32(level)))
  }

  /// The most bytes that `count` bytes become.
  static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }
}

/// Unpacks frames of known size. Used by one thread at a time.
@safe public final class ZstdUnpacker {
  private let context: OpaquePointer

  public init() throws {
    // Safety: nil is checked for; the context is freed once, in deinit.
    guard let context = unsafe ZSTD_createDCtx() else {
      throw XensaveError(.invalid, "out of memory")
    }
    unsafe self.context = context
  }

  deinit { unsafe _ = ZSTD_freeDCtx(context) }

  /// Unpacks bytes `range` of `input` to the start of `output`, which has to give exactly `count` bytes.
  /// Nothing is written beyond them, whatever the frame says.
  public func unpack(
    _ input: PageAlignedBuffer, _ range: Range<Int>, into output: PageAlignedBuffer, _ count: Int
  ) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= input.capacity)
    precondition(count >= 0 && count <= output.capacity)
    // Safety: both ranges lie inside their buffers.
    let got = try unsafe checked(
      ZSTD_decompressDCtx(
        context, output.pointer(), count, input.pointer(range.lowerBound), range.count))
    guard got == count else {
      throw XensaveError(.invalid, "it holds \(got) bytes, expected \(count)")
    }
  }
}
