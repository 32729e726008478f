// A JSON value in memory.

/// A JSON value. Reading and writing it keeps the order of members and the literals of
/// numbers; white space and escapes are kept by `JSONDocument`.
public enum JSONValue: Sendable {
  /// `null`.
  case null
  /// `true` or `false`.
  case bool(Bool)
  /// A number.
  case number(JSONNumber)
  /// A string, unescaped.
  case string(String)
  /// An array.
  case array([JSONValue])
  /// An object.
  case object(JSONObject)
}

extension JSONValue {
  /// Reads a text of exactly one value.
  public init(
    parsing text: [UInt8], options: JSONOptions = JSONOptions()
  ) throws(JSONError) {
    self = try JSONSyntax(text, options: options).value(at: 0)
  }

  /// Reads a text of exactly one value.
  public init(
    parsing text: String, options: JSONOptions = JSONOptions()
  ) throws(JSONError) {
    try self.init(parsing: Array(text.utf8), options: options)
  }

  /// The text of this value, without a line end after it.
  public func text(_ style: JSONStyle = .compact) -> [UInt8] {
    var writer = JSONWriter(style: style)
    writer.value(self)
    return writer.take()
  }

  /// The boolean, if this is one.
  public var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The number, if this is one.
  public var numberValue: JSONNumber? { if case .number(let value) = self { value } else { nil } }

  /// The string, if this is one.
  public var stringValue: String? { if case .string(let value) = self { value } else { nil } }

  /// The elements, if this is an array.
  public var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  /// The members, if this is an object.
  public var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// The member of this name, if this is an object that has it.
  public subscript(name: String) -> JSONValue? { objectValue?[name] }

  /// The element at this index, from 0, if this is an array that has it.
  public subscript(index: Int) -> JSONValue? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  /// The value at this path.
  public subscript(path: JSONPath) -> JSONValue? {
    var value = self
    for key in path.keys {
      let next =
        switch key {
        case .name(let name): value[name]
        case .index(let index): value[index]
        }
      guard let next else { return nil }
      value = next
    }
    return value
  }
}

extension JSONValue: Equatable {
  /// Strings are equal when their UTF-8 bytes are, numbers when their literals are, objects
  /// when they have equal members in the same order.
  public static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let left), .bool(let right)): left == right
    case (.number(let left), .number(let right)): left == right
    case (.string(let left), .string(let right)): sameBytes(left, right)
    case (.array(let left), .array(let right)): left == right
    case (.object(let left), .object(let right)): left == right
    default: false
    }
  }
}

extension JSONValue: CustomStringConvertible {
  /// The compact text.
  public var description: String { String(decoding: text(), as: UTF8.self) }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  /// `null`.
  public init(nilLiteral: ()) { self = .null }

  /// A boolean.
  public init(booleanLiteral value: Bool) { self = .bool(value) }

  /// A number.
  public init(integerLiteral value: Int64) { self = .number(JSONNumber(value)) }

  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }

  /// An array.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

  /// An object; of a name given twice the last value stays.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (name, value) in elements {
      object[name] = value
    }
    self = .object(object)
  }
}
