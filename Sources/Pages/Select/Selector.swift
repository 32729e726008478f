// Which pages: predicates as trees that scripts and the command line build.

internal import SystemIO
internal import Bytes
public import Format

/// A predicate on pages. Immutable; `SelectorProgram` runs it.
///
/// What looks at contents (`zero`, `byte`, `u64`, `contains`, `hashIn`) is false of a page without
/// contents, so `not zero` is true of it: write `has_data and not zero` where that matters.
public indirect enum Selector: Sendable, Equatable {
  /// Every page.
  case any
  case pfn(ClosedRange<UInt64>)
  case pfns(PageSet)
  /// One of these types.
  case type([PageType])
  case hasData
  /// Nothing but zeros.
  case zero
  /// The byte at an offset below 4096 has this value.
  case byte(offset: Int, value: UInt8)
  /// The 8 bytes at an offset up to 4088, little-endian and masked, have this value.
  case u64(offset: Int, mask: UInt64, value: UInt64)
  /// The bytes stand somewhere in the page.
  case contains(Needle)
  /// The page's hash (`PageLoops.hash`) is one of these.
  case hashIn(HashSet)
  /// A share of all pfns, from 0 to 1, chosen by their number and the seed.
  case sample(Double, seed: UInt64)
  case and(Selector, Selector)
  case or(Selector, Selector)
  case not(Selector)
  /// The first without the second.
  case minus(Selector, Selector)

  public static func & (a: Selector, b: Selector) -> Selector { .and(a, b) }
  public static func | (a: Selector, b: Selector) -> Selector { .or(a, b) }
  public static prefix func ~ (a: Selector) -> Selector { .not(a) }
  public static func - (a: Selector, b: Selector) -> Selector { .minus(a, b) }

  /// Whether it has to read contents.
  public var needsContents: Bool {
    switch self {
    case .any, .pfn, .pfns, .type, .hasData, .sample: false
    case .zero, .byte, .u64, .contains, .hashIn: true
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b):
      a.needsContents || b.needsContents
    case .not(let a): a.needsContents
    }
  }
}

extension Selector {
  /// Deepest nesting of a selector that is run; sides of `and`, `or` and `minus` count.
  public static let depthLimit = 1000

  /// The selector, if it makes sense: offsets inside a page, pfns of 52 bits, and no deeper than
  /// `depthLimit`. What a script has put together has to be checked at every step: a deeper tree
  /// would exhaust the stack when it goes. `SelectorProgram` traps on what would not pass.
  public func checked() throws -> Selector {
    try check(Selector.depthLimit)
    return self
  }

  private func check(_ depth: Int) throws {
    func fail(_ problem: String) -> XensaveError { XensaveError(.usage, "selector: \(problem)") }
    guard depth > 0 else {
      throw fail("nested more than \(Selector.depthLimit) deep (use sets of pfns or types)")
    }
    switch self {
    case .any, .hasData, .zero, .contains, .hashIn, .pfns, .type: break
    case .pfn(let range):
      guard range.upperBound < PageSet.limit else {
        throw fail("expected pfns below \(PageSet.limit.hex()), got \(range.upperBound.hex())")
      }
    case .byte(let offset, _):
      guard (0..<pageByteCount).contains(offset) else {
        throw fail("expected an offset from 0 to \(pageByteCount - 1), got \(offset)")
      }
    case .u64(let offset, _, _):
      guard (0...pageByteCount - 8).contains(offset) else {
        throw fail("expected an offset from 0 to \(pageByteCount - 8), got \(offset)")
      }
    case .sample(let share, _):
      guard (0...1).contains(share) else {
        throw fail("expected a share from 0 to 1, got \(share)")
      }
    case .and(let a, let b), .or(let a, let b), .minus(let a, let b):
      try a.check(depth - 1)
      try b.check(depth - 1)
    case .not(let a): try a.check(depth - 1)
    }
  }
}

/// A set of page hashes.
public struct HashSet: Sendable, Equatable {
  /// Ascending, each once.
  public let hashes: [UInt64]

  public init(_ hashes: some Sequence<UInt64>) {
    var sorted = hashes.sorted()
    var count = 0
    for index in sorted.indices where count == 0 || sorted[count - 1] != sorted[index] {
      sorted[count] = sorted[index]
      count += 1
    }
    sorted.removeSubrange(count...)
    self.hashes = sorted
  }

  public func contains(_ hash: UInt64) -> Bool {
    let index = hashes.partitioningIndex { $0 >= hash }
    return index < hashes.count && hashes[index] == hash
  }
}

extension Selector: CustomStringConvertible {
  /// The text form, which `Selector(parsing:)` reads. Sets of more than 8 ranges or hashes are cut
  /// short with "...", which it does not read.
  public var description: String { text(inside: 0) }

  /// Precedence: or 1, minus 2, and 3, not 4.
  private func text(inside outer: Int) -> String {
    func wrapped(_ own: Int, _ text: String) -> String { own < outer ? "(\(text))" : text }
    switch self {
    case .any: return "any"
    case .pfn(let range):
      return range.lowerBound == range.upperBound
        ? "pfn = \(range.lowerBound.hex())"
        : "pfn in \(range.lowerBound.hex())..\(range.upperBound.hex())"
    case .pfns(let set):
      let lines = set.text.split(separator: "\n").prefix(9)
      return "pfn in {\(lines.prefix(8).joined(separator: ", "))\(lines.count > 8 ? ", ..." : "")}"
    case .type(let types):
      let names = types.map { $0.isReserved ? "\($0.rawValue)" : $0.name }
      return names.count == 1 ? "type = \(names[0])" : "type in {\(names.joined(separator: ", "))}"
    case .hasData: return "has_data"
    case .zero: return "zero"
    case .byte(let offset, let value): return "byte[\(offset.hex())] = \(value.hex())"
    case .u64(let offset, let mask, let value):
      let masked = mask == .max ? "" : " & \(mask.hex())"
      return "u64[\(offset.hex())]\(masked) = \(value.hex())"
    case .contains(let needle): return "contains \(Selector.quoted(needle.pattern))"
    case .hashIn(let set):
      let some = set.hashes.prefix(8).map { $0.hex(16) }.joined(separator: ", ")
      return "hash in {\(some)\(set.hashes.count > 8 ? ", ..." : "")}"
    case .sample(let share, let seed): return "sample(\(share), \(seed))"
    case .or(let a, let b): return wrapped(1, "\(a.text(inside: 1)) or \(b.text(inside: 2))")
    case .minus(let a, let b): return wrapped(2, "\(a.text(inside: 2)) minus \(b.text(inside: 3))")
    case .and(let a, let b): return wrapped(3, "\(a.text(inside: 3)) and \(b.text(inside: 4))")
    case .not(let a): return wrapped(4, "not \(a.text(inside: 4))")
    }
  }

  /// Bytes in quotes, as the text form has them.
  static func quoted(_ bytes: [UInt8]) -> String {
    "\"" + bytes.printable.replacing("\"", with: "\\\"") + "\""
  }
}
