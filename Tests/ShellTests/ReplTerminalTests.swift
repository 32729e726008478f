// The interactive shell and its terminal: interrupts in time, windows that change their size.

import Glibc
import TestKit
import Testing

private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct ReplTerminalTests {
  private func session(
    _ words: [String] = [], columns: Int = 80, rows: Int = 40, _ body: (Session) -> Void
  ) {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    let session = Session(words, home: home, columns: columns, rows: rows)
    #expect(session.isReady(), "\(session.screen.everything)")
    body(session)
    #expect(session.screen.unknown == [])
  }

  private func milliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
  }

  /// The shortest of several times from Ctrl-C to the next prompt: a loaded machine makes single
  /// ones long. `input` prints "runs" and then goes on for ever, or for long.
  private func interruptTime(_ session: Session, _ input: String, tries: Int = 5) -> Int {
    var best = Int.max
    for number in 1...tries {
      session.type(input + "\r")
      #expect(session.wait { $0.text.count { $0.hasPrefix("runs") } == number })
      usleep(20_000)
      let start = milliseconds()
      session.type("\u{3}")
      #expect(
        session.wait {
          $0.text.last == ">" && $0.text.count { $0.contains("interrupted") } >= number
        },
        "\(session.screen.text)")
      best = min(best, milliseconds() - start)
    }
    return best
  }

  @Test func aLoopIsInterruptedWithin200Milliseconds() {
    session(rows: 100) { session in
      let best = interruptTime(session, "print \"runs\" while true do end")
      #expect(best <= 200, "\(best) ms")
    }
  }

  /// A verification of a pipe in which nothing comes: Lua sees nothing of it until it ends.
  @Test func aNativePassIsInterruptedWithin200Milliseconds() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let pipe = folder + "/pipe"
    #expect(mkfifo(pipe, 0o600) == 0)
    let writer = open(pipe, O_RDWR)
    defer { close(writer) }
    session(rows: 100) { session in
      let best = interruptTime(session, "print \"runs\" assert(xs.verify \"\(pipe)\")", tries: 3)
      #expect(best <= 200, "\(best) ms")
      session.type("1 + 1\r")
      #expect(session.ends(with: ["> 1 + 1", "2", ">"]), "\(session.screen.text)")
    }
  }

  @Test func aNewWindowSizeIsTakenUp() {
    session(columns: 60) { session in
      let long = "name = \"" + String(repeating: "x", count: 40) + "\""
      session.type(long)
      #expect(session.ends(with: ["> " + long]))
      session.resize(columns: 30, rows: 20)
      #expect(
        session.ends(with: ["> " + long.prefix(28), String(long.dropFirst(28))]),
        "\(session.screen.text)")
      session.type("\r")
      #expect(session.isReady())
      // What is printed takes the new width too.
      session.type("{ a = name, b = 1 }\r")
      #expect(
        session.ends(with: [
          "> { a = name, b = 1 }", "{", "  a = \"" + String(repeating: "x", count: 23),
          String(repeating: "x", count: 17) + "\",",
          "  b = 1,",
          "}", ">",
        ]), "\(session.screen.text)")
      session.resize(columns: 70, rows: 20)
      session.type("{ a = name, b = 1 }\r")
      #expect(
        session.ends(with: [
          "> { a = name, b = 1 }", "{ a = \"" + String(repeating: "x", count: 40) + "\", b = 1 }",
          ">",
        ]), "\(session.screen.text)")
    }
  }
}
