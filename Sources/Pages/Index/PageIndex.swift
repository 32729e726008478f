// Where the pages of an image are, as a restore would see them.

internal import Bytes
public import Format
public import Stream
public import SystemIO

/// A page's place in an image.
public struct PageOccurrence: Sendable, Equatable {
  public let pfn: UInt64
  public let type: PageType
  /// Bytes from the start of the source to its contents; nil where it has none.
  public let offset: UInt64?
  /// The pass over the guest's memory, from 0.
  public let round: Int
  /// The checkpoint of a checkpointed stream, from 0.
  public let checkpoint: Int
  /// Whether it counts: it is not superseded, complete, and not there to be compared (VERIFY).
  public let isLast: Bool
}

/// A record other than PAGE_DATA that counts, and where it lies.
public struct RecordLocation: Sendable, Equatable {
  public let type: RecordType
  public let index: Int
  public let offset: UInt64
  /// Bytes with header and padding.
  public let byteCount: UInt64

  /// Whether a stream has it once, before its first pages, and not at each checkpoint. `staticEnd` is
  /// the number of STATIC_DATA_END: what libxc has before it is static whatever it is.
  func isStatic(before staticEnd: Int) -> Bool {
    type.isStatic || type.layer == .libxc && index < staticEnd
  }
}

/// The last occurrence of every pfn and the records that count, from one pass over the headers.
///
/// "Last" is what a restore ends up with: of a checkpointed stream only complete checkpoints count,
/// and pages after VERIFY do not. Needs a file.
///
/// Memory: 24 bytes a run of consecutive pages (of one type, contents one after the other), at
/// most 48 while rounds are merged. A plain image of 1 GiB has some 300 runs: 0.03 bytes a pfn; the
/// worst live stream has one run a page: 24 bytes for every 4104 of the file. What a forged file
/// can do is bounded by its own length too: an entry of 8 bytes gives at most one run.
/// Time: O(entries), and O(runs log runs) to merge rounds.
public struct PageIndex: Sendable {
  public struct Options: Sendable {
    /// Keeps every occurrence for `history(of:)`: 40 more bytes a run.
    public var keepsHistory: Bool
    /// Keeps where the records of pages are that count: 8 bytes each.
    var keepsPageRecords = false
    public init(keepsHistory: Bool = false) { self.keepsHistory = keepsHistory }
  }

  /// The source's name, for messages.
  public let path: String
  /// The last occurrences, ascending and disjoint.
  public internal(set) var runs: [PageExtent] = []
  public internal(set) var headers: [Header] = []
  /// The records that count, in the order of the stream: those before the pages, and the tail of
  /// the last complete checkpoint.
  public internal(set) var records: [RecordLocation] = []
  public internal(set) var container: Container?
  public internal(set) var guest: GuestType?
  public internal(set) var version: Int?
  /// Byte order and guest width of the libxc stream, and those of the libxl stream around it.
  public internal(set) var context = BodyContext()
  public internal(set) var libxlContext = BodyContext()
  public internal(set) var ending: StreamReader.EndReason?
  public internal(set) var checkpointCount = 0
  public internal(set) var hasVerify = false
  /// Passes over the guest's memory.
  public internal(set) var roundCount = 0
  /// Entries of PAGE_DATA whose contents are in the file, superseded ones too.
  public internal(set) var dataCountInFile: UInt64 = 0

  /// Offsets of the PAGE_DATA records with entries that count; needs `keepsPageRecords`.
  var pageRecords: [UInt64] = []

  private struct HistoryEntry: Sendable {
    let run: PageExtent
    let checkpoint: Int32
    let counts: Bool
  }
  private var history: [HistoryEntry] = []

  /// pfns are below 2^40: readers of Xen allocate up to the greatest one.
  public static let pfnLimit: UInt64 = 1 << 40

  /// An index with nothing in it yet.
  init(path: String) { self.path = path }

  /// Walks over `source` from its start. The position that it had is lost.
  public init(_ source: Source, options: Options = Options()) throws {
    guard source.isFile else {
      throw XensaveError(
        .usage, "\(source.path): a pipe cannot be indexed (expected a file)" + source.unpackingHint)
    }
    source.seek(0)
    var pass = PageIndexPass(path: source.path, options: options)
    var reader = StreamReader(source)
    try Progress.phase("indexing", of: source.byteCount, done: { source.position }) {
      while let part = try reader.next() {
        try pass.add(part, checkpointCount: reader.checkpointCount)
      }
    }
    self = try pass.finish(reader)
  }

  fileprivate init(
    _ builder: inout PageIndexBuilder, _ headers: [Header], _ reader: StreamReader
  ) {
    path = builder.path
    self.headers = headers
    builder.finish(checkpointCount: reader.checkpointCount)
    runs = builder.committed.take()
    records = builder.records
    pageRecords = builder.pageRecords
    roundCount = builder.roundCount
    hasVerify = builder.hasVerify
    dataCountInFile = builder.dataCount
    if builder.options.keepsHistory {
      history = builder.history.map {
        HistoryEntry(run: $0.run, checkpoint: $0.checkpoint, counts: $0.counts)
      }
    }
    container = reader.container
    guest = reader.guest
    version = reader.version
    context = reader.libxcContext
    libxlContext = reader.libxlContext
    ending = reader.ending
    checkpointCount = reader.checkpointCount
  }

  // MARK: - Looking up

  /// The run that `pfn` is in, or nil.
  public func run(of pfn: UInt64) -> PageExtent? {
    let index = runs.firstIndex(endingAbove: pfn)
    return index < runs.count && runs[index].pfn <= pfn ? runs[index] : nil
  }

  /// Offset of the contents of `pfn` and its type; nil where the image does not mention it.
  public func page(_ pfn: UInt64) -> (offset: UInt64?, type: PageType)? {
    guard let run = run(of: pfn) else { return nil }
    return (run.hasData ? run.offset(of: pfn) : nil, run.type)
  }

  /// Every occurrence of a pfn in the order of the stream; needs `keepsHistory`. O(runs).
  public func history(of pfn: UInt64) -> [PageOccurrence] {
    let last = run(of: pfn)
    return history.filter { $0.run.pfns.contains(pfn) }.map { entry in
      let run = entry.run
      return PageOccurrence(
        pfn: pfn, type: run.type, offset: run.hasData ? run.offset(of: pfn) : nil,
        round: Int(run.round), checkpoint: Int(entry.checkpoint),
        isLast: entry.counts && last?.type == run.type && last?.round == run.round
          && last?.offset(of: pfn) == run.offset(of: pfn))
    }
  }

  /// pfns that the image mentions; with `hasData`, only those with contents.
  public func pfns(hasData: Bool = false) -> PageSet {
    var set = PageSet()
    for run in runs where !hasData || run.hasData { set.append(run.pfns) }
    return set
  }

  public var pageCount: UInt64 { runs.reduce(0) { $0 + UInt64($1.pageCount) } }
  /// Pages with contents that a restore ends up with.
  public var dataCount: UInt64 { runs.reduce(0) { $0 + ($1.hasData ? UInt64($1.pageCount) : 0) } }
  /// Bytes that the index takes.
  public var byteCount: Int {
    runs.count * MemoryLayout<PageExtent>.stride + records.count
      * MemoryLayout<RecordLocation>.stride
      + history.count * MemoryLayout<HistoryEntry>.stride
  }

  /// The body of a record, of at most `limit` bytes.
  public func body(
    of spot: RecordLocation, _ source: Source, limit: Int = StreamReader.Limit.head
  ) throws -> [UInt8] {
    let framing = RecordFraming.of(spot.type.layer, version: version)
    source.seek(spot.offset)
    let header = try source.read(framing.headByteCount)
    guard header.count == framing.headByteCount else { throw shorter(source) }
    let length = Int(clamping: stated(in: header, of: spot.type.layer).length)
    guard length <= limit else {
      throw XensaveError(
        .invalid,
        "\(path): record \(spot.index) (\(spot.type.name)): \(length) bytes exceed the limit of "
          + "\(limit)")
    }
    let body = try source.read(length)
    guard body.count == length else { throw shorter(source) }
    return body
  }

  /// The type that the header of a record in a layer states, and the length of its body in bytes.
  func stated(in header: [UInt8], of layer: Layer) -> (type: RecordType, length: UInt64) {
    let framing = RecordFraming.of(layer, version: version)
    let order: ByteOrder =
      switch layer {
      case .libxc, .draftB: context.order
      case .libxl: libxlContext.order
      case .xenopsd: .little
      }
    let wireValue = header.load(0, as: UInt32.self, order)
    let type = framing == .draftB ? DraftB.type(wireValue) : RecordType(layer, wireValue)
    if XenopsdRecords.markers.contains(type) { return (type, 0) }
    let length =
      framing.headFieldByteCount == 8
      ? header.load(8, as: UInt64.self, order) : UInt64(header.load(4, as: UInt32.self, order))
    return (type, length)
  }

  /// The number of the first STATIC_DATA_END; 0 where there is none.
  var staticEnd: Int { records.first { $0.type == .staticDataEnd }?.index ?? 0 }

  /// The last record of a type that counts.
  public func last(_ type: RecordType) -> RecordLocation? { records.last { $0.type == type } }
}

/// The file lost bytes since it was indexed.
func shorter(_ source: Source) -> XensaveError {
  XensaveError(
    StreamError(
      .truncated, path: source.path, offset: source.position,
      "the file became shorter while it was read"))
}

extension RecordType {
  /// Whether a stream has it once, before its first pages, and not at each checkpoint.
  var isStatic: Bool {
    RecordSchemas.of(self)?.phase.isOnce ?? false
  }
}

/// An index that is made beside other work: of the parts that somebody else reads, in one pass.
public struct PageIndexPass {
  private var builder: PageIndexBuilder
  private var headers: [Header] = []

  /// `path`: the source's name, for messages.
  public init(path: String, options: PageIndex.Options = PageIndex.Options()) {
    builder = PageIndexBuilder(path: path, options)
  }

  /// Takes the next part of the stream. `checkpointCount` is what its reader says after it.
  public mutating func add(_ part: StreamElement, checkpointCount: Int) throws {
    switch part {
    case .header(let header): headers.append(header)
    case .record(let record):
      try builder.add(record)
      builder.checkpoints(checkpointCount)
    case .trailing: break
    }
  }

  /// The index, after the last part. Throws where there was no libxc stream.
  public mutating func finish(_ reader: StreamReader) throws -> PageIndex {
    guard reader.guest != nil else {
      throw XensaveError(.invalid, "\(builder.path): there is no libxc stream in it")
    }
    return PageIndex(&builder, headers, reader)
  }
}

/// Puts an index together, part by part.
struct PageIndexBuilder {
  struct HistoryEntry {
    let run: PageExtent
    let checkpoint: Int32
    var counts: Bool
  }

  let path: String
  let options: PageIndex.Options
  var committed = PageRunMap()
  private(set) var pageRecords: [UInt64] = []
  private var pendingPageRecords: [UInt64] = []
  /// The records that count: those that a stream has once, and those of the last checkpoint. They are
  /// kept apart so that a checkpoint costs what it holds, and not what came before it.
  var records: [RecordLocation] { (statics + lasting).sorted { $0.index < $1.index } }
  private var statics: [RecordLocation] = []
  private var lasting: [RecordLocation] = []
  private var staticEnd = 0
  private(set) var history: [HistoryEntry] = []
  private(set) var roundCount = 0
  private(set) var hasVerify = false
  private(set) var dataCount: UInt64 = 0
  private var pending = PageRunMap()
  private var pendingRecords: [RecordLocation] = []
  private var pendingHistory = 0
  private var commitCount = 0
  private var isVerifying = false
  private var lastPFN: UInt64?

  init(path: String, _ options: PageIndex.Options) {
    self.path = path
    self.options = options
  }

  mutating func add(_ record: Record) throws {
    guard record.type == .pageData else {
      if record.type == .verify {
        isVerifying = true
        hasVerify = true
      }
      if record.type == .staticDataEnd, staticEnd == 0 { staticEnd = record.index }
      pendingRecords.append(
        RecordLocation(
          type: record.type, index: record.index, offset: record.offset,
          byteCount: record.totalByteCount))
      return
    }
    let runs = try self.runs(of: record)
    if options.keepsHistory {
      for run in runs {
        history.append(
          HistoryEntry(run: run, checkpoint: Int32(record.checkpoint), counts: !isVerifying))
      }
    }
    guard !isVerifying else { return }
    pending.push(runs)
    if options.keepsPageRecords, !runs.isEmpty { pendingPageRecords.append(record.offset) }
  }

  /// Notes how many checkpoints are complete: what came before the last one counts.
  mutating func checkpoints(_ count: Int) {
    guard count > commitCount else { return }
    commit()
    commitCount = count
  }

  /// At the end: what came after the last complete checkpoint does not count, END or not.
  /// Xen: tools/libs/guest/xg_sr_restore.c, restore (buffered records are dropped).
  mutating func finish(checkpointCount: Int) {
    if checkpointCount == 0 {
      commit()
    } else {
      for index in pendingHistory..<history.count { history[index].counts = false }
    }
  }

  private mutating func commit() {
    committed.push(pending.take())
    if commitCount > 0 { lasting = [] }
    for spot in pendingRecords {
      if spot.isStatic(before: staticEnd) { statics.append(spot) } else { lasting.append(spot) }
    }
    pendingRecords = []
    pageRecords += pendingPageRecords
    pendingPageRecords = []
    pendingHistory = history.count
    isVerifying = false
  }

  /// The runs of one record, ascending and disjoint.
  private mutating func runs(of record: Record) throws -> [PageExtent] {
    guard let count = record.pageEntryCount, let summary = record.pageTable else {
      throw broken(record, "the pfn table does not lie in the body")
    }
    guard !summary.hasReservedType else {
      throw broken(record, "an entry has a reserved page type")
    }
    guard record.payloadByteCount == UInt64(summary.dataCount) * UInt64(pageByteCount) else {
      throw broken(
        record,
        "expected \(summary.dataCount) pages of contents, got \(record.payloadByteCount) bytes")
    }
    guard count == 0 || summary.highestPFN < PageIndex.pfnLimit else {
      throw broken(
        record,
        "expected pfns below \(PageIndex.pfnLimit.hex()), got \(summary.highestPFN.hex())")
    }
    dataCount += UInt64(summary.dataCount)
    guard count > 0 else { return [] }
    let first = record.pageEntry(0).pfn
    if let lastPFN, first <= lastPFN { roundCount += 1 }
    if roundCount == 0 { roundCount = 1 }
    lastPFN = record.pageEntry(count - 1).pfn
    let round = UInt32(roundCount - 1)
    let start = record.payloadOffset
    if summary.isAscending {
      return record.withPageWords(count) { word in
        PageIndexBuilder.collect(count, start, round, word)
      }
    }
    // A pfn that stands twice: a reader fills its page twice, so the later entry counts.
    var entries: [(word: UInt64, offset: UInt64)] = []
    var offset = start
    for index in 0..<count {
      let entry = record.pageEntry(index)
      entries.append((PageEntry(entry.type, pfn: entry.pfn).rawValue, offset))
      if entry.type.hasData { offset += UInt64(pageByteCount) }
    }
    let order = (0..<count).sorted {
      let (a, b) = (entries[$0].word & PageEntry.pfnMask, entries[$1].word & PageEntry.pfnMask)
      return a != b ? a < b : $0 < $1
    }
    var out: [PageExtent] = []
    for (place, index) in order.enumerated() {
      let entry = PageEntry(rawValue: entries[index].word)
      if place + 1 < count, entries[order[place + 1]].word & PageEntry.pfnMask == entry.pfn {
        continue
      }
      out.appendJoining(
        PageExtent(
          entry.type, pfn: entry.pfn, count: 1,
          offset: entry.type.hasData ? entries[index].offset : 0, round: round))
    }
    return out
  }

  /// Runs of ascending entries.
  private static func collect(
    _ count: Int, _ start: UInt64, _ round: UInt32, _ word: (Int) -> UInt64
  ) -> [PageExtent] {
    var out: [PageExtent] = []
    var offset = start
    var index = 0
    while index < count {
      let first = PageEntry(rawValue: word(index))
      let type = first.type
      let key = first.rawValue & ~(0xFF << 52)
      var length = 1
      while index + length < count,
        word(index + length) & ~(0xFF << 52) == key &+ UInt64(length)
      {
        length += 1
      }
      out.append(
        PageExtent(
          type, pfn: first.pfn, count: UInt32(length), offset: type.hasData ? offset : 0,
          round: round))
      if type.hasData { offset += UInt64(length * pageByteCount) }
      index += length
    }
    return out
  }

  private func broken(_ record: Record, _ problem: String) -> XensaveError {
    XensaveError(
      StreamError(
        .malformed, path: path, offset: record.offset, place: record.place, problem))
  }
}

extension Record {
  /// Lends the words of PAGE_DATA's table, whose `count` entries are in the body.
  func withPageWords<R>(_ count: Int, _ body: ((Int) -> UInt64) -> R) -> R {
    let order = context.order
    return unsafe self.body.withUnsafeBytes { raw in
      precondition(raw.count >= 8 && (raw.count - 8) / 8 >= count)
      return body { index in
        precondition(index < count)
        // Safety: the preconditions hold the entry inside the body.
        return unsafe raw.loadUnaligned(fromByteOffset: 8 + 8 * index, as: UInt64.self)
          .ordered(order)
      }
    }
  }
}
