// An editor connected to a virtual screen.

import TestKit
@testable import Terminal

/// Types keys into an editor and shows them on a screen.
struct EditorHarness {
  var editor: Editor
  var screen: VirtualScreen
  private(set) var effects: [Editor.Effect] = []

  init(
    columns: Int = 40, rows: Int = 10, entries: [String] = [],
    _ configure: (inout LineEditorOptions) -> Void = { _ in }
  ) {
    var options = LineEditorOptions()
    configure(&options)
    editor = Editor(
      options: options, entries: entries, size: TerminalSize(columns: columns, rows: rows))
    screen = VirtualScreen(columns: columns, rows: rows)
    screen.write(editor.draw())
  }

  /// Feeds the bytes of `keys`, then draws once.
  mutating func type(_ keys: String) { type(Array(keys.utf8)) }

  mutating func type(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      if let effect = editor.feed(&rest) {
        effects.append(effect)
      }
    }
    screen.write(editor.draw())
  }

  mutating func resize(columns: Int, rows: Int) {
    screen.resize(columns: columns, rows: rows)
    editor.resize(to: TerminalSize(columns: columns, rows: rows))
    screen.write(editor.draw())
  }

  var text: String { editor.buffer.text }
  /// The text with "|" at the cursor.
  var marked: String {
    editor.buffer[0..<editor.buffer.cursor] + "|"
      + editor.buffer[editor.buffer.cursor..<editor.buffer.count]
  }
  /// Row and column of the cursor on the screen.
  var cursor: [Int] { [screen.row, screen.column] }
}

/// The bytes of keys, by the names that tests use.
enum Keys {
  static let enter = "\r", tab = "\t", backTab = "\u{1B}[Z", escape = "\u{1B}"
  static let up = "\u{1B}[A", down = "\u{1B}[B", right = "\u{1B}[C", left = "\u{1B}[D"
  static let home = "\u{1B}[H", end = "\u{1B}[F", delete = "\u{1B}[3~", backspace = "\u{7F}"
  static let altEnter = "\u{1B}\r", altBackspace = "\u{1B}\u{7F}", undo = "\u{1F}"

  static func control(_ letter: Character) -> String {
    String(Unicode.Scalar((letter.asciiValue ?? 0) & 0x1F))
  }

  static func alt(_ letter: Character) -> String { "\u{1B}\(letter)" }

  static func paste(_ text: String) -> String { "\u{1B}[200~\(text)\u{1B}[201~" }
}

/// A generator whose seed is printed, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A new seed, printed as Swift that can be pasted in its place.
  static func newSeed(_ test: String = #function) -> UInt64 {
    let seed = UInt64.random(in: .min ... .max)
    print("\(test): let seed: UInt64 = 0x\(String(seed, radix: 16))")
    return seed
  }
}
