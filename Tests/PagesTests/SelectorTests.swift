import SystemIO
import Format
import Pages
import Testing

@Suite struct SelectorTests {
  @Test(arguments: [
    "pfn in 0x100..0x1ff and not zero", "type = L1TAB or contains \"abc\"", "any",
    "type in {L1TAB, L4TAB_PIN}", "pfn in {0x1, 0x5..0x9}", "pfn = 0x5",
    "byte[0x10] = 0xff", "u64[0x8] & 0xff = 0x7", "u64[0x8] = 0x7", "sample(0.25, 7)",
    "has_data and (zero or pfn = 0x1)", "any minus zero and has_data",
    "(any minus zero) and has_data",
    "any minus (zero minus has_data)", "hash in {0x0000000000000001}",
    "contains \"a\\\"\\x00\\\\\"", "not (zero and any)", "not not zero",
  ])
  func descriptionIsReadAgain(text: String) throws {
    let selector = try Selector(parsing: text)
    #expect(selector.description == text)
    #expect(try Selector(parsing: selector.description) == selector)
  }

  @Test func spellings() throws {
    #expect(try Selector(parsing: "type = l1tab") == .type([PageType(rawValue: 1)]))
    #expect(try Selector(parsing: "zero&~any|any") == .or(.and(.zero, .not(.any)), .any))
    #expect(try Selector(parsing: "pfn != 3") == .not(.pfn(3...3)))
    #expect(try Selector(parsing: "sample(1/64)") == .sample(1.0 / 64, seed: 0))
    #expect(try Selector(parsing: "contains 'x'") == .contains(#require(Needle([0x78]))))
  }

  @Test func treesAreChecked() throws {
    for wrong: Selector in [
      .byte(offset: 4096, value: 0), .byte(offset: -1, value: 0),
      .u64(offset: 4089, mask: 1, value: 1), .not(.sample(.nan, seed: 0)),
      .any & .pfn(0...PageSet.limit),
    ] {
      #expect(throws: XensaveError.self) { try wrong.checked() }
    }
    var deep = Selector.any
    for _ in 0..<1000 { deep = deep & .zero }
    #expect(throws: XensaveError.self) { try deep.checked() }
    #expect(Needle([]) == nil)
    #expect(throws: XensaveError.self) {
      try Selector(parsing: "any" + String(repeating: " or zero", count: 2000))
    }
  }

  @Test(arguments: [
    ("pfn in 5", 9), ("zro", 1), ("zero and", 9), ("zero zero", 6), ("pfn in 9..3", 11),
    ("byte[4096] = 1", 6), ("byte[1] = 256", 11), ("type = L9TAB", 8), ("contains \"", 10),
    ("contains \"\"", 10), ("(zero", 6), ("zero $", 6), ("", 1), ("sample(2)", 8), ("0xzz", 1),
    ("pfn = 0x10000000000000", 7), ("contains \"\\xg0\"", 11),
  ])
  func errorsPointAtTheColumn(text: String, column: Int) throws {
    let error = #expect(throws: XensaveError.self) { try Selector(parsing: text) }
    #expect(error?.code == .syntax)
    #expect(error?.offset == UInt64(column - 1), "\(error?.description ?? "")")
  }

  @Test func nestingIsBounded() throws {
    #expect(throws: XensaveError.self) {
      try Selector(parsing: String(repeating: "(", count: 5000) + "any")
    }
    #expect(throws: XensaveError.self) {
      try Selector(parsing: String(repeating: "not ", count: 5000) + "any")
    }
  }

  static func randomSelector(_ random: inout SeededGenerator, _ depth: Int) -> Selector {
    let choice = Int.random(in: 0..<(depth > 0 ? 18 : 11), using: &random)
    func pfn() -> UInt64 { UInt64.random(in: 0..<300, using: &random) }
    switch choice {
    case 0: return .any
    case 1:
      let (a, b) = (pfn(), pfn())
      return .pfn(min(a, b)...max(a, b))
    case 2: return .pfns(PageSet((0..<10).map { _ in pfn() }))
    case 3: return .type([.notab, .xtab].shuffled(using: &random).dropLast())
    case 4: return .hasData
    case 5: return .zero
    case 6:
      return .byte(
        offset: Int.random(in: 0..<4096, using: &random), value: UInt8(pfn() % 4))
    case 7:
      return .u64(offset: Int.random(in: 0...4088, using: &random), mask: pfn(), value: pfn() % 4)
    case 8: return Needle([UInt8(pfn() % 4), UInt8(pfn() % 4)]).map { .contains($0) } ?? .any
    case 9: return .hashIn(HashSet([0, 1, 2].map { hash(page($0)) }))
    case 10: return .sample(0.5, seed: pfn())
    case 11, 12: return randomSelector(&random, depth - 1) & randomSelector(&random, depth - 1)
    case 13, 14: return randomSelector(&random, depth - 1) | randomSelector(&random, depth - 1)
    case 15: return randomSelector(&random, depth - 1) - randomSelector(&random, depth - 1)
    default: return ~randomSelector(&random, depth - 1)
    }
  }

  static func hash(_ page: [UInt8]) -> UInt64 { PageLoops.hash(page.span.bytes, at: 0) }

  /// A program selects what the meaning of its selector, page by page, does.
  @Test func programsEqualTheirMeaning() throws {
    let seed = printedSeed()
    var random = SeededGenerator(seed)
    let entries = randomEntries(&random, count: 220, below: 300)
    let batches = stride(from: 0, to: 220, by: 50).map { Array(entries[$0..<min($0 + 50, 220)]) }
    let file = TemporaryFile(hvm(batches))
    let image = try PageImage(opening: file.path)
    for _ in 0..<150 {
      let selector = SelectorTests.randomSelector(&random, 4)
      let expected = entries.filter {
        selector.matches(
          PageEntry(PageType(rawValue: UInt8($0.type)), pfn: $0.pfn), $0.contents)
      }
      let got = try image.select(selector)
      #expect(got == PageSet(expected.map(\.pfn)), "seed \(seed): \(selector)")
      // The text form means the same, where it is not cut short.
      if !selector.description.contains("...") {
        #expect(try image.select(Selector(parsing: selector.description)) == got)
      }
    }
  }

  @Test func cheapTestsComeFirst() throws {
    let program = SelectorProgram(try Selector(parsing: "zero and contains 'a' and pfn in 1..5"))
    #expect(program.steps.map(\.text) == ["pfn in 0x1..0x5", "zero", "contains \"a\""])
    let file = TemporaryFile(hvm([(0..<100).map { Entry($0, page(0)) }]))
    let image = try PageImage(opening: file.path)
    #expect(try image.select(program).isEmpty)
    #expect(program.steps.map(\.looked) == [100, 5, 5])
    #expect(program.steps.map(\.hits) == [5, 5, 0])
    #expect(program.explain().contains("1. pfn in 0x1..0x5 (entries): 5 of 100 pages, "))
  }
}
