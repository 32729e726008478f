// xensave-lua test: runs the tests of scripts.

internal import ArgumentParser
internal import JSON
internal import LuaAPI
internal import LuaRuntime
internal import Reports
internal import ScriptHost
internal import SystemIO

struct Test: ShellCommand {
  static let name = "test"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Run the tests of scripts: files called *_test.lua.",
    discussion: """
      Each file runs by itself; `require "xensave.testing"` gives it t.test, t.equal and so on, and \
      xs.synth images to work with. Exit code 1 if a test fails. With --json what tests print goes \
      to standard error.
      """)

  @Argument(help: "Folders with tests, or single files.", completion: .file())
  var places: [String] = ["."]
  @Option(help: "Run only tests whose name has this in it.") var filter = ""
  @Flag(name: .shortAndLong, help: "Print only failures and the counts.") var quiet = false
  @Flag(help: "Print the results as JSON.") var json = false

  /// What came of one test, or of a file that did not run (without a name then).
  private struct Result {
    let file: String
    var name: String?
    var isPassed = false
    var message: String?
    var traceback: String?
  }

  mutating func execute() throws -> Int32 {
    var files: [String] = []
    for place in places {
      if FileSystem.isFolder(place) {
        let names = FileSystem.names(in: place) ?? []
        files += names.filter { $0.hasSuffix("_test.lua") }.map { "\(place)/\($0)" }
      } else {
        files.append(place)
      }
    }
    guard !files.isEmpty else {
      throw XensaveError(.usage, "no *_test.lua in \(places.joined(separator: ", "))")
    }
    var results: [Result] = []
    for file in files {
      let folder = try FileSystem.temporaryFolder()
      defer { Test.remove(folder) }
      results += try run(file, folder)
      if Interrupt.isRequested { throw XensaveError(.interrupted, "interrupted") }
    }
    let passed = results.count(where: \.isPassed)
    let failed = results.count - passed
    if json {
      try writeOut(Test.json(results, passed: passed))
    } else {
      try writeOut("\(passed) passed, \(failed) failed\n")
    }
    return failed == 0 ? ExitCode.good : ExitCode.findings
  }

  /// Runs one file in a state of its own.
  private func run(_ file: String, _ folder: String) throws -> [Result] {
    var options = try ScriptOptions([file])
    options.arguments = []
    let runner = ScriptRunner(options: options)
    let shell = try runner.makeShell()
    defer { shell.state.close() }
    shell.logLevel = .warning
    shell.printsToStandardError = json
    let frame = shell.state.frame
    try shell.prepare(options, nil)
    try shell.run(
      "require 'xensave.testing'.begin(...)", named: "=xensave-lua",
      [folder, file, filter, json ? "silent" : quiet ? "quiet" : ""])
    do {
      try runner.load(.file(file), shell)
      try shell.state.call(0)
    } catch let error as LuaError {
      let traceback = shell.traceback(error)
      if !json {
        try writeOut("FAIL \(file): \(error.message)\(traceback.map { "\n" + $0 } ?? "")\n")
      }
      return Test.results(frame, file)
        + [Result(file: file, message: error.message, traceback: traceback)]
    }
    return Test.results(frame, file)
  }

  /// What the tests of a file have come to.
  private static func results(_ frame: LuaFrame, _ file: String) -> [Result] {
    frame.pushLoaded("xensave.testing")
    frame.pushField(-1, "results")
    defer { frame.pop(2) }
    let found: LuaValue?
    do { found = try frame.value(-1) } catch {
      return [Result(file: file, message: "its results: \(error.message)")]
    }
    guard case .list(let rows)? = found else { return [] }
    return rows.map { row in
      var result = Result(file: file)
      guard case .table(let fields) = row else { return result }
      for (name, value) in fields {
        switch (name, value) {
        case ("passed", .boolean(let isPassed)): result.isPassed = isPassed
        case ("test", .string(let text)): result.name = String(decoding: text, as: UTF8.self)
        case ("message", .string(let text)): result.message = String(decoding: text, as: UTF8.self)
        case ("traceback", .string(let text)):
          result.traceback = String(decoding: text, as: UTF8.self)
        default: break
        }
      }
      return result
    }
  }

  private static func json(_ results: [Result], passed: Int) -> [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("passed", passed)
    writer.member("failed", results.count - passed)
    writer.key("tests")
    writer.beginArray()
    for result in results {
      writer.beginObject()
      writer.member("file", result.file)
      if let name = result.name { writer.member("test", name) }
      writer.member("passed", result.isPassed)
      if let message = result.message { writer.member("message", message) }
      if let traceback = result.traceback { writer.member("traceback", traceback) }
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return writer.finish()
  }

  private static func remove(_ folder: String) {
    for name in FileSystem.names(in: folder) ?? [] { FileSystem.remove(folder + "/" + name) }
    FileSystem.remove(folder)
  }
}
