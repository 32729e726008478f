// Packs: what their indexes say, and several of them.

import Bytes
import Hash
import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct PackTests {
  /// An index of so many pages.
  private func index(_ pageCount: Int, _ random: inout Seed) -> PackIndex {
    var index = PackIndex()
    index.addPages(random.bytes(PageName.byteCount * pageCount))
    while index.frameCount * PackIndex.framePageCount < pageCount {
      index.addFrame(1 + random.below(4096 * index.pageCount(ofFrame: index.frameCount)))
    }
    return index
  }

  @Test(arguments: [1, 63, 64, 65, 200]) func bytesAndBack(count: Int) throws {
    var random = Seed()
    let index = index(count, &random)
    let encoded = index.encoded
    #expect(encoded.hash == Array(encoded.bytes.suffix(32)))
    let copy = try PackIndex(encoded.bytes, path: "p")
    #expect(copy.frameStarts == index.frameStarts && copy.names == index.names)
    #expect(copy.hash == encoded.hash)
    #expect(copy.pageCount == count && copy.frameCount == (count + 63) / 64)
    #expect(copy.packByteCount == index.frameStarts.last)
    #expect(copy.pageCount(ofFrame: copy.frameCount - 1) == (count - 1) % 64 + 1)
    #expect(copy.name(of: count - 1) == index.names.suffix(20))
  }

  @Test func everyByteCounts() throws {
    var random = Seed()
    let good = index(66, &random).encoded.bytes
    for place in good.indices {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      #expect(code { try PackIndex(bad, path: "p") } == .invalid, "byte \(place)")
    }
    for count in good.indices {
      #expect(code { try PackIndex(Array(good[..<count]), path: "p") } == .invalid, "\(count)")
    }
    let longer = code { try PackIndex(good + [0], path: "p") }
    #expect(longer == .invalid)
  }

  /// An index whose SHA-256 is right, whatever else it says.
  private func sealed(_ frames: UInt32, _ pages: UInt32, _ rest: [UInt8]) -> [UInt8] {
    let out = PackIndex.magic + le32(frames, pages) + rest
    return out + SHA256.hash(out)
  }

  @Test func numbersThatNobodyMayBelieve() throws {
    #expect(try PackIndex(sealed(1, 1, le32(4096) + zeros(20)), path: "p").pageCount == 1)
    let bad: [(UInt32, UInt32, [UInt8])] = [
      (0, 0, []), (1, 0, le32(1)), (0, 1, zeros(20)), (2, 1, le32(1, 1) + zeros(20)),
      (1, 65, le32(1) + zeros(1300)), (1, 1, le32(0) + zeros(20)), (1, 1, le32(4097) + zeros(20)),
      (1, 1, le32(.max) + zeros(20)), (1, 2, le32(1) + zeros(39)), (1, 2, le32(1) + zeros(41)),
      (.max, .max, []), (1 << 26, .max, le32(1)), (1, .max, le32(1) + zeros(20)),
      (1025, 65_537, zeros(100)), (.max, 1, le32(1) + zeros(20)),
    ]
    for (frames, pages, rest) in bad {
      let result = code { try PackIndex(sealed(frames, pages, rest), path: "p") }
      #expect(result == .invalid, "\(frames) frames of \(pages) pages")
    }
    // More pages than a pack may have, all there.
    let many = [UInt32](repeating: 1, count: 1025).flatMap { le32($0) } + zeros(20 * 65_537)
    #expect(code { try PackIndex(sealed(1025, 65_537, many), path: "p") } == .invalid)
  }

  @Test func namesOfPacks() {
    let id = PackID.random()
    #expect(id.text.utf8.count == 32 && PackID(id.text) == id)
    #expect(PackID.random() != id)
    let good = "0123456789abcdef0123456789abcdef"
    #expect(PackID(good)?.bytes.prefix(3) == [1, 0x23, 0x45])
    for text in [
      "", "0", "\(good.dropLast())", "\(good)0", good.uppercased(), "+1\(good.dropLast(2))",
      "g\(good.dropFirst())", "ä\(good.dropLast(2))",
    ] { #expect(PackID(text) == nil, "\(text)") }
  }

  /// A pack that is full is followed by another, and pages of both are found.
  @Test func aFullPackIsFollowedByAnother() throws {
    let test = TestStore()
    let store = try test.open()
    var finished: [Manifest.Pack] = []
    let writer = try PackWriter(store.place) { id, index, hash in
      #expect(index.encoded.hash == hash)
      finished.append(Manifest.Pack(id: id, hash: hash))
    }
    let buffer = PageAlignedBuffer(capacity: 64 * 4096)
    buffer.fill(0..<64 * 4096, 0)
    let count = PackIndex.pageLimit + 70
    var places: [(pack: PackID, slot: Int)] = []
    for first in stride(from: 0, to: count, by: 64) {
      let pages = min(64, count - first)
      for page in 0..<pages { buffer.store(4096 * page, UInt64(first + page + 1)) }
      let names = PageName.all(buffer, 0..<pages)
      for page in 0..<pages {
        let name = names[page * PageName.byteCount..<(page + 1) * PageName.byteCount]
        places.append(try writer.add(buffer, 4096 * page, name))
      }
    }
    #expect(finished.count == 1)
    try writer.finish()
    try writer.finish()
    #expect(finished.count == 2)
    #expect(try Set(store.packs()) == Set(finished.map(\.id)))
    #expect(try store.indexes(finished.map(\.id)).map(\.pageCount) == [PackIndex.pageLimit, 70])
    let wrong = places.indices.first { place in
      places[place].slot != place % PackIndex.pageLimit
        || places[place].pack != finished[place / PackIndex.pageLimit].id
    }
    #expect(wrong == nil)
    let reader = try PackReader(store.place)
    for place in [0, 1, 63, 64, 40_000, 65_535, 65_536, 65_599, 65_600, count - 1] {
      let pack = finished[place / PackIndex.pageLimit]
      let slot = places[place].slot
      let frame = try reader.frame(of: slot, in: pack)
      let offset = 4096 * (slot - frame.firstSlot)
      let value = frame.bytes.withBytes(offset..<offset + 8) { $0.load(0, as: UInt64.self) }
      #expect(value == UInt64(place + 1))
      let name = PageName.all(frame.bytes, offset / 4096..<offset / 4096 + 1)
      #expect(name[...] == frame.name(of: slot))
    }
    #expect(code { try reader.frame(of: 70, in: finished[1]) } == .invalid)
    let other = Manifest.Pack(id: finished[0].id, hash: finished[1].hash)
    #expect(code { try PackReader(store.place).frame(of: 0, in: other) } == .invalid)
  }

  /// Nothing of a pack that is not finished is to be seen.
  @Test func aPackThatIsNotFinished() throws {
    let test = TestStore()
    let store = try test.open()
    do {
      let writer = try PackWriter(store.place, jobs: 1) { _, _, _ in
        Issue.record("it is finished")
      }
      let buffer = PageAlignedBuffer(capacity: 4096)
      buffer.fill(0..<4096, 1)
      for _ in 0..<200 { _ = try writer.add(buffer, 0, PageName.all(buffer, 0..<1)) }
    }
    #expect(test.names("packs") == [] && test.names("index") == [])
    let writer = try PackWriter(store.place) { _, _, _ in Issue.record("there is nothing") }
    try writer.finish()
    #expect(test.names("packs") == [] && test.names("index") == [])
  }
}
