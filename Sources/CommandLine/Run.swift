// xensave-lua run: a script that comes with the program.

internal import ArgumentParser
internal import JSON
internal import Reports
internal import ScriptHost
internal import SystemIO

struct Run: ShellCommand {
  static let name = "run"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Run a script that comes with the program.",
    discussion: """
      "run --list" names the scripts; "run NAME --help" explains one. What stands after the name is \
      as for a script of one's own: IMAGE, arguments, -o OUT and so on.
      """)

  @Flag(help: "List the scripts.") var list = false
  @Flag(help: "With --list: as JSON.") var json = false
  @Argument(
    parsing: .allUnrecognized, help: "The script's name, the image, and words for the script.",
    completion: .custom { _, _, _ in ScriptLibrary.all.map(\.name) })
  var words: [String] = []

  mutating func execute() throws -> Int32 {
    if list { return try printList() }
    throw XensaveError(.usage, "run: expected a script's name (xensave-lua run --list)")
  }

  /// Runs the words after "run": the parser would take the script's options for its own.
  static func dispatch(_ words: [String]) throws -> Int32? {
    guard let name = words.first, !name.hasPrefix("-") else { return nil }
    let script = try ScriptLibrary.script(name)
    let runner = ScriptRunner(options: try ScriptOptions([script.path] + words.dropFirst()))
    do { return try runner.run() } catch { throw ScriptRunner.withoutPlaces(error) }
  }

  private func printList() throws -> Int32 {
    let all = try ScriptLibrary.installed()
    if json {
      try writeOut(
        JSONWriter.document {
          $0.objects(all) { writer, script in
            writer.member("name", script.name)
            writer.member("summary", script.summary)
            writer.member("path", script.path)
          }
        })
      return ExitCode.good
    }
    let column = (all.map(\.name.count).max() ?? 0) + 2
    for script in all {
      let gap = String(repeating: " ", count: column - script.name.count)
      try writeOut(script.name + gap + script.summary + "\n")
    }
    return ExitCode.good
  }
}
