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
    abstract: "Show on one screen what an image holds.")

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var color: ColorOption
  @Flag(help: "Count pages of zeros too; this reads all page contents.") var pages = false

  mutating func execute() throws -> Int32 {
    let summary = try Summary(Source(image: image), countsZeroPages: pages)
    if json {
      var writer = JSONWriter(style: .pretty)
      summary.write(to: &writer, path: image)
      try writeOut(writer.finish() + [10])
    } else {
      try writeOut(summary.text(path: image, color.textStyle))
    }
    return ExitCode.good
  }
}
