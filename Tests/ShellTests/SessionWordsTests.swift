// What newcomers type in a session, and what it says to them.

import Glibc
import TestKit
import Testing

@testable import REPL

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite(.serialized) struct SessionWordsTests {
  /// A request to stop ends a command of the shell, and then the session.
  @Test func aStopReachesTheCommand() {
    withSession { session, _ in
      session.type("!echo runs; exec sleep 1000\r")
      #expect(session.ends(with: ["runs"]))
      session.send(SIGTERM)
      #expect(session.exitCode() == 143, "\(session.screen.text)")
    }
  }

  @Test(arguments: ["quit", "exit", "quit()", "exit()", ":q", "q"]) func wordsThatLeave(
    word: String
  ) {
    withSession { session, _ in
      session.type(word + "\r")
      #expect(session.exitCode() == 0, "\(session.screen.text)")
    }
  }

  @Test func aNameOfTheSessionIsItsOwn() {
    withSession { session, _ in
      expect(session, "quit = 5", [])
      expect(session, "quit", ["5"])
      expect(session, "info = 6", [])
      expect(session, "info", ["6"])
      expect(
        session, "help.x = 1",
        ["repl:1: attempt to index a function value (global 'help')"] + [
          "stack traceback:", "  repl:1: in main chunk",
        ])
    }
  }

  @Test func questionsAreAnswered() {
    let hex = [
      "xs.hex(value: integer, digits?: integer): string",
      "  An unsigned value in hexadecimal with 0x, with at least so many digits.",
      "  example: xs.hex(-1)  --> 0xffffffffffffffff",
      "  since: 0.1",
    ]
    withSession(["-i", pvh], rows: 100) { session, _ in
      for question in ["xs.hex?", "?xs.hex", "help xs.hex", "help(xs.hex)", "xs.hex ?"] {
        expect(session, question, hex)
      }
      expect(
        session, "help X86_TSC_INFO.khz",
        ["X86_TSC_INFO.khz: u32 (kHz)  Frequency that the guest sees."])
      for question in [
        "img?", "help Image", "img.config?", "img:save?", "HVM_PARAMS?", "img.vcpu[0].rip?",
      ] {
        session.type(question + "\r")
        #expect(session.isReady())
        #expect(!session.screen.text.suffix(4).contains { $0.contains("no help") }, "\(question)")
      }
      expect(session, "nothing?", ["no help for 'nothing'; apropos \"word\" searches"])
      // A question mark in Lua is Lua's.
      expect(session, "\"what?\"", ["\"what?\""])
    }
  }

  @Test func commandsOfTheShell() {
    withSession { session, home in
      expect(session, "!echo hello >&2; pwd", ["hello", home])
      expect(session, "!false", ["exit code 1"])
      expect(session, "!", ["expected: !COMMAND"])
      // Ctrl-C is the command's, however often, and the session lives on.
      session.type("!trap 'echo again' INT; echo runs; read x; read x; read x; exec sleep 1000\r")
      #expect(session.ends(with: ["runs"]))
      for count in 1...3 {
        session.type("\u{3}")
        #expect(
          session.wait { $0.text.count { $0.contains("again") } == count + 1 },
          "\(session.screen.text)")
      }
      session.type("\u{1C}")
      #expect(session.isReady(), "\(session.screen.text)")
      expect(session, "1 + 1", ["2"])
      expect(session, "1 + 1", ["2"])
    }
  }

  @Test func commandsOfTheProgramGetAdvice() {
    withSession(["-i", pvh], columns: 160) { session, _ in
      expect(
        session, "verify",
        [
          "verify is a command of the program, not of a session. Here: img:verify() checks the image "
            + "with your changes"
        ])
      expect(
        session, "set vcpu[0].rip=5",
        [
          "set is a command of the program, not of a session. Here: assign: img.config.c_info.name = "
            + "\"web1\"; img:changes() lists, img:save writes"
        ])
      expect(session, "ls", ["this is Lua. You may want: !ls runs a command of the shell"])
      expect(session, "nothing", ["nil"])
    }
  }

  /// Every command has its advice.
  @Test func noCommandIsForgotten() {
    let help = Program.run(["help"]).text
    let list = help[(help.firstRange(of: "SUBCOMMANDS:")?.upperBound ?? help.startIndex)...]
    let names = list.split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }.filter { $0 != "See" }
    #expect(names.count > 15, "\(help)")
    for name in names where name != "help" {
      #expect(Advice.commands[name] != nil, "\(name)")
    }
  }

  @Test func whatWasSavedIsLoaded() {
    let inputs = [
      "1 + 1", "=5", "x = { 1, y = { true } }", "x", "local z = 5",
      "local function f() return 1, 2 end",
      "f()", "f(), 3", "(\"a\"):rep(3)", "(f or g)()", "for i = 1, 2 do local w = i end",
      "if x then return end", "return 7", "return", "do goto on ::on:: end", "goto two ::two::",
      "-- nothing", "x.y, z = 6, _", "do q = 8 end", "local a <const> = 9",
      "s = [[two\\nlines]]", "x?", "!true", "_", "not x", "#x", "img.guest", "help xs.hex",
    ]
    withSession(["-i", pvh], rows: 200) { session, home in
      for input in inputs {
        session.type(input + "\r")
        #expect(session.isReady(), "\(input)")
      }
      session.type(".save out.lua\r")
      #expect(session.isReady())
      let text = String(decoding: Program.read(home + "/out.lua"), as: UTF8.self)
      expect(session, "x, z, q, a, s, x = nil", [])
      session.type(".load out.lua\r")
      #expect(session.isReady())
      #expect(
        !session.screen.text.contains { $0.contains("out.lua:") }, "\(text)\(session.screen.text)")
      expect(session, "x.y, q, a, s", ["6", "8", "9", "\"two\\nlines\""])
      // It is a script too.
      let script = Program.run([home + "/out.lua", pvh])
      #expect(script.exitCode == 0, "\(script.errors)\n\(text)")
    }
  }

  /// A search that continues for years: the first Ctrl-C says what the second does, and what was typed is
  /// kept.
  @Test func aPatternSearchCanBeLeft() {
    withSession { session, home in
      session.type("print \"runs\" s = (\"a\"):rep(30):find((\"a-\"):rep(30) .. \"b\")\r")
      #expect(session.ends(with: ["runs"]))
      #expect(session.computes())
      session.type("\u{3}")
      #expect(
        session.wait { screen in
          screen.text.joined().contains(
            "what runs here cannot be stopped: Ctrl-C again ends the session")
        }, "\(session.screen.text)")
      session.type("\u{3}")
      // By the signal.
      #expect(session.exitCode() == nil)
      let history = home + "/.local/state/xensave-lua/history"
      #expect(String(decoding: Program.read(history), as: UTF8.self).contains("rep(30):find"))
    }
  }
}
