// A frame in the making: bytes of the stream, sorted into sections.

internal import Bytes
internal import SystemIO
internal import Zstd

/// What frames have carried; counts of pages and bytes.
public struct WireTotals: Sendable, Equatable {
  /// Bytes of the stream.
  public var restored: UInt64 = 0
  /// Bytes on the wire.
  public var sent: UInt64 = 0
  public var frames: UInt64 = 0
  public var zeroPages: UInt64 = 0
  /// Pages that the other side had as they are.
  public var samePages: UInt64 = 0
  /// Pages that went as a difference.
  public var changedPages: UInt64 = 0
  public var packedPages: UInt64 = 0
  /// Pages that cannot be packed.
  public var storedPages: UInt64 = 0

  public init() {}
}

/// One frame on the sending side, with all its memory. It is filled on one thread and sealed on another.
@safe
final class OutgoingFrame {
  /// Bytes of the stream in one frame. More would pack little better, and wait longer.
  static let chunkByteCount = 256 << 10
  /// A longer run of bytes that are no pages is looked at in segments of this length.
  private static let segmentByteCount = 4096

  private let chunk: PageAlignedBuffer
  private let plain: PageAlignedBuffer
  private let packed: PageAlignedBuffer
  private let front = PageAlignedBuffer(capacity: FrameHeader.byteCount + WireFormat.commandLimit)
  private let vectors = WriteVectors()
  private let packer: ZstdPacker
  private var commands = WireCommands()
  /// Bytes of the chunk that have come, and of those the ones that have been looked at.
  private var filled = 0
  private(set) var scanned = 0
  private var plainCount = 0
  /// Ranges of the chunk that go as they are.
  private var stored: [Range<Int>] = []
  private var storedCount = 0
  private var header = FrameHeader(.data, sequence: 0)
  /// What sealing it met with, read when that has ended.
  private var problem: (any Error)?

  init(byteCount: Int = OutgoingFrame.chunkByteCount) throws {
    chunk = PageAlignedBuffer(capacity: byteCount)
    plain = PageAlignedBuffer(capacity: byteCount + 2 * WireFormat.differenceLimit)
    packed = PageAlignedBuffer(capacity: byteCount)
    packer = try ZstdPacker()
  }

  var isEmpty: Bool { filled == 0 }
  var isFull: Bool { filled == chunk.capacity }

  func removeAll() {
    commands.removeAll()
    stored.removeAll(keepingCapacity: true)
    (filled, scanned, plainCount, storedCount) = (0, 0, 0, 0)
    problem = nil
  }

  /// Reads what is there; false at the end.
  func fill(from source: Source) throws -> Bool {
    let got = try source.readAvailable(into: chunk, filled..<chunk.capacity)
    filled += got
    return got > 0
  }

  /// Moves what has not been looked at to the empty frame that comes next.
  func moveRest(to next: OutgoingFrame) {
    chunk.withBytes(scanned..<filled) { next.chunk.store(0, $0) }
    next.filled = filled - scanned
    filled = scanned
  }

  // MARK: - Sorting

  /// Looks at what has come. With `isFlushed`, part of a page too; else it stays for the next frame.
  func scan(
    _ scanner: inout StreamScanner, _ cache: PageCache, _ totals: inout WireTotals,
    isFlushed: Bool = false
  ) {
    while scanned < filled {
      let segment = chunk.withBytes(0..<filled) {
        scanner.next($0, scanned..<filled, isFlushed: isFlushed)
      }
      guard let segment else { return }
      switch segment {
      case .bytes(let count): add(bytes: count)
      case .page(let key) where commands.hasRoom: add(page: key, cache, &totals)
      case .page: add(bytes: WireFormat.pageByteCount)
      }
    }
  }

  private func add(bytes count: Int) {
    var rest = count
    while rest > 0 {
      let part = min(rest, OutgoingFrame.segmentByteCount)
      let isStored =
        part == OutgoingFrame.segmentByteCount && commands.hasRoom
        && chunk.withBytes(0..<filled) { Compressibility.isRandom($0, at: scanned) }
      if isStored { store(part) } else { pack(part) }
      commands.append(isStored ? .storedBytes : .bytes, part)
      rest -= part
    }
  }

  private func add(page key: UInt64, _ cache: PageCache, _ totals: inout WireTotals) {
    let count = WireFormat.pageByteCount
    let offset = scanned
    chunk.withBytes(0..<filled) { bytes in
      if bytes.isZeroPage(at: offset) {
        cache.remove(key)
        commands.appendPage(.zeroPages, key: key)
        totals.zeroPages += 1
        scanned += count
        return
      }
      if let place = cache.find(key) {
        let length = cache.withPage(place) {
          PageDifference.write(of: bytes, at: offset, to: $0, into: plain, at: plainCount)
        }
        if length != 0 { cache.store(place, bytes, at: offset) }
        if let length {
          plainCount += length
          commands.appendPage(length == 0 ? .samePages : .changedPages, key: key)
          if length == 0 { totals.samePages += 1 } else { totals.changedPages += 1 }
          scanned += count
          return
        }
      } else {
        cache.insert(key, bytes, at: offset)
      }
      if Compressibility.isRandom(bytes, at: offset) {
        store(count)
        commands.appendPage(.storedPages, key: key)
        totals.storedPages += 1
      } else {
        pack(count)
        commands.appendPage(.packedPages, key: key)
        totals.packedPages += 1
      }
    }
  }

  private func store(_ count: Int) {
    if let last = stored.last, last.upperBound == scanned {
      stored[stored.count - 1] = last.lowerBound..<scanned + count
    } else {
      stored.append(scanned..<scanned + count)
    }
    storedCount += count
    scanned += count
  }

  private func pack(_ count: Int) {
    chunk.withBytes(scanned..<scanned + count) { plain.store(plainCount, $0) }
    plainCount += count
    scanned += count
  }

  // MARK: - Sealing

  /// Packs what can be packed and writes the header. Nothing else touches the frame meanwhile.
  func seal(sequence: UInt32, level: Int) {
    do {
      commands.finish()
      header = FrameHeader(.data, sequence: sequence)
      header.restored = scanned
      header.commands = commands.bytes.count
      header.unpacked = plainCount
      header.stored = storedCount
      let count = try packer.pack(plain, plainCount, level: level, into: packed, at: 0)
      header.isPacked = count != nil
      header.packed = count ?? plainCount
      let seed = XXH64.hash(commands.bytes)
      header.checksum = chunk.withBytes(0..<scanned) { XXH64.hash($0, seed: seed) }
    } catch { problem = error }
  }

  /// Writes the sealed frame.
  func write(to sink: Sink, _ totals: inout WireTotals) throws {
    if let problem { throw problem }
    let start = header.bytes + commands.bytes
    start.withBytes { front.store(0, $0) }
    vectors.removeAll()
    vectors.append(front, 0..<start.count)
    vectors.append(header.isPacked ? packed : plain, 0..<header.packed)
    for range in stored { vectors.append(chunk, range) }
    totals.frames += 1
    totals.restored += UInt64(header.restored)
    totals.sent += UInt64(vectors.byteCount)
    try sink.write(vectors)
  }
}

extension [UInt8] {
  /// The bytes as a span, for the time of the call.
  fileprivate func withBytes(_ body: (RawSpan) -> Void) {
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe body(self.span.bytes)
  }
}
