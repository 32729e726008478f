// What the guest of a simulated domain does with its memory.

internal import Bytes

/// Writes to memory, as phases that follow each other. Which pages are written follows from the
/// seed and the time alone, not from how often somebody looks.
public struct Workload: Sendable, Equatable {
  public struct Phase: Sendable, Equatable {
    /// Nanoseconds; the last phase of a workload that does not repeat continues for ever.
    public var duration: UInt64
    /// Writes a second, each to one page.
    public var writesPerSecond: UInt64
    /// Pages of the hot set, the first ones that the guest has; 0: none.
    public var hotPageCount: Int
    /// Of 100 writes, how many go to the hot set.
    public var hotPercent: Int
    /// Of 100 writes, how many make a page zero.
    public var zeroPercent: Int
    /// Writes of a burst, to pages one after another, and nanoseconds between two bursts; 0: none.
    public var burstWrites: Int
    public var burstInterval: UInt64

    public init(
      duration: UInt64 = 1_000_000_000, writesPerSecond: UInt64 = 0, hotPageCount: Int = 0,
      hotPercent: Int = 0, zeroPercent: Int = 0, burstWrites: Int = 0, burstInterval: UInt64 = 0
    ) {
      self.duration = duration
      self.writesPerSecond = writesPerSecond
      self.hotPageCount = hotPageCount
      self.hotPercent = hotPercent
      self.zeroPercent = zeroPercent
      self.burstWrites = burstWrites
      self.burstInterval = burstInterval
    }
  }

  public var phases: [Phase]
  /// Whether the first phase follows the last one.
  public var isRepeating: Bool

  public init(_ phases: [Phase], isRepeating: Bool = true) {
    precondition(phases.allSatisfy { $0.duration > 0 })
    self.phases = phases
    self.isRepeating = isRepeating
  }

  public static let idle = Workload([])

  /// One rate for ever, over all pages.
  public static func steady(writesPerSecond: UInt64) -> Workload {
    Workload([Phase(writesPerSecond: writesPerSecond)])
  }
}

/// SplitMix64.
struct SimRandom: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }

  mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }
}

/// A workload on its way.
struct WorkloadRunner {
  /// One write: to the page with this rank among those that may be written.
  struct Write {
    let rank: Int
    let isZero: Bool
    let value: UInt64
  }

  let workload: Workload
  private var random: SimRandom
  private var phase = 0
  /// Guest time within the phase, and the writes and bursts of it that were done.
  private var time: UInt64 = 0
  private var writeCount: UInt64 = 0
  private var burstCount: UInt64 = 0
  private var burstPlace: UInt64 = 0

  init(_ workload: Workload, seed: UInt64) {
    self.workload = workload
    random = SimRandom(seed)
  }

  /// Lets the guest run for `nanoseconds`; `write` is called in the order of time.
  mutating func run(_ nanoseconds: UInt64, pageCount: Int, write: (Write) -> Void) {
    guard !workload.phases.isEmpty, pageCount > 0 else { return }
    var rest = nanoseconds
    while rest > 0 {
      let current = workload.phases[phase]
      let isForever = !workload.isRepeating && phase == workload.phases.count - 1
      let step = isForever ? rest : min(rest, current.duration - time)
      work(current, until: time + step, pageCount, write)
      time += step
      rest -= step
      if !isForever, time == current.duration {
        phase = (phase + 1) % workload.phases.count
        (time, writeCount, burstCount) = (0, 0, 0)
      }
    }
  }

  private mutating func work(
    _ phase: Workload.Phase, until end: UInt64, _ pageCount: Int, _ write: (Write) -> Void
  ) {
    // Bursts cut the time into chunks, so that all writes come in their order.
    while phase.burstInterval > 0,
      (burstCount + 1).multipliedSaturated(by: phase.burstInterval) <= end
    {
      burstCount += 1
      steady(phase, until: burstCount * phase.burstInterval, pageCount, write)
      for _ in 0..<phase.burstWrites {
        write(Write(rank: Int(burstPlace % UInt64(pageCount)), isZero: false, value: random.next()))
        burstPlace &+= 1
      }
    }
    steady(phase, until: end, pageCount, write)
  }

  private mutating func steady(
    _ phase: Workload.Phase, until end: UInt64, _ pageCount: Int, _ write: (Write) -> Void
  ) {
    let product = end.multipliedFullWidth(by: phase.writesPerSecond)
    let second: UInt64 = 1_000_000_000
    let due =
      product.high < second
      ? second.dividingFullWidth((product.high, product.low)).quotient : .max
    while writeCount < due {
      writeCount += 1
      let isHot = phase.hotPageCount > 0 && random.below(100) < phase.hotPercent
      let limit = isHot ? min(phase.hotPageCount, pageCount) : pageCount
      let isZero = phase.zeroPercent > 0 && random.below(100) < phase.zeroPercent
      write(Write(rank: random.below(limit), isZero: isZero, value: random.next()))
    }
  }
}
