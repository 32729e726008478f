// Turns the bytes of a terminal into keys.

/// A state machine from bytes to keys: UTF-8, control keys, escape sequences of the xterm, VT,
/// rxvt and Linux console families, and bracketed paste.
struct KeyDecoder {
  /// Bytes accepted in one paste.
  static let pasteLimit = 1 << 20

  private enum State {
    case ground
    case utf8(length: Int)
    case escape(alt: Bool)
    case csi(alt: Bool)
    case ss3(alt: Bool)
    /// `ESC [ [`, the function keys of the Linux console: one more byte follows.
    case linuxFunction
    case paste
  }

  private static let pasteEnd: [UInt8] = Array("\u{1B}[201~".utf8)
  /// Bytes kept of an escape sequence; a longer one is unknown anyway.
  private static let parameterLimit = 32

  private var state = State.ground
  private var held: [UInt8] = []
  private var pasteOverflows = false

  /// Whether an escape sequence has begun: if nothing follows soon, call `endEscape()`.
  var isInsideEscape: Bool {
    switch state {
    case .escape, .csi, .ss3, .linuxFunction: true
    case .ground, .utf8, .paste: false
    }
  }

  /// Ends a begun escape sequence: a lone ESC is the Escape key, anything longer is dropped.
  mutating func endEscape() -> Key? {
    guard isInsideEscape else { return nil }
    defer { state = .ground }
    if case .escape = state { return .special(.escape, .none) }
    return nil
  }

  /// Takes one byte. Of two keys in the answer, the first is text or Escape.
  mutating func decode(_ byte: UInt8) -> [Key] {
    switch state {
    case .ground: return ground(byte)
    case .utf8(let length): return continueUTF8(byte, length: length)
    case .escape(let alt): return escape(byte, alt: alt)
    case .csi(let alt): return csi(byte, alt: alt)
    case .paste: return paste(byte)
    case .linuxFunction:
      state = .ground
      return byte < 0x20 ? ground(byte) : []
    case .ss3(let alt):
      state = .ground
      guard byte >= 0x20 else { return ground(byte) }
      return KeySequence.ss3(final: byte, alt: alt).map { [$0] } ?? []
    }
  }

  private mutating func ground(_ byte: UInt8) -> [Key] {
    switch byte {
    case 0x1B:
      state = .escape(alt: false)
      return []
    case 0x0A, 0x0D: return [.special(.enter, .none)]
    case 0x09: return [.special(.tab, .none)]
    case 0x08, 0x7F: return [.special(.backspace, .none)]
    case 0x00..<0x20:
      return [.control(Character(Unicode.Scalar(byte | 0x40)).lowercased().first ?? "@")]
    case 0x20..<0x7F: return [.text(String(Unicode.Scalar(byte)))]
    default:
      guard let length = utf8Length(lead: byte) else { return [.text("\u{FFFD}")] }
      held = [byte]
      state = .utf8(length: length)
      return []
    }
  }

  private mutating func continueUTF8(_ byte: UInt8, length: Int) -> [Key] {
    guard byte & 0xC0 == 0x80 else {
      state = .ground
      return [.text("\u{FFFD}")] + ground(byte)
    }
    held.append(byte)
    guard held.count == length else { return [] }
    state = .ground
    return [.text(String(decoding: held, as: UTF8.self))]
  }

  private mutating func escape(_ byte: UInt8, alt: Bool) -> [Key] {
    state = .ground
    switch byte {
    case 0x1B:
      state = .escape(alt: true)
      return []
    case UInt8(ascii: "["):
      held = []
      state = .csi(alt: alt)
      return []
    case UInt8(ascii: "O"):
      state = .ss3(alt: alt)
      return []
    case 0x0A, 0x0D: return [.special(.enter, .alt)]
    case 0x08, 0x7F: return [.special(.backspace, .alt)]
    case 0x20..<0x7F: return [.alt(Character(Unicode.Scalar(byte)))]
    case 0x00..<0x20: return [.special(.escape, .none)] + ground(byte)
    default: return ground(byte)
    }
  }

  private mutating func csi(_ byte: UInt8, alt: Bool) -> [Key] {
    switch byte {
    case UInt8(ascii: "[") where held.isEmpty:
      state = .linuxFunction
      return []
    case 0x20..<0x40:
      if held.count < Self.parameterLimit { held.append(byte) }
      return []
    case 0x40..<0x7F:
      state = .ground
      if byte == UInt8(ascii: "~"), held == Array("200".utf8) {
        held = []
        pasteOverflows = false
        state = .paste
        return []
      }
      return KeySequence.csi(parameters: held, final: byte, alt: alt).map { [$0] } ?? []
    default:
      state = .ground
      return ground(byte)
    }
  }

  private mutating func paste(_ byte: UInt8) -> [Key] {
    // Ctrl-C is the way out if the end of a paste never comes.
    if byte == 0x03 {
      state = .ground
      return ground(byte)
    }
    held.append(byte)
    if byte == UInt8(ascii: "~"), held.suffix(Self.pasteEnd.count) == Self.pasteEnd[...] {
      state = .ground
      let text = String(decoding: held.dropLast(Self.pasteEnd.count), as: UTF8.self)
      held = []
      return [pasteOverflows ? .pasteRefused : .paste(text.withUnixLineBreaks)]
    }
    if held.count >= Self.pasteLimit + Self.pasteEnd.count {
      pasteOverflows = true
      held.removeFirst(held.count - Self.pasteEnd.count)
    }
    return []
  }
}

extension String {
  /// The text with "\r\n" and "\r" replaced by "\n".
  var withUnixLineBreaks: String {
    guard utf8.contains(0x0D) else { return self }
    var result: [UInt8] = []
    var previous: UInt8 = 0
    for byte in utf8 {
      if byte == 0x0D {
        result.append(0x0A)
      } else if byte != 0x0A || previous != 0x0D {
        result.append(byte)
      }
      previous = byte
    }
    return String(decoding: result, as: UTF8.self)
  }
}
