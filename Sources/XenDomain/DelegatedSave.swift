// Saves that Xen's own library does, and that only the policy is asked about.

internal import CXen
internal import Glibc
public import Live

/// Holds the callbacks while C has a pointer to it.
final class CallbackBox {
  let callbacks: ManagerCallbacks
  var policy: (any Policy)?
  var precopy = PolicyState()
  /// Why the policy gave up.
  var abortReason: String?

  init(_ callbacks: ManagerCallbacks, _ policy: (any Policy)?) {
    self.callbacks = callbacks
    self.policy = policy
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
        let isDone = box.callbacks.suspend?() == true
        if isDone { box.noteSuspended() }
        return isDone ? 1 : 0
      }
    }
    if policy != nil {
      unsafe table.precopy_policy = { data, iteration, written, dirty in
        unsafe CallbackBox.of(data).decide(Int(iteration), Int(clamping: written), dirty)
      }
    }
    if callbacks.postcopy != nil {
      unsafe table.postcopy = { unsafe CallbackBox.of($0).callbacks.postcopy?() ?? 0 }
    }
    if callbacks.checkpoint != nil {
      unsafe table.checkpoint = { unsafe CallbackBox.of($0).callbacks.checkpoint?() ?? 0 }
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
    guard policy != nil else { return 0 }
    let stats = precopy.stats(iteration, written, dirty < 0 ? nil : dirty)
    let verdict = policy?.decide(stats) ?? .proceed
    if case .abort(let reason) = verdict { abortReason = reason }
    return Int32(verdict.code)
  }

  private func noteSuspended() {
    if let stats = precopy.last { policy?.suspended(stats) }
  }
}

/// Makes the statistics of a policy from what Xen's library tells: it knows no times.
struct PolicyState {
  private let clock = MonotonicClock()
  private var start: UInt64?
  private var roundStart: UInt64 = 0
  private var lastWritten = 0
  var frameCount = 0
  private(set) var last: PrecopyStats?

  mutating func stats(_ iteration: Int, _ written: Int, _ dirty: Int?) -> PrecopyStats {
    let now = clock.now
    let begin = start ?? now
    start = begin
    var stats = last ?? PrecopyStats()
    stats.iteration = iteration
    stats.totalWritten = written
    stats.dirtyCount = dirty
    stats.frameCount = frameCount
    stats.elapsed = now - begin
    if let dirty {
      if iteration > 0, now > roundStart {
        stats.dirtyRate = Double(dirty) / (Double(now - roundStart) / 1e9)
      }
      roundStart = now
    } else {
      stats.roundTime = now - roundStart
      stats.bandwidth =
        stats.roundTime == 0
        ? 0 : Double(written - lastWritten) / (Double(stats.roundTime) / 1e9)
      lastWritten = written
    }
    last = stats
    return stats
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

  public init(isLive: Bool) { self.isLive = isLive }

  /// Writes the stream into `descriptor`, blocking. `policy` decides on live rounds.
  public func run(
    _ domain: XenDomain, to descriptor: Int32, policy: any Policy, _ callbacks: ManagerCallbacks
  ) throws(LiveError) {
    let info = try domain.info()
    let count = try domain.frameCount()
    var policy: (any Policy)? = isLive ? policy : nil
    policy?.begin(info, frameCount: count)
    let box = CallbackBox(callbacks, policy)
    box.precopy.frameCount = count
    let flags: UInt32 = (isLive ? 1 : 0) | (isVerifying ? 2 : 0)
    let result = unsafe box.withTable {
      unsafe cxen_save(
        domain.host.xen, descriptor, domain.id, flags, $0, streamType.rawValue, backDescriptor)
    }
    let number = errno
    policy = box.policy
    guard result == 0 else {
      if let reason = box.abortReason {
        policy?.end(.aborted(reason))
        throw LiveError(.aborted, "the policy gave up" + (reason.isEmpty ? "" : ": " + reason))
      }
      let error = LiveError(
        .state, number, "xc_domain_save failed: \(unsafe String(cString: strerror(number)))")
      policy?.end(.failed(error.description))
      throw error
    }
    policy?.end(.complete)
  }
}
