// A pseudo terminal whose output goes to a virtual screen.

import Glibc
import Synchronization
import TestKit
import Testing

@testable import Terminal

/// Both ends of a pseudo terminal. The tests are the keyboard and the screen.
final class Pty {
  let keyboard: CInt
  let terminal: CInt
  private(set) var screen: VirtualScreen

  init(columns: Int = 40, rows: Int = 8) {
    var ends: (CInt, CInt) = (-1, -1)
    var size = Self.winsize(columns, rows)
    // Safety: openpty writes two descriptors and reads one `winsize`.
    precondition(unsafe openpty(&ends.0, &ends.1, nil, nil, &size) == 0)
    (keyboard, terminal) = ends
    screen = VirtualScreen(columns: columns, rows: rows)
    for end in [keyboard, terminal] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  }

  deinit {
    close(keyboard)
    close(terminal)
  }

  private static func winsize(_ columns: Int, _ rows: Int) -> winsize {
    Glibc.winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
  }

  func type(_ keys: String) {
    do {
      try writeAll(Array(keys.utf8), to: keyboard)
    } catch {
      Issue.record("\(error)")
    }
  }

  /// Changes the size; the foreground process group gets SIGWINCH.
  func resize(columns: Int, rows: Int) {
    screen.resize(columns: columns, rows: rows)
    var size = Self.winsize(columns, rows)
    // Safety: TIOCSWINSZ reads one `winsize`.
    _ = unsafe ioctl(keyboard, UInt(TIOCSWINSZ), &size)
  }

  /// Whether the terminal is in the mode that shells leave it in.
  var isCooked: Bool {
    var modes = termios()
    // Safety: tcgetattr writes one `termios`.
    _ = unsafe tcgetattr(terminal, &modes)
    return modes.c_lflag & tcflag_t(ICANON) != 0 && modes.c_lflag & tcflag_t(ECHO) != 0
  }

  /// Shows output on the screen until `condition` holds; false after 30 s.
  func wait(until condition: (VirtualScreen) -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    repeat {
      // First, as a prompt that was there before tells nothing.
      drain()
      if condition(screen) { return true }
    } while ContinuousClock.now < end
    return false
  }

  /// Waits until the screen shows exactly `text`.
  func shows(_ text: [String]) -> Bool { wait { $0.text == text } }

  /// Shows the output that comes within 10 ms.
  private func drain() {
    var wanted = pollfd(fd: keyboard, events: Int16(POLLIN), revents: 0)
    // Safety: poll is told of one `pollfd`; at most `bytes.count` bytes are written.
    guard unsafe poll(&wanted, 1, 10) > 0 else { return }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe read(keyboard, &bytes, bytes.count)
    if count > 0 { screen.write(Array(bytes[..<count])) }
  }
}

/// The lines that an editor on another thread has read.
final class ReadLines: Sendable {
  private let lines = Mutex<[LineEditor.Line]>([])

  func append(_ line: LineEditor.Line) { lines.withLock { $0.append(line) } }
  var all: [LineEditor.Line] { lines.withLock { $0 } }
}

/// Runs `body` in a child process that leads a session with `pty` as its terminal and standard
/// input and output. Only for exit tests, whose process runs nothing else.
func forkOnTerminal(_ pty: Pty, _ body: () -> Void) -> pid_t {
  let child = fork()
  guard child == 0 else { return child }
  guard setsid() == getpid(), ioctl(pty.terminal, UInt(TIOCSCTTY), 0) == 0 else { _exit(99) }
  for descriptor in [CInt(0), 1] { dup2(pty.terminal, descriptor) }
  close(pty.keyboard)
  // The threads that tests run on block most signals.
  var none = sigset_t()
  // Safety: sigprocmask reads one `sigset_t`.
  unsafe sigemptyset(&none)
  unsafe sigprocmask(SIG_SETMASK, &none, nil)
  body()
  _exit(0)
}

/// Forks inside a child made by `forkOnTerminal`, as a shell does for a foreground job.
func forkForegroundJob(_ body: () -> Void) -> pid_t {
  let job = fork()
  signal(SIGTTOU, SIG_IGN)
  setpgid(job, job)
  tcsetpgrp(0, job == 0 ? getpid() : job)
  guard job == 0 else { return job }
  signal(SIGTTOU, SIG_DFL)
  guard getpgrp() == getpid() else { _exit(99) }
  body()
  _exit(0)
}

/// fork(2), which Swift hides; safe enough in a process without other work. Never fails: the answer
/// is 0 or the number of one process.
private func fork() -> pid_t {
  typealias Fork = @convention(c) () -> pid_t
  guard let symbol = unsafe dlsym(nil, "fork") else { fatalError("fork is not there") }
  // Safety: the symbol is fork(2), which has this type.
  let child = unsafe unsafeBitCast(symbol, to: Fork.self)()
  precondition(child >= 0, "fork failed")
  return child
}

/// Sends `signal` to the one process `process`. 0 and negative numbers, which kill(2) takes for
/// groups or for every process of the machine, are refused.
func send(_ signal: CInt, to process: pid_t) {
  precondition(process > 1, "not the number of one process: \(process)")
  kill(process, signal)
}

/// Waits for a change of `child`, for 30 s at most: its wait status, or nil.
func waitForChange(_ child: pid_t) -> CInt? {
  var status: CInt = 0
  for _ in 0..<3000 {
    // Safety: waitpid writes one `CInt`.
    if unsafe waitpid(child, &status, WNOHANG | WUNTRACED | 8) == child { return status }
    usleep(10_000)
  }
  return nil
}
