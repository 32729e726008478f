// Paths of fields as people write them, and the nearest name to one that does not exist.

public import Bytes

/// A path inside a body: `user_regs.rip`, `param[3].value`, `param[STORE_PFN].value`.
public struct FieldPath: Sendable, Equatable {
  public enum Index: Sendable, Equatable {
    case position(Int)
    case name(String)
  }
  public enum Step: Sendable, Equatable {
    case name(String)
    case index(Index)
  }

  public let steps: [Step]

  public init(_ text: String) throws(FormatError) {
    var steps: [Step] = []
    var rest = Substring(text)
    func fail(_ problem: String) -> FormatError { FormatError(.invalid, field: text, problem) }
    while let first = rest.first {
      if first == "[" {
        guard let close = rest.firstIndex(of: "]") else { throw fail("expected ']'") }
        var inside = rest[rest.index(after: rest.startIndex)..<close]
        rest = rest[rest.index(after: close)...]
        if inside.first == "\"", inside.last == "\"", inside.count >= 2 {
          inside = inside.dropFirst().dropLast()
          steps.append(.index(.name(String(inside))))
        } else if let position = Self.position(inside) {
          steps.append(.index(.position(position)))
        } else if !inside.isEmpty {
          steps.append(.index(.name(String(inside))))
        } else {
          throw fail("expected a number or a name between '[' and ']'")
        }
        continue
      }
      if first == "." {
        guard !steps.isEmpty else { throw fail("expected a name before '.'") }
        rest = rest.dropFirst()
      }
      let name = rest.prefix { $0 != "." && $0 != "[" }
      guard !name.isEmpty else { throw fail("expected a name") }
      steps.append(.name(String(name)))
      rest = rest[name.endIndex...]
    }
    guard !steps.isEmpty else { throw fail("expected a path, got nothing") }
    self.steps = steps
  }

  /// A decimal or 0x-number.
  private static func position(_ text: Substring) -> Int? {
    text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
  }
}

/// " (did you mean 'x'?)" for the nearest of `names` if one is near, else "".
public func didYouMean(_ name: String, among names: [String]) -> String {
  var distances = EditDistances(to: name.utf8.map(lowercased))
  // What is further away than this is another name.
  var limit = max(1, distances.wanted.count / 3)
  var best: String?
  for candidate in names {
    guard let distance = distances.find(candidate.utf8.map(lowercased), atMost: limit) else {
      continue
    }
    best = candidate
    if distance == 0 { break }
    limit = distance - 1
  }
  return best.map { " (did you mean '\($0)'?)" } ?? ""
}

/// An ASCII letter as a small one.
private func lowercased(_ byte: UInt8) -> UInt8 {
  (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
}

/// How many bytes to insert, remove, change or swap with their neighbour; a program has thousands of
/// names to compare, so rows are used again and what is too far away is given up early.
private struct EditDistances {
  let wanted: [UInt8]
  private var before: [Int]
  private var last: [Int]
  private var row: [Int]
  /// Longer names are nobody's mistake.
  private static let lengthLimit = 64

  init(to wanted: [UInt8]) {
    self.wanted = wanted
    before = [Int](repeating: 0, count: EditDistances.lengthLimit + 1)
    (last, row) = (before, before)
  }

  /// The distance to `other`; nil where it is more than `limit`.
  mutating func find(_ other: [UInt8], atMost limit: Int) -> Int? {
    let count = other.count
    guard abs(wanted.count - count) <= limit,
      max(wanted.count, count) <= EditDistances.lengthLimit
    else { return nil }
    for j in 0...count { row[j] = j }
    for i in wanted.indices {
      swap(&before, &last)
      swap(&last, &row)
      row[0] = i + 1
      var least = i + 1
      for j in 0..<count {
        var distance = min(last[j + 1] + 1, row[j] + 1, last[j] + (wanted[i] == other[j] ? 0 : 1))
        if i > 0, j > 0, wanted[i] == other[j - 1], wanted[i - 1] == other[j] {
          distance = min(distance, before[j - 1] + 1)
        }
        row[j + 1] = distance
        least = min(least, distance)
      }
      // A swap looks back one row: what follows is never less than this row's least less one.
      if least > limit + 1 { return nil }
    }
    return row[count] <= limit ? row[count] : nil
  }
}
