// Building a body from values, by the same rows that read one.

public import Bytes

extension BodySchema {
  /// A body with these values. What is not given is zero; counts of arrays follow from the lists;
  /// numbers may be given as text ("0x1f", or a value's name). Unknown names are refused.
  public static func body(
    of fields: [Field], _ values: FieldValue, _ context: BodyContext = BodyContext()
  ) throws(FormatError) -> [UInt8] {
    var body: [UInt8] = []
    try append(fields, values, to: &body, path: "", context, native: false)
    return body
  }

  private static func append(
    _ fields: [Field], _ values: FieldValue, to body: inout [UInt8], path: String,
    _ context: BodyContext, native: Bool
  ) throws(FormatError) {
    let given = try members(values, path: path)
    for name in given.keys where !fields.contains(where: { $0.name == name }) {
      throw FormatError(
        .unknownName, field: path + name,
        "no such field" + didYouMean(name, among: fields.map(\.name)))
    }
    for field in fields {
      var value = given[field.name]
      if value == nil { value = count(for: field, among: fields, given) }
      try append(
        field, value, to: &body, path: path + field.name, context,
        native: native || field.ownOrder != nil)
    }
  }

  /// The number of elements of the array that `field` counts, if that array was given.
  private static func count(
    for field: Field, among fields: [Field], _ given: [String: FieldValue]
  ) -> FieldValue? {
    for other in fields {
      if case .array(_, .field(field.name)) = other.kind, case .list(let list)? = given[other.name]
      {
        return .unsigned(UInt64(list.count))
      }
    }
    return nil
  }

  private static func members(
    _ value: FieldValue, path: String
  ) throws(FormatError) -> [String: FieldValue] {
    switch value {
    case .group(let members):
      return Dictionary(members.map { ($0.name, $0.value) }, uniquingKeysWith: { $1 })
    case .list(let list) where list.isEmpty: return [:]
    default: throw FormatError(.invalid, field: path, "expected a table of fields")
    }
  }

  private static func append(
    _ field: Field, _ value: FieldValue?, to body: inout [UInt8], path: String,
    _ context: BodyContext, native: Bool
  ) throws(FormatError) {
    let start = body.count
    switch field.kind {
    case .group(let fields):
      try append(
        fields, value ?? .group([]), to: &body, path: path + ".", context, native: native)
    case .array(let element, let count):
      var list: [FieldValue] = []
      if let value {
        guard case .list(let given) = value else {
          throw FormatError(.invalid, field: path, "expected a list")
        }
        list = given
      }
      var wanted = list.count
      if case .fixed(let n) = count { wanted = n }
      guard list.count <= wanted else {
        throw FormatError(
          .outOfRange, field: path, "expected at most \(wanted) elements, got \(list.count)")
      }
      for index in 0..<wanted {
        try append(
          element, index < list.count ? list[index] : nil, to: &body, path: "\(path)[\(index)]",
          context, native: native || element.ownOrder != nil)
      }
    case .chain, .opaque, .qemu, .uefiVariables:
      switch value {
      case nil: break
      case .bytes(let bytes)?: body += bytes
      case .text(let text)?: body += Array(text.utf8)
      default: throw FormatError(.invalid, field: path, "expected a string of bytes")
      }
    case .keyValues:
      for (key, value) in try members(value ?? .group([]), path: path).sorted(by: {
        $0.key < $1.key
      }) {
        guard case .text(let text) = value else {
          throw FormatError(.invalid, field: "\(path)[\"\(key)\"]", "expected a string")
        }
        body += Array(key.utf8) + [0] + Array(text.utf8) + [0]
      }
    default:
      let byteCount = field.fixedByteCount ?? 0
      body += [UInt8](repeating: 0, count: byteCount)
      guard let value else { return }
      let slot = FieldLocation(
        path: path, field: field, offset: start, byteCount: byteCount,
        order: native ? .little : context.order)
      try slot.set(value, in: &body)
    }
  }
}
