// Differences as a Lua filter: xensave-lua diff --as-filter.

internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Markup
internal import Pages
internal import Reports
internal import Stream

/// Differences as the text of a Lua filter.
struct DiffFilter {
  private let one: ImageDocument
  private let other: ImageDocument
  private let differences: [Difference]
  private let pages: [PageDifference]
  private let pathB: String

  init(
    _ one: ImageDocument, _ other: ImageDocument, _ differences: [Difference],
    _ pages: [PageDifference], pathB: String
  ) {
    self.one = one
    self.other = other
    self.differences = differences
    self.pages = pages
    self.pathB = pathB
  }

  func text() throws -> String {
    var header = ""
    if let config = other.header(.xl), differences.contains(where: { $0.path.hasPrefix("config") })
    {
      let text = XLConfig.text(config) ?? []
      header += "  xl_header = function(h)\n"
      header += try configEdits(text) ?? "    h.config_text = \(quoted(text))\n"
      header += "  end,\n"
    }
    if let xml = other.header(.libvirt).flatMap({ DomainText.text($0) }),
      differences.contains(where: { $0.path.hasPrefix(DomainText.xml.rawValue) })
    {
      header += "  libvirt_header = function(h)\n"
      header += try xmlEdits(xml) ?? "    h.xml_text = \(quoted(xml))\n"
      header += "  end,\n"
    }
    for kind in HeaderKind.allCases {
      let name = "\(kind.rawValue)_header"
      let fields = differences.filter { $0.path.hasPrefix(name + ".") && $0.kind == .field }
      guard !fields.isEmpty, kind != .xl, kind != .libvirt else { continue }
      header += "  \(name) = function(h)\n"
      for field in fields {
        header += "    h.\(field.path.dropFirst(name.count + 1)) = \(literal(field.value))\n"
      }
      header += "  end,\n"
    }
    let (declarations, entry) = pagesText()
    return """
      -- Turns the first image into the second.
      local xs = require "xensave"
      \(declarations)local change = {
      \(try records())}
      return {
      \(header)\(entry)  record = function(rec)
          local f = change[rec.index]
          if f then return f(rec) end
        end,
      }

      """
  }

  /// What copies the pages that differ from the second image, by reference to it: what stands before
  /// the filter's table, and its entry for PAGE_DATA.
  private func pagesText() -> (declarations: String, entry: String) {
    var notes = ""
    for run in pages where run.kind != .contents {
      notes += "-- not done: \(run.description)\n"
    }
    let runs = pages.filter { $0.kind == .contents }
    guard !runs.isEmpty else { return (notes, "") }
    var ranges = ""
    for run in runs { ranges += "  { \(run.first.hex()), \(run.last.hex()) },\n" }
    var wanted = "xs.pages.pfns(changed)"
    if one.index.end.guest == .x86PV {
      // Page tables refer to other pages by number: the restore checks them.
      notes += "-- not done: page tables that differ\n"
      let tables = (1...4).map { "\"L\($0)TAB\", \"L\($0)TAB_PIN\"" }.joined(separator: ", ")
      wanted += " - xs.pages.type(\(tables))"
    }
    return (
      """
      \(notes)local other = assert(xs.open(\(quoted(Array(pathB.utf8)))))
      local changed = xs.pages.set()
      for _, run in ipairs {
      \(ranges)} do
        changed = changed | xs.pages.set(run[1], run[2])
      end
      local pages = \(wanted)

      """,
      """
        PAGE_DATA = function(batch) batch:copy_pages(pages, other) end,

      """
    )
  }

  /// A function for each record of the first image that changes; its number is the key.
  private func records() throws -> String {
    var out = ""
    let byRecord = Dictionary(grouping: differences, by: \.recordA)
    let byAnchor = Dictionary(grouping: differences, by: \.anchor)
    let touched = Set(byRecord.keys).union(byAnchor.keys).subtracting([0])
    for recordIndex in touched.sorted() {
      let record = try one.record(recordIndex)
      let all = byRecord[recordIndex] ?? []
      out += "  [\(recordIndex)] = function(rec)  -- \(record.type.name)\n"
      if all.contains(where: { $0.text != nil }) {
        out += texts(all)
        continue
      }
      let inserted = try (byAnchor[recordIndex] ?? []).map { try made($0.recordB) }
      if !inserted.isEmpty {
        for field in all {
          guard let slot = field.slot, field.kind == .field else { continue }
          out += "    \(assignment(field, slot, record))\n"
        }
        out += "    return \((inserted + ["rec"]).joined(separator: ", "))\n"
      } else if all.contains(where: { $0.kind == .missing && $0.recordB == 0 && $0.slot == nil })
        && all.count == 1
      {
        out += "    return false\n"
      } else if let mate = all.map(\.recordB).first(where: { $0 > 0 }),
        try other.record(mate).payloadByteCount > 0
      {
        out += "    -- not done: the second image has another blob of "
        out += "\(try other.record(mate).length) bytes here\n"
      } else if try all.allSatisfy({ try isEdit($0, of: record) }) {
        for field in all {
          guard let slot = field.slot else { continue }
          out += "    \(assignment(field, slot, record))  -- \(field.before) -> \(field.after)\n"
        }
      } else if let mate = all.map(\.recordB).first(where: { $0 > 0 }) {
        // Elements came or went: the body as a whole.
        out += "    return \(try made(mate))\n"
      }
      out += "  end,\n"
    }
    return out
  }

  /// Edits of xenopsd's record by path.
  private func texts(_ all: [Difference]) -> String {
    var out = ""
    for difference in all {
      guard let text = difference.text, let path = text.path else {
        out += "    -- not done: \(difference.description)\n"
        continue
      }
      let value = text.after.map { quoted(Array($0.utf8)) } ?? "nil"
      out += "    rec.xenops[\(quoted(Array(path.description.utf8)))] = \(value)\n"
    }
    return out + "  end,\n"
  }

  /// Whether the difference can be said as one field that gets another value.
  private func isEdit(_ difference: Difference, of record: Record) throws -> Bool {
    guard difference.kind == .field, difference.slot != nil, difference.recordB > 0 else {
      return false
    }
    return try other.record(difference.recordB).body.count == record.body.count
  }

  /// The text that makes a record of the second image.
  private func made(_ recordIndex: Int) throws -> String {
    let record = try other.record(recordIndex)
    return "xs.record(\(record.type.wireValue), \(quoted(record.body)), \"\(record.type.layer)\")"
  }

  // MARK: - Assignments

  /// What gives a field of `rec` its value of the second image: by the name of what it is about, where
  /// it has one.
  private func assignment(_ field: Difference, _ slot: FieldLocation, _ record: Record) -> String {
    let value = literal(field.value)
    let path = field.path
    if path.hasPrefix("cpuid["), let close = path.firstIndex(of: "]") {
      let key = path[..<close].dropFirst(6).split(separator: ",")
      let subleaf = key.count > 1 ? ", subleaf = \(key[1])" : ""
      return "rec:find { leaf = \(key[0])\(subleaf) }\(path[close...].dropFirst()) = \(value)"
    }
    var inside = slot.path
    for (root, list) in [("hvm_params", "param"), ("msr_policy", "msr")] {
      guard path.hasPrefix(root + "["), let close = path.firstIndex(of: "]") else { continue }
      let name = field.title.split(separator: "(").dropFirst().first?.dropLast()
      let key = name ?? path[..<close].dropFirst(root.count + 1)
      inside = "\(list)[\"\(key)\"].value"
    }
    let found = (try? record.layout.slot(inside, in: record.body))?.offset == slot.offset
    return "rec:set(\(quoted(Array((found ? inside : slot.path).utf8))), \(value))"
  }

  /// Assignments that make the second configuration of the first one; nil where they would give another
  /// text.
  private func configEdits(_ wanted: [UInt8]) throws -> String? {
    guard var document = try? one.config(), (try? other.config()) != nil else { return nil }
    var out = ""
    let all = differences.filter { $0.path == "config" || $0.path.hasPrefix("config.") }
    // What goes leaves a list at its end.
    for difference in all.filter({ $0.kind != .missing })
      + all.reversed().filter({ $0.kind == .missing })
    {
      guard let path = try? JSONPath(parsing: String(difference.path.dropFirst(7))),
        !path.keys.isEmpty
      else { return nil }
      let place = path.keys.reduce("h.config") { place, key in
        switch key {
        case .index(let index): "\(place)[\(index + 1)]"
        case .name(let name):
          name.utf8.allSatisfy(isOfName) && name.utf8.first.map { $0 > 0x39 } == true
            && !DiffFilter.keywords.contains(name)
            ? "\(place).\(name)" : "\(place)[\(quoted(Array(name.utf8)))]"
        }
      }
      if difference.kind == .missing {
        guard (try? document.remove(path)) != nil else { return nil }
        out += "    \(place) = nil\n"
        continue
      }
      guard let value = try? JSONValue(parsing: difference.after), let text = literal(value) else {
        return nil
      }
      do {
        if document[path] == nil, case .index? = path.keys.last {
          try document.insert(value, at: path)
        } else {
          try document.set(path, to: value)
        }
      } catch { return nil }
      let before = difference.kind == .field ? "  -- was \(difference.before)" : ""
      out += "    \(place) = \(text)\(before)\n"
    }
    return document.text == wanted ? out : nil
  }

  /// The same of libvirt's XML.
  private func xmlEdits(_ wanted: [UInt8]) throws -> String? {
    guard var document = try one.document(.xml) else { return nil }
    var out = ""
    for difference in differences where difference.path.hasPrefix(DomainText.xml.rawValue) {
      guard let text = difference.text, let path = text.path else { return nil }
      do {
        if let after = text.after {
          try document.set(path, to: after)
        } else {
          try document.remove(path)
        }
      } catch { return nil }
      let value = text.after.map { quoted(Array($0.utf8)) } ?? "nil"
      out += "    h.xml[\(quoted(Array(path.description.utf8)))] = \(value)\n"
    }
    return document.text == wanted ? out : nil
  }

  /// A value as Lua gives it back; nil for what has members, whose order Lua does not keep.
  private func literal(_ value: JSONValue) -> String? {
    switch value {
    case .string(let text): quoted(Array(text.utf8))
    case .bool(let flag): flag ? "true" : "false"
    case .number(let value): value.int64.map { "\($0)" }
    default: nil
    }
  }

  private static let keywords: Set<String> = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
    "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
  ]

  private func isOfName(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == 0x5F
  }

  private func literal(_ value: FieldValue?) -> String {
    switch value {
    case .unsigned(let value)?: return "0x" + String(value, radix: 16)
    case .signed(let value)?: return "\(value)"
    case .text(let text)?: return quoted(Array(text.utf8))
    case .bytes(let bytes)?: return quoted(bytes)
    default: return "nil"
    }
  }

  /// A Lua string of these bytes.
  private func quoted(_ bytes: [UInt8]) -> String {
    var out = "\""
    for byte in bytes {
      switch byte {
      case 0x22, 0x5C:
        out += "\\"
        out.unicodeScalars.append(Unicode.Scalar(byte))
      case 0x20..<0x7F: out.unicodeScalars.append(Unicode.Scalar(byte))
      case 0x0A: out += "\\n"
      default: out += "\\x" + [byte].hexDigits
      }
    }
    return out + "\""
  }
}
