import TestKit
import Testing

@testable import Terminal

/// Text typed in insert mode and keys after Escape, and the text with "|" before the cursor's character.
// swift-format-ignore
private let viCommands: [(typed: String, keys: String, result: String)] = [
  ("one two", "", "one tw|o"),
  ("one two", "0", "|one two"), ("one two", "b", "one |two"), ("one two", "bb", "|one two"),
  ("  one", "^", "  |one"), ("one two", "0w", "one |two"), ("a.b c", "0w", "a|.b c"),
  ("a.b c", "0W", "a.b |c"), ("one two", "0e", "on|e two"), ("one two", "0ee", "one tw|o"),
  ("a.b c", "0E", "a.|b c"), ("one", "hh", "|one"), ("one", "2h", "|one"), ("one", "0l", "o|ne"),
  ("abcdef", "3|", "ab|cdef"), ("a(b[c]d)e", "0%", "a(b[c]d|)e"), ("a(b)", "%", "a|(b)"),
  ("abcabc", "0fc", "ab|cabc"), ("abcabc", "0fc;", "abcab|c"), ("abcabc", "0fc;,", "ab|cabc"),
  ("abcabc", "0tc", "a|bcabc"), ("abcabc", "0tc;", "abca|bc"), ("abcabc", "Fa", "abc|abc"),
  ("abcabc", "Ta", "abca|bc"), ("abcabc", "02fc", "abcab|c"),
  ("one two", "x", "one t|w"), ("one two", "0x", "|ne two"), ("one two", "02x", "|e two"),
  ("one two", "X", "one t|o"), ("one two", "0dw", "|two"), ("one two three", "02dw", "|three"),
  ("one two three", "0d2w", "|three"), ("one two", "0de", "| two"), ("one two", "db", "one |o"),
  ("one two", "bd$", "one| "), ("one two", "bD", "one| "), ("one two", "bC3\u{1B}", "one |3"),
  ("one two", "d0", "|o"), ("one two", "dd", "|"), ("one two", "0cwnew\u{1B}", "ne|w two"),
  ("one two", "0cw\u{1B}u", "|one two"), ("a b c", "0c2wx\u{1B}", "|x c"), ("a b", "0cwx\u{1B}", "|x b"),
  ("one two", "cct\u{1B}", "|t"), ("one two", "St\u{1B}", "|t"), ("abc", "0sxy\u{1B}", "x|ybc"),
  ("abc", "02sx\u{1B}", "|xc"), ("abc", "rx", "ab|x"), ("abc", "02rx", "x|xc"), ("abc", "04rx", "|abc"),
  ("abC", "0~~~", "AB|c"), ("abc", "03~", "AB|C"),
  ("abc", "0ix\u{1B}", "|xabc"), ("abc", "0ax\u{1B}", "a|xbc"), ("abc", "0Ax\u{1B}", "abc|x"),
  ("  ab", "Ix\u{1B}", "  |xab"), ("abc", "0Rxy\u{1B}", "x|yc"), ("abc", "Rxyz\u{1B}", "abxy|z"),
  ("one two", "0dwP", "one| two"), ("one two", "0dwp", "tone| wo"), ("ab", "0xp", "b|a"),
  ("one", "yyp", "one\n|one"), ("one", "yyP", "|one\none"), ("ab", "0ylp", "a|ab"), ("ab", "0yl3p", "aaa|ab"),
  ("one two", "0dw.", "|"), ("a b c d", "0dw..", "|d"), ("abc", "0x2.", "|c"),
  ("one two three", "0cwx\u{1B}w.", "x |x three"), ("abc", "0ax\u{1B}l.", "axb|xc"),
  ("one two", "0dwu", "|one two"), ("one two", "0d\u{1B}w", "one |two"), ("one two", "0dz", "|one two"),
  ("ab", "#", "--|ab"),
  ("éa\u{301}世", "0x", "|a\u{301}世"), ("éa\u{301}世", "hx", "é|世"),
]

@Suite struct ViModeTests {
  private func harness(
    entries: [String] = [], _ configure: (inout InputSettings) -> Void = { _ in }
  ) -> EditorHarness {
    EditorHarness(entries: entries) {
      $0.input = InputSettings("set editing-mode vi")
      configure(&$0.input)
    }
  }

  /// Escape by itself, as the time-out gives it.
  private func escape(_ harness: inout EditorHarness) { harness.editor.endEscape() }

  /// Types keys; an Escape among them is one by itself.
  private func type(_ keys: String, _ harness: inout EditorHarness) {
    for (index, part) in keys.split(separator: "\u{1B}", omittingEmptySubsequences: false)
      .enumerated()
    {
      if index > 0 {
        harness.type("\u{1B}")
        escape(&harness)
      }
      harness.type(String(part))
    }
  }

  @Test(arguments: viCommands)
  func `commands`(typed: String, keys: String, result: String) {
    var harness = harness()
    type(typed + "\u{1B}" + keys, &harness)
    #expect(harness.marked == result, "\(escapeForDisplay(typed)) \(escapeForDisplay(keys))")
    #expect(harness.effects == [])
  }

  @Test func `lines`() {
    var harness = harness()
    harness.type("one")
    harness.type(Keys.altEnter)
    harness.type("two")
    harness.type(Keys.altEnter)
    type("three\u{1B}k", &harness)
    #expect(harness.marked == "one\ntw|o\nthree")
    harness.type("dd")
    #expect(harness.marked == "one\n|three")
    harness.type("dd")
    #expect(harness.marked == "|one")
    harness.type("uu")
    #expect(harness.text == "one\ntwo\nthree")
  }

  @Test func `verbs over lines`() {
    var harness = harness()
    for (index, line) in ["a", "b", "c", "d"].enumerated() {
      harness.type((index > 0 ? Keys.altEnter : "") + line)
    }
    type("\u{1B}kk2dd", &harness)
    #expect(harness.marked == "a\n|d")
    harness.type("P")
    #expect(harness.marked == "a\n|b\nc\nd")
    harness.type("dk")
    #expect(harness.marked == "|c\nd")
    harness.type("dk")
    #expect(harness.marked == "|c\nd")
    harness.type("dj")
    #expect(harness.marked == "|")
  }

  @Test func `submits from both modes, and begins in insert mode`() {
    var harness = harness()
    harness.type("ab\r")
    #expect(harness.effects == [.submit("ab")])
    type("\u{1B}", &harness)
    harness.type("\r\u{3}")
    #expect(harness.effects == [.submit("ab"), .submit("ab"), .interrupt])
  }

  /// Escape and a letter that come at once are no Alt.
  @Test func `fast keys`() {
    var harness = harness()
    harness.type("one two\u{1B}bx")
    #expect(harness.marked == "one |wo")
    harness.type("i\u{1B}hx")
    #expect(harness.marked == "on| wo")
  }

  @Test func `history`() {
    var harness = harness(entries: ["first", "second", "third"])
    type("\u{1B}", &harness)
    harness.type("k")
    #expect(harness.text == "third")
    harness.type("2k")
    #expect(harness.text == "first")
    harness.type("j")
    #expect(harness.text == "second")
    harness.type("3G")
    #expect(harness.text == "third")
    harness.type("G")
    #expect(harness.text == "first")
    harness.type("3G/ir\r")
    #expect(harness.effects == [.submit("first")])
  }

  @Test func `searches again`() {
    var harness = harness(entries: ["one a", "two", "three a", "four"])
    type("\u{1B}", &harness)
    harness.type("/a\t")
    #expect(harness.text == "three a")
    harness.type("n")
    #expect(harness.text == "one a")
    harness.type("N")
    #expect(harness.text == "three a")
  }

  @Test func `the mode before the prompt`() {
    var harness = harness { $0.showsMode = true }
    #expect(harness.screen.text.contains("(ins)>"))
    type("a\u{1B}", &harness)
    harness.type("h")
    #expect(harness.screen.text.contains("(cmd)> a"))
  }

  /// No keys in any order put the cursor where it does not belong, or end the program.
  @Test(arguments: [1, 2, 3] as [UInt64]) func `any keys`(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let keys = Array("hjklwWbBeE0^$|fFtT;,%xXsSdDcCyYpPiIaAoOrR~.uG/?nN#+-123 ()ab世é").map(
      String.init)
    let others = [
      Keys.left, Keys.up, Keys.down, Keys.home, Keys.end, Keys.delete, Keys.backspace,
      Keys.altEnter,
      Keys.tab, Keys.control("w"), Keys.control("r"), Keys.alt("x"), Keys.paste("a\nb"),
    ]
    for _ in 0..<40 {
      var harness = harness(entries: ["one", "two\nlines", "(x)[y]"])
      for _ in 0..<80 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: type("\u{1B}", &harness)
        case 1: harness.type(others.randomElement(using: &random) ?? "")
        default: harness.type(keys.randomElement(using: &random) ?? "")
        }
        let buffer = harness.editor.buffer
        #expect(buffer.boundary(notAfter: buffer.cursor) == buffer.cursor)
        if harness.editor.vi.isCommandMode, case .editing = harness.editor.mode, buffer.count > 0 {
          let line = buffer.lineStart(of: buffer.cursor)..<buffer.lineEnd(of: buffer.cursor)
          #expect(line.isEmpty || buffer.cursor < line.upperBound)
        }
      }
    }
  }
}

// MARK: - The init file

@Suite struct InputSettingsTests {
  @Test func `settings`() {
    let settings = InputSettings(
      """
      # a comment
      set editing-mode vi
      set bell-style none
        set show-mode-in-prompt on
      set vi-ins-mode-string "+\\e"
      set keyseq-timeout 200
      set unknown-thing 5
      nonsense
      """)
    #expect(settings.editingMode == .vi)
    #expect(!settings.rings && settings.showsMode)
    #expect(settings.insertText == "+\u{1B}")
    #expect(settings.escapeMilliseconds == 200)
  }

  @Test(
    arguments: [
      ("\"\\C-w\": backward-kill-word", Key.control("w"), .command(.killWordBackward)),
      ("Control-w: backward-kill-word", .control("w"), .command(.killWordBackward)),
      ("C-w:undo", .control("w"), .command(.undo)),
      (
        "\"\\e[A\": history-search-backward", .special(.up, .none), .command(.historyPrefixBackward)
      ),
      ("\"\\M-f\": undo", .alt("f"), .command(.undo)), ("Meta-f: undo", .alt("f"), .command(.undo)),
      ("M-DEL: undo", .special(.backspace, .alt), .command(.undo)),
      ("\"\\x06\": undo", .control("f"), .command(.undo)),
      ("\"\\006\": undo", .control("f"), .command(.undo)),
      ("TAB: menu-complete", .special(.tab, .none), .command(.complete)),
      ("\"\\C-x\": \"img:verify()\"", .control("x"), .text("img:verify()")),
      ("\"\\C-x\": 'a\\tb'", .control("x"), nil), ("\"\\C-x\\C-r\": undo", .control("r"), nil),
      ("\"\\C-x\": no-such-command", .control("x"), nil), ("\"\\C-x", .control("x"), nil),
      ("Hyper-x: undo", .text("x"), nil), (": undo", .text("x"), nil),
    ] as [(String, Key, InputSettings.Binding?)])
  func `bindings`(line: String, key: Key, binding: InputSettings.Binding?) {
    let settings = InputSettings(line)
    #expect(settings.bindings[.emacs]?[key] == binding)
    #expect(settings.bindings.count == (binding == nil ? 0 : 1))
  }

  @Test func `conditions`() {
    let text = """
      $if mode=vi
      "\\C-a": undo
      $else
      "\\C-b": undo
      $if term=xterm
      "\\C-e": undo
      $endif
      $if Bash
      "\\C-f": undo
      $if mode=emacs
      "\\C-g": undo
      $endif
      $else
      "\\C-k": undo
      $endif
      $endif
      $if xensave-lua
      "\\C-l": undo
      $endif
      $endif
      """
    let settings = InputSettings(text, terminalName: "xterm-256color")
    #expect(
      Set(settings.bindings[.emacs, default: [:]].keys)
        == [.control("b"), .control("e"), .control("k"), .control("l")])
  }

  @Test func `keymaps and other files`() {
    let settings = InputSettings(
      "$include /a\nset editing-mode vi\n\"\\C-a\": undo\nset keymap vi-command\n\"Q\": undo\n",
      include: { $0 == "/a" ? "$include /a\nset bell-style none" : nil })
    #expect(!settings.rings)
    #expect(settings.bindings[.viInsert] == [.control("a"): .command(.undo)])
    #expect(settings.bindings[.viCommand] == [.text("Q"): .command(.undo)])
  }

  @Test func `bound keys`() {
    var harness = EditorHarness(entries: ["print(1)", "pairs(t)", "print(2)"]) {
      $0.input = InputSettings(
        "\"\\e[A\": history-search-backward\n\"\\e[B\": history-search-forward\n\"\\C-x\": \"img:\""
      )
    }
    harness.type("pr")
    harness.type(Keys.up)
    #expect(harness.marked == "pr|int(2)")
    harness.type(Keys.up)
    #expect(harness.marked == "pr|int(1)")
    harness.type(Keys.down)
    #expect(harness.marked == "pr|int(2)")
    harness.type(Keys.control("x"))
    #expect(harness.marked == "primg:|int(2)")
  }

  @Test func `a mode can be changed on the way`() {
    var harness = EditorHarness {
      $0.input = InputSettings(
        "\"\\C-x\": vi-editing-mode\nset keymap vi-command\nE: emacs-editing-mode")
    }
    harness.type("ab" + Keys.control("x"))
    harness.type("\u{1B}")
    harness.editor.endEscape()
    harness.type("0x")
    #expect(harness.marked == "|b")
    harness.type("E")
    harness.type("c")
    #expect(harness.marked == "c|b")
  }

  @Test(arguments: [1, 2, 3] as [UInt64]) func `no text ends it`(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let pieces = [
      "set ", "\"", "\\", "C-", "M-", "x", ":", "$if ", "$else\n", "$endif\n", "\n", " ", "'", "é",
      "\\x", "\\0", "keymap", "vi", "undo", "\u{0}", "=", "#", "Control-", "-",
    ]
    for _ in 0..<2000 {
      let text = (0..<Int.random(in: 0..<20, using: &random)).map { _ in
        pieces.randomElement(using: &random) ?? ""
      }.joined()
      _ = InputSettings(text)
    }
  }
}
