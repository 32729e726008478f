import TestKit
import Testing

@testable import Terminal

@Suite struct CompletionTests {
  /// Completes words of small letters from a list.
  private func harness(
    columns: Int = 40, rows: Int = 10, words: [String] = ["print", "printf", "private", "page"]
  ) -> EditorHarness {
    EditorHarness(columns: columns, rows: rows) {
      $0.completions = { text, cursor in
        let before = Array(text.utf8.prefix(cursor))
        let letters = UInt8(ascii: "a")...UInt8(ascii: "z")
        let start = (before.lastIndex { !letters.contains($0) } ?? -1) + 1
        let word = String(decoding: before[start...], as: UTF8.self)
        return Completions(
          replacing: start..<cursor,
          words.filter { $0.hasPrefix(word) }.map { Completion($0, note: "about \($0)") })
      }
    }
  }

  @Test func `inserts the only candidate`() {
    var harness = harness()
    harness.type("x(pa)" + Keys.left + Keys.tab)
    #expect(harness.marked == "x(page|)")
    harness.type(Keys.tab)
    #expect(harness.screen.bells == 1)
    harness.type(Keys.undo)
    #expect(harness.marked == "x(pa|)")
  }

  @Test func `inserts the common prefix first, then opens a menu`() {
    var harness = harness()
    harness.type("pr" + Keys.tab)
    #expect(harness.marked == "pri|")
    #expect(harness.screen.text == ["> pri"])
    harness.type(Keys.tab)
    #expect(harness.screen.text == ["> print", "print    printf   private", "about print"])
    #expect(harness.screen.attributes(row: 1, column: 0) == "0;7")
    #expect(harness.screen.attributes(row: 1, column: 9) == "")
    #expect(harness.cursor == [0, 7])
  }

  @Test func `goes around the menu in both directions`() {
    var harness = harness()
    harness.type("pri" + Keys.tab)
    var seen: [String] = []
    for key in [Keys.tab, Keys.tab, Keys.tab, Keys.backTab, Keys.left, Keys.right] {
      harness.type(key)
      seen.append(harness.text)
    }
    #expect(seen == ["printf", "private", "print", "private", "printf", "private"])
    #expect(harness.screen.text.last == "about private")
    #expect(harness.screen.attributes(row: 1, column: 18) == "0;7")
  }

  @Test func `opens the menu at the end by Shift-Tab`() {
    var harness = harness()
    harness.type("pri" + Keys.backTab)
    #expect(harness.text == "private")
  }

  @Test(arguments: [(Keys.enter, "print|"), ("(", "print(|"), (Keys.home, "|print")])
  func `accepts the selection`(key: String, expected: String) {
    var harness = harness()
    harness.type("pri" + Keys.tab + key)
    #expect(harness.marked == expected)
    #expect(harness.effects == [])
    #expect(harness.screen.text.count == 1)
  }

  @Test func `gives the selection up`() {
    var harness = harness()
    harness.type("pri" + Keys.tab + Keys.tab + Keys.control("g"))
    #expect(harness.marked == "pri|")
    #expect(harness.screen.text == ["> pri"])
    harness.type(Keys.tab + Keys.escape)
    harness.editor.endEscape()
    harness.type("")
    #expect(harness.marked == "pri|")
  }

  @Test func `takes a completion back as one step`() {
    var harness = harness()
    harness.type("pri" + Keys.tab + Keys.tab + Keys.tab + Keys.undo)
    #expect(harness.marked == "pri|")
  }

  @Test func `scrolls a menu that does not fit`() {
    var harness = harness(columns: 20, rows: 8, words: (10..<50).map { "w\($0)" })
    harness.type("w" + Keys.tab)
    #expect(harness.screen.text.count == 5)
    #expect(harness.screen.text.last == "1/40  about w10")
    #expect(harness.screen.text[1] == "w10  w11  w12  w13")
    for _ in 0..<4 { harness.type(Keys.down) }
    #expect(harness.text == "w26")
    #expect(harness.screen.text[3] == "w26  w27  w28  w29")
    harness.type(Keys.backTab)
    #expect(harness.text == "w25")
    #expect(harness.screen.attributes(row: 2, column: 15) == "0;7")
  }

  @Test func `shows untrusted names harmlessly`() {
    var harness = EditorHarness {
      $0.completions = { _, cursor in
        Completions(
          replacing: 0..<cursor,
          [
            Completion("x", display: "\u{1B}[31mred\n", note: "a\u{7}\nsecond"), Completion("yy"),
          ])
      }
    }
    harness.type("a" + Keys.tab)
    #expect(harness.screen.text == ["> x", "\\x1b[31mred\\n  yy", "a\\x07"])
    #expect(harness.screen.unknown == [])
    #expect(harness.screen.bells == 0)
  }

  @Test(arguments: [-5..<99, 1..<2, 3..<3, 99..<100, -9 ..< -3])
  func `accepts any range`(range: Range<Int>) {
    var harness = EditorHarness {
      $0.completions = { _, _ in Completions(replacing: range, [Completion("a"), Completion("b")]) }
    }
    harness.type("世界" + Keys.tab + Keys.tab + Keys.tab + "x")
    #expect(harness.text.contains("ax"))
  }

  @Test func `fits into a screen of one row`() {
    var harness = harness(columns: 20, rows: 1)
    harness.type("pri" + Keys.tab)
    #expect(harness.screen.text == ["> print"])
    harness.resize(columns: 20, rows: 2)
    #expect(harness.screen.text == ["> print", "print    printf"])
  }
}
