// Writes JSON chunk by chunk: what every `--json` output goes through.

/// A value that can write itself as JSON.
public protocol JSONWritable {
  /// Writes exactly one value. Called once for each place the value stands at.
  func write(to writer: inout JSONWriter)
}

/// Writes one JSON text after the other into a buffer that the caller empties.
///
///      var writer = JSONWriter(style: .pretty)
///      writer.beginObject()
///      writer.member("records", 17)
///      writer.member("pfn", hex: 0xfeff8)
///      writer.endObject()
///      descriptor.write(writer.finish())
///
/// The same calls always give the same bytes. A call that would make invalid JSON, such as a
/// member's value without its name, is a fault of the caller and traps.
public struct JSONWriter: Sendable {
  private struct Open {
    let isObject: Bool
    var isEmpty = true
  }

  private let style: JSONStyle
  /// What every line but the first starts with.
  private let margin: String
  private var bytes: [UInt8] = []
  private var open: [Open] = []
  private var hasKey = false
  private var isComplete = false

  /// A writer with an empty buffer.
  public init(style: JSONStyle = .compact) {
    self.init(style: style, margin: "")
  }

  init(style: JSONStyle, margin: String) {
    self.style = style
    self.margin = margin
  }

  /// Bytes in the buffer.
  public var byteCount: Int { bytes.count }

  /// Empties the buffer: its bytes are the next part of the text. May be called at any time.
  public mutating func take() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }

  /// Ends the text with a line end and empties the buffer; the next text may begin. All arrays
  /// and objects must be ended.
  public mutating func finish() -> [UInt8] {
    precondition(isComplete, "JSON text is not complete")
    isComplete = false
    append(style.lineEnd)
    return take()
  }

  /// Begins an object; `key` and a value for each member follow, then `endObject`.
  public mutating func beginObject() { begin(isObject: true) }

  /// Ends the innermost object.
  public mutating func endObject() { end(isObject: true) }

  /// Begins an array; values follow, then `endArray`.
  public mutating func beginArray() { begin(isObject: false) }

  /// Ends the innermost array.
  public mutating func endArray() { end(isObject: false) }

  /// Writes the name of a member; its value follows. That names differ is up to the caller.
  public mutating func key(_ name: String) {
    precondition(open.last?.isObject == true && !hasKey, "JSON name outside of an object")
    separate()
    appendString(name)
    append(style.nameSeparator)
    hasKey = true
  }

  /// Writes a value.
  public mutating func value(_ value: some JSONWritable) {
    value.write(to: &self)
  }

  /// Writes a member.
  public mutating func member(_ name: String, _ value: some JSONWritable) {
    key(name)
    self.value(value)
  }

  /// Writes a member whose value is a string such as `0x1f`.
  public mutating func member(_ name: String, hex value: UInt64) {
    key(name)
    hex(value)
  }

  /// Writes a string such as `0x1f`: 64-bit integers are more than most readers of JSON hold.
  public mutating func hex(_ value: UInt64) {
    scalar("\"0x\(String(value, radix: 16))\"")
  }

  /// Writes `null`.
  public mutating func null() { scalar("null") }

  mutating func string(_ value: String) {
    beginValue()
    appendString(value)
    endValue()
  }

  /// Writes a value whose text needs no escapes.
  mutating func scalar(_ text: String) {
    beginValue()
    append(text)
    endValue()
  }

  private mutating func begin(isObject: Bool) {
    beginValue()
    bytes.append(isObject ? ASCII.openBrace : ASCII.openBracket)
    open.append(Open(isObject: isObject))
  }

  private mutating func end(isObject: Bool) {
    guard let container = open.popLast(), container.isObject == isObject, !hasKey else {
      preconditionFailure("JSON end without its beginning")
    }
    if !container.isEmpty {
      breakLine()
    } else if style.emptyContainers == .blankLine, style.indent != nil {
      append(style.lineEnd)
      breakLine()
    }
    bytes.append(isObject ? ASCII.closeBrace : ASCII.closeBracket)
    endValue()
  }

  private mutating func beginValue() {
    precondition(!isComplete, "second JSON value in one text")
    if open.last?.isObject == true {
      precondition(hasKey, "JSON member without a name")
      hasKey = false
    } else if !open.isEmpty {
      separate()
    }
  }

  private mutating func endValue() {
    isComplete = open.isEmpty
  }

  /// Goes to the place of the next member or element.
  private mutating func separate() {
    if !open[open.count - 1].isEmpty { bytes.append(ASCII.comma) }
    open[open.count - 1].isEmpty = false
    breakLine()
  }

  private mutating func breakLine() {
    guard let indent = style.indent else { return }
    append(style.lineEnd)
    append(margin)
    for _ in open {
      append(indent)
    }
  }

  private mutating func append(_ text: String) {
    bytes.append(contentsOf: text.utf8)
  }
}

extension JSONWriter {
  /// Escapes what JSON demands and all other control characters: a terminal may take U+009B for
  /// the start of a command. The short forms are those of yajl.
  private mutating func appendString(_ string: String) {
    bytes.append(ASCII.quote)
    defer { bytes.append(ASCII.quote) }
    let isPlain = string.utf8.allSatisfy { byte in
      byte >= 0x20 && byte < 0x7F && byte != ASCII.quote && byte != ASCII.backslash
    }
    if isPlain { return append(string) }
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": append("\\\"")
      case "\\": append("\\\\")
      case "\u{8}": append("\\b")
      case "\u{C}": append("\\f")
      case "\n": append("\\n")
      case "\r": append("\\r")
      case "\t": append("\\t")
      case "\0"..."\u{1F}", "\u{7F}"..."\u{9F}":
        let digits = String(scalar.value, radix: 16, uppercase: true)
        append("\\u\(String(repeating: "0", count: 4 - digits.utf8.count))\(digits)")
      default:
        bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      }
    }
  }
}
