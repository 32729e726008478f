// The program on a terminal of its own: the test is the keyboard, and sees the screen.

import Glibc
import TestKit

/// A run of the program on a pseudo terminal.
final class Session {
  private let keyboard: Int32
  private let child: pid_t
  private(set) var screen: VirtualScreen
  private var isReaped = false
  /// Whether something was written since keys were typed.
  private var hasAnswered = false

  /// Starts the program with these words; `home` holds its history and is the working folder.
  init(
    _ words: [String], home: String, columns: Int = 80, rows: Int = 40,
    environment: [String] = []
  ) {
    var ends: (Int32, Int32) = (-1, -1)
    var size = winsize(
      ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    precondition(openpty(&ends.0, &ends.1, nil, nil, &size) == 0)
    for end in [ends.0, ends.1] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends.1) }
    keyboard = ends.0
    var name = [CChar](repeating: 0, count: 128)
    precondition(ttyname_r(ends.1, &name, name.count) == 0)
    screen = VirtualScreen(columns: columns, rows: rows)

    // A session leader that opens a terminal gets it as its own.
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    closeOthers(&actions, from: 3)

    // No pager where a test does not ask for one.
    let usual = [
      "TERM=xterm", "HOME=\(home)", "NO_COLOR=1", "PATH=/usr/bin:/bin", "PAGER=",
      "INPUTRC=/dev/null",
    ]
    let settings =
      usual.filter { line in
        let name = line.prefix { $0 != "=" } + "="
        return !environment.contains { $0.hasPrefix(name) }
      } + environment
    let command = ["/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", home, Program.path] + words
    child = mustSpawn(command, &actions, environment: settings, isLeader: true)
  }

  deinit {
    if !isReaped {
      kill(child, SIGKILL)
      waitpid(child, nil, 0)
    }
    close(keyboard)
  }

  func type(_ keys: String) {
    hasAnswered = false
    var bytes = Array(keys.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { write(keyboard, $0.baseAddress, $0.count) }
      if count > 0 { bytes = bytes.dropFirst(count) } else if errno != EINTR { return }
    }
  }

  /// Makes the window another size, as a terminal does.
  func resize(columns: Int, rows: Int) {
    drain()
    screen.resize(columns: columns, rows: rows)
    var size = winsize(
      ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(keyboard, UInt(TIOCSWINSZ), &size)
  }

  /// Shows output until `condition` holds; false after 30 s.
  func wait(until condition: (VirtualScreen) -> Bool) -> Bool {
    let end = ContinuousClock.now + .seconds(30)
    repeat {
      // First, as a prompt that was there before tells nothing.
      drain()
      if condition(screen) { return true }
    } while ContinuousClock.now < end
    return false
  }

  /// Waits until the rows at the end of the screen are these.
  func ends(with rows: [String]) -> Bool {
    wait { $0.text.suffix(rows.count).elementsEqual(rows) }
  }

  /// Waits for a prompt at the end of the screen: not for the one that keys were typed at.
  func isReady() -> Bool { wait { hasAnswered && $0.text.last == ">" } }

  /// Waits until the program has used a tenth of a second of processor time more: it computes by then,
  /// however late a busy machine lets it go on after what it printed.
  func computes() -> Bool {
    let start = processorTime
    return wait { _ in processorTime - start > .milliseconds(100) }
  }

  private var processorTime: Duration {
    var clock = clockid_t()
    var time = timespec()
    guard clock_getcpuclockid(child, &clock) == 0, clock_gettime(clock, &time) == 0 else {
      return .zero
    }
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// Sends the program a signal, which no key does.
  func send(_ signal: Int32) { kill(child, signal) }

  /// The exit code, once the program has ended; nil after 30 s, or where a signal ended it.
  func exitCode() -> Int32? {
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
      drain()
      var status: Int32 = 0
      if waitpid(child, &status, WNOHANG) == child {
        isReaped = true
        return status & 0x7F == 0 ? status >> 8 & 0xFF : nil
      }
    }
    return nil
  }

  private func drain() {
    var wanted = pollfd(fd: keyboard, events: Int16(POLLIN), revents: 0)
    guard poll(&wanted, 1, 10) > 0 else { return }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(keyboard, &bytes, bytes.count)
    if count > 0 {
      screen.write(Array(bytes[..<count]))
      hasAnswered = true
    } else {
      usleep(10_000)
    }
  }
}
