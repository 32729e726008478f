// Manual pages made from pages of the documents.

internal import SystemIO
internal import Terminal

/// One page in Markdown as a manual page. It knows what the pages use: headings, paragraphs, lists, blocks of
/// code, tables, and in a line code, emphasis and links.
struct MarkdownManual {
  /// The pages that become manual pages: what they are called there, and their section.
  static let pages: [String: (title: String, section: Int)] = [
    "Configuration": ("xensave.d", 5), "Policies": ("xensave-lua-policies", 7),
  ]

  private var page: ManualPage
  private var paragraph: [String] = []
  private var isInItem = false

  /// The manual page of the Markdown at `path`, whose file name is one of `pages`.
  static func text(path: String) throws -> String {
    let name = path.split(separator: "/").last?.split(separator: ".").first.map(String.init) ?? ""
    guard let (title, section) = pages[name] else {
      throw XensaveError(
        .usage,
        "no manual page is made of '\(name)' (\(pages.keys.sorted().joined(separator: ", ")))")
    }
    let bytes = try Source(opening: path).read(1 << 20)
    let lines = String(decoding: bytes, as: UTF8.self).split(
      separator: "\n", omittingEmptySubsequences: false)
    var manual = MarkdownManual(page: ManualPage(title.uppercased(), section))
    manual.write(lines.map(String.init), title)
    return manual.page.out
  }

  private mutating func write(_ lines: [String], _ title: String) {
    var index = lines.firstIndex { !$0.isEmpty && !$0.hasPrefix("#") } ?? lines.count
    page.section("NAME")
    if index < lines.count {
      page.text("\(title) - \(MarkdownManual.plain(lines[index].droppingFullStop))")
    }
    index += 1
    while index < lines.count {
      let line = lines[index]
      index += 1
      if line.hasPrefix("```") {
        endParagraph()
        let end = lines[index...].firstIndex { $0.hasPrefix("```") } ?? lines.count
        code(lines[index..<end])
        index = end + 1
      } else if line.hasPrefix("    "), paragraph.isEmpty, !isInItem {
        let end = lines[index...].firstIndex { !$0.hasPrefix("    ") } ?? lines.count
        code(lines[(index - 1)..<end].map { $0.dropFirst(4) })
        index = end
      } else if line.hasPrefix("|") {
        endParagraph()
        tableRow(line, isHead: index < lines.count && lines[index].hasPrefix("|--"))
      } else if line.hasPrefix("#") {
        endParagraph()
        isInItem = false
        heading(line)
      } else if line.hasPrefix("- ") || line.hasPrefix("* ") {
        endParagraph()
        isInItem = true
        paragraph = [String(line.dropFirst(2))]
      } else if line.isEmpty {
        endParagraph()
        isInItem = false
      } else {
        paragraph.append(line.trimmed)
      }
    }
    endParagraph()
    page.section("SEE ALSO")
    page.text("xensave-lua(1), xensave-lua-api(7), xensave-lua-policies(7), xensave.d(5)")
  }

  private mutating func heading(_ line: String) {
    let level = line.prefix { $0 == "#" }.count
    let text = MarkdownManual.plain(line.dropFirst(level).description.trimmed)
    if level > 2 {
      page.subsection(text)
    } else {
      page.section(text == "Overview" ? "DESCRIPTION" : text.uppercased())
    }
  }

  private mutating func endParagraph() {
    guard !paragraph.isEmpty else { return }
    let text = paragraph.joined(separator: "\n")
    paragraph = []
    if isInItem { page.bullet() } else { page.macro(".PP") }
    page.styled(MarkdownManual.runs(text))
  }

  private mutating func code(_ lines: some Sequence<some StringProtocol>) {
    page.macro(".PP\n.in +4n\n.EX")
    for line in lines { page.line(String(line)) }
    page.macro(".EE\n.in")
  }

  /// A row of a table: the first cell, and under it the others.
  private mutating func tableRow(_ line: String, isHead: Bool) {
    guard !line.hasPrefix("|-"), !isHead else { return }
    let cells = line.split(separator: "|").map { String($0).trimmed }
    guard let first = cells.first else { return }
    page.macro(".TP")
    page.styled(MarkdownManual.runs(first))
    page.styled(MarkdownManual.runs(cells.dropFirst().joined(separator: "; ")))
  }

  // MARK: - Within a line

  /// A piece of text, and whether it stands in bold letters.
  typealias Run = (text: String, isBold: Bool)

  /// Text with its code in bold letters, and links by the name of what they lead to.
  static func runs(_ text: String) -> [Run] {
    let linked = text.replacing(#/<doc:(\w+)>/#) { match in
      let name = String(match.1)
      guard let (title, section) = pages[name] else { return "the page \(name) of the documents" }
      return "\(title)(\(section))"
    }
    .replacing(#/\[([^\]]+)\]\([^)]*\)/#) { String($0.1) }
    .replacing("**", with: "")
    return linked.split(separator: "`", omittingEmptySubsequences: false).enumerated()
      .map { (String($1), $0 % 2 == 1) }.filter { !$0.0.isEmpty }
  }

  private static func plain(_ text: String) -> String { runs(text).map(\.text).joined() }
}

extension String {
  fileprivate var droppingFullStop: String { hasSuffix(".") ? String(dropLast()) : self }
}
