// xensave-lua unwrap

internal import ArgumentParser
internal import Convert
internal import Jobs
internal import Reports
internal import SystemIO

struct Unwrap: LongCommand {
  static let name = "unwrap"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Take the outer layers of a toolstack off an image.",
    discussion: """
      --layer says what is left: the libxl stream, or the bare libxc stream. The latter has no place \
      for a device model's state: an HVM guest's is refused without --lossy. --config writes what \
      the outer header says of the domain to a file, for wrap.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @OptionGroup var target: OutputOption
  @Option(help: "What is left: libxl or libxc.", completion: .list(["libxl", "libxc"])) var layer =
    "libxl"
  @Option(help: "Where the domain's configuration goes.", completion: .file()) var config: String?
  @OptionGroup var shared: ConvertOptions
  var long: ProgressOptions { shared.long }
  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    guard let wrapping = Wrapping(rawValue: layer), wrapping == .libxc || wrapping == .libxl else {
      throw XensaveError(.usage, "--layer: expected libxl or libxc, got '\(layer)'")
    }
    if config == "-", output == "-" {
      throw XensaveError(.usage, "only one of the results can go to standard output")
    }
    if let config, config != "-",
      OutputFile.isSame(config, as: image)
        || OutputFile.isSame(config, as: output)
    {
      throw XensaveError(.usage, "--config: '\(config)' is the image or the result")
    }
    var conversion = try shared.conversion()
    conversion.wrapping = wrapping
    let (code, report) = try shared.run(opened(image), output, conversion)
    guard let path = config else { return code }
    guard let config = report.config else {
      throw XensaveError(.findings, "\(image): no configuration in its outer header")
    }
    try writeSmallFile(config, to: path)
    return code
  }
}
