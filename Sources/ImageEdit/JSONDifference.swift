// How two configurations differ, member by member.

internal import JSON

/// A member that differs between two configurations.
struct JSONDifference {
  /// "config.nics[0].mac".
  let title: String
  /// As JSON; nil where the configuration has no such member.
  let before: String?
  let after: String?

  /// Calls `visit` for every difference, in the order of the first one and then of the second.
  static func forEach(
    _ one: JSONValue?, _ other: JSONValue?, _ path: JSONPath = JSONPath([]),
    _ visit: (JSONDifference) throws -> Void
  ) rethrows {
    guard one != other else { return }
    switch (one, other) {
    case (.object(let x)?, .object(let y)?):
      // By their bytes: strings are equal that have not the same.
      let mine = Dictionary(
        x.members.map { (Array($0.name.utf8), $0.value) }, uniquingKeysWith: { first, _ in first })
      let theirs = Dictionary(
        y.members.map { (Array($0.name.utf8), $0.value) }, uniquingKeysWith: { first, _ in first })
      for name in x.names + y.names.filter({ mine[Array($0.utf8)] == nil }) {
        let key = Array(name.utf8)
        try forEach(mine[key], theirs[key], path.appending(.name(name)), visit)
      }
    case (.array(let x)?, .array(let y)?):
      for index in 0..<max(x.count, y.count) {
        try forEach(
          index < x.count ? x[index] : nil, index < y.count ? y[index] : nil,
          path.appending(.index(index)), visit)
      }
    default:
      func text(_ value: JSONValue?) -> String? {
        value.map { String(decoding: $0.text(), as: UTF8.self) }
      }
      let inside = "\(path)"
      try visit(
        JSONDifference(
          title: "config" + (inside.isEmpty ? "" : inside.hasPrefix("[") ? inside : "." + inside),
          before: text(one), after: text(other)))
    }
  }
}
