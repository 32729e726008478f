// What an object that is being written consists of, before it can be read.

internal import Bytes

/// An object that is made of ranges of another one, which its server takes by itself, and of bytes that
/// were sent: those are kept in a scratch file. So what will be there can be read, and verified, before it
/// is there.
final class Composition {
  struct Segment {
    /// Where it begins in the object that is made.
    let start: UInt64
    /// Where it begins in the other object; nil for bytes that were sent.
    let base: UInt64?
    /// Where it begins in the scratch file.
    let scratch: UInt64
    var count: UInt64
  }

  fileprivate let base: any RemoteReader
  fileprivate let scratch: ScratchFile
  private let sink: Sink
  fileprivate private(set) var segments: [Segment] = []
  fileprivate private(set) var byteCount: UInt64 = 0

  init(of base: any RemoteReader) throws(SystemError) {
    self.base = base
    scratch = try ScratchFile()
    sink = try scratch.sink(as: base.name)
  }

  /// Bytes that were sent.
  @unsafe
  func append(_ raw: UnsafeRawBufferPointer) throws(SystemError) {
    guard raw.count > 0 else { return }
    let place = sink.position
    try unsafe sink.write(raw)
    add(Segment(start: byteCount, base: nil, scratch: place, count: UInt64(raw.count)))
  }

  /// Bytes of the other object, from `offset` on.
  func append(from offset: UInt64, _ count: UInt64) {
    guard count > 0 else { return }
    add(Segment(start: byteCount, base: offset, scratch: 0, count: count))
  }

  private func add(_ segment: Segment) {
    byteCount += segment.count
    if let last = segments.last {
      let continues =
        segment.base.map { $0 == last.base.map { $0 + last.count } }
        ?? (last.base == nil && last.scratch + last.count == segment.scratch)
      if continues {
        segments[segments.count - 1].count += segment.count
        return
      }
    }
    segments.append(segment)
  }

  /// Which segment has the byte at `offset`.
  fileprivate func segment(at offset: UInt64) -> Segment? {
    let index = segments.partitioningIndex { $0.start + $0.count > offset }
    return index < segments.count ? segments[index] : nil
  }
}

/// Reads a composition.
final class CompositionReader: RemoteReader {
  private let composition: Composition
  private let base: any RemoteReader

  init(_ composition: Composition) throws(SystemError) {
    self.composition = composition
    base = try composition.base.duplicate()
  }

  var name: String { base.name }
  var byteCount: UInt64 { composition.byteCount }
  var identity: FileIdentity { base.identity }

  func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int {
    guard let segment = composition.segment(at: offset), !range.isEmpty else { return 0 }
    let skipped = offset - segment.start
    let count = Int(min(UInt64(range.count), segment.count - skipped))
    let part = range.lowerBound..<range.lowerBound + count
    if let start = segment.base {
      return try base.read(into: buffer, part, at: start + skipped)
    }
    try Interrupt.check(name)
    try composition.scratch.read(into: buffer, part, at: segment.scratch + skipped)
    return count
  }

  func expect(_ range: Range<UInt64>) {}

  func duplicate() throws(SystemError) -> any RemoteReader { try CompositionReader(composition) }
}
