// What the documents show is what the program does.

import Testing

private let docs = "Sources/DocGenerator/Documentation.docc/"

@Suite struct DocumentTests {
  /// Code blocks of a Markdown file: language and text.
  private func blocks(_ path: String) -> [(language: String, text: String)] {
    let lines = String(decoding: Program.read(Program.checkout + "/" + path), as: UTF8.self)
      .split(separator: "\n", omittingEmptySubsequences: false)
    var out: [(language: String, text: String)] = []
    var current: (language: String, lines: [Substring])?
    for line in lines {
      if line.hasPrefix("```") {
        if let block = current {
          out.append((block.language, block.lines.joined(separator: "\n")))
          current = nil
        } else {
          current = (String(line.dropFirst(3)), [])
        }
      } else {
        current?.lines.append(line)
      }
    }
    return out
  }

  /// Every "$ command" of a document runs in a folder that looks like the checkout, and prints what
  /// stands below it. A Lua block whose first line is "-- NAME.lua: ..." is that file.
  @Test(arguments: ["README.md", docs + "Tour.md", docs + "Cookbook.md"])
  func commandsPrintWhatTheDocumentSays(document: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    _ = Program.shell(
      "for f in Tests lua; do ln -s \"$PWD/$f\" \(folder)/$f; done")
    var ran = 0
    for block in blocks(document) {
      if block.language == "lua", block.text.hasPrefix("-- "),
        let end = block.text.firstRange(of: ".lua:")
      {
        let name = block.text[block.text.index(block.text.startIndex, offsetBy: 3)..<end.lowerBound]
        Program.write(Array((block.text + "\n").utf8), to: "\(folder)/\(name).lua")
      }
      var command: String?
      var expected = ""
      func check() {
        guard let text = command else { return }
        ran += 1
        let outcome = Program.shell("cd \(folder) && \(text)")
        #expect(outcome.text == expected, "\(document): \(text): \(outcome.errors)")
      }
      for line in block.text.split(separator: "\n", omittingEmptySubsequences: false) {
        if line.hasPrefix("$ ") {
          check()
          command = String(line.dropFirst(2))
          expected = ""
        } else {
          expected += line + "\n"
        }
      }
      check()
    }
    #expect(ran > 5)
  }

  /// Pages for those who change the program name files that are there: one that was renamed is found.
  @Test(arguments: ["Architecture", "Contributing", "Decisions", "Security"])
  func pagesNameFilesThatExist(page: String) {
    let text = String(
      decoding: Program.read("\(Program.checkout)/\(docs)\(page).md"), as: UTF8.self)
    let places = ["", "Sources/", "Sources/DocGenerator/"].map { "\(Program.checkout)/\($0)" }
    var named = 0
    for match in text.matches(of: #/`([\w.+-]+(?:/[\w.+-]+)+)`/#) {
      let name = String(match.1)
      // Words that stand for a name, and what is not ours.
      guard name.contains("/"), !name.contains("NAME"), !name.hasPrefix("."),
        name.contains(#/\.(swift|c|h|md|lua|py)$/#)
          || name.contains(#/^(scripts|Tests|lua|Sources)\//#)
      else { continue }
      named += 1
      #expect(places.contains { Program.exists($0 + name) }, "\(page).md: \(name)")
    }
    #expect(named > (page == "Security" ? 2 : page == "Decisions" ? 3 : 10))
  }

  /// The page that goes by messages names rules of `verify`, and commands, that there are.
  @Test func troubleshootingNamesRulesThatExist() {
    let text = String(
      decoding: Program.read("\(Program.checkout)/\(docs)Troubleshooting.md"), as: UTF8.self)
    let rules = Set(
      Program.run(["verify", "--rules", "--color", "never"]).text.split(separator: "\n").compactMap
      {
        $0.split(separator: " ").first.map(String.init)
      })
    let named = text.matches(of: #/\[([a-z0-9-]+\.[a-z0-9-]+)\]/#).map { String($0.1) }
    #expect(named.count > 20)
    for name in named { #expect(rules.contains(name), "\(name)") }
    let help = Program.run(["--help"]).text
    for match in text.matches(of: #/xensave-lua ([a-z]+) /#) {
      #expect(help.contains("  \(match.1) "), "\(match.1)")
    }
  }

  /// The picture of the targets, and the table under it, have all that Package.swift has.
  @Test func everyTargetIsInThePicture() {
    let package = String(
      decoding: Program.read(Program.checkout + "/Package.swift"), as: UTF8.self)
    let page = String(
      decoding: Program.read("\(Program.checkout)/\(docs)Architecture.md"), as: UTF8.self)
    guard let picture = page.split(separator: "```").dropFirst().first else {
      Issue.record("no picture")
      return
    }
    let shipped = package.matches(of: #/\bswift\(\s*"(\w+)"/#).map { String($0.1) }
    #expect(shipped.count > 20)
    for name in shipped + ["xensave-lua", "DocGenerator", "CLuaShim", "CXen", "CSystem"] {
      let words = picture.split { !($0.isLetter || $0.isNumber || $0 == "-") || $0.isNewline }
      #expect(words.contains(name[...]), "\(name) is not in the picture")
      #expect(page.contains("`\(name)`"), "\(name) is not in the table")
    }
  }

  /// Every example in lua/examples says how it is used, and complains about wrong use with 2.
  @Test(arguments: Program.names(in: Program.checkout + "/lua/examples"))
  func examplesDeclareTheirUse(name: String) {
    let path = Program.checkout + "/lua/examples/" + name
    let text = String(decoding: Program.read(path), as: UTF8.self)
    #expect(text.hasPrefix("#!/usr/bin/env xensave-lua\n-- "))
    // Those that take no image are run by name.
    let takesImage = text.contains("usage: xensave-lua \(name) IMAGE")
    let plain = String(name.dropLast(4))
    #expect(takesImage || text.contains("usage: xensave-lua run \(plain) "))
    let outcome = Program.run(takesImage ? [path] : ["run", plain, "--no-such-option"])
    #expect(outcome.exitCode == 2, "\(outcome.errors)")
  }

  @Test func examplesRun() {
    let pv = "Tests/Fixtures/pv-4m-1v-tiny.xlsave"
    let pvh = "Tests/Fixtures/pvh-4m-1v-tiny.xlsave"
    for (words, text) in [
      ("mask-cpuid.lua \(pv) 7.0:b:0x20 --dry-run", "cpuid[0x7,0].b: 0x880129 -> 0x880109"),
      ("rename.lua \(pvh) web1 --dry-run", "config.c_info.name: \"tpvh\" -> \"web1\""),
      ("hvm-params.lua \(pvh)", "STORE_PFN                0xfeffc\n"),
    ] {
      let outcome = Program.shell("xensave-lua lua/examples/\(words)")
      #expect(outcome.exitCode == 0, "\(words): \(outcome.errors)")
      #expect(outcome.text.contains(text), "\(words): \(outcome.text)")
    }
  }
}
