// Random values, and texts of them in every layout and spelling that JSON allows. Written without
// the code under test.

import JSON

extension Seed {
  mutating func value(depth: Int = 5) -> JSONValue {
    switch below(depth == 0 ? 5 : 8) {
    case 0: .null
    case 1: .bool(once(in: 2))
    case 2: .number(number())
    case 3, 4: .string(string())
    case 5: .array((0..<below(4)).map { _ in value(depth: depth - 1) })
    default: object(depth: depth)
    }
  }

  mutating func object(depth: Int = 5) -> JSONValue {
    var object = JSONObject()
    for _ in 0..<below(5) {
      object[string()] = value(depth: depth - 1)
    }
    return .object(object)
  }

  mutating func number() -> JSONNumber {
    let literals = ["0", "-0", "1e3", "1E+3", "-1.50e-7", "18446744073709551615", "0.10", "1e999"]
    let literal =
      once(in: 2) ? String(Int64(truncatingIfNeeded: next())) : literals[below(literals.count)]
    return JSONNumber(literal) ?? JSONNumber(0)
  }

  /// Both forms of an accented letter are in: they are different strings here.
  mutating func string() -> String {
    let scalars: [Unicode.Scalar] = [
      "a", "b", "c", "7", "_", ".", "/", "\"", "\\", "\0", "\n", "\u{1B}", "\u{7F}", "\u{9B}",
      "é", "e", "\u{301}", "€", "\u{1F600}", "\u{10FFFF}", "\u{FFFF}", " ",
    ]
    return String(
      String.UnicodeScalarView((0..<below(6)).map { _ in scalars[below(scalars.count)] }))
  }

  /// The value with random white space and random escapes.
  mutating func text(of value: JSONValue) -> String {
    switch value {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .number(let number): return number.literal
    case .string(let string): return text(of: string)
    case .array(let elements):
      var parts: [String] = []
      for element in elements {
        parts.append(blank() + text(of: element) + blank())
      }
      return "[" + (parts.isEmpty ? blank() : parts.joined(separator: ",")) + "]"
    case .object(let object):
      var parts: [String] = []
      for member in object.members {
        let name = blank() + text(of: member.name) + blank()
        parts.append(name + ":" + blank() + text(of: member.value) + blank())
      }
      return "{" + (parts.isEmpty ? blank() : parts.joined(separator: ",")) + "}"
    }
  }

  private mutating func text(of string: String) -> String {
    var text = "\""
    for scalar in string.unicodeScalars {
      let mustEscape = scalar.value < 0x20 || scalar == "\"" || scalar == "\\"
      if mustEscape || once(in: 4) {
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16, uppercase: once(in: 2))
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      } else {
        text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }

  private mutating func blank() -> String {
    let blanks = ["", "", "", " ", "\n", "\r\n", "\n    ", "\n\t", "  "]
    return blanks[below(blanks.count)]
  }
}
