// xensave-lua test: runs the tests of scripts.

internal import ArgumentParser
internal import LuaRuntime
internal import SystemIO

struct Test: ShellCommand {
  static let configuration = CommandConfiguration(
    commandName: "test", abstract: "Run the tests of scripts: files called *_test.lua.",
    discussion: """
      Each file runs by itself; `require "xensave.testing"` gives it t.test, t.equal and so on, and \
      xs.synth images to work with. Exit code 1 if a test fails.
      """)

  @Argument(help: "Folders with tests, or single files.", completion: .file())
  var places: [String] = ["."]
  @Option(help: "Run only tests whose name has this in it.") var filter = ""
  @Flag(name: .shortAndLong, help: "Print only failures and the counts.") var quiet = false

  mutating func execute() throws -> Int32 {
    var files: [String] = []
    for place in places {
      if Surroundings.isFolder(place) {
        let names = Surroundings.names(in: place) ?? []
        files += names.filter { $0.hasSuffix("_test.lua") }.map { "\(place)/\($0)" }
      } else {
        files.append(place)
      }
    }
    guard !files.isEmpty else {
      throw Failure(ExitCode.usage, "no *_test.lua in \(places.joined(separator: ", "))")
    }
    var passed = 0
    var failed = 0
    for file in files {
      let folder: String
      do { folder = try Surroundings.temporaryFolder() } catch { throw Failure(error) }
      defer { Test.remove(folder) }
      let counts = try run(file, folder)
      passed += counts.passed
      failed += counts.failed
      if Interrupt.isRequested { throw Failure(ExitCode.interrupted, "interrupted") }
    }
    try writeOut("\(passed) passed, \(failed) failed\n")
    return failed == 0 ? ExitCode.good : ExitCode.findings
  }

  /// Runs one file in a state of its own.
  private func run(_ file: String, _ folder: String) throws -> (passed: Int, failed: Int) {
    var options: ScriptOptions
    do { options = try ScriptOptions([file]) } catch { throw error }
    options.arguments = []
    let runner = ScriptRunner(options: options)
    let shell = try runner.makeShell()
    defer { shell.state.close() }
    shell.logLevel = .warning
    let frame = shell.state.frame
    do throws(LuaError) {
      try shell.prepare(options, nil)
      try shell.run(
        "require 'xensave.testing'.begin(...)", named: "=xensave-lua",
        [folder, file, filter, quiet ? "quiet" : ""])
    } catch { throw Failure(error) }
    do {
      try runner.load(.file(file), shell)
      try shell.state.call(0)
    } catch let error as LuaError {
      let detail = shell.traceback(error).map { "\n" + $0 } ?? ""
      try writeOut("FAIL \(file): \(error.message)\(detail)\n")
      return (0, 1)
    }
    frame.pushLoaded("xensave.testing")
    var counts: [Int] = []
    for name in ["passed", "failed"] {
      frame.pushField(-1, name)
      counts.append(Int(frame.integerIfAny(-1) ?? 0))
      frame.pop()
    }
    return (counts[0], counts[1])
  }

  private static func remove(_ folder: String) {
    for name in Surroundings.names(in: folder) ?? [] { Surroundings.remove(folder + "/" + name) }
    Surroundings.remove(folder)
  }
}
