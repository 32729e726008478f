// Bytes as tests write them: commented hexadecimal, and integers of either order.

/// The bytes of `text`: pairs of hexadecimal digits. Blanks are free, "#" begins a comment.
///
/// Anything else is a mistake of the test and traps.
public func hex(_ text: String) -> [UInt8] {
  var digits: [UInt8] = []
  for line in text.split(separator: "\n") {
    for character in line.prefix(while: { $0 != "#" }) where !character.isWhitespace {
      guard let digit = character.hexDigitValue else { fatalError("no hex digit: \(character)") }
      digits.append(UInt8(digit))
    }
  }
  precondition(digits.count.isMultiple(of: 2), "half a byte")
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// Little-endian bytes of numbers.
public func le16(_ values: UInt16...) -> [UInt8] { values.flatMap { bytes(UInt64($0), 2) } }
public func le32(_ values: UInt32...) -> [UInt8] { values.flatMap { bytes(UInt64($0), 4) } }
public func le64(_ values: UInt64...) -> [UInt8] { values.flatMap { bytes($0, 8) } }
/// Big-endian bytes of numbers.
public func be16(_ values: UInt16...) -> [UInt8] {
  values.flatMap { bytes(UInt64($0), 2).reversed() }
}
public func be32(_ values: UInt32...) -> [UInt8] {
  values.flatMap { bytes(UInt64($0), 4).reversed() }
}

public func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }

private func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}
