// What signals do while a terminal is in raw mode.

internal import Glibc
internal import Synchronization

/// What a signal handler needs to give the terminal back. Handlers read it only while `isArmed`.
private struct Rescue {
  var input: CInt = -1
  var output: CInt = -1
  var saved = termios()
}

/// Written before `isArmed` becomes true, and never freed.
// Safety: allocated for one `Rescue` and initialised in the same expression.
nonisolated(unsafe) private let rescue: UnsafeMutablePointer<Rescue> = {
  let pointer = UnsafeMutablePointer<Rescue>.allocate(capacity: 1)
  unsafe pointer.initialize(to: Rescue())
  return unsafe pointer
}()

private let isArmed = Atomic<Bool>(false)

/// The write end of the pipe that handlers wake the editor through; -1 before it is made.
private let wakeInput = Atomic<CInt>(-1)

/// The read end of that pipe. Both ends are made once and kept: a handler that runs late on another
/// thread must find them open.
private let wakeOutput: CInt = {
  var ends: [CInt] = [-1, -1]
  // Safety: pipe writes two descriptors, and `ends` has room for two.
  guard unsafe pipe(&ends) == 0 else { return -1 }
  for end in ends {
    _ = fcntl(end, F_SETFD, FD_CLOEXEC)
    _ = fcntl(end, F_SETFL, O_NONBLOCK)
  }
  wakeInput.store(ends[1], ordering: .releasing)
  return ends[0]
}()

/// Ends bracketed paste and goes to a new row, for a process that dies while editing.
private let farewell: StaticString = "\u{1B}[?2004l\r\n"

/// Gives the terminal back to the shell; safe in a signal handler. Does nothing in the background,
/// where the terminal is another process's.
private func giveBack() {
  guard isArmed.exchange(false, ordering: .acquiringAndReleasing) else { return }
  // Safety: `rescue` was initialised before `isArmed` was set; `farewell` is constant.
  guard unsafe tcgetpgrp(rescue.pointee.input) == getpgrp() else { return }
  _ = unsafe write(rescue.pointee.output, farewell.utf8Start, farewell.utf8CodeUnitCount)
  _ = unsafe tcsetattr(rescue.pointee.input, TCSANOW, &rescue.pointee.saved)
}

private let registerAtExit: Void = { atexit { giveBack() } }()

/// Signals that end a process which does nothing about them.
private let deadly = [
  SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGALRM,
  SIGUSR1, SIGUSR2, SIGPIPE, SIGXCPU,
]

/// Catches signals from `arm` to `disarm`.
///
/// Deadly signals, unless the process itself catches or ignores them, give the terminal back and
/// then take their usual course. SIGWINCH, SIGCONT and SIGTSTP wake the editor.
@safe struct SignalGuard {
  /// What woke the editor.
  enum Wake: UInt8 {
    case resized = 1
    case continued = 2
    case suspended = 3
  }

  /// The handlers that were set before.
  private var replaced: [(signal: CInt, action: sigaction)] = []

  /// The descriptor that is readable when `wakes()` has something to tell; -1 if there is none.
  static var descriptor: CInt { wakeOutput }

  /// Begins to catch signals; `saved` are the modes of the terminal `input` to go back to.
  init(input: CInt, output: CInt, saved: termios) {
    _ = Self.descriptor
    _ = registerAtExit
    // Safety: handlers do not read `rescue` before `isArmed` is set.
    unsafe rescue.pointee = Rescue(input: input, output: output, saved: saved)
    isArmed.store(true, ordering: .releasing)
    for signal in deadly {
      catchSignal(signal, onlyDefault: true, flags: CInt(bitPattern: SA_RESETHAND)) { signal in
        giveBack()
        raise(signal)
      }
    }
    catchSignal(SIGTSTP, onlyDefault: true) { _ in wake(.suspended) }
    catchSignal(SIGWINCH, onlyDefault: false) { _ in wake(.resized) }
    catchSignal(SIGCONT, onlyDefault: false) { _ in wake(.continued) }
  }

  /// Sets the handlers that were there before.
  mutating func disarm() {
    for index in replaced.indices.reversed() {
      // Safety: the action came from sigaction itself.
      _ = unsafe sigaction(replaced[index].signal, &replaced[index].action, nil)
    }
    replaced = []
    isArmed.store(false, ordering: .releasing)
  }

  /// What has happened since the last call, in order.
  static func wakes() -> [Wake] {
    var bytes = [UInt8](repeating: 0, count: 64)
    // Safety: at most `bytes.count` bytes are written, into the storage of `bytes`.
    let count = unsafe read(descriptor, &bytes, bytes.count)
    return bytes.prefix(max(0, count)).compactMap { Wake(rawValue: $0) }
  }

  private mutating func catchSignal(
    _ signal: CInt, onlyDefault: Bool, flags: CInt = 0, _ handler: @convention(c) (CInt) -> Void
  ) {
    var old = sigaction()
    // Safety: sigaction reads and writes one `sigaction` each; `new` is fully set.
    guard unsafe sigaction(signal, nil, &old) == 0 else { return }
    if onlyDefault, unsafe old.__sigaction_handler.sa_handler != nil { return }
    var new = sigaction()
    unsafe new.__sigaction_handler.sa_handler = handler
    new.sa_flags = flags
    // tcsetattr of a process that has just lost the terminal must not stop it.
    unsafe sigemptyset(&new.sa_mask)
    unsafe sigaddset(&new.sa_mask, SIGTTOU)
    guard unsafe sigaction(signal, &new, nil) == 0 else { return }
    replaced.append((signal, old))
  }
}

/// Wakes the editor; safe in a signal handler.
private func wake(_ reason: SignalGuard.Wake) {
  let before = errno
  var byte = reason.rawValue
  // Safety: one byte is read, from `byte`. A full pipe already wakes, so failure does not matter.
  _ = unsafe write(wakeInput.load(ordering: .acquiring), &byte, 1)
  errno = before
}
