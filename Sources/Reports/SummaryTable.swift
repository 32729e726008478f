// What several images hold: a line an image, for people and for spreadsheets.

internal import Bytes
internal import Format
internal import GuestOS
internal import ImageCheck
internal import Stream
internal import Terminal

/// Rows of `info` about several images.
package struct SummaryTable {
  private static let header = [
    "file", "name", "type", "vcpus", "mib", "xen", "kernel", "uptime", "layers", "complete",
  ]
  /// Columns of numbers, which stand on the right.
  private static let rightAligned: Set<Int> = [3, 4, 7]
  private var rows: [[String]] = []

  package init() {}

  package var isEmpty: Bool { rows.isEmpty }

  package mutating func add(_ summary: Summary, path: String) {
    let imageSummary = summary.imageSummary
    rows.append([
      path, summary.name ?? "", summary.kind ?? imageSummary.guest?.name ?? "",
      summary.vcpuCount.map { "\($0)" } ?? "", "\(imageSummary.memoryByteCount >> 20)",
      imageSummary.xenVersion.map { "\($0.major).\($0.minor)" } ?? "",
      summary.kernel?.release ?? "", summary.kernel?.uptime.map { "\($0)" } ?? "",
      imageSummary.layers.joined(separator: ">"), imageSummary.ending == nil ? "no" : "yes",
    ])
  }

  /// In columns as wide as what they hold.
  package func text(_ textStyle: TextStyle = .none) -> String {
    let shown = ([Self.header] + rows).map { row in
      row.map { escapeForDisplay($0.isEmpty ? "-" : $0) }
    }
    let widths = Self.header.indices.map { column in
      shown.map { displayWidth($0[column]) }.max() ?? 0
    }
    return shown.enumerated().map { index, row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let gap = String(repeating: " ", count: widths[column] - displayWidth(cell))
        let isLast = column + 1 == row.count
        line += Self.rightAligned.contains(column) ? gap + cell : cell + (isLast ? "" : gap)
        if !isLast { line += "  " }
      }
      return (index == 0 ? textStyle.key(line) : line) + "\n"
    }.joined()
  }

  /// Comma-separated values with a header.
  package var csv: String { commaSeparated([Self.header] + rows) }
}
