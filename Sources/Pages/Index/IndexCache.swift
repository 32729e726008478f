// An index kept beside its image, so that the next program need not read every header again.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

/// The file `.NAME.index` beside an image. It saves time and is never believed blindly: it must be
/// ours, fit the image's length, time of change and first and last bytes, carry the hash of its own
/// contents, lie within the bounds of the image, and agree with every header that it names outside the
/// pages and with the pages of a few records drawn by lot. What the image's own headers say is read
/// from them. Where anything does not fit, the image is indexed anew.
///
///      0     1     2     3     4     5     6     7 byte
///     +-------------------------------------------------+
///     | magic "XSLINDEX"                                |
///     +-------------------------------------------------+
///     | version (2)                                     |
///     +-------------------------------------------------+
///     | bytes of the image                             |
///     +-------------------------------------------------+
///     | its time of change, nanoseconds                 |
///     +-------------------------------------------------+
///     | hash of its first and last 4 KiB                |
///     +-------------------------------------------------+
///     | counts: runs, records, records of pages,        |
///     | checkpoints, rounds, pages with contents,       |
///     | whether VERIFY, how the stream ends             |
///     +-------------------------------------------------+
///
/// Then runs (type and pfn as in PAGE_DATA, offset, count, round), records (index, offset, bytes),
/// offsets of the records of pages that count, and the hash of all that. Little-endian words.
public struct IndexCache {
  let imagePath: String
  /// Where it is.
  public let path: String

  public init(of imagePath: String) {
    self.imagePath = imagePath
    let slash = imagePath.utf8.lastIndex(of: UInt8(ascii: "/"))
    let start = slash.map { imagePath.utf8.index(after: $0) } ?? imagePath.startIndex
    path = imagePath[..<start] + "." + imagePath[start...] + ".index"
  }

  static let magic: UInt64 = 0x5845_444E_494C_5358  // "XSLINDEX"
  static let headWords = 13
  /// In a record's index: it is of the layer around libxc's, libxl's or xenopsd's.
  private static let outerBit: UInt64 = 1 << 63
  /// Records of pages that are compared to the index when it is read.
  private static let spotChecks = 16
  private static let endByteCount = 4 << 10

  /// What ties it to its image.
  private static func key(_ source: Source) throws -> [UInt64] {
    let size = source.byteCount ?? 0
    let buffer = PageAlignedBuffer(capacity: 2 * endByteCount)
    let first = Int(min(size, UInt64(endByteCount)))
    source.seek(0)
    var got = try source.read(into: buffer, 0..<first)
    source.seek(size - UInt64(first))
    got += try source.read(into: buffer, first..<2 * first)
    guard got == 2 * first else { throw shorter(source) }
    let hash = buffer.withBytes(0..<got) { PageLoops.hash($0, 0..<got, seed: magic) }
    return [
      size, try source.modificationTime(), hash,
    ]
  }

  // MARK: - Writing

  /// Writes the index, which was made with `keepsPageRecords`. The file is there whole or not at all.
  /// An image that changed in this moment is left alone: it could change again without its time of
  /// change telling.
  func write(_ index: PageIndex, of source: Source) throws {
    let age = Environment.nanosecondsSince1970 &- (try source.modificationTime())
    guard Int64(bitPattern: age) > 50_000_000 else { return }
    var words: [UInt64] = [IndexCache.magic, 2]
    words += try IndexCache.key(source)
    words += [
      UInt64(index.runs.count), UInt64(index.records.count), UInt64(index.pageRecords.count),
      UInt64(index.checkpointCount), UInt64(index.roundCount), index.dataCountInFile,
      index.hasVerify ? 1 : 0, IndexCache.endingIndex(of: index.ending),
    ]
    for run in index.runs {
      words += [
        PageEntry(run.type, pfn: run.pfn).rawValue, run.offset,
        UInt64(run.pageCount) << 32 | UInt64(run.round),
      ]
    }
    for spot in index.records {
      let isOuter = spot.type.layer == .libxl || spot.type.layer == .xenopsd
      words += [
        UInt64(spot.index) | (isOuter ? IndexCache.outerBit : 0), spot.offset, spot.byteCount,
      ]
    }
    words += index.pageRecords
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * words.count + 8)
    for word in words { bytes.append(integer: word) }
    bytes.append(integer: PageDelta.hash(bytes))
    try OutputFile.write(path, .memory, .fileOnly, bytes: bytes)
  }

  /// Makes it fit the image again, which was edited in place: all that it names lies `movedBy` bytes
  /// further, and nobody else has written to it since (the edit has set its time of change to the
  /// nanosecond).
  public func renew(for source: Source, movedBy delta: UInt64 = 0) throws {
    let source = try source.duplicate()
    let file = try Source(opening: path)
    var bytes = try file.read(Int(clamping: file.byteCount ?? 0))
    guard bytes.count >= 8 * (IndexCache.headWords + 1) else { throw unfit("it became shorter") }
    bytes.removeLast(8)
    if delta > 0 { try move(&bytes, by: delta) }
    for (position, word) in try IndexCache.key(source).enumerated() {
      bytes.store(16 + 8 * position, word)
    }
    bytes.append(integer: PageDelta.hash(bytes))
    // What a crash takes of it is made anew.
    try OutputFile.write(path, .memory, .fileOnly, isDurable: false, bytes: bytes)
  }

  /// Adds to all offsets of an index.
  private func move(_ bytes: inout [UInt8], by delta: UInt64) throws {
    let words = UInt64(bytes.count / 8)
    func word(_ position: Int) -> UInt64 { bytes.load(8 * position, as: UInt64.self) }
    let (runs, records, pages) = (word(5), word(6), word(7))
    guard [runs, records, pages].allSatisfy({ $0 <= words }),
      UInt64(IndexCache.headWords) + 3 * runs + 3 * records + pages == words
    else { throw unfit("its counts do not fit its length") }
    let start = IndexCache.headWords
    var places = (0..<Int(runs)).map { start + 3 * $0 + 1 }.filter { word($0) != 0 }
    let others = start + 3 * Int(runs)
    places += (0..<Int(records)).map { others + 3 * $0 + 1 }
    places += (0..<Int(pages)).map { others + 3 * Int(records) + $0 }
    for place in places { bytes.store(8 * place, word(place) &+ delta) }
  }

  private static let endings: [StreamReader.EndReason?] = [
    nil, .end, .checkpoint, .cutCheckpoint, .opaque,
  ]
  private static func endingIndex(of ending: StreamReader.EndReason?) -> UInt64 {
    UInt64(endings.firstIndex(of: ending) ?? 0)
  }

  // MARK: - Reading

  /// The index that it holds; nil where there is no cache. Throws what does not fit.
  func read(for source: Source) throws -> PageIndex? {
    // What is no file is not opened: a FIFO would have us wait.
    if FileSystem.exists(path), !FileSystem.isFile(path) {
      throw unfit("it is not a file that only we can have written")
    }
    let file: Source
    do { file = try Source(opening: path) } catch {
      if error.symbol == "enoent" { return nil }
      throw error
    }
    guard file.isFile, try file.isOwnedByUs() else {
      throw unfit("it is not a file that only we can have written")
    }
    let size = source.byteCount ?? 0
    // A run needs an entry of 8 bytes, a record its header: forged counts cannot take more memory
    // than the image could.
    let count = file.byteCount ?? 0
    guard count % 8 == 0, count >= 8 * UInt64(IndexCache.headWords + 1), count / 24 <= size / 8 + 64
    else { throw unfit("its length of \(count) bytes cannot be right") }
    let bytes = try file.read(Int(count))
    guard bytes.count == Int(count) else { throw unfit("it became shorter") }
    let body = Array(bytes.dropLast(8))
    guard bytes.load(0, as: UInt64.self) == IndexCache.magic,
      bytes.load(8, as: UInt64.self) == 2
    else { throw unfit("it is no index of this program's version") }
    guard bytes.load(body.count, as: UInt64.self) == PageDelta.hash(body) else {
      throw unfit("it is damaged (its hash does not fit)")
    }
    func word(_ position: Int) -> UInt64 { body.load(8 * position, as: UInt64.self) }
    guard try IndexCache.key(source) == [word(2), word(3), word(4)] else {
      throw unfit("the image has changed since")
    }
    let words = body.count / 8
    let (runCount, recordCount, pageRecordCount) = (word(5), word(6), word(7))
    guard [runCount, recordCount, pageRecordCount].allSatisfy({ $0 <= UInt64(words) }),
      UInt64(IndexCache.headWords) + 3 * runCount + 3 * recordCount + pageRecordCount
        == UInt64(words), word(12) < UInt64(IndexCache.endings.count)
    else { throw unfit("its counts do not fit its length") }

    var index = PageIndex(path: source.path)
    index.runs = try runs(Int(runCount), size, word)
    index.checkpointCount = Int(clamping: word(8))
    index.roundCount = Int(clamping: word(9))
    index.dataCountInFile = word(10)
    index.hasVerify = word(11) != 0
    index.ending = IndexCache.endings[Int(word(12))]
    guard index.dataCount <= index.dataCountInFile, index.dataCountInFile <= size / 4096 else {
      throw unfit("it has more pages than the image")
    }
    let start = IndexCache.headWords + 3 * Int(runCount)
    let reader = try readFront(&index, source)
    let spots = (0..<Int(recordCount)).map { spot in
      (word(start + 3 * spot), word(start + 3 * spot + 1), word(start + 3 * spot + 2))
    }
    try readRecords(&index, spots, source)
    let first = start + 3 * Int(recordCount)
    index.pageRecords = (0..<Int(pageRecordCount)).map { word(first + $0) }
    try spotCheck(index, reader, source)
    return index
  }

  /// The records after the pages of a plain stream, up to the end of the file; nil where there is no
  /// cache, or it does not lead there: only what is a chain from the last pages to the end counts.
  public func recordsAfterPages(of source: Source) throws -> [RecordLocation]? {
    let source = try source.duplicate()
    guard let index = try read(for: source), index.checkpointCount == 0, index.ending == .end,
      let last = index.pageRecords.max()
    else { return nil }
    source.seek(last)
    let head = try source.read(8)
    guard head.count == 8 else { return nil }
    var end = last + 8 + paddedTo8(UInt64(head.load(4, as: UInt32.self, index.context.order)))
    let tail = index.records.filter { $0.offset > last }
    for spot in tail {
      guard spot.offset == end else { return nil }
      end += spot.byteCount
    }
    guard end == source.byteCount, let first = tail.first,
      tail.enumerated().allSatisfy({ $0.element.index == first.index + $0.offset })
    else { return nil }
    return tail
  }

  private func unfit(_ problem: String) -> XensaveError {
    XensaveError(.invalid, "\(path): ignored: \(problem)")
  }

  private func runs(
    _ count: Int, _ size: UInt64, _ word: (Int) -> UInt64
  ) throws -> [PageExtent] {
    var runs: [PageExtent] = []
    runs.reserveCapacity(count)
    var end: UInt64 = 0
    for position in 0..<count {
      let place = IndexCache.headWords + 3 * position
      let entry = PageEntry(rawValue: word(place))
      let (offset, both) = (word(place + 1), word(place + 2))
      let run = PageExtent(
        entry.type, pfn: entry.pfn, count: UInt32(both >> 32), offset: offset,
        round: UInt32(truncatingIfNeeded: both))
      let bytes = UInt64(run.pageCount) * UInt64(pageByteCount)
      guard run.pageCount > 0, run.pfn >= end, run.end <= PageIndex.pfnLimit,
        !PageType.names[Int(entry.type.rawValue)].isEmpty,
        run.hasData ? offset <= size && bytes <= size - offset : offset == 0
      else { throw unfit("run \(position) is impossible") }
      end = run.end
      runs.append(run)
    }
    return runs
  }

  /// Headers and what the records before the first pages say, from the image itself.
  private func readFront(
    _ index: inout PageIndex, _ source: Source
  ) throws -> StreamReader {
    source.seek(0)
    var reader = StreamReader(source)
    while let part = try reader.next() {
      if case .header(let header) = part { index.headers.append(header) }
      if case .record(let record) = part, record.type == .pageData { break }
    }
    index.container = reader.container
    index.guest = reader.guest
    index.version = reader.version
    index.context = reader.libxcContext
    index.libxlContext = reader.libxlContext
    return reader
  }

  /// The records that count: each header is looked at.
  private func readRecords(
    _ index: inout PageIndex, _ spots: [(UInt64, UInt64, UInt64)], _ source: Source
  ) throws {
    var end: UInt64 = 0
    let image = index.headers.first { $0.kind == .image }?.offset ?? 0
    // Layers follow one another as outer, libxc, outer; the image header stands before the second.
    var stage = index.container == .libxc ? 1 : 0
    let outer: Layer = index.container == .xenopsd ? .xenopsd : .libxl
    for (word, offset, byteCount) in spots {
      let (recordIndex, isOuter) = (word & ~IndexCache.outerBit, word & IndexCache.outerBit != 0)
      if isOuter == (stage == 1) { stage += 1 }
      guard stage < (index.container == .libxc ? 2 : 3), isOuter == (stage != 1),
        (stage == 0) == (offset < image), offset >= end, byteCount >= 8,
        byteCount <= (source.byteCount ?? 0), offset <= (source.byteCount ?? 0) - byteCount
      else { throw unfit("record \(recordIndex) lies where it cannot") }
      end = offset + byteCount
      let layer = isOuter ? outer : .libxc
      let framing = RecordFraming.of(layer, version: index.version)
      source.seek(offset)
      let header = try source.read(framing.headByteCount)
      guard header.count == framing.headByteCount else {
        throw unfit("record \(recordIndex) is not where it says")
      }
      let stated = index.stated(in: header, of: layer)
      guard stated.length <= byteCount, framing.totalByteCount(stated.length) == byteCount else {
        throw unfit("record \(recordIndex) is not where it says")
      }
      index.records.append(
        RecordLocation(
          type: stated.type, index: Int(clamping: recordIndex), offset: offset,
          byteCount: byteCount))
    }
  }

  /// Compares records of pages, drawn by lot, to what the index says of them.
  private func spotCheck(
    _ index: PageIndex, _ reader: StreamReader, _ source: Source
  ) throws {
    guard index.pageRecords.isEmpty == index.runs.isEmpty else {
      throw unfit("it has pages without records")
    }
    let isPlain = index.dataCount == index.dataCountInFile && index.roundCount <= 1
    var random = SystemRandomNumberGenerator()
    let all = index.pageRecords
    let offsets =
      all.count <= IndexCache.spotChecks
      ? all : (0..<IndexCache.spotChecks).compactMap { _ in all.randomElement(using: &random) }
    for offset in offsets {
      guard offset < source.byteCount ?? 0 else {
        throw unfit("a record lies outside of the image")
      }
      var one = StreamReader(
        source, resumingAt: offset, index: 1, layer: .libxc, checkpoint: 0, from: reader)
      guard let part = try? one.next(), case .record(let record) = part, record.type == .pageData,
        let count = record.pageEntryCount
      else { throw unfit("there is no record of pages at \(offset.hex())") }
      var place = record.payloadOffset
      let contents = place..<place + record.payloadByteCount
      for entryIndex in 0..<count {
        let entry = record.pageEntry(entryIndex)
        let here = entry.type.hasData ? place : 0
        if entry.type.hasData { place += UInt64(pageByteCount) }
        guard let found = index.page(entry.pfn) else {
          throw unfit("page \(entry.pfn.hex()) is not in it")
        }
        let isHere = found.offset.map { contents.contains($0) } ?? false
        if isHere || isPlain, found.type != entry.type || (found.offset ?? 0) != here {
          throw unfit("page \(entry.pfn.hex()) is not where it says")
        }
      }
    }
  }
}
