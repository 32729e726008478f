// The one error of this target: what is wrong with a JSON text, a path or an edit, and where.

/// A fault in a JSON text, in the text of a path, or in the request to edit a document.
public struct JSONError: Error, Sendable, Equatable {
  /// What is wrong.
  public enum Kind: Sendable, Equatable {
    /// The text ends inside a value. The usual sign of a truncated image.
    case unexpectedEnd
    /// A byte that cannot stand here; `expected` says what could.
    case unexpectedByte(UInt8, expected: String)
    /// A number that breaks the grammar, e.g. `01`, `1.` or `-x`.
    case invalidNumber
    /// A backslash followed by anything but `"\/bfnrtu`, or `\u` without four hex digits.
    case invalidEscape
    /// Half of a surrogate pair, which names no character.
    case loneSurrogate
    /// A control character, U+0000 to U+001F, written literally in a string.
    case controlCharacter(UInt8)
    /// Bytes in a string that are not UTF-8.
    case invalidUTF8
    /// A second member of an object with this name.
    case duplicateName(String)
    /// Anything but white space after the value.
    case trailingText
    /// More open arrays and objects than `limit`.
    case tooDeep(limit: Int)
    /// More than `limit` bytes of text.
    case tooLarge(byteCount: Int, limit: Int)
    /// The document has no value at this path.
    case noValue(JSONPath)
    /// An edit that would give an object a second member of this name.
    case memberExists(JSONPath)
    /// An edit that the root of a document cannot take.
    case rootIsFixed
  }

  /// What is wrong.
  public var kind: Kind
  /// Where: bytes from the start of the text. For an edit, where the innermost value that
  /// was found starts.
  public var offset: Int
  /// Line of `offset`, from 1.
  public var line: Int
  /// Column of `offset`, in bytes from 1.
  public var column: Int

  init(_ kind: Kind, at offset: Int, in text: [UInt8]) {
    self.kind = kind
    self.offset = offset
    line = 1
    var lineStart = 0
    for index in 0..<min(offset, text.count) where text[index] == ASCII.lineFeed {
      line += 1
      lineStart = index + 1
    }
    column = offset - lineStart + 1
  }
}

extension JSONError: CustomStringConvertible {
  /// One sentence without control characters, e.g. `line 3, column 7 (offset 0x2a): number expected`.
  public var description: String {
    "line \(line), column \(column) (offset 0x\(String(offset, radix: 16))): \(kind)"
  }
}

extension JSONError.Kind: CustomStringConvertible {
  /// What is wrong, in a few words without control characters.
  public var description: String {
    switch self {
    case .unexpectedEnd: "the text ends inside a value (truncated)"
    case .unexpectedByte(let byte, let expected): "expected \(expected), got \(named(byte))"
    case .invalidNumber: "not a JSON number"
    case .invalidEscape: "unknown escape sequence in a string"
    case .loneSurrogate: "half of a surrogate pair in a string"
    case .controlCharacter(let byte): "control character \(named(byte)) in a string"
    case .invalidUTF8: "a string is not UTF-8"
    case .duplicateName(let name): "duplicate name \(quoted(name))"
    case .trailingText: "text after the end of the value"
    case .tooDeep(let limit): "more than \(limit) arrays and objects inside each other"
    case .tooLarge(let byteCount, let limit): "expected at most \(limit) bytes, got \(byteCount)"
    case .noValue(let path): "no value at \(path)"
    case .memberExists(let path): "\(path) exists already"
    case .rootIsFixed: "the outermost value can be replaced only"
    }
  }

  /// The name as JSON, cut if it is too long for a message.
  private func quoted(_ name: String) -> String {
    let limit = 80
    let start = String(String.UnicodeScalarView(name.unicodeScalars.prefix(limit)))
    return "\(JSONValue.string(start))" + (name.unicodeScalars.count > limit ? "..." : "")
  }

  private func named(_ byte: UInt8) -> String {
    guard byte > 0x20, byte < 0x7F else { return "0x\(String(byte, radix: 16))" }
    return "'\(Unicode.Scalar(byte))'"
  }
}
