// The steps of a delta as bytes, packed by zstd or not.

internal import Bytes
internal import SystemIO
internal import Zstd

/// Reads what stands after a delta's header, from its start on.
final class DeltaBody {
  private enum Input {
    case plain
    case packed(ZstdReader)
  }
  private let delta: Source
  private let input: Input
  private let scratch = PageAlignedBuffer(capacity: PageImage.chunkByteCount)

  init(_ delta: Source, _ head: PageDelta.Head) throws {
    self.delta = delta
    delta.seek(UInt64(PageDelta.headByteCount))
    guard head.isPacked else {
      input = .plain
      return
    }
    input = .packed(try Self.unpacking(delta) { try ZstdReader(delta) })
  }

  /// Fills `range` of `buffer`.
  func read(into buffer: PageAlignedBuffer, _ range: Range<Int>) throws {
    let got: Int
    switch input {
    case .plain:
      got = try delta.read(into: buffer, range)
    case .packed(let reader):
      got = try Self.unpacking(delta) { try reader.read(into: buffer, range) }
    }
    guard got == range.count else { throw damaged("the delta ends inside a step") }
  }

  func word() throws -> UInt64 {
    try read(into: scratch, 0..<8)
    return scratch.withBytes(0..<8) { $0.load(0, as: UInt64.self) }
  }

  /// Passes over `count` bytes.
  func skip(_ count: UInt64) throws {
    if case .plain = input {
      let got = try delta.skip(count)
      guard got == count else { throw damaged("the delta ends inside a step of \(count) bytes") }
      return
    }
    var left = count
    while left > 0 {
      let chunk = Int(min(left, UInt64(scratch.capacity)))
      try read(into: scratch, 0..<chunk)
      left -= UInt64(chunk)
    }
  }

  /// Makes sure that this is the end.
  func finish() throws {
    switch input {
    case .plain:
      guard delta.position == delta.byteCount else { throw damaged("bytes after the last step") }
    case .packed(let reader):
      let got = try Self.unpacking(delta) { try reader.read(into: scratch, 0..<1) }
      guard got == 0, !reader.hasMore else { throw damaged("bytes after the last step") }
    }
  }

  func damaged(_ problem: String) -> XensaveError { PageDelta.damaged(delta, problem) }

  /// Says where a frame is that zstd refuses.
  private static func unpacking<R>(_ delta: Source, _ body: () throws -> R) throws -> R {
    do { return try body() } catch let error as XensaveError {
      throw PageDelta.damaged(delta, "the zstd frame is damaged: \(error)")
    }
  }
}

/// Where the steps go.
enum DeltaOutput {
  case plain(Sink)
  case packed(ZstdWriter)

  /// `level` 0 packs nothing.
  init(_ sink: Sink, level: Int) throws {
    guard level > 0 else {
      self = .plain(sink)
      return
    }
    self = .packed(try ZstdWriter(sink, level: level))
  }

  func write(_ words: UInt64...) throws {
    var bytes: [UInt8] = []
    for word in words { bytes.append(integer: word) }
    try write(bytes)
  }

  private func write(_ bytes: [UInt8]) throws {
    switch self {
    case .plain(let sink): try sink.write(bytes)
    case .packed(let writer):
      try writer.write(bytes)
    }
  }

  /// Bytes of an image, and zeros to a multiple of 8.
  func copy(
    _ offset: UInt64, _ count: UInt64, of image: PageImage, _ buffer: PageAlignedBuffer
  ) throws {
    switch self {
    case .plain(let sink):
      let moved = try image.source.copy(from: offset, count, to: sink)
      guard moved == count else { throw shorter(image.source) }
    case .packed(let writer):
      var done: UInt64 = 0
      while done < count {
        let chunk = Int(min(count - done, UInt64(PageImage.chunkByteCount)))
        try image.read(offset + done, chunk, into: buffer)
        try writer.write(buffer, 0..<chunk)
        done += UInt64(chunk)
      }
    }
    let padding = Int(paddedTo8(count) - count)
    if padding > 0 { try write([UInt8](repeating: 0, count: padding)) }
  }

  func finish() throws {
    guard case .packed(let writer) = self else { return }
    try writer.finish()
  }
}
