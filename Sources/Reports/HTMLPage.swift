// A page of HTML that needs nothing from outside.

internal import Bytes
internal import Terminal

/// Builds one page: sections, tables, blocks of text. All text is escaped here.
package struct HTMLPage {
  private let title: String
  private var links: [(id: String, title: String)] = []
  private var body = ""
  private var hasOpenSection = false

  package init(title: String) { self.title = title }

  /// Bytes so far.
  package var byteCount: Int { body.utf8.count }

  /// Begins a section. `id` is one of ours.
  package mutating func section(_ id: String, _ title: String) {
    if hasOpenSection { body += "</section>\n" }
    hasOpenSection = true
    links.append((id, title))
    body +=
      "<section id=\"\(id)\" aria-labelledby=\"\(id)-title\">\n"
      + "<h2 id=\"\(id)-title\">\(escapedMarkup(title))</h2>\n"
  }

  package mutating func heading(_ text: String) { body += "<h3>\(escapedMarkup(text))</h3>\n" }

  package mutating func paragraph(_ text: String, style: String = "") {
    body += "<p\(style.isEmpty ? "" : " class=\"\(style)\"")>\(escapedMarkup(text))</p>\n"
  }

  /// Lines as they are, in letters of one width.
  package mutating func block(_ text: String, label: String) {
    body +=
      "<pre tabindex=\"0\" role=\"region\" aria-label=\"\(escapedMarkup(label))\">"
      + HTMLPage.lines(text) + "</pre>\n"
  }

  /// Text of several lines, escaped; line breaks and tabs stay.
  static func lines(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.split(separator: "\t", omittingEmptySubsequences: false)
        .map { escapedMarkup(String($0)) }.joined(separator: "\t")
    }.joined(separator: "\n")
  }

  /// Labels and values.
  package mutating func pairs(_ rows: [(label: String, value: String)]) {
    body += "<table class=\"pairs\"><tbody>\n"
    for row in rows {
      body +=
        "<tr><th scope=\"row\">\(escapedMarkup(row.label))</th>"
        + "<td>\(escapedMarkup(row.value))</td></tr>\n"
    }
    body += "</tbody></table>\n"
  }

  /// A table with titles; columns of `right` stand on the right.
  package mutating func table(
    _ titles: [String], _ rows: [[String]], right: Set<Int> = [], styles: [String] = []
  ) {
    body +=
      "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"table\"><table><thead><tr>"
    for (column, title) in titles.enumerated() {
      body +=
        "<th scope=\"col\"\(right.contains(column) ? " class=\"num\"" : "")>"
        + "\(escapedMarkup(title))</th>"
    }
    body += "</tr></thead><tbody>\n"
    for (index, row) in rows.enumerated() {
      let style =
        index < styles.count && !styles[index].isEmpty ? " class=\"\(styles[index])\"" : ""
      body += "<tr\(style)>"
      for (column, cell) in row.enumerated() {
        body += "<td\(right.contains(column) ? " class=\"num\"" : "")>\(escapedMarkup(cell))</td>"
      }
      body += "</tr>\n"
    }
    body += "</tbody></table></div>\n"
  }

  /// A part that opens with a key or a click.
  package mutating func details(
    _ title: String, isOpen: Bool = false, _ content: (inout HTMLPage) -> Void
  ) {
    body += "<details\(isOpen ? " open" : "")><summary>\(escapedMarkup(title))</summary>\n"
    content(&self)
    body += "</details>\n"
  }

  /// A drawing that `SVGPicture` has made. Within HTML it needs no name space.
  package mutating func add(drawing: String) {
    append(
      markup: "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"drawing\">\n"
        + drawing.replacing(" xmlns=\"http://www.w3.org/2000/svg\"", with: "") + "</div>\n")
  }

  /// Markup that is made elsewhere, and escaped there.
  mutating func append(markup: String) { body += markup }

  /// The whole page.
  package func finish() -> String {
    let navigation = links.map { "<a href=\"#\($0.id)\">\(escapedMarkup($0.title))</a>" }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
      style-src 'unsafe-inline'; script-src 'sha256-\(ReportScript.digest)'">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta name="generator" content="xensave-lua \(escapedMarkup(productVersion))">
      <title>\(escapedMarkup(title))</title>
      <style>\(ReportStyle.text)</style>
      </head>
      <body>
      <a class="skip" href="#main">Skip to the contents</a>
      <header><h1>\(escapedMarkup(title))</h1><nav aria-label="Sections">\
      \(navigation.joined(separator: " "))</nav></header>
      <main id="main">
      \(body)\(hasOpenSection ? "</section>\n" : "")</main>
      <script>\(ReportScript.text)</script>
      </body>
      </html>

      """
  }
}
