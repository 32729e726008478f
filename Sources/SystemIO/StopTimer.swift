// A timer for one thread.

internal import CSystem

/// Sends a signal to the thread that made it when a time has passed. Used on that thread only.
@safe
public final class StopTimer {
  private let raw: UnsafeMutableRawPointer

  /// nil where the system gives no timer.
  public init?(signal: Int32) {
    var made: UnsafeMutableRawPointer?
    guard unsafe csystem_thread_timer(signal, &made) == 0, let timer = unsafe made else {
      return nil
    }
    unsafe raw = timer
  }

  deinit { unsafe csystem_thread_timer_free(raw) }

  /// From now on so many nanoseconds; 0: never.
  public func arm(_ nanoseconds: UInt64) { unsafe csystem_thread_timer_arm(raw, nanoseconds) }
}
