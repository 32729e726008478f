// The time of day.

internal import Glibc

/// Clock times of this machine's zone.
public enum LocalTime {
  /// Seconds since 1970.
  public static var now: Double {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Hours since midnight at so many seconds since 1970: 0 up to 24.
  public static func hour(at seconds: Double) -> Double {
    guard seconds.isFinite, abs(seconds) < 1e15 else { return 0 }
    var (time, parts) = unsafe (time_t(seconds.rounded(.down)), tm())
    guard unsafe localtime_r(&time, &parts) != nil else { return 0 }
    let whole = unsafe Double(parts.tm_hour) + Double(parts.tm_min) / 60
    return whole + (unsafe Double(parts.tm_sec)) / 3600
  }

  /// Seconds since 1970 of this day at so many hours since midnight.
  public static func today(atHour hour: Double) -> Double {
    let now = now
    return now + (hour - self.hour(at: now)) * 3600
  }
}
