import TestKit
import Testing

@testable import Terminal

@Suite struct HistoryBrowserTests {
  private let entries = ["one", "for\n  two\nend", "three"]

  @Test func `goes up and down at the edges of the block`() {
    var harness = EditorHarness(entries: entries)
    harness.type("draft" + Keys.up)
    #expect(harness.marked == "three|")
    harness.type(Keys.up)
    #expect(harness.marked == "for\n  two\nend|")
    #expect(harness.screen.text == ["> for", ">>   two", ">> end"])
    harness.type(Keys.up)
    #expect(harness.marked == "for\n  t|wo\nend")
    harness.type(Keys.up + Keys.up)
    #expect(harness.marked == "one|")
    harness.type(Keys.up)
    #expect(harness.marked == "one|")
    #expect(harness.screen.bells == 1)
    harness.type(Keys.down + Keys.down + Keys.down)
    #expect(harness.marked == "draft|")
    #expect(harness.screen.text == ["> draft"])
  }

  @Test func `jumps over lines by Ctrl-p and to the ends`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.control("p") + Keys.control("p") + Keys.control("p"))
    #expect(harness.text == "one")
    harness.type(Keys.control("n"))
    #expect(harness.text == entries[1])
    harness.type(Keys.alt(">"))
    #expect(harness.text == "")
    harness.type(Keys.alt("<"))
    #expect(harness.text == "one")
  }

  @Test func `keeps changes of entries until the block ends`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.up + "!" + Keys.control("p") + Keys.control("n"))
    #expect(harness.text == "three!")
    #expect(harness.editor.browser.entries == entries)
  }
}

@Suite struct HistorySearchTests {
  private let entries = ["open image", "print(x)", "Open file", "for i = 1, 2 do\n  open(i)\nend"]

  @Test func `searches backward as the query grows`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.control("r") + "op")
    #expect(harness.marked == "for i = 1, 2 do\n  |open(i)\nend")
    #expect(harness.screen.text.last == "search: op")
    #expect(harness.cursor == [1, 5])
    harness.type("en ")
    #expect(harness.marked == "|Open file")
    harness.type(Keys.control("r"))
    #expect(harness.marked == "|open image")
    harness.type(Keys.control("r"))
    #expect(harness.screen.text.last == "search: open   (not found)")
    #expect(harness.screen.bells == 1)
    harness.type(Keys.control("s"))
    #expect(harness.marked == "|Open file")
    #expect(harness.screen.text.last == "search forward: open")
  }

  @Test func `respects capitals in the query`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.control("r") + "Open")
    #expect(harness.text == "Open file")
  }

  @Test func `submits what was found`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.control("r") + "prin\r")
    #expect(harness.effects == [.submit("print(x)")])
  }

  @Test func `continues editing and walking from what was found`() {
    var harness = EditorHarness(entries: entries)
    harness.type("draft" + Keys.control("r") + "prin" + Keys.tab + Keys.end + "!")
    #expect(harness.marked == "print(x)!|")
    harness.type(Keys.control("p"))
    #expect(harness.text == "open image")
    harness.type(Keys.alt(">"))
    #expect(harness.text == "draft")
  }

  @Test func `gives the draft back`() {
    var harness = EditorHarness(entries: entries)
    harness.type("dr" + Keys.control("r") + "prin" + Keys.control("g"))
    #expect(harness.marked == "dr|")
    #expect(harness.screen.text == ["> dr"])
    harness.type(Keys.control("r") + "zzz")
    #expect(harness.text == "dr")
    harness.type(Keys.backspace + Keys.backspace + Keys.backspace + "x)")
    #expect(harness.text == "print(x)")
    harness.type("\u{3}")
    #expect(harness.effects == [.interrupt])
  }

  @Test func `repeats the last query`() {
    var harness = EditorHarness(entries: entries)
    harness.type(Keys.control("r") + "open" + Keys.control("g"))
    harness.type(Keys.control("r") + Keys.control("r"))
    #expect(harness.text == entries[3])
  }

  @Test(arguments: [("", 0..<0), ("b", 1..<2), ("abc", 0..<3), ("abcd", nil), ("é", nil)])
  func `finds bytes`(needle: String, expected: Range<Int>?) {
    #expect(HistorySearch.find(Array(needle.utf8), in: "abc", ignoresCase: true) == expected)
  }
}
