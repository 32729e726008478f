// How a session prints values, and where to.

import TestKit
import Testing

@testable import REPL

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct SessionOutputTests {
  @Test func partsOfAnImageArePrinted() {
    withSession(["-i", pvh], columns: 100, rows: 100) { session, _ in
      expect(session, "img:verify()", ["good, 1029 records"])
      expect(
        session, "img.vcpu",
        [
          "vCPU 0  rip    0x00000000001000c9  rsp    0x0000000000103000  cr3    0x0000000000000000"
        ])
      expect(
        session, "img.hvm_params",
        [
          "STORE_PFN [1]          0xfeffc", "IOREQ_PFN [5]          0xfeffd",
          "BUFIOREQ_PFN [6]       0xfeffb", "PAGING_RING_PFN [27]   0xfeff8",
          "MONITOR_RING_PFN [28]  0xfeff9", "SHARING_RING_PFN [29]  0xfeffa",
          "CONSOLE_PFN [17]       0xfefff", "IDENT_PT [12]          0xfeffe000",
        ])
      expect(session, "img.hvm_params.IDENT_PT", ["0xfeffe000"])
      expect(session, "img.vcpu[0].rip", ["0x1000c9"])
      session.type("img.cpuid\r")
      #expect(session.isReady())
      let rows = session.screen.text
      #expect(rows.contains("0x7,0  a 00000000  b 008801a9  c 00000000  d 00000000"), "\(rows)")
      #expect(rows.contains("and 13 leaves of zeros") && rows.contains("47 features"), "\(rows)")
    }
  }

  @Test func errorsArePrintedWithTheirFields() {
    withSession(columns: 120) { session, _ in
      expect(
        session, "xs.open \"nothing\"",
        [
          "nil",
          "nothing: open: No such file or directory { code = \"enoent\", errno = 2, path = \"nothing\" }",
        ])
    }
  }

  @Test func numbersTakeABase() {
    withSession { session, _ in
      expect(session, "{ 255, -1, 1.5 }", ["{ 255, -1, 1.5 }"])
      expect(session, ".base 16", [])
      expect(session, "{ 255, -1, 1.5 }", ["{ 0xff, 0xffffffffffffffff, 1.5 }"])
      expect(session, ".base 8", ["expected: .base 16 or .base 10"])
      expect(session, ".base 10", [])
      expect(session, "255", ["255"])
    }
  }

  @Test func runsAreFolded() {
    withSession { session, _ in
      expect(
        session, "(\"\\0\"):rep(100) .. \"x\"",
        [
          "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|", "*",
          "00000060  00 00 00 00 78                                    |....x|",
        ])
      expect(session, "t = {} for i = 1, 1000 do t[i] = 0 end t[500] = 1", [])
      expect(session, "t", ["{ 0 (499 times), 1, 0 (500 times) }"])
    }
  }

  @Test func whatIsPrintedGoesIntoCommandsAndFiles() {
    withSession(["-i", pvh]) { session, home in
      expect(session, "img.cpuid:features() | tr ',' '\\n' | grep -c avx", ["2"])
      expect(session, "print \"a\" print \"b\" | sort -r", ["b", "a"])
      expect(session, "img.guest > out.txt", ["1 line written to out.txt"])
      #expect(Program.read(home + "/out.txt") == Array("\"x86_hvm\"\n".utf8))
      session.type("img.guest > out.txt\r")
      #expect(
        session.wait { $0.text.contains { $0.contains("File exists") } }, "\(session.screen.text)")
      // What is Lua stays Lua.
      expect(session, "6 | 1", ["7"])
      expect(session, "6 > 5", ["true"])
      expect(session, "x = 3", [])
      expect(session, "x | x", ["3"])
      expect(session, "error(\"no\", 0) | cat", ["no"])
      #expect(Program.names(in: home).filter { $0 != ".local" } == ["out.txt"])
    }
  }

  @Test func longTextsGoThroughThePager() {
    withSession(
      ["-i", pvh], rows: 12, environment: ["PAGER=sed 's/^/P:/' | tail -n 2"]
    ) { session, _ in
      expect(session, "1", ["1"])
      expect(
        session, "for i = 1, 30 do t = (t or \"\") .. i .. \"\\n\" end", [])
      expect(session, "t", ["P:29", "P:30"])
      expect(session, ".pager off", [])
      expect(session, "t:sub(-6)", ["29", "30"])
      session.type("t\r")
      #expect(session.ends(with: ["29", "30", ">"]), "\(session.screen.text)")
    }
    withSession(["-i", "--no-pager", pvh], rows: 12, environment: ["PAGER=sed 's/^/P:/'"]) {
      session, _ in
      session.type("help()\r")
      #expect(session.wait { $0.text.last == ">" }, "\(session.screen.text)")
      #expect(!session.screen.everything.contains { $0.hasPrefix("P:") })
    }
  }

  @Test(arguments: [40, 80, 120]) func registersFillTheWidth(columns: Int) {
    withSession(["-i", pv], columns: columns) { session, _ in
      session.type("img.vcpu[0]\r")
      #expect(session.isReady())
      let rows = session.screen.text.filter { $0.hasPrefix("  r") }
      #expect(rows.count == (18 + columns / 27 - 1) / (columns / 27), "\(session.screen.text)")
    }
  }

  @Test func aDumbTerminalGetsPlainText() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    let session = Session(["-i", pvh], home: home, environment: ["TERM=dumb"])
    #expect(session.wait { $0.text.last?.hasPrefix(">") == true }, "\(session.screen.text)")
    session.type("img:verify()\r")
    #expect(
      session.wait { $0.text.contains("good, 1029 records") }, "\(session.screen.text)")
    session.type("quit\r")
    #expect(session.exitCode() == 0)
  }

  @Test func inputsAreTakenApart() {
    func reader(_ known: Set<String> = ["x", "img"]) -> InputReader {
      InputReader(
        compiles: { !$0.contains("| less -") && !$0.hasSuffix("grep b") && !$0.contains("> a/") },
        isKnown: known.contains, isCommand: ["less", "grep"].contains)
    }
    for (text, code, target) in [
      ("x", "x", nil), ("x | y", "x | y", nil), ("x | less", "x", .command("less")),
      ("x | less -S", "x", .command("less -S")), ("f(a | less)", "f(a | less)", nil),
      ("x > out.txt", "x", .file("out.txt")), ("x > y", "x > y", nil),
      ("x > img.y", "x > img.y", nil),
      ("x > 1.5", "x > 1.5", nil), ("x > a/b c", "x", .file("a/b c")),
    ] as [(String, String, OutputTarget?)] {
      let found = reader().split(text)
      #expect(found.code == code && found.target == target, "\(text): \(found)")
    }
    #expect(reader(["less"]).split("x | less").target == nil)
  }
}
