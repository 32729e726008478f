// Writing the guest's memory in the formats of forensic and debugging tools.

internal import Bytes
internal import Format
public import SystemIO

/// A format of memory dumps.
public enum ExportFormat: String, Sendable, CaseIterable {
  /// File offset = physical address; what the image has no contents of, and zeros, are holes.
  case raw
  /// LiME: a header of 32 bytes before each range of physical addresses.
  case lime
  /// Xen's core format of `xl dump-core`. Xen: docs/misc/dump-core-format.txt, version 0.1.
  case xenCore = "xen-core"
  /// An ELF core with the vCPUs' registers, which gdb opens, and a Linux kernel's note VMCOREINFO, by
  /// which crash opens it as a vmcore.
  case elfCore = "elf-core"
}

/// What an export has done.
public struct ExportReport: Sendable, Equatable {
  public internal(set) var pageCount: UInt64 = 0
  public internal(set) var vcpuCount = 0
  /// Ranges of physical addresses, or segments of an ELF core.
  public internal(set) var rangeCount = 0
  /// Whether all mappings of the page tables found their place (ELF core only).
  public internal(set) var hasAllMappings = true
  public internal(set) var bytesWritten: UInt64 = 0
}

extension GuestMemory {
  /// Physical memory of a dump ends here: 8 TiB, what file systems hold in one file.
  static let exportLimit: UInt64 = 1 << 43

  /// Writes the guest's memory. Into a file, zeros take no space (except with LiME).
  public func export(_ format: ExportFormat, to sink: Sink) throws -> ExportReport {
    var note: [UInt8]?
    if format == .elfCore {
      note = try image.reading("looking for the kernel", image.dataByteCount) {
        try kernelNote()
      }
    }
    return try image.reading("writing memory", image.dataByteCount) {
      try write(format, note, to: sink)
    }
  }

  private func write(
    _ format: ExportFormat, _ kernelNote: [UInt8]?, to sink: Sink
  ) throws -> ExportReport {
    var report = ExportReport()
    let ranges = image.index.pfns(hasData: true).ranges
    report.pageCount = image.index.dataCount
    report.rangeCount = ranges.count
    let out = DumpWriter(image, sink)
    switch format {
    case .raw:
      if let end = ranges.last?.upperBound, end > GuestMemory.exportLimit >> 12 {
        throw XensaveError(
          .refused,
          "\(image.path): page \((end - 1).hex()) would make a raw dump larger than 8 TiB (use lime)"
        )
      }
      var position: UInt64 = 0
      for range in ranges {
        out.hole((range.lowerBound - position) << 12)
        try out.pages(range)
        position = range.upperBound
      }
    case .lime:
      for range in ranges {
        var head: [UInt8] = []
        head.append(integer: UInt32(0x4C69_4D45))
        head.append(integer: UInt32(1))
        head.append(integer: range.lowerBound << 12)
        head.append(integer: (range.upperBound - 1) << 12 | 0xFFF)
        head.append(integer: UInt64(0))
        try out.put(head)
        try out.pages(range, isSparse: false)
      }
    case .xenCore:
      report.vcpuCount = try writeXenCore(out, ranges)
    case .elfCore:
      report.vcpuCount = vcpus.count
      (report.rangeCount, report.hasAllMappings) = try writeELFCore(
        out, ranges, kernelNote)
    }
    try out.finish()
    report.bytesWritten = sink.position
    return report
  }
}

/// Writes pages with holes for zeros, and makes sure that a file does not end in one.
final class DumpWriter {
  private let image: PageImage
  private let sink: Sink
  private var pending: UInt64 = 0
  private let buffer = PageAlignedBuffer(capacity: PageReader.chunkByteCount)

  init(_ image: PageImage, _ sink: Sink) {
    self.image = image
    self.sink = sink
  }

  /// Bytes so far.
  var position: UInt64 { sink.position + pending }

  func hole(_ count: UInt64) { pending += count }

  func put(_ bytes: [UInt8]) throws {
    try flush()
    try sink.write(bytes)
  }

  /// Zeros up to a multiple of `alignment`.
  func align(_ alignment: UInt64) { hole((alignment - position % alignment) % alignment) }

  /// The contents of pages that all have some.
  func pages(_ range: Range<UInt64>, isSparse: Bool = true) throws {
    try image.forEachChunk(in: PageSet(range)) { _, bytes, count in
      // The chunk is copied: the writer writes from memory of its own.
      unsafe bytes.withUnsafeBytes { raw in
        precondition(raw.count <= buffer.capacity)
        // Safety: the precondition keeps the chunk inside the buffer.
        unsafe buffer.pointer().copyMemory(
          from: raw.baseAddress.unsafelyUnwrapped, byteCount: raw.count)
      }
      var page = 0
      while page < count {
        var end = page + 1
        let isZero = isSparse && bytes.isZeroPage(at: page * pageByteCount)
        while end < count,
          (isSparse && bytes.isZeroPage(at: end * pageByteCount)) == isZero
        {
          end += 1
        }
        if isZero {
          hole(UInt64((end - page) * pageByteCount))
        } else {
          try flush()
          try sink.write(buffer, page * pageByteCount..<end * pageByteCount)
        }
        page = end
      }
    }
  }

  private func flush() throws {
    guard pending > 0 else { return }
    let count = pending
    pending = 0
    try sink.writeHole(count)
  }

  /// Ends the file: its last byte is written.
  func finish() throws {
    guard pending > 0 else { return }
    pending -= 1
    try put([0])
  }
}
