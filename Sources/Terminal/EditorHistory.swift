// Walking through the history, and searching it (Ctrl-r, Ctrl-s).

/// A position in the history. Position `entries.count` is the draft: the text not yet submitted.
/// Changes made to entries on the way are kept until the block ends.
struct HistoryBrowser {
  /// Oldest first.
  let entries: [String]
  private(set) var position: Int
  private var changed: [Int: String] = [:]

  init(entries: [String]) {
    self.entries = entries
    position = entries.count
  }

  /// The positions next to this one and at the ends; nil where there is none to go to.
  var previous: Int? { position > 0 ? position - 1 : nil }
  var next: Int? { position < entries.count ? position + 1 : nil }
  var first: Int? { position > 0 ? 0 : nil }
  var last: Int? { position < entries.count ? entries.count : nil }

  /// Goes to `target` and returns its text; `text` is what the present position shows now.
  mutating func move(to target: Int, leaving text: String) -> String {
    let original = position < entries.count ? entries[position] : ""
    changed[position] = text.utf8.elementsEqual(original.utf8) ? nil : text
    position = target
    return changed[target] ?? (target < entries.count ? entries[target] : "")
  }
}

// MARK: - Search

/// A running search. Small letters in the query also match capital ones (ASCII only), unless the
/// query has a capital itself.
struct HistorySearch {
  var query = ""
  var isBackward: Bool
  /// The entry found last, and the bytes of it that match.
  var found: (position: Int, match: Range<Int>)?
  var fails = false
  /// The text when the search began.
  let original: EditBuffer

  /// The bytes of the text shown that match the query.
  var match: Range<Int>? { query.isEmpty ? nil : found?.match }

  /// The row below the text.
  func row(columns: Int) -> Row {
    let label = isBackward ? "search: " : "search forward: "
    let verdict = fails ? "  (not found)" : ""
    return Row(
      [(label, Style(dim: true)), (query, .plain), (verdict, Style(.red))], limit: columns)
  }

  /// Looks for the query from the entry at `start` on; remembers whether it was found.
  mutating func look(from start: Int, in entries: [String]) {
    let needle = Array(query.utf8)
    let ignoresCase = !needle.contains { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) }
    var position = start
    while entries.indices.contains(position) {
      if let match = Self.find(needle, in: entries[position], ignoresCase: ignoresCase) {
        found = (position, match)
        fails = false
        return
      }
      position += isBackward ? -1 : 1
    }
    fails = true
  }

  /// The first occurrence of `needle` in `text`, in bytes.
  static func find(_ needle: [UInt8], in text: String, ignoresCase: Bool) -> Range<Int>? {
    let letters = text.utf8.map { ignoresCase ? $0.lowercasedASCII : $0 }
    guard needle.count <= letters.count else { return nil }
    for start in 0...(letters.count - needle.count)
    where letters[start..<start + needle.count].elementsEqual(needle) {
      return start..<start + needle.count
    }
    return nil
  }
}

extension UInt8 {
  fileprivate var lowercasedASCII: UInt8 {
    (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self
  }
}

extension Editor {
  mutating func beginSearch(backward: Bool) {
    mode = .searching(HistorySearch(isBackward: backward, original: buffer))
  }

  /// Shows the next entry with what was searched for last; false where there is none.
  mutating func searchAgain(backward: Bool) -> Bool {
    guard !memory.query.isEmpty else { return false }
    var search = HistorySearch(
      query: memory.query, isBackward: backward, original: buffer)
    restart(&search)
    guard search.found != nil else { return false }
    show(search)
    accept(search)
    return true
  }

  /// Handles a key of the search; false if the key ends it and is to be handled as usual.
  mutating func searchTakes(_ key: Key, _ current: HistorySearch) -> Bool {
    var search = current
    switch key {
    case .text(let text), .paste(let text):
      search.query += text.prefix { $0 != "\n" }
      search.look(from: search.found?.position ?? start(of: search), in: browser.entries)
    case .special(.backspace, .none):
      guard search.query.popLast() != nil else {
        ring()
        return true
      }
      search.found = nil
      if search.query.isEmpty { search.fails = false } else { restart(&search) }
    case .control("r"), .control("s"):
      search.isBackward = key == .control("r")
      if search.query.isEmpty {
        search.query = memory.query
        if !search.query.isEmpty { restart(&search) }
      } else if let found = search.found {
        search.look(from: found.position + (search.isBackward ? -1 : 1), in: browser.entries)
      } else {
        restart(&search)
      }
    case .control("g"):
      buffer = search.original
      end(search)
      return true
    case .special(.escape, .none), .special(.tab, .none):
      accept(search)
      return true
    default:
      accept(search)
      return false
    }
    if search.fails { ring() }
    show(search)
    mode = .searching(search)
    return true
  }

  private func start(of search: HistorySearch) -> Int {
    search.isBackward ? browser.position - 1 : browser.position + 1
  }

  private func restart(_ search: inout HistorySearch) {
    search.look(from: start(of: search), in: browser.entries)
  }

  /// Shows the entry found with the cursor at the match; the original text if nothing is found.
  private mutating func show(_ search: HistorySearch) {
    if let found = search.found {
      buffer = EditBuffer(browser.entries[found.position])
      buffer.move(to: found.match.lowerBound)
    } else {
      buffer = search.original
    }
  }

  private mutating func accept(_ search: HistorySearch) {
    if let found = search.found {
      undoLog.record(search.original)
      _ = browser.move(to: found.position, leaving: search.original.text)
    }
    end(search)
  }

  private mutating func end(_ search: HistorySearch) {
    if !search.query.isEmpty { memory.query = search.query }
    mode = .editing
    note(nil)
  }
}
