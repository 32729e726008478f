// From which release on something holds, with the point releases of older branches that got it, too.

/// Something that Xen does from a release on: all of `first`, and those of older branches from a
/// point release on.
public struct ReleaseSince: Sendable, Equatable {
  let first: XenRelease
  let backports: [XenRelease]

  /// - Parameters:
  ///   - minor: The first branch of Xen 4 that has it from its first release on.
  ///   - backports: By branch before it, the point release.
  init(_ minor: UInt32, _ backports: [(minor: UInt32, patch: UInt32)] = []) {
    first = XenRelease(4, minor)
    self.backports = backports.map { XenRelease(4, $0.minor, $0.patch) }
  }

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
