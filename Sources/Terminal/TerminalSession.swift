// The terminal in raw mode, from the first key of a block to its last.

internal import Glibc
internal import Synchronization

/// Whether some editor of this process has a terminal in raw mode: signals know only one.
private let isInUse = Atomic<Bool>(false)

/// Owns the raw mode of a terminal: keys come at once and without echo, pastes are bracketed.
/// The modes found at the beginning come back with `end()`, at deinit, at exit(3), and when a
/// signal kills the process.
@safe struct TerminalSession: ~Copyable {
  /// What there is to do.
  enum Event {
    case input
    case timeout
    case interrupted
    case wake([SignalGuard.Wake])
  }

  private let input: CInt
  private let output: CInt
  private let isInterrupted: () -> Bool
  private var saved: termios
  private var raw: termios
  private var signals: SignalGuard?

  /// Puts the terminal `input` into raw mode. A terminal that nobody reads from is waited for until
  /// `isInterrupted` says so.
  init(
    input: CInt, output: CInt, isInterrupted: @escaping () -> Bool = { false }
  ) throws(TerminalError) {
    self.input = input
    self.output = output
    self.isInterrupted = isInterrupted
    saved = termios()
    raw = termios()
    signals = nil
    precondition(
      isInUse.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged,
      "a line editor may not be used while another one reads a line")
    do throws(TerminalError) {
      try begin()
    } catch {
      isInUse.store(false, ordering: .releasing)
      throw error
    }
  }

  deinit {
    if var signals {
      Self.leave(input, output, saved, isInterrupted)
      signals.disarm()
    }
    isInUse.store(false, ordering: .releasing)
  }

  /// Begins raw mode, from the modes that the terminal has now.
  mutating func begin() throws(TerminalError) {
    // Safety: tcgetattr writes one `termios`, and `saved` is one.
    guard unsafe tcgetattr(input, &saved) == 0 else { throw .last("tcgetattr") }
    raw = saved
    raw.c_iflag &= ~tcflag_t(BRKINT | ICRNL | INLCR | IGNCR | INPCK | ISTRIP | IXON)
    raw.c_cflag |= tcflag_t(CS8)
    raw.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN | ISIG)
    signals = SignalGuard(input: input, output: output, saved: saved)
    do throws(TerminalError) {
      try enterRawMode()
    } catch {
      end()
      throw error
    }
  }

  /// Sets raw mode again after something else may have changed the modes.
  mutating func enterRawMode() throws(TerminalError) {
    // Safety: tcsetattr reads one `termios`. Draining keeps what was typed ahead.
    while unsafe tcsetattr(input, TCSADRAIN, &raw) != 0 {
      guard errno == EINTR, !isInterrupted() else { throw .last("tcsetattr") }
    }
    try write(Array("\u{1B}[?2004h".utf8))
  }

  /// Gives the terminal back; `begin()` takes it again.
  mutating func end() {
    guard var guarded = signals else { return }
    Self.leave(input, output, saved, isInterrupted)
    guarded.disarm()
    signals = nil
  }

  /// Stops this process and its group as Ctrl-Z does, and takes the terminal again when they continue.
  /// Where nobody could continue a stopped process (no job control), it is not stopped.
  mutating func suspend() throws(TerminalError) {
    end()
    // The whole group, as a pipeline is one job. On the main thread the process stops right here.
    kill(0, SIGTSTP)
    try begin()
  }

  func write(_ bytes: [UInt8]) throws(TerminalError) {
    try writeAll(bytes, to: output, unless: isInterrupted)
  }

  /// Waits for keys or signals; where `milliseconds` is negative, for ever.
  func wait(milliseconds: CInt) throws(TerminalError) -> Event {
    var wanted = [
      pollfd(fd: input, events: Int16(POLLIN), revents: 0),
      pollfd(fd: SignalGuard.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    // Safety: poll is told of two `pollfd`, and `wanted` has two.
    let count = unsafe poll(&wanted, 2, milliseconds)
    if count < 0 {
      guard errno == EINTR else { throw .last("poll") }
      return .interrupted
    }
    if count == 0 { return .timeout }
    return wanted[1].revents != 0 ? .wake(SignalGuard.wakes()) : .input
  }

  /// Reads what has been typed; empty when the terminal is gone, nil where a signal came first.
  func read() throws(TerminalError) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    // Safety: at most `bytes.count` bytes are written, into the storage of `bytes`.
    let count = unsafe Glibc.read(input, &bytes, bytes.count)
    guard count < 0 else { return Array(bytes.prefix(count)) }
    if errno == EINTR { return nil }
    guard errno == EIO else { throw .last("read") }
    return []
  }

  private static func leave(
    _ input: CInt, _ output: CInt, _ saved: termios, _ isInterrupted: () -> Bool
  ) {
    try? writeAll(Array("\u{1B}[?2004l".utf8), to: output, unless: isInterrupted)
    var saved = saved
    // Safety: tcsetattr reads one `termios`. What a terminal that stands still has not taken is not
    // waited for when the program is to end.
    while unsafe tcsetattr(input, isInterrupted() ? TCSANOW : TCSADRAIN, &saved) != 0,
      errno == EINTR
    {}
  }
}
