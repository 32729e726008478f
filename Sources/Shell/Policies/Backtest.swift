// Trying policies on recorded saves.

internal import Bytes
internal import Format
internal import Live
internal import LuaRuntime
internal import SystemIO

/// A recorded save, and a link to replay it over.
struct Backtest {
  let name: String
  let trace: Trace
  let replay: Replay
  let octetsPerSecond: UInt64
  /// Hours since midnight at which the replayed save begins; nil: now.
  let hour: Double?

  /// Throws where the trace holds no round to go by.
  init(
    _ name: String, _ trace: Trace, octetsPerSecond: UInt64, hour: Double? = nil
  ) throws(LuaError) {
    guard let replay = Replay(trace, octetsPerSecond: octetsPerSecond) else {
      throw LuaError(
        "\(name): expected the trace of a live save that came to the end of its first round",
        code: "unsuitable")
    }
    self.name = name
    self.trace = trace
    self.replay = replay
    self.octetsPerSecond = octetsPerSecond
    self.hour = hour
  }

  /// What came of a policy.
  struct Outcome {
    let name: String
    let result: Replay.Result
    let decisions: [(stats: PrecopyStats, verdict: Verdict, isBuiltin: Bool)]
    let failureCount: Int
  }

  /// The clock of a replay: the save begins at `hour`, and virtual time passes.
  var wallTime: (UInt64) -> Double {
    let start = hour.map { LocalTime.today(atHour: $0) } ?? LocalTime.now
    return { start + Double($0) / 1e9 }
  }

  func run(_ policy: LuaPolicy) -> Outcome {
    let result = replay.run(policy)
    return Outcome(
      name: policy.name, result: result, decisions: policy.decisions,
      failureCount: policy.failureCount)
  }

  /// Reads the text of a trace.
  static func read(_ path: String) throws(LuaError) -> Trace {
    let octets: [UInt8]
    do throws(SystemError) {
      let source = try Source(opening: path)
      octets = try source.read(Int(min(source.byteCount ?? 64 << 20, 64 << 20)))
    } catch { throw LuaError(error.description, code: error.symbol) }
    do { return try Trace(parsing: String(decoding: octets, as: UTF8.self)) } catch {
      throw LuaError("\(path): \(error)", code: "bad_trace")
    }
  }

  /// Octets a second of "10G" (bits a second, as links are sold), "800M", "1.5G"; nil for others.
  static func link(_ word: String) -> UInt64? {
    let units: [Character: Double] = ["k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12]
    var digits = word
    var factor = 1.0
    if let last = word.last, let unit = units[last] {
      factor = unit
      digits.removeLast()
    }
    guard let number = Double(digits), number.isFinite else { return nil }
    let octets = number * factor / 8
    return octets >= 1 && octets < 1e18 ? UInt64(octets) : nil
  }

  /// Hours of "23:30" or "7"; nil for others.
  static func hour(_ word: String) -> Double? {
    let parts = word.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let hours = Int(parts[0]), (0..<24).contains(hours) else { return nil }
    guard parts.count == 2 else { return Double(hours) }
    guard let minutes = Int(parts[1]), (0..<60).contains(minutes) else { return nil }
    return Double(hours) + Double(minutes) / 60
  }
}

extension SaveOutcome {
  var word: String {
    switch self {
    case .complete: "complete"
    case .aborted: "aborted"
    case .failed: "failed"
    }
  }
  var reason: String {
    switch self {
    case .complete: ""
    case .aborted(let text), .failed(let text): text
    }
  }
}

extension Verdict {
  var word: String {
    switch self {
    case .proceed: "continue"
    case .stopAndCopy: "stop"
    case .abort: "abort"
    }
  }
}

/// Numbers for tables.
enum Shown {
  static func octets(_ count: UInt64) -> String {
    let units = ["octets", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(count)
    var unit = 0
    while value >= 1024, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(count) octets" : "\(fixed(value, value < 10 ? 2 : 1)) \(units[unit])"
  }

  static func time(_ nanoseconds: UInt64) -> String {
    let seconds = Double(nanoseconds) / 1e9
    if seconds < 1 { return "\(fixed(seconds * 1000, seconds < 0.01 ? 2 : 0)) ms" }
    return "\(fixed(seconds, seconds < 10 ? 2 : 1)) s"
  }

  static func fixed(_ value: Double, _ digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let whole = Int64(saturating: (value * scale).rounded())
    guard digits > 0 else { return "\(whole)" }
    let text = String(whole.magnitude)
    let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    return (whole < 0 ? "-" : "") + padded.dropLast(digits) + "." + padded.suffix(digits)
  }

  /// Rows in columns; those of `right` stand on the right.
  static func table(_ rows: [[String]], right: Set<Int>) -> String {
    let count = rows.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    var out = ""
    for row in rows {
      var line = ""
      for (column, cell) in row.enumerated() {
        let gap = String(repeating: " ", count: widths[column] - cell.count)
        line += (column > 0 ? "  " : "") + (right.contains(column) ? gap + cell : cell + gap)
      }
      while line.last == " " { line.removeLast() }
      out += line + "\n"
    }
    return out
  }
}
