// What a policy wants of the rounds beside sending them, and what the loops say of it.

internal import Bytes

/// How rounds are sent, from an answer of a policy until the next one.
public struct RoundMeasures: Sendable, Equatable {
  /// Pages that were dirty in `hits` of the last `rounds` rounds.
  public struct Deferral: Sendable, Equatable {
    /// 1 to `rounds`.
    public var hits: Int
    /// 1 to 8.
    public var rounds: Int

    public init(hits: Int, rounds: Int) {
      self.hits = hits
      self.rounds = rounds
    }
  }

  public enum Order: String, Sendable, CaseIterable {
    /// By their numbers.
    case ascending
    /// Those that were dirty in one round only before those that were dirty again and again.
    case coldFirst = "cold_first"
  }

  /// Such pages wait until the guest stands still; nil: none do.
  public var deferral: Deferral?
  /// Whether a page that is dirty again when its turn comes is left to the next round. Not in the first
  /// one: restorers make superpages of whole batches.
  public var skipsDirtyPages = false
  /// Of 100, how much of their processors the guest's vCPUs have to do without: 0 to 99.
  public var throttle = 0
  public var order = Order.ascending
  /// Bytes a second that are sent at most while the guest runs; nil: no limit.
  public var byteLimit: UInt64?

  public init() {}
}

/// What a loop and its policy say to each other beside decisions; the loop's closures use it.
final class RoundTally {
  /// What the policy wants of the next round.
  var measures = RoundMeasures()
  /// Pages that wait for the last round and are not dirty now.
  var deferredCount = 0
  /// Pages of the last round that were left to the next one.
  var skippedCount = 0
  /// Element n: pages that were dirty in more than n of the last eight rounds.
  var hotCounts = [Int](repeating: 0, count: PageHeat.roundLimit)
  /// What the guest is throttled by now.
  var throttle = 0
  /// Bytes of the stream that were written.
  var byteCount: UInt64 = 0
}

/// Which pages were dirty in the last eight rounds: one byte a page.
struct PageHeat {
  static let roundLimit = 8

  /// A bit a round, the last one lowest.
  private var history: [UInt8]
  private var roundCount = 0

  init(count: Int) { history = [UInt8](repeating: 0, count: count) }

  /// Notes the dirty pages of a round.
  mutating func note(_ dirty: PageBitmap) {
    precondition(dirty.count == history.count)
    roundCount += 1
    for (index, word) in dirty.words.enumerated() {
      let first = index << 6
      // Most words of most rounds are empty, and so is what was before.
      for bit in 0..<min(64, history.count - first) {
        let isDirty = UInt8(truncatingIfNeeded: word >> UInt64(bit)) & 1
        history[first + bit] = history[first + bit] << 1 | isDirty
      }
    }
  }

  /// Element n: pages that were dirty in more than n of the last eight rounds.
  var counts: [Int] {
    var byHits = [Int](repeating: 0, count: PageHeat.roundLimit + 1)
    for byte in history { byHits[byte.nonzeroBitCount] += 1 }
    var sum = 0
    return byHits.dropFirst().reversed().map { count in
      sum += count
      return sum
    }.reversed()
  }

  /// Pages that were dirty in both of the last two rounds; nil where there were no two.
  var againCount: Int? {
    roundCount < 2 ? nil : history.reduce(0) { $0 + ($1 & 3 == 3 ? 1 : 0) }
  }

  /// Whether a page was dirty as often as this.
  func isHot(_ page: Int, _ deferral: RoundMeasures.Deferral) -> Bool {
    let rounds = min(max(deferral.rounds, 1), PageHeat.roundLimit)
    let mask = UInt8(truncatingIfNeeded: 1 << rounds - 1)
    return (history[page] & mask).nonzeroBitCount >= max(deferral.hits, 1)
  }

  /// The pages of `dirty` that were dirty as often as this.
  func hot(_ dirty: PageBitmap, _ deferral: RoundMeasures.Deferral) -> PageBitmap {
    var out = PageBitmap(count: dirty.count)
    // All pages are dirty before the first round.
    guard roundCount > 0 else { return out }
    dirty.forEach { page in if isHot(page, deferral) { out[page] = true } }
    return out
  }
}
