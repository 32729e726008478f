// The arrows between targets go downwards only.

import Testing

@Suite struct LayersTests {
  private struct Target {
    let name: String
    let dependencies: Set<String>
    let folder: String
    /// Targets below Tests stand after all others and import what they declare.
    var isOfTests: Bool { folder.hasPrefix("Tests/") }
  }

  /// The targets in the order of Package.swift, with what they depend on.
  private let targets: [Target] = {
    let text = String(
      decoding: Program.read(Program.checkout + "/Package.swift"), as: UTF8.self)
    var out: [Target] = []
    // swift("Name", ["A", "B"]), .target(name: "Name", dependencies: ["A"]), with line breaks.
    let head = #/\b(swift|tests|executableTarget|testTarget|target|systemLibrary)\(\s*(?:name: )?"/#
    for match in text.matches(of: head) {
      let call = text[match.range.upperBound...].prefix(upToClosing: ")")
      guard let end = call.firstIndex(of: "\"") else { continue }
      let name = String(call[..<end])
      let path = call.firstMatch(of: #/path: "([^"]+)"/#).map { String($0.output.1) }
      let list =
        (call.firstMatch(of: #/path:|exclude:|swiftSettings:/#)?.range.lowerBound)
        .map { call[end..<$0] } ?? call[end...]
      var names = Set(list.matches(of: #/"([A-Za-z][A-Za-z-]*)"/#).map { String($0.output.1) })
      names.remove(name)
      // What the fuzzer uses is a list of its own.
      if list.contains("fuzzed"), let start = text.firstRange(of: "let fuzzed") {
        let fuzzed = text[start.upperBound...].prefix(upToClosing: "\n]")
        names.formUnion(fuzzed.matches(of: #/"([A-Za-z]+)"/#).map { String($0.output.1) })
      }
      let isTest = match.output.1 == "tests" || match.output.1 == "testTarget"
      out.append(
        Target(
          name: name, dependencies: names,
          folder: path ?? (isTest ? "Tests/\(name)" : "Sources/\(name)")))
    }
    return out
  }()

  /// All that is linked with a target.
  private func closure(_ name: String) -> Set<String> {
    var found: Set<String> = []
    var open = [name]
    while let next = open.popLast() {
      for below in targets.first(where: { $0.name == next })?.dependencies ?? []
      where found.insert(below).inserted { open.append(below) }
    }
    return found
  }

  @Test func everyTargetIsKnown() {
    #expect(targets.count > 40)
    let folders = Set(targets.map(\.folder))
    for name in Program.names(in: Program.checkout + "/Sources") {
      #expect(folders.contains("Sources/" + name), "Sources/\(name) is no target")
    }
    for name in Program.names(in: Program.checkout + "/Tests") where name.hasSuffix("Tests") {
      #expect(folders.contains("Tests/" + name), "Tests/\(name) is no target")
    }
  }

  @Test func everyArrowPointsDown() {
    let order = Dictionary(
      targets.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    for (position, target) in targets.enumerated() where !target.isOfTests {
      for name in target.dependencies {
        guard let below = order[name] else { continue }
        #expect(below > position, "\(target.name) -> \(name)")
        #expect(!targets[below].isOfTests, "\(target.name) -> \(name), which is of the tests")
      }
    }
  }

  @Test func targetsImportOnlyWhatTheyDeclare() {
    // What comes with the toolchain and the system needs no declaration.
    let given: Set = ["Glibc", "Synchronization", "Testing", "Swift"]
    for target in targets where !target.dependencies.isEmpty || target.folder.hasSuffix("Tests") {
      let imports = Program.shell(
        "cd '\(Program.checkout)/\(target.folder)' && grep -rhoE "
          + "'^(@[a-z]+ )?(public |internal |package )?import .*' . --include=*.swift "
          + "| awk '{print $NF}' | cut -d. -f1 | sort -u")
      for name in imports.text.split(separator: "\n").map(String.init) where !given.contains(name) {
        // CFuzz is there only where the fuzzer's program is built.
        guard name != "CFuzz" else { continue }
        #expect(target.dependencies.contains(name), "\(target.name) imports \(name)")
      }
    }
  }

  /// What root runs as libxl's helper has no session, no commands, no documents and no plots in it: by
  /// what the package says, and by what the linker has put together.
  @Test func theSaveHelperLinksNeitherSessionNorDocuments() {
    let unwanted = ["REPL", "ScriptHost", "CommandLine", "DocGenerator", "ArgumentParser"]
    let linked = closure("SaveHelper")
    #expect(linked.contains("Live"))
    for name in unwanted { #expect(!linked.contains(name), "SaveHelper links \(name)") }
    // That of XAPI is built on it.
    let manager = closure("EmuManager")
    #expect(manager.contains("SaveHelper"))
    for name in unwanted { #expect(!manager.contains(name), "EmuManager links \(name)") }
    // sim-helper is the helper over a simulated domain. Swift's symbols begin with their module's name.
    func count(_ symbol: String) -> Int {
      let found = Program.shell("nm \"$(command -v sim-helper)\" | grep -c -e '\(symbol)'")
      return Int(found.text.split(separator: "\n").first ?? "") ?? -1
    }
    #expect(count("\\$s10SaveHelper") > 100)
    #expect(count("\\$s6LuaAPI") > 100)
    for name in unwanted { #expect(count("\\$s\(name.utf8.count)\(name)") == 0, "\(name)") }
    #expect(count("12BacktestPlot") == 0)
  }
}

extension StringProtocol {
  /// The text before `end` that closes what is open at its start: brackets inside it are passed.
  fileprivate func prefix(upToClosing end: String) -> SubSequence {
    var depth = 0
    for index in indices {
      if self[index...].hasPrefix(end), depth == 0 { return self[..<index] }
      if self[index] == "(" || self[index] == "[" { depth += 1 }
      if self[index] == ")" || self[index] == "]" { depth -= 1 }
    }
    return self[...]
  }
}
