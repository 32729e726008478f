// Random numbers that a failed test can be run again with.

/// Numbers from a seed that is printed, so that a failure can be repeated: paste the printed line
/// over the one that made the seed.
public struct Seed: RandomNumberGenerator {
  public let start: UInt64
  private var state: UInt64

  public init(
    _ state: UInt64 = UInt64.random(in: 0...UInt64.max), _ place: String = #function
  ) {
    start = state
    self.state = state
    print("// \(place): var random = Seed(0x\(String(state, radix: 16)))")
  }

  /// SplitMix64.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }

  /// A number in 0..<limit.
  public mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

  public mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
