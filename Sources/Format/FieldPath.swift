// Paths of fields as people write them, and the nearest name to one that does not exist.

public import Bytes

/// A path inside a body: `user_regs.rip`, `param[3].value`, `param[STORE_PFN].value`.
public struct FieldPath: Sendable, Equatable {
  public enum Index: Sendable, Equatable {
    case number(Int)
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
        } else if let number = Self.number(inside) {
          steps.append(.index(.number(number)))
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
  private static func number(_ text: Substring) -> Int? {
    text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
  }
}

/// " (did you mean 'x'?)" for the nearest of `names` if one is near, else "".
public func didYouMean(_ name: String, among names: [String]) -> String {
  let wanted = Array(name.lowercased().utf8)
  var best: (name: String, distance: Int)?
  for candidate in names {
    let distance = editDistance(wanted, Array(candidate.lowercased().utf8))
    if distance < best?.distance ?? Int.max { best = (candidate, distance) }
  }
  guard let best, best.distance <= max(1, wanted.count / 3) else { return "" }
  return " (did you mean '\(best.name)'?)"
}

/// How many octets to insert, remove, change or swap with their neighbour.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  guard a.count <= 64, b.count <= 64 else { return Int.max }
  var before: [Int] = []
  var last: [Int] = []
  var row = Array(0...b.count)
  for i in 0..<a.count {
    (before, last) = (last, row)
    row[0] = i + 1
    for j in 0..<b.count {
      row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        row[j + 1] = min(row[j + 1], before[j - 1] + 1)
      }
    }
  }
  return row[b.count]
}
