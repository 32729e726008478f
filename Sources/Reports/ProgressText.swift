// What is shown of long work: rate, what is left, and the three ways to write them.

internal import Bytes
internal import JSON
internal import SystemIO

/// How progress is shown.
package enum ProgressStyle: String, CaseIterable {
  /// One line of a terminal, written again and again.
  case bar
  /// A line a second.
  case plain
  /// The same as objects of JSON, one a line.
  case json
  case none
}

/// How fast a phase goes: over the last few seconds, so that a pause is forgotten.
struct ProgressRate {
  private var samples: [(time: UInt64, done: UInt64)] = []
  /// Samples are kept this far apart, and so many of them: 4 s.
  private static let spacing: UInt64 = 250_000_000
  private static let count = 17

  /// What a second brings, from the samples that there are; nil before there are two.
  private(set) var perSecond: Double?

  /// Takes in how much is done `now`, in nanoseconds.
  mutating func add(_ done: UInt64, now: UInt64) {
    if let last = samples.last, now < last.time + ProgressRate.spacing {
      guard samples.count > 1 || now > last.time else { return }
    } else {
      samples.append((now, done))
      if samples.count > ProgressRate.count { samples.removeFirst() }
    }
    guard let first = samples.first, now > first.time else { return }
    perSecond = Double(done &- min(done, first.done)) / Double(now - first.time) * 1e9
  }
}

/// A state of long work with its rate.
struct ProgressText {
  let state: ProgressState
  /// The title that a script gave, or "".
  let title: String
  let perSecond: Double?

  /// Seconds until the end of the phase, where they can be known.
  var secondsLeft: Double? {
    guard let total = state.total, let perSecond, perSecond > 0 else { return nil }
    return Double(total - min(total, state.done)) / perSecond
  }

  /// From 0 to 1; nil without a total.
  var share: Double? {
    guard let total = state.total else { return nil }
    return total == 0 ? 1 : min(1, Double(state.done) / Double(total))
  }

  private var name: String { title.isEmpty ? state.phase : title }

  private func amount(_ count: UInt64) -> String {
    state.unit.isEmpty ? bytes(Double(count)) : count.grouped
  }

  /// "1.2 GiB of 2.7 GiB", "17 of 20 pages".
  private var amounts: String {
    var text = amount(state.done)
    if let total = state.total { text += " of \(amount(total))" }
    return state.unit.isEmpty ? text : text + " \(state.unit)"
  }

  private var rate: String? {
    perSecond.map {
      state.unit.isEmpty
        ? bytes($0) + "/s" : UInt64(saturating: $0.rounded()).grouped + " \(state.unit)/s"
    }
  }

  /// One line without its end.
  var plain: String {
    var text = name + ":"
    if let share { text += " \(Int(share * 100)) %," }
    if state.total == nil, state.done == 0 {
      return state.moment == .end ? name + ": done" : name
    }
    text += " \(amounts)"
    if let rate { text += ", \(rate)" }
    if let secondsLeft, state.moment == .running { text += ", \(duration(secondsLeft)) left" }
    return text
  }

  /// One line of JSON with its end.
  var json: [UInt8] {
    var writer = JSONWriter(style: .compact)
    writer.beginObject()
    writer.member("phase", state.phase)
    if !title.isEmpty { writer.member("title", title) }
    writer.member("state", state.moment.rawValue)
    writer.member("done", state.done)
    if let total = state.total { writer.member("total", total) }
    writer.member("unit", state.unit.isEmpty ? "octets" : state.unit)
    if let perSecond { writer.member("per_second", UInt64(saturating: perSecond.rounded())) }
    if let secondsLeft, state.moment == .running {
      writer.member("seconds_left", UInt64(saturating: secondsLeft.rounded(.up)))
    }
    writer.endObject()
    return writer.finish()
  }

  /// What fits into `columns` cells of a terminal: the bar shrinks first, then what is least needed
  /// goes.
  func bar(columns: Int) -> String {
    var parts = [name]
    var end: [String] = []
    if let share { end.append(percent(share)) }
    if state.total != nil || state.done > 0 { end.append(amounts) }
    if let rate { end.append(rate) }
    if let secondsLeft { end.append("\(duration(secondsLeft)) left") }
    func length() -> Int { (parts + end).reduce(-2) { $0 + $1.count + 2 } }
    while length() > columns, end.count > 1 { end.remove(at: end.count - 2) }
    if length() > columns { end = [] }
    let room = min(40, columns - length() - 4)
    if let share, room >= 8 {
      let full = Int(share * Double(room))
      parts.append(
        "[" + String(repeating: "=", count: full) + (full < room ? ">" : "")
          + String(repeating: " ", count: max(0, room - full - 1)) + "]")
    }
    return String((parts + end).joined(separator: "  ").prefix(max(1, columns)))
  }

  private func percent(_ share: Double) -> String {
    let digits = "\(Int(share * 100))"
    return String(repeating: " ", count: max(0, 3 - digits.count)) + digits + " %"
  }
}

/// Bytes in the unit that leaves one to four digits: "812 KiB", "1.2 GiB".
private func bytes(_ count: Double) -> String {
  var value = count
  var unit = 0
  let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
  while value >= 1000, unit < units.count - 1 {
    value /= 1024
    unit += 1
  }
  let tenths = Int(saturating: (value * 10).rounded())
  let text =
    unit == 0 || tenths >= 100
    ? "\(Int(saturating: value.rounded()))" : "\(tenths / 10).\(tenths % 10)"
  return "\(text) \(units[unit])"
}

/// Seconds as "0:07" or "1:02:03".
private func duration(_ seconds: Double) -> String {
  let all = Int(min(seconds, 359_999).rounded(.up))
  func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
  let (hours, minutes) = (all / 3600, all / 60 % 60)
  return (hours > 0 ? "\(hours):\(two(minutes))" : "\(minutes)") + ":\(two(all % 60))"
}
