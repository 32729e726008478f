// Collecting garbage: what no image needs goes, and all that one needs stays.

import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct CollectionTests {
  /// Bytes of all packs.
  private func byteCount(_ test: TestStore) throws -> UInt64 {
    try test.objects().filter { $0.key.hasPrefix("packs/") }
      .reduce(0) { $0 + UInt64($1.value.count) }
  }

  /// Collects, and expects what is always so afterwards.
  private func collect(
    _ test: TestStore, _ images: [String: [UInt8]],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> CollectionReport {
    let before = try byteCount(test)
    let report = try test.open().collect()
    let names = try test.check(images, sourceLocation: sourceLocation)
    #expect(names == images.keys.sorted(), sourceLocation: sourceLocation)
    #expect(test.names("packs") == test.names("index"), sourceLocation: sourceLocation)
    #expect(test.names("leases") == [], sourceLocation: sourceLocation)
    #expect(try report.bytesAfter == byteCount(test), sourceLocation: sourceLocation)
    #expect(report.bytesBefore <= before, sourceLocation: sourceLocation)
    // Once more there is nothing to be done.
    let objects = try test.objects()
    let again = try test.open().collect()
    #expect(try test.objects() == objects, sourceLocation: sourceLocation)
    let packs = test.names("packs").count
    #expect(
      again
        == CollectionReport(
          packCount: packs, removedPackCount: 0, rewrittenPackCount: 0,
          bytesBefore: report.bytesAfter, bytesAfter: report.bytesAfter),
      sourceLocation: sourceLocation)
    return report
  }

  @Test func anEmptyStore() throws {
    let test = TestStore()
    _ = try test.open()
    #expect(try collect(test, [:]) == CollectionReport())
  }

  @Test func packsThatNobodyNeeds() throws {
    let test = TestStore()
    var random = Seed()
    let images = [
      "a": image(randomPages(70, &random)), "b": image(randomPages(20, &random)),
      "c": image(randomPages(1, &random)),
    ]
    for name in images.keys.sorted() { try test.put(images[name] ?? [], as: name) }
    let report = try collect(test, images)
    #expect(report.packCount == 3 && report.removedPackCount == 0)
    #expect(report.bytesBefore == report.bytesAfter)
    try test.open().remove("a")
    let second = try collect(test, images.filter { $0.key != "a" })
    #expect(second.packCount == 3 && second.removedPackCount == 1)
    #expect(second.rewrittenPackCount == 0)
    #expect(second.bytesBefore - second.bytesAfter == 70 * 4096)
    #expect(test.names("packs").count == 2)
    // What was removed can be put again.
    #expect(try test.put(images["a"] ?? [], as: "a").newPageCount == 70)
    try test.check(images)
    for name in images.keys { try test.open().remove(name) }
    let last = try collect(test, [:])
    #expect(last.removedPackCount == 3 && last.bytesAfter == 0)
  }

  /// A pack of which less than half is needed is written anew.
  @Test(arguments: [1, 19, 20, 39]) func aPackOfWhichAPartIsNeeded(needed: Int) throws {
    let test = TestStore()
    var random = Seed()
    let pages = randomPages(40, &random)
    // Not those that lie together, and in another order.
    let part = Array(pages.shuffled(using: &random).prefix(needed))
    let small = image(part + [zeros(4096)] + part.prefix(2))
    try test.put(image(pages), as: "large")
    #expect(try test.put(small, as: "small").newPageCount == 0)
    let old = test.names("packs")
    #expect(try collect(test, ["large": image(pages), "small": small]).rewrittenPackCount == 0)
    try test.open().remove("large")
    let head = try test.open().list().images
    let report = try collect(test, ["small": small])
    let isRewritten = needed < 20
    #expect(report.rewrittenPackCount == (isRewritten ? 1 : 0))
    #expect(report.removedPackCount == 0 && report.packCount == 1)
    #expect(report.bytesBefore == 40 * 4096)
    #expect(report.bytesAfter == UInt64(isRewritten ? needed : 40) * 4096)
    #expect((test.names("packs") == old) == !isRewritten)
    #expect(try test.open().list().images == head)
    // What is put next finds the pages in their new place.
    #expect(try test.put(small, as: "again").newPageCount == 0)
  }

  /// What is left of several packs becomes one, for all images that need it.
  @Test func severalPacksBecomeOne() throws {
    let test = TestStore()
    var random = Seed()
    let (first, second) = (randomPages(90, &random), randomPages(30, &random))
    let own = randomPages(80, &random)
    let images = [
      "a": image(Array(first[60..<70]) + own), "b": image(Array(second[3..<9]) + first[64..<75]),
      "c": image([first[89], second[29]]),
    ]
    try test.put(image(first), as: "first")
    try test.put(image(second), as: "second")
    for name in images.keys.sorted() { try test.put(images[name] ?? [], as: name) }
    #expect(test.names("packs").count == 3)
    for name in ["first", "second"] { try test.open().remove(name) }
    let report = try collect(test, images)
    #expect(report.packCount == 3)
    #expect(report.removedPackCount == 0 && report.rewrittenPackCount == 2)
    #expect(test.names("packs").count == 2)
    // Pages 60 to 74 and 89 of the first one, 3 to 8 and 29 of the second, and all of the third.
    #expect(report.bytesAfter == (16 + 7 + 80) * 4096)
  }

  /// Each pack costs who adds an image a read: many small ones become one.
  @Test(arguments: [15, 16, 20]) func manySmallPacksBecomeOne(count: Int) throws {
    let test = TestStore()
    var random = Seed()
    var images: [String: [UInt8]] = [:]
    for number in 0..<count {
      images["\(number)"] = image(randomPages(1 + number % 3, &random))
      try test.put(images["\(number)"] ?? [], as: "\(number)")
    }
    #expect(test.names("packs").count == count)
    let pages = try test.pageCount()
    let report = try collect(test, images)
    #expect(report.packCount == count && report.removedPackCount == 0)
    #expect(report.rewrittenPackCount == (count < 16 ? 0 : count))
    #expect(test.names("packs").count == (count < 16 ? count : 1))
    #expect(try test.pageCount() == pages)
    #expect(report.bytesAfter == UInt64(pages) * 4096)
  }

  @Test func packedPagesAreWrittenAnew() throws {
    let test = TestStore()
    let pages = plainPages(200)
    let small = image(Array(pages[30..<100]))
    try test.put(image(pages), as: "large")
    try test.put(small, as: "small")
    try test.open().remove("large")
    let report = try collect(test, ["small": small])
    #expect(report.rewrittenPackCount == 1 && report.bytesAfter < report.bytesBefore)
  }

  @Test func whatWasNeverComplete() throws {
    let test = TestStore()
    var random = Seed()
    let bytes = image(randomPages(3, &random))
    try test.put(bytes, as: "a")
    let good = try test.objects()
    try test.write("packs/" + PackID.random().text, random.bytes(100))
    try test.write("packs/" + PackID.random().text, [])
    try test.write("packs/something", [1])
    let report = try collect(test, ["a": bytes])
    #expect(report.packCount == 1 && report.removedPackCount == 0)
    #expect(try test.objects() == good)
    // An index whose pack is gone, and that nobody needs.
    let other = TestStore()
    try other.put(image(randomPages(2, &random)), as: "b")
    let name = other.names("index")[0]
    try test.write("index/" + name, contents("\(other.root)/index/\(name)"))
    #expect(try test.open().collect().removedPackCount == 1)
    #expect(try test.objects() == good)
  }

  // MARK: - Damage

  /// What is broken in a store of which a collection would remove and write much.
  enum Damage: String, CaseIterable {
    case noIndex, noPack, noSparsePack, badIndex, otherIndex, badImage, cutImage
  }

  /// A store that is damaged stays as it is.
  @Test(arguments: Damage.allCases) func aDamagedStore(damage: Damage) throws {
    let test = TestStore()
    var random = Seed()
    // A pack that nobody needs, one of which little is needed, and one that is needed as a whole.
    let (gone, sparse) = (randomPages(10, &random), randomPages(20, &random))
    let whole = randomPages(30, &random)
    var packs: [String] = []
    for (name, pages) in [("x", gone), ("y", sparse), ("a", whole)] {
      let before = test.names("packs")
      try test.put(image(pages), as: name)
      packs += test.names("packs").filter { !before.contains($0) }
    }
    try test.put(image(Array(sparse[..<5])), as: "b")
    for name in ["x", "y"] { try test.open().remove(name) }
    let (sparsePack, wholePack) = (packs[1], packs[2])
    func change(_ name: String, _ body: (inout [UInt8]) -> Void) throws {
      var bytes = try contents(test.root + "/" + name)
      body(&bytes)
      try test.write(name, bytes)
    }
    switch damage {
    case .noIndex: test.remove("index/" + wholePack)
    case .noPack: test.remove("packs/" + wholePack)
    case .noSparsePack: test.remove("packs/" + sparsePack)
    case .badIndex: try change("index/" + wholePack) { $0[100] ^= 1 }
    case .otherIndex:
      try test.write("index/" + sparsePack, contents("\(test.root)/index/\(packs[0])"))
    case .badImage: try change("images/a") { $0[$0.count - 40] ^= 1 }
    case .cutImage: try change("images/a") { $0.removeLast() }
    }
    let before = try test.objects()
    #expect(code { try test.open().collect() } == .invalid)
    #expect(try test.objects() == before)
  }

  /// A pack that would be written anew and has a damaged page stays as it is, for what is left of
  /// it. Others are written anew all the same.
  @Test func aDamagedPageOfASparsePack() throws {
    let test = TestStore()
    var random = Seed()
    let (broken, good) = (randomPages(130, &random), randomPages(50, &random))
    try test.put(image(broken), as: "x")
    let pack = test.names("packs")[0]
    try test.put(image(good), as: "y")
    // Of pages in all three frames.
    let images = [
      "a": image(Array(broken[0..<4])), "b": image([broken[3], broken[70], broken[129]]),
      "c": image(Array(good[10..<20])),
    ]
    for name in images.keys.sorted() { try test.put(images[name] ?? [], as: name) }
    for name in ["x", "y"] { try test.open().remove(name) }
    var bytes = try contents("\(test.root)/packs/\(pack)")
    bytes[70 * 4096 + 17] ^= 1
    try test.write("packs/" + pack, bytes)
    let report = try test.open().collect()
    #expect(report.packCount == 2 && report.removedPackCount == 0)
    #expect(report.rewrittenPackCount == 1)
    #expect(test.names("packs").contains(pack) && test.names("packs") == test.names("index"))
    #expect(try report.bytesAfter == byteCount(test))
    for name in ["a", "c"] {
      let isSame = hasSameBytes(try test.read(name), images[name] ?? [])
      #expect(isSame, "\(name)")
    }
    #expect(throws: (any Error).self) { try test.read("b") }
    // Nothing of the damaged one was written a second time.
    #expect(report.bytesAfter == (130 + 10) * 4096)
    let objects = try test.objects()
    #expect(try test.open().collect().rewrittenPackCount == 0)
    #expect(try test.objects() == objects)
    // Once the image that cannot be read is gone the others need nothing that is damaged.
    try test.open().remove("b")
    _ = try collect(test, images.filter { $0.key != "b" })
    #expect(!test.names("packs").contains(pack))
  }

  /// An image that needs pages which its pack does not have.
  @Test func anImageThatNeedsTooMuch() throws {
    let test = TestStore()
    var random = Seed()
    try test.put(image(randomPages(3, &random)), as: "a")
    var manifest = try test.open().manifest("a")
    let pack = manifest.packs[0]
    manifest = Manifest(
      StoredImage(name: "b", byteCount: 4096, time: 0, domain: "", xen: ""))
    manifest.addPages(pack, slot: 3)
    try test.write("images/b", manifest.encoded())
    let before = try test.objects()
    #expect(code { try test.open().collect() } == .invalid)
    #expect(try test.objects() == before)
    #expect(throws: (any Error).self) { try test.read("b") }
  }
}
