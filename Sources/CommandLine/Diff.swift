// xensave-lua diff

internal import ArgumentParser
internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Jobs
internal import Pages
internal import Reports
internal import Stream
internal import SystemIO

struct Diff: LongCommand {
  static let name = "diff"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Show how two images differ: fields by path, records, configuration, runs of pages.",
    discussion: """
      Pages are compared as a restore would see them: of a page that was sent several times the last \
      version counts. --no-pages leaves their contents out, which is all that takes long.

      Exit codes: 0 no difference, 1 differences, 2 usage, 3 a system call failed. With \
      --as-filter, a Lua filter that turns A into B is printed; what cannot be said as a filter is \
      a comment in it.
      """)

  @Argument(help: "The first image: a file.", completion: .file()) var a: String
  @Argument(help: "The second image: a file.", completion: .file()) var b: String
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var color: ColorOption
  @Flag(help: "Print a Lua filter that turns A into B.") var asFilter = false
  @Flag(help: "Do not compare pages.") var noPages = false
  @OptionGroup var work: JobsOption
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    let (one, other) = (try document(a), try document(b))
    var (differences, pages): ([Difference], [PageDifference]) = ([], [])
    try ImageDiff(one, other).run { differences.append($0) }
    if !noPages { pages = try pageDifferences(one.source, other.source) }
    if asFilter {
      try writeOut(DiffFilter(one, other, differences, pages, pathB: b).text())
    } else if json {
      try writeOut(Diff.json(differences, pages))
    } else if !long.quiet {
      let textStyle = color.textStyle
      for difference in differences { try writeOut(textStyle.line(difference) + "\n") }
      for difference in pages { try writeOut(difference.description + "\n") }
    }
    return differences.isEmpty && pages.isEmpty ? ExitCode.good : ExitCode.findings
  }

  private func document(_ path: String) throws -> ImageDocument {
    let source = try Source(image: path)
    guard source.isFile else {
      throw XensaveError(.usage, "\(path): only files can be compared" + source.unpackingHint)
    }
    return try ImageDocument(source)
  }

  private static func json(_ differences: [Difference], _ pages: [PageDifference]) -> [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginArray()
    for difference in differences {
      writer.beginObject()
      writer.member("kind", difference.kind.rawValue)
      writer.member("path", difference.path)
      writer.member("a", difference.before)
      writer.member("b", difference.after)
      writer.endObject()
    }
    for difference in pages {
      writer.beginObject()
      writer.member("kind", "pages")
      writer.member("how", difference.kind.rawValue)
      writer.member("first", hex: difference.first)
      writer.member("last", hex: difference.last)
      writer.member("count", difference.pageCount)
      if let a = difference.types.first, let b = difference.types.last {
        writer.member("a", a.name)
        writer.member("b", b.name)
      }
      writer.endObject()
    }
    writer.endArray()
    return writer.finish()
  }
}
