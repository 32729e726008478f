// A few kills and faults at every command: scripts/fuzz-kill makes thousands.

import Testing

@Suite struct KillTests {
  static let canRun =
    Program.shell("command -v cc && command -v python3 && [ $(uname -m) = x86_64 ]").exitCode == 0

  /// Every command that writes, ended or refused at one of its calls. The places are the same each time.
  @Test(
    .enabled(if: canRun, "it needs cc, python3 and an x86-64"))
  func nothingIsMixedAndNothingIsLeft() {
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let outcome = Program.shell(
      "scripts/fuzz-kill both 42 9 --program \"$(command -v xensave-lua)\" --folder \(folder)")
    #expect(outcome.exitCode == 0, "\(outcome.text) \(outcome.errors)")
    #expect(outcome.text.contains(": 0 findings"), "\(outcome.text)")
    #expect(Program.names(in: folder).isEmpty)
  }
}
