// A table of rows as Markdown: a picture of its bytes and what each field means.

internal import Format

/// Writes tables of rows one after the other on one page.
struct FormatSection {
  private(set) var out = ""
  /// Groups that the page has shown already, by what is in them.
  private var shown: [String: String] = [:]
  private var waiting: [(name: String, fields: [Field])] = []

  /// Bytes that a group may have to be drawn inside its owner's picture.
  private static let inlineLimit = 32
  /// Named values that a table's cell holds; longer lists stand below.
  private static let namesLimit = 16

  mutating func text(_ text: String) { out += "\n" + text + "\n" }

  mutating func heading(_ level: Int, _ title: String) {
    text(String(repeating: "#", count: level) + " " + title)
  }

  /// Rows with their picture and table; nothing for no rows.
  mutating func rows(_ fields: [Field]) {
    waiting = []
    draw(fields)
    while !waiting.isEmpty {
      let (name, fields) = waiting.removeFirst()
      let count = Field.fixedByteCount(of: fields).map { ", \($0) bytes" } ?? ""
      let signature = fields.map { "\($0.name):\($0.fixedByteCount ?? -1)" }
        .joined(separator: " ")
      if let before = shown[signature] {
        text("**`\(name)`**\(count): as `\(before)` above.")
        continue
      }
      shown[signature] = name
      text("**`\(name)`**\(count):")
      draw(fields)
    }
  }

  private mutating func draw(_ fields: [Field]) {
    let picture = OctetPicture.text(cells(fields, prefix: ""))
    guard !picture.isEmpty else { return }
    text("```\n\(picture)\n```")
    var lines: [String] = []
    var lists: [String] = []
    var offset: Int? = 0
    for field in fields { row(field, prefix: "", &offset, &lines, &lists) }
    if !lines.isEmpty {
      text(
        "| offset | bytes | field | kind | meaning |\n|---|---|---|---|---|\n"
          + lines.joined(separator: "\n"))
    }
    for list in lists { text(list) }
  }

  // MARK: - Pictures

  private mutating func cells(_ fields: [Field], prefix: String) -> [OctetPicture.Cell] {
    fields.flatMap { cells($0, prefix: prefix) }
  }

  private mutating func cells(_ field: Field, prefix: String) -> [OctetPicture.Cell] {
    let name = prefix + field.name
    switch field.kind {
    case .reserved(let count): return [.init(label: "(reserved)", byteCount: count)]
    case .bytes(let count) where Self.isPadding(field):
      return [.init(label: "(padding)", byteCount: count)]
    case .group(let inner):
      if let count = field.fixedByteCount, count <= Self.inlineLimit {
        return cells(inner, prefix: name + ".")
      }
      waiting.append((name, inner))
      return [.init(label: name, byteCount: field.fixedByteCount)]
    case .array(let element, .fixed(let count)):
      guard let each = element.fixedByteCount else {
        return [.init(label: name, byteCount: nil)]
      }
      if case .group(let inner) = element.kind {
        waiting.append((name + "[i]", inner))
      } else if count <= 4 {
        return (0..<count).map { .init(label: "\(name)[\($0)]", byteCount: each) }
      }
      return [.init(label: "\(name)[0..\(count - 1)]", byteCount: each * count)]
    case .array(let element, _):
      var first: [OctetPicture.Cell]
      if case .group(let inner) = element.kind {
        first = cells(inner, prefix: name + "[0].")
      } else {
        first = [.init(label: name + "[0]", byteCount: element.fixedByteCount)]
      }
      first.append(.init(label: "", byteCount: 0, isEllipsis: true))
      return first
    default:
      return [
        .init(label: Self.isPadding(field) ? "(rest)" : name, byteCount: field.fixedByteCount)
      ]
    }
  }

  private static func isPadding(_ field: Field) -> Bool { field.name.hasPrefix("_") }

  // MARK: - Tables

  private func row(
    _ field: Field, prefix: String, _ offset: inout Int?, _ lines: inout [String],
    _ lists: inout [String]
  ) {
    let name = prefix + field.name
    let start = offset
    let count = field.fixedByteCount
    defer {
      if let start, let count { offset = start + count } else { offset = nil }
    }
    if Self.isPadding(field) { return }
    if case .group(let inner) = field.kind, let count, count <= Self.inlineLimit {
      for child in inner { row(child, prefix: name + ".", &offset, &lines, &lists) }
      return
    }
    func line(_ field: Field, _ name: String, _ start: Int?, _ count: Int?) {
      let place = start.map(String.init) ?? ""
      let bytes = count.map(String.init) ?? ""
      let note = meaning(field, name, &lists)
      lines.append("| \(place) | \(bytes) | `\(name)` | \(Self.kind(field)) | \(note) |")
    }
    if case .reserved = field.kind, field.doc.isEmpty { return }
    line(field, name, start, count)
    if case .array(let element, let length) = field.kind {
      if case .fixed = length { return }
      if case .group(let inner) = element.kind {
        for child in inner where !Self.isPadding(child) {
          if case .reserved = child.kind { continue }
          line(child, "\(name)[].\(child.name)", nil, child.fixedByteCount)
        }
      } else if !element.bits.isEmpty {
        line(element, "\(name)[]", nil, element.fixedByteCount)
      }
    }
  }

  private static func kind(_ field: Field) -> String {
    field.kindName + (field.unit.isEmpty ? "" : ", in \(field.unit)")
  }

  private func meaning(_ field: Field, _ name: String, _ lists: inout [String]) -> String {
    var parts = field.doc.isEmpty ? [] : [field.doc]
    if !field.bits.isEmpty {
      let bits = field.bits.map { part in
        let high = part.low + part.width - 1
        return part.width == 1 ? "\(part.low) `\(part.name)`" : "\(high)-\(part.low) `\(part.name)`"
      }
      parts.append("Bits: \(bits.joined(separator: ", ")).")
    }
    let names = field.names.sorted { $0.key < $1.key }.map { "\($0.key) `\($0.value)`" }
    if names.count > Self.namesLimit {
      lists.append("Values of `\(name)`: \(names.joined(separator: ", ")).")
      parts.append("The values have names, see below.")
    } else if !names.isEmpty {
      parts.append("Values: \(names.joined(separator: ", ")).")
    }
    return parts.joined(separator: " ").replacing("|", with: "\\|")
  }
}
