// The contents of an edited record: selecting by them, having them in memory, writing them.

public import Bytes
internal import Format
internal import ImageEdit
internal import Stream
internal import SystemIO

extension PageEdits {
  /// The numbers of the entries that a selector is true of, without those that were dropped.
  public func select(_ program: SelectorProgram) throws -> [Int] {
    let editable = try current()
    var out: [Int] = []
    let loaded = try payload(editable, if: program.needsContents && !source.isFile)
    let capacity = program.batchCapacity
    // The batch would keep these edits, which keep it.
    defer { guards.batch.begin([]) { _, _, _ in } }
    var first = 0
    while first < kept.count {
      let slice = Array(kept[first..<min(first + capacity, kept.count)])
      begin(slice, loaded, editable)
      try program.run(guards.batch).forEach { out.append(slice[$0]) }
      first += slice.count
    }
    return out
  }

  /// Those of them that have contents.
  func dataEntries(_ program: SelectorProgram) throws -> [Int] {
    try select(program).filter { entries[$0].type.hasData }
  }

  /// Makes entries `slice` the batch.
  private func begin(_ slice: [Int], _ loaded: PageAlignedBuffer?, _ editable: EditableRecord) {
    // The pages of the slice in the payload: they ascend, but dropped ones leave gaps.
    let places = slice.filter { entries[$0].type.hasData }
    let start = editable.record.bodyOffset + UInt64(editable.record.body.count)
    guards.batch.begin(slice.map { entries[$0] }) {
      [self] (range, buffer, place) in
      buffer.reserve(place + range.count * pageByteCount)
      var index = range.lowerBound
      while index < range.upperBound {
        let data = Int(dataIndex[places[index]])
        var count = 1
        while index + count < range.upperBound,
          Int(dataIndex[places[index + count]]) == data + count
        {
          count += 1
        }
        let target = place + (index - range.lowerBound) * pageByteCount
        if let loaded {
          let from = data * pageByteCount
          precondition(from + count * pageByteCount <= loaded.capacity)
          // Safety: both ranges lie in their buffers: the one was reserved, the other just checked.
          unsafe buffer.pointer(target)
            .copyMemory(from: loaded.pointer(from), byteCount: count * pageByteCount)
        } else {
          try source.readAside(
            start + UInt64(data * pageByteCount), count * pageByteCount, into: buffer, at: target)
        }
        for position in index..<index + count where contents[places[position]] > 0 {
          try put(
            places[position], buffer, at: place + (position - range.lowerBound) * pageByteCount)
        }
        index += count
      }
    }
  }

  // MARK: - In memory

  /// The payload with all edits of contents in it, where it is in memory, or has to be.
  private func payload(
    _ editable: EditableRecord, if isNeeded: Bool
  ) throws -> PageAlignedBuffer? {
    guard editable.loadedPayload != nil || (isNeeded && editable.payloadByteCount > 0) else {
      return nil
    }
    if editable.loadedPayload == nil {
      guard editable.payloadByteCount <= PageEdits.loadLimit else {
        throw XensaveError(
          .refused,
          "\(place): \(editable.payloadByteCount) bytes of contents "
            + "(at most \(PageEdits.loadLimit) are loaded)")
      }
      _ = try editable.payload()
    }
    try applyNewContents(editable)
    return editable.loadedPayload
  }

  /// Brings new contents into the payload, which is in memory.
  func applyNewContents(_ editable: EditableRecord) throws {
    guard !newContents.isEmpty, let buffer = editable.loadedPayload else { return }
    for index in entries.indices where contents[index] > 0 {
      try put(index, buffer, at: Int(dataIndex[index]) * pageByteCount)
      contents[index] = 0
    }
    newContents = []
  }

  /// Writes the new contents of an entry into a buffer.
  private func put(_ index: Int, _ buffer: PageAlignedBuffer, at place: Int) throws {
    precondition(place >= 0 && buffer.capacity - place >= pageByteCount)
    switch newContents[Int(contents[index]) - 1] {
    case .fill(let byte):
      // Safety: the precondition holds the page inside the buffer.
      unsafe buffer.pointer(place)
        .initializeMemory(as: UInt8.self, repeating: byte, count: pageByteCount)
    case .bytes(let page):
      // Safety: UInt8 has no padding, so every byte of the span is initialised.
      unsafe buffer.store(place, page.span.bytes)
    case .image(let image):
      try image.read(
        image.index.page(entries[index].pfn)?.offset ?? 0, pageByteCount, into: buffer, at: place)
    }
  }

  /// Pages of the record in memory.
  public struct Lent {
    public let buffer: PageAlignedBuffer
    /// Bytes of the payload.
    public let byteCount: Int
    /// pfns, and bytes from the start of the payload.
    public internal(set) var pages: [(pfn: UInt64, offset: Int)] = []
    /// Why a page may not be written to, by its place in `pages`.
    public internal(set) var problems: [Int: String] = [:]
  }

  /// Brings the selected pages that have contents into memory, where they stay until the record is
  /// written. What is written there counts once `noteWritten` was called. Gives nil for no page.
  public func lend(_ program: SelectorProgram) throws -> Lent? {
    let chosen = try chosen(program)
    let editable = try current()
    guard !chosen.isEmpty, let buffer = try payload(editable, if: true) else { return nil }
    try guards.lookUp(source)
    var lent = Lent(buffer: buffer, byteCount: editable.payloadByteCount)
    lent.pages.reserveCapacity(chosen.count)
    let (entries, dataIndex) = (self.entries, self.dataIndex)
    for (place, index) in chosen.enumerated() {
      lent.pages.append((entries[index].pfn, Int(dataIndex[index]) * pageByteCount))
      if let problem = guards.contentsProblem(entries[index]) { lent.problems[place] = problem }
    }
    return lent
  }

  /// The selected pages that have contents, some at a time; for who only reads. Nil where the record
  /// is not in a file, or in memory already: then `lend` has them.
  public func walk(_ program: SelectorProgram) throws -> RecordIterator? {
    let editable = try current()
    guard source.isFile, editable.loadedPayload == nil, !isChanging else { return nil }
    // For each page of the loop these would be looked up in the edits, which takes longer than to read
    // it.
    let (entries, dataIndex) = (self.entries, self.dataIndex)
    return RecordIterator(
      editable, source, try chosen(program).map { (entries[$0].pfn, Int(dataIndex[$0])) })
  }

  private func chosen(_ program: SelectorProgram) throws -> [Int] {
    program.isAlwaysTrue(of: kept.count)
      ? kept.filter { self.entries[$0].type.hasData } : try dataEntries(program)
  }

  /// Notes that lent pages, by their numbers in the payload, were written to.
  public func noteWritten(_ payloadIndexes: some Sequence<Int>) {
    record?.markPayloadChanged()
    let payloadIndexes = Set(payloadIndexes)
    for index in entries.indices where payloadIndexes.contains(Int(dataIndex[index])) {
      guards.note(entries[index])
    }
  }

  /// The body as it would be written, all of it in memory.
  public func wholeBody() throws -> [UInt8] {
    let editable = try current()
    let buffer = try payload(editable, if: true)
    var out = head(editable.record)
    for index in kept where entries[index].type.hasData {
      let start = Int(dataIndex[index]) * pageByteCount
      if let buffer { out += buffer.copy(start..<start + pageByteCount) }
    }
    return out
  }

  // MARK: - Writing

  /// Count and pfn table as they are now.
  private func head(_ record: Record) -> [UInt8] {
    let order = record.context.order
    var body: [UInt8] = []
    body.reserveCapacity(8 + 8 * kept.count)
    body.append(integer: UInt32(kept.count), order)
    body += record.body[4..<8]
    for index in kept {
      // Reserved bits stay what they were.
      let reserved = record.pageEntry(index).rawValue & 0xFF << 52
      body.append(
        integer: PageEntry(entries[index].type, pfn: entries[index].pfn).rawValue | reserved, order)
    }
    return body
  }

  func putHead(_ record: Record, _ writer: inout StreamWriter) throws {
    // A record without an entry is none.
    guard !kept.isEmpty else { return }
    let dataCount = kept.reduce(0) { $0 + (entries[$1].type.hasData ? 1 : 0) }
    let head = Record(
      .pageData, body: head(record), payloadByteCount: UInt64(dataCount * pageByteCount),
      context: record.context)
    try writer.put(head.headBytes)
  }

  /// What becomes of a page of the payload.
  private struct Fate: Equatable {
    let isWritten: Bool
    let contentsIndex: UInt16
  }

  private func fate(_ index: Int) -> Fate {
    let isWritten = !isDropped[index] && entries[index].type.hasData
    return Fate(isWritten: isWritten, contentsIndex: isWritten ? contents[index] : 0)
  }

  func putPages(
    _ editable: EditableRecord, _ reader: inout StreamReader, _ writer: inout StreamWriter
  ) throws {
    let loaded = editable.loadedPayload
    let pages = entries.indices.filter { dataIndex[$0] >= 0 }
    let buffer = PageAlignedBuffer(capacity: PageEdits.chunkByteCount)
    var first = 0
    while first < pages.count {
      let fate = self.fate(pages[first])
      var last = first + 1
      while last < pages.count, self.fate(pages[last]) == fate { last += 1 }
      let bytes = (last - first) * pageByteCount
      defer { first = last }
      if fate.isWritten, fate.contentsIndex == 0 {
        let sink = writer.sink
        if let loaded {
          let start = first * pageByteCount
          try writer.put([], then: loaded, start..<start + bytes)
        } else {
          try writer.put([])
          try reader.movePayload(UInt64(bytes), to: sink)
        }
        continue
      }
      if loaded == nil {
        try reader.skipPayload(UInt64(bytes))
      }
      guard fate.isWritten else { continue }
      // New contents, a chunk at a time.
      var page = first
      while page < last {
        let count = min(last - page, PageEdits.chunkByteCount / pageByteCount)
        for index in 0..<count {
          try put(pages[page + index], buffer, at: index * pageByteCount)
        }
        try writer.put([], then: buffer, 0..<count * pageByteCount)
        page += count
      }
    }
  }
}
