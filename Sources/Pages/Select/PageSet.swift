// Sets of pfns.

internal import Bytes
internal import Format
internal import SystemIO

/// A set of pfns, as ascending ranges that do not touch.
///
/// Costs 16 bytes a range, so a guest's whole memory is a few ranges and the worst set (every other
/// page) 8 bytes a page of the guest. Algebra is linear in the ranges; `contains` is logarithmic.
public struct PageSet: Sendable, Equatable {
  /// The ranges, ascending, none empty, none adjacent to the next.
  public private(set) var ranges: [Range<UInt64>] = []

  /// One above the greatest pfn.
  public static let limit: UInt64 = PageEntry.pfnMask + 1

  public init() {}

  /// The pfns of one range.
  public init(_ range: Range<UInt64>) {
    if !range.isEmpty { ranges = [range] }
  }

  /// These pfns, in any order.
  public init(_ pfns: some Sequence<UInt64>) {
    for pfn in pfns.sorted() where pfn < PageSet.limit { append(pfn..<pfn + 1) }
  }

  /// These ranges, in any order.
  init(_ ranges: [Range<UInt64>]) {
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) { append(range) }
  }

  public var isEmpty: Bool { ranges.isEmpty }
  /// How many pfns are in it.
  public var count: UInt64 { ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }

  /// The number of the first range that ends above `pfn`.
  func index(of pfn: UInt64) -> Int {
    ranges.partitioningIndex { $0.upperBound > pfn }
  }

  public func contains(_ pfn: UInt64) -> Bool {
    let index = index(of: pfn)
    return index < ranges.count && ranges[index].lowerBound <= pfn
  }

  /// Adds a range that begins at or above the last one's beginning: the fast way to build a set.
  mutating func append(_ range: Range<UInt64>) {
    guard let last = ranges.last, range.lowerBound <= last.upperBound else {
      if !range.isEmpty { ranges.append(range) }
      return
    }
    precondition(range.lowerBound >= last.lowerBound)
    if range.upperBound > last.upperBound {
      ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
    }
  }

  public mutating func insert(_ pfn: UInt64) { insert(pfn..<pfn + 1) }

  /// Adds a range, anywhere.
  public mutating func insert(_ range: Range<UInt64>) {
    guard let last = ranges.last, range.lowerBound < last.lowerBound else { return append(range) }
    self = union(PageSet(range))
  }

  // MARK: - Algebra

  public func union(_ other: PageSet) -> PageSet { combined(other) { $0 || $1 } }
  public func intersection(_ other: PageSet) -> PageSet { combined(other) { $0 && $1 } }
  public func subtracting(_ other: PageSet) -> PageSet { combined(other) { $0 && !$1 } }
  public func symmetricDifference(_ other: PageSet) -> PageSet { combined(other) { $0 != $1 } }
  /// All other pfns below 2^52.
  public var complement: PageSet { PageSet(0..<PageSet.limit).subtracting(self) }

  /// The pfns for which `rule` holds of being in the one and in the other.
  private func combined(_ other: PageSet, _ rule: (Bool, Bool) -> Bool) -> PageSet {
    var out = PageSet()
    var a = 0
    var b = 0
    var position: UInt64 = 0
    // Sweeps over the borders of both; between two borders nothing changes.
    while a < ranges.count || b < other.ranges.count {
      let inA = a < ranges.count && ranges[a].lowerBound <= position
      let inB = b < other.ranges.count && other.ranges[b].lowerBound <= position
      let nextA = a < ranges.count ? (inA ? ranges[a].upperBound : ranges[a].lowerBound) : .max
      let nextB =
        b < other.ranges.count
        ? (inB ? other.ranges[b].upperBound : other.ranges[b].lowerBound) : .max
      let next = min(nextA, nextB)
      if rule(inA, inB), next > position { out.append(position..<next) }
      position = next
      if inA, ranges[a].upperBound == next { a += 1 }
      if inB, other.ranges[b].upperBound == next { b += 1 }
    }
    return out
  }

  // MARK: - Text

  /// A line a range: "0x100" or "0x100..0x1ff" (both ends are in it).
  public var text: String {
    ranges.map { range in
      range.lowerBound + 1 == range.upperBound
        ? range.lowerBound.hex() : "\(range.lowerBound.hex())..\((range.upperBound - 1).hex())"
    }.joined(separator: "\n") + (ranges.isEmpty ? "" : "\n")
  }

  /// Reads what `text` writes; blank lines and "#" comments are passed over.
  public init(text: String) throws {
    var ranges: [Range<UInt64>] = []
    var lineNumber = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      lineNumber += 1
      let words = line.prefix { $0 != "#" }.filter { $0 != " " && $0 != "\t" && $0 != "\r" }
      if words.isEmpty { continue }
      let parts = words.split(separator: "..", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = parseNumber(parts[0]), let last = parseNumber(parts[parts.count - 1]),
        first <= last, last < PageSet.limit
      else {
        throw XensaveError(
          .syntax,
          "line \(lineNumber): expected a pfn or FIRST..LAST, got '\(Array(line.utf8).printable)'")
      }
      ranges.append(first..<last + 1)
    }
    self.init(ranges)
  }

  /// Writes the text into a file, which appears whole or not at all.
  public func save(to path: String) throws {
    try OutputFile.write(path, .text, bytes: Array(text.utf8))
  }

  /// Reads a file that `save` or a person wrote, of at most 64 MiB.
  public init(loading path: String) throws {
    let source = try Source(opening: path)
    let bytes = try source.read(Int(min(source.byteCount ?? 64 << 20, 64 << 20)))
    do { try self.init(text: String(decoding: bytes, as: UTF8.self)) } catch {
      throw XensaveError(error).prefixed(path)
    }
  }
}

/// A decimal number, or a hexadecimal one after "0x".
func parseNumber(_ text: some StringProtocol) -> UInt64? {
  let lower = text.lowercased()
  return lower.hasPrefix("0x") ? UInt64(lower.dropFirst(2), radix: 16) : UInt64(lower)
}
