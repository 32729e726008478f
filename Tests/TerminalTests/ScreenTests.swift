import TestKit
import Testing

@testable import Terminal

@Suite struct ScreenTests {
  @Test func `wraps long lines and puts the cursor after them`() {
    var harness = EditorHarness(columns: 10, rows: 5)
    harness.type("12345678")
    #expect(harness.screen.text == ["> 12345678"])
    #expect(harness.cursor == [1, 0])
    harness.type("9")
    #expect(harness.screen.text == ["> 12345678", "9"])
    #expect(harness.cursor == [1, 1])
    harness.type(Keys.left + Keys.left)
    #expect(harness.cursor == [0, 9])
    harness.type(Keys.backspace + Keys.end)
    #expect(harness.screen.text == ["> 12345689"])
  }

  @Test func `does not split wide characters`() {
    var harness = EditorHarness(columns: 9, rows: 5)
    harness.type("世界世界")
    #expect(harness.screen.text == ["> 世界世", "界"])
    harness.type(Keys.left)
    #expect(harness.cursor == [1, 0])
    harness.type(Keys.left)
    #expect(harness.cursor == [0, 6])
  }

  @Test func `keeps an empty row for a cursor before a line break`() {
    var harness = EditorHarness(columns: 10, rows: 5)
    harness.type(Keys.paste("12345678\nab") + Keys.up + Keys.end)
    #expect(harness.cursor == [1, 0])
    #expect(harness.screen.text == ["> 12345678", "", ">> ab"])
  }

  @Test func `shows controls, tabs and lone marks`() {
    var harness = EditorHarness()
    harness.type(Keys.paste("a\u{1B}[31m\tb\n\u{301}x"))
    // The escape is 4 columns, then "[31m": the tab ends at column 16 of the text.
    #expect(harness.screen.text == ["> a\\x1b[31m       b", ">> \u{25CC}\u{301}x"])
    #expect(harness.screen.unknown == [])
  }

  @Test func `scrolls text that is higher than the screen`() {
    var harness = EditorHarness(columns: 20, rows: 4)
    harness.type(Keys.paste((1...9).map(String.init).joined(separator: "\n")))
    #expect(harness.screen.text == [">> 6", ">> 7", ">> 8", ">> 9"])
    for _ in 0..<5 { harness.type(Keys.up) }
    #expect(harness.screen.text == [">> 4", ">> 5", ">> 6", ">> 7"])
    #expect(harness.cursor == [0, 4])
    harness.type(Keys.down)
    #expect(harness.screen.text == [">> 4", ">> 5", ">> 6", ">> 7"])
    #expect(harness.cursor == [1, 4])
  }

  @Test func `begins below output that does not end its row`() {
    var screen = VirtualScreen(columns: 20, rows: 5)
    screen.write(Array("no line break".utf8))
    var editor = Editor(
      options: LineEditorOptions(), size: TerminalSize(columns: 20, rows: 5))
    screen.write(editor.draw())
    #expect(screen.text == ["no line break%", ">"])
    #expect([screen.row, screen.column] == [1, 2])
  }

  @Test func `clears the screen`() {
    var harness = EditorHarness()
    harness.screen.write(Array("\r\nnoise".utf8))
    harness.type("abc" + Keys.control("l"))
    #expect(harness.screen.text == ["> abc"])
    #expect(harness.cursor == [0, 5])
  }

  @Test func `redraws after a resize without touching what is above`() {
    var harness = EditorHarness(columns: 30, rows: 6)
    harness.screen.write(harness.editor.finish())
    harness.editor = Editor(
      options: LineEditorOptions(), size: TerminalSize(columns: 30, rows: 6))
    harness.type("a line of twenty-eight chars")
    #expect(harness.screen.text == [">", "> a line of twenty-eight chars"])
    harness.resize(columns: 12, rows: 6)
    #expect(harness.screen.text == [">", "> a line of", "twenty-eight", " chars"])
    #expect(harness.cursor == [3, 6])
    harness.type(Keys.home)
    harness.resize(columns: 8, rows: 6)
    #expect(harness.screen.text == [">", "> a line", " of twen", "ty-eight", " chars"])
    harness.resize(columns: 40, rows: 6)
    #expect(harness.screen.text == [">", "> a line of twenty-eight chars"])
    #expect(harness.cursor == [1, 2])
    harness.resize(columns: 12, rows: 2)
    #expect(harness.screen.text == ["> a line of", "twenty-eight"])
  }

  @Test func `colors only when asked to`() {
    let configure: (inout LineEditorOptions) -> Void = {
      $0.prompt = Prompt("? ", Style(.green))
      $0.coloring = { text in [StyledRun(0..<1, Style(.red)), StyledRun(1..<99, Style(.blue))] }
    }
    var plain = EditorHarness(configure)
    plain.type("ab")
    #expect(plain.screen.attributes(row: 0, column: 0) == "")
    #expect(plain.screen.attributes(row: 0, column: 2) == "")
    var colored = EditorHarness {
      configure(&$0)
      $0.usesColor = true
    }
    colored.type("ab")
    #expect(colored.screen.attributes(row: 0, column: 0) == "0;32")
    #expect(colored.screen.attributes(row: 0, column: 2) == "0;31")
    #expect(colored.screen.attributes(row: 0, column: 3) == "0;34")
  }

  @Test func `ignores runs outside the text and splits none of its characters`() {
    var harness = EditorHarness {
      $0.usesColor = true
      $0.coloring = { _ in [StyledRun(-5 ..< -1, Style(.red)), StyledRun(1..<99, Style(.blue))] }
    }
    harness.type("世x")
    #expect(harness.screen.attributes(row: 0, column: 2) == "")
    #expect(harness.screen.attributes(row: 0, column: 4) == "0;34")
  }

  @Test func `is not laid out on less than two columns`() async {
    await #expect(processExitsWith: .failure) {
      _ = TextLayout.frame(
        text: "", cursor: 0, prompt: [], continuation: [], runs: [], columns: 1)
    }
    var harness = EditorHarness()
    harness.editor.resize(to: TerminalSize(columns: -1, rows: 0))
    harness.type("世界")
  }

  @Test func `makes escapes in prompts visible`() {
    let harness = EditorHarness { $0.prompt = Prompt("\u{1B}[1m> ") }
    #expect(harness.screen.text == ["\\x1b[1m>"])
  }

  @Test func `writes only what has changed`() {
    var harness = EditorHarness()
    harness.type("hello")
    var rest = Array("!".utf8)[...]
    _ = harness.editor.feed(&rest)
    let output = [harness.editor.draw(), harness.editor.draw()]
    #expect(output == [Array("!".utf8), []])
  }

  @Test func `pauses and begins anew`() {
    var harness = EditorHarness()
    harness.type("ab")
    harness.screen.write(harness.editor.pause())
    harness.screen.write(Array("stopped\r\n".utf8))
    harness.editor.restart()
    harness.type("c")
    #expect(harness.screen.text == ["> ab", "stopped", "> abc"])
  }
}
