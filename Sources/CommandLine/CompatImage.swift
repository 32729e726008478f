// xensave-lua compat

internal import ArgumentParser
internal import Convert
internal import ImageCheck
internal import JSON
internal import Reports
internal import Stream
internal import SystemIO

struct CompatImage: ShellCommand {
  static let name = "compat"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Say whether a release of Xen restores an image, and why.",
    discussion: """
      Looks at the stream's version, its records and their lengths, the saver's release, HVM_CONTEXT, \
      the device model and the outer header. Exit codes: 0 yes, 1 no or a bad image, 2 usage, 3 a \
      system call failed.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @Option(help: ArgumentHelp("The release that is to restore it.", valueName: "M.N"))
  var xen: String
  @OptionGroup var color: ColorOption
  @Flag(help: "Print JSON.") var json = false

  mutating func execute() throws -> Int32 {
    let release = try xenRelease(xen)
    let survey = try CompatSummary(Source(image: image))
    let reasons = Compat.check(survey, for: release)
    let isCompatible = Compat.isCompatible(reasons)
    if json {
      var writer = JSONWriter(style: .pretty)
      writer.beginObject()
      writer.member("image", image)
      writer.member("xen", "\(release)")
      writer.member("compatible", isCompatible)
      writer.key("reasons")
      writer.beginArray()
      for reason in reasons {
        writer.beginObject()
        writer.member("severity", reason.severity.rawValue)
        writer.member("subject", reason.subject)
        writer.member("text", reason.text)
        writer.endObject()
      }
      writer.endArray()
      writer.endObject()
      try writeOut(writer.finish() + [10])
    } else {
      let textStyle = color.textStyle
      var out = ""
      for reason in reasons {
        out += "\(image): \(textStyle.severity(reason.severity.rawValue)): \(reason)\n"
      }
      let verdict = textStyle.verdict(isCompatible ? "yes" : "no", isGood: isCompatible)
      try writeOut(out + "\(image): Xen \(release): \(verdict)\n")
    }
    return isCompatible ? ExitCode.good : ExitCode.findings
  }
}
