// How a JSON text is laid out.

/// White space of a JSON text.
public struct JSONStyle: Sendable, Equatable {
  /// How an array or object without content is written on more than one line.
  public enum EmptyContainers: Sendable, Equatable {
    /// `{}`
    case closed
    /// Two line ends between the brackets, as yajl's beautifier has it.
    case blankLine
  }

  /// What a level is indented by; nil puts everything on one line.
  public var indent: String?
  /// What stands between a name and its value.
  public var nameSeparator: String
  /// The line end.
  public var lineEnd: String
  /// How empty arrays and objects are written.
  public var emptyContainers: EmptyContainers

  /// Makes a style. All three texts must be JSON white space, but for the one colon.
  public init(
    indent: String?, nameSeparator: String = ": ", lineEnd: String = "\n",
    emptyContainers: EmptyContainers = .closed
  ) {
    self.indent = indent
    self.nameSeparator = nameSeparator
    self.lineEnd = lineEnd
    self.emptyContainers = emptyContainers
  }

  /// One line without any white space.
  public static let compact = JSONStyle(indent: nil, nameSeparator: ":")

  /// For people: two spaces a level.
  public static let pretty = JSONStyle(indent: "  ")

  /// What libxl writes into a save image: yajl's beautifier with four spaces a level.
  /// Xen: tools/libs/light/libxl_json.c, libxl__object_to_json.
  public static let libxl = JSONStyle(indent: "    ", emptyContainers: .blankLine)
}
