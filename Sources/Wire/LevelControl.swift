// How hard to pack: so that the link is what one waits for, and not the processor.

/// Chooses a level of zstd from what the last frames have waited for.
struct LevelControl {
  /// From the fastest to the one that packs most.
  static let levels = [-5, -3, -1, 1, 2, 3, 5, 7, 9, 12]
  /// Nanoseconds of work after which the level is thought over.
  private static let period: UInt64 = 20_000_000

  private var index: Int
  private let isFixed: Bool
  private let fixedLevel: Int
  private var link: UInt64 = 0
  private var processor: UInt64 = 0
  private var input: UInt64 = 0

  /// A fixed level, or one that adapts.
  init(fixed: Int?) {
    isFixed = fixed != nil
    fixedLevel = fixed ?? 1
    index = LevelControl.levels.firstIndex(of: 1) ?? 0
  }

  var level: Int { isFixed ? fixedLevel : LevelControl.levels[index] }

  /// Notes nanoseconds of writing, of waiting for a packed frame (or packing it), and of waiting for the
  /// stream.
  mutating func note(link: UInt64 = 0, processor: UInt64 = 0, input: UInt64 = 0) {
    self.link &+= link
    self.processor &+= processor
    self.input &+= input
    let sum = self.link &+ self.processor &+ self.input
    guard sum >= LevelControl.period else { return }
    // Above half of the time on the link: there is processor to spare. Where the processor takes most of
    // it and the stream waits for us: the other way.
    if self.link > sum / 2 {
      index = min(index + 1, LevelControl.levels.count - 1)
    } else if self.processor > sum / 2, self.link < sum / 4 {
      index = max(index - 1, 0)
    } else if self.input > sum / 2, index > 3 {
      // Nothing waits for us: no reason to take more of the processor than a little.
      index -= 1
    }
    (self.link, self.processor, self.input) = (0, 0, 0)
  }
}
