// Restoring a domain from a stream. Xen: tools/libs/guest/xg_sr_restore.c.

internal import Bytes
public import Format
internal import Stream
public import SystemIO

/// Whoever wants to know how a restore continues.
public protocol RestoreObserver: AnyObject {
  /// Called once, when the stream's headers have been read.
  func begin(_ guest: GuestType, xenMajor: UInt32, xenMinor: UInt32)
  /// Called once, before the builder is told: static data that the stream does not have.
  func staticDataDone(missing: [RecordType])
  /// Called once at the end of every restore.
  func end(_ outcome: SaveOutcome)
}

/// One restore of one stream into one domain.
public final class Restore {
  private let source: Source
  private let builder: any DomainBuilder
  private let isCheckpointed: Bool
  private let observer: (any RestoreObserver)?
  private var reader: StreamReader
  private var populated: [UInt64] = []
  private var seen: Set<RecordType> = []
  private var hasStaticData = false
  private var isVerifying = false
  private let pages = PageAlignedBuffer(capacity: 1024 * pageByteCount)
  private var result = RestoreResult()

  /// Records of a checkpoint that is not complete yet.
  private var buffered: [(record: Record, pages: PageAlignedBuffer?)] = []

  /// A restore that has not begun. `isCheckpointed`: the stream has no END, but checkpoints; when it
  /// stops, the last one that is complete counts.
  public init(
    _ source: Source, into builder: any DomainBuilder, isCheckpointed: Bool = false,
    observer: (any RestoreObserver)? = nil
  ) {
    self.observer = observer
    self.source = source
    self.builder = builder
    self.isCheckpointed = isCheckpointed
    reader = StreamReader(source)
  }

  /// Restores. Call it once. Nothing after the libxc stream's END is read where that is the
  /// outermost layer and the source is a pipe.
  public func run() throws -> RestoreResult {
    do {
      try readAll()
      try builder.complete()
    } catch {
      builder.discard()
      var error = XensaveError(error)
      error.stage = error.stage ?? "\(Step.restore)"
      observer?.end(.failed("\(error)"))
      throw error
    }
    observer?.end(.complete)
    return result
  }

  private func readAll() throws {
    while true {
      let part: StreamElement?
      do { part = try reader.next() } catch {
        // The sender is gone: what it has completed is what there is.
        if isCheckpointed, result.checkpointCount > 0 { return failOver() }
        throw error
      }
      switch part {
      case nil:
        if reader.ending != .end { failOver() }
        return
      case .header(let header): try check(header)
      case .record(let record):
        if record.type == .end, reader.container == .libxc { return }
        try take(record)
        if reader.ending == .cutCheckpoint { return failOver() }
      case .trailing(let trailing):
        if trailing.kind == .cutRecord { failOver() }
        return
      }
    }
  }

  private func failOver() {
    buffered = []
    result.hasFailedOver = true
  }

  private func check(_ header: Header) throws {
    guard header.kind == .domain else { return }
    let type = header.unsigned("type") ?? 0
    guard type == UInt64(builder.guestType.rawValue) else {
      throw XensaveError(
        .unsuitable,
        "expected a stream of an \(builder.guestType.name) guest, got one of type \(type)")
    }
    observer?.begin(
      builder.guestType, xenMajor: UInt32(clamping: header.unsigned("xen_major") ?? 0),
      xenMinor: UInt32(clamping: header.unsigned("xen_minor") ?? 0))
  }

  /// Applies a record, or keeps it for the end of its checkpoint.
  private func take(_ record: Record) throws {
    // With libxl around it, a checkpoint is complete when libxl's part of it is.
    let isCheckpointEnd =
      record.type == .checkpointEnd || (record.type == .checkpoint && reader.container == .libxc)
    if isCheckpointEnd {
      guard isCheckpointed else {
        throw XensaveError(.unsuitable, "\(record.place): the stream was to have no checkpoints")
      }
      let records = buffered
      buffered = []
      for (record, pages) in records { try apply(record, pages ?? self.pages) }
      result.checkpointCount += 1
      return
    }
    guard record.type.layer == .libxc, record.type != .checkpoint else { return }
    // The first checkpoint is applied as it comes: there is nothing yet to fall back to.
    let isBuffering = isCheckpointed && result.checkpointCount > 0
    let buffer = isBuffering && record.type == .pageData ? PageAlignedBuffer(capacity: 4096) : pages
    if record.type == .pageData {
      try load(record, into: buffer)
      if reader.ending != nil { return }
    } else if record.payloadByteCount > 0 {
      // Of an optional record that nobody knows the length does not matter either.
      guard !isIgnored(record) else { return }
      throw XensaveError(.unsuitable, "\(record.place): a body of \(record.length) bytes")
    }
    if isBuffering {
      buffered.append((record, record.type == .pageData ? buffer : nil))
    } else {
      try apply(record, buffer)
    }
  }

  private func isIgnored(_ record: Record) -> Bool {
    record.type.isOptional && RecordSchemas.of(record.type) == nil
  }

  private func load(_ record: Record, into buffer: PageAlignedBuffer) throws {
    guard let table = record.pageTable, !table.hasReservedType, table.reservedBits == 0,
      record.payloadByteCount == UInt64(table.dataCount * pageByteCount)
    else { throw XensaveError(.unsuitable, "\(record.place): table and length do not agree") }
    guard table.highestPFN < UInt64(builder.frameLimit) else {
      throw XensaveError(
        .unsuitable,
        "\(record.place): expected pfns below \(UInt64(builder.frameLimit).hex()), got "
          + table.highestPFN.hex())
    }
    try reader.loadPayload(Int(record.payloadByteCount), into: buffer)
  }

  private func apply(_ record: Record, _ buffer: PageAlignedBuffer) throws {
    switch record.type {
    case .pageData:
      try endStaticData()
      try applyPages(record, buffer)
    case .verify: isVerifying = true
    case .staticDataEnd: try endStaticData()
    case .end: break
    default:
      if isIgnored(record) { return }
      if let wrong = record.layout.wrongCount(in: record.body) {
        throw XensaveError(
          .unsuitable,
          "\(record.place), \(wrong.counter): expected \(wrong.held) for a body of "
            + "\(record.body.count) bytes, got \(wrong.said)")
      }
      guard let row = RecordSchemas.of(record.type) else {
        throw XensaveError(.unsuitable, "\(record.place): no record of this type is known")
      }
      if row.phase != .staticData { try endStaticData() }
      seen.insert(record.type)
      let vcpu = row.perVCPU ? record.unsigned("vcpu_id").map { Int($0) } : nil
      if record.type == .hvmParams { remember(record) }
      try builder.setState(record.type, vcpu: vcpu, record.body)
    }
  }

  private func endStaticData() throws {
    guard !hasStaticData else { return }
    hasStaticData = true
    let missing = [RecordType.x86CPUIDPolicy, .x86MSRPolicy].filter { !seen.contains($0) }
    observer?.staticDataDone(missing: missing)
    try builder.staticDataDone(missing: missing)
  }

  private func applyPages(_ record: Record, _ buffer: PageAlignedBuffer) throws {
    let count = record.pageEntryCount ?? 0
    var entries: [PageEntry] = []
    var missing: [UInt64] = []
    var filled: [UInt64] = []
    for index in 0..<count {
      let entry = record.pageEntry(index)
      entries.append(entry)
      if entry.type != .xtab, entry.type != .broken, claim(entry.pfn) { missing.append(entry.pfn) }
      if entry.type.hasData { filled.append(entry.pfn) }
    }
    if !missing.isEmpty { try builder.populate(missing) }
    if !isVerifying { try builder.setTypes(entries) }
    guard !filled.isEmpty else { return }
    let lease = try builder.mapForWriting(filled)
    for index in filled.indices {
      if !isVerifying {
        lease.fill(index, from: buffer, at: index * pageByteCount)
      } else if !lease.isEqual(index, to: buffer, at: index * pageByteCount) {
        result.differingPFNs.append(filled[index])
      }
    }
    result.pageCount += filled.count
  }

  /// Marks a pfn as populated; false if it was.
  private func claim(_ pfn: UInt64) -> Bool {
    let word = Int(pfn >> 6)
    if word >= populated.count {
      populated += [UInt64](repeating: 0, count: word + 1 - populated.count)
    }
    guard populated[word] >> (pfn & 63) & 1 == 0 else { return false }
    populated[word] |= 1 << (pfn & 63)
    return true
  }

  private func remember(_ record: Record) {
    guard let count = record.unsigned("count") else { return }
    // As many as the body holds, whatever its count says.
    for index in 0..<min(Int(count), record.body.count / 16) {
      let value = record.unsigned("param[\(index)].value")
      switch record.unsigned("param[\(index)].index") {
      case 1: result.storePFN = value
      case 17: result.consolePFN = value
      default: break
      }
    }
  }
}

/// What a restore has done.
public struct RestoreResult: Sendable {
  /// Pages that came with contents, each as often as it came.
  public var pageCount = 0
  public var checkpointCount = 0
  /// Whether a checkpointed stream stopped: the domain is that of its last complete checkpoint.
  public var hasFailedOver = false
  /// Pages that a VERIFY round found to be different.
  public var differingPFNs: [UInt64] = []
  /// HVM: the pages of xenstore's ring and of the console.
  public var storePFN: UInt64?
  public var consolePFN: UInt64?
}
