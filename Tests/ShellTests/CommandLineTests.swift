// What all commands have in common: colours, JSON, one-line errors, versions.

import Testing

private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
private let pvh = Program.fixtures + "pvh-4m-1v-tiny.xlsave"

@Suite struct CommandLineTests {
  /// Commands that colour what they print.
  private static let coloured = [
    ["info", pv], ["verify", pv], ["dump", pv, "X86_TSC_INFO"], ["diff", pv, pvh],
    ["compat", pv, "--xen", "4.17"], ["set", pv, "X86_TSC_INFO.khz=1", "--dry-run"],
    ["-e", "return { X86_TSC_INFO = function(r) r.khz = 1 end }", pv, "--dry-run"],
  ]

  @Test(arguments: coloured)
  func coloursComeOnlyWhereTheyAreWanted(words: [String]) {
    let plain = Program.run(words).text
    #expect(!plain.contains("\u{1B}"), "a file got colours")
    let coloured = Program.run(words + ["--color", "always"]).text
    #expect(coloured.contains("\u{1B}["))
    #expect(Self.withoutColours(coloured) == plain)
    #expect(Program.run(words + ["--color=never"]).text == plain)
    let quoted = words.map { "'\($0)'" }.joined(separator: " ")
    #expect(
      Program.shell("env -u NO_COLOR CLICOLOR_FORCE=1 xensave-lua \(quoted)").text == coloured)
    #expect(Program.shell("NO_COLOR=1 CLICOLOR_FORCE=1 xensave-lua \(quoted)").text == plain)
    let wrong = Program.run(words + ["--color", "alway"])
    #expect(wrong.exitCode == 2)
    #expect(wrong.errors.contains("did you mean 'always'?"), "\(wrong.errors)")
  }

  private static func withoutColours(_ text: String) -> String {
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
    "lua/examples/strip.lua IMAGE X86_MSR_POLICY --dry-run",
  ])
  func jsonIsJSON(command: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let words = command.replacing("IMAGE", with: pv).replacing("OUT", with: folder + "/out")
    let outcome = Program.shell(
      "xensave-lua \(words) --json | python3 -c 'import json, sys; json.load(sys.stdin)'")
    #expect(outcome.exitCode == 0, "\(command): \(outcome.errors)")
  }

  @Test(arguments: [
    ("verify --jsn \(pv)", "verify: unknown option '--jsn'", "did you mean '--json'?"),
    ("compat \(pv)", "compat: missing expected argument", "xensave-lua compat --help"),
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
}
