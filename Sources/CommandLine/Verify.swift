// xensave-lua verify

internal import ArgumentParser
internal import ImageCheck
internal import JSON
internal import LuaAPI
internal import Reports
internal import Stream
internal import SystemIO

struct Verify: LongCommand {
  static let name = "verify"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Check an image as Xen would on a restore, and more.",
    discussion: """
      Reads headers only, never page contents but, with --pages, the page tables of PV guests. With --quiet only the exit code says what was found. Exit codes: 0 good, 1 findings, 2 usage, 3 a system \
      call failed.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String?
  @Flag(help: "Print the findings as JSON.") var json = false
  @OptionGroup var color: ColorOption
  @Flag(help: "Count warnings as errors.") var strict = false
  @Flag(help: "Look into the page tables and the start info of PV guests, too (in a file).")
  var pages = false
  @Flag(help: "List the rules instead of checking an image.") var rules = false
  @OptionGroup var long: ProgressOptions

  mutating func validate() throws {
    if image == nil, !rules { throw ValidationError("expected an image") }
  }

  mutating func execute() throws -> Int32 {
    if rules { return try listRules() }
    let path = image ?? "-"
    let report = try Verifier(
      Source(contents: path), options: Verifier.Options(isStrict: strict, readsPages: pages)
    ).run()
    if json {
      var writer = JSONWriter(style: .pretty)
      report.write(to: &writer, path: path)
      try writeOut(writer.finish())
    } else if !long.quiet {
      try writeOut(text(report, path))
    }
    return report.isGood ? ExitCode.good : ExitCode.findings
  }

  private func text(_ report: VerifyReport, _ path: String) -> String {
    let textStyle = color.textStyle
    var out = ""
    for finding in report.findings {
      out += "\(path): \(textStyle.severity(finding.severity.rawValue)): \(finding.description)\n"
    }
    let left = Severity.allCases.reduce(0) { $0 + report.count($1) } - report.findings.count
    if left > 0 { out += "\(path): ... and \(left) more findings\n" }
    return out + "\(path): \(report.verdict(textStyle))\n"
  }

  private func listRules() throws -> Int32 {
    if json {
      try writeOut(
        JSONWriter.document {
          $0.objects(Rule.all) { writer, rule in
            writer.member("id", rule.id)
            writer.member("severity", rule.severity.rawValue)
            writer.member("sentence", rule.sentence)
            writer.member("source", rule.source)
          }
        })
      return ExitCode.good
    }
    for rule in Rule.all {
      try writeOut("\(rule.id) (\(rule.severity.rawValue)): \(rule.sentence)\n    \(rule.source)\n")
    }
    return ExitCode.good
  }
}
