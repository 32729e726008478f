// What an image holds, on one screen.

internal import Bytes
package import Format
package import ImageCheck
internal import ImageEdit
package import JSON
package import Stream
package import SystemIO

/// What `info` shows: the facts of one pass, and the configuration's best known values.
package struct Summary {
  package var survey = Survey()
  package var zeroPages: Int?
  package var config: JSONValue?

  package init(_ source: Source, countsZeroPages: Bool) throws(StreamError) {
    var reader = StreamReader(source)
    let scratch = Arena(capacity: 256 << 10)
    var zeros = 0
    while let part = try reader.next() {
      survey.add(part)
      if countsZeroPages, case .record(let record) = part, record.type == .pageData {
        zeros += try ZeroPages.count(in: &reader, record, scratch: scratch)
      }
    }
    survey.finish(reader.ending, at: reader.source.position)
    if countsZeroPages { zeroPages = zeros }
    if let text = survey.config?.text { config = try? JSONDocument(text).root }
  }

  /// Record types with their tallies, in the order of the tables, unknown ones last.
  package var records: [(type: RecordType, tally: Survey.Tally)] {
    let known = Layouts.all.map(\.type)
    let order = Dictionary(
      uniqueKeysWithValues: known.enumerated().map { ($0.element, $0.offset) })
    return survey.records.map { (type: $0.key, tally: $0.value) }.sorted {
      (order[$0.type] ?? known.count, $0.type.number)
        < (order[$1.type] ?? known.count, $1.type.number)
    }
  }

  package var name: String? { config?["c_info"]?["name"]?.stringValue }
  package var kind: String? { config?["c_info"]?["type"]?.stringValue }

  /// vCPUs: of a PV guest those with a state, of an HVM guest what its configuration says.
  package var vcpuCount: Int? {
    if !survey.vcpuIDs.isEmpty { return survey.vcpuIDs.count }
    return config?["b_info"]?["max_vcpus"]?.numberValue?.int64.map { Int($0) }
  }

  package var ending: String {
    switch survey.ending {
    case .end: "complete, ends with END"
    case .checkpoint: "checkpointed, ends behind a complete checkpoint"
    case .cutCheckpoint: "checkpointed, cut inside a record: the last complete checkpoint counts"
    case nil: "incomplete"
    }
  }

  package func text(path: String, _ ink: Ink = .none) -> String {
    let title = name.map { " \"\(Array($0.utf8).printable)\"" } ?? ""
    var out = ink.title("\(path): saved domain\(title)") + "\n"
    func line(_ label: String, _ value: String) {
      out +=
        "  " + ink.key(label) + String(repeating: " ", count: max(1, 12 - label.count)) + value
        + "\n"
    }
    var layers = survey.layers.joined(separator: " > ")
    if let version = survey.version { layers += " v\(version)" }
    if survey.libxcOrder == .big { layers += ", big-endian" }
    line("layers", layers)
    if let xen = survey.xenVersion {
      line(
        "saved by",
        survey.isConverted ? "a converter (Xen 0.\(xen.minor))" : "Xen \(xen.major).\(xen.minor)")
    }
    if let guest = survey.guest {
      line("guest", guest.name + (kind.map { " (\($0))" } ?? ""))
    }
    if let count = vcpuCount { line("vCPUs", "\(count)") }
    var memory =
      "\(survey.memoryByteCount.octetCount) in \(survey.firstRoundPageCount.grouped) pages"
    if let most = config?["b_info"]?["max_memkb"]?.numberValue?.uint64 {
      // What a configuration says may be more bytes than there are.
      memory += " (configured: \(most.multipliedSaturated(by: 1024).octetCount))"
    }
    line("memory", memory)
    line(
      "page data",
      "\(survey.pageCount.grouped) pages with contents of \(survey.pageEntryCount.grouped) entries"
        + (survey.roundCount > 1 ? ", \(survey.roundCount) rounds" : ""))
    let types = survey.pageTypes.enumerated().filter { $0.element > 0 }
      .map { "\(PageType(rawValue: UInt8($0.offset)).name) \($0.element.grouped)" }
    if !types.isEmpty { line("page types", types.joined(separator: ", ")) }
    if let zeroPages { line("zero pages", zeroPages.grouped) }
    if survey.checkpointCount > 0 { line("checkpoints", "\(survey.checkpointCount)") }
    line("stream", "\(ending), \(survey.byteCount.grouped) octets")
    if survey.trailingByteCount > 0 || survey.trailing != nil {
      line("trailing", "octets behind the end")
    }
    out += "  \(ink.key("records"))\n"
    for (type, tally) in records {
      let name = type.layer == .libxl ? "libxl \(type.name)" : type.name
      let count = tally.count.grouped
      let octets = tally.byteCount.grouped
      out +=
        "    " + name + String(repeating: " ", count: max(1, 34 - name.count - count.count))
        + count + String(repeating: " ", count: max(1, 16 - octets.count)) + octets + " octets\n"
    }
    return out
  }

  package func write(to writer: inout JSONWriter, path: String) {
    writer.beginObject()
    writer.member("image", path)
    if let name { writer.member("name", name) }
    writer.key("layers")
    writer.beginArray()
    for layer in survey.layers { writer.value(layer) }
    writer.endArray()
    if let version = survey.version { writer.member("version", version) }
    if let xen = survey.xenVersion { writer.member("xen_version", "\(xen.major).\(xen.minor)") }
    if let guest = survey.guest { writer.member("guest", guest.name) }
    if let count = vcpuCount { writer.member("vcpus", count) }
    writer.member("memory_octets", survey.memoryByteCount)
    writer.member("page_entries", survey.pageEntryCount)
    writer.member("pages", survey.pageCount)
    writer.member("rounds", survey.roundCount)
    if let zeroPages { writer.member("zero_pages", zeroPages) }
    writer.key("page_types")
    writer.beginObject()
    for (type, count) in survey.pageTypes.enumerated() where count > 0 {
      writer.member(PageType(rawValue: UInt8(type)).name, count)
    }
    writer.endObject()
    writer.member("checkpoints", survey.checkpointCount)
    writer.member("ending", ending)
    writer.member("octets", survey.byteCount)
    writer.key("records")
    writer.beginArray()
    for (type, tally) in records {
      writer.beginObject()
      writer.member("layer", type.layer.rawValue)
      writer.member("type", type.name)
      writer.member("count", tally.count)
      writer.member("octets", tally.byteCount)
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
  }
}
