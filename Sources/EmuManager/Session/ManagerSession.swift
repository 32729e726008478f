// One save or restore: the protocol on one screen.

internal import Glibc
internal import HelperProtocol
internal import Jobs
internal import Live
internal import LuaRuntime
internal import PolicyEngine
internal import Reports
internal import SaveHelper
internal import SystemIO

/// Drives the stock xenguest for xenopsd, in the order of XCP-ng's emu-manager 1.2.1. Where nothing else is
/// said, the texts that xenopsd gets are those of the stock programs.
final class ManagerSession {
  let arguments: ManagerArguments
  let setup: ManagerSetup
  let facts: HelperFacts
  let configuration: HelperConfiguration
  let control: ControlConnection
  let clock: any SaveClock

  var process: XenguestProcess?
  /// xenguest's socket.
  var emp: MessageSocket?
  /// QEMU's, while it is needed: xenopsd wants it too, and QEMU talks to one client.
  var qmp: MessageSocket?
  var filter: HelperFilter?
  var rounds: ManagerRounds?
  var progress = ManagerProgress()
  let lines = FilterLines()

  // What has come from the other programs.
  /// Commands that wait for their answer, and what was refused.
  var (isCommandPending, isQEMUPending) = (false, false)
  var refusal: String?
  var hasGreeting = false
  var isReady = false
  var isComplete = false
  var result: String?
  var isRestoreWanted = false
  var isFilterDone = false
  /// When xenguest last did something.
  var lastActivity: UInt64 = 0
  var activity: UInt64 = 0

  init(
    _ arguments: ManagerArguments, _ setup: ManagerSetup, _ facts: HelperFacts,
    _ configuration: HelperConfiguration, clock: any SaveClock = MonotonicClock()
  ) {
    self.arguments = arguments
    self.setup = setup
    self.facts = facts
    self.configuration = configuration
    self.clock = clock
    control = ControlConnection(input: arguments.controlIn, output: arguments.controlOut)
  }

  /// Does it, and returns the exit status. However it ends, xenguest has ended then.
  func run() -> Int32 {
    var failure: ManagerFailure?
    do {
      if arguments.isRestore { try restore() } else { try save() }
    } catch { failure = cause(of: error) }
    close(after: failure)
    guard let failure else { return 0 }
    log(failure.cause == .aborted ? .info : .error, failure.detail)
    // Of a task that was cancelled nobody wants to hear.
    guard let report = failure.report else { return 0 }
    try? control.send(.error(report))
    if !failure.isTimeout { waitForDone() }
    return 1
  }

  // MARK: - Saving

  private func save() throws {
    let recorder = recorder()
    let record = TracingPolicy.Record(clock: clock)
    var outcome = SaveOutcome.complete
    defer {
      rounds?.end(outcome)
      if rounds != nil { recorder?.trace = record.trace }
      if case .failed = outcome { recorder?.fail("failed") }
      write(recorder)
    }
    if arguments.isLive {
      rounds = ManagerRounds(
        TracingPolicy(policy(), record), domain: arguments.domain, isPV: arguments.isPV,
        clock: clock)
    }
    do {
      try start()
      if arguments.isLive { try saveLive(record) } else { try saveNonLive() }
      try control.send(.saved)
    } catch {
      if case .abort(let reason)? = rounds?.verdict {
        outcome = .aborted(reason)
      } else {
        outcome = .failed(cause(of: error).detail)
      }
      throw error
    }
  }

  private func saveLive(_ record: TracingPolicy.Record) throws {
    try call(.trackDirty)
    try call(.progress)
    try switchQEMUDirtyLog()
    try ask(.prepare(EMPEvent.emulator))
    try call(.live)
    try waitForRounds()
    // Now, and not when the guest stands still: else xenguest would send rounds while it suspends.
    try call(.pause)
    var problem: (any Error)?
    var callbacks = ManagerCallbacks()
    callbacks.suspend = {
      do { try self.ask(.suspend) } catch {
        problem = error
        return false
      }
      return true
    }
    _ = record.recording(callbacks).suspend?()
    if let problem { throw problem }
    try call(.paused)
    // Now that xenguest sends the rest: nobody is to wait for a script.
    rounds?.suspended()
    try waitForEnd()
  }

  /// The guest stands still from the start: a suspend.
  private func saveNonLive() throws {
    try call(.pause)
    try ask(.suspend)
    try call(.paused)
    try ask(.prepare(EMPEvent.emulator))
    try call(.nonLive)
    try waitForEnd()
  }

  // MARK: - Restoring

  private func restore() throws {
    try start()
    // xenopsd sends it when it comes to the record in the image, however long that takes.
    try wait("restore:xenguest of xenopsd", for: nil) { self.isRestoreWanted }
    try filter?.begin()
    try call(.restore)
    try waitForEnd()
    try control.send(.restored(EMPEvent.emulator, result: result))
  }

  // MARK: - Parts of both

  /// Starts xenguest and gives it the stream, or the end of the filters' pipe.
  private func start() throws {
    let limits = setup.limits
    process = try XenguestProcess(setup.xenguest, domain: arguments.domain)
    try wait("xenguest's being ready", for: limits.ready) { self.isReady }
    emp = try MessageSocket(
      connectingTo: setup.xenguestSocket + "\(arguments.domain)", emulator: EMPEvent.emulator,
      limit: 4096)
    if arguments.hasQEMU, arguments.isLive, !arguments.isRestore {
      qmp = try MessageSocket(
        connectingTo: setup.qemuSocket + "\(arguments.domain)", emulator: QMPMessage.emulator,
        limit: 65536)
    }
    let stream = try streamForXenguest()
    try call(.initialize, passing: stream)
    if let filter {
      filter.handOver()
      if !arguments.isRestore { try filter.begin() }
    } else {
      // Xenguest has its own: whoever is at the other end hears of its death at once.
      _ = Glibc.close(arguments.stream)
    }
    if !arguments.xenguestArguments.isEmpty { try setArguments() }
    if qmp != nil {
      try wait("QEMU's greeting", for: limits.command) { self.hasGreeting }
      try ask(.capabilities)
      try report()
    }
  }

  private func streamForXenguest() throws -> Int32 {
    guard !configuration.filters.isEmpty else { return arguments.stream }
    for script in configuration.filters { log(.debug, "filter \(script.path)") }
    let lines = lines
    let filter = try HelperFilter(
      configuration.filters, isRestore: arguments.isRestore, stream: arguments.stream,
      isCopying: true, unknown: configuration.unknownRecords(otherwise: .refuse)
    ) { lines.add($0, $1) }
    self.filter = filter
    return filter.descriptor
  }

  /// The node of memory is a wish: there are releases of xenguest that do not know it.
  private func setArguments() throws {
    do { try call(.setArguments, arguments.xenguestArguments) } catch {
      let others = arguments.xenguestArguments.filter { $0.name != "mem_pnode" }
      guard refusal != nil, others != arguments.xenguestArguments else { throw error }
      log(.warning, "xenguest does not know mem_pnode: its memory may be of any node")
      if !others.isEmpty { try call(.setArguments, others) }
    }
  }

  private func switchQEMUDirtyLog() throws {
    guard let qmp else { return }
    try ask(.globalDirtyLog(true))
    qmp.close()
    self.qmp = nil
  }

  // MARK: - Configuration

  /// The policy of the configuration. One that cannot be had does not stop a save.
  private func policy() -> any Policy {
    let log = log
    if let script = configuration.policy {
      do {
        let policy = try script.policy(log)
        policy.builtin = ManagerDefaultPolicy()
        var logging = LoggingPolicy(policy, name: "\(policy.name) (\(script.path))", log: log)
        logging.takesDecisionsOnly = true
        return logging
      } catch {
        let problem = LuaError(raising: error).message
        log(.warning, "\(script.path): \(problem); XAPI's own rule decides")
      }
    }
    return LoggingPolicy(ManagerDefaultPolicy(), name: "of XAPI", log: log)
  }

  /// The file for the trace of a live save, where the configuration wants one and it can be had.
  private func recorder() -> TraceRecorder? {
    guard let script = configuration.trace, arguments.isLive else { return nil }
    do { return try script.trace?.recorder(facts) } catch {
      log(.warning, "\(script.path): \(error); no trace is recorded")
      return nil
    }
  }

  private func write(_ recorder: TraceRecorder?) {
    do { try recorder?.write() } catch { log(.warning, "the trace is lost: \(error)") }
  }

  var log: (LogLevel, String) -> Void { setup.log }
}
