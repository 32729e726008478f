// xensave-lua history

internal import ArgumentParser
internal import JSON
internal import Pages
internal import Reports
internal import SystemIO
internal import Terminal

struct HistoryCommand: LongCommand {
  static let name = "history"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Draw the rounds of a live or Remus stream, and what was sent again.",
    discussion: """
      A bar is a round: a pass over the guest's memory, or the part of one before a checkpoint. Below, \
      the guest's memory by how often its pages were sent. Only headers are read, so a pipe will do. \
      With -o as SVG.
      """)

  @Argument(help: "The image or stream; \"-\" is standard input.", completion: .file())
  var image: String
  @OptionGroup var picture: PictureOutput
  @Flag(help: "Print JSON: the rounds, and how often pages were sent, cell by cell.")
  var json = false
  @Option(
    help: ArgumentHelp("Most cells of SVG and JSON, 1 to 65536 (4096).", valueName: "count"))
  var cells = 4096
  @OptionGroup var color: ColorOption
  @OptionGroup var long: ProgressOptions

  mutating func validate() throws {
    guard (1...65536).contains(cells) else {
      throw ValidationError("--cells: expected 1 to 65536, got \(cells)")
    }
    try picture.validate(json: json)
  }

  mutating func execute() throws -> Int32 {
    try picture.check(butNot: [image])
    let drawn = HistoryPicture(try SendHistory(Source(image: image)))
    if picture.isWanted {
      try picture.write(drawn.svg(title: image, cellLimit: cells))
    }
    if json {
      var writer = JSONWriter(style: .pretty)
      drawn.write(to: &writer, path: image, cellLimit: cells)
      try writeOut(writer.finish())
    } else if !picture.isWanted {
      try writeOut(escapeForDisplay(image) + "\n" + drawn.text(Canvas(color.color)))
    }
    return ExitCode.good
  }
}
