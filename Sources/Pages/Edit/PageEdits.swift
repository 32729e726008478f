// Changing the pages of a record on its way through a rewrite.

internal import Bytes
public import Format
public import ImageEdit
public import Stream
public import SystemIO

/// Edits of one PAGE_DATA record: which pages to fill, drop, retype, renumber or replace.
///
///     let edits = try PageEdits(record, source, guard)
///     try edits.fill(selector, with: 0)      // says how many pages that are
///
/// Every call says at once how many pages it is for, and each sees what those before it did. The
/// writing comes later, in chunks of at most 256 KiB; what does not change moves without being read.
/// From a file, selectors read the contents that they need, 64 pages at a time; from a pipe, or where
/// pages are lent out, the record has to be in memory for that (4 MiB of a saver's batch; at most
/// 32 MiB). Count, types and length of the record follow by themselves. A call that is refused has
/// changed nothing.
public final class PageEdits: RecordStreamer {
  enum Contents {
    case fill(UInt8)
    case bytes([UInt8])
    /// The same pfn of another image.
    case image(PageImage)
  }

  /// The record; it holds these edits, not they it.
  weak var record: EditableRecord?
  let place: String
  let source: Source
  let guards: PageGuard
  /// The header as it was when the edits began.
  private let body: [UInt8]
  /// All entries that were read, with the type and pfn that they have now.
  var entries: [PageEntry]
  /// For each entry the number of its page in the payload, or -1.
  let dataIndex: [Int32]
  var isDropped: [Bool]
  /// The entries that are not dropped, ascending.
  public private(set) var kept: [Int]
  /// For each entry the number of its new contents, from 1; 0 where they stay.
  var contents: [UInt16]
  var newContents: [Contents] = []
  /// Pages of each kind of edit, for the report.
  private var counts = (filled: 0, dropped: 0, retyped: 0, renumbered: 0, replaced: 0)

  /// The greatest record that is loaded to look at its contents in a pipe.
  public static let loadLimit = 32 << 20
  static let chunkByteCount = 256 << 10

  /// The edits of `record`, which is the current one of `source`'s stream: those that another filter
  /// has begun, or new ones. They take hold by themselves.
  public static func of(
    _ record: EditableRecord, _ source: Source, _ guards: PageGuard
  ) throws -> PageEdits {
    if let begun = record.streamer as? PageEdits { return begun }
    return try PageEdits(record, source, guards)
  }

  public init(
    _ record: EditableRecord, _ source: Source, _ guards: PageGuard
  ) throws {
    self.record = record
    place = record.record.place
    self.source = source
    self.guards = guards
    body = record.body
    (entries, dataIndex) = try PageEdits.entries(of: record)
    isDropped = [Bool](repeating: false, count: entries.count)
    kept = Array(entries.indices)
    contents = [UInt16](repeating: 0, count: entries.count)
    record.streamer = self
  }

  /// The entries of a record, and the numbers of their pages in its payload, or -1.
  static func entries(
    of record: EditableRecord
  ) throws -> ([PageEntry], [Int32]) {
    let record = record.record
    guard let count = record.pageEntryCount else {
      throw XensaveError(
        .usage, "\(record.place): expected PAGE_DATA with a complete pfn table")
    }
    var next: Int32 = 0
    var entries: [PageEntry] = []
    var dataIndex: [Int32] = []
    entries.reserveCapacity(count)
    dataIndex.reserveCapacity(count)
    for index in 0..<count {
      let entry = record.pageEntry(index)
      entries.append(entry)
      dataIndex.append(entry.type.hasData ? next : -1)
      if entry.type.hasData { next += 1 }
    }
    guard record.payloadByteCount == UInt64(next) * UInt64(pageByteCount) else {
      throw XensaveError(
        .invalid,
        "\(record.place): expected \(next) pages of contents, got "
          + "\(record.payloadByteCount) bytes")
    }
    return (entries, dataIndex)
  }

  /// The record, while it is the current one of its stream and its header as it was.
  func current() throws -> EditableRecord {
    guard let record, record.isValid else {
      throw XensaveError(.usage, "\(place): the record is no longer the current one of its stream")
    }
    guard record.body == body else {
      throw XensaveError(
        .usage,
        "\(place): its pfn table was written beside the page edits (use batch.pfn and batch.pftype)"
      )
    }
    return record
  }

  /// Entry `position` (from 0) of those that are not dropped.
  public func entry(_ position: Int) -> PageEntry { entries[kept[position]] }

  /// The pfn of entry `index` of those that `select` gives.
  public func pfn(_ index: Int) -> UInt64 { entries[index].pfn }

  /// Bytes of the body as it is going to be written.
  public var byteCount: UInt64 {
    let data = kept.reduce(0) { $0 + (entries[$1].type.hasData ? 1 : 0) }
    return UInt64(8 + 8 * kept.count + data * pageByteCount)
  }

  // MARK: - Edits

  /// Fills the selected pages that have contents with one byte.
  public func fill(_ program: SelectorProgram, with byte: UInt8) throws -> Int {
    let chosen = try dataEntries(program)
    try check(chosen, "cannot be filled") { guards.contentsProblem($0) }
    try set(.fill(byte), chosen)
    counts.filled += chosen.count
    return chosen.count
  }

  /// Drops the selected pages from the stream.
  public func drop(_ program: SelectorProgram) throws -> Int {
    try drop(try select(program))
  }

  /// Drops all but the selected pages.
  public func keep(_ program: SelectorProgram) throws -> Int {
    let chosen = Set(try select(program))
    return try drop(kept.filter { !chosen.contains($0) })
  }

  private func drop(_ chosen: [Int]) throws -> Int {
    try check(chosen, "cannot be dropped") { guards.dropProblem($0) }
    for index in chosen { isDropped[index] = true }
    if !chosen.isEmpty { kept = entries.indices.filter { !isDropped[$0] } }
    counts.dropped += chosen.count
    return chosen.count
  }

  /// Gives the selected pages another type. One without contents drops them.
  public func retype(_ program: SelectorProgram, to type: PageType) throws -> Int {
    try retype(try select(program), to: type)
  }

  /// Gives entry `position` (from 0) of those that are not dropped another type.
  public func retype(_ position: Int, to type: PageType) throws {
    _ = try current()
    _ = try retype([kept[position]], to: type)
  }

  private func retype(_ indices: [Int], to type: PageType) throws -> Int {
    let chosen = indices.filter { entries[$0].type != type }
    try check(chosen, "cannot become \(type.name)") { guards.retypeProblem($0, type) }
    for index in chosen {
      entries[index] = PageEntry(type, pfn: entries[index].pfn)
      if !type.hasData { contents[index] = 0 }
    }
    counts.retyped += chosen.count
    return chosen.count
  }

  /// Gives entry `position` (from 0) of those that are not dropped another pfn.
  public func renumber(_ position: Int, to pfn: UInt64) throws {
    _ = try current()
    let index = kept[position]
    let old = entries[index]
    guard old.pfn != pfn else { return }
    let new = PageEntry(old.type, pfn: pfn)
    try check([index], "cannot become page \(pfn.hex())") {
      guards.contentsProblem($0) ?? guards.contentsProblem(new).map { "page \(pfn.hex()): \($0)" }
    }
    guards.note(new)
    if contents[index] > 0, case .image(let image) = newContents[Int(contents[index]) - 1] {
      try set(.bytes(image.contents(of: old.pfn)), [index])
    }
    entries[index] = new
    counts.renumbered += 1
  }

  /// Gives the selected pages that have contents those of the same pfns in another image.
  public func replace(
    _ program: SelectorProgram, from image: PageImage
  ) throws -> Int {
    let chosen = try dataEntries(program)
    try check(chosen, "cannot be replaced") { entry in
      guards.contentsProblem(entry)
        ?? (image.index.page(entry.pfn)?.offset == nil
          ? "\(image.path) has no contents of it" : nil)
    }
    try set(.image(image), chosen)
    counts.replaced += chosen.count
    return chosen.count
  }

  /// Gives the selected pages that have contents these 4096 bytes.
  public func replace(
    _ program: SelectorProgram, with bytes: [UInt8]
  ) throws -> Int {
    guard bytes.count == pageByteCount else {
      throw XensaveError(.usage, "expected \(pageByteCount) bytes for a page, got \(bytes.count)")
    }
    let chosen = try dataEntries(program)
    try check(chosen, "cannot be replaced") { guards.contentsProblem($0) }
    try set(.bytes(bytes), chosen)
    counts.replaced += chosen.count
    return chosen.count
  }

  private func set(_ new: Contents, _ chosen: [Int]) throws {
    guard !chosen.isEmpty else { return }
    guard newContents.count < Int(UInt16.max) else {
      throw XensaveError(.usage, "\(place): more than 65535 edits of one record")
    }
    newContents.append(new)
    for index in chosen { contents[index] = UInt16(newContents.count) }
    if let record, record.loadedPayload != nil { try applyNewContents(record) }
  }

  private func check(
    _ chosen: [Int], _ what: String, _ problem: (PageEntry) -> String?
  ) throws {
    guard !chosen.isEmpty else { return }
    try guards.lookUp(source)
    for index in chosen {
      guard let reason = problem(entries[index]) else { continue }
      throw XensaveError(
        .refused,
        "\(place): page \(entries[index].pfn.hex()) \(what): \(reason)")
    }
    for index in chosen { guards.note(entries[index]) }
  }

  // MARK: - RecordStreamer

  public var isChanging: Bool {
    counts.filled + counts.dropped + counts.retyped + counts.renumbered + counts.replaced > 0
  }

  public var change: String {
    [
      (counts.filled, "filled"), (counts.dropped, "dropped"), (counts.retyped, "retyped"),
      (counts.renumbered, "renumbered"), (counts.replaced, "replaced"),
    ].filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
  }

  public func write(
    _ record: Record, from reader: inout StreamReader, to writer: inout StreamWriter
  ) throws {
    let editable = try current()
    try putHead(record, &writer)
    try putPages(editable, &reader, &writer)
  }
}
