// A JSON number as the literal it was written as.

/// A number, kept as its literal, so that 64-bit integers, `1e3` and `-0` survive.
///
/// Two numbers are equal when their literals are: `1.0` and `1` differ.
public struct JSONNumber: Sendable, Hashable {
  /// The literal, e.g. `18446744073709551615`; always valid JSON.
  public let literal: String

  init(validLiteral: String) {
    literal = validLiteral
  }

  /// Takes a literal; nil if it is not a JSON number.
  public init?(_ literal: String) {
    let bytes = Array(literal.utf8)
    guard let end = try? JSONScanner.numberEnd(in: bytes, from: 0), end == bytes.count else {
      return nil
    }
    self.literal = literal
  }

  /// The shortest literal of an integer.
  public init(_ value: some BinaryInteger) {
    literal = String(value)
  }

  /// The shortest literal that reads back as this value; nil for infinity and NaN, which JSON
  /// does not have.
  public init?(_ value: Double) {
    guard value.isFinite else { return nil }
    literal = value.description
  }

  /// The value of a literal without fraction and exponent, if it fits.
  public var int64: Int64? { Int64(literal) }

  /// The value of a literal without fraction and exponent, if it fits.
  public var uint64: UInt64? { UInt64(literal) }

  /// The nearest value; nil beyond the range of a Double.
  public var double: Double? {
    guard let value = Double(literal), value.isFinite else { return nil }
    return value
  }
}

extension JSONNumber: CustomStringConvertible {
  /// The literal.
  public var description: String { literal }
}
