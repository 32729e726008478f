// xensave-lua report

internal import ArgumentParser
internal import ImageCheck
internal import ImageEdit
internal import JSON
internal import Jobs
internal import Pages
internal import Reports
internal import SystemIO

struct ReportCommand: LongCommand {
  static let name = "report"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Write all about an image, or about two, as one page of HTML.",
    discussion: """
      Summary, findings of verify, a map of the memory, processes and kernel log of a Linux guest, and \
      records with their bytes; of two images also how they differ. The page needs no network and no \
      other file, can be used by the keyboard alone, and prints. It is below 2 MB whatever the size of \
      the guest.
      """)

  @Argument(help: "The image, a file.", completion: .file()) var image: String
  @Argument(help: "Another image, to compare with.", completion: .file()) var other: String?
  @Option(
    name: [.customShort("o"), .long],
    help: ArgumentHelp("Write the page here; \"-\" is standard output.", valueName: "out"),
    completion: .file())
  var output: String
  @Flag(help: "Print as JSON what was found and written.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var work: JobsOption
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    try checkOutput(output, butNot: [image] + (other.map { [$0] } ?? []))
    let paged = try pages.opening(image)
    let map = try paged.memoryMap(
      [.zeros, .copies, .entropy], cellLimit: ImageReport.cellLimit,
      entropySamples: ImageReport.entropySamples)
    let drawn = ImageMap(map: map, use: try UseMap(paged, map.axis))
    let report = ImageReport(try subject(image), drawn, comparison: try comparison())
    let page = try report.html(paged, Source(image: image))
    // The guest's log and command lines are in it.
    try writeText(page, to: output, .memory)
    if json, output != "-" { try writeOut(described(report, page)) }
    return ExitCode.good
  }

  private func described(_ report: ImageReport, _ page: String) -> [UInt8] {
    JSONWriter.document {
      $0.beginObject()
      $0.member("output", output)
      $0.member("bytes", page.utf8.count)
      $0.member("good", report.subject.verdict.isGood)
      if let comparison = report.comparison {
        $0.member("differences", comparison.differences.count)
        $0.member("page_runs", comparison.pages.count)
      }
      $0.endObject()
    }
  }

  private func subject(_ path: String) throws -> ImageReport.Subject {
    ImageReport.Subject(
      path: path, summary: try Summary(Source(image: path), countsZeroPages: false),
      verdict: try Verifier(Source(image: path), options: Verifier.Options()).run())
  }

  private func comparison() throws -> ImageReport.Comparison? {
    guard let other else { return nil }
    let (a, b) = (
      try ImageDocument(Source(image: image)), try ImageDocument(Source(image: other))
    )
    var differences: [Difference] = []
    try ImageDiff(a, b).run { differences.append($0) }
    return ImageReport.Comparison(
      other: try subject(other), differences: differences,
      pages: try pageDifferences(a.source, b.source))
  }
}
