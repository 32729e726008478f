// What rules keep in mind of the streams under way.

internal import Bytes
internal import Format
internal import Stream

/// Where a record stands, for messages that name two of them.
struct RecordPlace {
  let type: RecordType
  let index: Int
  let offset: UInt64

  init(_ record: Record) {
    type = record.type
    index = record.index
    offset = record.offset
  }

  var name: String { "record \(index) (\(type.name))" }
  var text: String { "\(name) at \(offset.hex())" }
}

/// The facts of one libxc stream.
struct LibxcState {
  var guest: GuestType? {
    didSet { if guest == .x86PV { setPolicy() } }
  }
  var version: Int?
  /// The first record of each known type.
  private(set) var first: [RecordType: RecordPlace] = [:]
  /// The greatest end_pfn of X86_PV_P2M_FRAMES.
  private(set) var maxPFN: UInt64?
  private(set) var p2m = P2MFrames()
  /// Types of a PV guest's pages.
  private(set) var pageTypes = PageTypeMap()
  /// The pages that a restore has made.
  private(set) var populated = PopulatedPages()
  /// The last context of each PV vCPU.
  private(set) var contexts: [UInt32: PVContext] = [:]
  private(set) var hasPages = false
  /// What the CPUID and MSR policies say; nil before one of them came. A PV guest has one from the
  /// beginning: it lacks some features whatever they say.
  private(set) var policy: CPUPolicy?
  private var leaves: [CPUIDLeaf] = []
  private var msrs: [UInt32: UInt64] = [:]
  private(set) var checkpoint = CheckpointState()
  /// Parameters that Xen lets be set once, and the value of each that came.
  private(set) var onceParams: [UInt64: UInt64] = [:]
  /// The last ACPI_S_STATE is 3.
  private(set) var isSuspended = false

  func has(_ type: RecordType) -> Bool { first[type] != nil }

  /// Whether Xen has taken the policies: at STATIC_DATA_END or, in version 2, before memory and the
  /// p2m. Xen: xg_sr_restore.c, handle_static_data_end.
  var hasTakenPolicies: Bool {
    has(.staticDataEnd) || has(.pageData) || has(.x86PVP2MFrames)
  }

  /// Adds a record of a known type.
  mutating func add(_ record: Record, _ contents: RecordContents) {
    if first[record.type] == nil { first[record.type] = RecordPlace(record) }
    if record.type == .hvmParams { noteParams(record) }
    if record.type.hasPVRegisters, let vcpu = record.vcpuID, vcpu < ImageSummary.vcpuLimit,
      let context = PVContext(record)
    {
      contexts[vcpu] = context
    }
    switch record.type {
    case .pageData:
      guard let pages = contents.pages else {
        populated.giveUp()
        break
      }
      if pages.dataCount > 0 { hasPages = true }
      populated.observe(record, pages)
      p2m.observe(record, pages)
      if guest == .x86PV { pageTypes.observe(record, pages) }
    case .x86PVP2MFrames:
      if let (_, end) = record.p2mBounds { maxPFN = max(maxPFN ?? 0, end) }
      p2m.add(record, pageTypes, populated)
    case .x86CPUIDPolicy where !hasTakenPolicies:
      leaves = Array(record.cpuidLeaves.prefix(Int(CPUPolicyLimits.leafCount)))
      setPolicy()
    case .x86MSRPolicy where !hasTakenPolicies:
      msrs = Dictionary(
        record.policyMSRs.prefix(Int(CPUPolicyLimits.msrCount)).map { ($0.index, $0.value) },
        uniquingKeysWith: { $1 })
      setPolicy()
    default: checkpoint.add(record)
    }
  }

  /// From now on nothing is known of which pages came.
  mutating func passOverPages() { populated.giveUp() }

  /// Adds a record of an unknown type.
  mutating func addUnknown(_ record: Record) { checkpoint.addUnknown(record) }

  private mutating func setPolicy() {
    policy = CPUPolicy(
      leaves: leaves, msrs: msrs, denying: guest == .x86PV ? CPUIDFeatures.deniedToPV : [])
  }

  /// The contexts of PV vCPUs that came in this checkpoint.
  var newContexts: [(vcpu: UInt32, context: PVContext)] {
    var found: [(vcpu: UInt32, context: PVContext)] = []
    for vcpu in (checkpoint.vcpus[.x86PVVCPUBasic] ?? []).sorted() {
      guard let context = contexts[vcpu], context.record.type == .x86PVVCPUBasic else { continue }
      found.append((vcpu, context))
    }
    return found
  }

  /// Whether a page never came: a PV guest has it only where a page table names it.
  func isAbsent(_ pfn: UInt64) -> Bool {
    pageTypes.type(of: pfn) == .notab && populated.contains(pfn) == false
  }

  private mutating func noteParams(_ record: Record) {
    for param in record.hvmParams {
      let parameter = HVMParams.parameter(param.index)
      if parameter == HVMParams.acpiSState { isSuspended = param.value == 3 }
      if HVMParams.setOnce.contains(parameter), onceParams[parameter, default: 0] == 0 {
        onceParams[parameter] = param.value
      }
    }
  }

  /// Forgets the tail records: each checkpoint brings its own.
  mutating func beginCheckpoint(after record: Record) {
    checkpoint = CheckpointState()
    p2m.noteCheck(at: record)
  }
}

/// The facts of the tail records, since the beginning of the stream or the last CHECKPOINT.
struct CheckpointState {
  private(set) var first: [RecordType: RecordPlace] = [:]
  /// The first record of any vCPU.
  private(set) var firstOfVCPUs: RecordPlace?
  /// The vCPUs with a record of each type, without the empty records.
  private(set) var vcpus: [RecordType: Set<UInt32>] = [:]
  /// The HVM parameters that came: bit n for number n, up to 63.
  private(set) var params: UInt64 = 0
  private(set) var storePFN: UInt64 = 0
  private(set) var consolePFN: UInt64 = 0
  /// The first record of an optional type that nobody knows.
  private(set) var unknown: RecordPlace?

  func has(_ type: RecordType) -> Bool { first[type] != nil }
  func has(_ type: RecordType, vcpu: UInt32) -> Bool { vcpus[type]?.contains(vcpu) ?? false }

  mutating func addUnknown(_ record: Record) {
    if unknown == nil, record.type.isOptional { unknown = RecordPlace(record) }
  }

  mutating func add(_ record: Record) {
    guard let row = RecordSchemas.of(record.type), row.phase == .endOfCheckpoint else { return }
    if first[record.type] == nil { first[record.type] = RecordPlace(record) }
    if row.perVCPU {
      if row.isVCPUStateOfXen, firstOfVCPUs == nil { firstOfVCPUs = RecordPlace(record) }
      if let id = record.vcpuID, id < ImageSummary.vcpuLimit, record.length > 8 {
        // Draft B has the registers in VCPU_CONTEXT.
        let type = record.type == .vcpuContext ? .x86PVVCPUBasic : record.type
        vcpus[type, default: []].insert(id)
      }
    } else if record.type == .hvmParams {
      for (index, value) in record.hvmParams where index < 64 {
        params |= 1 << index
        if index == 1 { storePFN = value }
        if index == 17 { consolePFN = value }
      }
    }
  }
}

/// The facts of the libxl stream.
struct LibxlState {
  /// The first LIBXC_CONTEXT.
  private(set) var context: RecordPlace?
  /// libxc's CHECKPOINT came, and CHECKPOINT_END not yet.
  var isInCheckpoint = false
  /// The record before was CHECKPOINT_END.
  private(set) var isAfterCheckpointEnd = false
  /// Types and emulators of this checkpoint, for the emulators that are known.
  private(set) var emulators: Set<UInt64> = []
  /// The state of a device model came.
  private(set) var hasEmulatorContext = false
  /// The last state of a device model, and the first bytes of what it saved: a restore writes each over the
  /// one before. Xen: tools/libs/light/libxl_stream_read.c, write_emulator_blob.
  private(set) var deviceModel: (record: Record, firstBytes: [UInt8])?

  mutating func note(_ record: Record, _ firstBytes: [UInt8]) {
    deviceModel = (record, firstBytes)
  }

  mutating func add(_ record: Record) {
    isAfterCheckpointEnd = record.type == .checkpointEnd
    if record.type == .emulatorContext { hasEmulatorContext = true }
    switch record.type {
    case .libxcContext: if context == nil { context = RecordPlace(record) }
    case .checkpointEnd:
      isInCheckpoint = false
      emulators = []
    case .emulatorContext, .emulatorXenstoreData:
      if let key = record.emulatorKey { emulators.insert(key) }
    default: break
    }
  }
}

extension CPUIDFeatures {
  /// What Xen gives to HVM guests only, of the features that a PV vCPU's state could need.
  /// Xen: xen/include/public/arch-x86/cpufeatureset.h, those without A or a.
  fileprivate static let deniedToPV: [Bit] = [
    "mpx", "pku", "ibrs", "ipred_ctrl", "rrsba_ctrl", "bhi_ctrl",
  ].compactMap(bit(named:))
}

extension Record {
  /// The parameters of HVM_PARAMS: those that are in the body.
  var hvmParams: some Sequence<(index: UInt64, value: UInt64)> {
    let claimed = body.count >= 8 ? Int(body.load(0, as: UInt32.self, context.order)) : 0
    let count = min(claimed, max(0, body.count - 8) / 16)
    return (0..<count).lazy.map { position in
      (
        index: self.body.load(8 + 16 * position, as: UInt64.self, self.context.order),
        value: self.body.load(16 + 16 * position, as: UInt64.self, self.context.order)
      )
    }
  }

  /// One number for the record's type, emulator_id and index, if they are small.
  var emulatorKey: UInt64? {
    guard body.count >= 8 else { return nil }
    let id = body.load(0, as: UInt32.self, context.order)
    let index = body.load(4, as: UInt32.self, context.order)
    guard id < 16, index < 16 else { return nil }
    return UInt64(type.wireValue) << 16 | UInt64(id) << 8 | UInt64(index)
  }
}
