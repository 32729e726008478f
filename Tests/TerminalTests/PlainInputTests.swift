import Glibc
import Testing

@testable import Terminal

@Suite struct PlainInputTests {
  /// Reads all blocks of `input` through a pipe; also returns what was written.
  private func read(
    _ input: [UInt8], _ configure: (inout LineEditorOptions) -> Void = { _ in }
  ) throws -> (lines: [LineEditor.Line], output: [UInt8]?) {
    let directory = TemporaryDirectory()
    write("", to: directory.path + "/in")
    let source = unsafe open(directory.path + "/in", O_RDWR)
    let sink = unsafe open(directory.path + "/out", O_RDWR | O_CREAT, 0o600)
    defer {
      close(source)
      close(sink)
    }
    try writeAll(input, to: source)
    lseek(source, 0, SEEK_SET)
    var options = LineEditorOptions()
    configure(&options)
    let editor = LineEditor(options: options, input: source, output: sink, terminalName: "xterm")
    #expect(!editor.isInteractive)
    var result: [LineEditor.Line] = []
    repeat { result.append(try editor.readLine()) } while result.last != .endOfInput
    #expect(editor.history.entries.isEmpty)
    return (result, contents(directory.path + "/out"))
  }

  // swift-format-ignore
  @Test(arguments: [
    ("",               []),
    ("a\nb\n",         ["a", "b"]),
    ("a\nb",           ["a", "b"]),
    ("\n\n",           ["", ""]),
    ("\u{1B}[A\t\u{3}\n", ["\u{1B}[A\t\u{3}"]),
    ("é世\n",          ["é世"]),
  ] as [(String, [String])])
  func `reads lines and writes nothing`(input: String, expected: [String]) throws {
    let (lines, output) = try read(Array(input.utf8))
    #expect(lines == expected.map { .text($0) } + [.endOfInput])
    #expect(output == [])
  }

  @Test func `joins the lines of a block`() throws {
    let (lines, _) = try read(Array("do\nx\nend\ny\ndo\n".utf8)) {
      $0.isComplete = { !$0.hasPrefix("do") || $0.hasSuffix("end") }
    }
    #expect(lines == [.text("do\nx\nend"), .text("y"), .text("do"), .endOfInput])
  }

  @Test func `repairs wrong UTF-8`() throws {
    let (lines, _) = try read([0x61, 0xFF, 0x0A])
    #expect(lines == [.text("a\u{FFFD}"), .endOfInput])
  }

  @Test func `leaves what follows the line to others`() throws {
    var ends: [CInt] = [-1, -1]
    #expect(unsafe pipe(&ends) == 0)
    try writeAll(Array("line\nrest".utf8), to: ends[1])
    close(ends[1])
    let editor = LineEditor(input: ends[0], output: 1)
    #expect(try editor.readLine() == .text("line"))
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = unsafe Glibc.read(ends[0], &bytes, bytes.count)
    #expect(Array(bytes.prefix(count)) == Array("rest".utf8))
    close(ends[0])
  }

  @Test func `throws what the descriptor answers`() {
    let editor = LineEditor(input: -1, output: 1)
    #expect(throws: TerminalError(call: "read", code: EBADF)) { try editor.readLine() }
  }
}
