// xensave-lua map

internal import ArgumentParser
internal import GuestOS
internal import JSON
internal import Pages
internal import Reports
internal import SystemIO
internal import Terminal

struct MapCommand: LongCommand {
  static let name = "map"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Draw the guest's memory: page types, zeros, duplicates, entropy, use.",
    discussion: """
      A cell is a number of neighbouring pages, and has the colour of most of them. Large gaps of the \
      guest's memory are left out: what follows one begins in a new row. WHAT is one of:

        types        page types, and pages of zeros
        duplicates   pages whose contents an earlier page has, too
        entropy      how random the contents are (high: packed or encrypted)
        use          what a Linux guest uses its pages for (needs BTF, as guest does)

      On a terminal by half blocks; letters where there are no colours. With -o as SVG.
      """)

  @Argument(help: "The image, a file.", completion: .file()) var image: String
  @Option(
    name: .customLong("by"),
    help: ArgumentHelp("What is drawn; may be given several times (types).", valueName: "what"),
    completion: .list(MapView.allCases.map(\.rawValue)),
    transform: MapCommand.view)
  var views: [MapView] = []
  @Option(
    help: ArgumentHelp("Most cells of SVG and JSON, 1 to 65536 (4096).", valueName: "count"))
  var cells: Int?
  @OptionGroup var picture: PictureOutput
  @Flag(help: "Print JSON: counts of pages, cell by cell.") var json = false
  @OptionGroup var color: ColorOption
  @OptionGroup var pages: PageOptions
  @OptionGroup var work: JobsOption
  @OptionGroup var long: ProgressOptions

  private static func view(_ word: String) throws -> MapView {
    guard let view = MapView(rawValue: word) else {
      let names = MapView.allCases.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--by: expected one of \(names), got '\(word)'")
    }
    return view
  }

  mutating func validate() throws {
    if let cells, !(1...65536).contains(cells) {
      throw ValidationError("--cells: expected 1 to 65536, got \(cells)")
    }
    try picture.validate(json: json)
  }

  mutating func execute() throws -> Int32 {
    let image = try pages.opening(self.image)
    try picture.check(butNot: [self.image])
    let views = views.isEmpty ? [.types] : views
    let canvas = Canvas(color.color)
    let isText = !json && !picture.isWanted
    // Labels of 4 GiB have that many columns.
    let limit = isText ? canvas.cellLimit(labelWidth: 8) : cells ?? 4096
    let map = try image.memoryMap(
      views.reduce([]) { $0.union($1.questions) }, cellLimit: limit)
    let use = views.contains(.use) ? try UseMap(image, map.axis) : nil
    let drawn = ImageMap(map: map, use: use)
    if picture.isWanted {
      try picture.write(
        CellPicture.svg(views.map { drawn.picture($0) }, title: self.image))
    }
    if json {
      var writer = JSONWriter(style: .pretty)
      drawn.write(to: &writer, path: self.image, views)
      try writeOut(writer.finish())
    } else if isText {
      var out = escapeForDisplay(self.image) + "\n"
      for view in views { out += canvas.text(drawn.picture(view)) }
      try writeOut(out)
    }
    if let problem = use?.problem {
      writeError("xensave-lua: note: the use is not known: \(escapeForDisplay(problem))\n")
    }
    return ExitCode.good
  }
}
