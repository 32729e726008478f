// xensave-lua info

internal import ArgumentParser
internal import JSON
internal import Reports
internal import Stream
internal import SystemIO

struct Info: ShellCommand {
  static let name = "info"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Show on one screen what an image holds; of several images a line each.",
    discussion: """
      Of several images, those that cannot be read are told of on standard error, and the exit code is \
      that of the first of them.
      """)

  @Argument(help: "Images; \"-\" is standard input.", completion: .file()) var image: [String]
  @Flag(help: "Print JSON: an object, or of several images a list of them.") var json = false
  @Flag(help: "Print comma-separated values, a line an image.") var csv = false
  @OptionGroup var color: ColorOption
  @Flag(help: "Count pages of zeros too; this reads all page contents.") var pages = false

  mutating func validate() throws {
    if json, csv { throw ValidationError("--json and --csv exclude each other") }
  }

  mutating func execute() throws -> Int32 {
    guard image.count > 1 || csv else {
      let summary = try summary(image[0])
      if json {
        var writer = JSONWriter(style: .pretty)
        summary.write(to: &writer, path: image[0])
        try writeOut(writer.finish())
      } else {
        try writeOut(summary.text(path: image[0], color.textStyle))
      }
      return ExitCode.good
    }
    var code = ExitCode.good
    var table = SummaryTable()
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for path in image {
      do {
        let summary = try summary(path)
        table.add(summary, path: path)
        summary.write(to: &writer, path: path)
      } catch {
        // Whoever asked for an end gets it.
        if Interrupt.isRequested { throw error }
        let error = XensaveError(error)
        writeError("xensave-lua: \(error)\n")
        if code == ExitCode.good { code = error.exitCode }
      }
    }
    writer.endArray()
    if json {
      try writeOut(writer.finish())
    } else if csv {
      try writeOut(table.csv)
    } else if !table.isEmpty {
      try writeOut(table.text(color.textStyle))
    }
    return code
  }

  private func summary(_ path: String) throws -> Summary {
    try Summary(Source(image: path), countsZeroPages: pages)
  }
}
