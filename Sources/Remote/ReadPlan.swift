// What of an object is asked for before it is needed.

internal import Bytes

/// The reads of one source over an object, and what they make likely.
///
/// Two things are read ahead. Bytes that follow one another: as many as were read that way, up to a
/// window. And headers of records far apart: where two jumps were equally long, the next headers probably
/// lie as far apart again, and several are asked for at once; as many more as such guesses come true. A
/// wrong guess costs as much as one header.
struct ReadPlan {
  /// Bytes that are read ahead, at most.
  static let window: UInt64 = 8 << 20
  /// Bytes that must have followed one another before more are asked for.
  private static let streakLimit: UInt64 = 64 << 10
  /// The least that a request asks for: less costs as much.
  private static let least: UInt64 = 2 << 10
  /// The most that is guessed to be a header.
  private static let headerLimit: UInt64 = 64 << 10
  private static let depthLimit: UInt64 = 32
  /// Jumps that are shorter are no records of pages.
  private static let shortestJump: UInt64 = 64 << 10

  /// The end of the last read.
  private var end: UInt64 = 0
  /// Bytes that followed one another up to there.
  private var streak: UInt64 = 0
  /// What will be read in its order.
  private var expected: Range<UInt64> = 0..<0
  /// Where the last jump led, and how far.
  private var landing: UInt64 = 0
  private var jump: UInt64 = 0
  /// The length that two jumps had, one after the other.
  private var stride: UInt64?
  /// How many headers are asked for at once.
  private var depth: UInt64 = 2
  /// The guesses that nobody has needed yet.
  private var guesses: [UInt64] = []
  private var missed = 0

  /// The end of what is read ahead: it moves in steps, so that each is one request.
  private static func step(_ start: UInt64, _ count: UInt64) -> UInt64 {
    let end = start.addingSaturated(count)
    return end - end % min(stepByteCount, max(count / 4, 1))
  }
  private static let stepByteCount: UInt64 = 1 << 20

  mutating func expect(_ range: Range<UInt64>) { expected = range }

  /// What to ask for when `range` is read: first what is needed, and then what is likely to be.
  mutating func read(_ range: Range<UInt64>, of byteCount: UInt64) -> [Range<UInt64>] {
    let isNext = range.lowerBound == end
    if !isNext { streak = 0 }
    var out = [range]
    if expected.contains(range.lowerBound) {
      // A part of it was read: the rest is asked for as fast as it is taken.
      let last = min(expected.upperBound, ReadPlan.step(range.lowerBound, ReadPlan.window))
      out = [range.lowerBound..<max(range.upperBound, last)]
    } else if isNext, streak >= ReadPlan.streakLimit {
      let last = ReadPlan.step(range.upperBound, min(streak, ReadPlan.window))
      out = [range.lowerBound..<max(range.upperBound, last)]
    } else if range.count < ReadPlan.least {
      out = [range.lowerBound..<range.lowerBound.addingSaturated(ReadPlan.least)]
    }
    if !isNext { out += headers(after: range) }
    return out.compactMap {
      let last = min($0.upperBound, byteCount)
      return $0.lowerBound < last ? $0.lowerBound..<last : nil
    }
  }

  /// How much of a read was given: what follows begins there.
  mutating func got(_ range: Range<UInt64>) {
    streak = streak.addingSaturated(UInt64(range.count))
    end = range.upperBound
  }

  /// The headers that may be read after that at `range`, to which one has jumped.
  private mutating func headers(after range: Range<UInt64>) -> [Range<UInt64>] {
    let place = range.lowerBound
    let length = place > landing ? place - landing : 0
    // Over a part of a record, or back.
    guard length == 0 || length >= ReadPlan.shortestJump else { return [] }
    defer {
      landing = place
      jump = length
    }
    if length > 0, length == jump { stride = length }
    guard let stride, range.count <= ReadPlan.headerLimit else { return [] }
    if let index = guesses.firstIndex(of: place) {
      missed = 0
      depth = min(2 * depth, ReadPlan.depthLimit)
      guesses.removeFirst(index + 1)
    } else if !guesses.isEmpty {
      missed += 1
      depth = max(1, depth / 2)
      guesses = []
    }
    // An image of other records than most: nothing is guessed until two jumps are alike again.
    if missed > 8 {
      self.stride = nil
      missed = 0
      return []
    }
    var out: [Range<UInt64>] = []
    var next = guesses.last ?? place
    while UInt64(guesses.count) < depth {
      let (sum, overflow) = next.addingReportingOverflow(stride)
      guard !overflow else { break }
      next = sum
      guesses.append(next)
      out.append(next..<next.addingSaturated(UInt64(range.count)))
    }
    return out
  }
}
