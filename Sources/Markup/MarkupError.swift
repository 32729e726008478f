// The one error of this target: what is wrong with a text, a path or an edit, and where.

/// A fault in an XML text or an S-expression, in the text of a path, or in the request to edit.
public struct MarkupError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, in a few words without control characters.
  public let problem: String
  /// Bytes from the start of the text to where it is wrong.
  public let offset: Int

  init(_ problem: String, at offset: Int) {
    self.problem = problem
    self.offset = offset
  }

  /// "offset 0x2a: expected '>', got '<'".
  public var description: String { "offset 0x\(String(offset, radix: 16)): \(problem)" }
}

/// A byte as messages name it.
func named(_ byte: UInt8?) -> String {
  guard let byte else { return "the end" }
  guard byte > 0x20, byte < 0x7F else { return "0x\(String(byte, radix: 16))" }
  return "'\(Unicode.Scalar(byte))'"
}

/// Text for a message: at most 80 characters, without control characters.
func quoted(_ text: some Sequence<UInt8>) -> String {
  var out = "\""
  for byte in text.prefix(80) {
    out.unicodeScalars.append(byte >= 0x20 && byte < 0x7F ? Unicode.Scalar(byte) : "?")
  }
  return out + "\""
}
