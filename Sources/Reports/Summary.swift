// What an image holds, on one screen.

internal import Bytes
package import Format
package import GuestOS
package import ImageCheck
internal import ImageEdit
package import JSON
internal import Pages
internal import Stream
package import SystemIO

/// What `info` shows: the facts of one pass, and the configuration's best known values.
package struct Summary {
  package var imageSummary = ImageSummary()
  package var zeroPages: Int?
  package var config: JSONValue?
  /// The guest's kernel; nil where none was found, and where finding it would take a pass of its own.
  package var kernel: KernelGlance?

  package init(_ source: Source, countsZeroPages: Bool) throws {
    var reader = StreamReader(source)
    // Where the pages are is noted on the way: what is broken is not looked into. Of an object of a server
    // only the headers are fetched.
    let hasPages = source.isFile && !RemoteFiles.isRemote(source.path)
    var pass = hasPages ? PageIndexPass(path: source.path) : nil
    let scratch = PageAlignedBuffer(capacity: 256 << 10)
    var zeros = 0
    while let part = try reader.next() {
      imageSummary.add(part)
      do { try pass?.add(part, checkpointCount: reader.checkpointCount) } catch { pass = nil }
      if countsZeroPages, case .record(let record) = part, record.type == .pageData {
        zeros += try ZeroPages.count(in: &reader, record, scratch: scratch)
      }
    }
    imageSummary.finish(reader.ending, at: reader.source.position)
    if countsZeroPages { zeroPages = zeros }
    if let text = imageSummary.config?.text { config = try? JSONDocument(text).root }
    for (kind, text) in imageSummary.texts where facts == nil {
      facts = DomainFacts(kind, text.text)
    }
    if let index = try? pass?.finish(reader), let image = try? PageImage(source, index),
      let vcpus = try? image.vcpus()
    {
      kernel = KernelGlance(PagedMemory(image), vcpus)
    }
  }

  /// Record types with their tallies, in the order of the tables, unknown ones last.
  package var records: [(type: RecordType, tally: ImageSummary.Tally)] {
    let known = RecordSchemas.all.map(\.type)
    let order = Dictionary(
      uniqueKeysWithValues: known.enumerated().map { ($0.element, $0.offset) })
    return imageSummary.records.map { (type: $0.key, tally: $0.value) }.sorted {
      (order[$0.type] ?? known.count, $0.type.wireValue)
        < (order[$1.type] ?? known.count, $1.type.wireValue)
    }
  }

  /// What libvirt's XML or xenopsd's record says of the domain.
  private var facts: DomainFacts?

  package var name: String? { config?["c_info"]?["name"]?.stringValue ?? facts?.name }
  package var uuid: String? { config?["c_info"]?["uuid"]?.stringValue ?? facts?.uuid }
  package var kind: String? { config?["c_info"]?["type"]?.stringValue ?? facts?.type }

  /// vCPUs: of a PV guest those with a state, of an HVM guest what its configuration says.
  package var vcpuCount: Int? {
    if !imageSummary.vcpuIDs.isEmpty { return imageSummary.vcpuIDs.count }
    return config?["b_info"]?["max_vcpus"]?.numberValue?.int64.map { Int($0) }
      ?? facts?.vcpuCount
  }

  package var ending: String {
    switch imageSummary.ending {
    case .end: "complete, ends with END"
    case .checkpoint: "checkpointed, ends after a complete checkpoint"
    case .cutCheckpoint: "checkpointed, cut inside a record: the last complete checkpoint counts"
    case .opaque: "read up to the state of a virtual GPU, which has no length"
    case nil: "incomplete"
    }
  }

  /// What is known of the domain and its image: labels, and what stands after them.
  package var rows: [(label: String, value: String)] {
    var out: [(label: String, value: String)] = []
    func line(_ label: String, _ value: String) { out.append((label, value)) }
    var layers = imageSummary.layers.joined(separator: " > ")
    if let version = imageSummary.version { layers += " v\(version)" }
    if imageSummary.libxcOrder == .big { layers += ", big-endian" }
    line("layers", layers)
    if let xen = imageSummary.xenVersion {
      line(
        "saved by",
        imageSummary.isConverted
          ? "a converter (Xen 0.\(xen.minor))" : "Xen \(xen.major).\(xen.minor)")
    }
    if let guest = imageSummary.guest {
      line("guest", guest.name + (kind.map { " (\($0))" } ?? ""))
    }
    if let count = vcpuCount { line("vCPUs", "\(count)") }
    if let kernel {
      let uptime = kernel.uptime.map { ", up \($0.duration)" } ?? ""
      line("kernel", "Linux \(Array(kernel.release.utf8).printable)\(uptime)")
      if !kernel.hostName.isEmpty { line("host name", Array(kernel.hostName.utf8).printable) }
    }
    var memory =
      "\(imageSummary.memoryByteCount.byteCount) in \(imageSummary.firstRoundPageCount.grouped) pages"
    // What a configuration says may be more bytes than there are.
    let most =
      config?["b_info"]?["max_memkb"]?.numberValue?.uint64?.multipliedSaturated(by: 1024)
      ?? facts?.memoryByteCount
    if let most { memory += " (configured: \(most.byteCount))" }
    line("memory", memory)
    line(
      "page data",
      "\(imageSummary.pageCount.grouped) pages with contents of \(imageSummary.pageEntryCount.grouped) entries"
        + (imageSummary.roundCount > 1 ? ", \(imageSummary.roundCount) rounds" : ""))
    let types = imageSummary.pageTypes.enumerated().filter { $0.element > 0 }
      .map { "\(PageType(rawValue: UInt8($0.offset)).name) \($0.element.grouped)" }
    if !types.isEmpty { line("page types", types.joined(separator: ", ")) }
    if let zeroPages { line("zero pages", zeroPages.grouped) }
    if imageSummary.checkpointCount > 0 { line("checkpoints", "\(imageSummary.checkpointCount)") }
    line("stream", "\(ending), \(imageSummary.byteCount.grouped) bytes")
    if let kind = imageSummary.trailing?.kind {
      line(
        "trailing",
        kind == .opaque ? "the state of a virtual GPU, and all after it" : "bytes after the end")
    }
    if let uefi = imageSummary.uefi {
      let secure = uefi.secureBoot.map { $0 ? ", Secure Boot on" : ", Secure Boot off" } ?? ""
      line("UEFI", "\(uefi.count) variable\(uefi.count == 1 ? "" : "s")\(secure)")
    }
    let tpm = imageSummary.count(.swtpm) + imageSummary.count(.swtpm0)
    if tpm > 0 { line("TPM", "\(tpm) state\(tpm == 1 ? "" : "s") of swtpm") }
    return out
  }

  package func text(path: String, _ textStyle: TextStyle = .none) -> String {
    let title = name.map { " \"\(Array($0.utf8).printable)\"" } ?? ""
    var out = textStyle.title("\(path): saved domain\(title)") + "\n"
    for (label, value) in rows {
      out +=
        "  " + textStyle.key(label) + String(repeating: " ", count: max(1, 12 - label.count))
        + value + "\n"
    }
    out += "  \(textStyle.key("records"))\n"
    for (type, tally) in records {
      let name = type.layer == .libxl ? "libxl \(type.name)" : type.name
      let count = tally.count.grouped
      let bytes = tally.byteCount.grouped
      out +=
        "    " + name + String(repeating: " ", count: max(1, 34 - name.count - count.count))
        + count + String(repeating: " ", count: max(1, 16 - bytes.count)) + bytes + " bytes\n"
    }
    return out
  }

  package func write(to writer: inout JSONWriter, path: String) {
    writer.beginObject()
    writer.member("image", path)
    if let name { writer.member("name", name) }
    if let uuid { writer.member("uuid", uuid) }
    writer.key("layers")
    writer.beginArray()
    for layer in imageSummary.layers { writer.value(layer) }
    writer.endArray()
    if let version = imageSummary.version { writer.member("version", version) }
    if let xen = imageSummary.xenVersion {
      writer.member("xen_version", "\(xen.major).\(xen.minor)")
    }
    if let guest = imageSummary.guest { writer.member("guest", guest.name) }
    if let count = vcpuCount { writer.member("vcpus", count) }
    if let kernel {
      writer.member("kernel", kernel.release)
      if let uptime = kernel.uptime { writer.member("uptime", uptime) }
      if !kernel.hostName.isEmpty { writer.member("host_name", kernel.hostName) }
    }
    writer.member("memory_octets", imageSummary.memoryByteCount)
    writer.member("page_entries", imageSummary.pageEntryCount)
    writer.member("pages", imageSummary.pageCount)
    writer.member("rounds", imageSummary.roundCount)
    if let zeroPages { writer.member("zero_pages", zeroPages) }
    writer.key("page_types")
    writer.beginObject()
    for (type, count) in imageSummary.pageTypes.enumerated() where count > 0 {
      writer.member(PageType(rawValue: UInt8(type)).name, count)
    }
    writer.endObject()
    if let uefi = imageSummary.uefi {
      writer.key("uefi")
      writer.beginObject()
      writer.member("variables", uefi.count)
      if let secure = uefi.secureBoot { writer.member("secure_boot", secure) }
      writer.endObject()
    }
    writer.member("checkpoints", imageSummary.checkpointCount)
    writer.member("ending", ending)
    writer.member("octets", imageSummary.byteCount)
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

extension UInt64 {
  /// So many seconds, as people say it: "9 s", "3 d 4 h 5 min".
  fileprivate var duration: String {
    guard self >= 60 else { return "\(self) s" }
    let parts = [(self / 86400, "d"), (self / 3600 % 24, "h"), (self / 60 % 60, "min")]
    return parts.drop { $0.0 == 0 }.map { "\($0.0) \($0.1)" }.joined(separator: " ")
  }
}
