// What a live or checkpointed stream sent when, and what it sent again.

internal import Bytes
internal import Format
public import Stream
public import SystemIO

/// The rounds of a stream, and how often each page was sent. One pass, which a pipe is good for.
///
/// Memory: a byte a page of the guest, and 64 bytes a round, both bounded whatever the stream says.
public struct SendHistory: Sendable {
  /// A pass over the guest's memory, or the part of one before a checkpoint.
  public struct Round: Sendable, Equatable {
    /// The pass, from 0: a new one begins where pfns do not continue ascending.
    public internal(set) var pass: Int
    /// Checkpoints that were complete before it.
    public internal(set) var checkpoint: Int
    /// Whether its pages are there to be compared, after VERIFY.
    public internal(set) var isVerifying: Bool
    /// Entries of PAGE_DATA for pages that are there, and those with contents.
    public internal(set) var entryCount: UInt64 = 0
    public internal(set) var pageCount: UInt64 = 0
    /// Entries whose page was sent before.
    public internal(set) var againCount: UInt64 = 0
    /// Entries for pages that are absent (XTAB).
    public internal(set) var absentCount: UInt64 = 0
    /// Bytes of its PAGE_DATA records.
    public internal(set) var byteCount: UInt64 = 0

    mutating func add(_ other: Round) {
      entryCount += other.entryCount
      pageCount += other.pageCount
      againCount += other.againCount
      absentCount += other.absentCount
      byteCount += other.byteCount
    }
  }

  /// At most `roundLimit`; what came after those is in the last.
  public private(set) var rounds: [Round] = []
  /// How many rounds there were.
  public private(set) var roundCount = 0
  public private(set) var checkpointCount = 0
  public private(set) var ending: StreamReader.EndReason?
  /// Entries of which nobody noted whether they were sent before: there were too many pages.
  public private(set) var uncountedEntries: UInt64 = 0
  static let roundLimit = 65536

  /// How often pages were sent, 255 at most, by `pfn / chunkSize`.
  private var chunks: [UInt64: [UInt8]] = [:]
  private static let chunkSize: UInt64 = 512
  /// Chunks of 512 GiB of memory without gaps, in 160 MiB.
  private static let chunkLimit = 1 << 18
  private var lastPFN: UInt64?
  private var pass = -1
  private var isVerifying = false

  /// Reads `source` to its end.
  public init(_ source: Source) throws {
    var reader = StreamReader(source)
    try Progress.phase("reading headers", of: source.byteCount, done: { source.position }) {
      while let part = try reader.next() {
        guard case .record(let record) = part else { continue }
        switch record.type {
        case .verify: isVerifying = true
        case .checkpoint: isVerifying = false
        case .pageData: try add(record, of: source.path)
        default: break
        }
      }
    }
    guard reader.guest != nil else {
      throw XensaveError(.invalid, "\(source.path): there is no libxc stream in it")
    }
    checkpointCount = reader.checkpointCount
    ending = reader.ending
  }

  private mutating func add(_ record: Record, of path: String) throws {
    guard let count = record.pageEntryCount else {
      throw XensaveError(
        StreamError(
          .malformed, path: path, offset: record.offset, place: record.place,
          "the pfn table does not lie in the body"))
    }
    guard count > 0 else { return }
    let first = record.pageEntry(0).pfn
    let isNewPass = lastPFN.map { first <= $0 } ?? true
    if isNewPass { pass += 1 }
    if isNewPass || rounds.last?.checkpoint != record.checkpoint
      || rounds.last?.isVerifying != isVerifying
    {
      roundCount += 1
      if rounds.count < SendHistory.roundLimit {
        rounds.append(
          Round(pass: pass, checkpoint: record.checkpoint, isVerifying: isVerifying))
      }
    }
    lastPFN = record.pageEntry(count - 1).pfn
    var round = Round(pass: pass, checkpoint: 0, isVerifying: isVerifying)
    round.byteCount = record.totalByteCount
    for index in 0..<count {
      let entry = record.pageEntry(index)
      guard entry.type != .xtab else {
        round.absentCount += 1
        continue
      }
      round.entryCount += 1
      if entry.type.hasData { round.pageCount += 1 }
      if !isVerifying, note(entry.pfn) { round.againCount += 1 }
    }
    rounds[rounds.count - 1].add(round)
  }

  /// Notes that a page was sent; whether it was before.
  private mutating func note(_ pfn: UInt64) -> Bool {
    let (chunk, place) = (pfn / SendHistory.chunkSize, Int(pfn % SendHistory.chunkSize))
    if chunks[chunk] == nil {
      guard chunks.count < SendHistory.chunkLimit else {
        uncountedEntries += 1
        return false
      }
      chunks[chunk] = [UInt8](repeating: 0, count: Int(SendHistory.chunkSize))
    }
    let before = chunks[chunk]?[place] ?? 0
    if before < .max { chunks[chunk]?[place] = before + 1 }
    return before > 0
  }

  // MARK: - How often

  /// Pages by how often they were sent: `[0]` is 0, `[1]` those that were sent once; the last stands
  /// for 255 times and more.
  public var timesSent: [UInt64] {
    var out = [UInt64](repeating: 0, count: 256)
    for chunk in chunks.values { for times in chunk { out[Int(times)] += 1 } }
    out[0] = 0
    return out
  }

  /// The sendings in a cell of memory.
  public struct Heat: Sendable, Equatable {
    /// Pages that were sent at all, all sendings of them, and those of the page that was sent most.
    public internal(set) var pageCount: UInt64 = 0
    public internal(set) var sendCount: UInt64 = 0
    public internal(set) var most: UInt8 = 0
  }

  /// How often the pages of the guest's memory were sent, in at most `cellLimit` cells.
  public func heat(cellLimit: Int) -> (axis: MapAxis, cells: [Heat]) {
    let keys = chunks.keys.sorted()
    let size = SendHistory.chunkSize
    let axis = MapAxis(
      keys.lazy.map { key in
        // From the first to the last page that was sent.
        let chunk = chunks[key] ?? []
        let first = UInt64(chunk.firstIndex { $0 > 0 } ?? 0)
        let last = UInt64(chunk.lastIndex { $0 > 0 } ?? 0)
        return key * size + first..<key * size + last + 1
      }, limit: cellLimit)
    var cells = [Heat](repeating: Heat(), count: axis.cellCount)
    for key in keys {
      for (place, times) in (chunks[key] ?? []).enumerated() where times > 0 {
        guard let cell = axis.cell(of: key * size + UInt64(place)) else { continue }
        cells[cell].pageCount += 1
        cells[cell].sendCount += UInt64(times)
        cells[cell].most = max(cells[cell].most, times)
      }
    }
    return (axis, cells)
  }
}
