// Tables for spreadsheets and databases.

/// Rows as RFC 4180 has them, but for the line breaks of Unix: cells with a comma, a quote or a line break
/// stand in quotes.
package func commaSeparated(_ rows: [[String]]) -> String {
  rows.map { row in
    row.map { cell in
      let isPlain = !cell.contains { "\",\n\r".contains($0) }
      return isPlain ? cell : "\"" + cell.replacing("\"", with: "\"\"") + "\""
    }.joined(separator: ",") + "\n"
  }.joined()
}
