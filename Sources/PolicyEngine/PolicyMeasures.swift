// What a policy's table says of the rounds beside its decision.

internal import Format
internal import Live
internal import LuaRuntime

/// Reads `defer`, `skip`, `throttle`, `order` and `limit` of an answer.
struct PolicyMeasures {
  static let names = ["defer", "skip", "throttle", "order", "limit"]

  private let frame: LuaFrame

  init(_ frame: LuaFrame) { self.frame = frame }

  /// Those of the table at `index`.
  func read(_ index: Int) throws(LuaError) -> RoundMeasures {
    var out = RoundMeasures()
    for (name, _) in try frame.fieldNames(index) {
      frame.pushField(index, name)
      defer { frame.pop() }
      let value = frame.count
      switch name {
      case "defer": out.deferral = try deferral(value)
      case "skip":
        guard frame.type(value) == .boolean else { throw problem(name, "a boolean", value) }
        out.skipsDirtyPages = frame.boolean(value)
      case "throttle":
        out.throttle = Int(try number(name, value, 0...99, "a number of percent, 0 to 99"))
      case "order":
        let word = frame.type(value) == .string ? frame.beginning(value, 40) : nil
        guard let order = word.flatMap({ RoundMeasures.Order(rawValue: $0) }) else {
          throw problem(name, "\"ascending\" or \"cold_first\"", value)
        }
        out.order = order
      case "limit":
        out.byteLimit = UInt64(
          try number(name, value, 1...1e15, "bytes a second, 1 to 10^15"))
      default:
        throw LuaError(
          "precopy: an answer has no field '\(name)'"
            + didYouMean(name, among: PolicyMeasures.names), code: "nonsense")
      }
    }
    return out
  }

  /// {2, 3}: dirty in two of the last three rounds.
  private func deferral(_ index: Int) throws(LuaError) -> RoundMeasures.Deferral {
    let expected = "{hits, rounds}, with 1 <= hits <= rounds <= 8"
    guard frame.type(index) == .table else { throw problem("defer", expected, index) }
    frame.pushElement(index, 1)
    frame.pushElement(index, 2)
    defer { frame.pop(2) }
    guard let hits = frame.integerIfAny(index + 1), let rounds = frame.integerIfAny(index + 2),
      (1...8).contains(rounds), (1...rounds).contains(hits)
    else { throw problem("defer", expected, index) }
    return RoundMeasures.Deferral(hits: Int(hits), rounds: Int(rounds))
  }

  private func number(
    _ name: String, _ index: Int, _ range: ClosedRange<Double>, _ expected: String
  ) throws(LuaError) -> Double {
    guard frame.type(index) == .number, range.contains(frame.number(index)) else {
      throw problem(name, expected, index)
    }
    return frame.number(index).rounded(.down)
  }

  private func problem(_ name: String, _ expected: String, _ index: Int) -> LuaError {
    LuaError(
      "precopy: \(name): expected \(expected), got \(frame.text(index, limit: 100))",
      code: "nonsense")
  }
}
