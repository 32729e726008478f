// What differs between releases of Xen in the streams that they write and read.

internal import Format

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
