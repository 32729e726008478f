// What convert, wrap and unwrap did, for programs.

internal import Convert
internal import Format
internal import JSON
internal import Legacy

extension ConversionReport {
  var json: [UInt8] {
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
  var json: [UInt8] {
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
