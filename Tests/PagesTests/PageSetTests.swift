import SystemIO
import Pages
import Testing

@Suite struct PageSetTests {
  /// Against Set.
  @Test func algebra() throws {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<200 {
      func some() -> Set<UInt64> {
        Set(
          (0..<Int.random(in: 0..<30, using: &random)).map { _ in
            UInt64.random(in: 0..<40, using: &random)
          })
      }
      let (a, b) = (some(), some())
      let (x, y) = (PageSet(a), PageSet(b))
      #expect(x.count == UInt64(a.count))
      #expect(x.union(y) == PageSet(a.union(b)))
      #expect(x.intersection(y) == PageSet(a.intersection(b)))
      #expect(x.subtracting(y) == PageSet(a.subtracting(b)))
      #expect(x.symmetricDifference(y) == PageSet(a.symmetricDifference(b)))
      #expect(x.complement.complement == x)
      for pfn in 0..<UInt64(42) { #expect(x.contains(pfn) == a.contains(pfn)) }
      var inserted = PageSet()
      for pfn in a.shuffled(using: &random) { inserted.insert(pfn) }
      #expect(inserted == x)
      #expect(try PageSet(text: x.text) == x)
    }
  }

  @Test func text() throws {
    let set = try PageSet(text: "# kernel\n0x10..0x1f\n\n32 # one\n5")
    #expect(set.ranges == [5..<6, 16..<33])
    #expect(set.text == "0x5\n0x10..0x20\n")
    for bad in ["x", "5..3", "1..", "0x10000000000000", "1 2x"] {
      #expect(throws: XensaveError.self) { try PageSet(text: bad) }
    }
  }

  @Test func file() throws {
    let file = TemporaryFile()
    let set = PageSet(100..<200)
    try set.save(to: file.path)
    #expect(try PageSet(loading: file.path) == set)
  }
}
