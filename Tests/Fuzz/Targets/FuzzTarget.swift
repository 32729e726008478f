// What is fuzzed: one row a parser or protocol. A new one is added to `all`.

/// What a target found: the code under test did not keep a promise.
struct Violation: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// Refuses what must not be. `problem` is only made where it is needed.
func demand(_ isKept: Bool, _ problem: @autoclosure () -> String) throws {
  if !isKept { throw Violation(problem()) }
}

/// One parser or protocol, fed with bytes.
///
/// Its function must not trap, must not depend on earlier inputs, and throws a `Violation` where
/// something that is promised does not hold (written bytes are the read ones; a file and a pipe say
/// the same ...).
struct FuzzTarget: Sendable {
  let name: String
  /// The longest input that makes sense: every seed fits.
  let byteLimit: Int
  /// Small valid inputs to begin with.
  let seeds: @Sendable () -> [[UInt8]]
  let run: @Sendable ([UInt8]) throws -> Void

  init(
    _ name: String, limit: Int, seeds: @escaping @Sendable () -> [[UInt8]],
    _ run: @escaping @Sendable ([UInt8]) throws -> Void
  ) {
    self.name = name
    byteLimit = max(limit, seeds().map(\.count).max() ?? 0)
    self.seeds = seeds
    self.run = run
  }

  static let all: [FuzzTarget] =
    imageTargets + pageTargets + guestTargets + recordTargets + textTargets + protocolTargets
    + wireTargets + storeTargets + managerTargets + luaTargets

  static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

extension [UInt8] {
  var text: String { String(decoding: self, as: UTF8.self) }

  /// The choices at the end of an input, and what stands before them.
  func splitting(last count: Int) -> (body: [UInt8], choices: [UInt8]) {
    let cut = Swift.max(0, self.count - count)
    let choices = Array(self[cut...])
    return (
      Array(self[..<cut]), choices + [UInt8](repeating: 0, count: count - choices.count)
    )
  }

  /// Little-endian bytes of `value` over those at `offset`.
  mutating func put(_ offset: Int, _ value: UInt64) {
    for place in 0..<8 {
      self[offset + place] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(place)))
    }
  }
}
