// Deltas: an image as what differs from another one.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

/// The format of a delta, little-endian throughout.
///
///      0     1     2     3     4     5     6     7 byte
///     +-------------------------------------------------+
///     | magic "XSLDELTA"                                |
///     +-----------------------+-------------------------+
///     | version (1)           | flags                   |
///     +-----------------------+-------------------------+
///     | base_octets                                     |
///     +-------------------------------------------------+
///     | base_hash                                       |
///     +-------------------------------------------------+
///     | new_octets                                      |
///     +-------------------------------------------------+
///     | new_hash                                        |
///     +-------------------------------------------------+
///     | changed_pages                                   |
///     +-------------------------------------------------+
///     | head_hash, of the 56 bytes before it           |
///     +-------------------------------------------------+
///
/// With bit 0 of the flags, all that follows is one zstd frame (of at most 32768 times its own length);
/// without, it stands there as it is. The other bits are 0.
///
/// Then steps, each a word: bit 63 clear, the rest a count of bytes to copy from the base, whose
/// offset is the next word; bit 63 set, the rest a count of bytes that follow (and zeros to a
/// multiple of 8). A word of 0 ends them, and the file. Together the steps make the new image,
/// byte for byte. Hashes are `ContentHash`: they recognise files, they do not prove who made them.
public enum PageDelta {
  static let magic: UInt64 = 0x4154_4C45_444C_5358  // "XSLDELTA"
  static let version: UInt32 = 1
  static let headByteCount = 64
  static let literalBit: UInt64 = 1 << 63
  static let packedFlag: UInt32 = 1

  /// What making or applying a delta has done.
  public struct Report: Sendable, Equatable {
    /// Pages with contents whose contents stand in the delta.
    public internal(set) var changedPages: UInt64 = 0
    /// Bytes of the new image that come from the base, and those that stand in the delta.
    public internal(set) var copied: UInt64 = 0
    public internal(set) var literal: UInt64 = 0
    /// Bytes of what was written: the delta, or the new image.
    public internal(set) var bytesWritten: UInt64 = 0
  }

  struct Head: Equatable {
    var baseByteCount: UInt64
    var baseHash: UInt64
    var newByteCount: UInt64
    var newHash: UInt64
    var changedPages: UInt64
    /// Whether the steps are a zstd frame.
    var isPacked = false

    var bytes: [UInt8] {
      var out: [UInt8] = []
      out.append(integer: PageDelta.magic)
      out.append(integer: PageDelta.version)
      out.append(integer: isPacked ? PageDelta.packedFlag : 0)
      for word in [baseByteCount, baseHash, newByteCount, newHash, changedPages] {
        out.append(integer: word)
      }
      out.append(integer: PageDelta.hash(out))
      return out
    }
  }

  static func hash(_ bytes: [UInt8]) -> UInt64 {
    // Safety: UInt8 has no padding, so every byte of the span is initialised.
    unsafe PageLoops.hash(bytes.span.bytes, 0..<bytes.count, seed: UInt64(version))
  }
}

/// The hash of a file's contents: of chunks of 256 KiB one after another, seeded by the one before.
struct ContentHash {
  private var state: UInt64 = 0x5845_4E46
  private var byteCount: UInt64 = 0
  private let pending = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
  private var filled = 0

  /// Takes in bytes of a span.
  mutating func add(_ bytes: RawSpan) {
    var done = 0
    while done < bytes.byteCount {
      let count = min(bytes.byteCount - done, PageImage.chunkByteCount - filled)
      if filled == 0, count == PageImage.chunkByteCount {
        state = PageLoops.hash(bytes, done..<done + count, seed: state)
      } else {
        unsafe bytes.withUnsafeBytes { raw in
          // Safety: count was bounded by both ends.
          unsafe pending.pointer(filled).copyMemory(
            from: raw.baseAddress.unsafelyUnwrapped + done, byteCount: count)
        }
        filled += count
        if filled == PageImage.chunkByteCount {
          state = pending.withBytes(0..<filled) { PageLoops.hash($0, 0..<filled, seed: state) }
          filled = 0
        }
      }
      done += count
    }
    byteCount += UInt64(bytes.byteCount)
  }

  func finished() -> UInt64 {
    let last = pending.withBytes(0..<filled) { PageLoops.hash($0, 0..<filled, seed: state) }
    return PageLoops.mix(last, byteCount)
  }

  /// The hash of a whole file. `name` says of progress what is being read.
  static func of(_ source: Source, _ name: String) throws -> UInt64 {
    var hash = ContentHash()
    let buffer = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
    source.seek(0)
    try Progress.phase("reading the \(name)", of: source.byteCount, done: { source.position }) {

      while true {
        let got = try source.read(into: buffer, 0..<PageImage.chunkByteCount)
        if got == 0 { break }
        buffer.withBytes(0..<got) { hash.add($0) }
      }
    }
    return hash.finished()
  }
}

// MARK: - Making

extension PageDelta {
  /// Writes the delta that makes `new` from `base`. Both are read whole. `level` is zstd's, 1 to 19;
  /// 0 packs nothing.
  public static func make(
    from base: PageImage, to new: PageImage, _ sink: Sink, level: Int = 1
  ) throws -> Report {
    var head = Head(
      baseByteCount: base.byteCount, baseHash: try ContentHash.of(base.source, "base"),
      newByteCount: new.byteCount, newHash: try ContentHash.of(new.source, "new image"),
      changedPages: 0)
    // The number of changed pages stands before them, so the steps are found first: 24 bytes each.
    var plan = DeltaPlan(base: base, new: new)
    try new.reading("comparing", new.byteCount) { try plan.run() }
    head.changedPages = plan.changedPages
    head.isPacked = level > 0
    var report = Report()
    report.changedPages = plan.changedPages
    try sink.write(head.bytes)
    let literals = plan.steps.reduce(0) { $0 + ($1.baseOffset == nil ? $1.count : 0) }
    try Progress.phase("writing", of: literals, done: { sink.position }) {
      try write(plan.steps, of: new, DeltaOutput(sink, level: level), &report)
    }
    report.bytesWritten = sink.position
    return report
  }

  private static func write(
    _ steps: [DeltaPlan.Step], of new: PageImage, _ out: DeltaOutput, _ report: inout Report
  ) throws {
    let buffer = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
    for step in steps {
      if let offset = step.baseOffset {
        report.copied += step.count
        try out.write(step.count, offset)
      } else {
        report.literal += step.count
        try out.write(step.count | literalBit)
        try out.copy(step.newOffset, step.count, of: new, buffer)
      }
    }
    try out.write(0)
    try out.finish()
  }
}

/// Finds the steps that make one image from another: pages by their pfns, all else by its place.
struct DeltaPlan {
  struct Step {
    let newOffset: UInt64
    var count: UInt64
    /// Where the bytes stand in the base; nil where they stand only in the new image.
    let baseOffset: UInt64?
  }

  let base: PageImage
  let new: PageImage
  private(set) var steps: [Step] = []
  private(set) var changedPages: UInt64 = 0
  private let mine = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
  private let theirs = PageAlignedBuffer(capacity: PageImage.chunkByteCount)
  /// Where the base's bytes would stand that belong to those of the new image at this place.
  private var delta: Int64 = 0

  init(base: PageImage, new: PageImage) {
    self.base = base
    self.new = new
  }

  mutating func run() throws {
    let source = try new.source.duplicate()
    var reader = StreamReader(source)
    var end: UInt64 = 0
    while let part = try reader.next() {
      guard case .record(let record) = part else { continue }
      guard record.type == .pageData, let count = record.pageEntryCount else { continue }
      let headEnd = record.payloadOffset
      // Of a checkpoint that is cut in its pages, all that is there is copied as it stands.
      guard headEnd >= end, record.endOffset <= new.byteCount else { break }
      // The table stands in the base before the same pages.
      if let first = (0..<count).first(where: { record.pageEntry($0).type.hasData }),
        let offset = base.index.page(record.pageEntry(first).pfn)?.offset
      {
        let before = (0..<first).reduce(0) { $0 + (record.pageEntry($1).type.hasData ? 1 : 0) }
        delta = Int64(offset) - Int64(headEnd) - Int64(before * pageByteCount)
      }
      try compare(end, headEnd - end)
      var offset = headEnd
      var index = 0
      while index < count {
        let entry = record.pageEntry(index)
        guard entry.type.hasData else {
          index += 1
          continue
        }
        guard let run = base.index.run(of: entry.pfn), run.hasData else {
          append(offset, UInt64(pageByteCount), nil)
          changedPages += 1
          offset += UInt64(pageByteCount)
          index += 1
          continue
        }
        var length = 1
        while index + length < count, length < PageImage.chunkByteCount / pageByteCount,
          record.pageEntry(index + length).type.hasData,
          record.pageEntry(index + length).pfn == entry.pfn + UInt64(length),
          entry.pfn + UInt64(length) < run.end
        {
          length += 1
        }
        try pages(offset, run.offset(of: entry.pfn), length)
        offset += UInt64(length * pageByteCount)
        index += length
      }
      delta = Int64(run(before: offset)) - Int64(offset)
      end = offset
    }
    // What is after the last pages mostly stands at the end of the base too.
    delta = Int64(base.byteCount) - Int64(new.byteCount)
    try compare(end, new.byteCount - end)
  }

  /// The base's offset after the bytes that the last step copied.
  private func run(before offset: UInt64) -> UInt64 {
    guard let last = steps.last, let base = last.baseOffset else { return offset }
    return base + last.count
  }

  private mutating func append(_ offset: UInt64, _ count: UInt64, _ baseOffset: UInt64?) {
    guard count > 0 else { return }
    if let last = steps.last, last.newOffset + last.count == offset {
      let shouldContinue =
        last.baseOffset == nil
        ? baseOffset == nil : baseOffset == last.baseOffset.map { $0 + last.count }
      if shouldContinue {
        steps[steps.count - 1].count += count
        return
      }
    }
    steps.append(Step(newOffset: offset, count: count, baseOffset: baseOffset))
  }

  /// Pages that stand in the base too: copies those that are the same.
  private mutating func pages(
    _ offset: UInt64, _ baseOffset: UInt64, _ count: Int
  ) throws {
    try new.read(offset, count * pageByteCount, into: mine)
    try base.read(baseOffset, count * pageByteCount, into: theirs)
    for page in 0..<count {
      let place = page * pageByteCount
      let isSame = mine.withBytes(0..<count * pageByteCount) { a in
        theirs.withBytes(0..<count * pageByteCount) { b in
          PageLoops.isEqual(a, at: place, b, at: place)
        }
      }
      if !isSame { changedPages += 1 }
      append(
        offset + UInt64(place), UInt64(pageByteCount), isSame ? baseOffset + UInt64(place) : nil)
    }
  }

  /// Bytes that are no pages: copies them where the base has them at the expected place.
  private mutating func compare(_ offset: UInt64, _ count: UInt64) throws {
    var done: UInt64 = 0
    while done < count {
      let chunk = Int(min(count - done, UInt64(PageImage.chunkByteCount)))
      let there = Int64(offset + done) + delta
      var isSame = false
      if there >= 0, UInt64(there) + UInt64(chunk) <= base.byteCount {
        try new.read(offset + done, chunk, into: mine)
        try base.read(UInt64(there), chunk, into: theirs)
        isSame = mine.withBytes(0..<chunk) { a in
          theirs.withBytes(0..<chunk) { b in
            PageLoops.isEqual(a, at: 0, b, at: 0, count: chunk)
          }
        }
      }
      append(offset + done, UInt64(chunk), isSame ? UInt64(there) : nil)
      done += UInt64(chunk)
    }
  }
}
