// What a helper keeps an eye on beside its work: libxl, and the time of its filters.

internal import CSystem
internal import Glibc
internal import HelperProtocol
internal import LuaRuntime
internal import Synchronization
internal import SystemIO

/// Notices that libxl is gone whatever the helper waits for: a receiver that keeps its end open and
/// never reads would hold it for ever, and the domain's log-dirty mode with it.
final class ManagerWatch {
  private let thread: WorkerThread
  private var end: Int32

  /// From now on `gone` is called once, on another thread, when libxl has hung up.
  init(_ channel: HelperChannel, gone: @escaping () -> Void) throws {
    let pipe = try PipeEnds()
    end = pipe.writing
    let fileDescriptors = channel.descriptors
    do { thread = try WorkerThread() } catch {
      pipe.close()
      throw error
    }
    thread.start {
      if waitForHangup(of: fileDescriptors, until: pipe.reading) { gone() }
      _ = close(pipe.reading)
    }
  }

  deinit {
    _ = close(end)
    thread.wait()
  }
}

/// The time of the filters' scripts. What counts is the processor's time of their thread for one
/// record: pages that come from the network are waited for by the stream, and a busy machine is
/// nobody's fault.
final class FilterTime: Sendable {
  private let clock = ThreadClock()
  /// The thread's time when the filter was called, plus one; 0 while it is not.
  private let began = Atomic<UInt64>(0)

  /// For the calling thread, which is to run the filters.
  init() {}

  func begin() { began.store(clock.nanoseconds + 1, ordering: .relaxed) }
  func end() { began.store(0, ordering: .relaxed) }

  /// What the call that continues has used, in nanoseconds.
  var used: UInt64 {
    let start = began.load(ordering: .relaxed)
    let now = clock.nanoseconds + 1
    return start == 0 || now < start ? 0 : now - start
  }

  /// Stops the script; where it is inside one long search, that helps nothing.
  func stop() { clock.signal(LuaState.stopSignal) }
}

/// Descriptors of a filter's thread. It closes them itself, so that whoever is at their other ends
/// hears at once of its end; whoever watches it may cut them before.
final class FilterEnds: Sendable {
  private let fileDescriptors: [Int32]
  private let isClosed = Mutex(false)

  init(_ fileDescriptors: [Int32]) { self.fileDescriptors = fileDescriptors }

  func close() {
    isClosed.withLock { isClosed in
      if !isClosed { for fileDescriptor in fileDescriptors { _ = Glibc.close(fileDescriptor) } }
      isClosed = true
    }
  }

  /// Puts nothing in their place: the other ends see the end of the stream.
  func cut() {
    isClosed.withLock {
      if !$0 { for fileDescriptor in fileDescriptors { _ = csystem_divert(fileDescriptor) } }
    }
  }
}

/// Stops a filter that takes too long for a record: first the script, and where that does not help it
/// cuts the stream on both sides of it.
final class FilterWatch {
  /// Milliseconds between two looks.
  private static let interval: Int32 = 100
  /// Nanoseconds that a script may take for stopping.
  private static let grace: UInt64 = 1_000_000_000

  private let thread: WorkerThread
  private let end: Int32
  private let stuck: Stuck

  private final class Stuck: Sendable {
    let isTrue = Atomic<Bool>(false)
  }

  /// `ends`: what the filter reads, writes or is waited for with.
  init(_ time: FilterTime, limit: UInt64, ends: FilterEnds) throws {
    let pipe = try PipeEnds()
    end = pipe.writing
    do { thread = try WorkerThread() } catch {
      pipe.close()
      throw error
    }
    let stuck = Stuck()
    self.stuck = stuck
    thread.start {
      defer { _ = close(pipe.reading) }
      while !FilterWatch.isOver(pipe.reading) {
        let used = time.used
        if used >= limit { time.stop() }
        if used >= limit + FilterWatch.grace {
          stuck.isTrue.store(true, ordering: .releasing)
          return ends.cut()
        }
      }
    }
  }

  deinit {
    _ = close(end)
    thread.wait()
  }

  /// Whether the stream was cut because the filter does not stop.
  var isStuck: Bool { stuck.isTrue.load(ordering: .acquiring) }

  private static func isOver(_ end: Int32) -> Bool {
    var entry = pollfd(fd: end, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, interval) > 0
  }
}

/// Two numbers of a pipe, which those who use them close.
struct PipeEnds {
  let reading: Int32
  let writing: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    guard unsafe csystem_pipe(&ends) == 0 else { throw SystemError("pipe2", errno, "pipe") }
    (reading, writing) = (ends[0], ends[1])
  }

  func close() {
    _ = Glibc.close(reading)
    _ = Glibc.close(writing)
  }
}
