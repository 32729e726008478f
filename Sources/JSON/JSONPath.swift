// Where a value is inside another: `c_info.name`, `disks[0].pdev_path`, `b_info["type.hvm"].vga`.

/// One step of a path.
public enum JSONKey: Sendable {
  /// Into the member of this name of an object.
  case name(String)
  /// Into the element at this index, from 0, of an array.
  case index(Int)
}

extension JSONKey: Equatable {
  /// Names are equal when their UTF-8 bytes are.
  public static func == (left: JSONKey, right: JSONKey) -> Bool {
    switch (left, right) {
    case (.name(let left), .name(let right)): sameBytes(left, right)
    case (.index(let left), .index(let right)): left == right
    default: false
    }
  }
}

extension JSONKey: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
  /// A name.
  public init(stringLiteral name: String) { self = .name(name) }

  /// An index.
  public init(integerLiteral index: Int) { self = .index(index) }
}

/// The steps from the root of a document to a value; none for the root itself.
public struct JSONPath: Sendable, Equatable {
  /// The steps, outermost first.
  public var keys: [JSONKey]

  /// A path of these steps.
  public init(_ keys: [JSONKey]) {
    self.keys = keys
  }

  /// The path without its last step; nil for the root.
  public var parent: JSONPath? { keys.isEmpty ? nil : JSONPath(keys.dropLast()) }

  /// This path and one step more.
  public func appending(_ key: JSONKey) -> JSONPath { JSONPath(keys + [key]) }
}

extension JSONPath {
  /// Reads the text form. The offset of an error counts bytes of `text`.
  ///
  ///      path   = [ step *( "." name / bracket ) ]
  ///      step   = name / bracket
  ///      name   = 1*( letter / digit / "_" / "-" )
  ///      bracket = "[" index "]" / "[" JSON string "]"
  ///
  /// Any other name is written as a string: libxl has members called `type.hvm`.
  public init(parsing text: String) throws(JSONError) {
    var scanner = JSONScanner(Array(text.utf8))
    var keys: [JSONKey] = []
    while let byte = scanner.next {
      if byte == ASCII.openBracket {
        keys.append(try Self.bracket(&scanner))
        continue
      }
      if !keys.isEmpty { try scanner.take(ASCII.dot, expected: "'.' or '['") }
      let start = scanner.position
      while let byte = scanner.next, Self.isPlain(byte) {
        scanner.position += 1
      }
      guard scanner.position > start else { throw scanner.unexpected("a name") }
      keys.append(.name(String(decoding: scanner.text[start..<scanner.position], as: UTF8.self)))
    }
    self.init(keys)
  }

  private static func bracket(_ scanner: inout JSONScanner) throws(JSONError) -> JSONKey {
    try scanner.take(ASCII.openBracket, expected: "'['")
    let start = scanner.position
    let key: JSONKey
    if scanner.next == ASCII.quote {
      try scanner.takeString(expected: "a name")
      let range = start..<scanner.position
      key = .name(JSONSyntax.string(in: scanner.text, range))
    } else {
      while let byte = scanner.next, ASCII.isDigit(byte) {
        scanner.position += 1
      }
      let digits = String(decoding: scanner.text[start..<scanner.position], as: UTF8.self)
      guard let index = Int(digits) else {
        scanner.position = start
        throw scanner.unexpected("an index or a quoted name")
      }
      key = .index(index)
    }
    try scanner.take(ASCII.closeBracket, expected: "']'")
    return key
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), ASCII.minus:
      true
    default:
      false
    }
  }
}

extension JSONPath: CustomStringConvertible {
  /// The text form; `parsing` reads it back. The root is the empty text.
  public var description: String {
    var text = ""
    for key in keys {
      switch key {
      case .index(let index):
        text += "[\(index)]"
      case .name(let name) where !name.isEmpty && name.utf8.allSatisfy(Self.isPlain):
        text += text.isEmpty ? name : ".\(name)"
      case .name(let name):
        text += "[\(JSONValue.string(name))]"
      }
    }
    return text
  }
}

extension JSONPath: ExpressibleByArrayLiteral {
  /// A path of these steps.
  public init(arrayLiteral keys: JSONKey...) { self.init(keys) }
}
