// A release of Xen, and from which release on something holds.

/// A release by its numbers: 4.17, or the point release 4.17.3.
public struct XenRelease: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let major: UInt32
  public let minor: UInt32
  /// The number of the point release; nil for all of a branch.
  public let patch: UInt32?

  public init(_ major: UInt32, _ minor: UInt32, _ patch: UInt32? = nil) {
    self.major = major
    self.minor = minor
    self.patch = patch
  }

  /// Reads "4.17" or "4.17.3"; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    let components = parts.compactMap { UInt32($0) }
    guard (2...3).contains(parts.count), components.count == parts.count else { return nil }
    self.init(components[0], components[1], components.count == 3 ? components[2] : nil)
  }

  /// By branch: point releases of one branch are neither less nor greater.
  public static func < (a: XenRelease, b: XenRelease) -> Bool {
    (a.major, a.minor) < (b.major, b.minor)
  }

  public var description: String { "\(major).\(minor)" + (patch.map { ".\($0)" } ?? "") }

  /// All point releases of it.
  public var branch: XenRelease { XenRelease(major, minor) }

  /// The branches that are known: the oldest and the newest.
  public static let known = XenRelease(3, 0)...XenRelease(4, 22)

  /// Whether it is of a branch that is known. Between 3.4 and 4.0 there is none.
  public var isKnown: Bool { XenRelease.known.contains(branch) && (major == 4 || minor <= 4) }

  /// The branch before it: the one whose images it has to read. Before 4.0 came 3.4.
  public var previous: XenRelease {
    if minor > 0 { return XenRelease(major, minor - 1) }
    return major == 4 ? XenRelease(3, 4) : XenRelease(major == 0 ? 0 : major - 1, 0)
  }
}

/// Something that Xen does from a release on: all of `first`, and those of older branches from a
/// point release on.
public struct ReleaseSince: Sendable, Equatable, ExpressibleByIntegerLiteral {
  private let first: XenRelease
  private let backports: [XenRelease]

  /// - Parameters:
  ///   - minor: The first branch of Xen 4 that has it from its first release on.
  ///   - backports: By branch before it, the point release.
  public init(_ minor: UInt32, _ backports: [(minor: UInt32, patch: UInt32)] = []) {
    first = XenRelease(4, minor)
    self.backports = backports.map { XenRelease(4, $0.minor, $0.patch) }
  }

  /// All from the first release of a branch of Xen 4 on: `12` is 4.12, and 0 is all of Xen 4.
  public init(integerLiteral minor: UInt32) { self.init(minor) }

  /// What can be said of a release.
  public enum Answer: Sendable, Equatable {
    case yes
    case no
    /// Of a branch: from this point release on.
    case from(XenRelease)
  }

  /// Whether a release does it. Of a whole branch that got it late, it says from when on.
  public func answer(for release: XenRelease) -> Answer {
    if release.branch >= first { return .yes }
    guard let backport = backports.first(where: { $0.branch == release.branch }),
      let since = backport.patch
    else { return .no }
    guard let patch = release.patch else { return .from(backport) }
    return patch >= since ? .yes : .no
  }

  /// Whether a release does it; the newest of its branch where no point release is said.
  public func holds(for release: XenRelease) -> Bool { answer(for: release) != .no }

  /// "4.17.5, 4.18.3 and 4.19".
  public var text: String {
    let all = (backports + [first]).map(\.description)
    guard let last = all.last, all.count > 1 else { return all.joined() }
    return all.dropLast().joined(separator: ", ") + " and " + last
  }
}
