// Packing bytes into one zstd frame on their way to a sink.

public import Bytes
internal import CZstd
public import SystemIO

/// Writes one zstd frame with a checksum of its contents.
///
/// Memory: what zstd takes for its level (1 MiB for level 1, some 80 MiB for 19) and 128 KiB.
@safe public final class ZstdWriter {
  private let sink: Sink
  private let context: OpaquePointer
  private let out = PageAlignedBuffer(capacity: 128 << 10)

  /// Levels go from 1, the fastest, to 19. Nothing is written yet.
  public init(_ sink: Sink, level: Int) throws {
    precondition((1...19).contains(level))
    // Safety: nil is checked for; the context is freed once, in deinit.
    guard let context = unsafe ZSTD_createCCtx() else {
      throw XensaveError(.invalid, "out of memory")
    }
    unsafe self.context = context
    self.sink = sink
    _ = try unsafe checked(
      ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(level)))
    _ = try unsafe checked(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1))
  }

  deinit { unsafe _ = ZSTD_freeCCtx(context) }

  /// Takes in all of `bytes`.
  public func write(_ bytes: [UInt8]) throws {
    // Safety: the buffer is used only inside the closure.
    try unsafe bytes.withUnsafeBufferPointer { buffer in
      try unsafe feed(UnsafeRawBufferPointer(buffer), ZSTD_e_continue)
    }
  }

  /// Takes in bytes `range` of `buffer`.
  public func write(_ buffer: PageAlignedBuffer, _ range: Range<Int>) throws {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    // Safety: the range lies inside the buffer.
    try unsafe feed(
      UnsafeRawBufferPointer(start: buffer.pointer(range.lowerBound), count: range.count),
      ZSTD_e_continue)
  }

  /// Ends the frame.
  public func finish() throws {
    try unsafe feed(UnsafeRawBufferPointer(start: nil, count: 0), ZSTD_e_end)
  }

  private func feed(
    _ raw: UnsafeRawBufferPointer, _ directive: ZSTD_EndDirective
  ) throws {
    var input = unsafe ZSTD_inBuffer(src: raw.baseAddress, size: raw.count, pos: 0)
    while true {
      var output = unsafe ZSTD_outBuffer(dst: out.pointer(), size: out.capacity, pos: 0)
      // Safety: both buffers are as long as they say.
      let left = try unsafe checked(ZSTD_compressStream2(context, &output, &input, directive))
      let filled = unsafe output.pos
      try sink.write(out, 0..<filled)
      if directive == ZSTD_e_end ? left == 0 : unsafe input.pos == input.size { return }
    }
  }
}
