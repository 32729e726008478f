// Options that several commands have.

internal import ArgumentParser
internal import Reports
internal import ScriptHost
internal import SystemIO
internal import Terminal

/// --color of a command.
struct ColorOption: ParsableArguments {
  @Option(
    help: ArgumentHelp("Colours of what is printed: auto, always or never.", valueName: "when"),
    completion: .list(ColorChoice.allCases.map(\.rawValue)),
    transform: ScriptOptions.color)
  var color = ColorChoice.auto

  /// For what goes to standard output.
  var textStyle: TextStyle { TextStyle(isOn: color.isEnabled(descriptor: 1)) }
}

/// The options of every command that may take long.
package struct ProgressOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How progress is shown: bar (on a terminal, after 2 s), plain, json or none.",
      valueName: "style"))
  var progress: ProgressStyle?
  @Flag(name: .shortAndLong, help: "Print only warnings and errors.") var quiet = false
}

extension ProgressStyle: ExpressibleByArgument {}

/// A sub-command that may take long: its progress is shown.
protocol LongCommand: ShellCommand {
  var long: ProgressOptions { get }
}

extension LongCommand {
  var progress: ProgressOptions? { long }
}

/// Where the result of a command goes.
struct OutputOption: ParsableArguments {
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Write the result here; \"-\" is standard output.", valueName: "out"),
    completion: .file())
  var output: String?
  /// The same as a last word, which is not documented: scripts from before -o have it.
  @Argument(help: .hidden, completion: .file()) var lastWord: String?

  var path: String { output ?? lastWord ?? "-" }

  mutating func validate() throws {
    if let output, let lastWord {
      throw ValidationError("expected one result, got -o '\(output)' and '\(lastWord)'")
    }
    guard output != nil || lastWord != nil else { throw ValidationError("expected -o OUT") }
  }
}
