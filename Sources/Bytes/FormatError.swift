// The error of the layers that only look at bytes.

/// A value, path or body that the format does not allow. Layers above add where it lies.
public struct FormatError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable, Equatable {
    /// No field, element or record type has this name.
    case unknownName
    /// There is such a name, but nothing of it in this body; the problem continues from the body's name.
    case absent
    /// The value does not fit its field.
    case outOfRange
    /// The body is too short for what is asked of it.
    case truncated
    /// Everything else that the format forbids.
    case invalid
  }

  public let kind: Kind
  /// The path of the field, for example "param[3].value"; empty for the whole body.
  public let field: String
  /// Bytes from the start of the body, where one can be named.
  public let offset: Int?
  /// What was expected and what was found, without a full stop.
  public let problem: String

  public init(_ kind: Kind, field: String = "", offset: Int? = nil, _ problem: String) {
    self.kind = kind
    self.field = field
    self.offset = offset
    self.problem = problem
  }

  public var description: String {
    var place = field
    if let offset { place += (place.isEmpty ? "" : " ") + "(+\(offset))" }
    return place.isEmpty ? problem : "\(place): \(problem)"
  }
}
