// Headers and records with their fields, for people and for programs.

internal import Bytes
package import Format
internal import ImageCheck
package import JSON
package import Markup
package import Stream
internal import SystemIO
internal import Terminal

/// Something that prints parts.
package protocol Dumping {
  mutating func add(_ item: DumpItem)
  mutating func add(_ value: JSONValue, path: String)
  /// A place in libvirt's XML or xenopsd's record, and the texts inside.
  mutating func add(
    _ value: MarkupValue, _ leaves: [(path: MarkupPath, text: String)], path: String)
  mutating func add(_ trailing: TrailingBytes)
  mutating func take() -> [UInt8]
  mutating func finish() -> [UInt8]
}

extension Dumping {
  /// A part of a stream: of PAGE_DATA only its counts.
  package mutating func add(_ part: StreamElement) {
    switch part {
    case .header(let header): add(DumpItem(header))
    case .record(let record): add(DumpItem(record, isBrief: record.type == .pageData))
    case .trailing(let trailing): add(trailing)
    }
  }
}

/// One thing to print: a header or record, and which of its fields.
package struct DumpItem {
  package let title: String
  package let offset: UInt64
  package let length: UInt64
  package let bytes: [UInt8]
  package let layout: BodySchema
  /// Only this place; nil for everything.
  package var only: FieldLocation?
  /// What that place is called for people; nil for its path.
  package var label: String?
  /// PAGE_DATA that was not asked for by name: only its counts.
  package var isBrief = false
  package var record: Record?
  package var header: Header?

  /// One place of a header or record.
  package init(title: String, bytes: [UInt8], layout: BodySchema, only: FieldLocation) {
    self.title = title
    offset = 0
    length = UInt64(bytes.count)
    self.bytes = bytes
    self.layout = layout
    self.only = only
  }

  package init(_ header: Header, only: FieldLocation? = nil) {
    title = header.kind.title
    offset = header.offset
    length = UInt64(header.bytes.count)
    bytes = header.bytes
    layout = header.layout
    self.only = only
    self.header = header
  }

  package init(_ record: Record, only: FieldLocation? = nil, isBrief: Bool = false) {
    title = record.place
    offset = record.offset
    length = record.length
    bytes = record.body
    layout = record.layout
    self.only = only
    self.isBrief = isBrief
    self.record = record
  }
}

/// Prints for people.
package struct TextDumper: Dumping {
  package let showsHex: Bool
  package let showsAll: Bool
  private let textStyle: TextStyle
  private var out = ""
  private static let arrayLimit = 16

  package init(showsHex: Bool, showsAll: Bool, textStyle: TextStyle = .none) {
    self.textStyle = textStyle
    self.showsHex = showsHex
    self.showsAll = showsAll
  }

  package mutating func add(_ trailing: TrailingBytes) {
    out += "trailing bytes at \(trailing.offset.hex()): \(trailing.first.printable)\n"
  }

  package mutating func add(_ value: JSONValue, path: String) {
    out += "\(textStyle.key(path)): \(String(decoding: value.text(.pretty), as: UTF8.self))\n"
  }

  package mutating func add(
    _ value: MarkupValue, _ leaves: [(path: MarkupPath, text: String)], path: String
  ) {
    switch value {
    case .text(let text): out += "\(textStyle.key(path)): \(escapeForDisplay(text))\n"
    case .tree(let source):
      out += "\(textStyle.key(path)):\n"
      let lines = String(decoding: source, as: UTF8.self).split(separator: "\n")
      for line in lines { out += "  \(escapeForDisplay(String(line)))\n" }
    }
  }

  package mutating func take() -> [UInt8] {
    defer { out = "" }
    return Array(out.utf8)
  }

  package mutating func finish() -> [UInt8] { take() }

  /// A part with its fields, as the REPL prints it.
  package static func text(_ part: StreamElement, _ textStyle: TextStyle = .none) -> String {
    var dumper = TextDumper(showsHex: false, showsAll: false, textStyle: textStyle)
    dumper.add(part)
    return dumper.out
  }

  package mutating func add(_ item: DumpItem) {
    if let only = item.only {
      append(only, item, indent: "", label: item.label ?? only.path)
      if showsHex {
        out += hexdump(
          Array(item.bytes[only.offset..<only.offset + only.byteCount]), base: UInt64(only.offset))
      }
      return
    }
    out += textStyle.title("\(item.title) at \(item.offset.hex()), \(item.length) bytes") + "\n"
    if item.isBrief, let table = item.record?.pageTable {
      let types = table.counts.enumerated().filter { $0.element > 0 }
        .map { "\(PageType(rawValue: UInt8($0.offset)).name) \($0.element)" }
      out +=
        "  pfn \(table.lowestPFN.hex())..\(table.highestPFN.hex()): "
        + types.joined(separator: ", ") + "\n"
    } else {
      for slot in item.layout.slots(in: item.bytes) { append(slot, item, indent: "  ") }
    }
    if showsHex { out += hexdump(item.bytes) }
  }

  private mutating func append(
    _ slot: FieldLocation, _ item: DumpItem, indent: String, label: String? = nil
  ) {
    let name = textStyle.key(label ?? (slot.field.name.isEmpty ? slot.path : slot.field.name))
    if slot.isLeaf {
      let value = slot.value(in: item.bytes)
      // Reserved bytes are printed only where they are not what they should be.
      if case .reserved = slot.field.kind, case .bytes(let bytes) = value,
        bytes.allSatisfy({ $0 == 0 })
      {
        return
      }
      if slot.field.isText, case .bytes(let bytes) = value, let lines = Self.lines(bytes) {
        out += "\(indent)\(name):\n" + lines.map { "\(indent)  \($0)\n" }.joined()
        return
      }
      if case .page = Self.style(slot, item), case .unsigned(let word) = value {
        let entry = PageEntry(rawValue: word)
        out += "\(indent)\(name): \(entry.pfn.hex()) \(entry.type.name)\n"
        return
      }
      out += "\(indent)\(name): \(slot.field.text(of: value))\n"
      return
    }
    let children = item.layout.children(of: slot, in: item.bytes)
    let note = children.isEmpty ? " none" : slot.field.isGuess ? " (where it ends is a guess)" : ""
    out += "\(indent)\(name):\(note)\n"
    let limit = showsAll ? Int.max : Self.limit(slot)
    for child in children.prefix(limit) {
      let suffix =
        child.path.hasSuffix("]")
        ? child.path[(child.path.lastIndex(of: "[") ?? child.path.startIndex)...] : ""
      append(
        child, item, indent: indent + "  ",
        label: child.field.name.isEmpty
          ? String(suffix) : child.field.name + (isChain(slot) ? suffix : ""))
    }
    if children.count > limit {
      out += "\(indent)  ... \(children.count - limit) more (--all shows them)\n"
    }
  }

  /// Text of another program's, line by line; nil for what is none, or no more than a word.
  static func lines(_ bytes: [UInt8]) -> [String]? {
    let text = bytes.prefix { $0 != 0 }
    guard text.count > 60 || text.contains(10), let string = String(validating: text, as: UTF8.self)
    else { return nil }
    var lines = string.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    return lines.map { escapeForDisplay(String($0)) }
  }

  private func isChain(_ slot: FieldLocation) -> Bool {
    if case .chain = slot.field.kind { true } else { false }
  }

  private static func limit(_ slot: FieldLocation) -> Int {
    if case .array = slot.field.kind { arrayLimit } else { Int.max }
  }

  private enum Style { case plain, page }
  private static func style(_ slot: FieldLocation, _ item: DumpItem) -> Style {
    item.record?.type == .pageData && slot.path.hasPrefix("pfn[") ? .page : .plain
  }
}

/// Prints for programs.
package struct JSONDumper: Dumping {
  private var writer = JSONWriter(style: .pretty)

  package init() { writer.beginArray() }

  package mutating func add(_ trailing: TrailingBytes) {
    writer.beginObject()
    writer.member("trailing", trailing.first.hexDigits)
    writer.member("offset", trailing.offset)
    writer.endObject()
  }

  package mutating func add(_ value: JSONValue, path: String) {
    writer.beginObject()
    writer.member("path", path)
    writer.key("value")
    value.write(to: &writer)
    writer.endObject()
  }

  package mutating func add(
    _ value: MarkupValue, _ leaves: [(path: MarkupPath, text: String)], path: String
  ) {
    writer.beginObject()
    writer.member("path", path)
    switch value {
    case .text(let text): writer.member("value", text)
    case .tree(let source):
      writer.member("source", String(decoding: source, as: UTF8.self))
      writer.key("values")
      writer.beginObject()
      for leaf in leaves { writer.member(leaf.path.description, leaf.text) }
      writer.endObject()
    }
    writer.endObject()
  }

  package mutating func add(_ item: DumpItem) {
    if let only = item.only {
      writer.beginObject()
      writer.member("place", item.title)
      writer.member("path", only.path)
      writer.key("value")
      write(only, item)
      writer.endObject()
      return
    }
    writer.beginObject()
    if let record = item.record {
      writer.member("index", record.index)
      writer.member("layer", record.type.layer.rawValue)
      writer.member("type", record.type.name)
      writer.member("type_id", record.type.wireValue)
    } else if let header = item.header {
      writer.member("header", header.kind.rawValue)
    }
    writer.member("offset", item.offset)
    writer.member("length", item.length)
    if item.isBrief, let table = item.record?.pageTable {
      writer.member("count", table.counts.reduce(0, +))
      writer.member("pages", table.dataCount)
      writer.member("first_pfn", hex: table.lowestPFN)
      writer.member("last_pfn", hex: table.highestPFN)
    } else {
      writer.key("fields")
      writer.beginObject()
      for slot in item.layout.slots(in: item.bytes) { member(slot, item) }
      writer.endObject()
    }
    writer.endObject()
  }

  package mutating func take() -> [UInt8] { writer.take() }
  package mutating func finish() -> [UInt8] {
    writer.endArray()
    return writer.finish()
  }

  private mutating func member(_ slot: FieldLocation, _ item: DumpItem) {
    writer.key(slot.field.name.isEmpty ? slot.path : slot.field.name)
    write(slot, item)
  }

  private mutating func write(_ slot: FieldLocation, _ item: DumpItem) {
    switch slot.field.kind {
    case .array:
      writer.beginArray()
      for child in item.layout.children(of: slot, in: item.bytes) { write(child, item) }
      writer.endArray()
    case .group, .chain, .keyValues, .qemu, .uefiVariables:
      writer.beginObject()
      if slot.field.isGuess { writer.member("end_is_guess", true) }
      for child in item.layout.children(of: slot, in: item.bytes) {
        if case .chain = slot.field.kind {
          writer.key(child.path)
        } else {
          writer.key(child.field.name)
        }
        write(child, item)
      }
      writer.endObject()
    default:
      switch slot.value(in: item.bytes) {
      case .unsigned(let value):
        if slot.field.isHex || value > 1 << 53 { writer.hex(value) } else { writer.value(value) }
      case .signed(let value): writer.value(value)
      case .text(let text): writer.value(text)
      case .bytes(let bytes):
        let text = bytes.prefix { $0 != 0 }
        if slot.field.isText, let text = String(validating: text, as: UTF8.self) {
          writer.value(text)
        } else {
          writer.value(bytes.hexDigits)
        }
      default: writer.null()
      }
    }
  }
}
