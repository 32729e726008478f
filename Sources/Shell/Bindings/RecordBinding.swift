// Records as Lua sees them.

internal import Bytes
internal import Format
internal import Image
internal import LuaRuntime
internal import Stream

/// A record in a script's hands: one that passes a filter, was read from an image, or was made.
final class LuaRecord: FieldOwner {
  let editable: EditableRecord
  /// Called when a script changes the record: an image notes what to write.
  var onChange: (() throws(LuaError) -> Void)?

  init(_ editable: EditableRecord) { self.editable = editable }

  var record: Record { editable.record }
  var fieldBytes: [UInt8] { editable.body }
  var fieldLayout: BodyLayout { record.layout }
  var fieldTitle: String { record.type.name }

  func checkValid() throws(LuaError) {
    guard editable.isValid else {
      throw LuaError(
        "stale record: \(record.place) has passed (rec:copy() keeps one beyond its turn)")
    }
  }

  func setFieldBytes(_ bytes: [UInt8]) throws(LuaError) {
    try checkValid()
    editable.setBody(bytes)
    try onChange?()
  }

  /// The array or chain that `each` and `find` mean: the only one of the top level.
  func collection() throws(LuaError) -> FieldNode {
    for slot in fieldLayout.slots(in: fieldBytes) where !slot.isLeaf {
      return FieldNode(self, slot)
    }
    throw LuaError("\(fieldTitle) has no elements")
  }

  static var table: LuaClass<LuaRecord> {
    var table = LuaClass<LuaRecord>(
      "Record",
      "A record. Besides the members below it has the fields of its type by their names in the "
        + "specification; assigning to one writes it. Valid during the call of the filter that got "
        + "it; a copy stays.",
      properties + methods)
    table.index = { record, frame throws(LuaError) in
      try record.checkValid()
      let name = try frame.string(2)
      if record.record.type == .pageData, name == "pfn" || name == "pftype" {
        frame.push(object: PageColumn(record, isType: name == "pftype"))
        return 1
      }
      let slots = record.fieldLayout.slots(in: record.fieldBytes)
      if let slot = slots.first(where: { $0.field.name == name }) {
        record.push(slot, frame)
        return 1
      }
      record.push(try record.slot(name), frame)
      return 1
    }
    table.newIndex = { record, frame throws(LuaError) in
      try record.assign(try frame.string(2), frame, 3)
      return 0
    }
    table.toString = { record in
      let r = record.record
      return r.index > 0
        ? "\(r.place) at \(r.offset.hex()), \(r.length) octets"
        : "new record (\(r.type.name)), \(r.length) octets"
    }
    table.equal = { $0.editable === $1.editable }
    return table
  }

  private static var properties: [LuaMember<LuaRecord>] {
    [
      .property(
        "type", "string",
        "The record type's name in the specification; a number in hexadecimal if it is unknown.",
        example: "if rec.type == \"HVM_PARAMS\" then print(#rec.param) end"
      ) { record, frame in frame.push(record.record.type.name) },
      .property("type_id", "integer", "The record type's number.") { record, frame in
        frame.push(Int(record.record.type.number))
      },
      .property("layer", "string", "\"libxc\" or \"libxl\": whose record it is.") { record, frame in
        frame.push(record.record.type.layer.rawValue)
      },
      .property("index", "integer", "Position in the stream, from 1; 0 for a new one.") {
        record, frame in frame.push(record.record.index)
      },
      .property("offset", "integer", "Octets from the start of the image to the record's header.") {
        record, frame in frame.push(record.record.offset)
      },
      .property("length", "integer", "Octets of the body, without padding.") { record, frame in
        frame.push(record.record.length)
      },
      .property("optional", "boolean", "Whether a reader that does not know it may ignore it.") {
        record, frame in frame.push(record.record.type.isOptional)
      },
      .property("checkpoint", "integer", "Number of the checkpoint, from 0; 0 in plain streams.") {
        record, frame in frame.push(record.record.checkpoint)
      },
      .property(
        "body", "View",
        "The body's octets: all of it, or (PAGE_DATA, large blobs) the head before the bulk."
      ) { record, frame throws(LuaError) in
        try record.checkValid()
        frame.push(object: LuaView(record, 0..<record.fieldBytes.count))
      },
    ]
  }

  private static var methods: [LuaMember<LuaRecord>] {
    [
      .method(
        "get", "(path: string): any",
        "The field at a path such as \"param[0].value\": for names that are also members.",
        example: "rec:get(\"index\")"
      ) { record, frame throws(LuaError) in
        record.push(try record.slot(try frame.string(2)), frame)
        return 1
      },
      .method(
        "set", "(path: string, value: any)",
        "Writes the field at a path. Values that do not fit raise.",
        example: "rec:set(\"param[0].value\", 0xff000)"
      ) { record, frame throws(LuaError) in
        try record.assign(try frame.string(2), frame, 3)
        return 0
      },
      .method(
        "fields", "(): table", "All fields of the body with their values, as a table."
      ) { record, frame throws(LuaError) in
        try record.checkValid()
        let slots = record.fieldLayout.slots(in: record.fieldBytes)
        frame.push(
          LuaValue.table(
            slots.map {
              ($0.field.name, luaValue(record.fieldLayout.value(of: $0, in: record.fieldBytes)))
            }))
        return 1
      },
      .method(
        "each", "(name?: string): fun(): Fields",
        "Iterates over the record's elements: params, leaves, msrs, entries of HVM_CONTEXT (with a "
          + "name: only those of that type), sections of EMULATOR_CONTEXT (by device).",
        example: "for cpu in rec:each \"CPU\" do print(cpu.instance, cpu.rip) end"
      ) { record, frame throws(LuaError) in
        let wanted = frame.stringIfAny(2)
        let slots = try record.collection().elements().filter {
          wanted == nil || $0.field.name == wanted
        }
        var next = 0
        frame.push(function: "each") { frame in
          guard next < slots.count else {
            frame.pushNil()
            return 1
          }
          record.push(slots[next], frame)
          next += 1
          return 1
        }
        return 1
      },
      .method(
        "find", "(fields: table): Fields?",
        "The first element whose fields have these values, or nil.",
        example: "local leaf7 = rec:find { leaf = 7, subleaf = 0 }"
      ) { record, frame throws(LuaError) in
        guard case .table(let wanted)? = frame.value(2) else {
          throw frame.argumentError(2, "expected a table of fields")
        }
        let bytes = record.fieldBytes
        for element in try record.collection().elements() {
          let children = record.fieldLayout.children(of: element, in: bytes)
          var matches = true
          for (name, value) in wanted {
            guard let child = children.first(where: { $0.field.name == name }) else {
              throw LuaError(
                "no field '\(name)' in \(record.fieldTitle).\(element.path)"
                  + didYouMean(name, among: children.map(\.field.name)))
            }
            if luaValue(child.value(in: bytes)) != value { matches = false }
          }
          if matches {
            record.push(element, frame)
            return 1
          }
        }
        frame.pushNil()
        return 1
      },
      .method(
        "copy", "(): Record",
        "A new record with the same body, which can be kept, changed and returned. Loads the pages."
      ) { record, frame throws(LuaError) in
        try record.checkValid()
        let copy = try raising { () throws(StreamError) in try record.editable.copy() }
        frame.push(object: LuaRecord(copy))
        return 1
      },
      .method(
        "payload", "(): string?",
        "The octets behind the head (pages of PAGE_DATA, the rest of a large blob) as a string: the "
          + "one call that copies them all. Nil where there are none."
      ) { record, frame throws(LuaError) in
        try record.checkValid()
        let arena = try raising { () throws(StreamError) in try record.editable.payload() }
        guard let arena else {
          frame.pushNil()
          return 1
        }
        frame.push(arena.copy(0..<record.editable.payloadByteCount))
        return 1
      },
      .method("hexdump", "(): string", "The head as lines of hexadecimal octets and text.") {
        record, frame throws(LuaError) in
        try record.checkValid()
        frame.push(hexdump(record.fieldBytes))
        return 1
      },
    ]
  }
}

/// A field value as plain Lua data.
func luaValue(_ value: FieldValue) -> LuaValue {
  switch value {
  case .unsigned(let number): .unsigned(number)
  case .signed(let number): .integer(number)
  case .octets(let octets): .string(octets)
  case .text(let text): .text(text)
  case .list(let values): .list(values.map(luaValue))
  case .group(let fields): .table(fields.map { ($0.name, luaValue($0.value)) })
  }
}

/// The pfns or the page types of PAGE_DATA, by number from 1.
final class PageColumn {
  let record: LuaRecord
  let isType: Bool

  init(_ record: LuaRecord, isType: Bool) {
    self.record = record
    self.isType = isType
  }

  private func position(_ frame: LuaFrame) throws(LuaError) -> Int {
    try record.checkValid()
    let count = record.record.pageEntryCount ?? 0
    return try frame.integer(2, in: 1...Int64(max(count, 1))) - 1
  }

  private func set(_ entry: PageEntry, _ position: Int) throws(LuaError) {
    var bytes = record.fieldBytes
    bytes.store(8 + 8 * position, entry.rawValue, record.record.context.order)
    try record.setFieldBytes(bytes)
  }

  static var table: LuaClass<PageColumn> {
    var table = LuaClass<PageColumn>(
      "PageColumn",
      "The page numbers (batch.pfn) or page types (batch.pftype) of PAGE_DATA, from 1.", [])
    table.index = { column, frame throws(LuaError) in
      guard frame.type(2) == .number else {
        throw LuaError("expected a number from 1 to \(column.record.record.pageEntryCount ?? 0)")
      }
      let number = try frame.integer(2)
      guard number >= 1, number <= column.record.record.pageEntryCount ?? 0 else {
        frame.pushNil()
        return 1
      }
      try column.record.checkValid()
      let entry = column.record.record.pageEntry(Int(number) - 1)
      if column.isType { frame.push(entry.type.name) } else { frame.push(entry.pfn) }
      return 1
    }
    table.newIndex = { column, frame throws(LuaError) in
      let position = try column.position(frame)
      let entry = column.record.record.pageEntry(position)
      if column.isType {
        let name = try frame.string(3)
        guard let type = PageType(name: name) else {
          throw LuaError(
            "no page type '\(name)'"
              + didYouMean(name, among: PageType.names.filter { !$0.isEmpty }))
        }
        guard type.hasData == entry.type.hasData else {
          throw LuaError(
            "pfn \(entry.pfn.hex()): \(entry.type.name) cannot become \(type.name) here: "
              + "one has a page in the stream and the other has none")
        }
        try column.set(PageEntry(type, pfn: entry.pfn), position)
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
      frame.push(column.record.record.pageEntryCount ?? 0)
      return 1
    }
    return table
  }
}
