// Pictures of octets, as the specifications of Xen draw them, from the rows of a table.

internal import Format

/// Draws cells eight octets a row:
///
///         0       1       2       3       4       5       6       7    octet
///     +-------------------------------+-------------------------------+
///     | count                         | (reserved)                    |
///     +-------------------------------+-------------------------------+
struct OctetPicture {
  /// One box: octets that belong together.
  struct Cell {
    let label: String
    /// nil: to the end of the body.
    let byteCount: Int?
    /// Whether more cells like the ones before follow, as many as the body has.
    var isEllipsis = false
  }

  /// A part of a cell in one row.
  private struct Segment {
    let cell: Int
    let bytes: Range<Int>
    var label: String
  }

  private static let byteWidth = 8
  private static let rowByteCount = 8

  private var rows: [[Segment]] = []
  /// Rows that "..." follows.
  private var ellipses: Set<Int> = []
  private var column = 0

  /// The picture of `cells`, without a line break at its end; "" of none.
  static func text(_ cells: [Cell]) -> String {
    var picture = OctetPicture()
    for (cellIndex, cell) in cells.enumerated() { picture.add(cell, cellIndex) }
    return picture.draw()
  }

  private mutating func add(_ cell: Cell, _ cellIndex: Int) {
    if cell.isEllipsis {
      ellipses.insert(rows.count - 1)
      column = 0
      return
    }
    let rest = Self.rowByteCount - column
    guard let count = cell.byteCount else {
      put(Segment(cell: cellIndex, bytes: column..<Self.rowByteCount, label: cell.label + " ..."))
      return
    }
    guard count > 0 else { return }
    guard count > rest else {
      put(Segment(cell: cellIndex, bytes: column..<column + count, label: cell.label))
      return
    }
    // The label stands in the first part; whole rows between the first and the last are one.
    let label = "\(cell.label), \(count) octets"
    var parts: [Range<Int>] = column > 0 ? [column..<Self.rowByteCount] : []
    let inside = count - (column > 0 ? rest : 0)
    if inside >= Self.rowByteCount { parts.append(0..<Self.rowByteCount) }
    if inside % Self.rowByteCount > 0 { parts.append(0..<inside % Self.rowByteCount) }
    let widest = parts.indices.max { parts[$0].count < parts[$1].count } ?? 0
    for (index, bytes) in parts.enumerated() {
      put(Segment(cell: cellIndex, bytes: bytes, label: index == widest ? label : ""))
    }
  }

  private mutating func put(_ segment: Segment) {
    if column == 0 { rows.append([]) }
    rows[rows.count - 1].append(segment)
    column = segment.bytes.upperBound % Self.rowByteCount
  }

  // MARK: - Drawing

  private func draw() -> String {
    guard !rows.isEmpty else { return "" }
    var lines = [
      (0..<Self.rowByteCount).map { "    \($0)   " }.joined() + " octet"
    ]
    lines.append(border(above: nil, below: rows[0]))
    for (rowIndex, row) in rows.enumerated() {
      lines += text(of: row)
      let next = rowIndex + 1 < rows.count ? rows[rowIndex + 1] : nil
      if ellipses.contains(rowIndex) {
        lines.append("...")
        if let next { lines.append(border(above: nil, below: next)) }
      } else {
        lines.append(border(above: row, below: next))
      }
    }
    return lines.joined(separator: "\n")
  }

  private func text(of row: [Segment]) -> [String] {
    let texts = row.map { segment in
      Self.folded(segment.label, width: segment.bytes.count * Self.byteWidth - 2)
    }
    let height = texts.map(\.count).max() ?? 1
    return (0..<max(1, height)).map { line in
      var out = "|"
      for (segment, text) in zip(row, texts) {
        let width = segment.bytes.count * Self.byteWidth - 1
        let cellText = line < text.count ? " " + text[line] : ""
        out += cellText + String(repeating: " ", count: width - cellText.count) + "|"
      }
      return out
    }
  }

  /// `label` in lines of at most `width`, broken after blanks, underscores and points where there
  /// are some.
  static func folded(_ label: String, width: Int) -> [String] {
    var lines = [""]
    var word = ""
    func place() {
      var rest = word[...]
      if lines[lines.count - 1].count + rest.count > width, !lines[lines.count - 1].isEmpty {
        lines.append("")
      }
      while rest.count > width {
        lines[lines.count - 1] = String(rest.prefix(width))
        lines.append("")
        rest = rest.dropFirst(width)
      }
      lines[lines.count - 1] += rest
      word = ""
    }
    for character in label {
      word.append(character)
      if " _.".contains(character) { place() }
    }
    place()
    return lines.map { line in
      line.hasSuffix(" ") ? String(line.dropLast()) : line
    }
  }

  /// The line between two rows: blank where one cell continues below itself.
  private func border(above: [Segment]?, below: [Segment]?) -> String {
    func cell(_ row: [Segment]?, _ byte: Int) -> Int? {
      row?.first { $0.bytes.contains(byte) }?.cell
    }
    func isDrawn(_ byte: Int) -> Bool {
      let (a, b) = (cell(above, byte), cell(below, byte))
      return (a != nil || b != nil) && a != b
    }
    func isEdge(_ byte: Int) -> Bool {
      [above, below].contains { row in
        cell(row, byte - 1) != cell(row, byte)
      }
    }
    var out = ""
    for byte in 0...Self.rowByteCount {
      let (left, right) = (isDrawn(byte - 1), isDrawn(byte))
      if left || right {
        out += isEdge(byte) ? "+" : "-"
      } else {
        out += isEdge(byte) ? "|" : " "
      }
      if byte < Self.rowByteCount {
        out += String(repeating: right ? "-" : " ", count: Self.byteWidth - 1)
      }
    }
    while out.hasSuffix(" ") { out.removeLast() }
    return out
  }
}
