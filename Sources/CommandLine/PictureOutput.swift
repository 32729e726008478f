// Where a picture goes that a command also shows on the terminal.

internal import ArgumentParser
internal import Reports
internal import SystemIO

/// -o of commands that draw.
struct PictureOutput: ParsableArguments {
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp(
      "Write the picture here as SVG; \"-\" is standard output.", valueName: "out"),
    completion: .file())
  var output: String?

  var isWanted: Bool { output != nil }

  /// Standard output has room for one of both.
  func validate(json: Bool) throws {
    if json, output == "-" { throw ValidationError("--json and -o - exclude each other") }
  }

  /// Refuses to write over what is drawn.
  func check(butNot inputs: [String]) throws {
    try checkOutput(output, butNot: inputs)
  }

  func write(_ text: String) throws {
    guard let output else { return }
    try writeText(text, to: output)
  }
}

/// Refuses an output that is one of the inputs.
func checkOutput(_ output: String?, butNot inputs: [String]) throws {
  guard let output, output != "-" else { return }
  if inputs.contains(where: { $0 != "-" && OutputFile.isSame(output, as: $0) }) {
    throw XensaveError(.usage, "-o: '\(output)' is one of the inputs")
  }
}

/// Writes a document; "-" is standard output.
func writeText(
  _ text: String, to output: String, _ content: OutputFile.Content = .text
) throws {
  if output == "-" { return try writeOut(text) }
  try OutputFile.write(output, content, bytes: Array(text.utf8))
}
