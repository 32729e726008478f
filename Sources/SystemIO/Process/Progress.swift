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
    guard let watch = current, watch.phase == nil else { return false }
    watch.phase = Phase(name: name, total: total, unit: unit, done: done, start: done())
    watch.notify(.begin)
    return true
  }

  /// Ends the phase. With `isDone` false it ended early, and nobody is told.
  public static func end(isDone: Bool = true) {
    guard let watch = current, watch.phase != nil else { return }
    if isDone { watch.notify(.end) }
    watch.phase = nil
  }

  /// From now on `watcher` is told of the phases of this thread: when one begins and ends, and in
  /// between at most ten times a second. nil ends it.
  public static func watch(_ watcher: ((ProgressState) -> Void)?) {
    let thread = UInt(pthread_self())
    let watch = watcher.map(Watch.init)
    let count = watches.withLock { all in
      all[thread] = watch
      return all.count
    }
    watchCount.store(count, ordering: .relaxed)
  }

  /// Work continues: called at each step of it by who may stop it too (`Interrupt.check`).
  @inline(__always)
  public static func beat() {
    if watchCount.load(ordering: .relaxed) != 0 { beatSlowly() }
  }

  private struct Phase {
    let name: String
    let total: UInt64?
    let unit: String
    let done: () -> UInt64
    let start: UInt64
  }

  /// What one thread tells, and to whom. Safe to send: only that thread uses it.
  private final class Watch: @unchecked Sendable {
    let watcher: (ProgressState) -> Void
    var phase: Phase?
    var lastNotified: UInt64 = 0

    init(_ watcher: @escaping (ProgressState) -> Void) { self.watcher = watcher }

    func notify(_ moment: ProgressState.Moment) {
      guard let phase else { return }
      lastNotified = Environment.nanoseconds
      // Totals are what is known beforehand: record headers may come on top of them.
      let now = phase.done()
      let done = min(now > phase.start ? now - phase.start : 0, phase.total ?? .max)
      watcher(ProgressState(moment, phase.name, done: done, of: phase.total, unit: phase.unit))
    }
  }

  /// By thread.
  private static let watches = Mutex<[UInt: Watch]>([:])
  /// How many there are: a look at it is all that work costs where nobody looks on.
  private static let watchCount = Atomic<Int>(0)
  private static let interval: UInt64 = 100_000_000

  /// The calling thread's.
  private static var current: Watch? {
    guard watchCount.load(ordering: .relaxed) != 0 else { return nil }
    return watches.withLock { $0[UInt(pthread_self())] }
  }

  private static func beatSlowly() {
    guard let watch = current, watch.phase != nil else { return }
    if Environment.nanoseconds &- watch.lastNotified >= interval { watch.notify(.running) }
  }
}
