// What all commands have in common: colours, JSON, one-line errors, versions.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct CommandLineTests {
  /// Commands that colour what they print.
  private static let colored = [
    ["info", pv], ["verify", pv], ["dump", pv, "X86_TSC_INFO"], ["diff", pv, pvh],
    ["compat", pv, "--xen", "4.17"], ["set", pv, "X86_TSC_INFO.khz=1", "--dry-run"],
    ["-e", "return { X86_TSC_INFO = function(r) r.khz = 1 end }", pv, "--dry-run"],
  ]

  @Test(arguments: colored)
  func colorsComeOnlyWhereTheyAreWanted(words: [String]) {
    let plain = Program.run(words).text
    #expect(!plain.contains("\u{1B}"), "a file got colours")
    let colored = Program.run(words + ["--color", "always"]).text
    #expect(colored.contains("\u{1B}["))
    #expect(Self.withoutColors(colored) == plain)
    #expect(Program.run(words + ["--color=never"]).text == plain)
    let quoted = words.map { "'\($0)'" }.joined(separator: " ")
    #expect(
      Program.shell("env -u NO_COLOR CLICOLOR_FORCE=1 xensave-lua \(quoted)").text == colored)
    #expect(Program.shell("NO_COLOR=1 CLICOLOR_FORCE=1 xensave-lua \(quoted)").text == plain)
    let wrong = Program.run(words + ["--color", "alway"])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("did you mean 'always'?"), "\(wrong.errors)")
  }

  private static func withoutColors(_ text: String) -> String {
    var out = ""
    var isInside = false
    for character in text {
      if character == "\u{1B}" { isInside = true }
      if !isInside { out.append(character) }
      if character == "m" { isInside = false }
    }
    return out
  }

  @Test(arguments: [
    "info IMAGE", "verify IMAGE", "verify --rules", "dump IMAGE", "diff IMAGE IMAGE",
    "compat IMAGE --xen 4.17", "pages IMAGE --zero", "set IMAGE X86_TSC_INFO.khz=1 --dry-run",
    "convert IMAGE OUT --to v2 --lossy", "compact IMAGE OUT", "wrap IMAGE OUT --in libxl --lossy",
    "export IMAGE OUT --format raw", "run --list", "run summary IMAGE",
    "run strip IMAGE X86_MSR_POLICY --dry-run", "convert IMAGE OUT --layout aligned",
    "recover IMAGE", "policy list", "helper --check", "emu-manager --check",
    "map IMAGE --by duplicates", "history IMAGE", "report IMAGE -o OUT",
    "unwrap IMAGE OUT --layer libxc", "delta IMAGE IMAGE OUT", "test Tests/Lua/cpuid_test.lua",
    "store put OUT IMAGE",
  ])
  func jsonIsJSON(command: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let words = command.replacing("IMAGE", with: pv).replacing("OUT", with: folder + "/out")
    let outcome = Program.shell(
      "xensave-lua \(words) --json | python3 -c 'import json, sys; json.load(sys.stdin)'")
    #expect(outcome.exitCode == 0, "\(command): \(outcome.errors)")
  }

  /// Commands whose results are for people have them for programs too. Those left out print
  /// none, or nothing else (host, each).
  /// JSON ends with its line, and no empty one follows.
  @Test(arguments: [
    ["info"], ["verify"], ["compat", "--xen", "4.17"], ["pages"], ["map"], ["guest"], ["history"],
    ["dump", "X86_TSC_INFO"],
  ])
  func jsonEndsWithItsLine(words: [String]) {
    let image = Program.fixtures + "pv-4m-1v-tiny.xlsave"
    let outcome = Program.run([words[0], image] + words.dropFirst() + ["--json"])
    guard !outcome.text.isEmpty else { return #expect(words[0] == "guest", "\(outcome.errors)") }
    #expect(outcome.text.hasSuffix("\n") && !outcome.text.hasSuffix("\n\n"), "\(words)")
  }

  @Test func everyCommandHasJSON() {
    let help = Program.run(["--help"]).text
    let listed = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst()
    let names = listed.filter { $0.hasPrefix("  ") && $0.dropFirst(2).first?.isLowercase == true }
      .compactMap { $0.split(separator: " ").first.map(String.init) }
    #expect(names.count > 15, "\(help)")
    let below = [
      "policy list", "policy test", "policy explain", "policy tune", "store put", "store ls",
      "store gc",
    ]
    for name in names + below
    where !["policy", "store", "new", "init", "help", "host", "each"].contains(name) {
      let words = name.split(separator: " ").map(String.init)
      #expect(Program.run(words + ["--help"]).text.contains("--json"), "\(name)")
    }
  }

  @Test func resultsOfTestsAreJSON() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let good = """
      local t = require "xensave.testing"
      t.test("holds", function() print "noise" end)
      t.test("fails", function() t.equal(1 + 1, 3, "sum") end)
      """
    Program.write(Array(good.utf8), to: folder + "/a_test.lua")
    Program.write(Array("error 'no test at all'".utf8), to: folder + "/b_test.lua")
    let outcome = Program.run(["test", folder, "--json"])
    #expect(outcome.exitCode == 1)
    #expect(outcome.errors == "noise\n")
    let script = """
      import json, sys
      report = json.load(sys.stdin)
      print(report["passed"], report["failed"])
      for test in report["tests"]:
          print(test["file"][-10:], test.get("test"), test["passed"], test.get("message"))
      print("a_test.lua:3:" in report["tests"][1]["traceback"])
      """
    Program.write(Array(script.utf8), to: folder + "/read.py")
    let read = Program.shell(
      "xensave-lua test \(folder) --json 2>/dev/null | python3 \(folder)/read.py")
    #expect(
      read.text == """
        1 2
        a_test.lua holds True None
        a_test.lua fails False \(folder)/a_test.lua:3: sum: expected 3, got 2
        b_test.lua None False \(folder)/b_test.lua:1: no test at all
        True

        """, "\(read.errors)")
  }

  @Test func explanationsOfTracesAreJSON() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let made = Program.shell(
      "xensave-lua run make-traces --to=\(folder) --pages=4096 --link=1G >/dev/null && "
        + "xensave-lua policy explain builtin --trace \(folder)/web.trace --link 1G --json "
        + "| python3 -c 'import json, sys; r = json.load(sys.stdin)[0]; "
        + "print(r[\"trace\"], r[\"policy\"], r[\"downtime_limit_ns\"], r[\"rounds\"][0][\"round\"], "
        + "r[\"best_downtime_ns\"] == r[\"rounds\"][r[\"best_round\"]][\"downtime_ns\"])'")
    #expect(made.text == "web.trace builtin 300000000 0 True\n", "\(made.errors)")
  }

  @Test(arguments: [
    ("verify --jsn \(pv)", "verify: unknown option '--jsn'", "did you mean '--json'?"),
    ("compat \(pv)", "expected --xen or --for-host", "compat"),
    ("verfy \(pv)", "no command and no script 'verfy'", "'verify'"),
    ("rename \(pv) x", "no command", "xensave-lua run rename"),
    ("run renam \(pv)", "no script 'renam'", "'rename'"),
    ("dump \(pv) X86_TSC_INF", "X86_TSC_INF", "X86_TSC_INFO"),
    ("set \(pv) X86_TSC_INFO.kHz=1 --dry-run", "no field 'kHz'", "khz"),
  ])
  func mistakesAreOneLineWithAHint(words: String, what: String, hint: String) {
    let outcome = Program.shell("xensave-lua \(words)")
    #expect(outcome.exitCode == 2 || outcome.exitCode == 3 || outcome.exitCode == 1)
    #expect(outcome.text.isEmpty)
    let lines = outcome.errors.split(separator: "\n")
    #expect(lines.count == 1, "\(outcome.errors)")
    #expect(outcome.errors.hasPrefix("xensave-lua: "), "\(outcome.errors)")
    #expect(
      outcome.errors.contains(what) && outcome.errors.lowercased().contains(hint.lowercased()),
      "\(outcome.errors)")
  }

  @Test func theVersionSaysWhatItIsMadeFor() {
    let version = Program.run(["--version"]).text
    #expect(version.hasPrefix("xensave-lua 0."))
    for word in ["Lua 5.4.", "libxc stream", "libxl stream", "live Xen 4.14 to 4."] {
      #expect(version.contains(word))
    }
    #expect(Program.run(["verify", "--version"]).text == version)
  }

  @Test func foldersForScriptsAreMade() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let first = Program.run(["init", folder + "/new"])
    #expect(first.exitCode == 0, "\(first.errors)")
    let settings = Program.shell(
      "python3 -c 'import json, sys; s = json.load(open(sys.argv[1])); "
        + "print(s[\"workspace.library\"][0])' \(folder)/new/.luarc.json")
    let library = settings.text.split(separator: "\n").first.map(String.init) ?? ""
    #expect(Program.exists(library + "/xensave.lua"), "\(settings.errors)")
    // What is there stays.
    Program.write(Array("mine".utf8), to: folder + "/new/.luarc.json")
    #expect(Program.run(["init", folder + "/new"]).exitCode == 0)
    #expect(Program.read(folder + "/new/.luarc.json") == Array("mine".utf8))
  }

  /// A program without what comes with it says so, and where it has looked.
  @Test(.enabled(if: !Program.exists("/usr/share/xensave-lua"), "it is installed here"))
  func aProgramByItselfSaysWhatIsMissing() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let there = Program.shell(
      "mkdir \(folder)/bin && cp \"$(command -v xensave-lua)\" \(folder)/bin")
    #expect(there.exitCode == 0, "\(there.errors)")
    for (words, what) in [
      ("run --list", "scripts"), ("run --list --json", "scripts"), ("run rename x", "scripts"),
      ("policy list", "policies"), ("policy list --json", "policies"),
    ] {
      let outcome = Program.shell("\(folder)/bin/xensave-lua \(words)")
      #expect(outcome.exitCode == 1 && outcome.output.isEmpty, "\(words)")
      #expect(
        outcome.errors.contains("no \(what) are installed: there are none in ")
          && outcome.errors.split(separator: "\n").count == 1, "\(words): \(outcome.errors)")
    }
  }
}
