// Targets over whole images: the reader, the verifier, rewriting, documents, conversion.

import Bytes
@testable import Convert
import Format
@testable import ImageCheck
@testable import ImageEdit
import Legacy
import Stream
import SystemIO

let imageTargets: [FuzzTarget] = [
  FuzzTarget(
    "stream", limit: 16384, seeds: { Seeds.images.map { $0 + [0, 0, 255, 255] } }, stream),
  FuzzTarget("verify", limit: 16384, seeds: { Seeds.images }, verify),
  FuzzTarget("rewrite", limit: 16384, seeds: { Seeds.images.map { $0 + [0] } }, rewrite),
  FuzzTarget(
    "document", limit: 12288,
    seeds: { Seeds.images.map { $0 + Array("HVM_PARAMS.param[1].value".utf8) + [25, 3] } },
    document),
  FuzzTarget(
    "convert", limit: 16384,
    seeds: {
      Seeds.images.enumerated().map { $1 + [UInt8($0 % 8), UInt8($0 / 8), UInt8($0 * 37 & 255)] }
    }, convert),
  FuzzTarget("legacy", limit: 16384, seeds: { Seeds.legacy.map { $0 + [0] } }, legacy),
  FuzzTarget("compat", limit: 12288, seeds: { Seeds.images }, compat),
  FuzzTarget("diff", limit: 12288, seeds: { Seeds.images }, diff),
]

// MARK: - Reader

/// What a reader says of a stream, with `operation` done to each payload.
private func parts(
  _ source: Source, _ operation: UInt8, sink: Sink?
) -> (text: [String], error: String?) {
  var reader = StreamReader(source, skipsPageTables: operation & 16 != 0)
  var out: [String] = []
  let buffer = PageAlignedBuffer(capacity: 64)
  do throws(StreamError) {
    while let part = try reader.next() {
      switch part {
      case .header(let header):
        out.append("\(header.kind) \(header.offset) \(header.bytes.hashValue)")
      case .record(let record):
        out.append(
          "\(record.place) \(record.offset) \(record.body.hashValue) \(record.payloadByteCount)")
        let waiting = reader.payloadAndPadding
        switch operation & 3 {
        case 1: try reader.skipPayload(waiting / 2)
        case 2: try reader.loadPayload(Int(min(waiting, 24)), into: buffer)
        case 3: if let sink { try reader.movePayload(to: sink) }
        default: break
        }
      case .trailing(let trailing): out.append("\(trailing.kind) \(trailing.offset)")
      }
      if out.count > 4096 { return (out, "endless") }
    }
  } catch {
    return (out, withoutHint("\(error)"))
  }
  return (out, nil)
}

/// A stream that is cut anywhere says the same as a file and as a pipe, whatever is done with
/// payloads; and what is read and written again is what was read.
private func stream(_ input: [UInt8]) throws {
  let (whole, choices) = input.splitting(last: 3)
  let cut = Int(choices[1]) | Int(choices[2]) << 8
  let bytes = Array(whole.prefix(cut == 0 ? whole.count : cut))
  let file = parts(
    try MemoryFile.input.source(bytes), choices[0], sink: try MemoryFile.output.sink())
  try demand(file.error != "endless", "a reader does not end")
  let pipe = parts(
    try MemoryFile.input.source(isStream: true), choices[0], sink: try MemoryFile.output.sink())
  try demand(file == pipe, "file: \(file)\npipe: \(pipe)")
  if bytes.count <= 4096, choices[0] & 12 == 12 {
    let real = parts(try pipeSource(bytes), choices[0], sink: try MemoryFile.output.sink())
    try demand(file == real, "file: \(file)\na pipe: \(real)")
  }
}

// MARK: - Verifier

/// A file and a pipe get the same verdict; an image that is good can be indexed and converted.
private func verify(_ bytes: [UInt8]) throws {
  let file = try Verifier(MemoryFile.input.source(bytes)).run()
  let pipe = try Verifier(MemoryFile.input.source(isStream: true)).run()
  let (first, second) = (file.findings.map(\.description), pipe.findings.map(\.description))
  try demand(
    file.isGood == pipe.isGood && file.findings.count == pipe.findings.count,
    "file: \(first)\npipe: \(second)")
  // What comes after a virtual GPU's state may be the libxc stream, which nobody finds.
  guard file.isGood, file.imageSummary.headers[.image] != nil || file.imageSummary.ending != .opaque
  else {
    return
  }
  do {
    _ = try ImageDocument(MemoryFile.input.source()).plan(unit: 4096)
    var converter = Converter(
      try MemoryFile.input.source(), to: try MemoryFile.output.sink(), Conversion())
    _ = try converter.run()
  } catch { throw Violation("a good image: \(error)") }
  try demand(
    isEnd(MemoryFile.output.bytes, of: bytes), "a good image is not converted to itself")
}

/// Whether a release takes an image: the same answer from both ways to ask.
private func compat(_ bytes: [UInt8]) throws {
  guard let summary = try? CompatSummary(MemoryFile.input.source(bytes)) else { return }
  for minor in [5, 6, 13, 14, 17, 20] as [UInt32] {
    _ = Compat.check(summary, for: XenRelease(4, minor)).map(\.description)
  }
}

// MARK: - Rewriting

/// Keeps every record, and has its payload loaded where `loads` says so.
private final class Keep: RewriteFilter {
  let loads: UInt8
  init(_ loads: UInt8) { self.loads = loads }
  func begin() {}
  func finish() {}
  func header(_ header: inout Header) {}
  func record(_ record: EditableRecord) throws -> FilterResult {
    if loads & 1 != 0 {
      _ = try record.payload()
    }
    if loads & 2 != 0 { record.setBody(record.body) }
    if loads & 4 != 0, let slot = record.record.layout.slots(in: record.body).first {
      // What a field says is put back.
      let value = slot.value(in: record.body)
      try? record.set(slot.path, value)
    }
    return .keep
  }
}

/// A rewrite that keeps all is the identity, from files and pipes, to files and pipes.
private func rewrite(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 1)
  func rewrite(_ isStream: Bool) throws -> String? {
    let rewriter = Rewriter(
      try MemoryFile.input.source(bytes, isStream: isStream),
      to: try MemoryFile.output.sink(isStream: choices[0] & 8 != 0), filter: Keep(choices[0]))
    do {
      _ = try rewriter.run()
      return nil
    } catch { return withoutHint("\(error)") }
  }
  let file = try rewrite(false)
  let written = MemoryFile.output.bytes
  // Of draft B what no reader looks at (reserved bits, checksums that are said not to count) is
  // written anew where a record is not moved as it is.
  let isDraft = try isDraftB(bytes)
  try demand(
    isDraft || file != nil || bytes.starts(with: written) && isEnd(written, of: bytes),
    "\(file ?? "good"): \(written.count) of \(bytes.count) bytes are written, or others")
  let pipe = try rewrite(true)
  try demand(file == pipe, "file: \(file ?? "good")\npipe: \(pipe ?? "good")")
  let piped = MemoryFile.output.bytes
  try demand(
    file != nil || trailingOffset(bytes) != nil
      || (isDraft ? written.count == piped.count : written == piped),
    "a pipe is written otherwise than a file: \(written.count) and \(piped.count) bytes")
}

/// Whether what was written is all of an image, or all but what a volume has after it.
private func isEnd(_ written: [UInt8], of bytes: [UInt8]) -> Bool {
  written.count == bytes.count || trailingOffset(bytes) == UInt64(written.count)
}

/// Where something begins after the end of an image.
private func trailingOffset(_ bytes: [UInt8]) -> UInt64? {
  guard let source = try? MemoryFile.second.source(bytes) else { return nil }
  return try? Verifier(source).run().imageSummary.trailing?.offset
}

/// A message without its last part: only a file can be searched for where an image begins.
private func withoutHint(_ text: String) -> String {
  guard text.contains("cuts it out"), let hint = text.firstRange(of: "; a") else { return text }
  return String(text[..<hint.lowerBound])
}

private func isDraftB(_ bytes: [UInt8]) throws -> Bool {
  var reader = StreamReader(try MemoryFile.second.source(bytes))
  while let part = try? reader.next() {
    if case .header(let header) = part, header.kind == .draftDomain { return true }
  }
  return false
}

// MARK: - Documents

/// Paths, values and edits; an edit that is undone leaves nothing.
private func document(_ input: [UInt8]) throws {
  let (front, choices) = input.splitting(last: 2)
  let textCount = min(Int(choices[0] & 63), front.count)
  let text = Array(front.suffix(textCount)).text
  let bytes = Array(front.dropLast(textCount))
  guard let document = try? ImageDocument(MemoryFile.input.source(bytes)) else { return }
  let count = document.index.entries.count
  for number in 1..<(min(count, 32) + 1) {
    guard let record = try? document.record(number) else { continue }
    let (layout, body) = (record.layout, record.body)
    for slot in layout.slots(in: body).prefix(64) { _ = layout.value(of: slot, in: body) }
  }
  let number = Int(choices[1]) % max(1, count) + 1
  let paths = [
    text, "record[\(number)].\(text)", "vcpu[\(choices[1] & 3)].rip", "hvm_params.\(text)",
    "cpuid[7,0]", "msr_policy[0xce]", "config.\(text)", "xl_header.optional_data_len",
    "libxc_header.version", "domain_header.page_shift", "HVM_CONTEXT.LAPIC[\(choices[1] & 3)]",
    "X86_TSC_INFO.khz",
  ]
  for text in paths {
    guard let path = try? ImagePath(text), let place = try? document.resolve(path) else { continue }
    _ = document.isSelfContained(place)
    _ = document.isApartFromPages(place)
    try? document.set(path, text: "\(choices[1])")
    try? document.set(path, text: text)
  }
  _ = try? document.config()
  let plan = try? document.plan(unit: choices[1] & 4 == 0 ? 4096 : 0)
  if case .inPlace(let patches, let inserted)? = plan {
    // Written over the image they make what the edits say.
    let longer = [UInt8](repeating: 0, count: Int(inserted)) + bytes
    var edited = longer
    for patch in patches {
      let place = Int(patch.offset)
      try demand(Array(edited[place..<place + patch.before.count]) == patch.before, "\(patch)")
      edited.replaceSubrange(place..<place + patch.after.count, with: patch.after)
    }
    let rewriter = Rewriter(
      try MemoryFile.input.source(), to: try MemoryFile.output.sink(), filter: document.edits)
    if (try? rewriter.run()) != nil {
      let written = MemoryFile.output.bytes
      try demand(
        edited.starts(with: written)
          && (edited.count == written.count
            || trailingOffset(bytes).map { $0 + inserted } == UInt64(written.count)),
        "patches and a rewrite differ")
    }
  }
  try? undo(document)
  try demand(!document.isEdited, "edits that were undone are left")
}

/// Sets everything to what the image has.
private func undo(_ document: ImageDocument) throws {
  // Of two headers of one kind the first is meant.
  for kind in HeaderKind.allCases {
    if let header = document.index.header(kind) { document.setBytes(header.bytes, of: kind) }
  }
  for number in document.index.entries.indices.map({ $0 + 1 }) {
    var reader = document.reader(at: number)
    guard case .record(let record)? = try? reader.next() else { continue }
    try document.setBody(record.body, ofRecord: number)
  }
}

/// Differences of an image to itself are none, and those to another have a text.
private func diff(_ bytes: [UInt8]) throws {
  guard let first = try? ImageDocument(MemoryFile.input.source(bytes)),
    let second = try? ImageDocument(MemoryFile.second.source(bytes)),
    let base = try? ImageDocument(MemoryFile.other.source(Seeds.base))
  else { return }
  var found = ""
  try? ImageDiff(first, second).run { if found.isEmpty { found = $0.description } }
  try demand(found.isEmpty, "an image differs from itself: \(found)")
  let pair = bytes.count & 1 == 0 ? (first, base) : (base, first)
  try? ImageDiff(pair.0, pair.1).run { _ = $0.description }
}

// MARK: - Conversion

/// Any image to any format: files and pipes alike; the result is read without an error.
private func convert(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 3)
  var conversion = Conversion()
  let formats = Conversion.formats
  for choice in choices[..<2] where choice != 0 {
    _ = conversion.add(format: formats[Int(choice) % formats.count].name)
  }
  conversion.isLossy = choices[2] & 1 != 0
  if choices[2] & 2 != 0 { conversion.xenRelease = XenRelease(4, UInt32(choices[2] >> 4)) }
  if choices[2] & 4 != 0 { conversion.config = Array("{\"c_info\":{}}".utf8) }
  if choices[2] & 8 != 0 { conversion.order = .big }
  func run(_ isStream: Bool) throws -> String? {
    var converter = Converter(
      try MemoryFile.input.source(bytes, isStream: isStream),
      to: try MemoryFile.output.sink(isStream: isStream), conversion)
    do {
      _ = try converter.run()
      return nil
    } catch { return "\(error)" }
  }
  let file = try run(false)
  let written = MemoryFile.output.bytes
  let pipe = try run(true)
  try demand((file == nil) == (pipe == nil), "file: \(file ?? "good")\npipe: \(pipe ?? "good")")
  guard file == nil, trailingOffset(bytes) == nil else { return }
  try demand(MemoryFile.output.bytes == written, "a pipe is converted otherwise than a file")
  _ = try Verifier(MemoryFile.second.source(written)).run()
}

/// Legacy images become version 3 or an error, the same from files and pipes.
private func legacy(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 1)
  var options = LegacyConverter.Options()
  options.skipsDeviceModel = choices[0] & 1 != 0
  if choices[0] & 2 != 0 { options.guest = choices[0] & 4 != 0 ? .x86PV : .x86HVM }
  options.wrapping = [.asInput, .libxc, .libxl, .asInput][Int(choices[0] >> 4 & 3)]
  func run(_ isStream: Bool) throws -> String? {
    let converter = LegacyConverter(
      try MemoryFile.input.source(bytes, isStream: isStream), options: options)
    let sink = try MemoryFile.output.sink()
    do throws(StreamError) {
      _ = try converter.run(to: sink)
      return nil
    } catch { return "\(error)" }
  }
  let file = try run(false)
  let written = MemoryFile.output.bytes
  let pipe = try run(true)
  // A file's last complete checkpoint is known before; a pipe may be found wrong after it.
  try demand(file == nil || pipe != nil, "file: \(file ?? "good")\npipe: good")
  guard file == nil, pipe == nil else { return }
  // Only of a file it is known before whether something of libxl's comes at its end.
  let piped = MemoryFile.output.bytes
  let isWrappedAlike = piped.prefix(16) == written.prefix(16)
  try demand(
    piped == written || options.wrapping == .asInput && !isWrappedAlike,
    "a pipe is converted otherwise than a file")
  _ = try Verifier(MemoryFile.second.source(written)).run()
}
