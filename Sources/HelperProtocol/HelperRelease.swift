// The generations of libxl-save-helper's protocol.

/// A generation: the releases of Xen that number messages and order arguments alike. Libxl and its
/// helper are always of one release.
public enum HelperRelease: Int, Sendable, CaseIterable, Comparable {
  case xen46
  /// 4.7 to 4.9.
  case xen47
  /// 4.10 to 4.13.
  case xen410
  /// 4.14 and all that came after it.
  case xen414

  /// The generation of Xen 4.`minor`; nil for releases without this helper protocol.
  public init?(minor: Int) {
    switch minor {
    case 6: self = .xen46
    case 7...9: self = .xen47
    case 10...13: self = .xen410
    case 14...: self = .xen414
    default: return nil
    }
  }

  public static func < (a: HelperRelease, b: HelperRelease) -> Bool { a.rawValue < b.rawValue }
}

/// What the helper is started for.
public enum HelperSide: String, Sendable, CaseIterable {
  case save = "--save-domain"
  case restore = "--restore-domain"
}
