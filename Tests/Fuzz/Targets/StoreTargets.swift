// What lies in a store of images: anybody who may write to it may have written anything.

import Bytes
import Hash
import SystemIO

@testable import ContentStore

let storeTargets = [
  FuzzTarget("store-index", limit: 2048, seeds: { [StoreSeeds.index] }, storeIndex),
  FuzzTarget("store-image", limit: 1024, seeds: { StoreSeeds.images }, storeImage),
]

private enum StoreSeeds {
  static let index: [UInt8] = {
    var index = PackIndex()
    index.addPages((0..<70 * 20).map { UInt8(truncatingIfNeeded: $0) })
    index.addFrame(1000)
    index.addFrame(6 * 4096)
    return Array(index.encoded.bytes.dropFirst(8).dropLast(32))
  }()

  /// Bodies of manifests.
  static let images: [[UInt8]] = {
    let pack: [UInt8] = [1, 0, 0, 0] + (0..<48).map { UInt8($0) }
    return [
      [0, 0, 0, 0, 1, 0, 0, 0, 0, 3] + Array("abc".utf8),
      pack + [3, 0, 0, 0, 0, 2, 1, 200, 3, 2, 129, 1, 0, 64] + Array("ab".utf8),
      pack + [2, 0, 0, 0, 2, 1, 0, 255, 127, 1, 1],
    ]
  }()
}

/// Any index, with its hash mended: it is refused, or says again what it said.
private func storeIndex(_ input: [UInt8]) throws {
  var bytes = PackIndex.magic + input
  bytes += SHA256.hash(bytes)
  guard let index = try? PackIndex(bytes, path: "index") else { return }
  try demand(index.encoded.bytes == bytes, "another index was written")
  for frame in 0..<index.frameCount {
    try demand((1...64).contains(index.pageCount(ofFrame: frame)), "frame \(frame)")
    try demand(index.frameStarts[frame] < index.frameStarts[frame + 1], "frame \(frame)")
  }
  _ = index.name(of: index.pageCount - 1)
  var known = KnownPages()
  known.add(PackID(bytes: [UInt8](repeating: 0, count: 16)), index)
  try demand(known.place(of: index.name(of: 0)) != nil, "a page is not found")
}

/// Any body of a manifest, with its lengths and its hash mended: it is refused, or can be read as far as it
/// does not need packs.
private func storeImage(_ input: [UInt8]) throws {
  func manifest(_ byteCount: UInt64) throws -> Manifest {
    let head = StoredImage(name: "image", byteCount: byteCount, time: 0, domain: "", xen: "").json
    var bytes = Manifest.magic
    bytes.append(integer: UInt32(head.count), .little)
    bytes += head
    bytes.append(integer: UInt64(input.count), .little)
    bytes.append(integer: UInt32(input.count), .little)
    bytes += input
    return try Manifest(bytes + SHA256.hash(bytes), path: "image")
  }
  var image: Manifest?
  do { image = try manifest(0) } catch {
    // It says how long the pieces are.
    let words = "\(error)".split(separator: " ")
    guard let place = words.lastIndex(of: "have"), let count = UInt64(words[place + 1]) else {
      return
    }
    image = try? manifest(count)
  }
  guard let image else { return }
  let again = try Manifest(image.encoded(), path: "again")
  try demand(
    again.packs == image.packs && again.literals == image.literals, "another one was written")
  let reader = try StoredImageReader(StorePlace("/nonexistent/store"), image)
  let buffer = PageAlignedBuffer(capacity: 8192)
  let count = reader.byteCount
  for offset in [0, 1, count / 2, count &- 1, count, .max] {
    guard let got = try? reader.read(into: buffer, 100..<5000, at: offset) else { continue }
    try demand(got <= 4900 && (got > 0) == (offset < count), "\(got) bytes at \(offset)")
  }
  guard image.pieces.allSatisfy({ $0.kind != .pages || $0.count < 1000 }) else { return }
  _ = try image.moved { id, slot in slot & 1 == 0 ? nil : (Manifest.Pack(id: id, hash: []), slot) }
}
