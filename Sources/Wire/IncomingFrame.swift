// A frame on the receiving side: read, unpacked, and made into bytes of the stream again.

internal import Bytes
internal import SystemIO
internal import Zstd

/// One frame with all its memory, which its limits bound. Nothing in it is trusted.
@safe
final class IncomingFrame {
  private let body = PageAlignedBuffer(capacity: OutgoingFrame.chunkByteCount)
  private let plain = PageAlignedBuffer(capacity: OutgoingFrame.chunkByteCount)
  private let unpacker: ZstdUnpacker
  private(set) var header = FrameHeader(.data, sequence: 0)
  /// Bytes of the body that have come.
  private var filled = 0
  private var problem: (any Error)?

  init() throws { unpacker = try ZstdUnpacker() }

  func begin(_ header: FrameHeader) {
    self.header = header
    filled = 0
    problem = nil
    body.reserve(header.bodyByteCount)
    plain.reserve(header.unpacked)
  }

  var isComplete: Bool { filled == header.bodyByteCount }

  /// Reads what is there of the body; false at the end.
  func fill(from source: Source) throws -> Bool {
    let got = try source.readAvailable(into: body, filled..<header.bodyByteCount)
    filled += got
    return got > 0
  }

  /// Unpacks the packed section. Nothing else touches the frame meanwhile.
  func unpack() {
    guard header.isPacked else { return }
    do {
      let start = header.commands
      try unpacker.unpack(
        body, start..<start + header.packed, into: plain, header.unpacked)
    } catch { problem = error }
  }

  /// Writes what the frame restores into `out`, which has room for as much, and brings the cache up to it.
  func restore(into out: PageAlignedBuffer, _ cache: PageCache) throws {
    if let problem {
      throw XensaveError(
        .malformed, "wire: frame \(header.sequence): \(XensaveError(problem).message)")
    }
    try body.withBytes(0..<header.bodyByteCount) { bytes in
      if header.isPacked {
        try plain.withBytes(0..<header.unpacked) { try restore(bytes, $0, 0, out, cache) }
      } else {
        try restore(bytes, bytes, header.commands, out, cache)
      }
    }
    let seed = body.withBytes(0..<header.commands) { XXH64.hash($0) }
    guard out.withBytes(0..<header.restored, { XXH64.hash($0, seed: seed) }) == header.checksum
    else {
      throw XensaveError(
        .malformed, "wire: frame \(header.sequence) does not restore what was sent")
    }
  }

  /// `first` is where the unpacked section begins in `packed`.
  private func restore(
    _ bytes: RawSpan, _ packed: RawSpan, _ first: Int, _ out: PageAlignedBuffer,
    _ cache: PageCache
  ) throws {
    var commands = VarintReader(0..<header.commands)
    var source = FrameSections(
      packed: VarintReader(first..<first + header.unpacked),
      stored: VarintReader(header.commands + header.packed..<header.bodyByteCount))
    var key: UInt64 = 0
    var done = 0
    while !commands.isAtEnd {
      let word = try commands.next(bytes)
      guard let command = WireCommand(rawValue: UInt8(word & 7)) else { continue }
      let count = word >> 3
      switch command {
      case .key:
        guard count < WireFormat.keyLimit else { throw problem("a key is too large") }
        key = count
      case .bytes, .storedBytes:
        guard count <= UInt64(header.restored - done) else { throw tooMuch }
        if command == .bytes {
          try source.copy(packed, \.packed, Int(count), to: out, at: done)
        } else {
          try source.copy(bytes, \.stored, Int(count), to: out, at: done)
        }
        done += Int(count)
      default:
        let size = WireFormat.pageByteCount
        guard count <= UInt64((header.restored - done) / size), key + count <= WireFormat.keyLimit
        else { throw tooMuch }
        for _ in 0..<Int(count) {
          switch command {
          case .packedPages: try source.copy(packed, \.packed, size, to: out, at: done)
          case .storedPages: try source.copy(bytes, \.stored, size, to: out, at: done)
          case .zeroPages: out.fill(done..<done + size, 0)
          default:
            guard let place = cache.find(key) else { throw problem("the cache has no page \(key)") }
            cache.withPage(place) { out.store(done, $0) }
            if command == .changedPages {
              try PageDifference.apply(packed, &source.packed, to: out, at: done)
              out.withBytes(0..<done + size) { cache.store(place, $0, at: done) }
            }
          }
          if command == .zeroPages {
            cache.remove(key)
          } else if command == .packedPages || command == .storedPages {
            out.withBytes(0..<done + size) { cache.insert(key, $0, at: done) }
          }
          key += 1
          done += size
        }
      }
    }
    guard done == header.restored, source.packed.isAtEnd, source.stored.isAtEnd else {
      throw problem("the commands do not fit the sections")
    }
  }

  private var tooMuch: XensaveError { problem("the commands give more than the header says") }

  private func problem(_ text: String) -> XensaveError {
    XensaveError(.malformed, "wire: frame \(header.sequence): \(text)")
  }
}

/// How far the two sections of a frame have been taken.
private struct FrameSections {
  var packed: VarintReader
  var stored: VarintReader

  /// Copies the next `count` bytes of a section that lies in `bytes`.
  mutating func copy(
    _ bytes: RawSpan, _ section: WritableKeyPath<FrameSections, VarintReader>, _ count: Int,
    to out: PageAlignedBuffer, at offset: Int
  ) throws {
    let start = self[keyPath: section].position
    guard self[keyPath: section].end - start >= count else {
      throw XensaveError(.malformed, "wire: a section of a frame is too short")
    }
    out.store(offset, bytes.extracting(start..<start + count))
    self[keyPath: section].skip(count)
  }
}
