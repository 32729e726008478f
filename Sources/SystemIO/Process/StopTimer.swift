// A timer for one thread.

internal import CSystem

/// Sends a signal to the thread that made it when the thread has had a time of the processor. What it
/// waits for does not count, nor how busy the machine is. Used on that thread only.
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

  /// So many nanoseconds of the thread's time from now on; 0: never.
  public func arm(_ nanoseconds: UInt64) { unsafe csystem_thread_timer_arm(raw, nanoseconds) }
}
