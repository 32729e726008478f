// What verifying has to say about an image.

internal import Bytes
public import Format

/// How bad a finding is.
public enum Severity: String, Sendable, Comparable, CaseIterable {
  /// Worth knowing; nothing is wrong.
  case note
  /// Restorers take it, but no saver writes it.
  case warning
  /// A restore fails, or gives a guest that is not the one that was saved.
  case error

  private var rank: Int {
    switch self {
    case .note: 0
    case .warning: 1
    case .error: 2
    }
  }

  public static func < (a: Severity, b: Severity) -> Bool { a.rank < b.rank }
}

/// One rule that one place of an image does not follow.
///
/// Text from the image stands in it only escaped (`printable`): a finding is safe to print.
public struct Finding: Sendable, Equatable, CustomStringConvertible {
  /// The rule's name: "page-data.count".
  public let ruleID: String
  public let severity: Severity
  /// Bytes from the start of the source to the field.
  public let offset: UInt64
  /// "record 17 (X86_TSC_INFO)", "image header", or "" for the whole image.
  public let place: String
  /// The field's path, or "" for the whole place.
  public let field: String
  /// "expected ..., got ...".
  public let problem: String
  /// The releases that refuse it: from here on, and until others take it again.
  public let since: ReleaseSince
  public let until: ReleaseSince?

  /// One line, without the path of the image: that is the caller's to put before it.
  public var description: String {
    let parts = ["offset \(offset.hex())", place, field, problem].filter { !$0.isEmpty }
    return parts.joined(separator: ": ") + " [\(ruleID)]"
  }

  /// Whether a release refuses it. Those before Xen 4 read none of it.
  public func refusal(by release: XenRelease) -> ReleaseSince.Answer {
    if release.major < 4 { return .yes }
    return until?.holds(for: release) == true ? .no : since.answer(for: release)
  }
}
