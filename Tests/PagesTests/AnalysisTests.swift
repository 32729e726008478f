import Format
import Pages
import SystemIO
import Testing

@Suite struct AnalysisTests {
  @Test func zerosAndDuplicates() throws {
    let file = TemporaryFile(
      hvm([
        [
          Entry(1, page(0)), Entry(2, page(7)), Entry(3, type: 0xF), Entry(4, page(0)),
          Entry(5, page(7)), Entry(6, page(8)),
        ]
      ]))
    let other = TemporaryFile(hvm([[Entry(9, page(7)), Entry(10, page(9))]]))
    let image = try PageImage(opening: file.path)
    #expect(try image.zeroPages() == PageSet([1, 4]))
    let found = PageDuplicates()
    try found.add(image)
    #expect(found.pageCount == 5)
    #expect(found.distinctCount == 3)
    #expect(found.zeroCount == 2)
    try found.add(PageImage(opening: other.path))
    #expect(found.distinctCount == 4)
    let top = found.top(10)
    #expect(top.map(\.pfn) == [2, 1])
    #expect(top.map(\.count) == [3, 2])
    #expect(top.map(\.isZero) == [false, true])
    #expect(found.collisionCount == 0)
  }

  @Test func searchCrossesPages() throws {
    var first = page(0)
    var second = page(0)
    first[4094] = 0x61
    first[4095] = 0x62
    second[0] = 0x63
    let file = TemporaryFile(
      hvm([
        [Entry(1, first), Entry(2, second), Entry(4, first)],
        [Entry(5, type: 0xF), Entry(6, second), Entry(7, first), Entry(8, page(1))],
        [Entry(8, second)],
      ]))
    let image = try PageImage(opening: file.path)
    #expect(try image.search(bytes("abc")).addresses == [0x1FFE, 0x7FFE])
    #expect(try image.search(bytes("ab")).addresses == [0x1FFE, 0x4FFE, 0x7FFE])
    #expect(try image.search(bytes("ab"), limit: 1).count == 3)
    #expect(try image.search(bytes("c"), in: PageSet(2..<3)).addresses == [0x2000])
    #expect(throws: XensaveError.self) { try image.search(bytes("")) }
  }

  private func bytes(_ text: String) throws -> SearchPattern {
    try SearchPattern(bytes: Array(text.utf8))
  }

  private func expression(_ text: String) throws -> SearchPattern {
    try SearchPattern(expression: Array(text.utf8))
  }

  /// What regcomp writes out: it would take minutes or gigabytes.
  @Test(arguments: [
    "a" + String(repeating: "+", count: 15), "a?" + String(repeating: "+", count: 10),
    "a+?" + String(repeating: "+", count: 9), "a*" + String(repeating: "+", count: 9),
    String(repeating: "(", count: 10) + "a?" + String(repeating: ")+", count: 10),
    "((a|b|){40}){20}", "(a{0,30}){20}", "(a{2,}){300}", "((a{200}){200}){9}",
  ]) func repetitionsAreBounded(text: String) throws {
    let error = #expect(throws: XensaveError.self) { try expression(text) }
    #expect(error?.description.contains("repetitions are too many") == true)
  }

  @Test(arguments: [
    "a" + String(repeating: "+", count: 10), "[0-9a-f]{4000}", "(a|b|c)*", "a?b?c?d*",
    "(x{1,3}y?){60}",
    "-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----",
  ]) func usualRepetitionsAreTaken(text: String) throws { _ = try expression(text) }

  @Test func expressionsCrossPages() throws {
    var first = page(0)
    var second = page(0)
    first.replaceSubrange(4090..<4096, with: Array("\nroot:".utf8))
    second.replaceSubrange(0..<8, with: Array("x:0:0\nab".utf8))
    second[4095] = 0xFF
    let file = TemporaryFile(
      hvm([[Entry(1, first), Entry(2, second), Entry(3, page(0x41)), Entry(9, second)]]))
    let image = try PageImage(opening: file.path)
    #expect(try image.search(expression("^root:[^:]*:[0-9]+")).addresses == [0x1FFB])
    #expect(try image.search(expression("x:[0-9]:0$")).addresses == [0x2000, 0x9000])
    // Of each line the first, the longest: and what is after it once more.
    #expect(
      try image.search(expression("[0-9]:[0-9]|:0")).addresses == [0x2001, 0x2003, 0x9001, 0x9003])
    // 4096 bytes of one match, then the byte after no line's begin.
    let long = try image.search(expression("A+"))
    #expect(long.count == 1 && long.addresses == [0x3000])
    #expect(try image.search(expression("^b")).addresses.isEmpty)
    #expect(try image.search(expression("b*")).addresses == [0x2007, 0x9007])
    #expect(try image.search(expression("root"), in: PageSet(2..<10)).count == 0)
    for bad in ["", "a[", "(", "a\u{0}"] {
      #expect(throws: XensaveError.self, "\(bad)") { try expression(bad) }
    }
  }

  /// Pages from 0 on of a few different bytes, and the same as one run of bytes.
  private func randomMemory(
    pages: UInt64, of bytes: Range<UInt8>, _ random: inout SeededGenerator
  ) -> (memory: [UInt8], entries: [Entry]) {
    let entries = (0..<pages).map { pfn in
      Entry(pfn, (0..<4096).map { _ in UInt8.random(in: bytes, using: &random) })
    }
    return (entries.flatMap { $0.contents ?? [] }, entries)
  }

  /// Against a plain search for a literal, a run and a literal.
  @Test func randomExpressions() throws {
    var random = SeededGenerator(printedSeed())
    let (memory, entries) = randomMemory(pages: 150, of: 0x61..<0x64, &random)
    let file = TemporaryFile(hvm([entries]))
    var expected: [UInt64] = []
    memory.withUnsafeBufferPointer { all in
      var place = 0
      while place < all.count {
        var end = place
        if all[place] == 0x61 {
          end += 1
          while end < all.count, all[end] == 0x62 { end += 1 }
          let isMatch = end > place + 3 && end < all.count && all[end] == 0x63
          end = isMatch ? end + 1 : place
        }
        if end > place { expected.append(UInt64(place)) }
        place = max(end, place + 1)
      }
    }
    #expect(expected.count > 1000)
    let found = try PageImage(opening: file.path).search(expression("ab{3,}c"), limit: .max)
    #expect(found.addresses == expected)
    #expect(found.count == UInt64(expected.count))
  }

  @Test func searchFindsUTF16() throws {
    var contents = page(0xFF)
    let bytes = SearchText.utf16("Zö")
    #expect(bytes == [0x5A, 0, 0xF6, 0])
    contents.replaceSubrange(101..<105, with: bytes)
    let file = TemporaryFile(hvm([[Entry(3, contents)]]))
    #expect(
      try PageImage(opening: file.path).search(SearchPattern(bytes: bytes)).addresses == [
        0x3000 + 101
      ])
  }

  /// Against a plain search over the whole memory.
  @Test func randomSearch() throws {
    var random = SeededGenerator(printedSeed())
    let (memory, entries) = randomMemory(pages: 80, of: 0..<3, &random)
    let file = TemporaryFile(hvm([Array(entries[..<30]), Array(entries[30...])]))
    let image = try PageImage(opening: file.path)
    for length in [7, 9, 12] {
      let start = Int.random(in: 0..<memory.count - length, using: &random)
      let needle = Array(memory[start..<start + length])
      var expected: [UInt64] = []
      memory.withUnsafeBufferPointer { all in
        for place in 0...all.count - length where all[place] == needle[0] {
          if (1..<length).allSatisfy({ all[place + $0] == needle[$0] }) {
            expected.append(UInt64(place))
          }
        }
      }
      #expect(try image.search(SearchPattern(bytes: needle), limit: .max).addresses == expected)
    }
  }

  @Test func entropy() throws {
    let all = (0..<16).flatMap { _ in (0...255).map { UInt8($0) } }
    let two = [UInt8](repeating: 1, count: 2048) + [UInt8](repeating: 2, count: 2048)
    let file = TemporaryFile(hvm([[Entry(1, page(5)), Entry(2, all), Entry(3, two)]]))
    var bits: [Double] = []
    try PageImage(opening: file.path).forEachEntropy { bits.append($1) }
    #expect(bits == [0, 8, 1])
  }

  /// A changed bit changes about half of the hash, and pages with one bit all differ.
  @Test func hashQuality() throws {
    var random = SeededGenerator(printedSeed())
    let base = (0..<512).flatMap { _ in le64(random.next()) }
    let before = PageLoops.hash(base.span.bytes, at: 0)
    var flips = 0
    var seen: Set<UInt64> = []
    for _ in 0..<2000 {
      var changed = base
      let bit = Int.random(in: 0..<32768, using: &random)
      changed[bit / 8] ^= 1 << UInt8(bit % 8)
      flips += (PageLoops.hash(changed.span.bytes, at: 0) ^ before).nonzeroBitCount
    }
    #expect((31.0...33.0).contains(Double(flips) / 2000))
    var bitCounts = [Int](repeating: 0, count: 64)
    for bit in 0..<32768 {
      var contents = page(0)
      contents[bit / 8] = 1 << UInt8(bit % 8)
      let hash = PageLoops.hash(contents.span.bytes, at: 0)
      seen.insert(hash)
      for index in 0..<64 where hash >> UInt64(index) & 1 != 0 { bitCounts[index] += 1 }
    }
    #expect(seen.count == 32768)
    // Each bit of the hash is set in half of them: 6 standard deviations are 543.
    for count in bitCounts { #expect(abs(count - 16384) < 543) }
  }

  /// Against two dictionaries.
  @Test func randomDifferences() throws {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<10 {
      let a = randomEntries(&random, count: 60, below: 120)
      var b = randomEntries(&random, count: 40, below: 120)
      let used = Set(b.map(\.pfn))
      b += a.filter { !used.contains($0.pfn) && Bool.random(using: &random) }
      b.sort { $0.pfn < $1.pfn }
      let files = [TemporaryFile(hvm([a])), TemporaryFile(hvm([b]))]
      var got: [UInt64: PageDifference.Kind] = [:]
      try PageImage(opening: files[0].path).forEachDifference(
        to: PageImage(opening: files[1].path)
      ) { run in
        for pfn in run.first...run.last { got[pfn] = run.kind }
      }
      let (x, y) = (
        Dictionary(uniqueKeysWithValues: a.map { ($0.pfn, $0) }),
        Dictionary(uniqueKeysWithValues: b.map { ($0.pfn, $0) })
      )
      for pfn in UInt64(0)..<120 {
        let expected: PageDifference.Kind? =
          switch (x[pfn], y[pfn]) {
          case (nil, nil): nil
          case (_, nil): .onlyInFirst
          case (nil, _): .onlyInSecond
          case (let p?, let q?):
            p.type != q.type ? .type : p.contents != q.contents ? .contents : nil
          }
        #expect(got[pfn] == expected, "\(pfn)")
      }
    }
  }
}
