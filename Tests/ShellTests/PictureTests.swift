// map and history: what they draw, and for whom.

import Reports
import Terminal
import TestKit
import Testing

@Suite final class PictureTests {
  let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"
  let folder = Program.temporaryFolder()

  deinit { Program.remove(folder) }

  /// Runs a check in Python over what a command printed.
  private func check(_ command: String, _ script: String) -> Outcome {
    Program.write(Array(script.utf8), to: folder + "/check.py")
    return Program.shell("\(command) | python3 '\(folder)/check.py'")
  }

  // MARK: - Map

  @Test func theMapIsText() {
    let outcome = Program.run(["map", pv])
    #expect(outcome.exitCode == 0)
    #expect(outcome.errors == "")
    #expect(!outcome.text.contains("\u{1B}"))
    #expect(outcome.text.contains("page types and zeros; a cell is 1 page, 4.0 KiB\n"))
    #expect(outcome.text.contains("\n  0x0 ................"))
    #expect(outcome.text.contains(". zeros 546"))
    #expect(outcome.text.split(separator: "\n").allSatisfy { displayWidth(String($0)) <= 80 })
  }

  @Test func coloursAreHalfBlocks() {
    let colored = Program.shell("LC_ALL=C.UTF-8 xensave-lua map '\(pv)' --color always")
    #expect(colored.text.contains("\u{1B}[0;90"))
    #expect(colored.text.contains("\u{2588}"))
    #expect(colored.text.split(separator: "\n").count <= 20)
    // Where the locale has no blocks: blanks in colours.
    let ascii = Program.shell("LC_ALL=C xensave-lua map '\(pv)' --color always")
    #expect(ascii.text.contains("\u{1B}[0;100m "))
    #expect(ascii.output.allSatisfy { $0 < 0x80 })
    for variables in ["NO_COLOR=1 TERM=xterm", "TERM=dumb"] {
      let plain = Program.shell("\(variables) xensave-lua map '\(pv)'")
      #expect(plain.text == Program.run(["map", pv]).text)
    }
  }

  @Test(arguments: [30, 40, 80, 133, 300])
  func picturesFit(columns: Int) {
    let tint = Tint("a tint with a name", "#", .red, light: "#ff0000", dark: "#ff8080")
    let picture = CellPicture(
      title: "a title of several words that is longer than a narrow screen has columns",
      tints: [tint, tint, tint],
      bands: [
        CellPicture.Band(
          first: 0xFEF0_0000, step: 16, cells: (0..<700).map { $0 % 5 == 0 ? nil : $0 % 3 })
      ], notes: ["12,345", "", "1"])
    for canvas in [
      Canvas(columns: columns, isColored: false, hasBlocks: false),
      Canvas(columns: columns, isColored: true, hasBlocks: true),
      Canvas(columns: columns, isColored: true, hasBlocks: false),
    ] {
      let text = canvas.text(picture).replacing(#/\x1B\[[0-9;]*m/#, with: "")
      for line in text.split(separator: "\n") {
        #expect(displayWidth(String(line)) <= columns, "\(line)")
      }
      #expect(text.contains("12,345"))
    }
  }

  @Test func theMapIsJSON() {
    let script = """
      import json, sys
      m = json.load(sys.stdin)
      assert m["views"] == ["types", "duplicates", "entropy"], m["views"]
      assert m["pages_per_cell"] == 64 and len(m["cells"]) <= 16
      t = m["total"]
      assert t["pages"] == 1024 and t["zero"] == 546 and t["copies"] == 0, t
      for key in ("pages", "zero", "copies"):
          assert sum(c[key] for c in m["cells"]) == t[key]
      assert sum(t["types"].values()) == 1024
      first = [int(c["first_pfn"], 16) for c in m["cells"]]
      assert first == sorted(first) and all(f % 64 == 0 for f in first)
      assert all(0 <= c.get("entropy", 0) <= 8 for c in m["cells"])
      """
    let outcome = check(
      "xensave-lua map '\(pv)' --by types --by duplicates --by entropy --cells 16 --json", script)
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
  }

  @Test func wrongWordsAreUsage() {
    for (words, problem) in [
      (["map", pv, "--by", "size"], "expected one of types, duplicates, entropy, use, got 'size'"),
      (["map", pv, "--cells", "0"], "expected 1 to 65536, got 0"),
      (["map", pv, "--json", "-o", "-"], "exclude each other"),
      (["map", pv, "-o", pv], "is one of the inputs"),
      (["history", pv, "-o", pv], "is one of the inputs"),
      (["report", pv, "-o", pv], "is one of the inputs"),
      (["report", pv], "Missing expected argument"),
    ] {
      let outcome = Program.run(words)
      #expect(outcome.exitCode == 2)
      #expect(outcome.errors.lowercased().contains(problem.lowercased()), "\(outcome.errors)")
    }
  }

  /// A guest that tells nothing has a map all the same.
  @Test func useIsUnknownWithoutAKernel() {
    let outcome = Program.run(["map", pv, "--by", "use"])
    #expect(outcome.exitCode == 0)
    #expect(outcome.text.contains("? unknown 1,024"))
    #expect(outcome.errors.hasPrefix("xensave-lua: note: the use is not known: "))
  }

  /// Names of files are text in SVG, too.
  @Test func drawingsAreXML() {
    let name = folder + "/<script>&\"'.img"
    Program.write(Program.read(pv), to: name)
    for command in ["map", "history"] {
      let out = folder + "/\(command).svg"
      #expect(Program.run([command, name, "-o", out]).exitCode == 0)
      let script = """
        import sys, xml.etree.ElementTree as E
        root = E.parse(sys.stdin).getroot()
        space = "{http://www.w3.org/2000/svg}"
        names = {e.tag for e in root.iter()}
        assert names <= {space + n for n in ("svg", "title", "style", "rect", "text", "line", "g")}, names
        assert "<script>&\\"'.img" in root.find(space + "title").text
        assert sum(1 for e in root.iter(space + "rect")) > 10
        height = float(root.get("height"))
        for e in root.iter(space + "rect"):
            if e.get("y"): assert float(e.get("y")) + float(e.get("height")) <= height
        assert "prefers-color-scheme:dark" in root.find(space + "style").text
        """
      let outcome = check("cat '\(out)'", script)
      #expect(outcome.exitCode == 0, "\(outcome.errors)")
    }
  }

  /// The chart of back-tests shows every trace and policy, whatever its file is called.
  @Test func policiesAreCharted() {
    let (one, two, out) = (folder + "/one<b>.trace", folder + "/two.trace", folder + "/chart.svg")
    let code =
      "local d <close> = xs.sim { pages = 64 }; "
      + "assert(assert(d:migrate \"cat >/dev/null\").trace:save(arg[1]))"
    for path in [one, two] {
      #expect(Program.run(["-e", code, pv, path]).exitCode == 0)
    }
    let drawn = Program.run([
      "policy", "test", "give-up", "--trace", one, two, "--svg", out,
    ])
    #expect(drawn.exitCode == 0, "\(drawn.errors)")
    let script = """
      import sys, xml.etree.ElementTree as E
      root = E.parse(sys.stdin).getroot()
      space = "{http://www.w3.org/2000/svg}"
      words = [e.text for e in root.iter(space + "text")]
      for word in ("one<b>.trace", "two.trace", "downtime", "sent", "pages a second"):
          assert word in words, (word, words)
      assert words.count("builtin") == 3 and words.count("give-up") == 3, words
      assert len(list(root.iter(space + "circle"))) == 4
      assert "prefers-color-scheme:dark" in root.find(space + "style").text
      """
    let outcome = check("cat '\(out)'", script)
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
  }

  // MARK: - History

  private func stream() -> String {
    let path = folder + "/stream"
    Program.write(StreamBuilder.remus(checkpoints: 3).bytes, to: path)
    return path
  }

  @Test func roundsAreBars() {
    let outcome = Program.run(["history", stream()])
    #expect(outcome.exitCode == 0)
    #expect(
      outcome.text.hasPrefix(
        """
        \(folder)/stream
        3 rounds, 3 checkpoints: 7 pages sent, 4 of them again,
        """), "\(outcome.text)")
    #expect(outcome.text.contains("\n    0      3  ####################"), "\(outcome.text)")
    #expect(
      outcome.text.contains("       checkpoint 1\n    1      2  =========="), "\(outcome.text)")
    #expect(outcome.text.contains(". once 1  + 3 or 4 2\n"), "\(outcome.text)")
  }

  @Test func aPipeIsAsGoodAsAFile() {
    let path = stream()
    let script = """
      import json, sys
      h = json.load(sys.stdin)
      assert h["image"] == "-" and h["checkpoints"] == 3
      assert [r["checkpoint"] for r in h["rounds"]] == [0, 1, 2]
      assert [r["again"] for r in h["rounds"]] == [0, 2, 2]
      assert h["times_sent"] == {"1": 1, "3": 2}, h["times_sent"]
      assert sum(c["pages"] for c in h["cells"]) == 3
      assert max(c["most"] for c in h["cells"]) == 3
      """
    let outcome = check("cat '\(path)' | xensave-lua history - --json", script)
    #expect(outcome.exitCode == 0, "\(outcome.errors)")
    let wrong = Program.shell("echo no stream | xensave-lua history -")
    #expect(wrong.exitCode == 1)
    #expect(wrong.errors.split(separator: "\n").count == 1)
  }
}
