// What of an object is asked for before it is needed.

internal import Bytes

/// The reads of one source over an object, and what they make likely.
///
/// Three things are read ahead. Bytes that follow one another: as many as were read that way, up to a
/// window. Headers of records far apart: where two jumps were equally long, the next headers probably
/// lie as far apart again, and several are asked for at once; as many more as such guesses come true. A
/// wrong guess costs as much as one header. And the block around a read, where there was one in it before:
/// what a guest's kernel has allocated together is needed together.
struct ReadPlan {
  /// Bytes that are read ahead, at most.
  static let window: UInt64 = 8 << 20
  /// Bytes that must have followed one another before more are asked for.
  private static let streakLimit: UInt64 = 16 << 10
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
  /// Bytes that were announced before it, each range where the one before ended.
  private var announced: UInt64 = 0
  /// The blocks of the last reads that followed no other, the oldest first.
  private var blocks: [UInt64] = []
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

  /// A block is an eighth of what a link of 100 Mbit/s brings while a request takes its 40 ms.
  private static let blockByteCount: UInt64 = 64 << 10
  private static let blockLimit = 256

  mutating func expect(_ range: Range<UInt64>) {
    let follows = range.lowerBound == expected.upperBound
    announced = follows ? announced.addingSaturated(UInt64(expected.count)) : 0
    expected = range
  }

  /// What to ask for when `range` is read: first what is needed, and then what is likely to be.
  mutating func read(_ range: Range<UInt64>, of byteCount: UInt64) -> [Range<UInt64>] {
    let isNext = range.lowerBound == end
    if !isNext { streak = 0 }
    let isExpected = expected.contains(range.lowerBound)
    var wanted = range
    if isExpected {
      // A part of it was read: the rest is asked for as fast as it is taken.
      let last = min(expected.upperBound, ReadPlan.step(range.lowerBound, ReadPlan.window))
      wanted = range.lowerBound..<max(range.upperBound, last)
    } else if range.count < ReadPlan.least {
      wanted = range.lowerBound..<range.lowerBound.addingSaturated(ReadPlan.least)
    }
    let followed = isExpected ? announced : streak
    if followed >= ReadPlan.streakLimit {
      let last = ReadPlan.step(range.upperBound, min(followed, ReadPlan.window))
      wanted = range.lowerBound..<max(wanted.upperBound, last)
    } else if !isNext, let block = repeatedBlock(range.lowerBound) {
      wanted = block.lowerBound..<max(wanted.upperBound, block.upperBound)
    }
    var out = [wanted]
    if !isNext { out += headers(after: range) }
    return out.compactMap {
      let last = min($0.upperBound, byteCount)
      return $0.lowerBound < last ? $0.lowerBound..<last : nil
    }
  }

  /// The block of a place, if one of the last reads was in it.
  private mutating func repeatedBlock(_ place: UInt64) -> Range<UInt64>? {
    let start = place - place % ReadPlan.blockByteCount
    guard !blocks.contains(start) else {
      return start..<start.addingSaturated(ReadPlan.blockByteCount)
    }
    if blocks.count == ReadPlan.blockLimit { blocks.removeFirst() }
    blocks.append(start)
    return nil
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
