// What goes in comes out, byte for byte, at any offset.

import Glibc
import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct RoundTripTests {
  /// Reads an image as a whole, and at odd offsets by two readers in turn.
  private func compare(_ test: TestStore, _ name: String, _ bytes: [UInt8]) throws {
    #expect(hasSameBytes(try test.read(name), bytes))
    let source = try test.open().open(name)
    #expect(source.byteCount == UInt64(bytes.count))
    let other = try source.duplicate()
    var random = Seed()
    for index in 0..<80 {
      let source = index % 3 == 0 ? other : source
      let start = random.below(bytes.count + 10)
      let count = random.below(index % 2 == 0 ? 64 : 30_000)
      source.seek(UInt64(start))
      let end = min(bytes.count, start + count)
      let isSame = hasSameBytes(
        try source.read(count), start < end ? Array(bytes[start..<end]) : [])
      #expect(isSame, "\(count) bytes at \(start)")
      // What follows, from where that ended.
      let next = hasSameBytes(
        try source.read(100), end < bytes.count ? Array(bytes[end...].prefix(100)) : [])
      #expect(next || start > bytes.count, "after \(count) bytes at \(start)")
    }
  }

  /// Puts an image into a store of its own and compares.
  @discardableResult
  private func roundTrip(_ bytes: [UInt8], isUnchecked: Bool = false) throws -> StoredImage {
    let test = TestStore()
    let stored = try test.put(bytes, as: "a", isUnchecked: isUnchecked)
    try compare(test, "a", bytes)
    #expect(try test.open().list().images == [stored])
    #expect(test.names("leases") == [])
    return stored
  }

  @Test(arguments: Fixture.names) func realImages(name: String) throws {
    try roundTrip(Fixture.bytes(name))
  }

  @Test(arguments: [
    StreamBuilder.hvm(), .hvm(version: 2), .pv(), .pv(width: 4), .remus(), .remus(guest: 1),
    .hvm().libxl, .hvm().libxc, .virsh(), .suspendImage(),
  ])
  func builtImages(image: StreamBuilder) throws {
    try roundTrip(image.bytes, isUnchecked: true)
  }

  /// Frames have 64 pages.
  @Test(arguments: [1, 2, 63, 64, 65, 127, 128, 129]) func pagesOfWholeAndPartFrames(count: Int)
    throws
  {
    var random = Seed()
    #expect(try roundTrip(image(randomPages(count, &random))).newPageCount == UInt64(count))
    #expect(try roundTrip(image(plainPages(count))).newPageCount == UInt64(count))
  }

  @Test func bytesAfterTheImage() throws {
    var random = Seed()
    try roundTrip(StreamBuilder.hvm().bytes + random.bytes(5000), isUnchecked: true)
    try roundTrip(StreamBuilder.pv().bytes + zeros(8192) + [1], isUnchecked: true)
    // So many that they are taken as pages: a few MiB.
    let many = StreamBuilder.pv().bytes + zeros(5 << 20) + [1, 2, 3]
    #expect(try roundTrip(many, isUnchecked: true).newPageCount < 10)
  }

  /// What is no image at all is taken, where that is asked for.
  @Test(arguments: [0, 1, 100, 4096, 10_000]) func whatIsNoImage(count: Int) throws {
    var random = Seed()
    try roundTrip(random.bytes(count), isUnchecked: true)
    try roundTrip(zeros(count), isUnchecked: true)
  }

  /// The body of a long record is cut into pages as well. What is left of it is kept as it is.
  @Test(arguments: [70_000, 260 * 4096 + 13]) func aLargeDeviceModel(count: Int) throws {
    var random = Seed()
    let data = randomPages(261, &random).flatMap { $0 }.prefix(count)
    var image = StreamBuilder.hvm()
    image.replace(
      "EMULATOR_CONTEXT",
      StreamBuilder.record(
        "EMULATOR_CONTEXT", 3, le32(2, 0) + Array("QEVM".utf8) + be32(3) + Array(data)))
    let stored = try roundTrip(image.bytes, isUnchecked: true)
    // A record of up to 1 MiB is read whole.
    #expect(stored.newPageCount == (count > 1 << 20 ? 260 + 3 : 3))
  }

  /// An image that would not restore is taken where that is asked for: one that is not whole.
  @Test func cutImages() throws {
    let bytes = image(plainPages(5))
    let pages = StreamBuilder.hvm().offset(of: "PAGE_DATA")
    // In PAGE_DATA: its header, its table, its contents; and in a record after it.
    for count in [pages + 4, pages + 20, pages + 64 + 5000, bytes.count - 300, bytes.count - 3] {
      let cut = Array(bytes[..<count])
      #expect(code { try TestStore().put(cut, as: "a") } == .rejected)
      #expect(throws: Never.self, "cut at \(count)") { try roundTrip(cut, isUnchecked: true) }
    }
  }

  /// Of a checkpointed stream that is cut the last whole checkpoint counts: such an image is good.
  @Test(arguments: [4, 20, 40, 5000, 8224]) func cutCheckpoints(count: Int) throws {
    let image = StreamBuilder.remus()
    let second = image.offset(of: "CHECKPOINT_END") + image["CHECKPOINT_END"].count
    #expect(throws: Never.self) { try roundTrip(Array(image.bytes[..<(second + count)])) }
  }

  /// What an image says of itself is never in the way of others.
  @Test(arguments: [300, 4000, 70_000]) func aLongNameOfADomain(count: Int) throws {
    let name = String(repeating: "n", count: count)
    let config = StreamBuilder.config().replacing("\"guest\"", with: "\"\(name)\"")
    var image = StreamBuilder.hvm()
    image.replace("xl", StreamBuilder.xl(config: Array("\(config)\0".utf8)))
    let test = TestStore()
    try test.put(StreamBuilder.pv().bytes, as: "b")
    do { try test.put(image.bytes, as: "a", isUnchecked: true) } catch { return }
    #expect(throws: Never.self) {
      let names = try test.check(["a": image.bytes, "b": StreamBuilder.pv().bytes])
      #expect(names == ["a", "b"])
      _ = try test.open().collect()
    }
  }

  // MARK: - What a store says

  @Test func theListSaysWhatIsThere() throws {
    let test = TestStore()
    let begin = UInt64(time(nil))
    let images = ["b": StreamBuilder.hvm().bytes, "a": StreamBuilder.pv().bytes]
    try test.put(images["b"] ?? [], as: "b")
    try test.put(images["a"] ?? [], as: "a")
    let list = try test.open().list().images
    #expect(list.map(\.name) == ["a", "b"])
    #expect(list.map(\.byteCount) == ["a", "b"].map { UInt64(images[$0]?.count ?? 0) })
    #expect(list.map(\.domain) == ["guest", "guest"])
    #expect(list.map(\.xen) == ["4.17", "4.17"])
    // hvm() has three pages and pv() four, of other contents.
    #expect(list.map(\.newPageCount) == [4, 3])
    #expect(list.allSatisfy { (begin...UInt64(time(nil))).contains($0.time) })
    #expect(try test.check(images) == ["a", "b"])
  }

  @Test func replacingAndRemoving() throws {
    let test = TestStore()
    var random = Seed()
    let (old, new) = (image(randomPages(3, &random)), image(randomPages(4, &random)))
    try test.put(old, as: "a")
    let before = try test.objects()
    #expect(code { try test.put(new, as: "a") } == .refused)
    #expect(try test.objects() == before)
    #expect(try test.put(new, as: "a", isReplacing: true).newPageCount == 4)
    #expect(try test.check(["a": new]) == ["a"])
    #expect(try test.put(old, as: "b", isReplacing: true).newPageCount == 0)
    #expect(try test.check(["a": new, "b": old]) == ["a", "b"])
    try test.open().remove("a")
    #expect(try test.check(["b": old]) == ["b"])
    #expect(code { try test.read("a") } == .notFound)
    #expect(code { try test.open().remove("a") } == .notFound)
    #expect(test.names("leases") == [])
  }

  // MARK: - What is refused

  @Test func aPipeIsRefused() throws {
    let test = TestStore()
    let store = try test.open()
    let before = try test.objects()
    let end = TestKit.pipe(feeding: StreamBuilder.hvm().bytes)
    let source = try Source(Descriptor(taking: end, path: "pipe"), path: "pipe")
    #expect(code { try store.adding().put(source, as: "a") } == .usage)
    #expect(try test.objects() == before)
  }

  @Test func aBadImageIsRefused() throws {
    let test = TestStore()
    _ = try test.open()
    let before = try test.objects()
    var image = StreamBuilder.hvm()
    image.remove("END")
    for bytes in [image.bytes, zeros(100), [], Array(StreamBuilder.pv().bytes.dropLast(9))] {
      #expect(code { try test.put(bytes, as: "a") } == .rejected)
      #expect(try test.objects() == before)
    }
  }

  @Test func names() throws {
    let test = TestStore()
    let bytes = StreamBuilder.hvm().bytes
    let store = try test.open()
    let before = try test.objects()
    let long = String(repeating: "x", count: 201)
    for name in ["", ".", "..", ".x", "a/b", "/", long, "a\nb", "\u{1B}[1m", "\u{7F}", "a\0"] {
      #expect(code { try test.put(bytes, as: name) } == .usage, "\(Array(name.utf8))")
      #expect(code { try store.open(name) } == .usage, "\(Array(name.utf8))")
      #expect(code { try store.remove(name) } == .usage, "\(Array(name.utf8))")
    }
    #expect(try test.objects() == before)
    let good = ["ä ö", "a.b", "-x", "*?[", "~", String(long.dropLast()), "a\\b", "'\""]
    for name in good { try test.put(bytes, as: name) }
    let all = Dictionary(uniqueKeysWithValues: good.map { ($0, bytes) })
    #expect(try Set(test.check(all)) == Set(good))
    for name in good { try store.remove(name) }
    #expect(try store.list().images == [])
  }

  @Test func whatIsNoStore() throws {
    let test = TestStore()
    #expect(code { try ImageStore(test.root) } == .notFound)
    // A folder of something else stays as it is.
    try FileSystem.createFolder(test.root)
    try test.write("letter", [1])
    #expect(code { try ImageStore(test.root) } == .notFound)
    #expect(code { try ImageStore(test.root, isNew: true) } == .refused)
    #expect(test.names("") == ["letter"])
    test.remove("letter")
    // One whose making was stopped is made.
    try FileSystem.createFolder(test.root + "/images")
    _ = try ImageStore(test.root + "//", isNew: true)
    _ = try ImageStore(test.root)
    #expect(test.names("") == ["format", "images", "index", "leases", "packs"])
    // One of another version is left alone.
    try test.write("format", Array("xensave-lua store 2\n".utf8))
    #expect(code { try ImageStore(test.root) } == .invalid)
    #expect(code { try ImageStore(test.root, isNew: true) } == .invalid)
  }
}

// MARK: - Sharing

/// Pages are there once.
@Suite struct SharingTests {
  @Test func theSameImageAgain() throws {
    let test = TestStore()
    let bytes = try Fixture.bytes(Fixture.names[1])
    let first = try test.put(bytes, as: "a")
    #expect(first.newPageCount > 0)
    let packs = test.names("packs")
    #expect(packs.count == 1)
    #expect(try test.put(bytes, as: "b").newPageCount == 0)
    #expect(test.names("packs") == packs && test.names("index") == packs)
    #expect(try test.check(["a": bytes, "b": bytes]) == ["a", "b"])
  }

  @Test(arguments: [1, 7, 64, 100]) func aVariantAddsWhatIsNew(changed: Int) throws {
    let test = TestStore()
    var random = Seed()
    var pages = randomPages(100, &random)
    var images = ["a": image(pages)]
    #expect(try test.put(image(pages), as: "a").newPageCount == 100)
    for (index, page) in zip(pages.indices.shuffled(using: &random), randomPages(changed, &random))
    {
      pages[index] = page
    }
    images["b"] = image(pages)
    #expect(try test.put(image(pages), as: "b").newPageCount == UInt64(changed))
    #expect(try test.pageCount() == 100 + changed)
    #expect(try test.check(images) == ["a", "b"])
  }

  /// Who adds several images knows the pages of those before.
  @Test func imagesThatAreAddedTogether() throws {
    let test = TestStore()
    var random = Seed()
    var pages = randomPages(130, &random)
    let store = try test.open()
    var images: [String: [UInt8]] = [:]
    do {
      let adder = try store.adding()
      for (number, new) in [130, 0, 5, 1, 0].enumerated() {
        pages.replaceSubrange(..<new, with: randomPages(new, &random))
        images["\(number)"] = image(pages)
        let stored = try adder.put(test.source(image(pages)), as: "\(number)")
        #expect(stored.newPageCount == UInt64(new))
        try test.check(images)
      }
      #expect(try test.pageCount() == 136 && test.names("packs").count == 3)
      withExtendedLifetime(adder) { #expect(code { try store.collect() } == .busy) }
    }
    #expect(try store.collect().removedPackCount == 0)
    #expect(try test.check(images) == images.keys.sorted())
  }

  @Test func zeroPagesAreNotStored() throws {
    let test = TestStore()
    var random = Seed()
    let zero = zeros(4096)
    let some = randomPages(2, &random)
    // Nearly zero: the last byte alone.
    let nearly = zeros(4095) + [1]
    let mixed = image([zero, some[0], zero, zero, nearly, some[1], zero])
    #expect(try test.put(mixed, as: "a").newPageCount == 3)
    let empty = image([[UInt8]](repeating: zero, count: 70))
    #expect(try test.put(empty, as: "b").newPageCount == 0)
    #expect(try test.pageCount() == 3)
    #expect(test.names("packs").count == 1)
    try test.check(["a": mixed, "b": empty])
  }

  @Test func aPageThatAnImageHasTwice() throws {
    let test = TestStore()
    var random = Seed()
    let some = randomPages(2, &random)
    let bytes = image([some[0], some[1], some[0], some[0], some[1]])
    #expect(try test.put(bytes, as: "a").newPageCount == 2)
    #expect(try test.pageCount() == 2)
    try test.check(["a": bytes])
  }
}
