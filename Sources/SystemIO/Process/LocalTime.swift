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

  /// The time in UTC as in 20251125T081500Z; "" for one that no calendar has.
  public static func stamp(at seconds: Double) -> String {
    guard seconds.isFinite, abs(seconds) < 1e11 else { return "" }
    var (time, parts) = unsafe (time_t(seconds.rounded(.down)), tm())
    var text = [CChar](repeating: 0, count: 32)
    // Safety: strftime writes at most that many characters.
    guard unsafe gmtime_r(&time, &parts) != nil,
      case let count = unsafe strftime(&text, text.count, "%Y%m%dT%H%M%SZ", &parts), count > 0
    else { return "" }
    return String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Seconds since 1970 of this day at so many hours since midnight.
  public static func today(atHour hour: Double) -> Double {
    let now = now
    return now + (hour - self.hour(at: now)) * 3600
  }
}
