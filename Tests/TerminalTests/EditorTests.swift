import TestKit
import Testing

@testable import Terminal

/// Keys typed into an empty editor, and the text with "|" at the cursor.
// swift-format-ignore
private let editing: [(keys: [String], result: String)] = [
  (["abc"], "abc|"),
  (["abc", Keys.left, "X"], "abX|c"),
  (["abc", Keys.control("b"), Keys.control("b"), Keys.control("f")], "ab|c"),
  (["abc", Keys.home, "X", Keys.end, "Y"], "XabcY|"),
  (["abc", Keys.control("a"), Keys.delete], "|bc"),
  (["abc", Keys.control("a"), Keys.control("d")], "|bc"),
  (["abc", Keys.backspace], "ab|"),
  (["éa\u{301}", Keys.backspace], "é|"),
  (["one two", Keys.alt("b"), Keys.alt("b"), Keys.alt("f")], "one| two"),
  (["one two\u{1B}[1;5D"], "one |two"),
  (["one two", Keys.home, "\u{1B}[1;5C"], "one| two"),
  (["one two", Keys.home, Keys.alt("d")], "| two"),
  (["a-b c-d", Keys.control("w")], "a-b |"),
  (["a-b c-d", Keys.altBackspace], "a-b c-|"),
  (["one two", Keys.alt("b"), Keys.control("k")], "one |"),
  (["one two", Keys.alt("b"), Keys.control("u")], "|two"),
  (["one two", Keys.control("w"), Keys.control("y"), Keys.control("y")], "one twotwo|"),
  (["a b c", Keys.control("w"), Keys.control("w"), Keys.home, Keys.control("y")], "b c|a "),
  (["a b", Keys.home, Keys.alt("d"), Keys.alt("d"), Keys.control("y")], "a b|"),
  (["a b", Keys.control("w"), "x", Keys.control("w"), Keys.control("y")], "a x|"),
  (["abc", Keys.control("t")], "acb|"),
  (["abc", Keys.left, Keys.control("t")], "acb|"),
  (["a", Keys.control("t")], "a|"),
  (["one two", Keys.undo], "one|"),
  (["one two", Keys.undo, Keys.undo], "|"),
  (["abc", Keys.control("u"), Keys.undo], "abc|"),
  (["a", Keys.undo, Keys.undo, "b"], "b|"),
  ([Keys.paste("x\r\ny")], "x\ny|"),
  (["a", Keys.paste("b c"), Keys.undo], "a|"),
  (["\u{1B}[15~", Keys.alt("x"), Keys.control("x")], "|"),
  (["a", Keys.altEnter, "b", Keys.home, Keys.control("u")], "a|b"),
  (["a", Keys.altEnter, "b", Keys.up, Keys.control("k")], "a|b"),
  (["ab", Keys.altEnter, "c", Keys.home, Keys.control("t")], "ab\n|c"),
  (["a", Keys.altEnter, "b", "\u{1B}[1;5H", "X"], "X|a\nb"),
  (["a", Keys.altEnter, "b", Keys.up, "\u{1B}[1;5F", "X"], "a\nbX|"),
]

@Suite struct EditorTests {
  @Test(arguments: editing)
  func `edits`(keys: [String], expected: String) {
    var harness = EditorHarness()
    harness.type(keys.joined())
    #expect(harness.marked == expected)
    #expect(harness.effects == [])
  }

  @Test func `submits, interrupts, ends and suspends`() {
    var harness = EditorHarness()
    harness.type("abc\r")
    #expect(harness.effects == [.submit("abc")])
    harness.type("\u{3}\u{1A}")
    #expect(harness.effects.dropFirst() == [.interrupt, .suspend])
    var empty = EditorHarness()
    empty.type("\u{4}")
    #expect(empty.effects == [.endOfInput])
  }

  @Test func `stops at a key with an effect and leaves the rest`() {
    var editor = Editor(options: LineEditorOptions())
    var bytes = Array("one\rtwo\r".utf8)[...]
    #expect(editor.feed(&bytes) == .submit("one"))
    #expect(Array(bytes) == Array("two\r".utf8))
  }

  @Test func `rings where there is nothing to do`() {
    var harness = EditorHarness()
    let keys = [
      Keys.backspace, Keys.delete, Keys.control("k"), Keys.control("u"), Keys.control("y"),
      Keys.undo, Keys.up, Keys.down, Keys.tab, Keys.control("t"), Keys.control("w"),
    ]
    for key in keys { harness.type(key) }
    #expect(harness.screen.bells == keys.count)
  }

  @Test func `takes a lone escape as a key only when told`() {
    var harness = EditorHarness()
    harness.type("\u{1B}")
    #expect(harness.editor.isInsideEscape)
    harness.editor.endEscape()
    harness.type("b")
    #expect(harness.text == "b")
  }
}

@Suite struct MultiLineTests {
  private func harness(columns: Int = 40, rows: Int = 10) -> EditorHarness {
    EditorHarness(columns: columns, rows: rows) {
      $0.isComplete = { !$0.hasPrefix("do") || $0.hasSuffix("end") }
    }
  }

  @Test func `inserts a line break while the block is incomplete`() {
    var harness = harness()
    harness.type("do\rx\rend")
    #expect(harness.effects == [])
    #expect(harness.screen.text == ["> do", ">> x", ">> end"])
    #expect(harness.cursor == [2, 6])
    harness.type("\r")
    #expect(harness.effects == [.submit("do\nx\nend")])
  }

  @Test func `moves between lines and keeps the column`() {
    var harness = harness()
    harness.type(Keys.paste("do long\nab\nlonger"))
    harness.type(Keys.up)
    #expect(harness.marked == "do long\nab|\nlonger")
    harness.type(Keys.up)
    #expect(harness.marked == "do lon|g\nab\nlonger")
    harness.type(Keys.down + Keys.down)
    #expect(harness.marked == "do long\nab\nlonger|")
    #expect(harness.cursor == [2, 9])
  }

  @Test func `breaks a line in its middle`() {
    var harness = harness()
    harness.type("do ab" + Keys.left + "\r")
    #expect(harness.marked == "do a\n|b")
    #expect(harness.screen.text == ["> do a", ">> b"])
    harness.type(Keys.backspace)
    #expect(harness.screen.text == ["> do ab"])
  }

  @Test func `asks for indentation`() {
    var harness = EditorHarness {
      $0.isComplete = { _ in false }
      $0.indentation = { text, cursor in
        text.utf8.prefix(cursor).last == UInt8(ascii: "(") ? "    " : ""
      }
    }
    harness.type("f(\rx\ry")
    #expect(harness.text == "f(\n    x\ny")
    harness.type(Keys.home + Keys.tab + "z")
    #expect(harness.text == "f(\n    x\n  zy")
  }

  @Test func `does not submit a paste`() {
    var harness = EditorHarness()
    harness.type(Keys.paste("a = 1\nb = 2\n"))
    #expect(harness.effects == [])
    #expect(harness.screen.text == ["> a = 1", ">> b = 2", ">>"])
    harness.type("\r")
    #expect(harness.effects == [.submit("a = 1\nb = 2\n")])
  }

  @Test func `leaves the whole block on the screen at the end`() {
    var harness = harness(columns: 20, rows: 4)
    let block = (1...9).map { "line \($0)" }.joined(separator: "\n")
    harness.type(Keys.paste(block) + "\u{1B}[1;5H")
    #expect(harness.screen.text == ["> line 1", ">> line 2", ">> line 3", ">> line 4"])
    #expect(harness.cursor == [0, 2])
    harness.screen.write(harness.editor.finish())
    #expect(
      harness.screen.everything.suffix(9)
        == ["> line 1"] + (2...9).map { ">> line \($0)" })
    #expect(harness.screen.column == 0)
    #expect(harness.screen.text.count == 3)
  }
}
