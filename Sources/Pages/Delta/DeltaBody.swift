// The steps of a delta as octets, packed by zstd or not.

internal import Bytes
internal import SystemIO
internal import Zstd

/// Reads what stands behind a delta's head, from its start on.
final class DeltaBody {
  private enum Input {
    case plain
    case packed(ZstdReader)
  }
  private let delta: Source
  private let input: Input
  private let scratch = Arena(capacity: PageImage.pieceByteCount)

  init(_ delta: Source, _ head: PageDelta.Head) throws(PagesError) {
    self.delta = delta
    delta.seek(UInt64(PageDelta.headByteCount))
    guard head.isPacked else {
      input = .plain
      return
    }
    do { input = .packed(try ZstdReader(delta)) } catch { throw PagesError(error, delta) }
  }

  /// Fills `range` of `arena`.
  func read(into arena: Arena, _ range: Range<Int>) throws(PagesError) {
    let got: Int
    switch input {
    case .plain:
      got = try io { () throws(SystemError) in try delta.read(into: arena, range) }
    case .packed(let reader):
      do { got = try reader.read(into: arena, range) } catch { throw PagesError(error, delta) }
    }
    guard got == range.count else { throw damaged("the delta ends inside a step") }
  }

  func word() throws(PagesError) -> UInt64 {
    try read(into: scratch, 0..<8)
    return scratch.withBytes(0..<8) { $0.load(0, as: UInt64.self) }
  }

  /// Passes over `count` octets.
  func skip(_ count: UInt64) throws(PagesError) {
    if case .plain = input {
      let got = try io { () throws(SystemError) in try delta.skip(count) }
      guard got == count else { throw damaged("the delta ends inside a step of \(count) octets") }
      return
    }
    var left = count
    while left > 0 {
      let piece = Int(min(left, UInt64(scratch.capacity)))
      try read(into: scratch, 0..<piece)
      left -= UInt64(piece)
    }
  }

  /// Makes sure that this is the end.
  func finish() throws(PagesError) {
    switch input {
    case .plain:
      guard delta.position == delta.byteCount else { throw damaged("octets behind the last step") }
    case .packed(let reader):
      let got: Int
      do { got = try reader.read(into: scratch, 0..<1) } catch { throw PagesError(error, delta) }
      guard got == 0, !reader.hasMore else { throw damaged("octets behind the last step") }
    }
  }

  func damaged(_ problem: String) -> PagesError { PageDelta.damaged(delta, problem) }
}

/// Where the steps go.
enum DeltaOutput {
  case plain(Sink)
  case packed(ZstdWriter)

  /// `level` 0 packs nothing.
  init(_ sink: Sink, level: Int) throws(PagesError) {
    guard level > 0 else {
      self = .plain(sink)
      return
    }
    do { self = .packed(try ZstdWriter(sink, level: level)) } catch {
      throw PagesError(error, sink)
    }
  }

  func write(_ words: UInt64...) throws(PagesError) {
    var bytes: [UInt8] = []
    for word in words { bytes.append(integer: word) }
    try write(bytes)
  }

  private func write(_ bytes: [UInt8]) throws(PagesError) {
    switch self {
    case .plain(let sink): try io { () throws(SystemError) in try sink.write(bytes) }
    case .packed(let writer):
      do { try writer.write(bytes) } catch { throw PagesError(error, nil) }
    }
  }

  /// Octets of an image, and zeros to a multiple of 8.
  func copy(
    _ offset: UInt64, _ count: UInt64, of image: PageImage, _ arena: Arena
  ) throws(PagesError) {
    switch self {
    case .plain(let sink):
      let moved = try io { () throws(SystemError) in
        try image.source.copy(from: offset, count, to: sink)
      }
      guard moved == count else { throw shorter(image.source) }
    case .packed(let writer):
      var done: UInt64 = 0
      while done < count {
        let piece = Int(min(count - done, UInt64(PageImage.pieceByteCount)))
        try image.read(offset + done, piece, into: arena)
        do { try writer.write(arena, 0..<piece) } catch { throw PagesError(error, nil) }
        done += UInt64(piece)
      }
    }
    let padding = Int(paddedTo8(count) - count)
    if padding > 0 { try write([UInt8](repeating: 0, count: padding)) }
  }

  func finish() throws(PagesError) {
    guard case .packed(let writer) = self else { return }
    do { try writer.finish() } catch { throw PagesError(error, nil) }
  }
}

extension PagesError {
  init(_ error: ZstdError, _ delta: Source) {
    switch error {
    case .system(let system): self.init(system)
    case .frame(let problem):
      self = PageDelta.damaged(delta, "the zstd frame is damaged: \(problem)")
    }
  }

  init(_ error: ZstdError, _ sink: Sink?) {
    switch error {
    case .system(let system): self.init(system)
    case .frame(let problem):
      self.init(.usage, "\(sink.map { $0.path + ": " } ?? "")zstd: \(problem)")
    }
  }
}
