// Asking for headers before they are needed.

internal import Glibc

/// The long skips over page contents of a source in a file. Records of pages mostly have one length,
/// so where the next headers are can be guessed: where one has to wait for them, they are asked for in
/// advance, and the disk fetches several at once. Costs nothing where they are in memory.
struct HeaderPrefetcher {
  /// What a read takes that has to wait for a disk: less than any disk, more than any copy.
  private static let slow = Duration.microseconds(20)
  private static let shortest: UInt64 = 64 << 10
  private static let ahead: UInt64 = 16
  /// A record's header, count and 1024 pfns.
  private static let headByteCount = 8208

  /// Where the last one led, and how far from the one before.
  private var position: UInt64 = 0
  private var stride: UInt64 = 0
  private var isRegular = false
  /// How many of the next ones were asked for.
  private var asked: UInt64 = 0
  private var isSlow = false

  /// Whether what is read at `position` tells how long headers take.
  func isToBeTimed(_ position: UInt64) -> Bool {
    !isSlow && position == self.position && position > 0
  }

  /// How long the first read after a jump took.
  mutating func note(_ duration: Duration, _ source: Source) {
    guard duration > Self.slow else { return }
    isSlow = true
    ask(source)
  }

  /// A skip of `count` bytes of `source`, which is after them now.
  mutating func note(_ count: UInt64, _ source: Source) {
    guard count >= Self.shortest else { return }
    // No record has more bytes than a length of 32 bits says.
    let stride =
      source.position > position ? min(source.position - position, UInt64(UInt32.max)) : 0
    isRegular = stride == self.stride && stride > 0
    position = source.position
    self.stride = stride
    asked = isRegular && asked > 0 ? asked - 1 : 0
    ask(source)
  }

  private mutating func ask(_ source: Source) {
    guard isSlow, isRegular, let end = source.byteCount else { return }
    while asked < Self.ahead, position + (asked + 1) * stride < end {
      asked += 1
      _ = posix_fadvise(
        source.fileDescriptor, source.fileOffset(position + asked * stride), Self.headByteCount,
        POSIX_FADV_WILLNEED)
    }
  }
}
