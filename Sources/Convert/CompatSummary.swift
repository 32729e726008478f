// The summary of an image that its compatibility depends on, from one pass over its headers.

internal import Bytes
public import Format
public import ImageCheck
public import Stream
public import SystemIO

/// What one pass has found: the summary of the image, and what only compatibility asks for. Bounded like it.
public struct CompatSummary: Sendable {
  /// Lengths of the entries of one type of HVM_CONTEXT.
  struct Entry: Sendable, Equatable {
    let type: UInt16
    let byteCount: Int
  }

  public private(set) var imageSummary = ImageSummary()
  /// What the image is, where it is a legacy one that only old releases read directly.
  public internal(set) var legacy: String?
  /// The longest body of libxc's.
  private(set) var longest: (place: String, byteCount: UInt64)?
  /// The kinds of entries of HVM_CONTEXT, at most 256.
  private(set) var entries: [Entry] = []
  /// Of each parameter of HVM_PARAMS the greatest value, at most 64.
  private(set) var params: [UInt64: UInt64] = [:]
  /// HVM_PARAM_VIRIDIAN.
  private(set) var viridian: UInt64 = 0
  /// The first vCPU's record that is empty.
  private(set) var emptyRecord: String?
  /// The MSRs of HVM_CONTEXT's CPU_MSR or of X86_PV_VCPU_MSRS, at most 64.
  private(set) var msrs: Set<UInt32> = []
  /// The policies' records.
  private(set) var cpuidPolicy: Record?
  private(set) var msrPolicy: Record?
  /// What vCPUs have turned on, at most 4096 items.
  private(set) var inUse: [X86StateInUse] = []
  /// What the last checkpoint has left of entries, MSRs and state in use.
  private var earlier: (entries: [Entry], msrs: Set<UInt32>, inUse: [X86StateInUse]) = ([], [], [])
  /// emulator_id of each EMULATOR_CONTEXT.
  private(set) var emulators: Set<UInt32> = []
  /// What verify calls an error.
  private(set) var errors: [Finding] = []

  /// What a summary of the image alone knows.
  public init(_ imageSummary: ImageSummary = ImageSummary()) { self.imageSummary = imageSummary }

  /// Walks over the whole image, with the rules of verify.
  public init(_ source: Source) throws {
    var none: CompatPlan?
    try self.init(source, &none)
  }

  /// As above, and finds in the same pass what a conversion for `release` would do. The plan is nil for
  /// a release that nothing is converted for, and for a legacy image.
  public static func planned(
    _ source: Source, for release: XenRelease, on host: HostDescription? = nil,
    isLossy: Bool = false
  ) throws -> (summary: CompatSummary, plan: CompatPlan?) {
    var plan =
      ReleaseFit.refusal(of: release) == nil
      ? CompatPlan(ReleaseFit(release, host: host, isLossy: isLossy)) : nil
    let summary = try CompatSummary(source, &plan)
    return (summary, summary.legacy == nil ? plan : nil)
  }

  private init(_ source: Source, _ plan: inout CompatPlan?) throws {
    var summary = CompatSummary()
    var planning = plan
    let report = try Verifier(source) {
      summary.addBody($0)
      planning?.add($0)
    }.run()
    if let finding = report.findings.first(where: { $0.ruleID == "stream.unsupported" }),
      finding.problem.contains("legacy libxc stream")
    {
      legacy = "a legacy libxc stream"
      return
    }
    for finding in report.findings {
      guard let kind = CompatSummary.unreadable[finding.ruleID] else { continue }
      throw StreamError(
        kind, path: source.path, offset: finding.offset, place: finding.place, finding.problem)
    }
    self = summary
    imageSummary = report.imageSummary
    errors = report.findings.filter { $0.severity == .error }
    planning?.finish(like: self)
    plan = planning
  }

  /// What is the same of an image after a conversion: how it ended, and what verify has to say of it but
  /// for versions and byte orders.
  fileprivate mutating func finish(like source: CompatSummary) {
    imageSummary.finish(source.imageSummary.ending, at: source.imageSummary.byteCount)
    errors = source.errors.filter { !CompatSummary.formatRules.contains($0.ruleID) }
  }

  /// Rules that say no more than that no release reads a version or byte order.
  private static let formatRules: Set<String> = [
    "image-header.version", "image-header.endianness", "libxl-header.endianness",
  ]

  /// What verify says of a stream that cannot be read on.
  private static let unreadable: [String: StreamError.Kind] = [
    "stream.truncated": .truncated, "stream.bad_stream": .malformed,
    "stream.unsupported": .unsupported, "stream.limit": .limit,
  ]

  /// Adds one part, in the order of the stream.
  public mutating func add(_ part: StreamElement) {
    imageSummary.add(part)
    addBody(part)
  }

  private mutating func addBody(_ part: StreamElement) {
    guard case .record(let record) = part else { return }
    let order = record.context.order
    if record.type.layer == .libxc, record.length > longest?.byteCount ?? 0 {
      longest = (record.place, record.length)
    }
    // Of several in one checkpoint Xen reads the last.
    if record.type == .hvmContext { (entries, msrs, inUse) = earlier }
    if inUse.count < 4096 { inUse += X86StateInUse.all(in: record) }
    if record.isEmptyVCPUState, emptyRecord == nil { emptyRecord = record.place }
    switch record.type {
    case .checkpoint: earlier = (entries, msrs, inUse)
    case .x86CPUIDPolicy where record.length <= 24 * 256: cpuidPolicy = record
    case .x86MSRPolicy where record.length <= 16 * 64: msrPolicy = record
    case .hvmContext:
      for entry in Format.entries(of: HVMRecords.chain, in: record.body, 0..<record.body.count) {
        let kind = Entry(type: entry.type, byteCount: entry.byteCount)
        if entries.count < 256, !entries.contains(kind) { entries.append(kind) }
        guard entry.type == 20, entry.byteCount >= 8 else { continue }
        let first = entry.offset + 8
        for offset in stride(from: first, through: entry.offset + entry.byteCount - 16, by: 16)
        where msrs.count < 64 {
          msrs.insert(record.body.load(offset, as: UInt32.self))
        }
      }
    case .hvmParams:
      for offset in stride(from: 8, to: record.body.count - 15, by: 16) {
        let index = record.body.load(offset, as: UInt64.self, order)
        let value = record.body.load(offset + 8, as: UInt64.self, order)
        // libxc sets the parameter of the low 32 bits.
        let parameter = index & 0xFFFF_FFFF
        if params.count < 64 || params[parameter] != nil {
          params[parameter] = max(params[parameter] ?? 0, value)
        }
        if parameter == HVMParams.viridianIndex { viridian |= value }
      }
    case .x86PVVCPUMSRs:
      for offset in stride(from: 8, through: record.body.count - 16, by: 16)
      where msrs.count < 64 {
        msrs.insert(record.body.load(offset, as: UInt32.self))
      }
    case .emulatorContext:
      if record.body.count >= 4, emulators.count < 16 {
        emulators.insert(record.body.load(0, as: UInt32.self, order))
      }
    case .qemuTrad, .qemuXen: emulators.insert(record.qemuID)
    default: break
    }
  }
}

extension Record {
  /// Whether it is a vCPU's state in which there is nothing but the vCPU's number.
  var isEmptyVCPUState: Bool {
    length == 8 && type != .vcpuContext && RecordSchemas.of(type)?.perVCPU == true
  }
}

/// What `convert --for-xen` would do to an image, and what a release says of the result.
public struct CompatPlan: Sendable {
  private var fit: ReleaseFit
  private var after = CompatSummary()

  init(_ fit: ReleaseFit) { self.fit = fit }

  /// What would be done, in the order of the stream; what must not be done is `refused`.
  public var changes: [ReleaseChange] { fit.changes }

  /// What speaks for and against a restore of the result.
  public var reasons: [CompatReason] {
    Compat.check(after, for: fit.release, on: fit.host)
      // The result is little-endian.
      .filter { $0.subject != "byte order" }
  }

  /// Whether there would be a result, and the release would restore it.
  public var isPossible: Bool { fit.firstRefusal == nil && Compat.isCompatible(reasons) }

  fileprivate mutating func add(_ part: StreamElement) {
    switch part {
    case .header(let header):
      var header = fit.fit(header)
      if header.kind == .image, let version = header.unsigned("version") {
        let own = fit.traits.version
        header.bytes.store(12, UInt32(own), .big)
        if UInt64(own) != version { fit.note(.set, "version", "\(version) -> \(own)") }
      }
      after.add(.header(header))
    case .record(let record): if let record = fit.fit(record) { after.add(.record(record)) }
    case .trailing: after.add(part)
    }
  }

  fileprivate mutating func finish(like source: CompatSummary) { after.finish(like: source) }
}
