// Colours and attributes of text, and their SGR parameters.

/// One of the sixteen colours that every colour terminal has; the raw value is the SGR parameter.
public enum Color: UInt8, Sendable, CaseIterable {
  case black = 30
  case red, green, yellow, blue, magenta, cyan, white
  case brightBlack = 90
  case brightRed, brightGreen, brightYellow, brightBlue, brightMagenta, brightCyan, brightWhite
}

/// How a piece of text looks.
public struct Style: Equatable, Sendable {
  /// The colour of the letters; nil leaves the terminal's own.
  public var foreground: Color?
  /// Bold letters.
  public var bold: Bool
  /// Faint letters.
  public var dim: Bool
  /// Slanted letters.
  public var italic: Bool
  /// Underlined letters.
  public var underline: Bool
  /// Foreground and background exchanged.
  public var inverse: Bool

  /// A style with the given attributes; with none it is plain text.
  public init(
    _ foreground: Color? = nil, bold: Bool = false, dim: Bool = false, italic: Bool = false,
    underline: Bool = false, inverse: Bool = false
  ) {
    self.foreground = foreground
    self.bold = bold
    self.dim = dim
    self.italic = italic
    self.underline = underline
    self.inverse = inverse
  }

  /// Text without any attribute.
  public static let plain = Style()

  /// `text` between the escape sequences of this style, or `text` itself if `isEnabled` is false or
  /// the style is plain. `text` is not escaped: untrusted text goes through `escapeForDisplay(_:)`.
  public func applied(to text: String, isEnabled: Bool) -> String {
    guard isEnabled, self != .plain else { return text }
    return "\u{1B}[" + parameters + "m" + text + "\u{1B}[0m"
  }

  /// SGR parameters joined by semicolons, empty for plain text.
  var parameters: String {
    var result: [String] = []
    if bold { result.append("1") }
    if dim { result.append("2") }
    if italic { result.append("3") }
    if underline { result.append("4") }
    if inverse { result.append("7") }
    if let foreground { result.append(String(foreground.rawValue)) }
    return result.joined(separator: ";")
  }

  /// What remains of the style where colour is not wanted: only the mark of a selection.
  var withoutColor: Style { Style(inverse: inverse) }
}

/// A style for a range of a text.
public struct StyledRun: Equatable, Sendable {
  /// UTF-8 byte offsets into the text. Parts outside the text are ignored; where runs overlap, the
  /// later one wins.
  public var range: Range<Int>
  /// The style of the range.
  public var style: Style

  /// A run of `style` over the UTF-8 bytes `range`.
  public init(_ range: Range<Int>, _ style: Style) {
    self.range = range
    self.style = style
  }
}
