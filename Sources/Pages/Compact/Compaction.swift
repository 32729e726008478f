// Writing an image anew: only what counts, in the order of pfns.

internal import Bytes
internal import Format
internal import Stream
public import SystemIO

/// How the pages of a new image are laid out.
public enum PageLayout: Sendable {
  /// Records of 1024 pages, as savers write them.
  case plain
  /// Records of 1022 entries, whose headers are two pages long, after an xl header that is padded so
  /// that contents begin at multiples of 4096 bytes; pages of zeros are holes of the file. Readers
  /// need not know of it. At most the last 509 entries are not aligned.
  case aligned

  /// Entries of the records for `count` entries.
  func batches(_ count: Int) -> [Int] {
    var left = count
    var out: [Int] = []
    for size in self == .plain ? [1024] : [1022, 510] {
      while left >= size {
        out.append(size)
        left -= size
        if size == 510 { break }
      }
    }
    if left > 0 { out.append(left) }
    return out
  }
}

/// What a compaction has done.
public struct CompactionReport: Sendable, Equatable {
  public internal(set) var entryCount: UInt64 = 0
  public internal(set) var pageCount: UInt64 = 0
  /// Contents in the source that were superseded, incomplete or only there to be compared.
  public internal(set) var dropped: UInt64 = 0
  /// Pages that became holes of the file.
  public internal(set) var holes: UInt64 = 0
  public internal(set) var bytesRead: UInt64 = 0
  public internal(set) var bytesWritten: UInt64 = 0
}

extension PageImage {
  /// Writes a plain image of what a restore of this one gives: each page once, ascending; the tail
  /// of the last complete checkpoint; no VERIFY, no CHECKPOINT, no padding; and END.
  public func compact(
    to sink: Sink, layout: PageLayout = .plain
  ) throws -> CompactionReport {
    var report = CompactionReport()
    report.bytesRead = byteCount
    try checkShape()
    let isNested = index.container != .libxc
    let staticEnd = index.staticEnd
    // VERIFY counts wherever it stands: a restore only compares the pages after it.
    let kept = index.records.filter {
      $0.type.layer == .libxc && ![.end, .verify, .checkpoint, .padding].contains($0.type)
    }
    let before = kept.filter { $0.isStatic(before: staticEnd) }
    let tail = kept.filter { !$0.isStatic(before: staticEnd) }
    let image = index.headers.first { $0.kind == .image }?.offset ?? 0
    let isSuspendImage = index.container == .xenopsd
    let outer = index.records.filter {
      switch $0.type.layer {
      case .libxl:
        !$0.type.isStatic && ![.libxlEnd, .checkpointEnd, .checkpointState].contains($0.type)
      case .xenopsd: $0.offset > image && $0.type != .endOfImage
      case .libxc, .draftB: false
      }
    }
    let headByteCount =
      index.headers.reduce(0) { $0 + UInt64($1.bytes.count) } + (isNested ? 8 : 0)
      + before.reduce(0) { $0 + $1.byteCount }
    // Headers, innermost last; the records that the libxc stream hangs on stand between.
    for header in index.headers {
      if header.kind == .image, isSuspendImage {
        for spot in index.records where spot.type.layer == .xenopsd && spot.offset < image {
          try copy(spot.offset, spot.byteCount, sink)
        }
      } else if header.kind == .image, isNested {
        try put(Record(.libxcContext, body: [], context: index.libxlContext).headBytes, sink)
      }
      var bytes = header.bytes
      if header.kind == .xl, layout == .aligned {
        var padding = Int((4096 - headByteCount % 4096) % 4096)
        let length = bytes.load(44, as: UInt32.self, header.order)
        // Optional data begin with a length of 4 bytes, or are not there at all.
        if length == 0, (1..<4).contains(padding) { padding += 4096 }
        let (padded, isTooLong) = length.addingReportingOverflow(UInt32(padding))
        guard !isTooLong else {
          throw XensaveError(.invalid, "\(path): optional_data_len: \(length) cannot be padded")
        }
        bytes.store(44, padded, header.order)
        bytes += [UInt8](repeating: 0, count: padding)
      }
      try put(bytes, sink)
    }
    if layout == .aligned, index.container != .xl {
      throw XensaveError(
        .usage, "\(path): the aligned layout needs an xl header, whose length can be padded")
    }
    for spot in before { try copy(spot.offset, spot.byteCount, sink) }
    try Progress.phase("writing", of: dataByteCount + 8 * index.pageCount, done: { sink.position })
    {
      try writePages(sink, layout, &report)
    }
    for spot in tail { try copy(spot.offset, spot.byteCount, sink) }
    try put(Record(.end, body: [], context: index.context).headBytes, sink)
    if isNested {
      for spot in outer { try copy(spot.offset, spot.byteCount, sink) }
      let last =
        isSuspendImage
        ? Record(.endOfImage, body: [], context: BodyContext(), framing: .xenopsd)
        : Record(.libxlEnd, body: [], context: index.libxlContext)
      try put(last.headBytes, sink)
    }
    report.dropped = index.dataCountInFile - report.pageCount
    report.bytesWritten = sink.position
    return report
  }

  /// Streams that hold one header of each kind, in their order.
  private func checkShape() throws {
    let kinds = index.headers.map(\.kind)
    let expected: [HeaderKind] =
      switch index.container {
      case .xl: [.xl, .libxl, .image, .domain]
      case .libvirt: [.libvirt, .libxl, .image, .domain]
      case .libxl: [.libxl, .image, .domain]
      case .xenopsd: [.xenopsd, .image, .domain]
      default: [.image, .domain]
      }
    guard kinds == expected else {
      throw XensaveError(
        .invalid,
        "\(path): expected the headers \(expected.map(\.rawValue)), got \(kinds.map(\.rawValue))")
    }
    // The index knows only the last checkpoint, and so not what a suspend image begins with.
    guard index.container != .xenopsd || index.checkpointCount == 0 else {
      throw XensaveError(.invalid, "\(path): xenopsd has no checkpointed streams")
    }
    guard index.ending != .opaque else {
      throw XensaveError(
        .invalid, "\(path): the state of a virtual GPU has no length: what follows it is not known")
    }
  }

  private func put(_ bytes: [UInt8], _ sink: Sink) throws {
    try sink.write(bytes)
  }

  private func copy(_ offset: UInt64, _ count: UInt64, _ sink: Sink) throws {
    let moved = try source.copy(from: offset, count, to: sink)
    guard moved == count else { throw shorter(source) }
  }

  private func writePages(
    _ sink: Sink, _ layout: PageLayout, _ report: inout CompactionReport
  ) throws {
    let buffer = PageAlignedBuffer(capacity: 1 << 20)
    var runIndex = 0
    var done: UInt64 = 0
    for count in layout.batches(Int(index.pageCount)) {
      // Takes `count` entries from the runs.
      var parts: [PageExtent] = []
      var left = UInt64(count)
      while left > 0 {
        let run = index.runs[runIndex]
        let part = run.part(run.pfn + done..<min(run.end, run.pfn + done + left))
        parts.append(part)
        left -= UInt64(part.pageCount)
        done += UInt64(part.pageCount)
        if done == UInt64(run.pageCount) {
          runIndex += 1
          done = 0
        }
      }
      var body: [UInt8] = []
      body.reserveCapacity(16 + 8 * count)
      body.append(integer: UInt32(count), index.context.order)
      body.append(integer: UInt32(0), index.context.order)
      var dataCount: UInt64 = 0
      for part in parts {
        for pfn in part.pfns {
          body.append(integer: PageEntry(part.type, pfn: pfn).rawValue, index.context.order)
        }
        if part.hasData { dataCount += UInt64(part.pageCount) }
      }
      try put(
        Record(
          .pageData, body: body, payloadByteCount: dataCount * UInt64(pageByteCount),
          context: index.context
        ).headBytes, sink)
      report.entryCount += UInt64(count)
      report.pageCount += dataCount
      if layout == .aligned {
        report.holes += try writeSparse(parts, sink, buffer)
      } else {
        try writeDense(parts, sink, buffer)
      }
    }
  }

  /// Contents of runs: long ones by the kernel's cheapest way, short ones gathered.
  private func writeDense(
    _ parts: [PageExtent], _ sink: Sink, _ buffer: PageAlignedBuffer
  ) throws {
    var filled = 0
    func flush() throws {
      guard filled > 0 else { return }
      try sink.write(buffer, 0..<filled)
      filled = 0
    }
    for part in parts where part.hasData {
      let bytes = Int(part.pageCount) * pageByteCount
      if bytes >= 1 << 20 {
        try flush()
        try copy(part.offset, UInt64(bytes), sink)
        continue
      }
      if filled + bytes > buffer.capacity { try flush() }
      try read(part.offset, bytes, into: buffer, at: filled)
      filled += bytes
    }
    try flush()
  }

  /// Contents of runs with holes for pages of zeros. Returns how many.
  private func writeSparse(
    _ parts: [PageExtent], _ sink: Sink, _ buffer: PageAlignedBuffer
  ) throws -> UInt64 {
    var holes: UInt64 = 0
    for part in parts where part.hasData {
      var done = 0
      while done < Int(part.pageCount) {
        let count = min(Int(part.pageCount) - done, PageImage.chunkByteCount / pageByteCount)
        let pfn = part.pfn + UInt64(done)
        try read(part.offset(of: pfn), count * pageByteCount, into: buffer)
        holes += try PageImage.write(count, buffer, sink)
        done += count
      }
    }
    return holes
  }

  /// Writes `count` pages from the start of `buffer`, leaving out those of zeros. Returns how many.
  static func write(_ count: Int, _ buffer: PageAlignedBuffer, _ sink: Sink) throws -> UInt64 {
    var holes: UInt64 = 0
    var page = 0
    while page < count {
      var end = page
      let isZero = buffer.withBytes(0..<count * pageByteCount) { bytes in
        let first = bytes.isZeroPage(at: page * pageByteCount)
        repeat {
          end += 1
        } while end < count
          && bytes.isZeroPage(at: end * pageByteCount) == first
        return first
      }
      let range = page * pageByteCount..<end * pageByteCount
      if isZero { holes += UInt64(end - page) }
      if isZero {
        try sink.writeHole(UInt64(range.count))
      } else {
        try sink.write(buffer, range)
      }
      page = end
    }
    return holes
  }
}
