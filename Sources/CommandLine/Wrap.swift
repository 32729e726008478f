// xensave-lua wrap

internal import SystemIO
internal import ArgumentParser
internal import Convert
internal import Jobs
internal import Reports

struct Wrap: LongCommand {
  static let name = "wrap"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Put the outer layers of a toolstack around an image.",
    discussion: """
      The result of unwrap and of tools that write bare streams becomes a file that xl restore (xl), \
      virsh restore (libvirt) or XCP-ng (xenopsd) take. CONFIG is what their headers hold: JSON as \
      xl has it, libvirt's XML, or xenopsd's S-expressions.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @OptionGroup var target: OutputOption
  @Option(
    name: .customLong("in"), help: "The layers: xl, libxl, libvirt or xenopsd.",
    completion: .list(["xl", "libxl", "libvirt", "xenopsd"]))
  var wrapping = "xl"
  @Option(help: "A file with the domain's configuration.", completion: .file()) var config: String?
  @OptionGroup var shared: ConvertOptions
  var long: ProgressOptions { shared.long }
  private var output: String { target.path }

  mutating func execute() throws -> Int32 {
    guard let wrapping = Wrapping(rawValue: wrapping), wrapping != .libxc else {
      throw XensaveError(
        .usage, "--in: expected xl, libxl, libvirt or xenopsd, got '\(self.wrapping)'")
    }
    var conversion = try shared.conversion()
    conversion.wrapping = wrapping
    conversion.config = try config.map { path in try readSmallFile(path) }
    return try shared.run(opened(image), output, conversion).0
  }
}
