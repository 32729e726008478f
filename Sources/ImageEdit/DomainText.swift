// Descriptions of the domain that are trees of text: libvirt's XML, xenopsd's S-expressions.

internal import Bytes
internal import Format
public import Markup
public import Stream

/// Which description: where it is in an image, and what it is written in.
public enum DomainText: String, Sendable, CaseIterable {
  /// The XML after libvirt's header. libvirt: src/libxl/libxl_domain.c, libxlDoDomainSave.
  case xml
  /// xenopsd's Xenops record. xenopsd: lib/suspend_image.ml, Xenops_record.
  case xenops

  /// The description in a header; nil for headers that have none, and where there is no text.
  public static func text(_ header: Header) -> [UInt8]? {
    guard header.kind == .libvirt, header.bytes.count > header.kind.byteCount else { return nil }
    return [UInt8](header.bytes[header.kind.byteCount...].prefix { $0 != 0 })
  }

  /// The description in a record that is in memory whole; nil for others.
  public static func text(_ record: Record) -> [UInt8]? {
    record.type == .xenops && record.payloadByteCount == 0 ? record.body : nil
  }

  /// Replaces the XML of libvirt's header, and its length: with a NUL after it. What followed the old one
  /// stays: it is room.
  public static func setText(_ text: [UInt8], in header: inout Header) {
    let old = header.bytes.dropFirst(HeaderKind.libvirt.byteCount)
    let rest = old.firstIndex(of: 0).map { old[($0 + 1)...] } ?? []
    let xml = text + [0] + rest
    var bytes = [UInt8](header.bytes.prefix(HeaderKind.libvirt.byteCount))
    bytes.store(20, UInt32(truncatingIfNeeded: xml.count), header.order)
    header.bytes = bytes + xml
  }

  /// Reads a text.
  public func document(_ text: [UInt8]) throws(MarkupError) -> any MarkupDocument {
    switch self {
    case .xml: try XMLDocument(text)
    case .xenops: try SExpression(text)
    }
  }

  /// What messages call it.
  public var title: String {
    switch self {
    case .xml: "libvirt's XML"
    case .xenops: "the Xenops record"
    }
  }

  /// "xml.devices", "xenops[0]", "xml@type".
  public func title(_ path: MarkupPath) -> String {
    let inside = path.description
    guard let first = inside.utf8.first else { return rawValue }
    let joins = first == UInt8(ascii: "[") || first == UInt8(ascii: "@")
    return joins ? rawValue + inside : "\(rawValue).\(inside)"
  }

  /// What messages say is missing.
  var missing: String { self == .xml ? "libvirt header with XML" : "Xenops record" }

  /// The path of the domain's name, and that of its UUID.
  var namePath: String { self == .xml ? "name" : "vm_str.name" }
  var uuidPath: String { self == .xml ? "uuid" : "vm_str.id" }
}

/// What a description says of the domain, for `info` and rules; nil for what it does not say.
public struct DomainFacts: Sendable, Equatable {
  public var name: String?
  public var uuid: String?
  /// "pv", "pvh" or "hvm".
  public var type: String?
  public var vcpuCount: Int?
  /// The guest's greatest memory.
  public var memoryByteCount: UInt64?

  /// Reads them from a text; nil where it cannot be read.
  public init?(_ kind: DomainText, _ text: [UInt8]) {
    guard let document = try? kind.document(text) else { return nil }
    name = document.text(at: kind.namePath)
    uuid = document.text(at: kind.uuidPath)
    switch kind {
    case .xml: readXML(document)
    case .xenops: readXenops(document)
    }
  }

  private mutating func readXML(_ document: any MarkupDocument) {
    vcpuCount = document.text(at: "vcpu").flatMap { Int($0) }
    if let memory = document.text(at: "memory").flatMap({ UInt64($0) }) {
      let unit = document.text(at: "memory@unit") ?? "KiB"
      memoryByteCount = DomainFacts.units[unit].map { memory.multipliedSaturated(by: $0) }
    }
    // libvirt: src/libxl/libxl_conf.c, libxlMakeDomCreateInfo.
    switch document.text(at: "os.type") {
    case "hvm": type = "hvm"
    case "xenpvh": type = "pvh"
    case "linux", "xen": type = "pv"
    default: break
    }
  }

  /// libvirt: src/util/virutil.c, virScaleInteger.
  private static let units: [String: UInt64] = [
    "b": 1, "bytes": 1, "KB": 1000, "k": 1024, "KiB": 1024, "MB": 1_000_000, "M": 1 << 20,
    "MiB": 1 << 20, "GB": 1_000_000_000, "G": 1 << 30, "GiB": 1 << 30, "TB": 1_000_000_000_000,
    "T": 1 << 40, "TiB": 1 << 40,
  ]

  private mutating func readXenops(_ document: any MarkupDocument) {
    vcpuCount = document.text(at: "vm_str.vcpu_max").flatMap { Int($0) }
    memoryByteCount = document.text(at: "vm_str.memory_static_max").flatMap { UInt64($0) }
    for (name, type) in [("HVM", "hvm"), ("PV", "pv"), ("PVinPVH", "pv"), ("PVH", "pvh")] {
      if let path = try? MarkupPath(parsing: "vm_str.ty.\(name)"), document.value(at: path) != nil {
        self.type = type
      }
    }
  }
}

/// A text that differs between two descriptions of a domain.
public struct TextDifference: Sendable {
  /// "xml.name".
  public let title: String
  /// Where it is; nil where the descriptions differ in what is no text of a path.
  public let path: MarkupPath?
  /// What was and is there; nil for nothing.
  public let before: String?
  public let after: String?

  /// As people read it: in quotes.
  func shown(_ text: String?) -> String {
    guard let text else { return "" }
    return path == nil ? text : "\"\(Array(text.utf8).printable)\""
  }
}

extension DomainText {
  /// Calls `visit` for every text that differs between two descriptions.
  func forEachDifference(
    _ before: [UInt8]?, _ after: [UInt8]?, _ visit: (TextDifference) throws -> Void
  ) rethrows {
    guard before != after else { return }
    func leaves(_ text: [UInt8]?) -> [(path: MarkupPath, text: String)]? {
      guard let text else { return [] }
      return (try? document(text))?.leaves(limit: 10_000)
    }
    func whole() -> TextDifference {
      TextDifference(
        title: rawValue, path: nil, before: before.map { "\($0.count) bytes" },
        after: after.map { "\($0.count) bytes" })
    }
    guard let one = leaves(before), let other = leaves(after) else { return try visit(whole()) }
    let theirs = Dictionary(
      other.map { (title($0.path), $0.text) }, uniquingKeysWith: { first, _ in first })
    let titles = Set(one.map { title($0.path) })
    var found = false
    for (path, text) in one where theirs[title(path)] != text {
      found = true
      let title = title(path)
      try visit(TextDifference(title: title, path: path, before: text, after: theirs[title]))
    }
    for (path, text) in other where !titles.contains(title(path)) {
      found = true
      try visit(TextDifference(title: title(path), path: path, before: nil, after: text))
    }
    // White space, comments, or what is beyond the limit.
    if !found { try visit(whole()) }
  }
}
