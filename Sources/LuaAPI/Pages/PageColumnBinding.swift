// batch.pfn and batch.pftype.

internal import Bytes
internal import Format
package import LuaRuntime
internal import Pages
internal import Stream

/// The pfns or the page types of PAGE_DATA, by number from 1.
package final class PageColumn {
  package let record: LuaRecord
  package let isType: Bool

  package init(_ record: LuaRecord, isType: Bool) {
    self.record = record
    self.isType = isType
  }

  /// Changes entry `position` (from 0): as an edit of a filter's record, else in the record's header.
  private func set(_ entry: PageEntry, _ position: Int) throws {
    if record.pages.guards != nil {
      let edits = try record.pages.editing(record.editable)
      if isType {
        try edits.retype(position, to: entry.type)
      } else {
        try edits.renumber(position, to: entry.pfn)
      }
      return
    }
    let old = record.record.pageEntry(position)
    guard old.type.hasData == entry.type.hasData else {
      throw LuaError(
        "pfn \(entry.pfn.hex()): \(old.type.name) cannot become \(entry.type.name) here: "
          + "one has a page in the stream and the other has none")
    }
    var bytes = record.fieldBytes
    bytes.store(8 + 8 * position, entry.rawValue, record.record.context.order)
    try record.setFieldBytes(bytes)
  }

  package static var table: LuaClass<PageColumn> {
    var table = LuaClass<PageColumn>(
      "PageColumn",
      "The page numbers (batch.pfn) or page types (batch.pftype) of PAGE_DATA, from 1.", [])
    table.index = { column, frame in
      guard frame.type(2) == .number else {
        throw LuaError("expected a number from 1 to \(column.record.pageCount ?? 0)")
      }
      try column.record.checkValid()
      let position = try frame.integer(2)
      guard position >= 1, position <= column.record.pageCount ?? 0 else {
        frame.pushNil()
        return 1
      }
      let entry = column.record.pageEntry(Int(position) - 1)
      if column.isType { frame.push(entry.type.name) } else { frame.push(entry.pfn) }
      return 1
    }
    table.newIndex = { column, frame in
      try column.record.checkValid()
      let count = column.record.pageCount ?? 0
      let position = try frame.integer(2, in: 1...Int64(max(count, 1))) - 1
      guard position < count else { throw LuaError("the record has no pages") }
      let entry = column.record.pageEntry(position)
      if column.isType {
        try column.set(PageEntry(try pageType(frame, 3), pfn: entry.pfn), position)
      } else {
        let pfn = UInt64(bitPattern: try frame.integer(3))
        guard pfn <= PageEntry.pfnMask else {
          throw LuaError("expected a pfn of at most 52 bits, got \(pfn.hex())")
        }
        try column.set(PageEntry(entry.type, pfn: pfn), position)
      }
      return 0
    }
    table.length = { column, frame in
      frame.push(column.record.pageCount ?? 0)
      return 1
    }
    return table
  }
}
