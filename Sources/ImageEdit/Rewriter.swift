// The rewrite: every part of a stream passes a filter on its way to the sink.

internal import Bytes
public import Format
public import Stream
public import SystemIO

/// What a filter wants done with a record.
public enum FilterResult {
  /// Write it, with the changes made to it.
  case keep
  case drop
  /// Write these in its place; it may be among them.
  case replace([EditableRecord])
  /// Drop it and all that follow, and end the stream here with END.
  case stop
}

/// A filter. Each call is made once for each part, in the order of the stream.
public protocol RewriteFilter: AnyObject {
  /// Before the first part.
  func begin() throws
  /// For each header. What `header.bytes` holds afterwards is written.
  func header(_ header: inout Header) throws
  /// For each record but the last END.
  func record(_ record: EditableRecord) throws -> FilterResult
  /// Before the outermost END (or the end of a stream without one) is written: where this throws,
  /// what was written is no image that a restore would take.
  func finish() throws
  /// Whether `record` keeps all records of an image of `container`: none has to be shown to it.
  func isOfHeadersOnly(in container: Container) -> Bool
}

extension RewriteFilter {
  public func isOfHeadersOnly(in container: Container) -> Bool { false }
}

/// Rewrites a stream through a filter.
public final class Rewriter {
  private var reader: StreamReader
  private var writer: StreamWriter?
  private let filter: any RewriteFilter
  private var report = ChangeReport()
  private var isFinished = false
  /// Records that were read, by their types.
  private var occurrences: [RecordType: Int] = [:]
  private let sink: Sink?
  private let shouldContinue: (RecordType) -> Bool

  /// Rewrites `source` into `sink`; without a sink it is a dry run, which only reports. `shouldContinue` is
  /// asked after each record of the source, when all that was made of it has been written (from a
  /// pipe): false ends the rewrite there, without another byte being read.
  public init(
    _ source: Source, to sink: Sink?, filter: any RewriteFilter,
    shouldContinue: @escaping (RecordType) -> Bool = { _ in true }
  ) {
    self.shouldContinue = shouldContinue
    reader = StreamReader(source)
    self.sink = sink
    writer = sink.map { StreamWriter($0, keepingFrom: source) }
    self.filter = filter
  }

  /// Runs to the end of the source.
  public func run() throws -> ChangeReport {
    let (source, sink) = (reader.source, sink)
    return try Progress.phase(
      sink == nil ? "reading" : "writing", of: source.byteCount,
      done: { sink?.position ?? source.position }
    ) { try rewrite() }
  }

  private func rewrite() throws -> ChangeReport {
    try filter.begin()
    while let part = try next() {
      switch part {
      case .header(let header): try rewrite(header)
      case .record(let record):
        if try rewrite(record) || !shouldContinue(record.type) { return try end() }
      case .trailing(let trailing):
        guard trailing.isKept(from: reader.source) else {
          report.isOnVolume = true
          report.note(
            ChangeReport.Change(
              kind: .dropped, place: "trailing bytes", offset: trailing.offset, path: "",
              before: "what follows the end of the image", after: ""))
          return try end()
        }
        try finishOnce()
        try write { writer in try writer.keepRest(from: &self.reader) }
      }
    }
    return try end()
  }

  private func end() throws -> ChangeReport {
    try finishOnce()
    try write { writer in try writer.finish() }
    notePadding()
    let isWhole = try reader.source.isUnchanged()
    guard isWhole else {
      throw XensaveError(
        StreamError(
          .truncated, path: reader.source.path, offset: reader.source.position,
          "the file changed its length while it was read"))
    }
    report.bytesRead = reader.source.position
    if let sink { report.bytesWritten = sink.position }
    return report
  }

  private func notePadding() {
    guard let count = writer?.paddingByteCount else { return }
    report.inserted += 1
    report.recordsWritten += 1
    report.note(
      ChangeReport.Change(
        kind: .inserted, place: "before the pages", offset: 0, path: "", before: "",
        after: "\(count) zeros, which readers ignore: so the store takes the pages where they are"))
  }

  private func finishOnce() throws {
    guard !isFinished else { return }
    isFinished = true
    try filter.finish()
  }

  private func next() throws -> StreamElement? {
    return try reader.next()
  }

  private func write(
    _ body: (inout StreamWriter) throws -> Void
  ) throws {
    guard var current = writer else { return }
    defer { writer = current }
    try body(&current)
  }

  // MARK: - Headers

  private func rewrite(_ header: Header) throws {
    report.headersRead.append(header)
    var changed = header
    try filter.header(&changed)
    if header.kind == .xl, let sink, reader.source.sharesExtents(with: sink) {
      Rewriter.pad(&changed, like: header)
    }
    if changed.bytes == header.bytes {
      try write { writer in try writer.keep(header) }
      return
    }
    report.headersChanged += 1
    XLConfig.noteChange(in: &report, header, changed)
    try write { writer in try writer.put(changed.bytes) }
  }

  /// Lengthens what readers skip after the configuration, so that all that follows lies at the same
  /// place of a block of 4096 bytes as before and can be shared. Xen: tools/xl/xl_vmcontrol.c,
  /// create_domain (of the optional data only the configuration is looked at).
  private static func pad(_ changed: inout Header, like original: Header) {
    let difference = (original.bytes.count - changed.bytes.count) % 4096
    let padding = (difference + 4096) % 4096
    let length = changed.bytes.load(44, as: UInt32.self, changed.order)
    // Optional data begin with a length of 4 bytes, or are not there at all. A filter may have said
    // any length.
    guard padding > 0, length >= 4, length < UInt32.max - 4096 else { return }
    changed.bytes.store(44, length + UInt32(padding), changed.order)
    changed.bytes += [UInt8](repeating: 0, count: padding)
  }

  // MARK: - Records

  /// Returns true when the filter ended the stream.
  private func rewrite(_ record: Record) throws -> Bool {
    report.recordsRead += 1
    occurrences[record.type, default: 0] += 1
    if isOutermostEnd(record.type) {
      try finishOnce()
      report.kept += 1
      report.recordsWritten += 1
      try write { writer in try writer.keep(record, from: &self.reader) }
      return false
    }
    let current = EditableRecord(reading: record, from: reader.source) {
      [unowned self] (buffer: PageAlignedBuffer, count: Int) in
      try self.reader.loadWholePayload(count, into: buffer)
    }
    defer { current.invalidate() }
    let result = try filter.record(current)
    switch result {
    case .keep: try put([current], insteadOf: current)
    case .drop: try put([], insteadOf: current)
    case .replace(let records): try put(records, insteadOf: current)
    case .stop:
      try finishOnce()
      try writeEnds(record.type.layer)
      return true
    }
    return false
  }

  private func isOutermostEnd(_ type: RecordType) -> Bool {
    type == .libxlEnd || type == .endOfImage || (type == .end && reader.container == .libxc)
  }

  private func put(
    _ records: [EditableRecord], insteadOf current: EditableRecord
  ) throws {
    var isWritten = false
    for record in records {
      if record === current {
        guard !isWritten else {
          throw XensaveError(
            .usage, "\(current.record.place): returned twice (return rec:copy() for the second)")
        }
        isWritten = true
        try keep(current)
      } else {
        try insert(record, at: current)
      }
    }
    if !isWritten {
      report.dropped += 1
      report.note(
        ChangeReport.Change(
          kind: .dropped, place: current.record.place, offset: current.record.offset, path: "",
          before: "\(current.record.length) bytes", after: ""))
    }
  }

  /// Writes the current record, with its changes.
  private func keep(_ current: EditableRecord) throws {
    let record = current.record
    report.recordsWritten += 1
    guard current.isChanged || current.loadedPayload != nil else {
      report.kept += 1
      return try write { writer in
        try writer.keep(record, from: &self.reader)
      }
    }
    if current.isChanged {
      report.changed += 1
      if let original = current.original, original != record.body {
        var before = record
        before.body = original
        report.note(before, record, occurrence: occurrences[record.type, default: 1] - 1)
      }
      if current.isPayloadChanged {
        report.note(
          ChangeReport.Change(
            kind: .changed, place: record.place, offset: record.offset, path: "", before: "pages",
            after: "changed pages"))
      }
      if let streamer = current.streamer, streamer.isChanging {
        return try keep(record, by: streamer)
      }
    } else {
      report.kept += 1
    }
    guard let payload = current.loadedPayload else {
      return try write { writer in
        try writer.put(record, movingPayloadFrom: &self.reader)
      }
    }
    try write { writer in
      try writer.put(record, then: payload, from: &self.reader)
    }
    try reader.skipPayload(reader.payloadAndPadding)
  }

  /// Writes the current record as `streamer` does.
  private func keep(
    _ record: Record, by streamer: any RecordStreamer
  ) throws {
    report.note(
      ChangeReport.Change(
        kind: .changed, place: record.place, offset: record.offset, path: "", before: "pages",
        after: streamer.change))
    guard !record.framing.hasChecksum else {
      throw XensaveError(
        .usage,
        "\(record.place): pages of draft B are not edited (convert the image to version 3 first)")
    }
    guard var current = writer else { return }
    defer { writer = current }
    try streamer.write(record, from: &reader, to: &current)
    try reader.skipPayload(reader.payloadAndPadding)
  }

  /// Writes a record that a script made.
  private func insert(_ made: EditableRecord, at current: EditableRecord) throws {
    var record = made.record
    guard !made.isFromStream else {
      throw XensaveError(
        .usage,
        "\(current.record.place): returned record \(record.index), which belongs to another place "
          + "(return rec:copy())")
    }
    // Its body was made in the byte order of the stream.
    record = Record(
      record.type, body: record.body, context: reader.context(record.type.layer),
      framing: reader.framing(record.type.layer))
    report.inserted += 1
    report.recordsWritten += 1
    report.note(
      ChangeReport.Change(
        kind: .inserted, place: current.record.place, offset: current.record.offset, path: "",
        before: "", after: "\(record.type.name), \(record.length) bytes"))
    let finished = record
    try write { writer in try writer.put(finished) }
  }

  /// Ends the stream from `layer` outwards.
  private func writeEnds(_ layer: Layer) throws {
    let libxc = Record(
      .end, body: [], context: reader.libxcContext, framing: reader.framing(.libxc))
    let libxl = Record(.libxlEnd, body: [], context: reader.libxlContext)
    try write { writer in
      if layer == .libxc || layer == .draftB { try writer.put(libxc) }
      switch self.reader.container {
      case .libxc: break
      case .xenopsd:
        try writer.put(
          Record(.endOfImage, body: [], context: BodyContext(), framing: .xenopsd))
      default: try writer.put(libxl)
      }
    }
  }
}
