// What rewrites, conversions and verifications did, for programs.

package import Convert
internal import Format
internal import ImageCheck
internal import ImageEdit
package import JSON
internal import Legacy

extension JSONWriter {
  /// A document of its own, with a line end.
  package static func document(_ body: (inout JSONWriter) -> Void) -> [UInt8] {
    var writer = JSONWriter(style: .pretty)
    body(&writer)
    return writer.finish()
  }

  /// An object whose members `body` writes.
  package mutating func object(_ body: (inout JSONWriter) -> Void) {
    beginObject()
    body(&self)
    endObject()
  }

  /// An array with an object for each item.
  package mutating func objects<Item>(
    _ items: some Sequence<Item>, _ body: (inout JSONWriter, Item) -> Void
  ) {
    beginArray()
    for item in items { object { body(&$0, item) } }
    endArray()
  }

  /// The same as a member.
  package mutating func objects<Item>(
    _ name: String, _ items: some Sequence<Item>, _ body: (inout JSONWriter, Item) -> Void
  ) {
    key(name)
    objects(items, body)
  }
}

extension VerifyReport {
  package func write(to writer: inout JSONWriter, path: String) {
    writer.beginObject()
    writer.member("image", path)
    writer.member("good", isGood)
    writer.member("errors", count(.error))
    writer.member("warnings", count(.warning))
    writer.member("notes", count(.note))
    writer.member("records", imageSummary.recordCount)
    writer.objects("findings", findings) { writer, finding in
      writer.member("rule", finding.ruleID)
      writer.member("severity", finding.severity.rawValue)
      writer.member("offset", finding.offset)
      writer.member("place", finding.place)
      writer.member("field", finding.field)
      writer.member("problem", finding.problem)
    }
    writer.endObject()
  }
}

extension ChangeReport {
  /// The report for programs.
  package var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    write(to: &writer)
    return writer.finish()
  }

  package func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.member("records_in", recordsRead)
    writer.member("records_out", recordsWritten)
    writer.member("kept", kept)
    writer.member("changed", changed)
    writer.member("dropped", dropped)
    writer.member("inserted", inserted)
    writer.member("headers_changed", headersChanged)
    writer.member("octets_in", bytesRead)
    writer.member("octets_out", bytesWritten)
    if isOfFront { writer.member("before_the_pages_only", true) }
    writer.objects("changes", changes) { writer, change in
      writer.member("kind", change.kind.rawValue)
      writer.member("place", change.place)
      writer.member("offset", change.offset)
      writer.member("path", change.path)
      writer.member("before", change.before)
      writer.member("after", change.after)
    }
    writer.endObject()
  }
}

extension ConversionReport {
  package var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("records_in", recordsRead)
    writer.member("records_out", recordsWritten)
    writer.member("octets_in", bytesRead)
    writer.member("octets_out", bytesWritten)
    writer.member("losses", lossCount)
    writer.key("changes")
    changes.write(to: &writer)
    writer.objects("notes", notes) { writer, note in
      writer.member("place", note.place)
      writer.member("text", note.text)
      writer.member("loss", note.isLoss)
    }
    writer.endObject()
    return writer.finish()
  }
}

extension [ReleaseChange] {
  /// As a list of objects.
  package func write(to writer: inout JSONWriter) {
    writer.objects(self) { writer, change in
      writer.member("action", change.action.rawValue)
      writer.member("place", change.place)
      writer.member("text", change.text)
      writer.member("loss", change.isLoss)
    }
  }
}

extension LegacyReport {
  package var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("guest", guest.name)
    writer.member("toolstack_bits", width.rawValue * 8)
    writer.member("pages", pageCount)
    writer.member("checkpoints", checkpointCount)
    writer.member("octets_out", byteCount)
    writer.objects("notes", notes) { writer, note in
      writer.member("offset", note.offset)
      writer.member("text", note.text)
    }
    writer.endObject()
    return writer.finish()
  }
}
