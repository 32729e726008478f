// A Lua state on a thread of its own: what runs there cannot keep its caller waiting.

internal import CSystem
internal import SystemIO

/// Runs scripts that nobody trusts. The state has a memory limit and the sandbox's libraries; the
/// thread is sandboxed by the kernel (no new privileges, a seccomp filter), so that even a script that
/// breaks out of Lua can open no file and start no program. Each call has a deadline: when it has
/// passed, the script is stopped; where it cannot be stopped (it is inside one long search), it is
/// left behind and the caller continues.
///
/// `Resident` is what lives on the thread: it is made there, is only ever given to functions that
/// run there, and goes there. The object itself belongs to one caller at a time.
public final class SandboxThread<Resident> {
  /// What the thread may do besides computing.
  public enum Boundary: Sendable {
    /// Nothing.
    case compute
    /// Read and write descriptors that are open already.
    case streams
    /// Everything: for tests of the Lua side alone.
    case none
  }

  // Deadlines are of the processor's time that the thread has had: how busy the machine is says
  // nothing of a script.

  /// Nanoseconds for which a script that was told to stop may take to do it.
  public static var grace: UInt64 { 50_000_000 }

  private let core: Core<Resident>
  private let worker: WorkerThread
  /// Why the kernel did not sandbox the thread (an errno); 0 where it did.
  public private(set) var sealError: Int32 = 0

  /// Starts the thread. `prepare` binds what scripts find there, and may open files; then the thread
  /// is sandboxed, and `make` runs with `deadline` nanoseconds. Both run on the thread. Throws what
  /// they throw; code "deadline" where `make` took too long.
  public init(
    memoryLimit: Int = 32 << 20, boundary: Boundary = .compute, deadline: UInt64 = 1_000_000_000,
    prepare: @escaping @Sendable (LuaState) throws -> Void,
    make: @escaping @Sendable (LuaState) throws -> Resident
  ) throws(LuaError) {
    core = Core()
    do {
      worker = try WorkerThread(endsOnRequest: false, canBeAbandoned: true)
    } catch { throw LuaError("the system gives no thread") }
    let core = core
    sealError = try run(60_000_000_000) { () -> Int32 in
      let state = try LuaState(memoryLimit: memoryLimit, .sandbox)
      core.state = state
      state.takeThread()
      try prepare(state)
      switch boundary {
      case .none: return 0
      case .compute: return csystem_seal_thread(csystem_seal_compute)
      case .streams: return csystem_seal_thread(csystem_seal_streams)
      }
    }
    try run(deadline) {
      guard let state = core.state else { return }
      core.resident = try make(state)
    }
  }

  deinit {
    let core = core
    // Where it is still busy, everything stays with the thread for ever.
    let isPosted = worker.post {
      core.resident = nil
      core.state?.close()
      core.state = nil
    }
    if isPosted { _ = worker.wait(processorTime: 1_000_000_000) }
  }

  /// Runs `body` on the thread and waits for it. Throws what it throws; an error of kind interrupted
  /// with code "deadline" when it had to be stopped after `deadline` nanoseconds, and with code
  /// "stuck" when it did not stop (and at once, as long as it continues).
  public func call<R: Sendable>(
    deadline: UInt64, _ body: @escaping @Sendable (Resident, LuaState) throws -> R
  ) throws(LuaError) -> R {
    let core = core
    return try run(deadline) { () -> R in
      guard let state = core.state, let resident = core.resident else {
        throw LuaError("the sandbox is closed")
      }
      return try body(resident, state)
    }
  }

  /// Starts `body` on the thread and does not wait for it: for work that continues beside its caller.
  /// Until it has ended nothing else can be called. It is not stopped at a deadline.
  public func begin<R: Sendable>(
    _ body: @escaping @Sendable (Resident, LuaState) throws -> R
  ) throws(LuaError) -> SandboxJob<R> {
    let (core, answer) = (core, Answer<R>())
    let isPosted = worker.post {
      do {
        guard let state = core.state, let resident = core.resident else {
          throw LuaError("the sandbox is closed")
        }
        answer.result = .success(try body(resident, state))
      } catch { answer.result = .failure(LuaError(raising: error)) }
    }
    guard isPosted else {
      throw LuaError("an earlier call has not ended", kind: .interrupted, code: "stuck")
    }
    let worker = worker
    return SandboxJob { worker.wait(nanoseconds: $0) ? answer.result : nil }
  }

  private func run<R: Sendable>(
    _ deadline: UInt64, _ body: @escaping @Sendable () throws -> R
  ) throws(LuaError) -> R {
    let (core, answer) = (core, Answer<R>())
    let isPosted = worker.post {
      // A stop that came too late for the last call is not meant for this one.
      core.state?.endStop()
      do { answer.result = .success(try body()) } catch {
        answer.result = .failure(LuaError(raising: error))
      }
    }
    guard isPosted else {
      throw LuaError("an earlier call has not ended", kind: .interrupted, code: "stuck")
    }
    if !worker.wait(processorTime: deadline) {
      worker.send(signal: LuaState.stopSignal)
      guard worker.wait(processorTime: worker.processorTime + SandboxThread.grace) else {
        worker.makeIdle()
        throw LuaError(
          "no answer within \(deadline / 1_000_000) ms, and it does not stop", kind: .interrupted,
          code: "stuck")
      }
      if case .success(let value)? = answer.result { return value }
      throw LuaError(
        "no answer within \(deadline / 1_000_000) ms", kind: .interrupted, code: "deadline")
    }
    guard let result = answer.result else { throw LuaError("the sandbox is closed") }
    return try result.get()
  }
}

/// Work on a sandbox's thread that continues beside its caller.
public struct SandboxJob<R: Sendable> {
  private let look: (UInt64) -> Result<R, LuaError>?
  fileprivate init(_ look: @escaping (UInt64) -> Result<R, LuaError>?) { self.look = look }

  /// What came of it; nil where it has not ended within `nanoseconds`.
  public func wait(_ nanoseconds: UInt64) -> Result<R, LuaError>? { look(nanoseconds) }
}

/// What lives on the thread.
private final class Core<Resident>: @unchecked Sendable {
  // Safe to send: both are touched by jobs only, which run one after another on one thread.
  var state: LuaState?
  var resident: Resident?
}

/// Where a job leaves its result.
private final class Answer<R: Sendable>: @unchecked Sendable {
  // Safe to send: written before the job ends, read after it. Nobody reads it if it never ends.
  var result: Result<R, LuaError>?
}
