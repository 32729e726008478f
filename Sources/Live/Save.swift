// Saving a domain: the protocol on one screen. Xen: tools/libs/guest/xg_sr_save.c.

internal import Bytes
internal import Format
public import SystemIO
internal import Stream

/// One save of one domain into one sink.
///
/// However it ends, log-dirty is off and the device model no longer reports; a domain that the save
/// suspended runs again if the save failed, and one that was suspended before stays so. After a save
/// that is complete it stands still: the copy is the domain from now on, unless the caller resumes it.
public final class Save {
  public enum Mode {
    /// Rounds while the guest runs, as the policy says.
    case live(any Policy)
    /// The guest stands still from the start.
    case nonLive
    /// Live, and then one checkpoint after another, until `Checkpoints` says no. No END.
    case checkpointed(any Policy, any Checkpoints)
  }

  /// Where a save is, for people.
  public struct Progress: Sendable, Equatable {
    /// Xen's words: "Frames iteration 0".
    public let what: String
    /// Pages looked at, of those of this round; 0 of 0 for an event.
    public let done: Int
    public let total: Int

    public init(what: String, done: Int, total: Int) {
      self.what = what
      self.done = done
      self.total = total
    }
  }

  let domain: any Domain
  let sink: Sink
  private let mode: Mode
  private let isVerifying: Bool
  private let clock: any SaveClock
  private let progress: (Progress) -> Void

  private var step = Step.setup
  private var isDone = false
  private var info: DomainInfo
  private var guest = Guest.hvm
  var sender: PageSender
  var bitmap = PageBitmap(count: 0)
  /// What has been recorded so far: when `run` has thrown, how far the save came and why it ended.
  public private(set) var trace = Trace()
  private var policy: any Policy = XenDefaultPolicy()
  private var hasBegunPolicy = false
  /// Whether it was this save that suspended the domain: only then it may resume it.
  private var hasSuspended = false
  private var mustSwitchEmulator = false
  private var mustDisableLogDirty = false
  private var start: UInt64 = 0
  private var checkpointCount = 0
  private var verifyDirtyCount: Int?
  private var stats = PrecopyStats()
  /// When the records after the last round of pages began.
  private var recordsStart: UInt64 = 0
  let tally = RoundTally()
  var heat = PageHeat(count: 0)
  var canThrottle = true
  /// What a policy wanted and the domain cannot do.
  var warnings: [String] = []

  /// A save that has not begun. `isVerifying` sends all pages a second time for the restorer to
  /// compare (plain saves only). `progress` is called from the save's thread.
  public init(
    _ domain: any Domain, to sink: Sink, mode: Mode, isVerifying: Bool = false,
    clock: any SaveClock = MonotonicClock(), progress: @escaping (Progress) -> Void = { _ in }
  ) {
    self.domain = domain
    self.sink = sink
    self.mode = mode
    self.isVerifying = isVerifying
    self.clock = clock
    self.progress = progress
    info = DomainInfo(
      id: 0, guest: .x86HVM, pageCount: 0, onlineVCPUs: [], xenMajor: 0, xenMinor: 0)
    sender = PageSender(domain, info, .hvm, frameCount: 0, sink: sink, clock: clock)
  }

  /// Saves. Call it once.
  public func run() throws -> SaveResult {
    precondition(!isDone, "a save runs once")
    isDone = true
    start = clock.now
    do {
      try setup()
      try writeHeaders()
      try writeRecords(guest.staticData, .staticData)
      try write(.staticDataEnd)
      try writeRecords(guest.startOfStream, .startOfStream)
      repeat {
        try sendMemory()
        recordsStart = clock.now
        try writeRecords(guest.endOfCheckpoint, .endOfCheckpoint)
        try writeVCPURecords()
      } while try nextCheckpoint()
      if !isCheckpointed {
        step = .end
        progress(Progress(what: "End of stream", done: 0, total: 0))
        try write(.end)
      }
    } catch {
      throw cleanUp(after: error)
    }
    return finish()
  }

  // MARK: - Phases

  private func setup() throws {
    info = try domain.info()
    guard let guest = Guest.of(info.guest) else {
      throw XensaveError(.unsuitable, "a guest of \(info.guest.name) cannot be saved")
    }
    self.guest = guest
    if case .checkpointed(_, let checkpoints) = mode { checkpoints.begin(info) }
    let frameCount = try domain.frameCount()
    if guest.hasEmulator {
      try domain.switchEmulatorLogDirty(true)
      mustSwitchEmulator = true
    }
    bitmap = PageBitmap(count: frameCount)
    sender = PageSender(domain, info, guest, frameCount: frameCount, sink: sink, clock: clock)
    trace = Trace(guest: info.guest, frameCount: frameCount, pageCount: info.pageCount)
    switch mode {
    case .live(let policy), .checkpointed(let policy, _): self.policy = policy
    case .nonLive: return
    }
    policy.begin(info, frameCount: frameCount)
    hasBegunPolicy = true
  }

  private func writeHeaders() throws {
    step = .headers
    var bytes: [UInt8] = []
    bytes.append(integer: UInt64.max, .big)
    bytes.append(integer: Magic.image, .big)
    bytes.append(integer: UInt32(3), .big)
    bytes += [UInt8](repeating: 0, count: 8)
    bytes.append(integer: info.guest.rawValue)
    bytes.append(integer: UInt16(12))
    bytes.append(integer: UInt16(0))
    bytes.append(integer: info.xenMajor)
    bytes.append(integer: info.xenMinor)
    try put(bytes)
    progress(Progress(what: "Start of stream", done: 0, total: 0))
  }

  private func sendMemory() throws {
    switch mode {
    case .nonLive: try sendStopped()
    case .live: try sendLive()
    case .checkpointed:
      if checkpointCount == 0 { try sendLive() } else { try sendDirty(.checkpoint) }
    }
  }

  /// Everything, while the guest stands still.
  private func sendStopped() throws {
    try suspend()
    step = .finalRound
    bitmap.fill()
    try send(.stopped, 0, dirtyCount: bitmap.count, "Frames")
    try verify()
  }

  /// Round after round while the guest runs, and then the rest.
  private func sendLive() throws {
    try enableLogDirty()
    bitmap.fill()
    heat = PageHeat(count: bitmap.count)
    var precopy = Precopy(frameCount: bitmap.count, tally: tally)
    let verdict = try precopy.run(&policy, now: { clock.now }) {
      round, dirty in
      step = .precopy(round: round)
      return try sendRound(round, dirty ?? bitmap.setCount)
    } clean: {
      try cleanRound()
    }
    sender.byteLimit = nil
    sender.skipsDirtyPages = false
    if case .abort(let reason) = verdict {
      throw XensaveError(.aborted, "the policy gave up" + (reason.isEmpty ? "" : ": " + reason))
    }
    stats = precopy.stats
    try sendDirty(.final, stats: stats)
    try verify()
  }

  /// What is dirty when the guest stands still, and what was put off.
  private func sendDirty(_ kind: Trace.Kind, stats: PrecopyStats? = nil) throws {
    try suspend()
    throttle(0)
    if stats != nil { policy.suspended(self.stats) }
    step = .finalRound
    _ = try clean(isFinal: true)
    bitmap.formUnion(sender.deferred)
    sender.deferred.clear()
    let index = kind == .checkpoint ? checkpointCount : (stats?.iteration ?? 0)
    let begin = clock.now
    try send(
      kind, index, dirtyCount: bitmap.setCount,
      kind == .checkpoint ? "Checkpointed save" : "Frames iteration \(index)")
    self.stats.stop.finalRound = clock.now - begin
  }

  /// Everything again, for the restorer to compare.
  private func verify() throws {
    guard isVerifying, !isCheckpointed else { return }
    step = .verify
    try write(.verify)
    bitmap.fill()
    try send(.verify, 0, dirtyCount: bitmap.count, "Frames verify")
    // Only where there was log-dirty; what is dirty now was written by nobody that stood still.
    if mustDisableLogDirty {
      verifyDirtyCount = try domain.peekLogDirty(into: &bitmap).dirtyCount
    }
  }

  /// Ends a checkpoint of a checkpointed stream; whether there is another one.
  private func nextCheckpoint() throws -> Bool {
    guard case .checkpointed(_, let checkpoints) = mode else { return false }
    step = .checkpoint(checkpointCount)
    try checkpoints.willEnd()
    try write(.checkpoint)
    stats.stop.records = clock.now - recordsStart
    stats.byteCount = sink.position
    checkpointCount += 1
    guard try checkpoints.postcopy() else { return false }
    sender.isFinal = false
    policy.postcopy()
    guard policy.checkpoint(stats, count: checkpointCount) else { return false }
    return try checkpoints.checkpoint(checkpointCount)
  }

  // MARK: - Pieces

  private var isCheckpointed: Bool { if case .checkpointed = mode { true } else { false } }

  private func suspend() throws {
    step = .suspend
    let begin = clock.now
    // Of a domain that was suspended when the save began, that is somebody else's work.
    if !self.info.isSuspended { hasSuspended = true }
    try domain.suspend()
    let info = try domain.info()
    guard info.isSuspended else {
      throw XensaveError(
        .notSuspended,
        "expected the domain to be shut down with reason suspend, got "
          + (info.shutdown.map { "\($0)" } ?? "a domain that runs"))
    }
    self.info.onlineVCPUs = info.onlineVCPUs
    sender.isFinal = true
    let end = clock.now
    stats.stop.suspend = end - begin
    trace.suspends.append(.init(begin: begin - start, end: end - start))
    progress(Progress(what: "Domain now suspended", done: 0, total: 0))
  }

  private func enableLogDirty() throws {
    step = .enableLogDirty
    mustDisableLogDirty = true
    do { try domain.enableLogDirty() } catch {
      // Somebody may have left it on: once more, from off.
      do { try domain.disableLogDirty() } catch {}
      try domain.enableLogDirty()
    }
  }

  func clean(isFinal: Bool) throws -> Int {
    let counts = try domain.cleanLogDirty(into: &bitmap, isFinal: isFinal)
    guard counts.frameCount == bitmap.count else {
      throw XensaveError(
        .logDirtyLength, "expected dirty bits of \(bitmap.count) pages, got \(counts.frameCount)")
    }
    return counts.dirtyCount
  }

  /// Sends the dirty pages, or these sets of them one after the other.
  func send(
    _ kind: Trace.Kind, _ index: Int, dirtyCount: Int, _ what: String,
    in parts: [PageBitmap]? = nil
  ) throws {
    let (begin, bytes, pages) = (clock.now, sink.position, sender.pageCount)
    let sets = parts ?? [bitmap]
    let total = sets.reduce(0) { $0 + $1.setCount }
    if total > 0 { progress(Progress(what: what, done: 0, total: total)) }
    var before = 0
    for set in sets where before == 0 || set.setCount > 0 {
      try sender.send(set) { progress(Progress(what: what, done: before + $0, total: total)) }
      before += set.setCount
    }
    if total % PageSender.batchLimit != 0 || total == 0 {
      progress(Progress(what: what, done: total, total: total))
    }
    trace.rounds.append(
      Trace.Round(
        kind: kind, index: index, dirtyCount: dirtyCount, digest: bitmap.digest,
        sentCount: sender.pageCount - pages, bytes: sink.position - bytes,
        begin: begin - start, end: clock.now - start,
        againCount: kind == .live ? heat.againCount : nil))
  }

  private func writeRecords(_ types: [RecordType], _ step: Step) throws {
    self.step = step
    for type in types {
      if let body = try domain.state(type, vcpu: nil) { try write(type, body) }
    }
  }

  private func writeVCPURecords() throws {
    for vcpu in info.onlineVCPUs where !guest.eachVCPU.isEmpty {
      for type in guest.eachVCPU {
        if let body = try domain.state(type, vcpu: vcpu) { try write(type, body) }
      }
    }
  }

  private func write(_ type: RecordType, _ body: [UInt8] = []) throws {
    try put(Record(type, body: body, context: BodyContext()).headBytes)
  }

  private func put(_ bytes: [UInt8]) throws {
    try sink.write(bytes)
    clock.didWrite(bytes.count)
  }

  // MARK: - Ends

  /// Puts everything back; failures are told in words.
  private func putBack(resuming: Bool) -> [String] {
    var aftermath: [String] = []
    func attempt(_ what: String, _ body: () throws -> Void) {
      do { try body() } catch { aftermath.append("\(what) failed: \(error)") }
    }
    if mustDisableLogDirty {
      attempt("switching log-dirty off") { try domain.disableLogDirty() }
    }
    if tally.throttle != 0 {
      attempt("giving the guest its processors back") { try domain.throttle(0) }
      tally.throttle = 0
    }
    if mustSwitchEmulator {
      attempt("switching the device model's log-dirty off") {
        try domain.switchEmulatorLogDirty(false)
      }
    }
    if resuming, hasSuspended {
      attempt("resuming the domain") {
        if try domain.info().isSuspended { try domain.resume() }
      }
    }
    return aftermath
  }

  private func cleanUp(after error: any Error) -> XensaveError {
    var error = XensaveError(error)
    error.stage = "\(step)"
    error.aftermath = putBack(resuming: true)
    trace.end = clock.now - start
    trace.outcome = error.word
    if hasBegunPolicy {
      if error.code == .aborted {
        policy.end(.aborted(error.message))
      } else {
        policy.end(.failed("\(error)"))
      }
    }
    return error
  }

  private func finish() -> SaveResult {
    progress(Progress(what: "Complete", done: 0, total: 0))
    // A checkpointed save that was ended leaves the guest running; a plain one leaves it standing.
    let aftermath = warnings + putBack(resuming: isCheckpointed)
    if hasBegunPolicy { policy.end(.complete) }
    trace.end = clock.now - start
    trace.outcome = "complete"
    return SaveResult(
      trace: trace, byteCount: sink.position, pageCount: sender.pageCount,
      pageRecordCount: sender.recordCount, checkpointCount: checkpointCount,
      hasSuspended: hasSuspended, verifyDirtyCount: verifyDirtyCount, aftermath: aftermath)
  }
}

/// What a save has done.
public struct SaveResult: Sendable {
  public let trace: Trace
  /// Bytes in the sink.
  public var byteCount: UInt64
  /// Pages that were sent with their contents, each as often as it was sent.
  public let pageCount: Int
  public let pageRecordCount: Int
  public let checkpointCount: Int
  /// Whether it was the save that suspended the domain; if not, it is not the save's to resume.
  public let hasSuspended: Bool
  /// Pages that were dirty after a verify round of a live save.
  public let verifyDirtyCount: Int?
  /// What could not be put back as it was; the image is good all the same.
  public let aftermath: [String]

  /// Of a save that something else than `Save` has done.
  public init(
    trace: Trace, byteCount: UInt64, pageCount: Int, checkpointCount: Int, hasSuspended: Bool,
    aftermath: [String]
  ) {
    self.init(
      trace: trace, byteCount: byteCount, pageCount: pageCount, pageRecordCount: 0,
      checkpointCount: checkpointCount, hasSuspended: hasSuspended, verifyDirtyCount: nil,
      aftermath: aftermath)
  }

  init(
    trace: Trace, byteCount: UInt64, pageCount: Int, pageRecordCount: Int, checkpointCount: Int,
    hasSuspended: Bool, verifyDirtyCount: Int?, aftermath: [String]
  ) {
    self.trace = trace
    self.byteCount = byteCount
    self.pageCount = pageCount
    self.pageRecordCount = pageRecordCount
    self.checkpointCount = checkpointCount
    self.hasSuspended = hasSuspended
    self.verifyDirtyCount = verifyDirtyCount
    self.aftermath = aftermath
  }

  /// Rounds that were sent while the guest ran.
  public var liveRoundCount: Int { trace.rounds.count { $0.kind == .live } }
  /// Nanoseconds from the guest standing still to the end of a plain stream.
  public var downtime: UInt64 { trace.downtime }
}
