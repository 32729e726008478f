// Converting a stream part by part: what comes from the source, and what the target has for it.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream
public import SystemIO

/// Converts a saved domain between versions, byte orders and outer layers.
///
///     source part ──> outer layers (Converter+Layers) ──> sink
///                └──> libxc stream (Converter+Libxc)  ──┘
///
/// Works on files and pipes in one pass. Memory is bounded: a header, a chunk of 1 MiB, and where
/// draft B wants VCPU_INFO first, the state of the vCPUs (16 MiB at most).
public struct Converter {
  var reader: StreamReader
  var emitter: Emitter
  let conversion: Conversion
  /// Fits parts to the release that the result is for.
  private var fit: ReleaseFit?
  /// Whether the record that is being converted is another one than the source's.
  private(set) var isRefitted = false
  var report = ConversionReport()
  private let sink: Sink

  // The layers. `source` is known with the first part.
  var source = Wrapping.libxc
  var target = Wrapping.libxc
  /// Whether the outer headers have been written.
  var hasBegun = false
  /// Whether the record that says that a libxc stream follows has been kept.
  var hasLibxcMarker = false
  /// What the source's outer header says; nil for a source without one.
  var outerHeader: Header?
  var libxlHeader: Header?
  /// The byte order that the libxl stream of the result has.
  var libxlOrder = ByteOrder.little
  /// Whether it was said that what the source says of the domain is lost.
  var hasLostConfiguration = false
  var hasEnded = false
  /// Whether a libxc stream has begun.
  var hasLibxc = false

  // The libxc stream.
  var libxc = LibxcState()

  /// A converter from the source's position on.
  public init(_ source: Source, to sink: Sink, _ conversion: Conversion) {
    reader = StreamReader(source)
    emitter = Emitter(sink, keepingFrom: source)
    self.sink = sink
    self.conversion = conversion
    fit = conversion.release.map {
      ReleaseFit($0, host: conversion.host, isLossy: conversion.isLossy)
    }
  }

  /// Runs to the end of the source. Where this throws, what was written is no image.
  public mutating func run() throws -> ConversionReport {
    let source = reader.source
    return try Progress.phase("converting", of: source.byteCount, done: { source.position }) {
      try convert()
    }
  }

  private mutating func convert() throws -> ConversionReport {
    while let part = try next() {
      switch part {
      case .header(let header): try convert(try fitted(header))
      case .record(let record):
        report.recordsRead += 1
        guard let fitted = try fitted(record) else { continue }
        if record.type.layer == .libxc || record.type.layer == .draftB {
          try convertLibxc(fitted)
        } else {
          try convertOuter(fitted)
        }
      case .trailing(let trailing):
        if trailing.kind == .opaque {
          guard target == .xenopsd else {
            try lose(
              "the state of a virtual GPU",
              "\(target.rawValue) has no place for it and what follows it")
            try endOuter()
            return try end()
          }
          try emitter.keepRest(from: &reader)
          return try end()
        }
        guard trailing.kind == .afterEnd else {
          report.note(
            "trailing bytes", "the record that the stream is cut in is left out", isLoss: false)
          return try end()
        }
        guard trailing.isKept(from: reader.source) else {
          report.note(
            "trailing bytes", "what follows the end of the image is left out", isLoss: false)
          return try end()
        }
        try emitter.keepRest(from: &reader)
      }
    }
    return try end()
  }

  private mutating func next() throws -> StreamElement? {
    return try reader.next()
  }

  // MARK: - The release

  /// The header as the release takes it.
  private mutating func fitted(_ header: Header) throws -> Header {
    guard fit != nil else { return header }
    let out = fit?.fit(header) ?? header
    try checkFit()
    if header.kind == .image, let before = reader.version, let version = conversion.version,
      before != version
    {
      fit?.note(.set, "version", "\(before) -> \(version)")
    }
    return out
  }

  /// The record as the release takes it; nil where it is left out.
  private mutating func fitted(_ record: Record) throws -> Record? {
    guard fit != nil else { return record }
    let out = fit?.fit(record)
    try checkFit()
    isRefitted = out.map { $0.body != record.body } ?? false
    return out
  }

  private func checkFit() throws {
    guard let refused = fit?.firstRefusal else { return }
    throw refusal(refused.place, refused.text)
  }

  private mutating func end() throws -> ConversionReport {
    guard hasLibxc else { throw refusal("the image", "there is no libxc stream in it") }
    noteMissingConfiguration()
    try emitter.finish()
    let isWhole = try reader.source.isUnchanged()
    guard isWhole else {
      throw XensaveError(
        StreamError(
          .truncated, path: reader.source.path, offset: reader.source.position,
          "the file changed its length while it was read"))
    }
    if let fit {
      report.changes = fit.changes
      report.lossCount += fit.lossCount
    }
    report.recordsWritten = emitter.recordsWritten
    report.bytesRead = reader.source.position
    report.bytesWritten = sink.position
    return report
  }

  // MARK: - What cannot be held

  /// Notes what the result does not have; refuses it unless the conversion may lose something.
  mutating func lose(_ place: String, _ reason: String) throws {
    guard conversion.isLossy else {
      throw refusal(place, reason + " (a lossy conversion leaves it out)")
    }
    report.note(place, "left out: " + reason, isLoss: true)
  }

  func refusal(_ place: String, _ reason: String) -> XensaveError {
    XensaveError(.refused, "\(reader.source.path): \(place): \(reason)")
  }
}
