// How two images of a guest differ: headers, configuration, records and their fields.

internal import Bytes
public import Format
internal import JSON
internal import Stream

/// One difference.
public struct Difference: Sendable {
  public enum Kind: String, Sendable {
    /// A field has another value.
    case field
    /// A record, header or configuration member is in one image only.
    case missing, added
    /// A record whose contents have no fields to compare (or another length).
    case body
  }
  public let kind: Kind
  /// "X86_TSC_INFO.khz", "config.c_info.name", "HVM_CONTEXT.CPU[0].rip".
  public let path: String
  /// The path as people know it: "hvm_params[12] (IDENT_PT)"; "" where that is its path.
  public var title = ""
  /// As people read them; "" where there is none.
  public let before: String
  public let after: String
  /// Numbers of the records in their images; 0 for headers.
  public var recordA = 0
  public var recordB = 0
  /// For a record of the second image only: the record of the first that it comes before; 0 where
  /// there is none.
  public var anchor = 0
  /// The field's place in the second image, for writing it into the first.
  public var slot: FieldLocation?
  /// What a field holds in the second image, and in the first.
  public var value: FieldValue?
  public var valueBefore: FieldValue?
  /// A text in a description of the domain; nil for others.
  public var text: TextDifference?

  /// Whether it is about a record or header that only one image has.
  public var isWholeRecord: Bool {
    (kind == .missing || kind == .added) && isWhole
  }
  var isWhole = false

  /// What it is called for people.
  public var shownPath: String { title.isEmpty ? path : title }

  public var description: String {
    switch kind {
    case .field, .body: "\(shownPath): \(before) -> \(after)"
    case .missing: "- \(shownPath)\(before.isEmpty ? "" : ": \(before)")"
    case .added: "+ \(shownPath)\(after.isEmpty ? "" : ": \(after)")"
    }
  }
}

/// Compares two images. Records are paired by type, vCPU and order; elements of HVM_PARAMS and of
/// the CPUID and MSR policies by what they are about, so that an insertion is one difference.
public struct ImageDiff {
  private let a: ImageDocument
  private let b: ImageDocument
  /// Where payloads are compared, a piece at a time.
  private let scratch = (PageAlignedBuffer(capacity: 1 << 18), PageAlignedBuffer(capacity: 1 << 18))

  public init(_ a: ImageDocument, _ b: ImageDocument) {
    self.a = a
    self.b = b
  }

  /// Calls `visit` for every difference outside page contents, in the order of the stream.
  public func run(_ visit: (Difference) throws -> Void) throws {
    for kind in HeaderKind.allCases { try headers(kind, visit) }
    try config(visit)
    var seen: Set<Key> = []
    let keysA = try keys(a)
    let keysB = try keys(b)
    // Each key stands once in an image.
    let indexesA = Dictionary(uniqueKeysWithValues: keysA.map { ($0.key, $0.recordIndex) })
    let indexesB = Dictionary(uniqueKeysWithValues: keysB.map { ($0.key, $0.recordIndex) })
    for (key, recordIndex, place) in keysA {
      seen.insert(key)
      guard let other = indexesB[key] else {
        var difference = Difference(
          kind: .missing, path: RecordDiff.path(key.type, place),
          before: "\(try a.record(recordIndex).length) bytes",
          after: "")
        difference.isWhole = true
        difference.recordA = recordIndex
        try visit(difference)
        continue
      }
      try records(place, recordIndex, other, visit)
    }
    // For each record of the second image that of the first one that comes next in both.
    var anchors = [Int](repeating: 0, count: keysB.count)
    var next = 0
    for position in keysB.indices.reversed() {
      if let recordIndex = indexesA[keysB[position].key] { next = recordIndex }
      anchors[position] = next
    }
    for (position, (key, recordIndex, place)) in keysB.enumerated() where !seen.contains(key) {
      var difference = Difference(
        kind: .added, path: RecordDiff.path(key.type, place), before: "",
        after: "\(try b.record(recordIndex).length) bytes")
      difference.isWhole = true
      difference.recordB = recordIndex
      difference.anchor = anchors[position]
      try visit(difference)
    }
  }

  // MARK: - Pairs

  private struct Key: Hashable {
    let type: RecordType
    /// The vCPU's number, for records that have one.
    let vcpu: UInt64?
    /// How many of the same came before.
    let occurrence: Int
  }

  /// The records but those of pages: with how many of the type came before.
  private func keys(_ image: ImageDocument) throws -> [(key: Key, recordIndex: Int, place: Int)] {
    var counts: [Key: Int] = [:]
    var places: [RecordType: Int] = [:]
    var out: [(key: Key, recordIndex: Int, place: Int)] = []
    for (index, entry) in image.index.entries.enumerated() where entry.type != .pageData {
      let record = try image.record(index + 1)
      let first = Key(type: entry.type, vcpu: record.unsigned("vcpu_id"), occurrence: 0)
      let occurrence = counts[first, default: 0]
      counts[first] = occurrence + 1
      let place = places[entry.type, default: 0]
      places[entry.type] = place + 1
      out.append(
        (Key(type: entry.type, vcpu: first.vcpu, occurrence: occurrence), index + 1, place))
    }
    return out
  }

  // MARK: - Parts

  private func headers(_ kind: HeaderKind, _ visit: (Difference) throws -> Void) throws {
    guard let one = a.header(kind), let other = b.header(kind) else {
      if (a.header(kind) == nil) != (b.header(kind) == nil) {
        var difference = Difference(
          kind: a.header(kind) == nil ? .added : .missing, path: "\(kind.rawValue)_header",
          before: "", after: "")
        difference.isWhole = true
        try visit(difference)
      }
      return
    }
    let count = kind.byteCount
    let layout = BodySchema(kind.fields, BodyContext(order: one.order))
    let (before, after) = (Array(one.bytes.prefix(count)), Array(other.bytes.prefix(count)))
    // The length of a configuration differs with the configuration.
    for slot in layout.slots(in: before)
    where !["optional_data_len", "optional_data", "xml_len", "xml"].contains(slot.field.name) {
      try field(slot, before, after, prefix: "\(kind.rawValue)_header.", 0, 0, visit)
    }
  }

  private func field(
    _ slot: FieldLocation, _ before: [UInt8], _ after: [UInt8], prefix: String, _ recordA: Int,
    _ recordB: Int, _ visit: (Difference) throws -> Void
  ) throws {
    let range = slot.offset..<slot.offset + slot.byteCount
    guard before[range] != after[range] else { return }
    try visit(
      Difference(
        prefix + slot.path, slot, slot.value(in: before), slot.value(in: after), recordA, recordB))
  }

  private func config(_ visit: (Difference) throws -> Void) throws {
    let xml = (a.header(.libvirt), b.header(.libvirt))
    if let one = xml.0, let other = xml.1 {
      try texts(.xml, DomainText.text(one), DomainText.text(other), 0, 0, visit)
    }
    let one = try a.config()?.root
    let other = try b.config()?.root
    try JSONDifference.forEach(one, other) { difference in
      try visit(
        Difference(
          kind: difference.before == nil ? .added : difference.after == nil ? .missing : .field,
          path: difference.title, before: difference.before ?? "", after: difference.after ?? ""))
    }
  }

  /// Differences between descriptions of the domain, by path.
  private func texts(
    _ kind: DomainText, _ one: [UInt8]?, _ other: [UInt8]?, _ recordA: Int, _ recordB: Int,
    _ visit: (Difference) throws -> Void
  ) throws {
    try kind.forEachDifference(one, other) { found in
      var difference = Difference(
        kind: found.before == nil ? .added : found.after == nil ? .missing : .field,
        path: found.title, before: found.shown(found.before), after: found.shown(found.after))
      difference.text = found
      difference.valueBefore = found.before.map { .text($0) }
      difference.value = found.after.map { .text($0) }
      difference.recordA = recordA
      difference.recordB = recordB
      try visit(difference)
    }
  }

  private func records(
    _ place: Int, _ recordA: Int, _ recordB: Int, _ visit: (Difference) throws -> Void
  ) throws {
    let one = try a.record(recordA)
    let other = try b.record(recordB)
    if let text = DomainText.text(one), let changed = DomainText.text(other) {
      return try texts(.xenops, text, changed, recordA, recordB, visit)
    }
    if one.body == other.body {
      guard one.payloadByteCount > 0 || other.payloadByteCount > 0,
        try !samePayload(recordA, recordB)
      else { return }
      return try visit(bodies(place, one, other, recordA, recordB))
    }
    var diff = RecordDiff(one: one, other: other, occurrence: place)
    (diff.recordA, diff.recordB) = (recordA, recordB)
    try diff.run(visit)
  }

  private func bodies(
    _ place: Int, _ one: Record, _ other: Record, _ recordA: Int, _ recordB: Int
  ) -> Difference {
    var difference = Difference(
      kind: .body, path: RecordDiff.path(one.type, place), before: "\(one.length) bytes",
      after: "\(other.length) bytes")
    difference.recordA = recordA
    difference.recordB = recordB
    return difference
  }

  private func samePayload(_ recordA: Int, _ recordB: Int) throws -> Bool {
    let (one, other) = (try a.record(recordA), try b.record(recordB))
    guard one.payloadByteCount == other.payloadByteCount else { return false }
    var readers = (a.reader(at: recordA), b.reader(at: recordB))
    _ = try readers.0.next()
    _ = try readers.1.next()
    var left = Int(one.payloadByteCount)
    while left > 0 {
      let chunk = min(left, scratch.0.capacity)
      try readers.0.loadPayload(chunk, into: scratch.0)
      try readers.1.loadPayload(chunk, into: scratch.1)
      guard scratch.0.isEqual(to: scratch.1, 0..<chunk) else { return false }
      left -= chunk
    }
    return true
  }
}

extension Difference {
  init(
    _ path: String, _ slot: FieldLocation, _ before: FieldValue, _ after: FieldValue,
    _ recordA: Int,
    _ recordB: Int
  ) {
    let texts = Difference.texts(slot.field, before, after)
    self.init(kind: .field, path: path, before: texts.before, after: texts.after)
    self.recordA = recordA
    self.recordB = recordB
    self.slot = slot
    value = after
    valueBefore = before
  }

  /// What people read: of long bytes that differ, the part where they begin to.
  private static func texts(
    _ field: Field, _ before: FieldValue, _ after: FieldValue
  ) -> (before: String, after: String) {
    guard case .bytes(let x) = before, case .bytes(let y) = after, max(x.count, y.count) > 32,
      let first = (0..<max(x.count, y.count)).first(where: {
        $0 >= x.count || $0 >= y.count || x[$0] != y[$0]
      })
    else { return (field.text(of: before), field.text(of: after)) }
    let guess = field.isGuess ? "; where it ends is a guess" : ""
    func text(_ bytes: [UInt8]) -> String {
      "\(bytes.dropFirst(first).prefix(16).hexDigits) at +\(first.hex()) of \(bytes.count) bytes"
    }
    return (text(x), text(y) + guess)
  }
}
