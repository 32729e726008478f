// xensave-lua pages

internal import SystemIO
internal import ArgumentParser
internal import Bytes
internal import Format
internal import JSON
internal import Pages
internal import Reports

struct PagesCommand: LongCommand {
  static let name = "pages"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Count, list and search the pages of an image.",
    discussion: """
      What counts is the last occurrence of each page, as a restore would see it. EXPR is a selector: \
      'pfn in 0x100..0x1ff and not zero', 'type = L1TAB or contains "abc"', 'u64[0x10] & 0xff = 7', \
      'sample(1/64)'. Its pages are listed as ranges, which --where 'pfn in {...}' takes again.
      """)

  @Argument(help: "The image, a file.", completion: .file()) var image: String
  @Option(name: .customLong("where"), help: "List the pages that this is true of.")
  var expression: String?
  @Flag(help: "List the pages of zeros.") var zero = false
  @Flag(help: "Count pages with the same contents.") var duplicates = false
  @Option(help: "Find text in the guest's memory, as UTF-8 and as UTF-16.") var find: String?
  @Option(help: "Find what a POSIX extended regular expression says, as regex(7) has them.")
  var findRegex: String?
  @Flag(help: "With --where: how the selector ran.") var explain = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var pages: PageOptions
  @OptionGroup var work: JobsOption
  @OptionGroup var long: ProgressOptions

  mutating func execute() throws -> Int32 {
    let program = try expression.map { text in
      SelectorProgram(try Selector(parsing: text))
    }
    let image = try pages.opening(self.image)
    var output = PagesOutput(json: json, path: self.image)
    output.summary(image)
    if let program {
      output.set("where", "selected", try image.select(program))
      if explain { output.line(program.explain()) }
    }
    if zero { output.set("zero", "zero", try image.zeroPages()) }
    if duplicates {
      let found = PageDuplicates()
      try found.add(image)
      output.duplicates(found)
    }
    if let find {
      let name = [("utf8", SearchText.utf8(find)), ("utf16", SearchText.utf16(find))]
      for (encoding, bytes) in name {
        output.search(encoding, try image.search(SearchPattern(bytes: bytes)))
      }
    }
    if let findRegex {
      let pattern = try SearchPattern(expression: Array(findRegex.utf8))
      output.search("regex", try image.search(pattern))
    }
    text = output.finish()
    try writeOut(text)
    return ExitCode.good
  }

  private var text: [UInt8] = []
}

/// Prints for people or for programs.
private struct PagesOutput {
  let json: Bool
  var writer = JSONWriter(style: .pretty)
  var lines = ""

  init(json: Bool, path: String) {
    self.json = json
    writer.beginObject()
    writer.member("image", path)
    lines = "\(path)\n"
  }

  mutating func line(_ text: String) { lines += text + "\n" }

  mutating func summary(_ image: PageImage) {
    let index = image.index
    writer.member("pages", index.pageCount)
    writer.member("with_data", index.dataCount)
    writer.member("superseded", index.dataCountInFile - index.dataCount)
    writer.member("rounds", index.roundCount)
    line(
      "pages \(index.pageCount.grouped), with contents \(index.dataCount.grouped), superseded "
        + "\((index.dataCountInFile - index.dataCount).grouped), rounds \(index.roundCount)")
  }

  mutating func set(_ key: String, _ word: String, _ set: PageSet) {
    writer.key(key)
    writer.beginObject()
    writer.member("count", set.count)
    writer.key("ranges")
    writer.beginArray()
    for range in set.ranges {
      writer.beginArray()
      writer.hex(range.lowerBound)
      writer.hex(range.upperBound - 1)
      writer.endArray()
    }
    writer.endArray()
    writer.endObject()
    line("\(word): \(set.count.grouped) pages")
    lines += set.text
  }

  mutating func duplicates(_ found: PageDuplicates) {
    writer.key("duplicates")
    writer.beginObject()
    writer.member("with_data", found.pageCount)
    writer.member("distinct", found.distinctCount)
    writer.member("zero", found.zeroCount)
    writer.key("top")
    writer.beginArray()
    line("distinct \(found.distinctCount.grouped) of \(found.pageCount.grouped)")
    for group in found.top(10) {
      writer.beginObject()
      writer.member("count", group.count)
      writer.member("first_pfn", hex: group.pfn)
      writer.member("zero", group.isZero)
      writer.endObject()
      line(
        "  \(group.count.grouped) copies, first at \(group.pfn.hex())\(group.isZero ? " (zero)" : "")"
      )
    }
    writer.endArray()
    writer.endObject()
  }

  mutating func search(_ encoding: String, _ result: SearchResult) {
    writer.key("find_\(encoding)")
    writer.beginObject()
    writer.member("count", result.count)
    writer.key("addresses")
    writer.beginArray()
    for address in result.addresses { writer.hex(address) }
    writer.endArray()
    writer.endObject()
    line("found \(result.count.grouped) times as \(encoding)")
    for address in result.addresses { line("  \(address.hex()) (page \((address >> 12).hex()))") }
  }

  mutating func finish() -> [UInt8] {
    writer.endObject()
    return json ? writer.finish() : Array(lines.utf8)
  }
}
