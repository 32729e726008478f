// Saves that Xen's own library does, and that only the policy is asked about.

internal import SystemIO
internal import CXen
internal import Glibc
public import Live

/// Holds the callbacks while C has a pointer to it.
final class CallbackBox {
  let callbacks: ManagerCallbacks
  /// Nil where there are no live rounds.
  private(set) var policy: (any Policy)?
  /// Why the policy gave up.
  private(set) var abortReason: String?
  /// Whether the policy wanted no further checkpoint.
  private(set) var isEnded = false
  private let clock: any SaveClock
  /// Called once where the policy wants what Xen's library does not do.
  var onUnsupported: () -> Void = {}
  private var hasSaidUnsupported = false
  private var recorder: PrecopyRecorder
  private var hasNotifiedSuspended = false
  private var checkpointCount = 0

  init(_ callbacks: ManagerCallbacks) {
    self.callbacks = callbacks
    clock = MonotonicClock()
    recorder = PrecopyRecorder(frameCount: 0)
  }

  init(
    _ callbacks: ManagerCallbacks, _ policy: (any Policy)?, frameCount: Int, clock: any SaveClock
  ) {
    self.callbacks = callbacks
    self.policy = policy
    self.clock = clock
    recorder = PrecopyRecorder(frameCount: frameCount)
  }

  static func of(_ data: UnsafeMutableRawPointer?) -> CallbackBox {
    // Safety: the pointer is that of the box which `withTable` keeps alive.
    guard let data = unsafe data else { preconditionFailure("no callbacks") }
    return unsafe Unmanaged<CallbackBox>.fromOpaque(data).takeUnretainedValue()
  }

  /// C's table of these callbacks, for the time of the call.
  func withTable<R>(_ body: (UnsafePointer<cxen_callbacks>) -> R) -> R {
    var table = unsafe cxen_callbacks()
    if callbacks.suspend != nil {
      unsafe table.suspend = { data in
        let box = unsafe CallbackBox.of(data)
        let begin = box.clock.now
        guard box.callbacks.suspend?() == true else { return 0 }
        box.noteSuspended(box.clock.now - begin)
        return 1
      }
    }
    if policy != nil {
      unsafe table.precopy_policy = { data, iteration, written, dirty in
        unsafe CallbackBox.of(data).decide(Int(iteration), Int(clamping: written), dirty)
      }
    }
    if callbacks.postcopy != nil {
      unsafe table.postcopy = { unsafe CallbackBox.of($0).postcopy() }
    }
    if callbacks.checkpoint != nil {
      unsafe table.checkpoint = { unsafe CallbackBox.of($0).checkpoint() }
    }
    if callbacks.waitCheckpoint != nil {
      unsafe table.wait_checkpoint = { unsafe CallbackBox.of($0).callbacks.waitCheckpoint?() ?? 0 }
    }
    if callbacks.switchEmulatorLogDirty != nil {
      unsafe table.switch_qemu_logdirty = { data, _, isOn in
        unsafe CallbackBox.of(data).callbacks.switchEmulatorLogDirty?(isOn != 0) ?? -1
      }
    }
    if callbacks.staticDataDone != nil {
      unsafe table.static_data_done = { data, missing in
        unsafe CallbackBox.of(data).callbacks.staticDataDone?(missing) ?? -1
      }
    }
    if callbacks.restoreResults != nil {
      unsafe table.restore_results = { data, store, console in
        unsafe CallbackBox.of(data).callbacks.restoreResults?(store, console)
      }
    }
    unsafe table.data = Unmanaged.passUnretained(self).toOpaque()
    return withExtendedLifetime(self) { unsafe body(&table) }
  }

  private func decide(_ iteration: Int, _ written: Int, _ dirty: Int) -> Int32 {
    guard var policy else { return 0 }
    let verdict = recorder.decide(
      &policy, iteration: iteration, totalWritten: written, dirtyCount: dirty < 0 ? nil : dirty,
      now: { clock.now })
    self.policy = policy
    if !hasSaidUnsupported, policy.measures != RoundMeasures() {
      hasSaidUnsupported = true
      onUnsupported()
    }
    if case .abort(let reason) = verdict { abortReason = reason }
    return Int32(verdict.code)
  }

  /// Xen asks for each checkpoint; a policy hears of the end of its rounds.
  private func noteSuspended(_ nanoseconds: UInt64) {
    recorder.noteSuspend(nanoseconds)
    guard !hasNotifiedSuspended else { return }
    hasNotifiedSuspended = true
    policy?.suspended(recorder.stats)
  }

  private func postcopy() -> Int32 {
    let answer = callbacks.postcopy?() ?? 0
    checkpointCount += 1
    if answer > 0 { policy?.postcopy() }
    return answer
  }

  /// Called after `postcopy`; with COLO before it, where it is not for a policy to say no.
  private func checkpoint() -> Int32 {
    if callbacks.waitCheckpoint == nil,
      policy?.checkpoint(recorder.stats, count: checkpointCount) == false
    {
      isEnded = true
      return 0
    }
    return callbacks.checkpoint?() ?? 0
  }
}

/// A save by xc_domain_save: of PV domains, whose page tables it translates, and of what the native
/// loop does not do. Xen switches log-dirty off itself, however it ends.
public struct DelegatedSave {
  public var isLive: Bool
  public var isVerifying = false
  public var streamType = StreamKind.plain
  /// COLO: where the other side's dirty pages come from; -1 for nowhere.
  public var backDescriptor: Int32 = -1
  /// Gets a line for people where the policy wants more than the library's callback can say.
  public var onWarning: (String) -> Void = { _ in }
  /// Where the times of the policy's statistics are from.
  public var clock: any SaveClock = MonotonicClock()

  public init(isLive: Bool) { self.isLive = isLive }

  /// Writes the stream into `descriptor`, blocking. `policy` decides on live rounds.
  public func run(
    _ domain: XenDomain, to descriptor: Int32, policy: any Policy, _ callbacks: ManagerCallbacks
  ) throws {
    let info = try domain.info()
    let count = try domain.frameCount()
    var policy: (any Policy)? = isLive ? policy : nil
    policy?.begin(info, frameCount: count)
    let box = CallbackBox(callbacks, policy, frameCount: count, clock: clock)
    box.onUnsupported = {
      onWarning(
        "Xen's library sends the rounds: of the policy's answers it takes continue, stop and abort only"
      )
    }
    let flags: UInt32 = (isLive ? 1 : 0) | (isVerifying ? 2 : 0)
    let result = unsafe box.withTable {
      unsafe cxen_save(
        domain.host.xen, descriptor, domain.id, flags, $0, streamType.rawValue, backDescriptor)
    }
    let errorNumber = errno
    policy = box.policy
    guard result == 0 || box.isEnded else {
      if let reason = box.abortReason {
        policy?.end(.aborted(reason))
        throw XensaveError(.aborted, "the policy gave up" + (reason.isEmpty ? "" : ": " + reason))
      }
      let error = XensaveError(
        .state, errorNumber,
        "xc_domain_save failed: \(unsafe String(cString: strerror(errorNumber)))")
      policy?.end(.failed("\(error)"))
      throw error
    }
    policy?.end(.complete)
  }
}
