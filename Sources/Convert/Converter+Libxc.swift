// The libxc stream: its headers and records from one version and byte order to another.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream

/// Where the conversion of the libxc stream is.
struct LibxcState {
  var source = VersionTraits.all[0]
  var target = VersionTraits.all[0]
  var order = ByteOrder.little
  /// The domain header, while the release that it has to say may still come (draft B).
  var waitingDomain: Header?
  /// Number of the record that the release was taken from.
  var releaseIndex: Int?
  /// Whether STATIC_DATA_END has been written.
  var hasStaticDataEnd = false
  /// Records of vCPUs that wait for the VCPU_INFO before them.
  var heldVCPUs: [[UInt8]] = []
  var heldByteCount = 0
  var greatestVCPU: UInt32?
  /// What the source's VCPU_INFO says.
  var vcpuInfo: UInt32?

  static let heldLimit = 16 << 20
}

extension Converter {
  // MARK: - Headers

  mutating func convertImage(_ header: Header) throws {
    let version = reader.version ?? 0
    guard let source = VersionTraits.of(version),
      let target = VersionTraits.of(conversion.version ?? version)
    else {
      throw refusal(
        header.kind.title, "version: expected 1, 2 or 3, got \(conversion.version ?? version)")
    }
    guard !hasLibxc || self.source == self.target else {
      throw refusal(
        header.kind.title, "a second libxc stream, for which \(self.target) has no place")
    }
    hasLibxc = true
    libxc = LibxcState()
    libxc.source = source
    libxc.target = target
    libxc.order = conversion.order ?? reader.libxcContext.order
    var bytes = header.bytes
    bytes.store(12, UInt32(target.version), .big)
    let options = bytes.load(16, as: UInt16.self, .big)
    bytes.store(16, options & ~1 | (libxc.order == .big ? 1 : 0), .big)
    try emitter.put(bytes)
  }

  mutating func convertDomain(_ header: Header) throws {
    let guest = reader.guest
    guard libxc.source.version == libxc.target.version || guest == .x86PV || guest == .x86HVM else {
      let arch = header.unsigned("arch") ?? UInt64(DraftB.archX86)
      throw refusal(
        header.kind.title,
        arch == UInt64(DraftB.archX86)
          ? "type: expected 1 (x86 PV) or 2 (x86 HVM), got \(header.unsigned("type") ?? 0)"
          : "arch: expected 1 (x86), got \(arch): only x86 guests have a final format")
    }
    if libxc.source.domainHeader == libxc.target.domainHeader {
      return try emitter.put(header.bytes(in: libxc.order))
    }
    if header.kind == .draftDomain {
      libxc.waitingDomain = header
      return
    }
    var out: [UInt8] = []
    out.append(integer: DraftB.archX86, libxc.order)
    out.append(integer: UInt16(truncatingIfNeeded: guest?.rawValue ?? 0), libxc.order)
    let final = header.bytes(in: libxc.order)
    try emitter.put(out + final[4..<8])
    // The release that the review of draft B asked for has no place in its header.
    try emitter.put(
      Record(
        .xenVersion, body: Array(final[8..<16]), context: BodyContext(order: libxc.order),
        framing: .draftB))
  }

  /// Writes the final domain header of a draft B stream. `record` is the first after the draft's.
  private mutating func writeWaitingDomain(_ record: Record) throws {
    guard let header = libxc.waitingDomain else { return }
    libxc.waitingDomain = nil
    let release = conversion.xenRelease ?? XenRelease(0, 0)
    var out: [UInt8] = []
    out.append(integer: reader.guest?.rawValue ?? 0, libxc.order)
    out += header.bytes(in: libxc.order)[4..<8]
    if record.type == .xenVersion, record.length == 8 {
      libxc.releaseIndex = record.index
      out += record.body(in: libxc.order)
    } else {
      out.append(integer: release.major, libxc.order)
      out.append(integer: release.minor, libxc.order)
    }
    try emitter.put(out)
  }

  // MARK: - Records

  mutating func convertLibxc(_ record: Record) throws {
    try writeWaitingDomain(record)
    if record.row?.perVCPU != true { try writeHeldVCPUs() }
    try writeStaticDataEnd(before: record)
    switch record.type {
    case .staticDataEnd: libxc.hasStaticDataEnd = true
    case .vcpuContext: note(vcpu: record)
    case .vcpuInfo:
      if record.body.count >= 4 {
        libxc.vcpuInfo = record.body.load(0, as: UInt32.self, record.context.order)
      }
    case .checkpoint where target == .xenopsd:
      throw refusal(record.place, "xenopsd has no checkpointed streams")
    case .end, .checkpoint: try checkVCPUInfo(record)
    default: break
    }
    try put(record)
    switch record.type {
    case .checkpoint: try endCheckpoint()
    case .end: if source == .libxc { try endOuter() }
    default: break
    }
  }

  /// Writes one record in the version and order of the result, if it has a place there.
  private mutating func put(_ record: Record) throws {
    let target = libxc.target
    let isSameVersion = target.version == libxc.source.version
    if isSameVersion, record.context.order == libxc.order, !isRefitted {
      return try emitter.keep(record, from: &reader)
    }
    guard let type = try self.type(of: record) else { return }
    guard record.hasKnownFields || record.context.order == libxc.order else {
      return try lose(record.place, "its fields are not known, so its byte order cannot be turned")
    }
    var body = record.body(in: libxc.order)
    if record.type == .pageData { body = try pages(record, body) }
    let out = Record(
      type, body: body, padding: record.padding, payloadByteCount: record.payloadByteCount,
      context: BodyContext(order: libxc.order), framing: target.framing)
    if target.hasVCPUInfo, !isSameVersion, record.row?.perVCPU == true {
      return try hold(out, record)
    }
    try emitter.put(out, from: &reader)
  }

  /// The type that stands for the record's in the result; nil where it is left out.
  private mutating func type(of record: Record) throws -> RecordType? {
    let target = libxc.target
    guard target.version != libxc.source.version else { return record.type }
    switch record.type {
    case libxc.source.vcpuType: return target.vcpuType
    // Said by the header, and by the vCPUs' own records.
    case .xenVersion where record.index == libxc.releaseIndex: return nil
    case .vcpuInfo where record.length == 8: return nil
    default: break
    }
    if !target.hasEmptyRecords, record.length <= 8,
      RecordSchemas.of(record.type)?.mayBeEmpty == true
    {
      report.note(record.place, "left out: it says nothing", isLoss: false)
      return nil
    }
    if target.holds(record.type) { return record.type }
    // What version 2 says without a record.
    if record.type == .staticDataEnd { return nil }
    try lose(record.place, "\(target.name) has no such record")
    return nil
  }

  /// STATIC_DATA_END stands before the first record that is not static: before memory and the p2m.
  private mutating func writeStaticDataEnd(before record: Record) throws {
    guard libxc.target.needsStaticDataEnd, libxc.source.version != libxc.target.version,
      !libxc.hasStaticDataEnd, record.row?.phase != .staticData,
      !record.type.isOptional
    else { return }
    libxc.hasStaticDataEnd = true
    try emitter.put(
      Record(
        .staticDataEnd, body: [], context: BodyContext(order: libxc.order),
        framing: libxc.target.framing))
  }

  // MARK: - Pages

  /// The pfn table of PAGE_DATA, with pfns of as many bits as the result has.
  private mutating func pages(
    _ record: Record, _ body: [UInt8]
  ) throws -> [UInt8] {
    guard let table = record.pageTable else {
      throw refusal(record.place, "count: the pfn table does not lie in the body")
    }
    guard table.reservedBits != 0, libxc.source.pfnBits != libxc.target.pfnBits,
      let index = (0..<(record.pageEntryCount ?? 0)).first(where: {
        record.pageEntry($0).reservedBits != 0
      })
    else { return body }
    let word = record.pageEntry(index).rawValue
    if libxc.source.pfnBits > libxc.target.pfnBits {
      throw refusal(
        record.place,
        "pfn[\(index)]: \((word & DraftB.pfnMask).hex()) needs more than \(libxc.target.pfnBits) "
          + "bits, which \(libxc.target.name) has for it")
    }
    try lose(
      record.place,
      "pfn[\(index)]: reserved bits \(record.pageEntry(index).reservedBits.hex(2)) would be read "
        + "as part of the pfn")
    var out = body
    for index in 0..<(record.pageEntryCount ?? 0) {
      let entry = record.pageEntry(index)
      out.store(8 + 8 * index, PageEntry(entry.type, pfn: entry.pfn).rawValue, libxc.order)
    }
    return out
  }

  // MARK: - vCPUs

  /// Keeps a vCPU's record until all have come: VCPU_INFO stands before them.
  private mutating func hold(_ out: Record, _ record: Record) throws {
    guard out.payloadByteCount == 0, libxc.heldByteCount + out.body.count <= LibxcState.heldLimit
    else {
      throw refusal(
        record.place,
        "the state of all vCPUs exceeds the limit of \(LibxcState.heldLimit >> 20) MiB")
    }
    note(vcpu: record)
    libxc.heldByteCount += out.body.count + 64
    libxc.heldVCPUs.append(Emitter.bytes(out))
  }

  private mutating func note(vcpu record: Record) {
    guard record.body.count >= 4 else { return }
    let id = record.body.load(0, as: UInt32.self, record.context.order)
    libxc.greatestVCPU = max(libxc.greatestVCPU ?? 0, id)
  }

  private mutating func writeHeldVCPUs() throws {
    guard !libxc.heldVCPUs.isEmpty else { return }
    var body: [UInt8] = []
    body.append(integer: libxc.greatestVCPU ?? 0, libxc.order)
    body.append(integer: UInt32(0), libxc.order)
    try emitter.put(
      Record(.vcpuInfo, body: body, context: BodyContext(order: libxc.order), framing: .draftB))
    for bytes in libxc.heldVCPUs { try emitter.put(record: bytes) }
    libxc.heldVCPUs = []
    libxc.heldByteCount = 0
  }

  /// A VCPU_INFO that says more vCPUs than have a state is known nowhere else.
  private mutating func checkVCPUInfo(_ record: Record) throws {
    guard !libxc.target.hasVCPUInfo, let stated = libxc.vcpuInfo else { return }
    libxc.vcpuInfo = nil
    guard stated != libxc.greatestVCPU else { return }
    try lose(
      "VCPU_INFO",
      "max_vcpu_id \(stated): \(libxc.target.name) has only the vCPUs with a state, of which the "
        + "greatest is \(libxc.greatestVCPU.map { "\($0)" } ?? "none")")
  }
}

extension Record {
  /// What is known of its type.
  fileprivate var row: RecordSchema? { RecordSchemas.of(type) }
}
