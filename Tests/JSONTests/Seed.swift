// Random numbers that a failed test can be run again with.

/// SplitMix64. `Seed.fresh()` prints itself as the line of Swift that repeats the run.
struct Seed: RandomNumberGenerator {
  let start: UInt64
  private var state: UInt64

  init(_ start: UInt64) {
    self.start = start
    state = start
  }

  static func fresh(_ test: String = #function) -> Seed {
    let seed = Seed(UInt64.random(in: .min ... .max))
    print("\(test): var seed = Seed(0x\(String(seed.start, radix: 16)))")
    return seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &self) }

  /// True once in `count` times.
  mutating func once(in count: Int) -> Bool { below(count) == 0 }
}
