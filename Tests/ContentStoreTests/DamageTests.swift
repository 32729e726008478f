// What a disk has broken is an error that names the file, and never other bytes.

import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct DamageTests {
  /// A store of one image and one pack.
  private struct Stored {
    let test: TestStore
    let bytes: [UInt8]
    let pack: String
    let index: String

    init(_ pages: [[UInt8]]) throws {
      test = TestStore()
      bytes = image(pages)
      try test.put(bytes, as: "a")
      let names = test.names("packs")
      try #require(names.count == 1)
      (pack, index) = ("packs/" + names[0], "index/" + names[0])
    }

    func contents(_ name: String) throws -> [UInt8] {
      try ContentStoreTests.contents(test.root + "/" + name)
    }

    /// Whether the image is read, with the right bytes: else the error has to name `object`.
    func isRead(naming object: String, _ comment: String) -> Bool {
      do {
        let isSame = hasSameBytes(try test.read("a"), bytes)
        #expect(isSame, "\(comment): other bytes")
        return true
      } catch {
        #expect("\(error)".contains("\(test.root)/\(object)"), "\(comment): \(error)")
        #expect(error is SystemError || error is XensaveError, "\(comment): \(error)")
        return false
      }
    }

    /// The same with other contents of an object, which is put back.
    func isRead(with bytes: [UInt8], as object: String, _ comment: String) throws -> Bool {
      let good = try contents(object)
      try test.write(object, bytes)
      defer { #expect(throws: Never.self) { try test.write(object, good) } }
      return isRead(naming: object, comment)
    }
  }

  /// Every byte of pages that are kept as they are counts.
  @Test func bytesOfAPackThatDoesNotPack() throws {
    var random = Seed()
    let stored = try Stored(randomPages(70, &random))
    let good = try stored.contents(stored.pack)
    #expect(good.count == 70 * 4096)
    for place in [0, good.count - 1] + (0..<40).map({ _ in random.below(good.count) }) {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      #expect(try !stored.isRead(with: bad, as: stored.pack, "byte \(place)"))
    }
    #expect(stored.isRead(naming: "", ""))
  }

  /// A flipped bit of a zstd frame may mean nothing, but no page becomes another one by it.
  @Test func bytesOfAPackThatPacks() throws {
    var random = Seed()
    let stored = try Stored(plainPages(70))
    let good = try stored.contents(stored.pack)
    #expect(good.count < 4096)
    var count = 0
    var readCount = 0
    for place in good.indices where place < 20 || random.below(good.count) < 150 {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      count += 1
      if try stored.isRead(with: bad, as: stored.pack, "byte \(place)") { readCount += 1 }
    }
    #expect(count > 20 && readCount < count, "\(readCount) of \(count) were read")
  }

  @Test func aPackThatIsCutOrGone() throws {
    var random = Seed()
    for pages in [randomPages(70, &random), plainPages(70)] {
      let stored = try Stored(pages)
      let good = try stored.contents(stored.pack)
      for count in [0, 1, good.count / 2, good.count - 1] {
        let cut = Array(good[..<count])
        #expect(try !stored.isRead(with: cut, as: stored.pack, "\(count) bytes"))
      }
      // Of what is appended nobody hears.
      #expect(try stored.isRead(with: good + [1, 2, 3], as: stored.pack, "longer"))
      let moved = Array(good[1...]) + [0]
      #expect(try !stored.isRead(with: moved, as: stored.pack, "moved by a byte"))
      stored.test.remove(stored.pack)
      #expect(!stored.isRead(naming: stored.pack, "no pack"))
    }
  }

  @Test func anIndexThatIsGoneOrAnother() throws {
    var random = Seed()
    let stored = try Stored(randomPages(70, &random))
    let good = try stored.contents(stored.index)
    for place in good.indices where random.below(good.count) < 60 {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      #expect(try !stored.isRead(with: bad, as: stored.index, "byte \(place)"))
    }
    for count in [0, 1, 47, 48, good.count - 1] {
      let cut = Array(good[..<count])
      #expect(try !stored.isRead(with: cut, as: stored.index, "\(count) bytes"))
    }
    // That of another pack, as whole as its own.
    let other = try Stored(randomPages(70, &random))
    let index = try other.contents(other.index)
    #expect(try !stored.isRead(with: index, as: stored.index, "another index"))
    // And both, which are good together: what the image needs is not in them.
    let pack = try other.contents(other.pack)
    try stored.test.write(stored.pack, pack)
    #expect(try !stored.isRead(with: index, as: stored.index, "another pack and index"))
    #expect(!stored.isRead(naming: stored.pack, "another pack"))
    stored.test.remove(stored.index)
    #expect(!stored.isRead(naming: stored.index, "no index"))
  }

  @Test func anImageThatIsDamaged() throws {
    var random = Seed()
    let stored = try Stored(randomPages(3, &random))
    let good = try stored.contents("images/a")
    for place in good.indices where random.below(good.count) < 60 {
      var bad = good
      bad[place] ^= UInt8(1 << random.below(8))
      #expect(try !stored.isRead(with: bad, as: "images/a", "byte \(place)"))
    }
    for count in [0, 11, 12, good.count / 2, good.count - 1] {
      let cut = Array(good[..<count])
      #expect(try !stored.isRead(with: cut, as: "images/a", "\(count) bytes"))
    }
  }

  /// An object of an image says what it consists of, under whatever name it lies: as a file that
  /// somebody has renamed.
  @Test func anImageInThePlaceOfAnother() throws {
    let test = TestStore()
    let (a, b) = (StreamBuilder.hvm().bytes, StreamBuilder.pv().bytes)
    try test.put(a, as: "a")
    try test.put(b, as: "b")
    try test.write("images/a", contents(test.root + "/images/b"))
    #expect(hasSameBytes(try test.read("a"), b))
    #expect(try test.open().list().images.count == 2)
    try test.open().remove("b")
    _ = try test.open().collect()
    #expect(hasSameBytes(try test.read("a"), b))
  }

  /// What is whole is read, whatever is broken elsewhere in the image.
  @Test func theRestOfADamagedImage() throws {
    var random = Seed()
    let stored = try Stored(randomPages(70, &random))
    var bad = try stored.contents(stored.pack)
    // In the second frame.
    bad[66 * 4096] ^= 1
    try stored.test.write(stored.pack, bad)
    let source = try stored.test.open().open("a")
    let start = stored.bytes.count - 7 * 4096
    var wrong = 0
    var failed = 0
    for offset in stride(from: 0, to: stored.bytes.count, by: 4001) {
      source.seek(UInt64(offset))
      do {
        let got = try source.read(100)
        if got != Array(stored.bytes[offset...].prefix(100)) { wrong += 1 }
      } catch {
        failed += 1
        if offset < start - 10_000 { wrong += 1 }
      }
    }
    #expect(wrong == 0 && failed > 0)
  }
}
