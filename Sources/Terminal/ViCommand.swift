// The commands of vi's command mode, and where its motions lead.

/// A command of vi's command mode: `3dw`, `fx`, `r;`.
struct ViCommand: Equatable {
  enum Parsed: Equatable {
    /// More keys are needed.
    case begun
    case none
    case whole(ViCommand)
  }

  /// The counts multiplied; nil where there is none.
  var count: Int?
  /// d, c or y in front of a motion.
  var verb: Character?
  /// What it does, or the motion; the verb again for whole lines.
  var name: Character
  /// Of f, F, t, T and r.
  var argument: Character?

  static let verbs: Set<Character> = ["d", "c", "y"]
  static let motions: Set<Character> = Set("hlwWbBeE0^$|fFtT;,% ")
  private static let finds: Set<Character> = Set("fFtT")
  private static let others: Set<Character> = Set("jkxXsSDCYiIaApPurR~./?nNG#+-")
  /// A count that is larger is none that anybody wants.
  private static let countLimit = 9999

  /// What changes the text: `.` repeats it.
  var isChange: Bool { verb.map { $0 != "y" } ?? "xXsSDCiIaApPrR~".contains(name) }

  /// Reads the keys that were typed so far.
  static func parse(_ keys: [Character]) -> Parsed {
    var rest = keys[...]
    var count = takeCount(&rest)
    guard let first = rest.popFirst() else { return .begun }
    var command = ViCommand(count: count, verb: nil, name: first, argument: nil)
    if verbs.contains(first) {
      if let second = takeCount(&rest) {
        count = min((count ?? 1) * second, countLimit)
      }
      guard let motion = rest.popFirst() else { return .begun }
      guard motion == first || motions.contains(motion) || "jk".contains(motion) else {
        return .none
      }
      command = ViCommand(count: count, verb: first, name: motion, argument: nil)
    } else if !motions.contains(first), !others.contains(first) {
      return .none
    }
    if finds.contains(command.name) || command.verb == nil && command.name == "r" {
      guard let argument = rest.popFirst() else { return .begun }
      command.argument = argument
    }
    return .whole(command)
  }

  private static func takeCount(_ rest: inout ArraySlice<Character>) -> Int? {
    // 0 is a motion where no digit is before it.
    guard let first = rest.first, first.isASCII, let digit = first.wholeNumberValue, digit > 0
    else { return nil }
    var count = 0
    while let character = rest.first, character.isASCII, let digit = character.wholeNumberValue {
      count = min(count * 10 + digit, countLimit)
      rest = rest.dropFirst()
    }
    return count
  }
}

/// A search for a character in a line: f, F, t or T.
struct ViFind: Equatable {
  let character: Character
  let isForward: Bool
  /// Whether it ends before the character.
  let isShort: Bool

  init(_ name: Character, _ character: Character) {
    self.character = character
    isForward = name == "f" || name == "t"
    isShort = name == "t" || name == "T"
  }

  private init(_ character: Character, isForward: Bool, isShort: Bool) {
    (self.character, self.isForward, self.isShort) = (character, isForward, isShort)
  }

  var reversed: ViFind { ViFind(character, isForward: !isForward, isShort: isShort) }
}

extension EditBuffer {
  private enum Kind { case blank, word, other }

  private func kind(at offset: Int, isBig: Bool) -> Kind {
    guard let character = self[offset..<self.offset(after: offset)].first else { return .blank }
    if character.isWhitespace { return .blank }
    return isBig || character.isLetter || character.isNumber || character == "_" ? .word : .other
  }

  /// Where the next word begins.
  func nextWord(from offset: Int, isBig: Bool) -> Int {
    var place = offset
    guard place < count else { return place }
    let first = kind(at: place, isBig: isBig)
    if first != .blank {
      while place < count, kind(at: place, isBig: isBig) == first {
        place = self.offset(after: place)
      }
    }
    while place < count, kind(at: place, isBig: isBig) == .blank {
      place = self.offset(after: place)
    }
    return place
  }

  /// Where this word begins, or the one before it.
  func previousWord(from offset: Int, isBig: Bool) -> Int {
    var place = offset
    while place > 0, kind(at: self.offset(before: place), isBig: isBig) == .blank {
      place = self.offset(before: place)
    }
    guard place > 0 else { return 0 }
    let last = kind(at: self.offset(before: place), isBig: isBig)
    while place > 0, kind(at: self.offset(before: place), isBig: isBig) == last {
      place = self.offset(before: place)
    }
    return place
  }

  /// The last character of this word, or of the next one.
  func lastOfWord(from offset: Int, isBig: Bool) -> Int {
    var place = self.offset(after: offset)
    while place < count, kind(at: place, isBig: isBig) == .blank {
      place = self.offset(after: place)
    }
    guard place < count else { return offset }
    let first = kind(at: place, isBig: isBig)
    while true {
      let next = self.offset(after: place)
      guard next < count, kind(at: next, isBig: isBig) == first else { return place }
      place = next
    }
  }

  /// The end of the word that `offset` is in, and of `count - 1` more; nil at a blank.
  func endOfWord(at offset: Int, count words: Int, isBig: Bool) -> Int? {
    guard offset < count, kind(at: offset, isBig: isBig) != .blank else { return nil }
    let own = kind(at: offset, isBig: isBig)
    var last = offset
    while self.offset(after: last) < count,
      kind(at: self.offset(after: last), isBig: isBig) == own
    {
      last = self.offset(after: last)
    }
    for _ in 1..<max(words, 1) { last = lastOfWord(from: last, isBig: isBig) }
    return self.offset(after: last)
  }

  /// The first character of the line that is no blank.
  func firstOfLine(_ offset: Int) -> Int {
    let end = lineEnd(of: offset)
    var place = lineStart(of: offset)
    while place < end, kind(at: place, isBig: true) == .blank { place = self.offset(after: place) }
    return place
  }

  /// Where a character is in the line of `offset`; nil where it is not.
  func place(of find: ViFind, from offset: Int) -> Int? {
    let (start, end) = (lineStart(of: offset), lineEnd(of: offset))
    var place = offset
    func step() -> Bool {
      guard find.isForward ? place < end : place > start else { return false }
      place = find.isForward ? self.offset(after: place) : self.offset(before: place)
      return place < end
    }
    while step() {
      guard self[place..<self.offset(after: place)].first == find.character else { continue }
      if !find.isShort { return place }
      let short = find.isForward ? self.offset(before: place) : self.offset(after: place)
      // Already before it: the next one is meant.
      if short != offset { return short }
    }
    return nil
  }

  /// The bracket that belongs to the first one at or after `offset` in its line.
  func matchingBracket(from offset: Int) -> Int? {
    let pairs: [UInt8: (partner: UInt8, isForward: Bool)] = [
      UInt8(ascii: "("): (UInt8(ascii: ")"), true), UInt8(ascii: ")"): (UInt8(ascii: "("), false),
      UInt8(ascii: "["): (UInt8(ascii: "]"), true), UInt8(ascii: "]"): (UInt8(ascii: "["), false),
      UInt8(ascii: "{"): (UInt8(ascii: "}"), true), UInt8(ascii: "}"): (UInt8(ascii: "{"), false),
    ]
    let bytes = Array(text.utf8)
    guard let start = (offset..<lineEnd(of: offset)).first(where: { pairs[bytes[$0]] != nil }),
      let (partner, isForward) = pairs[bytes[start]]
    else { return nil }
    var depth = 0
    var place = start
    while bytes.indices.contains(place) {
      if bytes[place] == bytes[start] { depth += 1 }
      if bytes[place] == partner { depth -= 1 }
      if depth == 0 { return place }
      place += isForward ? 1 : -1
    }
    return nil
  }
}
