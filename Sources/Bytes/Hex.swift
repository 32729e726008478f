// Numbers and bytes as the text that people read.

extension BinaryInteger {
  /// "0x" and lower-case hexadecimal digits; at least `digits` of them.
  public func hex(_ digits: Int = 1) -> String {
    let text = String(self, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, digits - text.count)) + text
  }

  /// Decimal digits in groups of three, for counts that people compare: 1,048,576.
  public var grouped: String {
    var out = ""
    let digits = String(self)
    for (index, digit) in digits.enumerated() {
      if index > 0, digit != "-", (digits.count - index) % 3 == 0, out != "-" { out += "," }
      out.append(digit)
    }
    return out
  }
}

extension UInt64 {
  /// A byte count as people say it: "4.0 MiB". Binary units, one decimal.
  public var byteCount: String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var unit = 0
    var tenths = self
    guard self >= 1024 else { return "\(self) B" }
    var value = self
    while value >= 1024, unit < units.count - 1 {
      tenths = value / 1024 * 10 + value % 1024 * 10 / 1024
      value /= 1024
      unit += 1
    }
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
  }
}

extension Sequence<UInt8> {
  /// Two hexadecimal digits for each byte, no separators.
  public var hexDigits: String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in self {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// The bytes as text with everything outside printable ASCII made visible as "\xNN":
  /// names from an image must not steer a terminal.
  public var printable: String {
    var out = ""
    for byte in self {
      switch byte {
      case 0x5C: out += "\\\\"
      case 0x20..<0x7F: out.unicodeScalars.append(Unicode.Scalar(byte))
      default: out += "\\x" + [byte].hexDigits
      }
    }
    return out
  }
}
