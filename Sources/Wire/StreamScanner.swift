// Where the pages are in a stream that passes by.

internal import Bytes
internal import Format

/// Follows a migration stream and finds its pages with their pfns.
///
/// It only looks: whatever it meets, all bytes pass. Where it meets what it does not know it looks no
/// further, and what follows passes as bytes. It knows xl's, libvirt's, libxl's and libxc's headers and
/// records, little-endian ones.
struct StreamScanner {
  /// What comes next in the stream.
  enum Segment: Equatable {
    /// So many bytes.
    case bytes(Int)
    /// The contents of a page.
    case page(UInt64)
  }

  /// What collected bytes are.
  private enum Step {
    case start, xlHeader, libvirtHeader, libxlHeader, imageHeader, domainHeader
    case libxlRecord, libxcRecord, pageCount
    case pageEntries
  }

  private enum State {
    /// Collects bytes until there are `count`.
    case collecting(Step, count: Int)
    /// Passes over bytes, and then collects.
    case skipping(UInt64, then: Step, count: Int)
    /// Pages, of which the one at `index` comes next.
    case pages(index: Int)
    /// The rest of a page that passes as bytes, and after it the page at `next`.
    case partOfPage(Int, next: Int)
    /// Does not look any more.
    case blind
  }

  private var state = State.collecting(.start, count: 8)
  private var collected: [UInt8] = []
  /// The pfns of the record's pages with contents.
  private var pfns: [UInt64] = []
  /// The bytes of the record after what has been collected of it, with padding.
  private var recordRest: UInt64 = 0
  private var isInLibxl = false

  /// More entries are not looked at: savers write 1024.
  private static let entryLimit = 1 << 16
  /// A header's data: configurations have some KiB.
  private static let skipLimit: UInt64 = 1 << 32

  /// Whether the stream stands between two records, where a sender may wait for an answer.
  var isBetweenRecords: Bool {
    switch state {
    case .collecting(_, _): collected.isEmpty
    case .blind: true
    default: false
    }
  }

  /// The next segment of bytes `range`; nil where there are none, or where a page begins that is not there as
  /// a whole. With `isFlushed`, such a page is bytes.
  mutating func next(_ bytes: RawSpan, _ range: Range<Int>, isFlushed: Bool) -> Segment? {
    guard !range.isEmpty else { return nil }
    switch state {
    case .blind: return .bytes(range.count)
    case .collecting(let step, let count):
      let taken = min(count - collected.count, range.count)
      for offset in range.lowerBound..<range.lowerBound + taken {
        collected.append(bytes.load(offset, as: UInt8.self))
      }
      if collected.count == count {
        state = .blind
        finish(step)
        collected.removeAll(keepingCapacity: true)
      }
      return .bytes(taken)
    case .skipping(let count, let step, let next):
      let taken = min(count, UInt64(range.count))
      state =
        taken == count
        ? .collecting(step, count: next) : .skipping(count - taken, then: step, count: next)
      return .bytes(Int(taken))
    case .pages(let index):
      if range.count < WireFormat.pageByteCount {
        guard isFlushed else { return nil }
        state = .partOfPage(WireFormat.pageByteCount - range.count, next: index + 1)
        return .bytes(range.count)
      }
      passPage(index)
      return .page(pfns[index])
    case .partOfPage(let rest, let following):
      let taken = min(rest, range.count)
      if taken < rest {
        state = .partOfPage(rest - taken, next: following)
      } else {
        passPage(following - 1)
      }
      return .bytes(taken)
    }
  }

  private mutating func passPage(_ index: Int) {
    state = index + 1 < pfns.count ? .pages(index: index + 1) : .collecting(.libxcRecord, count: 8)
  }

  private mutating func collect(_ step: Step, _ count: Int) {
    state = .collecting(step, count: count)
  }

  private mutating func skip(_ count: UInt64, then step: Step, _ next: Int) {
    guard count <= StreamScanner.skipLimit else { return }
    state = count == 0 ? .collecting(step, count: next) : .skipping(count, then: step, count: next)
  }

  /// Looks at what has been collected. The state is `blind` where nothing else is set.
  private mutating func finish(_ step: Step) {
    switch step {
    case .start: finishStart()
    case .xlHeader:
      // byteorder, mandatory_flags (bit 1: a libxl stream follows), optional_flags, optional_data_len.
      let flags = collected.load(28, as: UInt32.self)
      guard collected.load(24, as: UInt32.self) == 0x0102_0304, flags & 2 != 0 else { return }
      skip(UInt64(collected.load(36, as: UInt32.self)), then: .start, 8)
    case .libvirtHeader:
      skip(UInt64(collected.load(12, as: UInt32.self)), then: .start, 8)
    case .libxlHeader:
      // Version 2, and no bit of the options: little-endian, not legacy.
      guard collected.load(0, as: UInt32.self, .big) == 2, collected.load(4, as: UInt32.self) == 0
      else { return }
      isInLibxl = true
      collect(.libxlRecord, 8)
    case .imageHeader:
      let version = collected.load(4, as: UInt32.self, .big)
      guard collected.load(0, as: UInt32.self, .big) == 0x5845_4E46, (2...3).contains(version),
        collected.load(8, as: UInt16.self, .big) == 0
      else { return }
      collect(.domainHeader, 16)
    case .domainHeader: collect(.libxcRecord, 8)
    case .libxlRecord: finishLibxlRecord()
    case .libxcRecord: finishLibxcRecord()
    case .pageCount: finishPageCount()
    case .pageEntries: finishPageEntries()
    }
  }

  private mutating func finishStart() {
    switch collected {
    case Array("Xen save".utf8): collect(.xlHeader, 40)
    case Array("libvirt-".utf8): collect(.libvirtHeader, 56)
    case Array("LibxlFmt".utf8) where !isInLibxl: collect(.libxlHeader, 8)
    case [UInt8](repeating: 0xFF, count: 8): collect(.imageHeader, 16)
    default: break
    }
  }

  private var record: (type: UInt32, byteCount: UInt64) {
    (collected.load(0, as: UInt32.self), UInt64(collected.load(4, as: UInt32.self)))
  }

  private mutating func finishLibxlRecord() {
    let (type, byteCount) = record
    switch RecordType(.libxl, type) {
    case .libxlEnd: return
    case .libxcContext: collect(.start, 8)
    // The libxc stream continues after a checkpoint without a header.
    case .checkpointEnd: skip(paddedTo8(byteCount), then: .libxcRecord, 8)
    case .emulatorXenstoreData, .emulatorContext, .checkpointState:
      skip(paddedTo8(byteCount), then: .libxlRecord, 8)
    default: return
    }
  }

  private mutating func finishLibxcRecord() {
    let (type, byteCount) = record
    switch RecordType(.libxc, type) {
    case .pageData where byteCount >= 8:
      recordRest = paddedTo8(byteCount) - 8
      collect(.pageCount, 8)
    case .end where isInLibxl: collect(.libxlRecord, 8)
    case .end: return
    case .checkpoint where isInLibxl: collect(.libxlRecord, 8)
    default: skip(paddedTo8(byteCount), then: .libxcRecord, 8)
    }
  }

  private mutating func finishPageCount() {
    let count = Int(collected.load(0, as: UInt32.self))
    guard count > 0, count <= StreamScanner.entryLimit, recordRest >= UInt64(8 * count) else {
      return skip(recordRest, then: .libxcRecord, 8)
    }
    recordRest -= UInt64(8 * count)
    collect(.pageEntries, 8 * count)
  }

  private mutating func finishPageEntries() {
    pfns.removeAll(keepingCapacity: true)
    for offset in stride(from: 0, to: collected.count, by: 8) {
      let entry = collected.load(offset, as: UInt64.self)
      guard PageType(rawValue: UInt8(entry >> 60)).hasData else { continue }
      pfns.append(entry & (WireFormat.keyLimit - 1))
    }
    guard !pfns.isEmpty, recordRest == UInt64(pfns.count) * UInt64(WireFormat.pageByteCount) else {
      return skip(recordRest, then: .libxcRecord, 8)
    }
    state = .pages(index: 0)
  }
}
