// Where the frames of a zstd file begin, as its seek table says.

internal import Bytes
internal import SystemIO

/// The seek table of a file of several zstd frames: it stands in a skippable frame at the end, so that any
/// zstd unpacks the file. zstd: contrib/seekable_format/zstd_seekable_compression_format.md.
struct SeekTable: Sendable {
  /// Where each frame begins in the file, and after the last one.
  private(set) var packed: [UInt64] = [0]
  /// Where what it holds begins, and after the last one.
  private(set) var plain: [UInt64] = [0]
  /// The lower half of the XXH64 of what each frame holds; empty where the file has none.
  private(set) var checksums: [UInt32] = []

  /// Bytes of the file's last part, which says how long the table is.
  static let footerByteCount: UInt64 = 9
  private static let headByteCount: UInt64 = 8
  private static let skippableMagic: UInt32 = 0x184D_2A5E
  private static let footerMagic: UInt32 = 0x8F92_EAB1
  /// Most frames: 24 bytes of memory each.
  private static let frameLimit: UInt64 = 1 << 22
  /// Most bytes that a frame may hold, as it is unpacked as a whole.
  static let frameByteLimit: UInt64 = 8 << 20

  init() {}

  var frameCount: Int { packed.count - 1 }
  var byteCount: UInt64 { plain[plain.count - 1] }

  /// The frame that holds a byte.
  func frame(of offset: UInt64) -> Int {
    (0..<frameCount).partitioningIndex { plain[$0 + 1] > offset }
  }

  // MARK: - Reading

  /// Whether a file ends like one with a seek table.
  static func exists(in source: Source) throws(SystemError) -> Bool {
    guard let size = source.byteCount, size >= headByteCount + footerByteCount else { return false }
    source.seek(size - footerByteCount)
    let footer = try source.read(Int(footerByteCount))
    return footer.count == Int(footerByteCount)
      && footer.load(5, as: UInt32.self) == footerMagic
  }

  /// The table of a file that ends like one with a table.
  init(_ source: Source) throws(SystemError) {
    let size = source.byteCount ?? 0
    func refuse(_ problem: String) -> SystemError {
      SystemError("read", 5, source.path, "the seek table of the zstd file: \(problem)")
    }
    source.seek(size - SeekTable.footerByteCount)
    let footer = try source.read(Int(SeekTable.footerByteCount))
    guard footer.count == Int(SeekTable.footerByteCount) else { throw refuse("it is cut") }
    let count = UInt64(footer.load(0, as: UInt32.self))
    let descriptor = footer[4]
    guard descriptor & 0x7C == 0 else {
      throw refuse("expected reserved bits of 0, got \(descriptor.hex())")
    }
    let hasChecksums = descriptor & 0x80 != 0
    let entryByteCount: UInt64 = hasChecksums ? 12 : 8
    let byteCount =
      SeekTable.headByteCount + count * entryByteCount + SeekTable.footerByteCount
    guard count <= SeekTable.frameLimit, byteCount <= size else {
      throw refuse(
        "expected at most \(SeekTable.frameLimit) frames and a table inside the file, got \(count)")
    }
    let end = size - byteCount
    source.seek(end)
    let head = try source.read(Int(SeekTable.headByteCount))
    guard head.count == Int(SeekTable.headByteCount),
      head.load(0, as: UInt32.self) == SeekTable.skippableMagic,
      UInt64(head.load(4, as: UInt32.self)) == byteCount - SeekTable.headByteCount
    else { throw refuse("at \(end.hex()): expected its head") }
    packed.reserveCapacity(Int(count) + 1)
    plain.reserveCapacity(Int(count) + 1)
    if hasChecksums { checksums.reserveCapacity(Int(count)) }
    var left = count
    while left > 0 {
      let part = min(left, 4096)
      let entries = try source.read(Int(part * entryByteCount))
      guard entries.count == Int(part * entryByteCount) else { throw refuse("it is cut") }
      for index in 0..<Int(part) {
        let place = index * Int(entryByteCount)
        let (from, to) = (
          UInt64(entries.load(place, as: UInt32.self)),
          UInt64(entries.load(place + 4, as: UInt32.self))
        )
        // A frame is never much longer than what it holds; that it holds nothing takes a few bytes.
        guard from > 0, to <= SeekTable.frameByteLimit,
          from <= (to == 0 ? 32 : to + to / 128 + 1024)
        else {
          throw refuse(
            "frame \(frameCount): expected at most \(SeekTable.frameByteLimit) bytes in a frame of no "
              + "more, got \(to) in \(from)")
        }
        packed.append(packed[frameCount] + from)
        plain.append(plain[plain.count - 1] + to)
        if hasChecksums { checksums.append(entries.load(place + 8, as: UInt32.self)) }
      }
      left -= part
    }
    guard packed[frameCount] == end else {
      throw refuse("expected frames of \(end) bytes in all, got \(packed[frameCount])")
    }
  }

  // MARK: - Writing

  mutating func append(packed from: Int, plain to: Int, checksum: UInt32) {
    packed.append(packed[frameCount] + UInt64(from))
    plain.append(byteCount + UInt64(to))
    checksums.append(checksum)
  }

  /// Whether another frame fits.
  var hasRoom: Bool { UInt64(frameCount) < SeekTable.frameLimit }

  /// The table as it stands at the end of the file.
  var bytes: [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(17 + 12 * frameCount)
    out.append(integer: SeekTable.skippableMagic, .little)
    out.append(integer: UInt32(12 * frameCount + Int(SeekTable.footerByteCount)), .little)
    for index in 0..<frameCount {
      out.append(integer: UInt32(packed[index + 1] - packed[index]), .little)
      out.append(integer: UInt32(plain[index + 1] - plain[index]), .little)
      out.append(integer: checksums[index], .little)
    }
    out.append(integer: UInt32(frameCount), .little)
    out.append(0x80)
    out.append(integer: SeekTable.footerMagic, .little)
    return out
  }
}
