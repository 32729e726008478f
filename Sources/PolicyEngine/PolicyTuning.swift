// Searching values for a policy's options.

internal import Glibc
package import Live
package import LuaRuntime

/// What a policy's options are searched for, and what its saves must keep to.
package struct TuningGoal: Sendable {
  package enum Measure: String, CaseIterable, Sendable { case downtime, bytes, total }

  package let measure: Measure
  /// Nanoseconds for which the guest may stand still; nil: any.
  package let downtimeLimit: UInt64?
  /// Nanoseconds that a save may take; nil: any.
  package let totalLimit: UInt64?

  package init(_ measure: Measure, downtimeLimit: UInt64?, totalLimit: UInt64?) {
    self.measure = measure
    self.downtimeLimit = downtimeLimit
    self.totalLimit = totalLimit
  }

  /// How a save compares with the one that Xen's builtin policy makes.
  package struct Comparison: Sendable, Equatable {
    /// The measure, as a part of the builtin's; infinite where the save did not come to its end.
    package let ratio: Double
    /// Whether it came to its end within the limits.
    package let isWithin: Bool
    /// What the search makes small: the ratio's logarithm, and more for what is beyond a limit.
    fileprivate let cost: Double
  }

  package func compare(_ result: Replay.Result, with builtin: Replay.Result) -> Comparison {
    guard result.outcome == .complete else {
      return Comparison(ratio: .infinity, isWithin: false, cost: 1000)
    }
    let ratio = value(result) / value(builtin)
    var excess = 0.0
    for (value, limit) in [(result.downtime, downtimeLimit), (result.total, totalLimit)] {
      guard let limit, value > limit else { continue }
      excess += 100 + log(Double(value) / Double(max(limit, 1)))
    }
    // Beyond a limit only the way back counts.
    return Comparison(ratio: ratio, isWithin: excess == 0, cost: excess > 0 ? excess : log(ratio))
  }

  /// The measure. A millisecond or a page more keeps what is next to nothing from being all that counts.
  private func value(_ result: Replay.Result) -> Double {
    switch measure {
    case .downtime: Double(result.downtime) + 1_000_000
    case .total: Double(result.total) + 1_000_000
    case .bytes: Double(result.bytes) + 4096
    }
  }
}

/// Searches the numbers among a policy's options: changed values of what is best so far, in ever
/// smaller steps. The same seed gives the same values.
package struct PolicyTuning {
  /// Values by the names of options.
  package typealias Values = [String: LuaValue]

  /// Values that are tried side by side.
  package static let generationSize = 16

  private struct Parameter {
    let name: String
    let isInteger: Bool
  }

  private let parameters: [Parameter]
  private var best: [Double]
  private var bestCost = Double.infinity
  private var random: TuningRandom

  /// `options`: those of the policy with their defaults; `fixed` are the names of those that stay.
  /// Options that are no numbers stay, too.
  package init(_ options: LuaValue, fixed: Set<String>, seed: UInt64) {
    var parameters: [Parameter] = []
    var values: [Double] = []
    if case .table(let fields) = options {
      for (name, value) in fields.sorted(by: { $0.name < $1.name }) where !fixed.contains(name) {
        switch value {
        case .integer(let integer):
          parameters.append(Parameter(name: name, isInteger: true))
          values.append(Double(integer))
        case .number(let real) where real.isFinite:
          parameters.append(Parameter(name: name, isInteger: false))
          values.append(real)
        default: break
        }
      }
    }
    self.parameters = parameters
    best = values
    random = TuningRandom(state: seed)
  }

  /// The options that are searched.
  package var names: [String] { parameters.map(\.name) }

  /// The best values so far; at first the defaults.
  package var values: Values { named(best) }

  /// What is to be tried next: `step` is 1 at first, and 0 at the end. The first of all are the values
  /// that there are.
  package mutating func generation(step: Double) -> [Values] {
    candidates = (0..<PolicyTuning.generationSize).map { index in
      index == 0 && bestCost == .infinity ? best : changed(0.15 + 1.1 * max(0, min(step, 1)))
    }
    return candidates.map(named)
  }

  private var candidates: [[Double]] = []

  /// Takes what came of a generation: for each of its values how the saves of all traces compare.
  package mutating func take(_ results: [[TuningGoal.Comparison]]) {
    for (candidate, comparisons) in zip(candidates, results) where !comparisons.isEmpty {
      let cost = comparisons.reduce(0) { $0 + $1.cost } / Double(comparisons.count)
      // Values that are no better stay as the policy's author chose them.
      if cost < bestCost - 1e-6 { (bestCost, best) = (cost, candidate) }
    }
  }

  private func named(_ values: [Double]) -> Values {
    var out: Values = [:]
    for (parameter, value) in zip(parameters, values) {
      out[parameter.name] =
        parameter.isInteger ? .integer(Int64(clamping: value)) : .number(value)
    }
    return out
  }

  /// The best values with some changed by a factor: most often near 1, by `width` in logarithms.
  private mutating func changed(_ width: Double) -> [Double] {
    var out = best
    let chance = max(0.35, 1 / Double(max(1, out.count)))
    var isChanged = false
    while !isChanged, !out.isEmpty {
      for index in out.indices where random.unit() < chance {
        let old = out[index]
        let factor = exp(width * random.normal())
        if parameters[index].isInteger {
          // From 0 on a factor leads nowhere.
          let next = (max(abs(old), 1) * factor).rounded()
          out[index] = old == 0 ? next - 1 : next * (old < 0 ? -1 : 1)
          if out[index] == old { out[index] += random.unit() < 0.5 && old > 0 ? -1 : 1 }
        } else {
          out[index] = old == 0 ? 0.1 * factor : old * factor
        }
        isChanged = true
      }
    }
    return out
  }
}

extension Int64 {
  fileprivate init(clamping value: Double) {
    self = Int64(exactly: value.rounded()) ?? (value < 0 ? .min : .max)
  }
}

/// SplitMix64.
private struct TuningRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// In 0..<1.
  mutating func unit() -> Double { Double(next() >> 11) / Double(1 << 53 as UInt64) }

  /// Of the normal distribution (Box and Muller).
  mutating func normal() -> Double {
    sqrt(-2 * log(1 - unit())) * cos(2 * .pi * unit())
  }
}
