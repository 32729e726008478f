// The escape sequences of special keys.

/// Reads complete escape sequences as keys. Sources: xterm's ctlseqs, console_codes(4), rxvt(7).
enum KeySequence {
  /// The key of `ESC [ parameters final`; nil when it is none that we know.
  static func csi(parameters: [UInt8], final: UInt8, alt: Bool) -> Key? {
    let fields = parameters.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
    let codes = fields.map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
    let modifier = modifier(code: codes.count > 1 ? codes[1] : 1, alt: alt)
    switch final {
    case UInt8(ascii: "Z"): return .special(.backTab, .none)
    case UInt8(ascii: "~"):
      return numbered(codes.first ?? 0).map { .special($0, modifier) }
    case UInt8(ascii: "^"):
      return numbered(codes.first ?? 0).map { .special($0, .control) }
    default:
      return lettered(final).map { .special($0, modifier) }
    }
  }

  /// The key of `ESC O final`; nil when it is none that we know.
  static func ss3(final: UInt8, alt: Bool) -> Key? {
    if final == UInt8(ascii: "M") { return .special(.enter, .none) }
    // rxvt sends Ctrl with an arrow as `ESC O a` to `ESC O d`.
    if (UInt8(ascii: "a")...UInt8(ascii: "d")).contains(final) {
      return lettered(final & 0x5F).map { .special($0, .control) }
    }
    return lettered(final).map { .special($0, alt ? .alt : .none) }
  }

  private static func lettered(_ letter: UInt8) -> Key.Special? {
    switch letter {
    case UInt8(ascii: "A"): .up
    case UInt8(ascii: "B"): .down
    case UInt8(ascii: "C"): .right
    case UInt8(ascii: "D"): .left
    case UInt8(ascii: "H"): .home
    case UInt8(ascii: "F"): .end
    default: nil
    }
  }

  private static func numbered(_ code: Int) -> Key.Special? {
    switch code {
    case 1, 7: .home
    case 3: .delete
    case 4, 8: .end
    case 5: .pageUp
    case 6: .pageDown
    default: nil
    }
  }

  /// xterm's modifier code is 1 plus a bit set: Shift 1, Alt 2, Control 4, Meta 8.
  private static func modifier(code: Int, alt: Bool) -> Key.Modifier {
    guard (1...16).contains(code) else { return alt ? .alt : .none }
    let bits = code - 1
    if bits & 4 != 0 { return .control }
    return alt || bits & 10 != 0 ? .alt : .none
  }
}
