import Glibc
import TestKit
import Testing

@testable import Terminal

/// The driver on a real pseudo terminal. Serialized: only one editor of a process may read.
@Suite(.serialized) struct LineEditorTests {
  /// Runs an editor on `pty` on its own thread until the input ends.
  private func start(
    _ pty: Pty, history: String? = nil, options: @escaping @Sendable () -> LineEditorOptions
  ) -> (thread: TestThread, lines: ReadLines) {
    let lines = ReadLines()
    let terminal = pty.terminal
    let thread = TestThread {
      let editor = LineEditor(
        options: options(), history: history.map { History(path: $0) } ?? History(),
        input: terminal, output: terminal, terminalName: "xterm")
      do {
        repeat {
          lines.append(try editor.readLine())
        } while lines.all.last != .endOfInput
      } catch {
        Issue.record("\(error)")
      }
    }
    return (thread, lines)
  }

  private func start(_ pty: Pty, history: String? = nil) -> (thread: TestThread, lines: ReadLines) {
    start(pty, history: history) { LineEditorOptions() }
  }

  @Test func `reads typed lines`() {
    let pty = Pty()
    let (thread, lines) = start(pty)
    #expect(pty.shows([">"]))
    #expect(!pty.isCooked)
    #expect(pty.screen.bracketsPaste)
    pty.type("héllo" + Keys.left + Keys.backspace + "L")
    #expect(pty.shows(["> hélLo"]))
    pty.type("\r")
    #expect(pty.shows(["> hélLo", ">"]))
    pty.type(Keys.control("d"))
    thread.join()
    #expect(lines.all == [.text("hélLo"), .endOfInput])
    #expect(pty.isCooked)
    #expect(pty.wait { !$0.bracketsPaste })
    #expect(pty.screen.unknown == [])
  }

  @Test func `keeps what is typed ahead`() {
    let pty = Pty()
    let (thread, lines) = start(pty)
    #expect(pty.shows([">"]))
    pty.type("one\rtwo\rthr" + "ee\r" + Keys.control("d"))
    thread.join()
    #expect(lines.all == [.text("one"), .text("two"), .text("three"), .endOfInput])
  }

  @Test func `drops a line by Ctrl-C`() {
    let pty = Pty()
    let (thread, lines) = start(pty)
    #expect(pty.shows([">"]))
    pty.type("abc\u{3}")
    #expect(pty.shows(["> abc^C", ">"]))
    pty.type(Keys.control("d"))
    thread.join()
    #expect(lines.all == [.interrupted, .endOfInput])
  }

  @Test func `takes a lone escape as a key after a while`() {
    let pty = Pty()
    let (thread, lines) = start(pty)
    #expect(pty.shows([">"]))
    pty.type(Keys.control("r") + "x")
    #expect(pty.wait { $0.text.last == "search: x  (not found)" })
    pty.type("\u{1B}")
    #expect(pty.shows([">"]))
    pty.type("b\r" + Keys.control("d"))
    thread.join()
    #expect(lines.all == [.text("b"), .endOfInput])
  }

  @Test func `sees a new size at the next key`() {
    let pty = Pty(columns: 20)
    let (thread, _) = start(pty)
    #expect(pty.shows([">"]))
    pty.type("12345678901234567")
    #expect(pty.shows(["> 12345678901234567"]))
    pty.resize(columns: 10, rows: 8)
    pty.type("8")
    #expect(pty.shows(["> 12345678", "9012345678"]))
    pty.type("\r" + Keys.control("d"))
    thread.join()
  }

  @Test func `remembers blocks over two runs`() {
    let directory = TemporaryDirectory()
    let path = directory.path + "/history"
    for run in 0..<2 {
      let pty = Pty()
      let (thread, lines) = start(pty, history: path) {
        var options = LineEditorOptions()
        options.isComplete = { $0.hasSuffix(";") }
        return options
      }
      #expect(pty.shows([">"]))
      if run == 0 {
        pty.type("a = 1\rb = 2;\r")
        #expect(pty.wait { $0.text.count == 3 })
      } else {
        pty.type(Keys.up)
        #expect(pty.shows(["> a = 1", ">> b = 2;"]))
        pty.type("\r")
      }
      pty.type(Keys.control("d"))
      thread.join()
      #expect(lines.all == [.text("a = 1\nb = 2;"), .endOfInput])
    }
    #expect(lines(path) == ["a = 1\\nb = 2;"])
  }

  @Test func `ends when the terminal goes away`() {
    var ends: (CInt, CInt) = (-1, -1)
    // Safety: openpty writes two descriptors.
    #expect(unsafe openpty(&ends.0, &ends.1, nil, nil, nil) == 0)
    let (keyboard, terminal) = ends
    let lines = ReadLines()
    let thread = TestThread {
      let editor = LineEditor(input: terminal, output: terminal, terminalName: "xterm")
      if let line = try? editor.readLine() { lines.append(line) }
    }
    usleep(100_000)
    close(keyboard)
    thread.join()
    close(terminal)
    #expect(lines.all == [.endOfInput])
  }

  @Test func `ends the line when the caller was interrupted`() {
    let pty = Pty()
    let (thread, lines) = start(pty) {
      var options = LineEditorOptions()
      var answers = [false, false, true]
      options.isInterrupted = { answers.isEmpty ? false : answers.removeFirst() }
      return options
    }
    #expect(pty.shows([">"]))
    pty.type("a")
    #expect(pty.shows(["> a"]))
    pty.type("b")
    #expect(pty.shows(["> ab"]))
    pty.type("c")
    #expect(pty.shows(["> ab^C", ">"]))
    pty.type(Keys.control("d"))
    thread.join()
    #expect(lines.all == [.interrupted, .endOfInput])
  }

  @Test func `refuses a second editor while one reads`() async {
    await #expect(processExitsWith: .failure) {
      let pty = Pty()
      let first = try TerminalSession(input: pty.terminal, output: pty.terminal)
      let second = try TerminalSession(input: pty.terminal, output: pty.terminal)
      try first.write([])
      try second.write([])
    }
  }

  @Test func `may read again after an error`() throws {
    let pty = Pty()
    #expect(throws: TerminalError(call: "tcgetattr", code: EBADF)) {
      _ = try TerminalSession(input: -1, output: pty.terminal)
    }
    let session = try TerminalSession(input: pty.terminal, output: pty.terminal)
    #expect(!pty.isCooked)
    try session.write([])
  }

  @Test(arguments: ["dumb", "", "unknown"])
  func `writes a prompt only, on a terminal that cannot do more`(name: String) throws {
    let pty = Pty()
    let editor = LineEditor(input: pty.terminal, output: pty.terminal, terminalName: name)
    #expect(!editor.isInteractive)
    pty.type("abc\r")
    #expect(try editor.readLine() == .text("abc"))
    #expect(pty.wait { $0.text.joined().contains(">") })
    #expect(pty.screen.unknown == [] && !pty.screen.bracketsPaste)
  }
}

/// What only a process with a controlling terminal can show.
@Suite struct JobControlTests {
  /// Reads one line on the standard descriptors and answers it.
  private static func readOne() {
    let editor = LineEditor(terminalName: "xterm")
    guard let line = try? editor.readLine() else { return }
    try? writeAll(Array("read \(line)\r\n".utf8), to: 1)
  }

  @Test func `redraws when the window changes`() async {
    await #expect(processExitsWith: .success) {
      let pty = Pty(columns: 20)
      let child = forkOnTerminal(pty) { JobControlTests.readOne() }
      precondition(pty.shows([">"]))
      pty.type("12345678901234567")
      precondition(pty.shows(["> 12345678901234567"]))
      pty.resize(columns: 10, rows: 8)
      precondition(pty.shows(["> 12345678", "901234567"]))
      pty.type("\r")
      precondition(pty.wait { $0.text.joined().contains("read text") })
      precondition(waitForChange(child) == 0)
    }
  }

  @Test(arguments: [SIGTERM, SIGHUP, SIGINT, SIGABRT, SIGSEGV])
  func `gives the terminal back when a signal kills it`(signal: CInt) async {
    await #expect(processExitsWith: .success) { [signal] in
      let pty = Pty()
      let child = forkOnTerminal(pty) {
        Glibc.signal(signal, SIG_DFL)
        JobControlTests.readOne()
      }
      precondition(pty.shows([">"]) && !pty.isCooked && pty.screen.bracketsPaste)
      send(signal, to: child)
      let status = waitForChange(child)
      precondition(status.map { $0 & 0x7F } == signal)
      precondition(pty.isCooked)
      precondition(pty.wait { !$0.bracketsPaste })
    }
  }

  @Test func `gives the terminal back when a closure exits`() async {
    await #expect(processExitsWith: .success) {
      let pty = Pty()
      let child = forkOnTerminal(pty) {
        var options = LineEditorOptions()
        options.isComplete = { _ in exit(7) }
        let editor = LineEditor(options: options, terminalName: "xterm")
        _ = try? editor.readLine()
      }
      precondition(pty.shows([">"]))
      pty.type("\r")
      precondition(waitForChange(child) == 7 << 8)
      precondition(pty.isCooked)
    }
  }

  @Test(arguments: [true, false])
  func `stops and continues`(byKey: Bool) async {
    await #expect(processExitsWith: .success) { [byKey] in
      let pty = Pty(columns: 30)
      var gate: [CInt] = [-1, -1]
      precondition(unsafe pipe(&gate) == 0)
      let shell = forkOnTerminal(pty) {
        let job = forkForegroundJob { JobControlTests.readOne() }
        if !byKey {
          var ready: UInt8 = 0
          _ = unsafe read(gate[0], &ready, 1)
          send(SIGTSTP, to: job)
        }
        guard let stopped = waitForChange(job), stopped & 0xFF == 0x7F else { _exit(1) }
        tcsetpgrp(0, getpgrp())
        try? writeAll(Array("stopped\n".utf8), to: 1)
        // The test looks at the terminal and types a line to the shell.
        var byte: UInt8 = 0
        _ = unsafe read(0, &byte, 1)
        tcsetpgrp(0, job)
        send(SIGCONT, to: job)
        guard waitForChange(job) == 0xFFFF, waitForChange(job) == 0 else { _exit(2) }
      }
      precondition(pty.shows([">"]))
      pty.type("abc")
      precondition(pty.shows(["> abc"]))
      if byKey { pty.type(Keys.control("z")) } else { try writeAll([1], to: gate[1]) }
      precondition(pty.shows(["> abc", "stopped"]))
      precondition(pty.isCooked && !pty.screen.bracketsPaste)
      pty.type("\n")
      precondition(pty.wait { $0.text.last == "> abc" && $0.bracketsPaste })
      pty.type("d\r")
      precondition(pty.wait { $0.text.joined().contains("read text(\"abcd\")") })
      precondition(waitForChange(shell) == 0)
    }
  }
}
