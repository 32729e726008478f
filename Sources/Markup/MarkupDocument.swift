// What XML and S-expressions have in common: places with names, text at the ends, edits in place.

/// What is at a place of a document.
public enum MarkupValue: Sendable, Equatable {
  /// Text: an attribute, an element without others inside, an atom.
  case text(String)
  /// Other places inside: an element or a list, with the bytes of its source.
  case tree([UInt8])

  /// The text; nil for a tree.
  public var text: String? { if case .text(let text) = self { text } else { nil } }
}

/// A text with a tree in it, which can be edited without touching the bytes of anything else.
///
/// Reading never changes the text. An edit replaces the bytes of what was edited, and the new text is
/// checked again. After an error the document is what it was before.
public protocol MarkupDocument: Sendable {
  /// Reads a text.
  init(_ text: [UInt8]) throws(MarkupError)

  /// The text, byte by byte as it was read but for what was edited.
  var text: [UInt8] { get }

  /// What is at a place; nil where there is no such place.
  func value(at path: MarkupPath) -> MarkupValue?

  /// The places right inside another, in the order of the text; none of text.
  func children(of path: MarkupPath) -> [MarkupPath]

  /// All texts with their paths, in the order of the document: at most `limit`.
  func leaves(limit: Int) -> [(path: MarkupPath, text: String)]

  /// Sets the text of a place. The last step may name what is not there yet, where that can be added.
  mutating func set(_ path: MarkupPath, to text: String) throws(MarkupError)

  /// Removes a place.
  mutating func remove(_ path: MarkupPath) throws(MarkupError)
}

/// What a text may ask of a reader before it is refused: real ones have some KiB.
public enum MarkupLimit {
  /// Bytes of a text.
  public static let bytes = 4 << 20
  /// Elements, attributes, lists and atoms.
  public static let nodes = 100_000
  /// Attributes of an element.
  static let attributes = 256
  /// Elements or lists inside each other.
  public static let depth = 128
  /// S-expressions in the atoms of S-expressions.
  static let nesting = 4
}

extension MarkupDocument {
  /// The text at a path in its text form; nil where there is none.
  public func text(at path: String) -> String? {
    (try? MarkupPath(parsing: path)).flatMap { value(at: $0)?.text }
  }
}
