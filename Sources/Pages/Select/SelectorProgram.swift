// Running selectors: a short postfix program over batches of pages.

internal import Bytes
public import Format

/// A selector, compiled. Not thread-safe: it counts what it does.
///
///     pfn in 0x100..0x1ff and not zero   =>   pfn, narrow, zero, not, and
///
/// A test looks only at the entries that can still matter: those of its left side under `and`, those
/// that its left side left out under `or`. The cheap sides of `and` and `or` come first.
public final class SelectorProgram {
  /// What one test has done so far.
  public struct Step: Sendable {
    /// The test in the text form.
    public let text: String
    public let needsContents: Bool
    /// Pages that it looked at, and those of them that it is true of.
    public internal(set) var looked: UInt64 = 0
    public internal(set) var hits: UInt64 = 0
    public internal(set) var nanoseconds: UInt64 = 0
  }

  private enum Operation {
    case test(Int)
    /// What follows looks only at the result so far.
    case narrow
    /// What follows looks only at what the result so far leaves out.
    case rest
    case and, or, not
  }

  public let selector: Selector
  /// The tests in the order in which they run.
  public private(set) var steps: [Step] = []
  private var tests: [Selector] = []
  private var operations: [Operation] = []
  private let clock = ContinuousClock()

  /// Compiles a selector that `checked()` lets pass.
  public init(_ selector: Selector) {
    self.selector = selector
    compile(selector)
  }

  public var needsContents: Bool { steps.contains { $0.needsContents } }
  /// Pages that it is best run on at once: contents of no more than fit the processor's cache.
  var batchCapacity: Int { needsContents ? 64 : BatchMask.capacity }

  // MARK: - Compiling

  /// How much a page costs, roughly in nanoseconds.
  private static func cost(_ selector: Selector) -> Int {
    switch selector {
    case .any, .hasData, .type: 1
    case .pfn: 1
    case .pfns, .sample: 5
    case .byte, .u64: 1000
    case .zero: 1100
    case .hashIn: 1300
    case .contains: 1400
    case .not(let a): cost(a)
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b): cost(a) + cost(b)
    }
  }

  private static func parts(
    _ selector: Selector, _ split: (Selector) -> (Selector, Selector)?
  ) -> [Selector] {
    guard let (a, b) = split(selector) else { return [selector] }
    return parts(a, split) + parts(b, split)
  }

  private static func cheapFirst(_ parts: [Selector]) -> [Selector] {
    parts.enumerated().sorted {
      (cost($0.element), $0.offset) < (cost($1.element), $1.offset)
    }.map(\.element)
  }

  private func compile(_ selector: Selector) {
    switch selector {
    case .and, .minus:
      let parts = SelectorProgram.parts(selector) { selector in
        switch selector {
        case .and(let a, let b): (a, b)
        case .minus(let a, let b): (a, .not(b))
        default: nil
        }
      }
      join(parts, before: .narrow, .and)
    case .or:
      let parts = SelectorProgram.parts(selector) { selector in
        if case .or(let a, let b) = selector { (a, b) } else { nil }
      }
      join(parts, before: .rest, .or)
    case .not(.not(let inner)): compile(inner)
    case .not(let inner):
      compile(inner)
      operations.append(.not)
    default:
      operations.append(.test(tests.count))
      tests.append(selector)
      steps.append(Step(text: selector.description, needsContents: selector.needsContents))
    }
  }

  private func join(_ parts: [Selector], before: Operation, _ after: Operation) {
    for (index, part) in SelectorProgram.cheapFirst(parts).enumerated() {
      if index > 0 { operations.append(before) }
      compile(part)
      if index > 0 { operations.append(after) }
    }
  }

  /// Adds what a program of the same selector has counted.
  func add(_ other: SelectorProgram) {
    for index in steps.indices where index < other.steps.count {
      steps[index].looked += other.steps[index].looked
      steps[index].hits += other.steps[index].hits
      steps[index].nanoseconds += other.steps[index].nanoseconds
    }
  }

  // MARK: - Running

  /// Whether it is true of every page; notes that it was, of `count` of them.
  func isAlwaysTrue(of count: Int) -> Bool {
    guard case .any = selector else { return false }
    steps[0].looked += UInt64(count)
    steps[0].hits += UInt64(count)
    return true
  }

  /// The entries of a batch that the selector is true of; with `among`, only of those.
  public func run(_ batch: PageBatch, among: BatchMask? = nil) throws -> BatchMask {
    let all = BatchMask(first: batch.entries.count)
    var live = [among.map { all.combined($0, &) } ?? all]
    var results: [BatchMask] = []
    for operation in operations {
      switch operation {
      case .test(let index): results.append(try test(index, batch, live[live.count - 1]))
      case .narrow: live.append(results[results.count - 1])
      case .rest:
        live.append(live[live.count - 1].combined(results[results.count - 1]) { $0 & ~$1 })
      case .and:
        let right = results.removeLast()
        live.removeLast()
        results[results.count - 1] = right
      case .or:
        let right = results.removeLast()
        live.removeLast()
        results[results.count - 1] = results[results.count - 1].combined(right, |)
      case .not:
        results[results.count - 1] =
          live[live.count - 1].combined(results[results.count - 1]) { $0 & ~$1 }
      }
    }
    return results[0]
  }

  private func test(
    _ index: Int, _ batch: PageBatch, _ live: BatchMask
  ) throws -> BatchMask {
    if live.isEmpty { return live }
    let start = clock.now
    var out = BatchMask()
    if steps[index].needsContents {
      for word in 0..<16 where live.words[word] != 0 {
        var wanted: UInt64 = 0
        var bits = live.words[word]
        while bits != 0 {
          let bit = bits.trailingZeroBitCount
          if batch.entries[word << 6 + bit].type.hasData { wanted |= 1 << UInt64(bit) }
          bits &= bits &- 1
        }
        if wanted == 0 { continue }
        try batch.load(word, wanted)
        out.words[word] = batch.withBytes { bytes in
          SelectorProgram.contents(tests[index], batch, bytes, word, wanted)
        }
      }
    } else {
      SelectorProgram.heads(tests[index], batch.entries, live, &out)
    }
    steps[index].looked += UInt64(live.count)
    steps[index].hits += UInt64(out.count)
    let spent = start.duration(to: clock.now)
    steps[index].nanoseconds += UInt64(spent / .nanoseconds(1))
    return out
  }

  /// Tests that look at entries only.
  private static func heads(
    _ test: Selector, _ entries: [PageEntry], _ live: BatchMask, _ out: inout BatchMask
  ) {
    func filter(_ rule: (PageEntry) -> Bool) {
      for word in 0..<16 {
        var bits = live.words[word]
        var result: UInt64 = 0
        while bits != 0 {
          let bit = bits.trailingZeroBitCount
          if rule(entries[word << 6 + bit]) { result |= 1 << UInt64(bit) }
          bits &= bits &- 1
        }
        out.words[word] = result
      }
    }
    switch test {
    case .any: out = live
    case .pfn(let range): filter { range.contains($0.pfn) }
    case .pfns(let set):
      // Entries mostly ascend: the range of the last one is looked at first.
      var last = 0
      filter { entry in
        if last >= set.ranges.count || !set.ranges[last].contains(entry.pfn) {
          last = set.index(of: entry.pfn)
        }
        return last < set.ranges.count && set.ranges[last].contains(entry.pfn)
      }
    case .type(let types):
      let mask = types.reduce(UInt16(0)) { $0 | 1 << UInt16($1.rawValue) }
      filter { mask >> UInt16($0.type.rawValue) & 1 != 0 }
    case .hasData: filter { $0.type.hasData }
    case .sample(let share, let seed): filter { Selector.isSampled($0.pfn, share, seed) }
    default: preconditionFailure("not a test of entries")
    }
  }

  /// Tests that look at contents, over 64 entries.
  private static func contents(
    _ test: Selector, _ batch: PageBatch, _ bytes: RawSpan, _ word: Int, _ wanted: UInt64
  ) -> UInt64 {
    var bits = wanted
    var result: UInt64 = 0
    @inline(__always) func filter(_ rule: (Int) -> Bool) {
      while bits != 0 {
        let bit = bits.trailingZeroBitCount
        if rule(batch.offset(word << 6 + bit)) { result |= 1 << UInt64(bit) }
        bits &= bits &- 1
      }
    }
    switch test {
    case .zero: filter { bytes.isZeroPage(at: $0) }
    case .byte(let offset, let value): filter { bytes.load($0 + offset, as: UInt8.self) == value }
    case .u64(let offset, let mask, let value):
      filter { bytes.load($0 + offset, as: UInt64.self) & mask == value }
    case .contains(let needle):
      filter { needle.first(in: bytes, $0..<$0 + pageByteCount) != nil }
    case .hashIn(let set): filter { set.contains(PageLoops.hash(bytes, at: $0)) }
    default: preconditionFailure("not a test of contents")
    }
    return result
  }

  // MARK: - Explaining

  /// The steps in their order, a line each; after a run with the pages that each looked at, its hits
  /// and its nanoseconds a page.
  public func explain() -> String {
    var lines = ["\(selector)"]
    for (index, step) in steps.enumerated() {
      var line = "  \(index + 1). \(step.text) (\(step.needsContents ? "contents" : "entries"))"
      if step.looked > 0 {
        let tenths = step.nanoseconds * 10 / step.looked
        line +=
          ": \(step.hits.grouped) of \(step.looked.grouped) pages, "
          + "\(tenths / 10).\(tenths % 10) ns a page"
      }
      lines.append(line)
    }
    return lines.joined(separator: "\n")
  }
}

extension Selector {
  /// Whether a sample holds the page; the same for the same pfn, share and seed.
  static func isSampled(_ pfn: UInt64, _ share: Double, _ seed: UInt64) -> Bool {
    if share >= 1 { return true }
    return PageLoops.mix(pfn, seed) < UInt64(max(share, 0) * 0x1p64)
  }

  /// The meaning of a selector, page by page: what programs are compared to.
  public func matches(_ entry: PageEntry, _ contents: [UInt8]?) -> Bool {
    switch self {
    case .any: return true
    case .pfn(let range): return range.contains(entry.pfn)
    case .pfns(let set): return set.contains(entry.pfn)
    case .type(let types): return types.contains(entry.type)
    case .hasData: return entry.type.hasData
    case .sample(let share, let seed): return Selector.isSampled(entry.pfn, share, seed)
    case .and(let a, let b): return a.matches(entry, contents) && b.matches(entry, contents)
    case .or(let a, let b): return a.matches(entry, contents) || b.matches(entry, contents)
    case .minus(let a, let b): return a.matches(entry, contents) && !b.matches(entry, contents)
    case .not(let a): return !a.matches(entry, contents)
    case .zero: return contents?.allSatisfy { $0 == 0 } ?? false
    case .byte(let offset, let value): return contents.map { $0[offset] == value } ?? false
    case .u64(let offset, let mask, let value):
      return contents.map { $0.load(offset, as: UInt64.self) & mask == value } ?? false
    case .contains(let needle): return contents.map { $0.contains(needle.pattern) } ?? false
    case .hashIn(let set):
      return contents.map { page in
        // Safety: UInt8 has no padding, so every byte of the span is initialised.
        set.contains(unsafe PageLoops.hash(page.span.bytes, at: 0))
      } ?? false
    }
  }
}
