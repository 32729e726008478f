// PAGE_DATA as a batch of pages.

internal import Bytes
package import Format
internal import ImageEdit
internal import LuaRuntime
internal import Pages
internal import Stream

/// What a record knows of its pages: their edits, and what is lent of them.
package final class RecordPages {
  /// The guard of the filter that got the record; nil where a record is only read.
  let guards: PageGuard?
  /// What the records of a loop that only reads share.
  private let reading: PageGuard?
  private var memory: LuaMemory?
  /// What loops over a record that is only read have lent; each goes with its loop.
  private var walks: [Walk] = []

  private struct Walk {
    weak var memory: LuaMemory?
  }
  /// The record's streamer, which goes with the record's time and not with Lua's reference to it.
  private weak var edits: PageEdits?

  init(_ guards: PageGuard?, reading: PageGuard?) {
    self.guards = guards
    self.reading = reading
  }

  /// The edits that this record, or a filter before this one, has begun; nil where there are none.
  func begun(_ record: EditableRecord) -> PageEdits? {
    edits ?? record.streamer as? PageEdits
  }

  func edits(_ record: EditableRecord) throws -> PageEdits {
    if let begun = begun(record) { return begun }
    guard record.type == .pageData else {
      throw LuaError("\(record.record.place) has no pages: only PAGE_DATA has")
    }
    guard let source = record.source, record.isFromStream else {
      throw LuaError(
        "a copy of PAGE_DATA holds its pages as a string: edit the record itself, in a filter")
    }
    let made = try PageEdits.of(record, source, guards ?? reading ?? PageGuard())
    edits = made
    return made
  }

  /// The same for changing pages: only where what comes of it is written.
  func editing(_ record: EditableRecord) throws -> PageEdits {
    let edits = try edits(record)
    guard guards != nil else {
      throw LuaError(
        "\(record.record.place) is only read here: pages are edited in a filter (xs.rewrite)")
    }
    return edits
  }

  /// Ends what was lent; what scripts wrote to it counts.
  func end() {
    for walk in walks { walk.memory?.end() }
    walks = []
    guard let memory else { return }
    if memory.isWritten { edits?.noteWritten(memory.writtenPages) }
    memory.end()
  }

  /// Pushes a loop over the selected pages with their contents.
  func pushLoop(
    _ frame: LuaFrame, _ record: EditableRecord, _ program: SelectorProgram
  ) throws {
    if guards == nil, let walk = try walk(record, program) { return pushWalk(frame, walk) }
    let edits = try edits(record)
    guard let lent = try edits.lend(program) else {
      return frame.push(function: "each") { frame in
        frame.pushNil()
        return 1
      }
    }
    let memory: LuaMemory
    if let there = self.memory {
      memory = there
    } else {
      memory = LuaMemory(frame)
      self.memory = memory
      // Safety: the buffer keeps its bytes in their place until it goes; nothing lets it grow.
      unsafe memory.lend(lent.buffer.pointer(), lent.byteCount, owner: lent.buffer)
    }
    var reasons: [String] = []
    var reasonIndexes: [Int: Int] = [:]
    let isOnlyRead = guards == nil
    if isOnlyRead {
      reasons = [RecordPages.onlyRead]
    } else {
      for (place, problem) in lent.problems {
        reasons.append("page \(lent.pages[place].pfn.hex()): \(problem)")
        reasonIndexes[place] = reasons.count
      }
    }
    memory.pushLoop(frame, lent.pages.count, reasons: reasons) { place in
      lent.item(
        place, reason: isOnlyRead ? 1 : reasonIndexes.isEmpty ? 0 : reasonIndexes[place] ?? 0)
    }
  }

  private static let onlyRead = "the record is only read (edit pages in a filter)"

  /// The pages of a record that is only read, where it is in a file.
  private func walk(
    _ record: EditableRecord, _ program: SelectorProgram
  ) throws -> RecordIterator? {
    if begun(record) == nil, record.isFromStream, record.type == .pageData,
      let source = record.source,
      let walk = try RecordIterator(whole: record, source, program)
    {
      return walk
    }
    let edits = try edits(record)
    return try edits.walk(program)
  }

  /// A loop over a record in a file: what it reads is in memory 64 pages at a time.
  private func pushWalk(_ frame: LuaFrame, _ walk: RecordIterator) {
    var walk = walk
    let memory = LuaMemory(frame)
    walks.removeAll { $0.memory == nil }
    walks.append(Walk(memory: memory))
    memory.pushLoop(frame, reasons: [RecordPages.onlyRead]) {
      guard let lent = try walk.nextChunk() else {
        memory.end()
        return nil
      }
      // Safety: the walk's buffer keeps its bytes in their place until its next chunk, and `lend`
      // ends the views of the one before.
      unsafe memory.lend(lent.buffer.pointer(), lent.byteCount, owner: lent.buffer)
      return (lent.pages.count, { lent.item($0, reason: 1) })
    }
  }
}

extension PageEdits.Lent {
  /// Page `place` of them as a round of a loop.
  fileprivate func item(_ place: Int, reason: Int) -> LuaMemory.Item {
    let page = pages[place]
    return LuaMemory.Item(
      key: page.pfn, address: page.pfn << 12, range: page.offset..<page.offset + pageByteCount,
      reason: reason)
  }
}

extension LuaRecord {
  /// Entries of PAGE_DATA as they are now; nil of other records.
  package var pageCount: Int? { pages.begun(editable)?.kept.count ?? record.pageEntryCount }

  /// Entry `position` (from 0).
  package func pageEntry(_ position: Int) -> PageEntry {
    pages.begun(editable)?.entry(position) ?? record.pageEntry(position)
  }

  private static func edit(
    _ name: String, _ type: String, _ doc: String, example: String,
    _ body: @escaping (PageEdits, SelectorProgram, LuaFrame) throws -> Int
  ) -> LuaMember<LuaRecord> {
    .method(name, type, doc, example: example) { record, frame in
      try record.checkValid()
      let edits = try record.pages.editing(record.editable)
      let selector = try LuaSelector.at(frame, 2)
      frame.push(try body(edits, selector.program, frame))
      return 1
    }
  }

  /// Methods of PAGE_DATA. In a filter: what they do is written.
  static var batchMethods: [LuaMember<LuaRecord>] {
    [
      .method(
        "select", "(selector: Selector|PageSet|string): PageSet",
        "PAGE_DATA: the pages that a selector is true of, as a set.",
        example: "local set = rec:select(xs.pages.zero)"
      ) { record, frame in
        try record.checkValid()
        let edits = try record.pages.edits(record.editable)
        let program = try LuaSelector.at(frame, 2).program
        let chosen = try edits.select(program)
        frame.push(object: LuaPageSet(PageSet(chosen.map { edits.pfn($0) })))
        return 1
      },
      edit(
        "fill", "(selector: Selector|PageSet|string, byte: integer): integer",
        "PAGE_DATA, in a filter: fills the selected pages that have contents with a byte, and says "
          + "how many. Page tables and other pages that a PV guest's restore needs raise.",
        example: "rec:fill(xs.pages.pfn(0x100, 0x1ff), 0)"
      ) { edits, program, frame in
        let byte = UInt8(try frame.integer(3, in: 0...255))
        return try edits.fill(program, with: byte)
      },
      edit(
        "drop", "(selector: Selector|PageSet|string): integer",
        "PAGE_DATA, in a filter: leaves the selected pages out, and says how many. Count and length "
          + "follow.",
        example: "rec:drop(xs.pages.pfn(0x100, 0x1ff))"
      ) { edits, program, _ in
        try edits.drop(program)
      },
      edit(
        "keep", "(selector: Selector|PageSet|string): integer",
        "PAGE_DATA, in a filter: leaves all but the selected pages out, and says how many it left out.",
        example: "rec:keep(xs.pages.pfn(0, 0xff))"
      ) { edits, program, _ in
        try edits.keep(program)
      },
      edit(
        "retype", "(selector: Selector|PageSet|string, type: string): integer",
        "PAGE_DATA, in a filter: gives the selected pages another type, and says how many had another. "
          + "A type without contents takes them away.",
        example: "rec:retype(xs.pages.type \"BROKEN\", \"XTAB\")"
      ) { edits, program, frame in
        let type = try pageType(frame, 3)
        return try edits.retype(program, to: type)
      },
      .method(
        "copy_pages", "(selector: Selector|PageSet|string, source: Image|string): integer",
        "PAGE_DATA, in a filter: gives the selected pages that have contents those of the same pages in "
          + "another image (or these 4096 bytes), and says how many. rec:copy(selector, image) is the "
          + "same.",
        example: "rec:copy_pages(xs.pages.pfn(0x100), golden)"
      ) { record, frame in try record.copyPages(frame) },
    ]
  }

  func copyPages(_ frame: LuaFrame) throws -> Int32 {
    try checkValid()
    let edits = try pages.editing(editable)
    let program = try LuaSelector.at(frame, 2).program
    if frame.type(3) == .string, let bytes = frame.bytesIfAny(3) {
      frame.push(
        try edits.replace(program, with: bytes))
      return 1
    }
    let image = try frame.object(3, as: LuaImage.self)
    let source = try image.pages()
    frame.push(try edits.replace(program, from: source))
    return 1
  }
}
