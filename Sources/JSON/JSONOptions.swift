// What a text may ask of the reader before it is refused.

/// Limits and choices of the reader.
public struct JSONOptions: Sendable, Equatable {
  /// What to do about two members of one object with the same name.
  public enum DuplicateNames: Sendable, Equatable {
    /// `JSONError.Kind.duplicateName`.
    case reject
    /// Keep both. Lookups by name find the first, as libxl's do (libxl_json.c,
    /// libxl__json_map_get).
    case keep
  }

  /// What to do about text after the value.
  public enum TrailingText: Sendable, Equatable {
    /// `JSONError.Kind.trailingText`.
    case reject
    /// Pass over it, whatever it is, as libxl does.
    case ignore
  }

  /// The highest `depthLimit` that is honoured: values are built by recursion, and this depth
  /// fits the smallest stack a thread gets.
  public static let highestDepthLimit = 512

  /// How many arrays and objects may be open at a time; 1 to `highestDepthLimit`.
  public private(set) var depthLimit: Int
  /// How many bytes a text may have.
  public var byteLimit: Int
  /// What to do about duplicate names.
  public var duplicateNames: DuplicateNames
  /// What to do about text after the value.
  public var trailingText: TrailingText

  /// Makes options; `depthLimit` is brought into its range.
  public init(
    depthLimit: Int = 64, byteLimit: Int = 1 << 20, duplicateNames: DuplicateNames = .reject,
    trailingText: TrailingText = .reject
  ) {
    self.depthLimit = min(max(depthLimit, 1), Self.highestDepthLimit)
    self.byteLimit = byteLimit
    self.duplicateNames = duplicateNames
    self.trailingText = trailingText
  }
}
