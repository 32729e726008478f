// xensave-lua dump

internal import ArgumentParser
internal import Bytes
internal import Format
internal import Image
internal import JSON
internal import Markup
internal import Stream
internal import SystemIO
internal import Terminal

struct Dump: ShellCommand {
  static let name = "dump"
  static let configuration = CommandConfiguration(
    commandName: name, _superCommandName: Commands.name,
    abstract: "Print headers and records with their fields.",
    discussion: """
      A PART is a path: a record type (HVM_PARAMS), a record by number (record[17]), a header \
      (domain_header), a field of one of them (X86_TSC_INFO.khz, HVM_CONTEXT.LAPIC[1]), or vcpu[0], \
      vcpu[0].rip, hvm_params.STORE_PFN, cpuid[7,0], msr_policy[0xce], config.disks; of an image of \
      virsh save xml.name, xml.devices.disk[0].source@file; of xenopsd's xenops.vm_str.name. Without one, \
      everything is printed; of PAGE_DATA only the counts.
      """)

  @Argument(help: "The image; \"-\" is standard input.", completion: .file()) var image: String
  @Argument(help: "What to print.") var parts: [String] = []
  @Flag(help: "Print JSON: one array of headers and records.") var json = false
  @OptionGroup var colour: ColourOption
  @Flag(help: "Print the octets in hexadecimal too.") var hex = false
  @Flag(help: "Print arrays whole, however long.") var all = false

  mutating func execute() throws -> Int32 {
    var dumper: any Dumping =
      json
      ? JSONDumper() : TextDumper(showsHex: hex, showsAll: all, ink: colour.ink)
    do {
      let source = try Source(image: image)
      if parts.isEmpty {
        try dumpAll(source, &dumper)
      } else {
        guard source.isFile else {
          throw Failure(ExitCode.usage, "\(image): parts can be picked only from a file")
        }
        try dumpParts(ImageDocument(source), &dumper)
      }
    } catch let error as SystemError {
      throw Failure(error)
    } catch let error as StreamError {
      throw Failure(error)
    }
    try writeOut(dumper.finish())
    return ExitCode.good
  }

  private func dumpAll(_ source: Source, _ dumper: inout any Dumping) throws {
    var reader = StreamReader(source)
    while let part = try reader.next() {
      dumper.add(part)
      try writeOut(dumper.take())
    }
  }

  private func dumpParts(_ document: ImageDocument, _ dumper: inout any Dumping) throws {
    for text in parts {
      do {
        let path = try ImagePath(text)
        // A type by itself means all its records.
        if case .records(let type, nil) = path.root, path.inside.isEmpty,
          document.numbers(of: type).count > 1
        {
          for number in document.numbers(of: type) {
            dumper.add(DumpItem(try document.record(number)))
          }
        } else {
          try add(try document.resolve(path), path, document, &dumper)
        }
      } catch let error as FormatError {
        throw Failure(ExitCode.usage, "\(image): \(error)")
      } catch let error as ImagePathError {
        if case .stream(let stream) = error { throw Failure(stream) }
        throw Failure(ExitCode.findings, "\(image): \(error)")
      }
      try writeOut(dumper.take())
    }
  }

  private func add(
    _ place: ImagePlace, _ path: ImagePath, _ document: ImageDocument,
    _ dumper: inout any Dumping
  ) throws {
    switch place {
    case .config(let path):
      guard let config = try document.config() else {
        throw Failure(
          ExitCode.findings, "\(image): no configuration in JSON\(document.descriptionHint)")
      }
      guard let value = config[path] else {
        throw Failure(ExitCode.findings, "\(image): no config.\(path)")
      }
      dumper.add(value, path: "config" + (path.keys.isEmpty ? "" : ".\(path)"))
    case .text(let kind, let place):
      guard let found = try document.document(kind) else { return }
      guard let value = found.value(at: place) else {
        throw Failure(ExitCode.findings, "\(image): no \(kind.title(place))")
      }
      dumper.add(value, found.leaves(at: place), path: kind.title(place))
    case .header(let kind, let slot):
      guard let header = document.header(kind) else { return }
      dumper.add(DumpItem(header, only: slot))
    case .record(let number, let slot):
      let record = try document.record(number)
      var item = DumpItem(record, only: slot)
      // Asked for by its name, a parameter is called by it, and not by its place in the record.
      if path.root == .hvmParams, let slot {
        item.label = record.layout.paramTitle(of: slot, in: record.body)
      }
      dumper.add(item)
    }
  }
}

/// Something that prints parts.
protocol Dumping {
  mutating func add(_ item: DumpItem)
  mutating func add(_ value: JSONValue, path: String)
  /// A place in libvirt's XML or xenopsd's record, and the texts inside.
  mutating func add(
    _ value: MarkupValue, _ leaves: [(path: MarkupPath, text: String)], path: String)
  mutating func add(_ trailing: Trailing)
  mutating func take() -> [UInt8]
  mutating func finish() -> [UInt8]
}

extension Dumping {
  /// A part of a stream: of PAGE_DATA only its counts.
  mutating func add(_ part: Part) {
    switch part {
    case .header(let header): add(DumpItem(header))
    case .record(let record): add(DumpItem(record, isBrief: record.type == .pageData))
    case .trailing(let trailing): add(trailing)
    }
  }
}

/// One thing to print: a header or record, and which of its fields.
struct DumpItem {
  let title: String
  let offset: UInt64
  let length: UInt64
  let bytes: [UInt8]
  let layout: BodyLayout
  /// Only this place; nil for everything.
  var only: Slot?
  /// What that place is called for people; nil for its path.
  var label: String?
  /// PAGE_DATA that was not asked for by name: only its counts.
  var isBrief = false
  var record: Record?
  var header: Header?

  /// One place of a header or record.
  init(title: String, bytes: [UInt8], layout: BodyLayout, only: Slot) {
    self.title = title
    offset = 0
    length = UInt64(bytes.count)
    self.bytes = bytes
    self.layout = layout
    self.only = only
  }

  init(_ header: Header, only: Slot? = nil) {
    title = header.kind.title
    offset = header.offset
    length = UInt64(header.bytes.count)
    bytes = header.bytes
    layout = header.layout
    self.only = only
    self.header = header
  }

  init(_ record: Record, only: Slot? = nil, isBrief: Bool = false) {
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
struct TextDumper: Dumping {
  let showsHex: Bool
  let showsAll: Bool
  private let ink: Ink
  private var out = ""
  private static let arrayLimit = 16

  init(showsHex: Bool, showsAll: Bool, ink: Ink = .none) {
    self.ink = ink
    self.showsHex = showsHex
    self.showsAll = showsAll
  }

  mutating func add(_ trailing: Trailing) {
    out += "trailing octets at \(trailing.offset.hex()): \(trailing.first.printable)\n"
  }

  mutating func add(_ value: JSONValue, path: String) {
    out += "\(ink.key(path)): \(String(decoding: value.text(.pretty), as: UTF8.self))\n"
  }

  mutating func add(
    _ value: MarkupValue, _ leaves: [(path: MarkupPath, text: String)], path: String
  ) {
    switch value {
    case .text(let text): out += "\(ink.key(path)): \(escapeForDisplay(text))\n"
    case .tree(let source):
      out += "\(ink.key(path)):\n"
      let lines = String(decoding: source, as: UTF8.self).split(separator: "\n")
      for line in lines { out += "  \(escapeForDisplay(String(line)))\n" }
    }
  }

  mutating func take() -> [UInt8] {
    defer { out = "" }
    return Array(out.utf8)
  }

  mutating func finish() -> [UInt8] { take() }

  /// A part with its fields, as the REPL prints it.
  static func text(_ part: Part, _ ink: Ink = .none) -> String {
    var dumper = TextDumper(showsHex: false, showsAll: false, ink: ink)
    dumper.add(part)
    return dumper.out
  }

  /// One place of a header or record with all that is inside.
  static func text(_ slot: Slot, of owner: any FieldOwner, _ ink: Ink = .none) -> String {
    var dumper = TextDumper(showsHex: false, showsAll: false, ink: ink)
    dumper.add(
      DumpItem(
        title: owner.fieldTitle, bytes: owner.fieldBytes, layout: owner.fieldLayout, only: slot))
    return dumper.out
  }

  mutating func add(_ item: DumpItem) {
    if let only = item.only {
      append(only, item, indent: "", label: item.label ?? only.path)
      if showsHex {
        out += hexdump(
          Array(item.bytes[only.offset..<only.offset + only.byteCount]), base: UInt64(only.offset))
      }
      return
    }
    out += ink.title("\(item.title) at \(item.offset.hex()), \(item.length) octets") + "\n"
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
    _ slot: Slot, _ item: DumpItem, indent: String, label: String? = nil
  ) {
    let name = ink.key(label ?? (slot.field.name.isEmpty ? slot.path : slot.field.name))
    if slot.isLeaf {
      let value = slot.value(in: item.bytes)
      // Reserved octets are printed only where they are not what they should be.
      if case .reserved = slot.field.kind, case .octets(let octets) = value,
        octets.allSatisfy({ $0 == 0 })
      {
        return
      }
      if slot.field.isText, case .octets(let octets) = value, let lines = Self.lines(octets) {
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
  static func lines(_ octets: [UInt8]) -> [String]? {
    let text = octets.prefix { $0 != 0 }
    guard text.count > 60 || text.contains(10), let string = String(validating: text, as: UTF8.self)
    else { return nil }
    var lines = string.split(separator: "\n", omittingEmptySubsequences: false)
    if lines.last == "" { lines.removeLast() }
    return lines.map { escapeForDisplay(String($0)) }
  }

  private func isChain(_ slot: Slot) -> Bool {
    if case .chain = slot.field.kind { true } else { false }
  }

  private static func limit(_ slot: Slot) -> Int {
    if case .array = slot.field.kind { arrayLimit } else { Int.max }
  }

  private enum Style { case plain, page }
  private static func style(_ slot: Slot, _ item: DumpItem) -> Style {
    item.record?.type == .pageData && slot.path.hasPrefix("pfn[") ? .page : .plain
  }
}

/// Prints for programs.
struct JSONDumper: Dumping {
  private var writer = JSONWriter(style: .pretty)

  init() { writer.beginArray() }

  mutating func add(_ trailing: Trailing) {
    writer.beginObject()
    writer.member("trailing", trailing.first.hexDigits)
    writer.member("offset", trailing.offset)
    writer.endObject()
  }

  mutating func add(_ value: JSONValue, path: String) {
    writer.beginObject()
    writer.member("path", path)
    writer.key("value")
    value.write(to: &writer)
    writer.endObject()
  }

  mutating func add(
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

  mutating func add(_ item: DumpItem) {
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
      writer.member("type_id", record.type.number)
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

  mutating func take() -> [UInt8] { writer.take() }
  mutating func finish() -> [UInt8] {
    writer.endArray()
    return writer.finish() + [10]
  }

  private mutating func member(_ slot: Slot, _ item: DumpItem) {
    writer.key(slot.field.name.isEmpty ? slot.path : slot.field.name)
    write(slot, item)
  }

  private mutating func write(_ slot: Slot, _ item: DumpItem) {
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
      case .octets(let octets):
        let text = octets.prefix { $0 != 0 }
        if slot.field.isText, let text = String(validating: text, as: UTF8.self) {
          writer.value(text)
        } else {
          writer.value(octets.hexDigits)
        }
      default: writer.null()
      }
    }
  }
}

extension MarkupDocument {
  /// The texts inside a place, with paths from there.
  fileprivate func leaves(at place: MarkupPath) -> [(path: MarkupPath, text: String)] {
    let count = place.steps.count
    return leaves(limit: 10_000).compactMap { leaf in
      guard leaf.path.steps.starts(with: place.steps) else { return nil }
      return (MarkupPath(Array(leaf.path.steps.dropFirst(count))), leaf.text)
    }
  }
}
