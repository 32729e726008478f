// A timer for one thread.

internal import CSystem

/// Sends a signal to the thread that made it when a time has passed. Used on that thread only.
@safe
public final class StopTimer {
  private let raw: UnsafeMutableRawPointer

  /// nil where the system gives no timer. With `isOfProcess` the signal goes to whichever thread of
  /// the process takes it.
  public init?(signal: Int32, isOfProcess: Bool = false) {
    var made: UnsafeMutableRawPointer?
    let result =
      isOfProcess
      ? unsafe csystem_process_timer(signal, &made) : unsafe csystem_thread_timer(signal, &made)
    guard result == 0, let timer = unsafe made else { return nil }
    unsafe raw = timer
  }

  deinit { unsafe csystem_thread_timer_free(raw) }

  /// From now on so many nanoseconds; 0: never.
  public func arm(_ nanoseconds: UInt64) { unsafe csystem_thread_timer_arm(raw, nanoseconds) }
}
