// How far long work is: said by whoever does it, looked at by the shell.

internal import Glibc
internal import Synchronization

/// A stretch of long work, as it stands.
public struct ProgressState: Sendable, Equatable {
  public enum Moment: String, Sendable { case begin, running, end }
  public let moment: Moment
  /// What is being done, in a word or two: "indexing", "writing".
  public let phase: String
  /// How much of it is done, in bytes or in what `unit` says.
  public let done: UInt64
  /// How much there is; nil where nobody knows (a pipe).
  public let total: UInt64?
  /// What is counted; "" for bytes.
  public let unit: String

  public init(
    _ moment: Moment, _ phase: String, done: UInt64, of total: UInt64?, unit: String = ""
  ) {
    self.moment = moment
    self.phase = phase
    self.done = done
    self.total = total
    self.unit = unit
  }
}

/// What a phase has done, where no source or sink counts it.
public final class ProgressCounter {
  public var value: UInt64 = 0
  public init() {}
}

/// The phases of long work. Nobody looks on unless the shell does, and then it costs a look at the
/// clock for each system call of a source or sink.
///
/// One phase runs at a time: one that begins inside another is part of it and is not shown. Only the
/// thread that called `watch` is watched.
public enum Progress {
  /// Runs `body` as a phase. `done` is asked from time to time how much is done; what it says when
  /// the phase begins counts as nothing.
  public static func phase<R, E: Error>(
    _ name: String, of total: UInt64?, unit: String = "", done: @escaping () -> UInt64,
    _ body: () throws(E) -> R
  ) throws(E) -> R {
    guard begin(name, of: total, unit: unit, done: done) else { return try body() }
    var isDone = false
    defer { end(isDone: isDone) }
    let result = try body()
    isDone = true
    return result
  }

  /// Begins a phase that `end` ends; false where nobody looks on, or another one runs.
  public static func begin(
    _ name: String, of total: UInt64?, unit: String = "", done: @escaping () -> UInt64
  ) -> Bool {
    // Safety: `state` is touched only by the thread that set it, which `isWatched` has checked.
    guard isWatched, unsafe state?.phase == nil else { return false }
    let phase = Phase(name: name, total: total, unit: unit, done: done, start: done())
    unsafe state?.phase = phase
    notify(.begin)
    return true
  }

  /// Ends the phase. With `isDone` false it ended early, and nobody is told.
  public static func end(isDone: Bool = true) {
    guard isWatched, unsafe state?.phase != nil else { return }
    if isDone { notify(.end) }
    unsafe state?.phase = nil
  }

  /// From now on `watcher` is told of the phases of this thread: when one begins and ends, and in
  /// between at most ten times a second. nil ends it.
  public static func watch(_ watcher: ((ProgressState) -> Void)?) {
    if watcher == nil { watchedThread.store(0, ordering: .relaxed) }
    unsafe state = watcher.map { State(watcher: $0) }
    if watcher != nil { watchedThread.store(UInt(pthread_self()), ordering: .relaxed) }
  }

  /// Work continues: called at each chunk of it by who may stop it too (`Interrupt.check`).
  @inline(__always)
  public static func beat() {
    if watchedThread.load(ordering: .relaxed) != 0 { beatSlowly() }
  }

  private struct Phase {
    let name: String
    let total: UInt64?
    let unit: String
    let done: () -> UInt64
    let start: UInt64
  }

  private struct State {
    let watcher: (ProgressState) -> Void
    var phase: Phase?
    var lastTold: UInt64 = 0
  }

  // Safety: touched by one thread only, the one that set it: `isWatched` tells whether it is the
  // calling one.
  nonisolated(unsafe) private static var state: State?
  /// The thread whose `state` it is; 0 where nobody looks on. Other threads compare only.
  private static let watchedThread = Atomic<UInt>(0)
  private static let interval: UInt64 = 100_000_000

  private static var isWatched: Bool {
    watchedThread.load(ordering: .relaxed) == UInt(pthread_self())
  }

  private static func beatSlowly() {
    guard isWatched, unsafe state?.phase != nil else { return }
    let now = Environment.nanoseconds
    if unsafe now &- (state?.lastTold ?? 0) >= interval { notify(.running) }
  }

  private static func notify(_ moment: ProgressState.Moment) {
    guard let current = unsafe state, let phase = current.phase else { return }
    unsafe state?.lastTold = Environment.nanoseconds
    // Totals are what is known beforehand: headers may come on top of them.
    let now = phase.done()
    let done = min(now > phase.start ? now - phase.start : 0, phase.total ?? .max)
    current.watcher(
      ProgressState(moment, phase.name, done: done, of: phase.total, unit: phase.unit))
  }
}
