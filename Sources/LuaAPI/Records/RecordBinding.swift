// Records as Lua sees them.

internal import Bytes
package import Format
package import ImageEdit
package import LuaRuntime
package import Pages
internal import Reports
package import Stream

/// A record in a script's hands: one that passes a filter, was read from an image, or was made.
package final class LuaRecord: FieldOwner {
  let editable: EditableRecord
  /// Its pages, where it is PAGE_DATA.
  package let pages: RecordPages
  /// Called when a script changes the record: an image notes what to write.
  var onChange: (() throws -> Void)?

  /// `guards`: those of the filter that the record passes; `reading`: what the records of a loop that
  /// only reads share.
  package init(_ editable: EditableRecord, _ guards: PageGuard? = nil, reading: PageGuard? = nil) {
    self.editable = editable
    pages = RecordPages(guards, reading: reading)
  }

  package var record: Record { editable.record }
  package var fieldBytes: [UInt8] { editable.body }
  package var fieldLayout: BodySchema { record.layout }
  package var fieldTitle: String { record.type.name }
  package var fieldShape: Int { editable.shape }

  package func checkValid() throws {
    guard editable.isValid else {
      throw LuaError(
        "stale record: \(record.place) has passed (rec:copy() keeps one beyond its turn)")
    }
  }

  package func setFieldBytes(_ bytes: [UInt8], keepsShape: Bool) throws {
    try checkValid()
    editable.setBody(bytes, keepsShape: keepsShape)
    try onChange?()
  }

  /// The array or chain that `each` and `find` mean: the only one of the top level.
  func collection() throws -> FieldNode {
    for slot in fieldLayout.slots(in: fieldBytes) where !slot.isLeaf {
      return FieldNode(self, slot)
    }
    throw LuaError("\(fieldTitle) has no elements")
  }

  package static var table: LuaClass<LuaRecord> {
    var table = LuaClass<LuaRecord>(
      "Record",
      "A record. Besides the members below it has the fields of its type by their names in the "
        + "specification; assigning to one writes it. Valid during the call of the filter that got "
        + "it; a copy stays.",
      properties + methods + batchMethods)
    table.weight = { record in
      // What is read from a stream goes when the record has passed.
      record.editable.body.count + (record.editable.original?.count ?? 0)
    }
    table.index = { record, frame in
      try record.checkValid()
      let name = try frame.string(2)
      if record.record.type == .pageData, name == "pfn" || name == "pftype" {
        frame.push(object: PageColumn(record, isType: name == "pftype"))
        return 1
      }
      if name == "count", record.record.type == .pageData, let count = record.pageCount {
        frame.push(count)
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
    table.newIndex = { record, frame in
      try record.assign(try frame.string(2), frame, 3)
      return 0
    }
    table.toString = { record in
      let r = record.record
      return r.index > 0
        ? "\(r.place) at \(r.offset.hex()), \(r.length) bytes"
        : "new record (\(r.type.name)), \(r.length) bytes"
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
        frame.push(Int(record.record.type.wireValue))
      },
      .property("layer", "string", "\"libxc\" or \"libxl\": whose record it is.") { record, frame in
        frame.push(record.record.type.layer.rawValue)
      },
      .property(
        "xenops", "Tree?",
        "What xenopsd's Xenops record says, as a tree that writes back; nil for other records.",
        example: "print(rec.xenops.vm_str.name)"
      ) { record, frame in
        if let tree = try record.tree() { frame.push(object: tree) } else { frame.pushNil() }
      },
      .property("index", "integer", "Position in the stream, from 1; 0 for a new one.") {
        record, frame in frame.push(record.record.index)
      },
      .property(
        "offset", "integer", "Bytes from the start of the image to the record's header.",
        unit: "bytes"
      ) {
        record, frame in frame.push(record.record.offset)
      },
      .property("length", "integer", "Bytes of the body, without padding.", unit: "bytes") {
        record, frame in
        frame.push(record.pages.begun(record.editable)?.byteCount ?? record.record.length)
      },
      .property("optional", "boolean", "Whether a reader that does not know it may ignore it.") {
        record, frame in frame.push(record.record.type.isOptional)
      },
      .property("checkpoint", "integer", "Number of the checkpoint, from 0; 0 in plain streams.") {
        record, frame in frame.push(record.record.checkpoint)
      },
      .property(
        "body", "View",
        "The body's bytes: all of it, or (PAGE_DATA, large blobs) the header before the bulk."
      ) { record, frame in
        try frame.push(viewOf: record)
      },
    ]
  }

  private static var methods: [LuaMember<LuaRecord>] {
    [
      .method(
        "get", "(path: string): any",
        "The field at a path such as \"param[0].value\": for names that are also members.",
        example: "rec:get(\"index\")"
      ) { record, frame in
        record.push(try record.slot(try frame.string(2)), frame)
        return 1
      },
      .method(
        "set", "(path: string, value: any)",
        "Writes the field at a path. Values that do not fit raise.",
        example: "rec:set(\"param[0].value\", 0xff000)"
      ) { record, frame in
        try record.assign(try frame.string(2), frame, 3)
        return 0
      },
      .method(
        "fields", "(): table", "All fields of the body with their values, as a table."
      ) { record, frame in
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
        "each", "(what?: string|Selector|PageSet): fun(): any, View",
        "Iterates over the record's elements: params, leaves, msrs, entries of HVM_CONTEXT (with a "
          + "name: only those of that type), sections of EMULATOR_CONTEXT (by device). Of PAGE_DATA "
          + "over the selected pages that have contents: pfn and a view, which in a filter may be "
          + "written to. Outside of a filter a view is valid until the loop has gone 64 pages further.",
        example: "for cpu in rec:each \"CPU\" do print(cpu.instance, cpu.rip) end"
      ) { record, frame in
        if record.record.type == .pageData {
          try record.checkValid()
          let selector =
            frame.isMissing(2) ? try LuaSelector(.any) : try LuaSelector.at(frame, 2)
          try record.pages.pushLoop(frame, record.editable, selector.program)
          return 1
        }
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
      ) { record, frame in
        guard case .table(let wanted)? = try frame.value(2) else {
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
        "copy", "(selector?: Selector|PageSet|string, image?: Image): Record",
        "A new record with the same body, which can be kept, changed and returned. Loads the pages."
      ) { record, frame in
        try record.checkValid()
        if !frame.isMissing(2) { return try record.copyPages(frame) }
        if let edits = record.pages.begun(record.editable) {
          let body = try edits.wholeBody()
          frame.push(
            object: LuaRecord(
              EditableRecord(making: record.record.type, body: body, record.record.context)))
          return 1
        }
        let copy = try record.editable.copy()
        frame.push(object: LuaRecord(copy))
        return 1
      },
      .method(
        "payload", "(): string?",
        "The bytes after the header (pages of PAGE_DATA, the rest of a large blob) as a string: the "
          + "one call that copies them all. Nil where there are none."
      ) { record, frame in
        try record.checkValid()
        if let edits = record.pages.begun(record.editable) {
          let body = try edits.wholeBody()
          frame.push(Array(body.dropFirst(8 + 8 * edits.kept.count)))
          return 1
        }
        let buffer = try record.editable.payload()
        guard let buffer else {
          frame.pushNil()
          return 1
        }
        frame.push(buffer.copy(0..<record.editable.payloadByteCount))
        return 1
      },
      .method("hexdump", "(): string", "The header as lines of hexadecimal bytes and text.") {
        record, frame in
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
  case .unsigned(let value): .unsigned(value)
  case .signed(let value): .integer(value)
  case .bytes(let bytes): .string(bytes)
  case .text(let text): .text(text)
  case .list(let values): .list(values.map(luaValue))
  case .group(let fields): .table(fields.map { ($0.name, luaValue($0.value)) })
  }
}
