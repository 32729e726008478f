// A second thread, and a child process: what a save needs beside itself.

internal import CSystem
internal import Glibc

/// A thread for one job at a time.
@safe
public final class BackgroundThread {
  private final class Box: @unchecked Sendable {
    // Safe to send: set while no job runs, called by the thread's one job.
    var job: (() -> Void)?

    /// The job may block where this program's requests to stop have to end it.
    func run() {
      let place = csystem_take_wakes()
      job?()
      csystem_leave_wakes(place)
    }
  }

  private let raw: OpaquePointer
  private let box = Box()

  /// Requests to stop end what it waits for; no other signal comes to it.
  public init() throws(SystemError) {
    // Safety: the thread holds this reference until `deinit` has seen it idle.
    let context = unsafe Unmanaged.passRetained(box).toOpaque()
    let made = unsafe csystem_worker_start(
      { context in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().run()
      }, context)
    guard let made = unsafe made else {
      let number = errno
      unsafe Unmanaged<Box>.fromOpaque(context).release()
      throw SystemError("pthread_create", number, "thread")
    }
    unsafe raw = made
  }

  deinit {
    wait()
    unsafe csystem_worker_finish(raw)
    unsafe Unmanaged.passUnretained(box).release()
  }

  /// Starts `job`, behind the one before. What it holds is its own until `wait` returns.
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
}

/// A lock. Whoever holds it may not ask for it again.
@safe
public final class Lock {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>

  public init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe pthread_mutex_init(mutex, nil)
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// Runs `body` while nobody else holds the lock.
  public func with<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body()
  }
}

/// A command of the shell that reads what is written to it.
public final class ReadingCommand {
  private let process: pid_t
  private var status: Int32?
  private var isLeftAlone = false
  /// What it reads. `close` ends it.
  public private(set) var sink: Sink?

  /// Starts it; its standard output and errors are this program's.
  public init(_ command: String) throws(SystemError) {
    let pipe = try Pipe()
    var id: pid_t = 0
    let number = unsafe csystem_spawn_shell(command, pipe.reading.number, &id)
    guard number == 0 else { throw SystemError("posix_spawn", number, command) }
    process = id
    sink = Sink(try pipe.writing.duplicate(path: command), path: command)
  }

  deinit { _ = wait() }

  /// How it ended: its exit code, or 128 and the signal that ended it. nil where a request to stop
  /// came first: then nobody knows, and it is left alone with the end of its input.
  public func wait() -> Int32? {
    if let status { return status }
    sink?.cut()
    sink = nil
    guard !isLeftAlone else { return nil }
    var result: Int32 = 0
    while unsafe waitpid(process, &result, 0) < 0, errno == EINTR {
      guard !Interrupt.isRequested else {
        isLeftAlone = true
        return nil
      }
    }
    let code = result & 0x7F == 0 ? result >> 8 & 0xFF : 128 + (result & 0x7F)
    status = code
    return code
  }
}
