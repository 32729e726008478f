// A second thread: what a save, a pass over pages or a sandbox needs beside itself.

internal import CSystem
internal import Glibc

/// A thread for one job at a time.
@safe
public final class WorkerThread {
  private final class Box: @unchecked Sendable {
    // Safe to send: set while no job runs, called by the thread's one job.
    var job: (() -> Void)?
    let endsOnRequest: Bool

    init(endsOnRequest: Bool) { self.endsOnRequest = endsOnRequest }

    func run() {
      guard endsOnRequest else {
        job?()
        return
      }
      let place = csystem_take_wakes()
      job?()
      csystem_leave_wakes(place)
    }
  }

  private let raw: OpaquePointer
  private let box: Box
  private let canBeAbandoned: Bool

  /// `endsOnRequest`: a request to stop the program ends what the job waits for; no other signal
  /// comes to it. `canBeAbandoned`: a job that does not end is left alone with what it holds when
  /// this object goes, which else waits for it.
  public init(endsOnRequest: Bool = true, canBeAbandoned: Bool = false) throws(SystemError) {
    box = Box(endsOnRequest: endsOnRequest)
    self.canBeAbandoned = canBeAbandoned
    // Safety: the thread holds this reference until `deinit` has seen it idle.
    let context = unsafe Unmanaged.passRetained(box).toOpaque()
    let made = unsafe csystem_worker_start(
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().run()
      }, context)
    guard let made = unsafe made else {
      let problem = errno
      unsafe Unmanaged<Box>.fromOpaque(context).release()
      throw SystemError("pthread_create", problem, "thread")
    }
    unsafe raw = made
  }

  deinit {
    if !canBeAbandoned { wait() }
    if unsafe csystem_worker_wait(raw, 0) { unsafe Unmanaged.passUnretained(box).release() }
    unsafe csystem_worker_finish(raw)
  }

  /// Starts `job`, after the one before. What it holds is its own until `wait` returns.
  public func start(_ job: @escaping () -> Void) {
    wait()
    box.job = job
    _ = unsafe csystem_worker_post(raw)
  }

  /// Waits for the end of the job.
  public func wait() {
    while !(unsafe csystem_worker_wait(raw, 3_600_000_000_000)) {}
    box.job = nil
  }

  // MARK: - Jobs that may have to be stopped

  /// Starts `job`; false where the one before has not ended.
  public func post(_ job: @escaping @Sendable () -> Void) -> Bool {
    guard unsafe csystem_worker_wait(raw, 0) else { return false }
    box.job = job
    return unsafe csystem_worker_post(raw)
  }

  /// Waits for the end of the job, but not longer than so many nanoseconds; whether it came.
  public func wait(nanoseconds: UInt64) -> Bool { unsafe csystem_worker_wait(raw, nanoseconds) }

  /// Nanoseconds of waiting after which a job has to end whatever it did.
  private static let patience: UInt64 = 600_000_000_000

  /// False after the job has had so many nanoseconds of the processor.
  public func wait(processorTime nanoseconds: UInt64) -> Bool {
    unsafe csystem_worker_wait_for_time(raw, nanoseconds, WorkerThread.patience)
  }

  /// Nanoseconds of the processor that the job has had.
  public var processorTime: UInt64 { unsafe csystem_worker_time(raw) }

  /// Sends the thread a signal.
  public func send(signal: Int32) { unsafe csystem_worker_signal(raw, signal) }

  /// Lets the thread run only when nothing else wants the processor: its job does not stop.
  public func makeIdle() { unsafe csystem_worker_make_idle(raw) }
}
