// A request to stop that comes between the look for it and the wait: the wait ends all the same.

import Glibc
import SystemIO
import Testing

/// The reading end of a pipe that nobody writes to.
private func silentPipe() -> Int32 {
  var ends: [Int32] = [-1, -1]
  precondition(pipe(&ends) == 0)
  return ends[0]
}

/// Has the calling thread take a signal and begins to watch: threads of tests may block it.
private func watch(_ signal: Int32) {
  Glibc.signal(signal, SIG_DFL)
  var set = sigset_t()
  sigemptyset(&set)
  sigaddset(&set, signal)
  pthread_sigmask(SIG_UNBLOCK, &set, nil)
  Interrupt.watch {}
}

@Suite struct WakeTests {
  @Test(arguments: [SIGINT, SIGTERM, SIGHUP]) func beforeTheCall(signal: Int32) async {
    await #expect(processExitsWith: .success) { [signal] in
      watch(signal)
      precondition(!Interrupt.isRequested)
      raise(signal)
      // Whoever looked a moment ago blocks now, in calls of all kinds.
      var byte: UInt8 = 0
      precondition(read(silentPipe(), &byte, 1) == -1 && errno == EINTR)
      var entry = pollfd(fd: silentPipe(), events: Int16(POLLIN), revents: 0)
      precondition(poll(&entry, 1, -1) == -1 && errno == EINTR)
      precondition(Interrupt.signal == signal)
      // Answered, it wakes nobody any longer.
      Interrupt.clear()
      usleep(100_000)
      precondition(poll(&entry, 1, 200) == 0)
    }
  }

  @Test func onAnotherThread() async {
    await #expect(processExitsWith: .success) {
      watch(SIGTERM)
      let thread = try WorkerThread()
      thread.start {
        var byte: UInt8 = 0
        precondition(read(silentPipe(), &byte, 1) == -1 && errno == EINTR)
      }
      raise(SIGTERM)
      thread.wait()
    }
  }

  /// A pipe between two threads: the source's own loop sees the request.
  @Test func sources() async {
    await #expect(processExitsWith: .success) {
      watch(SIGTERM)
      let source = try Source(Descriptor(taking: silentPipe(), path: "pipe"), path: "pipe")
      let thread = try WorkerThread()
      thread.start {
        do throws(SystemError) {
          _ = try source.read(8)
          preconditionFailure("it has read something")
        } catch { precondition(error.isInterrupt) }
      }
      raise(SIGTERM)
      thread.wait()
    }
  }
}
