// What differs between the versions of the libxc stream, as rows.

internal import Format

/// One version of the image header, and what its streams are like.
struct VersionTraits: Sendable {
  let version: Int
  /// "version 3", "draft B".
  let name: String
  let domainHeader: HeaderKind
  let framing: RecordFraming
  /// Whether STATIC_DATA_END has to stand before memory. Spec: libxc-migration-stream,
  /// Compatibility with older versions.
  let needsStaticDataEnd: Bool
  /// Bits of a pfn in PAGE_DATA.
  let pfnBits: UInt64
  /// The type of the record with a PV vCPU's registers.
  let vcpuType: RecordType
  /// Whether VCPU_INFO comes before the vCPUs.
  let hasVCPUInfo: Bool
  /// Whether records may be empty that say nothing (Errata 1: written before Xen 4.9).
  let hasEmptyRecords: Bool

  static let all: [VersionTraits] = [
    VersionTraits(
      version: DraftB.version, name: "draft B", domainHeader: .draftDomain, framing: .draftB,
      needsStaticDataEnd: false, pfnBits: 60, vcpuType: .vcpuContext, hasVCPUInfo: true,
      hasEmptyRecords: true),
    VersionTraits(
      version: 2, name: "version 2", domainHeader: .domain, framing: .plain,
      needsStaticDataEnd: false, pfnBits: 52, vcpuType: .x86PVVCPUBasic, hasVCPUInfo: false,
      hasEmptyRecords: true),
    VersionTraits(
      version: 3, name: "version 3", domainHeader: .domain, framing: .plain,
      needsStaticDataEnd: true, pfnBits: 52, vcpuType: .x86PVVCPUBasic, hasVCPUInfo: false,
      hasEmptyRecords: false),
  ]

  static func of(_ version: Int) -> VersionTraits? { all.first { $0.version == version } }

  /// Whether a stream of this version has records of `type`. Draft B has all, by inference; what
  /// has no layout is for bit 31 to say.
  func holds(_ type: RecordType) -> Bool {
    if version == DraftB.version { return DraftB.type(type.wireValue) == type }
    guard type.layer == .libxc else { return false }
    guard let layout = RecordSchemas.of(type) else { return true }
    return layout.since <= version
  }
}
