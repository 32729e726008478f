// An image of a store, read at any offset.

public import Bytes
internal import Hash
public import SystemIO
internal import Zstd

/// Reads what was put into a store. Pages are compared with their names as they come, so a byte that is
/// another one is an error.
public final class StoredImageReader: RemoteReader {
  public let name: String
  private let place: StorePlace
  private let manifest: Manifest
  /// Where each piece begins in the image, and in the literals.
  private let starts: [UInt64]
  private let literalStarts: [Int]
  private let packs: PackReader

  init(_ place: StorePlace, _ manifest: Manifest) throws {
    (self.place, self.manifest) = (place, manifest)
    name = place.root + ":" + manifest.head.name
    var (start, literal): (UInt64, Int) = (0, 0)
    var (starts, literals): ([UInt64], [Int]) = ([], [])
    for piece in manifest.pieces {
      starts.append(start)
      literals.append(literal)
      start += piece.byteCount
      if piece.kind == .literal { literal += piece.count }
    }
    (self.starts, literalStarts) = (starts, literals)
    packs = try PackReader(place)
  }

  public var byteCount: UInt64 { manifest.head.byteCount }

  public var identity: FileIdentity {
    // No device of a machine has this number.
    FileIdentity(device: .max - 2, inode: XXH64.hash(Array(name.utf8)))
  }

  public func expect(_ range: Range<UInt64>) {}

  public func duplicate() throws(SystemError) -> any RemoteReader {
    do { return try StoredImageReader(place, manifest) } catch { throw failed(error) }
  }

  public func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int {
    guard offset < byteCount, !range.isEmpty else { return 0 }
    try Interrupt.check(name)
    var (low, high) = (0, starts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= offset { low = middle } else { high = middle }
    }
    let piece = manifest.pieces[low]
    let skipped = offset - starts[low]
    let left = Int(clamping: piece.byteCount - skipped)
    switch piece.kind {
    case .literal:
      let first = literalStarts[low] + Int(skipped)
      let count = min(range.count, left)
      let bytes = Array(manifest.literals[first..<first + count])
      // Safety: bytes have no padding.
      unsafe buffer.store(range.lowerBound, bytes.span.bytes)
      return count
    case .zeros:
      let count = min(range.count, left)
      buffer.fill(range.lowerBound..<range.lowerBound + count, 0)
      return count
    case .pages:
      let slot = piece.slot + Int(skipped / 4096)
      let inside = Int(skipped % 4096)
      do {
        let frame = try packs.frame(of: slot, in: manifest.packs[piece.pack])
        let first = (slot - frame.firstSlot) * 4096 + inside
        let count = min(range.count, left, 4096 * frame.pageCount - first)
        frame.bytes.withBytes(first..<first + count) { buffer.store(range.lowerBound, $0) }
        return count
      } catch { throw failed(error) }
    }
  }

  private func failed(_ error: any Error) -> SystemError {
    if let error = error as? SystemError { return error }
    let known = XensaveError(error)
    return SystemError("read", known.errno ?? 5, name, known.message)
  }
}

/// Reads pages of packs. The last frames are kept.
final class PackReader {
  private let place: StorePlace
  private var packs: [PackID: Opened] = [:]
  /// Those that are open, the one that was opened first at the front.
  private var order: [PackID] = []
  /// Each has a file descriptor.
  private static let openLimit = 64
  private let unpacker: ZstdUnpacker
  private let input = PageAlignedBuffer(capacity: PackIndex.framePageCount * 4096)
  private var kept: [Frame] = []
  private static let keptLimit = 16

  private struct Opened {
    let index: PackIndex
    let source: Source
  }

  /// Pages of a pack that lie together.
  struct Frame {
    let pack: PackID
    let firstSlot: Int
    let pageCount: Int
    let bytes: PageAlignedBuffer
    fileprivate let names: ArraySlice<UInt8>

    /// The name of one of its pages.
    func name(of slot: Int) -> ArraySlice<UInt8> {
      let start = names.startIndex + (slot - firstSlot) * PageName.byteCount
      return names[start..<start + PageName.byteCount]
    }
  }

  init(_ place: StorePlace) throws {
    self.place = place
    unpacker = try ZstdUnpacker()
  }

  /// The frame that holds a page.
  ///
  /// - Throws: `invalid` where it is not what the pack's index says.
  func frame(of slot: Int, in pack: Manifest.Pack) throws -> Frame {
    let first = slot / PackIndex.framePageCount * PackIndex.framePageCount
    if let place = kept.lastIndex(where: { $0.pack == pack.id && $0.firstSlot == first }),
      slot - first < kept[place].pageCount
    {
      return kept[place]
    }
    let opened = try open(pack)
    let frameIndex = slot / PackIndex.framePageCount
    let path = place.path("packs/" + pack.id.text)
    guard slot < opened.index.pageCount else {
      throw XensaveError(
        .invalid, "\(path): expected page \(slot), it has \(opened.index.pageCount)")
    }
    let (start, end) = (
      opened.index.frameStarts[frameIndex], opened.index.frameStarts[frameIndex + 1]
    )
    let (packed, plain) = (Int(end - start), 4096 * opened.index.pageCount(ofFrame: frameIndex))
    opened.source.seek(start)
    guard try opened.source.read(into: input, 0..<packed) == packed else {
      throw XensaveError(
        .invalid, "\(path): it is cut in frame \(frameIndex) at offset \(start.hex())")
    }
    let bytes =
      kept.count == PackReader.keptLimit
      ? kept.removeFirst().bytes : PageAlignedBuffer(capacity: PackIndex.framePageCount * 4096)
    do {
      if packed == plain {
        input.withBytes(0..<plain) { bytes.store(0, $0) }
      } else {
        try unpacker.unpack(input, 0..<packed, into: bytes, plain)
      }
    } catch {
      throw XensaveError(
        .invalid, "\(path): frame \(frameIndex) at offset \(start.hex()): \(error)")
    }
    let count = plain / 4096
    let names = PageName.all(bytes, 0..<count)
    for page in 0..<count {
      let range = page * PageName.byteCount..<(page + 1) * PageName.byteCount
      guard names[range] == opened.index.name(of: first + page) else {
        throw XensaveError(
          .invalid,
          "\(path): page \(first + page) is damaged (frame \(frameIndex) at offset \(start.hex()))")
      }
    }
    let frame = Frame(
      pack: pack.id, firstSlot: first, pageCount: count, bytes: bytes, names: names[...])
    kept.append(frame)
    return frame
  }

  private func open(_ pack: Manifest.Pack) throws -> Opened {
    if let known = packs[pack.id] { return known }
    let path = "index/" + pack.id.text
    let bytes = try place.read(path, limit: PackIndex.byteLimit)
    let index = try PackIndex(bytes, path: place.path(path))
    guard index.hash == pack.hash else {
      throw XensaveError(
        .invalid, "\(place.path(path)): it is not the index that the image was put with")
    }
    let opened = Opened(
      index: index, source: try Source(opening: place.path("packs/" + pack.id.text)))
    if order.count == PackReader.openLimit { packs[order.removeFirst()] = nil }
    order.append(pack.id)
    packs[pack.id] = opened
    return opened
  }
}
