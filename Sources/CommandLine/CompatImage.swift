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
      the device model and the outer header, and lists what `convert --for-xen` would change. With \
      --for-host also at the processor, memory and device model of a host. Exit codes: 0 yes, 1 no or a \
      bad image, 2 usage, 3 a system call failed.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @Option(
    help: ArgumentHelp("The release that is to restore it, as 4.17 or 4.17.5.", valueName: "M.N"))
  var xen: String?
  @OptionGroup var hostOption: HostOption
  @OptionGroup var color: ColorOption
  @Flag(help: "Print JSON.") var json = false

  mutating func validate() throws {
    guard xen != nil || hostOption.forHost != nil else {
      throw ValidationError("expected --xen or --for-host")
    }
  }

  mutating func execute() throws -> Int32 {
    let host = try hostOption.read(besides: image)
    let release = try release(xen, of: host, option: "--xen")
    let found = try CompatSummary.planned(Source(image: image), for: release, on: host)
    let reasons = Compat.check(found.summary, for: release, on: host)
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
      if let plan = found.plan {
        writer.member("convertible", plan.isPossible)
        writer.key("changes")
        plan.changes.write(to: &writer)
      }
      writer.endObject()
      try writeOut(writer.finish())
    } else {
      let textStyle = color.textStyle
      var out = ""
      for reason in reasons {
        out += "\(image): \(textStyle.severity(reason.severity.rawValue)): \(reason)\n"
      }
      if let plan = found.plan {
        for change in plan.changes {
          out += "\(image): convert --for-xen \(release): \(change.action.rawValue): \(change)\n"
        }
      }
      let verdict = textStyle.verdict(isCompatible ? "yes" : "no", isGood: isCompatible)
      let hint =
        !isCompatible && found.plan?.isPossible == true
        ? ", but it restores what `xensave-lua convert IMAGE --for-xen \(release) -o OUT` makes of it"
        : ""
      try writeOut(out + "\(image): Xen \(release): \(verdict)\(hint)\n")
    }
    return isCompatible ? ExitCode.good : ExitCode.findings
  }
}
