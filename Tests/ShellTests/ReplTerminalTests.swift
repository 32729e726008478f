// The interactive shell and its terminal: interrupts in time, windows that change their size.

import Glibc
import TestKit
import Testing

private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct ReplTerminalTests {
  private func session(
    _ words: [String] = [], columns: Int = 80, rows: Int = 40, _ body: (Session) -> Void
  ) {
    withSession(words, columns: columns, rows: rows) { session, _ in body(session) }
  }

  private func milliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
  }

  /// The shortest of several times from Ctrl-C to the next prompt: a loaded machine makes single
  /// ones long. `input` prints "runs" and then continues for ever, or for long.
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

  /// The modes of vi, and a key of one's own, by readline's init file.
  @Test func keysOfReadlinesInitFile() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    Program.write(
      Array(
        "set editing-mode vi\nset completion-ignore-case on\n\"\\C-x\": \"40 + \"\n".utf8),
      to: folder + "/inputrc")
    withSession(columns: 80, rows: 20, environment: ["INPUTRC=\(folder)/inputrc"]) { session, _ in
      session.type("\u{18}1\u{1B}")
      #expect(session.wait { $0.text.last == "> 40 + 1" }, "\(session.screen.text)")
      session.type("0r5\r")
      #expect(session.wait { $0.text.contains("51") }, "\(session.screen.text)")
      #expect(session.wait { $0.text.last == ">" }, "\(session.screen.text)")
      session.type("COROUT\t")
      #expect(session.wait { $0.text.last == "> coroutine" }, "\(session.screen.text)")
    }
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

  /// An image of 8 GiB, nearly all of it holes: its pages are hashed for seconds at least.
  private func writeSparseImage(_ path: String) {
    let small = path + ".small"
    let made = Program.run([
      "-e",
      "xs.synth { guest = 'x86_hvm', pages = 16 }:save '\(small)' "
        + "for r in xs.open '\(small)':records 'PAGE_DATA' do print(r.offset, r.length) end",
    ])
    let numbers = made.text.split(whereSeparator: { $0.isWhitespace }).compactMap { Int($0) }
    #expect(numbers.count == 2, "\(made.text)\(made.errors)")
    guard numbers.count == 2 else { return }
    let bytes = Program.read(small)
    let file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    defer { close(file) }
    var place = 0
    func put(_ piece: some Collection<UInt8>) {
      let bytes = Array(piece)
      #expect(
        bytes.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, place) } == bytes.count)
      place += bytes.count
    }
    func words(_ value: UInt64, _ count: Int) -> [UInt8] {
      (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    put(bytes[..<numbers[0]])
    for batch in 0..<UInt64(2048) {
      // PAGE_DATA: type, length, count, reserved, the page numbers; the pages are a hole.
      var head = words(1, 4) + words(8 + 1024 * (8 + 4096), 4) + words(1024, 4) + words(0, 4)
      for page in 0..<UInt64(1024) { head += words(batch * 1024 + page, 8) }
      put(head)
      place += 1024 * 4096
    }
    // The body, its header, and padding to a multiple of 8.
    put(bytes[(numbers[0] + 8 + (numbers[1] + 7) / 8 * 8)...])
  }

  /// A native pass that never waits: Lua sees nothing of it until it ends.
  @Test func aPassOverABigImageIsInterruptedWithin200Milliseconds() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    writeSparseImage(folder + "/big")
    session(["-i", folder + "/big"], rows: 100) { session in
      let best = interruptTime(session, "print \"runs\" img:dedupe()", tries: 3)
      #expect(best <= 200, "\(best) ms")
      #expect(
        session.screen.text.contains { $0.contains("in method 'dedupe'") },
        "\(session.screen.text)")
      session.type("img.guest\r")
      #expect(session.ends(with: ["> img.guest", "\"x86_hvm\"", ">"]), "\(session.screen.text)")
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
