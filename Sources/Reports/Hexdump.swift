// Bytes for people.

internal import Bytes

/// Bytes as lines of offset, hexadecimal and text.
package func hexdump(_ bytes: [UInt8], base: UInt64 = 0, width: Int = 16) -> String {
  var out = ""
  for start in stride(from: 0, to: bytes.count, by: width) {
    let line = bytes[start..<min(start + width, bytes.count)]
    let offset = String(base &+ UInt64(start), radix: 16)
    out += String(repeating: "0", count: max(0, 8 - offset.count)) + offset + "  "
    for (index, byte) in line.enumerated() {
      out += [byte].hexDigits + (index == width / 2 - 1 ? "  " : " ")
    }
    out +=
      String(
        repeating: " ", count: 3 * (width - line.count) + (line.count < width / 2 ? 1 : 0)) + " |"
    for byte in line {
      out.unicodeScalars.append((0x20..<0x7F).contains(byte) ? Unicode.Scalar(byte) : ".")
    }
    out += "|\n"
  }
  return out
}

/// A hexdump of at most `limit` lines in which lines that are as the one before are one "*"; `shown`:
/// how many of the bytes that are.
package func foldedHexdump(
  _ bytes: [UInt8], base: UInt64 = 0, limit: Int
) -> (text: String, shown: Int) {
  var out = ""
  var lines = 0
  var start = 0
  var isFolding = false
  while start < bytes.count, lines < limit {
    let end = min(start + 16, bytes.count)
    // The last line says where the bytes end.
    let isSame =
      start >= 16 && end < bytes.count && bytes[start..<end] == bytes[start - 16..<start]
    if !isSame || !isFolding {
      out += isSame ? "*\n" : hexdump(Array(bytes[start..<end]), base: base &+ UInt64(start))
      lines += 1
    }
    isFolding = isSame
    start = end
  }
  return (out, start)
}
