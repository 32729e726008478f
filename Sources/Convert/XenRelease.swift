// A release of Xen, and what differs between releases in what they write and read.

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

/// What releases write and read, from one of them on. The last row that is not later than a release
/// is its own.
struct ReleaseTraits: Sendable {
  let since: XenRelease
  /// The version of the libxc stream that it writes; 0 is the legacy format.
  let version: Int
  /// The versions that it reads; 0 by libxl's converter.
  let reads: ClosedRange<Int>
  /// Longest body of a libxc record, in bytes. Xen: xg_sr_common.h, REC_LENGTH_MAX.
  let bodyLimit: UInt64
  /// Mandatory flags of the xl header that it knows. Xen: tools/xl/xl.h.
  let xlFlags: UInt64

  static let all: [ReleaseTraits] = [
    row(0, 0, version: 0, reads: 0...0, bodyLimit: .max, xlFlags: 0),
    row(4, 5, version: 0, reads: 0...0, bodyLimit: .max, xlFlags: 1),
    row(4, 6, version: 2, reads: 0...2, bodyLimit: 8 << 20, xlFlags: 3),
    row(4, 10, version: 2, reads: 0...2, bodyLimit: 128 << 20, xlFlags: 3),
    row(4, 14, version: 3, reads: 0...3, bodyLimit: 128 << 20, xlFlags: 3),
  ]

  private static func row(
    _ major: UInt32, _ minor: UInt32, version: Int, reads: ClosedRange<Int>, bodyLimit: UInt64,
    xlFlags: UInt64
  ) -> ReleaseTraits {
    ReleaseTraits(
      since: XenRelease(major, minor), version: version, reads: reads, bodyLimit: bodyLimit,
      xlFlags: xlFlags)
  }

  static func of(_ release: XenRelease) -> ReleaseTraits {
    all.last { $0.since <= release } ?? all[0]
  }
}
