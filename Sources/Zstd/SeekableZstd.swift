// A file of zstd frames that is read at any offset, and written from its start to its end.

public import Bytes
public import SystemIO

/// Reads what a zstd file with a seek table holds. Only the frames that are asked for are unpacked; the
/// last ones are kept.
public final class SeekableZstdReader: RemoteReader {
  public let name: String
  private let source: Source
  private let table: SeekTable
  private let unpacker: ZstdUnpacker
  private let input: PageAlignedBuffer
  private var kept: [Kept] = []
  private var clock = 0

  /// A frame that was unpacked.
  private struct Kept {
    var frame: Int
    let bytes: PageAlignedBuffer
    var lastUse: Int
  }

  /// Frames that are kept: those of the heads of records and of what stands beside them.
  private static let keptLimit = 4

  /// A reader of `source`, a file; nil where it has no seek table. Throws where the table is wrong.
  public convenience init?(_ source: Source) throws(SystemError) {
    guard try SeekTable.exists(in: source) else { return nil }
    try self.init(source, SeekTable(source))
  }

  private init(_ source: Source, _ table: SeekTable) throws(SystemError) {
    (self.source, self.table) = (source, table)
    name = source.path
    do { unpacker = try ZstdUnpacker() } catch {
      throw SystemError("zstd", 12, source.path, "\(error)")
    }
    input = PageAlignedBuffer(capacity: 64 << 10)
  }

  public var byteCount: UInt64 { table.byteCount }
  public var identity: FileIdentity { source.identity }

  public func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    guard offset < table.byteCount, !range.isEmpty else { return 0 }
    let frame = table.frame(of: offset)
    let bytes = try unpacked(frame)
    let start = Int(offset - table.plain[frame])
    let count = min(range.count, Int(table.plain[frame + 1] - offset))
    // Safety: both ranges lie inside their buffers.
    unsafe buffer.pointer(range.lowerBound)
      .copyMemory(from: bytes.pointer(start), byteCount: count)
    return count
  }

  public func expect(_ range: Range<UInt64>) {}

  public func duplicate() throws(SystemError) -> any RemoteReader {
    try SeekableZstdReader(source.duplicate(), table)
  }

  /// What a frame holds.
  private func unpacked(_ frame: Int) throws(SystemError) -> PageAlignedBuffer {
    clock += 1
    if let place = kept.firstIndex(where: { $0.frame == frame }) {
      kept[place].lastUse = clock
      return kept[place].bytes
    }
    try Interrupt.check(name)
    let count = Int(table.plain[frame + 1] - table.plain[frame])
    let place = try place(for: count)
    // Until it holds all of a frame it holds none.
    kept[place].frame = -1
    let packedCount = Int(clamping: table.packed[frame + 1] - table.packed[frame])
    let at = table.packed[frame]
    func refuse(_ problem: String) -> SystemError {
      SystemError("read", 5, name, "zstd frame \(frame) at offset \(at.hex()): \(problem)")
    }
    input.reserve(packedCount)
    source.seek(at)
    guard try source.read(into: input, 0..<packedCount) == packedCount else {
      throw refuse("the file is cut")
    }
    let bytes = kept[place].bytes
    do { try unpacker.unpack(input, 0..<packedCount, into: bytes, count) } catch {
      throw refuse("\(error)")
    }
    if !table.checksums.isEmpty {
      let hash = bytes.withBytes(0..<count) { XXH64.hash($0) }
      guard UInt32(truncatingIfNeeded: hash) == table.checksums[frame] else {
        throw refuse("its checksum is another one")
      }
    }
    kept[place].frame = frame
    kept[place].lastUse = clock
    return bytes
  }

  /// Where a frame of `count` bytes is unpacked: a new place, or that of the frame that was not used for
  /// the longest time.
  private func place(for count: Int) throws(SystemError) -> Int {
    if kept.count < SeekableZstdReader.keptLimit {
      kept.append(
        Kept(frame: -1, bytes: PageAlignedBuffer(capacity: max(count, 1)), lastUse: clock))
      return kept.count - 1
    }
    let place = kept.indices.min { kept[$0].lastUse < kept[$1].lastUse } ?? 0
    kept[place].bytes.reserve(count)
    return place
  }
}

/// Writes a zstd file with a seek table: frames that are unpacked one by one.
public final class SeekableZstdWriter: RemoteWriter {
  /// Bytes that a frame holds: few enough that the head of a record costs a fraction of a millisecond,
  /// and enough for zstd to find what repeats itself.
  public static let frameByteCount = 256 << 10

  public let name: String
  private let sink: Sink
  private let level: Int
  private let lanes: [Lane]
  private var table = SeekTable()
  /// The lane that is being filled.
  private var current = 0

  /// A frame that is packed beside others. Safe to send: the thread has it between `start` and `wait`.
  private final class Lane: @unchecked Sendable {
    let input = PageAlignedBuffer(capacity: SeekableZstdWriter.frameByteCount)
    let output = PageAlignedBuffer(
      capacity: ZstdPacker.bound(SeekableZstdWriter.frameByteCount))
    let packer: ZstdPacker
    let thread: WorkerThread
    var filled = 0
    var packedCount = 0
    var checksum: UInt32 = 0
    var problem: String?

    init() throws {
      packer = try ZstdPacker()
      thread = try WorkerThread()
    }

    func pack(_ level: Int) {
      let hash = input.withBytes(0..<filled) { XXH64.hash($0) }
      checksum = UInt32(truncatingIfNeeded: hash)
      do { packedCount = try packer.packWhole(input, filled, level: level, into: output) } catch {
        problem = "\(error)"
      }
    }
  }

  /// Writes to `sink`, with `jobs` threads. `level`: one of ZstdPacker.levels.
  public init(_ sink: Sink, level: Int, jobs: Int) throws {
    precondition(ZstdPacker.levels.contains(level) && jobs > 0)
    (self.sink, self.level) = (sink, level)
    name = sink.path
    lanes = try (0..<min(jobs, 64)).map { _ in try Lane() }
  }

  @unsafe public func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      if lanes[current].filled == SeekableZstdWriter.frameByteCount { try next() }
      let lane = lanes[current]
      let count = min(bytes.count - done, SeekableZstdWriter.frameByteCount - lane.filled)
      // Safety: both ranges lie inside their buffers.
      if let from = bytes.baseAddress {
        unsafe lane.input.pointer(lane.filled).copyMemory(from: from + done, byteCount: count)
      }
      lane.filled += count
      done += count
    }
  }

  /// Has the full lane packed, and takes the one that has been packed for the longest time.
  private func next() throws(SystemError) {
    try begin(lanes[current])
    current = (current + 1) % lanes.count
    try finish(lanes[current])
  }

  private func begin(_ lane: Lane) throws(SystemError) {
    try Interrupt.check(name)
    let level = level
    lane.thread.start { lane.pack(level) }
  }

  /// Writes what a lane has packed, where it has.
  private func finish(_ lane: Lane) throws(SystemError) {
    guard lane.filled > 0 else { return }
    lane.thread.wait()
    if let problem = lane.problem { throw SystemError("zstd", 5, name, problem) }
    guard table.hasRoom else {
      throw SystemError("zstd", 27, name, "more frames than a seek table of ours has")
    }
    try sink.write(lane.output, 0..<lane.packedCount)
    table.append(packed: lane.packedCount, plain: lane.filled, checksum: lane.checksum)
    lane.filled = 0
  }

  /// The last frames, and the seek table.
  public func commit() throws(SystemError) {
    if lanes[current].filled > 0 { try begin(lanes[current]) }
    for step in 1...lanes.count { try finish(lanes[(current + step) % lanes.count]) }
    try sink.write(table.bytes)
  }

  public func canTake(from reader: any RemoteReader) -> Bool { false }
  public var byteCountUntilTake: Int { 0 }
  public func take(_ range: Range<UInt64>, of reader: any RemoteReader) throws(SystemError)
    -> UInt64
  { 0 }
  public func abandon() -> String? { nil }
}
