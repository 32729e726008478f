// What rewrites, conversions and verifications did, for programs.

internal import Convert
internal import Format
internal import ImageCheck
internal import ImageEdit
package import JSON
internal import Legacy

extension VerifyReport {
  package func write(to writer: inout JSONWriter, path: String) {
    writer.beginObject()
    writer.member("image", path)
    writer.member("good", isGood)
    writer.member("errors", count(.error))
    writer.member("warnings", count(.warning))
    writer.member("notes", count(.note))
    writer.member("records", survey.recordCount)
    writer.key("findings")
    writer.beginArray()
    for finding in findings {
      writer.beginObject()
      writer.member("rule", finding.ruleID)
      writer.member("severity", finding.severity.rawValue)
      writer.member("offset", finding.offset)
      writer.member("place", finding.place)
      writer.member("field", finding.field)
      writer.member("problem", finding.problem)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }
}

extension ChangeReport {
  /// The report for programs.
  package var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    write(to: &writer)
    return writer.finish() + [10]
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
    writer.member("octets_in", octetsRead)
    writer.member("octets_out", octetsWritten)
    if isOfFront { writer.member("before_the_pages_only", true) }
    writer.key("changes")
    writer.beginArray()
    for change in changes {
      writer.beginObject()
      writer.member("kind", change.kind.rawValue)
      writer.member("place", change.place)
      writer.member("offset", change.offset)
      writer.member("path", change.path)
      writer.member("before", change.before)
      writer.member("after", change.after)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }
}

extension ConversionReport {
  package var json: [UInt8] {
    var writer = JSONWriter(style: .pretty)
    writer.beginObject()
    writer.member("records_in", recordsRead)
    writer.member("records_out", recordsWritten)
    writer.member("octets_in", octetsRead)
    writer.member("octets_out", octetsWritten)
    writer.member("losses", lossCount)
    writer.key("notes")
    writer.beginArray()
    for note in notes {
      writer.beginObject()
      writer.member("place", note.place)
      writer.member("text", note.text)
      writer.member("loss", note.isLoss)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return writer.finish() + [10]
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
    writer.key("notes")
    writer.beginArray()
    for note in notes {
      writer.beginObject()
      writer.member("offset", note.offset)
      writer.member("text", note.text)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    return writer.finish() + [10]
  }
}
