// A few kills and faults at every command: scripts/fuzz-kill makes thousands.

import Testing

@Suite struct KillTests {
  /// Every command that writes, ended or refused at one of its calls. The places are the same each time.
  @Test(
    .enabled(if: Program.shell("command -v cc python3").exitCode == 0, "cc and python3 make it"),
    arguments: ["kill 40 7", "fail 40 7"])
  func nothingIsMixedAndNothingIsLeft(words: String) {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "scripts/fuzz-kill \(words) --program \"$(command -v xensave-lua)\" --folder \(folder)")
    #expect(outcome.exitCode == 0, "\(outcome.text) \(outcome.errors)")
    #expect(outcome.text.contains(": 0 findings"), "\(outcome.text)")
    #expect(Program.names(in: folder).isEmpty)
  }
}
