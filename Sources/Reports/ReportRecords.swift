// The records of an image in a page: their fields, and the bytes that these are made of.

internal import Bytes
internal import Format
internal import Stream
internal import SystemIO

/// Puts headers and records into a page. What there is of them is bounded, whatever the image says.
struct RecordSection {
  /// Parts that are listed, fields and bytes of each, and bytes of HTML for all of them.
  private static let partLimit = 200
  private static let fieldLimit = 64
  private static let byteLimit = 512
  private static let markupLimit = 700_000
  /// A field of more bytes is not taken apart.
  private static let wholeLimit = 256 << 10
  private static let textLimit = 160

  private var listed = 0
  private var leftOut = 0
  /// PAGE_DATA records that followed one another.
  private var pages: (records: Int, entries: UInt64, low: UInt64, high: UInt64, offset: UInt64)?

  /// Reads `source` from its start.
  static func add(_ source: Source, to page: inout HTMLPage) throws {
    var section = RecordSection()
    source.seek(0)
    var reader = StreamReader(source)
    let start = page.byteCount
    while let part = try reader.next() {
      switch part {
      case .header(let header): section.add(DumpItem(header), start, &page)
      case .record(let record) where record.type == .pageData: section.gather(record)
      case .record(let record): section.add(DumpItem(record), start, &page)
      case .trailing(let trailing):
        section.flush(&page)
        page.paragraph("Bytes after the end, at offset \(trailing.offset.hex()).")
      }
    }
    section.flush(&page)
    if section.leftOut > 0 {
      page.paragraph(
        "\(section.leftOut.grouped) more records are not shown (xensave-lua dump shows all).",
        style: "faint")
    }
  }

  private mutating func gather(_ record: Record) {
    guard let table = record.pageTable else { return }
    var known = pages ?? (0, 0, .max, 0, record.offset)
    known.records += 1
    known.entries += UInt64(table.counts.reduce(0, +))
    known.low = min(known.low, table.lowestPFN)
    known.high = max(known.high, table.highestPFN)
    pages = known
  }

  private mutating func flush(_ page: inout HTMLPage) {
    guard let known = pages else { return }
    pages = nil
    guard listed < RecordSection.partLimit else {
      leftOut += known.records
      return
    }
    listed += 1
    let range = known.entries == 0 ? "" : ", pfn \(known.low.hex()) to \(known.high.hex())"
    page.paragraph(
      "PAGE_DATA at \(known.offset.hex()): \(known.records.grouped) record\(known.records == 1 ? "" : "s"), "
        + "\(known.entries.grouped) entries\(range)", style: "faint")
  }

  private mutating func add(_ item: DumpItem, _ start: Int, _ page: inout HTMLPage) {
    flush(&page)
    guard listed < RecordSection.partLimit else {
      leftOut += 1
      return
    }
    listed += 1
    let title = "\(item.title) at \(item.offset.hex()), \(item.length.grouped) bytes"
    guard !item.bytes.isEmpty, page.byteCount - start < RecordSection.markupLimit else {
      page.paragraph(title, style: "faint")
      return
    }
    page.details(title) { page in
      page.append(markup: RecordSection.annotated(item))
    }
  }

  // MARK: - Fields and bytes

  private struct Row {
    let path: String
    let offset: Int
    let byteCount: Int
    let text: String
  }

  private static func annotated(_ item: DumpItem) -> String {
    var rows: [Row] = []
    var left = 0
    for slot in item.layout.slots(in: item.bytes) { collect(slot, item, &rows, &left) }
    var out = "<div class=\"record\"><div class=\"fields\"><table><tbody>\n"
    for (index, row) in rows.enumerated() {
      out +=
        "<tr data-f=\"\(index)\" tabindex=\"0\"><th scope=\"row\" class=\"f\(index % 4)\">"
        + "\(escapedMarkup(row.path))</th><td class=\"num faint\">+\(row.offset.hex())</td>"
        + "<td>\(escapedMarkup(row.text))</td></tr>\n"
    }
    out += "</tbody></table>"
    if left > 0 { out += "<p class=\"faint\">and more fields</p>" }
    out += "</div><pre class=\"hex\" tabindex=\"0\" role=\"region\" aria-label=\"bytes\">"
    out += hexadecimal(item.bytes, rows)
    if item.length > UInt64(byteLimit) { out += "\n... of \(item.length.grouped) bytes" }
    return out + "</pre></div>\n"
  }

  /// The leaves of a field, as far as there is room.
  private static func collect(
    _ slot: FieldLocation, _ item: DumpItem, _ rows: inout [Row], _ left: inout Int
  ) {
    guard rows.count < fieldLimit else {
      left += 1
      return
    }
    if !slot.isLeaf, slot.byteCount <= wholeLimit {
      let children = item.layout.children(of: slot, in: item.bytes)
      for child in children.prefix(fieldLimit) { collect(child, item, &rows, &left) }
      if children.count > fieldLimit { left += 1 }
      if !children.isEmpty { return }
    }
    let text =
      slot.isLeaf && slot.byteCount <= 4096
      ? slot.field.text(of: slot.value(in: item.bytes)) : "\(slot.byteCount.grouped) bytes"
    rows.append(
      Row(
        path: String(slot.path.prefix(textLimit)), offset: slot.offset, byteCount: slot.byteCount,
        text: String(text.prefix(textLimit))))
  }

  /// Lines of 16 bytes; those of a field are one piece of a line.
  private static func hexadecimal(_ bytes: [UInt8], _ rows: [Row]) -> String {
    let count = min(bytes.count, byteLimit)
    // Fields of bits share their bytes: the first one has them.
    var owner = [Int?](repeating: nil, count: count)
    for (index, row) in rows.enumerated() where row.offset < count {
      for place in row.offset..<min(count, row.offset + row.byteCount) where owner[place] == nil {
        owner[place] = index
      }
    }
    var lines: [String] = []
    for start in stride(from: 0, to: count, by: 16) {
      let end = min(start + 16, count)
      let digits = String(start, radix: 16)
      var line = String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "  "
      var place = start
      while place < end {
        var next = place + 1
        while next < end, owner[next] == owner[place] { next += 1 }
        let text = bytes[place..<next].map { [$0].hexDigits }.joined(separator: " ")
        if let index = owner[place] {
          line +=
            "<span class=\"f\(index % 4)\" data-f=\"\(index)\" title=\"\(escapedMarkup(rows[index].path))\">"
            + text + "</span>"
        } else {
          line += text
        }
        line += next < end ? " " : ""
        place = next
      }
      line += String(repeating: "   ", count: 16 - (end - start)) + "  "
      line += escapedMarkup(
        String(
          decoding: bytes[start..<end].map { (0x20..<0x7F).contains($0) ? $0 : 0x2E }, as: UTF8.self
        ))
      lines.append(line)
    }
    return lines.joined(separator: "\n")
  }
}
