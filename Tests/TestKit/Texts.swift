// Bytes of a program's output as text.

/// The text that bytes are; where they are none, their ASCII.
///
/// For each byte that is no UTF-8 the standard library throws to itself, and Swift Testing keeps the stack of
/// all that is thrown: seconds for the bytes of an image.
public func text(of bytes: [UInt8]) -> String {
  String(validating: bytes, as: UTF8.self)
    ?? String(decoding: bytes.map { $0 < 0x80 ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
}
