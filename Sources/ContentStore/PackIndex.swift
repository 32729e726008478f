// What a pack holds: the frames, and the name of each page.

internal import Bytes
internal import Hash
internal import SystemIO

/// The name of a page: the first 20 bytes of the SHA-256 of its 4096 bytes.
enum PageName {
  static let byteCount = 20

  /// The names of pages of `buffer`, one after another.
  static func all(_ buffer: PageAlignedBuffer, _ pages: Range<Int>) -> [UInt8] {
    let hashes = SHA256.pages(buffer, pages.lowerBound * 4096..<pages.upperBound * 4096)
    var names: [UInt8] = []
    names.reserveCapacity(pages.count * byteCount)
    for index in 0..<pages.count { names += hashes[32 * index..<32 * index + byteCount] }
    return names
  }
}

/// A pack's second object: the lengths of its frames and the names of its pages.
///
///     8 "XSPACK01" | u32 frames | u32 pages | frames x u32 length | pages x 20 name | 32 SHA-256
///
/// Little-endian. A frame holds 64 pages, the last one what is left. One as long as its pages holds them
/// as they are, every other one is a zstd frame. The SHA-256 is of all bytes before it.
struct PackIndex: Sendable {
  static let magic = Array("XSPACK01".utf8)
  static let framePageCount = 64
  /// Most pages of a pack: 256 MiB of them.
  static let pageLimit = 65_536
  static let byteLimit = 16 + 4 * pageLimit / framePageCount + PageName.byteCount * pageLimit + 32

  /// Where each frame begins in the pack, and where the last one ends.
  private(set) var frameStarts: [UInt64] = [0]
  /// The names of the pages, 20 bytes each.
  private(set) var names: [UInt8] = []
  /// Of one that was read: the SHA-256 at its end.
  private(set) var hash: [UInt8] = []

  var pageCount: Int { names.count / PageName.byteCount }
  var frameCount: Int { frameStarts.count - 1 }
  var isSmall: Bool { pageCount < PackIndex.pageLimit / 16 }
  var packByteCount: UInt64 { frameStarts[frameCount] }

  func name(of slot: Int) -> ArraySlice<UInt8> {
    names[slot * PageName.byteCount..<(slot + 1) * PageName.byteCount]
  }

  /// Pages of a frame.
  func pageCount(ofFrame frame: Int) -> Int {
    min(PackIndex.framePageCount, pageCount - frame * PackIndex.framePageCount)
  }

  mutating func addPages(_ names: some Collection<UInt8>) { self.names += names }
  mutating func addFrame(_ byteCount: Int) { frameStarts.append(packByteCount + UInt64(byteCount)) }

  init() {}

  /// The object, and the hash that a manifest knows it by.
  var encoded: (bytes: [UInt8], hash: [UInt8]) {
    var out = PackIndex.magic
    out.append(integer: UInt32(frameCount), .little)
    out.append(integer: UInt32(pageCount), .little)
    for frame in 0..<frameCount {
      out.append(
        integer: UInt32(truncatingIfNeeded: frameStarts[frame + 1] - frameStarts[frame]), .little)
    }
    out += names
    let hash = SHA256.hash(out)
    return (out + hash, hash)
  }

  /// - Throws: `invalid` where these bytes are no index.
  init(_ bytes: [UInt8], path: String) throws {
    func refused(_ problem: String) -> XensaveError {
      XensaveError(.invalid, "\(path): no index of a pack: \(problem)")
    }
    guard bytes.count >= 16 + 32, bytes.starts(with: PackIndex.magic) else {
      throw refused("it does not begin with XSPACK01")
    }
    let end = bytes.count - 32
    guard SHA256.hash(Array(bytes[..<end])) == Array(bytes[end...]) else {
      throw refused("its SHA-256 is another one")
    }
    let frames = Int(bytes.load(8, as: UInt32.self))
    let pages = Int(bytes.load(12, as: UInt32.self))
    guard (1...PackIndex.pageLimit).contains(pages),
      frames == (pages + PackIndex.framePageCount - 1) / PackIndex.framePageCount,
      end == 16 + 4 * frames + PageName.byteCount * pages
    else { throw refused("\(frames) frames of \(pages) pages in \(bytes.count) bytes") }
    names = Array(bytes[(16 + 4 * frames)..<end])
    hash = Array(bytes[end...])
    for frame in 0..<frames {
      let count = Int(bytes.load(16 + 4 * frame, as: UInt32.self))
      guard (1...pageCount(ofFrame: frame) * 4096).contains(count) else {
        throw refused("frame \(frame) has \(count) bytes")
      }
      addFrame(count)
    }
  }
}
