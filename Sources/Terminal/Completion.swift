// What a completion source answers.

/// One way to complete the text at the cursor.
public struct Completion: Equatable, Sendable {
  /// The text that takes the place of the completed range.
  public var replacement: String
  /// The text shown in the menu; control characters are made visible.
  public var display: String
  /// One line about the candidate, shown while it is selected; only its first line is used.
  public var note: String

  /// A candidate; `display` is the replacement unless given.
  public init(_ replacement: String, display: String? = nil, note: String = "") {
    self.replacement = replacement
    self.display = display ?? replacement
    self.note = note
  }
}

/// All ways to complete the text at the cursor, in the order of the menu.
public struct Completions: Equatable, Sendable {
  /// The UTF-8 bytes of the text that a candidate replaces; usually the word before the cursor.
  /// Offsets outside the text or inside a character are moved to the nearest valid place.
  public var range: Range<Int>
  /// The candidates; empty when there is nothing to complete.
  public var candidates: [Completion]

  /// Candidates for the UTF-8 bytes `range`.
  public init(replacing range: Range<Int>, _ candidates: [Completion]) {
    self.range = range
    self.candidates = candidates
  }

  /// The longest text that all replacements begin with.
  var commonPrefix: String {
    guard let first = candidates.first else { return "" }
    var prefix = Substring(first.replacement)
    for candidate in candidates.dropFirst() {
      let shared = zip(prefix, candidate.replacement).prefix { $0 == $1 }
      prefix = prefix.prefix(shared.count)
    }
    return String(prefix)
  }
}
