// Trying policies on recorded saves.

internal import Bytes
internal import Format
package import Live
package import LuaRuntime
internal import SystemIO

/// A recorded save, and a link to replay it over.
package struct Backtest {
  package let name: String
  package let trace: Trace
  package let replay: Replay
  package let bytesPerSecond: UInt64
  /// Hours since midnight at which the replayed save begins; nil: now.
  package let hour: Double?

  /// Throws where the trace holds no round to go by.
  package init(
    _ name: String, _ trace: Trace, bytesPerSecond: UInt64, hour: Double? = nil
  ) throws(LuaError) {
    guard let replay = Replay(trace, bytesPerSecond: bytesPerSecond) else {
      throw LuaError(
        "\(name): expected the trace of a live save that came to the end of its first round",
        code: "unsuitable")
    }
    self.name = name
    self.trace = trace
    self.replay = replay
    self.bytesPerSecond = bytesPerSecond
    self.hour = hour
  }

  /// What came of a policy.
  package struct Outcome {
    package let name: String
    package let result: Replay.Result
    package let decisions: [(stats: PrecopyStats, verdict: PrecopyDecision, isBuiltin: Bool)]
    package let failureCount: Int
  }

  /// The clock of a replay: the save begins at `hour`, and virtual time passes.
  package var wallTime: (UInt64) -> Double {
    let start = hour.map { LocalTime.today(atHour: $0) } ?? LocalTime.now
    return { start + Double($0) / 1e9 }
  }

  package func run(_ policy: LuaPolicy) -> Outcome {
    let result = replay.run(policy)
    return Outcome(
      name: policy.name, result: result, decisions: policy.decisions,
      failureCount: policy.failureCount)
  }

  /// Reads the text of a trace.
  package static func read(_ path: String) throws(LuaError) -> Trace {
    let bytes: [UInt8]
    do {
      let source = try Source(opening: path)
      bytes = try source.read(Int(min(source.byteCount ?? 64 << 20, 64 << 20)))
    } catch {
      let error = XensaveError(error)
      throw LuaError(error.description, code: error.word)
    }
    do { return try Trace(parsing: String(decoding: bytes, as: UTF8.self)) } catch {
      throw LuaError("\(path): \(error)", code: "bad_trace")
    }
  }

  /// Bytes a second of "10G" (bits a second, as links are sold), "800M", "1.5G"; nil for others.
  package static func link(_ word: String) -> UInt64? {
    let units: [Character: Double] = ["k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12]
    var digits = word
    var factor = 1.0
    if let last = word.last, let unit = units[last] {
      factor = unit
      digits.removeLast()
    }
    guard let rate = Double(digits), rate.isFinite else { return nil }
    let bytes = rate * factor / 8
    return bytes >= 1 && bytes < 1e18 ? UInt64(bytes) : nil
  }

  /// Hours of "23:30" or "7"; nil for others.
  package static func hour(_ word: String) -> Double? {
    let parts = word.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count <= 2, let hours = Int(parts[0]), (0..<24).contains(hours) else { return nil }
    guard parts.count == 2 else { return Double(hours) }
    guard let minutes = Int(parts[1]), (0..<60).contains(minutes) else { return nil }
    return Double(hours) + Double(minutes) / 60
  }
}

extension SaveOutcome {
  package var word: String {
    switch self {
    case .complete: "complete"
    case .aborted: "aborted"
    case .failed: "failed"
    }
  }
  package var reason: String {
    switch self {
    case .complete: ""
    case .aborted(let text), .failed(let text): text
    }
  }
}

extension PrecopyDecision {
  package var word: String {
    switch self {
    case .continuePrecopy: "continue"
    case .stopAndCopy: "stop"
    case .abort: "abort"
    }
  }
}
