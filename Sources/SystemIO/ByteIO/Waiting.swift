// Waits that a request to stop ends.

internal import CSystem
internal import Glibc

/// How calls that block are begun again: a signal ends them with EINTR, and a request to stop
/// (`Interrupt`) ends the wait. One that comes just before the call blocks does too: from the first
/// request on the thread is woken again and again (CSystemWaits.h).
enum Waiting {
  /// Runs `call` until it gives something else than EINTR.
  static func call(_ path: String, _ call: () -> Int32) throws(SystemError) -> Int32 {
    while true {
      let result = call()
      guard result < 0, errno == EINTR else { return result }
      try Interrupt.check(path)
    }
  }

  /// Opens a file, with open(2)'s flags. The other end of a FIFO is waited for.
  static func open(_ path: String, _ flags: Int32, mode: mode_t = 0o666) throws(SystemError)
    -> Int32
  {
    let fileDescriptor = try call(path) { unsafe Glibc.open(path, flags | O_CLOEXEC, mode) }
    guard fileDescriptor >= 0 else { throw SystemError("open", errno, path) }
    return fileDescriptor
  }

  /// fsync(2), which a signal may end early on file systems of a network or a program. Any other failure
  /// is final: the kernel may have dropped the pages, so a second call would say that all is well.
  static func synchronize(_ descriptor: Int32, _ path: String) throws(SystemError) -> Int32 {
    try call(path) { fsync(descriptor) }
  }

  /// Waits until a non-blocking descriptor can continue.
  static func untilReady(
    _ fileDescriptor: Int32, forWriting: Bool, _ path: String
  ) throws(SystemError) {
    var entry = pollfd(fd: fileDescriptor, events: Int16(forWriting ? POLLOUT : POLLIN), revents: 0)
    let result = try call(path) { unsafe poll(&entry, 1, -1) }
    guard result >= 0 else { throw SystemError("poll", errno, path) }
  }
}

/// What became of a wait for a descriptor.
public enum Readiness: Sendable {
  case ready
  /// The time is over.
  case late
  /// A signal came: whoever waits looks at what it meant.
  case woken
}

/// What became of a wait for a descriptor whose bytes go to another.
public enum PassageReadiness: Sendable {
  case ready
  /// The time is over.
  case late
  /// A signal came: whoever waits looks at what it meant.
  case woken
  /// Nobody reads what would be written.
  case hungUp
}

extension Source {
  /// Waits until something can be read, or the end, or until nobody needs it: the reader of `sink` is gone,
  /// or `end` (-1: none) can be read. At most so many milliseconds, -1 for ever.
  public func waitForBytes(
    milliseconds: Int32, orHangupOf sink: Sink, orEnd end: Int32 = -1
  ) -> PassageReadiness {
    var entries = [
      pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: sink.fileDescriptor, events: 0, revents: 0),
      pollfd(fd: end, events: Int16(POLLIN), revents: 0),
    ]
    // Safety: poll gets as many entries as there are.
    let count = unsafe poll(&entries, 3, hasWindow ? 0 : milliseconds)
    if count < 0 { return errno == EINTR ? .woken : .ready }
    // A file or terminal that is written to reports neither of these.
    let isGone = entries[1].revents & Int16(POLLHUP | POLLERR) != 0
    if isGone || entries[2].revents != 0 { return .hungUp }
    return hasWindow || entries[0].revents != 0 ? .ready : .late
  }

  /// Waits until something can be read, or the end; at most so many milliseconds, -1 for ever. What
  /// is in the window is ready.
  public func waitForBytes(milliseconds: Int32) -> Readiness {
    hasWindow ? .ready : readiness(fileDescriptor, POLLIN, milliseconds)
  }
}

extension Sink {
  /// Another descriptor of what is written to, at the same place.
  public func duplicate() throws(SystemError) -> Descriptor { try descriptor.duplicate(path: path) }

  /// Waits until a pipe takes PIPE_BUF bytes at once; at most so many milliseconds, -1 for ever.
  public func waitForRoom(milliseconds: Int32) -> Readiness {
    readiness(fileDescriptor, POLLOUT, milliseconds)
  }
}

/// Waits until the other end of one of the descriptors is gone; false where `end` can be read first.
public func waitForHangup(of fileDescriptors: [Int32], until end: Int32) -> Bool {
  // POLLRDHUP, for sockets: not in Swift's headers.
  let half: Int16 = 0x2000
  var entries = fileDescriptors.map { pollfd(fd: $0, events: half, revents: 0) }
  entries.append(pollfd(fd: end, events: Int16(POLLIN), revents: 0))
  let last = entries.count - 1
  while true {
    // Safety: poll is told of as many entries as there are.
    let count = unsafe poll(&entries, nfds_t(entries.count), -1)
    if count < 0, errno != EINTR { return false }
    guard count > 0 else { continue }
    if entries[last].revents != 0 { return false }
    if entries.contains(where: { $0.revents & (half | Int16(POLLHUP | POLLERR)) != 0 }) {
      return true
    }
  }
}

private func readiness(_ fileDescriptor: Int32, _ wanted: Int32, _ milliseconds: Int32) -> Readiness
{
  var entry = pollfd(fd: fileDescriptor, events: Int16(wanted), revents: 0)
  let count = unsafe poll(&entry, 1, milliseconds)
  // What poll cannot say, the read or write will.
  return count > 0 || (count < 0 && errno != EINTR) ? .ready : count == 0 ? .late : .woken
}

/// Blocks for about this long, or until there is a request to stop.
public func sleepUnlessInterrupted(nanoseconds: UInt64) {
  let end = monotonicNanoseconds().addingReportingOverflow(nanoseconds)
  let last = end.overflow ? .max : end.partialValue
  while !Interrupt.isRequested {
    let now = monotonicNanoseconds()
    guard now < last else { return }
    sleep(nanoseconds: last - now)
  }
}

/// The processor's time of one thread: what it waits for does not count, nor what other programs take
/// from it.
public struct ThreadClock: Sendable {
  private let clock = csystem_thread_clock()
  private let thread = csystem_thread_number()

  /// That of the calling thread.
  public init() {}

  /// Nanoseconds that the thread has had, asked from any thread.
  public var nanoseconds: UInt64 { csystem_thread_time(clock) }

  /// Sends the thread a signal.
  public func signal(_ signal: Int32) { csystem_signal_thread(thread, signal) }
}
