// Makes untrusted text harmless and visible before it reaches a terminal.

/// `text` with everything that a terminal would obey, hide or reorder written out in ASCII.
///
/// Control characters become `\n`, `\r`, `\t` or `\x1b`; C1 controls, line separators, direction
/// overrides and other invisible format characters become `\u{202e}`. Joiners and the soft hyphen
/// stay. A backslash stays as it is, so the result is for reading, not for parsing back.
public func escapeForDisplay(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: { $0.displayEscape != nil }) else { return text }
  var result = ""
  for scalar in text.unicodeScalars {
    if let escape = scalar.displayEscape {
      result += escape
    } else {
      result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// `bytes` read as UTF-8 and escaped as `escapeForDisplay(_:)` does; each byte that is not part of
/// valid UTF-8 becomes `\xff`.
public func escapeForDisplay(bytes: [UInt8]) -> String {
  var result = ""
  var position = 0
  while position < bytes.count {
    let length = utf8Length(lead: bytes[position]) ?? 1
    let end = min(position + length, bytes.count)
    if let text = String(validating: bytes[position..<end], as: UTF8.self) {
      result += escapeForDisplay(text)
      position = end
    } else {
      result += "\\x" + hex(UInt32(bytes[position]), digits: 2)
      position += 1
    }
  }
  return result
}

extension Unicode.Scalar {
  /// The visible spelling of a scalar that must not reach the terminal; nil for all others.
  var displayEscape: String? {
    switch value {
    case 0x20..<0x7F: return nil
    case 0x09: return "\\t"
    case 0x0A: return "\\n"
    case 0x0D: return "\\r"
    case 0x00..<0x20, 0x7F: return "\\x" + hex(value, digits: 2)
    case 0xAD, 0x200C, 0x200D: return nil
    default: break
    }
    switch properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator:
      return "\\u{" + hex(value, digits: 2) + "}"
    default:
      return nil
    }
  }
}

/// Bytes in the UTF-8 sequence that `lead` starts, 1 to 4; nil when no sequence starts so.
func utf8Length(lead: UInt8) -> Int? {
  switch lead {
  case 0x00..<0x80: 1
  case 0xC2..<0xE0: 2
  case 0xE0..<0xF0: 3
  case 0xF0..<0xF5: 4
  default: nil
  }
}

private func hex(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
