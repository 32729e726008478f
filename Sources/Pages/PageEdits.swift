// Changing the pages of a record on its way through a rewrite.

internal import Bytes
public import Format
public import Image
public import Stream
public import SystemIO

/// Edits of one PAGE_DATA record: which pages to fill, drop, retype or replace.
///
///     let edits = try PageEdits(record, source, guard)
///     try edits.fill(selector, with: 0)      // says how many pages that are
///
/// Every call says at once how many pages it is for; all selectors look at the record as it was read,
/// except that dropped pages are not selected again. The writing comes later, in pieces of at most
/// 256 KiB; what does not change moves without being read. From a file, selectors read the contents
/// that they need, 64 pages at a time; from a pipe the record has to be in memory for that (4 MiB of
/// a saver's batch; at most 32 MiB). Count, types and length of the record follow by themselves.
public final class PageEdits: RecordStreamer {
  private enum Contents {
    case fill(UInt8)
    case octets([UInt8])
    /// The same pfn of another image.
    case image(PageImage)
  }

  /// The record; it holds these edits, not they it.
  private weak var record: EditableRecord?
  private let place: String
  private let source: Source
  private let guards: PageGuard
  private let entries: [PageEntry]
  private var types: [PageType]
  private var isDropped: [Bool]
  /// For each entry the number of its new contents, from 1; 0 where they stay.
  private var contents: [UInt16]
  private var newContents: [Contents] = []
  /// Pages of each kind of edit, for the report.
  private var counts = (filled: 0, dropped: 0, retyped: 0, replaced: 0)

  /// The greatest record that is loaded to look at its contents in a pipe.
  public static let loadLimit = 32 << 20
  static let pieceByteCount = 256 << 10

  /// Edits of `record`, which is the current one of `source`'s stream. They take hold by themselves.
  public init(
    _ record: EditableRecord, _ source: Source, _ guards: PageGuard
  ) throws(PagesError) {
    guard let count = record.record.pageEntryCount else {
      throw PagesError(
        .usage, "\(record.record.place): expected PAGE_DATA with a complete pfn table")
    }
    self.record = record
    place = record.record.place
    self.source = source
    self.guards = guards
    entries = (0..<count).map { record.record.pageEntry($0) }
    let dataCount = entries.reduce(0) { $0 + ($1.type.hasData ? 1 : 0) }
    guard record.payloadByteCount == dataCount * pageByteCount else {
      throw PagesError(
        .invalid,
        "\(record.record.place): expected \(dataCount) pages of contents, got "
          + "\(record.payloadByteCount) octets")
    }
    types = entries.map(\.type)
    isDropped = [Bool](repeating: false, count: count)
    contents = [UInt16](repeating: 0, count: count)
    record.streamer = self
  }

  /// The record, while it is the current one of its stream.
  private func current() throws(PagesError) -> EditableRecord {
    guard let record, record.isValid else {
      throw PagesError(.usage, "\(place): the record is no longer the current one of its stream")
    }
    return record
  }

  // MARK: - Edits

  /// Fills the selected pages that have contents with one octet.
  public func fill(_ program: SelectorProgram, with octet: UInt8) throws(PagesError) -> Int {
    let chosen = try select(program).filter { entries[$0].type.hasData }
    try check(chosen, "cannot be filled") { guards.contentsProblem($0) }
    let number = try add(.fill(octet))
    for index in chosen { contents[index] = number }
    counts.filled += chosen.count
    return chosen.count
  }

  /// Drops the selected pages from the stream.
  public func drop(_ program: SelectorProgram) throws(PagesError) -> Int {
    try drop(try select(program))
  }

  /// Drops all but the selected pages.
  public func keep(_ program: SelectorProgram) throws(PagesError) -> Int {
    let chosen = Set(try select(program))
    return try drop(entries.indices.filter { !isDropped[$0] && !chosen.contains($0) })
  }

  private func drop(_ chosen: [Int]) throws(PagesError) -> Int {
    try check(chosen, "cannot be dropped") { guards.dropProblem($0) }
    for index in chosen { isDropped[index] = true }
    counts.dropped += chosen.count
    return chosen.count
  }

  /// Gives the selected pages another type. One without contents drops them.
  public func retype(_ program: SelectorProgram, to type: PageType) throws(PagesError) -> Int {
    let chosen = try select(program).filter { entries[$0].type != type }
    try check(chosen, "cannot become \(type.name)") { guards.retypeProblem($0, type) }
    for index in chosen { types[index] = type }
    counts.retyped += chosen.count
    return chosen.count
  }

  /// Gives the selected pages that have contents those of the same pfns in another image.
  public func replace(
    _ program: SelectorProgram, from image: PageImage
  ) throws(PagesError) -> Int {
    let chosen = try select(program).filter { entries[$0].type.hasData }
    try check(chosen, "cannot be replaced") { entry in
      guards.contentsProblem(entry)
        ?? (image.index.page(entry.pfn)?.offset == nil
          ? "\(image.path) has no contents of it" : nil)
    }
    let number = try add(.image(image))
    for index in chosen { contents[index] = number }
    counts.replaced += chosen.count
    return chosen.count
  }

  /// Gives the selected pages that have contents these 4096 octets.
  public func replace(
    _ program: SelectorProgram, with octets: [UInt8]
  ) throws(PagesError) -> Int {
    guard octets.count == pageByteCount else {
      throw PagesError(.usage, "expected \(pageByteCount) octets for a page, got \(octets.count)")
    }
    let chosen = try select(program).filter { entries[$0].type.hasData }
    try check(chosen, "cannot be replaced") { guards.contentsProblem($0) }
    let number = try add(.octets(octets))
    for index in chosen { contents[index] = number }
    counts.replaced += chosen.count
    return chosen.count
  }

  private func add(_ contents: Contents) throws(PagesError) -> UInt16 {
    guard newContents.count < Int(UInt16.max) else {
      throw PagesError(.usage, "\(place): more than 65535 edits of one record")
    }
    newContents.append(contents)
    return UInt16(newContents.count)
  }

  private func check(
    _ chosen: [Int], _ what: String, _ problem: (PageEntry) -> String?
  ) throws(PagesError) {
    for index in chosen {
      guard let reason = problem(entries[index]) else { continue }
      throw PagesError(
        .refused,
        "\(place): page \(entries[index].pfn.hex()) \(what): \(reason)")
    }
  }

  // MARK: - Selecting

  /// The entries that a selector is true of, without those that were dropped.
  public func select(_ program: SelectorProgram) throws(PagesError) -> [Int] {
    let editable = try current()
    var out: [Int] = []
    let batch = PageBatch()
    var dataBefore = 0
    var first = 0
    let start = editable.record.offset + 8 + UInt64(editable.record.body.count)
    let loaded = try loadedPayload(program, editable)
    while first < entries.count {
      let slice = Array(entries[first..<min(first + BatchMask.capacity, entries.count)])
      let base = dataBefore
      batch.begin(slice) { [source] (range, arena, place) throws(PagesError) in
        let count = range.count * pageByteCount
        arena.reserve(place + count)
        if let loaded {
          let from = (base + range.lowerBound) * pageByteCount
          precondition(from + count <= loaded.capacity)
          // Safety: both ranges were just checked against their arenas.
          unsafe arena.pointer(place).copyMemory(from: loaded.pointer(from), byteCount: count)
          return
        }
        let here = source.position
        defer { source.seek(here) }
        source.seek(start + UInt64((base + range.lowerBound) * pageByteCount))
        let got = try io { () throws(SystemError) in
          try source.read(into: arena, place..<place + count)
        }
        guard got == count else { throw shorter(source) }
      }
      let base1 = first
      try program.run(batch).forEach { if !isDropped[base1 + $0] { out.append(base1 + $0) } }
      dataBefore += slice.reduce(0) { $0 + ($1.type.hasData ? 1 : 0) }
      first += slice.count
    }
    return out
  }

  /// The payload where it is in memory already, or has to be.
  private func loadedPayload(
    _ program: SelectorProgram, _ editable: EditableRecord
  ) throws(PagesError) -> Arena? {
    if let loaded = editable.loadedPayload { return loaded }
    guard program.needsContents, !source.isFile else { return nil }
    guard editable.payloadByteCount <= PageEdits.loadLimit else {
      throw PagesError(
        .refused,
        "\(place): \(editable.payloadByteCount) octets of contents in a pipe "
          + "(at most \(PageEdits.loadLimit) are loaded)")
    }
    return try streaming { () throws(StreamError) in try editable.payload() }
  }

  // MARK: - RecordStreamer

  public var isChanging: Bool {
    counts.dropped > 0 || types.indices.contains { types[$0] != entries[$0].type }
      || contents.contains { $0 != 0 }
  }

  public var change: String {
    [
      (counts.filled, "filled"), (counts.dropped, "dropped"), (counts.retyped, "retyped"),
      (counts.replaced, "replaced"),
    ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
  }

  public func write(
    _ record: Record, from reader: inout StreamReader, to writer: inout StreamWriter
  ) throws(RewriteError) {
    do throws(PagesError) {
      guard record.pageEntryCount == entries.count else {
        throw PagesError(
          .usage, "\(record.place): the pfn table changed its length behind the page edits")
      }
      try streaming { () throws(StreamError) in try putHead(record, &writer) }
      var index = 0
      var dataIndex = 0
      while index < entries.count {
        guard entries[index].type.hasData else {
          index += 1
          continue
        }
        // Neighbours (entries without contents between them do not matter) of the same fate.
        let fate = self.fate(index)
        var count = 0
        var pfn: UInt64 = 0
        while index < entries.count, !entries[index].type.hasData || self.fate(index) == fate {
          if entries[index].type.hasData {
            if case .image = fate.contents(newContents), count > 0 { break }
            count += 1
            pfn = entries[index].pfn
          }
          index += 1
        }
        try put(fate, count, dataIndex, pfn, &reader, &writer)
        dataIndex += count
      }
    } catch { throw error.rewriteError }
  }

  private struct Fate: Equatable {
    let isWritten: Bool
    let number: UInt16
    func contents(_ list: [Contents]) -> Contents? {
      isWritten && number > 0 ? list[Int(number) - 1] : nil
    }
  }

  private func fate(_ index: Int) -> Fate {
    let isWritten = !isDropped[index] && types[index].hasData
    return Fate(isWritten: isWritten, number: isWritten ? contents[index] : 0)
  }

  private func putHead(_ record: Record, _ writer: inout StreamWriter) throws(StreamError) {
    var body: [UInt8] = []
    var count: UInt32 = 0
    var dataCount = 0
    body.append(integer: UInt32(0), record.context.order)
    body += record.body[4..<8]
    for index in entries.indices where !isDropped[index] {
      let word = record.pageEntry(index).rawValue & ~(0xF << 60)
      body.append(
        integer: word | UInt64(types[index].rawValue) << 60, record.context.order)
      count += 1
      if types[index].hasData { dataCount += 1 }
    }
    // A record without an entry is none.
    guard count > 0 else { return }
    body.store(0, count, record.context.order)
    let head = Record(
      .pageData, body: body, payloadByteCount: UInt64(dataCount * pageByteCount),
      context: record.context)
    try writer.put(head.headBytes)
  }

  /// Writes `count` pages of one fate, or passes over them.
  private func put(
    _ fate: Fate, _ count: Int, _ dataIndex: Int, _ pfn: UInt64, _ reader: inout StreamReader,
    _ writer: inout StreamWriter
  ) throws(PagesError) {
    let octets = count * pageByteCount
    let loaded = record?.loadedPayload
    if fate.isWritten, fate.number == 0 {
      let sink = writer.sink
      do throws(StreamError) {
        if let loaded {
          let start = dataIndex * pageByteCount
          try writer.put([], then: loaded, start..<start + octets)
        } else {
          try writer.put([])
          try reader.movePayload(UInt64(octets), to: sink)
        }
      } catch { throw PagesError(error) }
      return
    }
    do throws(StreamError) {
      if loaded == nil { try reader.skipPayload(UInt64(octets)) }
    } catch { throw PagesError(error) }
    guard let contents = fate.contents(newContents) else { return }
    let arena: Arena
    switch contents {
    case .fill(let octet):
      arena = PageEdits.filled(octet, min(octets, PageEdits.pieceByteCount))
    case .octets(let page):
      arena = Arena(capacity: pageByteCount)
      // Safety: a page was checked to be 4096 octets when it was given.
      unsafe page.withUnsafeBytes { raw in
        unsafe arena.pointer().copyMemory(
          from: raw.baseAddress.unsafelyUnwrapped, byteCount: pageByteCount)
      }
    case .image(let image):
      arena = Arena(capacity: pageByteCount)
      try image.read(
        image.index.page(pfn)?.offset ?? 0, pageByteCount, into: arena)
    }
    var left = octets
    while left > 0 {
      let piece: Int
      if case .fill = contents {
        piece = min(left, PageEdits.pieceByteCount)
      } else {
        piece = pageByteCount
      }
      do throws(StreamError) { try writer.put([], then: arena, 0..<piece) } catch {
        throw PagesError(error)
      }
      left -= piece
    }
  }

  private static func filled(_ octet: UInt8, _ count: Int) -> Arena {
    let arena = Arena(capacity: count)
    // Safety: the arena holds at least `count` octets.
    unsafe arena.pointer().initializeMemory(as: UInt8.self, repeating: octet, count: count)
    return arena
  }
}
