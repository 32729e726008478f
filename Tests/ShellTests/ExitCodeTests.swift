// One table of exit codes: what the documents say of them, and what the program does.

import Stream
import SystemIO
import Testing

@testable import CommandLine
@testable import Reports

@Suite struct ExitCodeTests {
  private func source(_ name: String) -> String {
    String(decoding: Program.read(Program.checkout + "/" + name), as: UTF8.self)
  }

  /// Text with each run of blanks and line breaks as one blank.
  private func flat(_ text: String) -> String {
    text.split { " \n".contains($0) }.joined(separator: " ")
  }

  @Test func theDocumentsSayTheSame() {
    let help = flat(Program.run(["--help"]).text)
    #expect(help.contains("Exit codes: \(ExitCode.sentence)."), "\(help)")
    let page = Program.documents(["man"]).text
    for (code, meaning) in ExitCode.table {
      let text = meaning.prefix(1).uppercased() + meaning.dropFirst() + "."
      #expect(page.contains(".TP\n.B \(code)\n\(text)\n"), "\(code)")
    }
    let section = source("README.md").components(after: "## Exit codes\n")
    #expect(flat(section).hasPrefix(ExitCode.sentence + "."), "\(section)")
  }

  /// Commands with a sentence of their own use the same numbers for usage and for the system.
  @Test func theCommandsSayTheSame() {
    var said = 0
    for name in Commands.names {
      let help = flat(Program.run([name, "--help"]).text)
      for match in help.matches(of: #/\b(\d+) (usage|a system call failed)/#) {
        said += 1
        #expect(
          ExitCode.table.contains { "\($0.code)" == match.1 && $0.meaning == match.2 }, "\(name)")
      }
    }
    #expect(said >= 6)
  }

  /// Every constant of the program is in the table.
  @Test func theTableIsWhole() {
    let text = source("Sources/SystemIO/Errors/ErrorCode.swift")
    let codes = text.matches(of: #/static let \w+: Int32 = (\d+)/#).compactMap { Int32($0.1) }
    #expect(codes.count >= 6)
    for code in codes { #expect(ExitCode.table.contains { $0.code == code }, "\(code)") }
    #expect(Set(ExitCode.table.map(\.code)).count == ExitCode.table.count)
  }

  /// Codes are distinct words with an exit code of the table, and the documents list them all.
  @Test func errorCodesAreDocumented() {
    let page = Program.documents(["api-man"]).text
    let reference = source("Sources/DocGenerator/Documentation.docc/LuaReference.md")
    for code in ErrorCode.allCases {
      let exit = code.exitCode
      #expect(ExitCode.table.contains { $0.code == exit }, "\(code)")
      #expect(code.rawValue.allSatisfy { $0.isLowercase || $0 == "_" }, "\(code)")
      #expect(page.contains("\(code.rawValue) (\(exit))"), "\(code)")
      #expect(reference.contains("| `\(code.rawValue)` | \(exit) |"), "\(code)")
    }
  }

  /// An error of any layer has one code, and Lua sees its word.
  @Test func everyLayerHasACode() {
    let system = SystemError("open", 2, "f")
    #expect(XensaveError(system).word == "enoent")
    #expect(XensaveError(system).exitCode == ExitCode.system)
    #expect(XensaveError(SystemError("write", 32, "f")).exitCode == ExitCode.brokenPipe)
    let cut = StreamError(.truncated, path: "f", offset: 9, place: "record 1", "cut")
    let error = XensaveError(cut)
    #expect(error.code == .truncated && error.offset == 9 && error.record == "record 1")
    #expect(error.path == "f" && error.description == cut.description)
    #expect(XensaveError(StreamError(system)).word == "enoent")
    struct Unknown: Error {}
    #expect(XensaveError(Unknown()).exitCode == ExitCode.fault)
    #expect(XensaveError.known(Unknown()) == nil)
    #expect(XensaveError(.busy, "a", hint: "b").description == "a: b")
    #expect(XensaveError(XensaveError(.busy, "a")).code == .busy)
  }

  /// And the program ends so.
  @Test(arguments: [
    (0, "verify $pv -q"), (1, "verify README.md -q"), (1, "-e 'error \"no\"'"), (2, "verify"),
    (2, "set $pv config.c_info.name=x -o $pv"), (2, "-e 'return function() end' $pv -o $pv"),
    (2, "convert $pv $pv --to libxl"), (2, "compact $pv $pv"), (3, "verify /nonexistent"),
    (3, "set $pv config.c_info.name=x -o /nonexistent/out"),
  ])
  func theProgramEndsSo(code: Int32, words: String) {
    let outcome = Program.shell(
      "pv='\(Program.fixtures)pv-4m-1v-tiny.xlsave'; xensave-lua \(words)")
    #expect(outcome.exitCode == code, "\(words): \(outcome.errors)")
  }

  @Test(arguments: [("HUP", 129), ("INT", 130), ("TERM", 143)])
  func signalsHaveTheirCode(signal: String, code: Int32) {
    #expect(ExitCode.table.contains { $0.code == code })
    let outcome = Program.shell(
      "timeout --preserve-status -s \(signal) 1 xensave-lua -e 'while true do end'")
    #expect(outcome.exitCode == code, "\(outcome.errors)")
  }
}

extension String {
  /// What follows `mark`.
  fileprivate func components(after mark: String) -> String {
    firstRange(of: mark).map { String(self[$0.upperBound...]) } ?? ""
  }
}
