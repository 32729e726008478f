// The interactive shell on a terminal: what is on the screen after what was typed.

import Reports
import TestKit
import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct ReplTests {
  /// Runs `body` in a session that shows its first prompt.
  private func session(
    _ words: [String] = [], columns: Int = 80, rows: Int = 40, _ body: (Session) -> Void
  ) {
    withSession(words, columns: columns, rows: rows) { session, _ in body(session) }
  }

  /// Types a line and waits for the rows that then are above a new prompt.
  private func expect(
    _ session: Session, _ input: String, _ rows: [String],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    session.type(input + "\r")
    let last = String(input.split(separator: "\r").last ?? "")
    let ends = ["> ", ">> "].map { [$0 + last] + rows + [">"] }
    #expect(
      session.wait { screen in ends.contains { screen.text.suffix($0.count).elementsEqual($0) } },
      "\(session.screen.text)", sourceLocation: sourceLocation)
  }

  @Test func theBannerTeaches() {
    session(["-i", pvh], columns: 200) { session in
      #expect(
        session.screen.text.dropFirst().elementsEqual([
          "> local xs = require \"xensave\"", "> img = assert(xs.open \"\(pvh)\")", ">",
        ]))
      session.type("\u{4}")
      #expect(session.exitCode() == 0)
    }
  }

  @Test func valuesArePrinted() {
    session { session in
      expect(session, "1 + 1", ["2"])
      expect(session, "_ * 21", ["42"])
      expect(session, "=\"a\", nil", ["\"a\"", "nil"])
      expect(session, "x = { 1, y = { true } }", [])
      expect(session, "x", ["{ 1, y = { true } }"])
      expect(session, "local z = 5", [])
      expect(session, "z", ["5"])
      expect(
        session, "(\"\\0\"):rep(20)",
        [
          "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|",
          "00000010  00 00 00 00                                       |....|",
        ])
    }
  }

  @Test func wideTablesTakeSeveralLines() {
    session(columns: 40) { session in
      expect(session, "name = (\"n\"):rep(20)", [])
      expect(
        session, "{ name = name, 111111111, b = {} }",
        ["{", "  111111111,", "  b = {},", "  name = \"nnnnnnnnnnnnnnnnnnnn\",", "}"])
    }
  }

  @Test func fieldsArePrintedAsTheirTablesSay() {
    session(["-i", pvh]) { session in
      expect(session, "img.guest", ["\"x86_hvm\""])
      expect(session, "tsc = img:first \"X86_TSC_INFO\"", [])
      expect(session, "tsc.khz", ["2596097 kHz"])
      expect(session, "params = img:first \"HVM_PARAMS\"", [])
      expect(session, "params.param.STORE_PFN.value", ["0xfeffc"])
      expect(
        session, "params.param.STORE_PFN",
        [
          "param[0]:", "  index: 1 (STORE_PFN)", "  value: 0xfeffc",
        ])
    }
  }

  @Test func memoryAndRegistersArePrinted() {
    session(["-i", pv], columns: 100) { session in
      expect(
        session, "img.vcpu[0]:virtual(img.vcpu[0].rip, 16)",
        ["00010455  48 ff c8 75 f9 e9 05 fe  ff ff 54 49 4e 59 20 50  |H..u......TINY P|"])
      session.type("img.vcpu[0]\r")
      #expect(session.isReady())
      #expect(
        session.screen.text.contains(
          "  rax    0x000000000050fb0c  rbx    0x0100000001000193  rcx    0x0000000000059000"),
        "\(session.screen.text)")
      session.type("img:page(0x10)\r")
      #expect(session.ends(with: ["... 3584 more bytes", ">"]), "\(session.screen.text)")
    }
  }

  @Test func hexdumpsHaveColors() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    let session = Session(["-i", "--color=always", pvh], home: home)
    #expect(session.isReady())
    for input in ["img:first(\"X86_TSC_INFO\").body", "img:first(\"X86_TSC_INFO\"):hexdump()"] {
      session.type(input + "\r")
      #expect(session.wait { $0.text.suffix(3).first?.hasPrefix("00000000  00") == true })
      let row = session.screen.text.count - 3
      // The address, a zero, another byte, the text.
      let columns = [0, 10, 25, 62]
      let attributes = columns.map { session.screen.attributes(row: row, column: $0) }
      #expect(attributes == ["90", "90", "", "32"], "\(session.screen.text)")
    }
  }

  @Test func blocksOfSeveralLines() {
    session { session in
      session.type("for i = 1, 2 do\r")
      #expect(session.ends(with: ["> for i = 1, 2 do", ">>"]))
      session.type("print(i)\rend\r")
      #expect(session.ends(with: [">>   print(i)", ">>   end", "1", "2", ">"]))
      session.type("x = 1 +\r")
      #expect(session.ends(with: ["> x = 1 +", ">>"]))
      expect(session, "2", [])
      expect(session, "x", ["3"])
    }
  }

  @Test func errorsHaveATraceback() {
    session { session in
      expect(session, "x = = 1", ["repl:1: unexpected symbol near '='"])
      expect(
        session, "error \"no\"",
        [
          "repl:1: no", "stack traceback:", "  [C]: in function 'error'",
          "  repl:1: in main chunk",
        ])
    }
  }

  @Test func ctrlCStopsAScript() {
    session { session in
      session.type("function spin() while true do pcall(spin) end end\r")
      #expect(session.isReady())
      // A key that comes before the line was taken is a key, and no signal.
      session.type("print \"runs\" spin()\r")
      #expect(session.ends(with: ["runs"]))
      session.type("\u{3}")
      #expect(session.wait { $0.text.contains("interrupted") && $0.text.last == ">" })
      // Deep inside, its first lines may have left the screen and its middle is cut out.
      #expect(session.screen.text.contains { $0.contains("spin") || $0.contains("pcall") })
      session.type("print \"again\" while true do end\r")
      #expect(session.ends(with: ["again"]))
      session.type("\u{3}")
      // The signal may come while print is still running, which the traceback then names.
      #expect(
        session.ends(with: ["  repl:1: in main chunk", ">"]), "\(session.screen.text)")
      #expect(session.screen.text.count { $0 == "interrupted" } == 2)
      expect(session, "1 + 1", ["2"])
    }
  }

  @Test func ctrlCDropsALineAndCtrlDLeaves() {
    session { session in
      session.type("abc\u{3}")
      #expect(session.ends(with: ["> abc^C", ">"]))
      session.type("\u{4}")
      #expect(session.exitCode() == 0)
    }
  }

  @Test func tabCompletes() {
    session(["-i", pvh]) { session in
      expect(session, "xs.vers\t", ["\"\(productVersion)\""], typed: "xs.version")
      expect(session, "rec = img:fir\t\"X86_TS\t\"", [], typed: "rec = img:first\"X86_TSC_INFO\"")
      expect(session, "rec.kh\t", ["2596097 kHz"], typed: "rec.khz")
      expect(session, "img.conf\t.c_in\t.ty\t", ["\"pvh\""], typed: "img.config.c_info.type")
      expect(session, "(\"x\"):re\t(2)", ["\"xx\""], typed: "(\"x\"):rep(2)")
      // By declared types alone: nothing is called.
      expect(
        session, "xs.verify(img.path).er\t", ["0"], typed: "xs.verify(img.path).errors")
      expect(
        session, "img:first(\"HVM_PARAMS\").cou\t", ["8"],
        typed: "img:first(\"HVM_PARAMS\").count")
    }
  }

  /// Types keys that complete to `typed`.
  private func expect(
    _ session: Session, _ keys: String, _ rows: [String], typed: String,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    session.type(keys + "\r")
    #expect(
      session.ends(with: ["> " + typed] + rows + [">"]), "\(session.screen.text)",
      sourceLocation: sourceLocation)
  }

  @Test func completionRunsNothing() {
    session { session in
      expect(session, "ran = 0", [])
      expect(
        session,
        "t = setmetatable({ abc = 1 }, { __index = function() ran = ran + 1 end })", [])
      session.type("t.x.\tt.ab\t\u{15}")
      expect(session, "ran", ["0"])
      expect(session, "t.ab\t", ["1"], typed: "t.abc")
    }
  }

  @Test func completionOfFilesAndModules() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    Program.write(Program.read(pv), to: home + "/unique-name.img")
    let session = Session([], home: home)
    #expect(session.isReady())
    expect(
      session, "xs.open(\"uniq\t\").guest", ["\"x86_pv\""],
      typed: "xs.open(\"unique-name.img\").guest")
    session.type("type(require \"xensave.filters.ren\t\")\r")
    #expect(
      session.ends(with: ["> type(require \"xensave.filters.rename\")", "\"table\"", ">"]),
      "\(session.screen.text)")
  }

  @Test func severalCandidatesMakeAMenu() {
    session { session in
      session.type("xs.re\t")
      #expect(
        session.wait { screen in
          ["record", "record_type", "repr", "rewrite"].allSatisfy { name in
            screen.text.contains { $0.contains(name) }
          }
        }, "\(session.screen.text)")
    }
  }

  @Test func theHistoryOutlivesTheSession() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    let first = Session([], home: home)
    #expect(first.isReady())
    first.type("answer = 41\r")
    #expect(first.ends(with: ["> answer = 41", ">"]))
    first.type("\u{4}")
    #expect(first.exitCode() == 0)
    #expect(Program.exists(home + "/.local/state/xensave-lua/history"))
    let second = Session([], home: home)
    #expect(second.isReady())
    second.type("\u{1B}[A")
    #expect(second.ends(with: ["> answer = 41"]), "\(second.screen.text)")
    second.type(" + 1\r")
    #expect(second.ends(with: ["> answer = 41 + 1", ">"]))
    second.type("answer\r")
    #expect(second.ends(with: ["> answer", "42", ">"]))
  }

  @Test func help() {
    session(rows: 100) { session in
      expect(
        session, "help \"X86_TSC_INFO.mode\"",
        [
          "X86_TSC_INFO.mode: u32  How RDTSC works.", "  0  default", "  1  always_emulate",
          "  2  never_emulate", "  3  pvrdtscp",
        ])
      expect(
        session, "help(xs.hex)",
        [
          "xs.hex(value: integer, digits?: integer): string",
          "  An unsigned value in hexadecimal with 0x, with at least so many digits.",
          "  example: xs.hex(-1)  --> 0xffffffffffffffff",
          "  since: 0.1",
        ])
      expect(
        session, "help \"Record.ech\"",
        ["no help for 'Record.ech' (did you mean 'Record:each'?); apropos \"word\" searches"])
      session.type("apropos \"never_emulate\"\r")
      #expect(session.isReady())
      session.type("help\r")
      #expect(session.wait { $0.text.contains("record types") && $0.text.last == ">" })
    }
  }

  @Test func dotCommands() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    Program.write(Array("loaded = 7\nreturn loaded\n".utf8), to: home + "/file.lua")
    Program.write(Array("#!/bin/sh\necho 'edited = 9' >\"$1\"\n".utf8), to: home + "/editor")
    _ = Program.shell("chmod +x \(home)/editor")
    let session = Session([], home: home, environment: ["EDITOR=\(home)/editor"])
    #expect(session.isReady())
    expect(session, ".load file.lua", ["7"])
    expect(session, "loaded + 1", ["8"])
    expect(session, ".edit", ["edited = 9"])
    expect(session, "edited", ["9"])
    expect(session, ".save out.lua", ["4 inputs written to out.lua"])
    #expect(
      String(decoding: Program.read(home + "/out.lua"), as: UTF8.self)
        == "local xs = require \"xensave\"\ndofile \"file.lua\"\n_ = loaded + 1\nedited = 9\n"
        + "_ = edited\n")
    expect(session, ".sav", ["no command .sav (did you mean 'save'?)"])
    session.type(".time 1 + 1\r")
    #expect(session.wait { $0.text.last == ">" && $0.text.contains { $0.hasSuffix(" ms") } })
    session.type(".quit\r")
    #expect(session.exitCode() == 0)
  }

  @Test func aScriptBeforeTheSession() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    Program.write(
      Array("found = img.guest\nreturn function() return false end\n".utf8),
      to: home + "/script.lua")
    let session = Session(["-i", "script.lua", pv], home: home)
    #expect(session.isReady())
    expect(session, "found", ["\"x86_pv\""])
    expect(session, "type(filter)", ["\"function\""])
  }

  @Test func colorsAreThereWhenAskedFor() {
    let home = Program.temporaryFolder()
    defer { Program.remove(home) }
    let session = Session(["-i", "--color=always"], home: home)
    #expect(session.isReady())
    session.type("123\r")
    #expect(session.ends(with: ["> 123", "123", ">"]))
    let row = session.screen.text.count - 2
    #expect(session.screen.attributes(row: row, column: 0) == "36")
  }
}
