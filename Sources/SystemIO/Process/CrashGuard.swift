// A process that outlives this one.

internal import CSystem
internal import Glibc

/// Another program, which reads what is written to it and learns by the end of that that this process
/// is gone, however it went: the kernel closes a pipe also after SIGKILL. It is in a session of its
/// own, so that what a terminal sends to this process does not reach it, and has no descriptor of
/// this process but standard error.
public final class CrashGuard {
  private let process: pid_t
  private var toIt: Int32
  private let fromIt: Int32
  /// Milliseconds for which it may be too busy to read.
  private static let patience: Int32 = 10_000

  /// Starts `words[0]` with the other words.
  public init(_ words: [String]) throws(SystemError) {
    var (input, output): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
    guard unsafe csystem_pipe(&input) == 0 else { throw SystemError("pipe2", errno, "pipe") }
    guard unsafe csystem_pipe(&output) == 0 else {
      let problem = errno
      for end in input { _ = close(end) }
      throw SystemError("pipe2", problem, "pipe")
    }
    // Safety: the copies live until they are freed below, after the call.
    var copies = unsafe words.map { unsafe strdup($0) }
    unsafe copies.append(nil)
    var id: pid_t = 0
    let problem = unsafe csystem_spawn_companion(&copies, input[0], output[1], &id)
    for index in unsafe copies.indices { unsafe free(copies[index]) }
    _ = close(input[0])
    _ = close(output[1])
    (process, toIt, fromIt) = (id, input[1], output[0])
    guard problem == 0 else {
      _ = close(toIt)
      _ = close(fromIt)
      toIt = -1
      throw SystemError("posix_spawn", problem, words.first ?? "")
    }
  }

  /// Waits for a byte from it; false where it ends, says nothing for so many milliseconds, or this
  /// process is asked to stop.
  public func waitForByte(milliseconds: Int32) -> Bool {
    guard wait(fromIt, POLLIN, milliseconds, isUrgent: false) else { return false }
    // The end is something to be read too.
    var byte: UInt8 = 0
    return unsafe Glibc.read(fromIt, &byte, 1) == 1
  }

  /// Writes a few bytes at once: it has all of them or none, even if this process dies in the next
  /// moment.
  public func send(_ bytes: [UInt8]) throws(SystemError) {
    precondition(bytes.count <= 512, "a pipe takes no more at once")
    // It reads whatever it is told at once, unless somebody has stopped it. Its pipe is full then, but
    // with a place for these bytes a write does not block.
    guard wait(toIt, POLLOUT, CrashGuard.patience, isUrgent: true) else {
      throw SystemError("write", ETIMEDOUT, "crash guard")
    }
    while true {
      let count = unsafe Glibc.write(toIt, bytes, bytes.count)
      if count == bytes.count { return }
      if errno != EINTR { throw SystemError("write", errno, "crash guard") }
    }
  }

  /// Waits for a descriptor; false where the time is over. What is urgent is done even where this
  /// process is asked to stop.
  private func wait(
    _ fileDescriptor: Int32, _ event: Int32, _ milliseconds: Int32, isUrgent: Bool
  ) -> Bool {
    let end = monotonicNanoseconds() + UInt64(milliseconds) * 1_000_000
    var wanted = pollfd(fd: fileDescriptor, events: Int16(event), revents: 0)
    while true {
      let now = monotonicNanoseconds()
      let left = end > now ? Int32(clamping: (end - now + 999_999) / 1_000_000) : 0
      let count = unsafe poll(&wanted, 1, left)
      if count >= 0 || errno != EINTR { return count > 0 }
      if !isUrgent, Interrupt.isRequested { return false }
    }
  }

  /// Ends what it reads, and waits for its end.
  deinit {
    guard toIt >= 0 else { return }
    _ = close(toIt)
    let end = monotonicNanoseconds() + UInt64(CrashGuard.patience) * 1_000_000
    var status: Int32 = 0
    while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {
      // It continues by itself: what it waits for must not keep a process that is asked to stop.
      if Interrupt.isRequested, monotonicNanoseconds() > end { break }
    }
    _ = close(fromIt)
  }

  /// For the companion's own side: from now on no request to stop ends this process.
  public static func ignoreRequestsToStop() {
    for stop in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { signal(stop, SIG_IGN) }
  }

  /// For the companion's own side: writes a byte.
  public static func writeByte() {
    var byte: UInt8 = 1
    _ = unsafe Glibc.write(1, &byte, 1)
  }

  /// For the companion's own side: the next `count` bytes; nil where the other process is gone.
  public static func read(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var filled = 0
    while filled < count {
      // Safety: no more is read than there is room for after what is filled.
      let got = unsafe bytes.withUnsafeMutableBytes {
        unsafe Glibc.read(0, $0.baseAddress.map { unsafe $0 + filled }, count - filled)
      }
      if got > 0 { filled += got } else if got == 0 || errno != EINTR { return nil }
    }
    return bytes
  }
}
