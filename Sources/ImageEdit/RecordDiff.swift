// How two records of a type differ: by path, field by field.

internal import Bytes
internal import Format
internal import Stream

/// Compares the bodies of two records as far as they are in memory. Lists whose elements say what they
/// are about (HVM_PARAMS, the CPUID and MSR policies) are compared by that, so that an insertion is one
/// difference.
struct RecordDiff {
  let one: Record
  let other: Record
  /// How many records of the type come before it in its image.
  let occurrence: Int
  /// The records' positions in their images.
  var recordA = 0
  var recordB = 0

  /// What a record is called in paths: "X86_TSC_INFO", "PAGE_DATA[3]".
  static func path(_ type: RecordType, _ occurrence: Int) -> String {
    type.name + (occurrence > 0 ? "[\(occurrence)]" : "")
  }

  private var path: String { RecordDiff.path(one.type, occurrence) }

  /// Calls `visit` for every field that differs; nothing is visited where only bytes differ that no
  /// field has.
  func run<E: Error>(_ visit: (Difference) throws(E) -> Void) throws(E) {
    let isKeyed = RecordSchemas.of(one.type)?.isKeyed ?? false
    guard one.body.count == other.body.count, one.context == other.context, !isKeyed else {
      return try elements(visit)
    }
    var found = false
    for slot in one.layout.slots(in: one.body) {
      try one.layout.walk(slot, one.body) { (leaf: FieldLocation) throws(E) in
        found = true
        let range = leaf.offset..<leaf.offset + leaf.byteCount
        guard one.body[range] != other.body[range] else { return }
        try visit(
          difference(
            "\(path).\(leaf.path)", leaf, leaf.value(in: one.body), leaf.value(in: other.body)))
      }
    }
    if !found { try elements(visit) }
  }

  private func difference(
    _ path: String, _ slot: FieldLocation, _ before: FieldValue, _ after: FieldValue
  ) -> Difference {
    Difference(path, slot, before, after, recordA, recordB)
  }

  // MARK: - Lists

  private func elements<E: Error>(_ visit: (Difference) throws(E) -> Void) throws(E) {
    let before = leaves(one)
    let after = leaves(other)
    let afterByPath = Dictionary(after.map { ($0.path, $0) }, uniquingKeysWith: { $1 })
    let beforePaths = Set(before.map(\.path))
    for leaf in before {
      guard let mate = afterByPath[leaf.path] else {
        var difference = Difference(kind: .missing, path: leaf.path, before: leaf.text, after: "")
        difference.title = leaf.title
        difference.recordA = recordA
        difference.recordB = recordB
        difference.valueBefore = leaf.value
        try visit(difference)
        continue
      }
      guard mate.text != leaf.text || mate.value != leaf.value else { continue }
      var difference = difference(leaf.path, leaf.slot, leaf.value, mate.value)
      difference.title = leaf.title
      try visit(difference)
    }
    for leaf in after where !beforePaths.contains(leaf.path) {
      var difference = Difference(kind: .added, path: leaf.path, before: "", after: leaf.text)
      difference.title = leaf.title
      difference.recordA = recordA
      difference.recordB = recordB
      difference.value = leaf.value
      try visit(difference)
    }
  }

  private struct Leaf {
    let path: String
    let title: String
    let text: String
    let value: FieldValue
    let slot: FieldLocation
  }

  /// All single values of a record by paths that name elements by what they are about. Counts
  /// follow from the elements and are left out, and so is what the path says itself.
  private func leaves(_ record: Record) -> [Leaf] {
    var out: [Leaf] = []
    func add(_ slot: FieldLocation, _ path: String, _ title: String) {
      if slot.isLeaf {
        if case .reserved = slot.field.kind { return }
        let value = slot.value(in: record.body)
        out.append(
          Leaf(
            path: path, title: title == path ? "" : title, text: slot.field.text(of: value),
            value: value, slot: slot))
        return
      }
      for child in record.layout.children(of: slot, in: record.body) {
        guard case .array = slot.field.kind else {
          let name = slot.field.isSelfNaming ? child.path : child.field.name
          let place = slot.field.isSelfNaming ? self.path : path
          add(child, "\(place).\(name)", "\(slot.field.isSelfNaming ? self.path : title).\(name)")
          continue
        }
        let element = ElementName(child, record, isFirst: occurrence == 0)
        for field in record.layout.children(of: child, in: record.body)
        where !element.keys.contains(field.field.name) {
          let inside =
            element.root != nil && field.field.name == "value" ? "" : ".\(field.field.name)"
          add(field, element.path(path) + inside, element.title(title) + inside)
        }
        if child.isLeaf { add(child, element.path(path), element.title(title)) }
      }
    }
    for slot in record.layout.slots(in: record.body) where slot.field.name != "count" {
      add(slot, "\(path).\(slot.field.name)", "\(path).\(slot.field.name)")
    }
    return out
  }
}

/// What an element of a list is called in paths.
private struct ElementName {
  /// The path that an image has for such elements: "hvm_params", "cpuid", "msr_policy".
  private(set) var root: String?
  /// What stands in its brackets.
  private let index: String
  /// Its name for people, where it has one besides.
  private var name = ""
  /// The fields that the brackets say.
  private(set) var keys: Set<String> = []

  init(_ element: FieldLocation, _ record: Record, isFirst: Bool) {
    let children = record.layout.children(of: element, in: record.body)
    func keyField(_ field: String) -> (value: UInt64, field: Field)? {
      guard let slot = children.first(where: { $0.field.name == field }),
        case .unsigned(let value) = slot.value(in: record.body)
      else { return nil }
      return (value, slot.field)
    }
    if let leaf = keyField("leaf")?.value, let subleaf = keyField("subleaf")?.value {
      index = leaf.hex() + (subleaf == 0xFFFF_FFFF ? "" : ",\(subleaf)")
      keys = ["leaf", "subleaf"]
      if isFirst, record.type == .x86CPUIDPolicy { root = "cpuid" }
      return
    }
    if let (value, field) = keyField("index") {
      let known = field.names[value]
      keys = ["index"]
      switch record.type {
      case .hvmParams where isFirst:
        root = "hvm_params"
        index = "\(value)"
      case .x86MSRPolicy where isFirst:
        root = "msr_policy"
        index = value.hex()
      default:
        index = known ?? value.hex()
        return
      }
      name = known.map { " (\($0))" } ?? ""
      return
    }
    let path = element.path
    index =
      path.lastIndex(of: "[").map { String(path[path.index(after: $0)...].dropLast()) } ?? path
  }

  func path(_ list: String) -> String { "\(root ?? list)[\(index)]" }
  func title(_ list: String) -> String { path(root ?? list) + name }
}

extension Field {
  /// Whether the paths of what is inside say by themselves what it is about.
  fileprivate var isSelfNaming: Bool {
    switch kind {
    case .chain, .keyValues, .qemu, .uefiVariables: true
    default: false
    }
  }
}
