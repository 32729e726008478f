// One conversion from a source to a place: nothing half-written is ever seen there.

internal import Bytes
package import Convert
package import Format
internal import ImageEdit
package import Legacy
internal import Reports
internal import ImageCheck
internal import Stream
package import SystemIO

/// A conversion as the command line and `img:convert` run it.
package struct ConvertJob {
  package let conversion: Conversion
  /// A file, or "-" for standard output.
  package let destination: String
  /// Leaves out the verification of what was written.
  package var isUnchecked = false
  /// As in `OutputJob`.
  package var check: ((Source) throws -> Void)?
  /// As in `OutputJob`.
  package var packingLevel: Int?

  package init(conversion: Conversion, destination: String) {
    self.conversion = conversion
    self.destination = destination
  }

  /// Rules that say no more than that no Xen reads the format that was asked for.
  private static let expected: Set<String> = [
    OutputJob.FormatRule.version, OutputJob.FormatRule.order, OutputJob.FormatRule.libxlOrder,
  ]

  /// Runs the conversion. Nothing half-written is seen under the destination's name.
  package func run(_ source: Source) throws -> ConversionReport {
    var job = OutputJob(
      destination: Destination(destination), isUnchecked: isUnchecked, check: check)
    job.packingLevel = packingLevel
    if check == nil, !isUnchecked, let release = conversion.release {
      let checker = ReleaseCheck(release, on: conversion.host)
      job.check = { written in try checker.run(written) }
      job.isCheckOptional = true
    }
    return try job.run(source, expecting: { _ in ConvertJob.expected }) {
      sink in
      guard let sink else { throw XensaveError(.usage, "a conversion needs a destination") }
      var converter = Converter(source, to: sink, conversion)
      return try converter.run()
    }
  }
}

/// A copy of an image that zstd has packed.
package struct PackJob {
  package let destination: String
  /// One of zstd's.
  package let level: Int
  package var isUnchecked = false

  package init(destination: String, level: Int) {
    (self.destination, self.level) = (destination, level)
  }

  /// Returns the bytes that were packed.
  package func run(_ source: Source) throws -> UInt64 {
    var job = OutputJob(destination: Destination(destination), isUnchecked: isUnchecked)
    job.packingLevel = level
    return try job.run(source) { sink in
      guard let sink else { throw XensaveError(.usage, "a copy needs a destination") }
      return try source.move(source.byteCount ?? .max, to: sink)
    }
  }
}

/// Holds a result against a release before it gets its name.
package final class ReleaseCheck {
  private let release: XenRelease
  private let host: HostDescription?
  /// What there is to say of a restore of the result.
  package private(set) var reasons: [CompatReason] = []

  package init(_ release: XenRelease, on host: HostDescription? = nil) {
    self.release = release
    self.host = host
  }

  /// Refuses an image that the release would not restore.
  package func run(_ written: Source) throws {
    reasons = Compat.check(try CompatSummary(written), for: release, on: host)
    guard let first = reasons.first(where: { $0.severity == .error }) else { return }
    throw XensaveError(
      .refused, "Xen \(release) would not restore the result: \(first.subject): \(first.text)")
  }
}

/// An import of a legacy image (Xen 4.5 and older).
package struct LegacyJob {
  package var options = LegacyConverter.Options()
  package let destination: String
  package var isUnchecked = false
  package var check: ((Source) throws -> Void)?

  package init(
    options: LegacyConverter.Options = LegacyConverter.Options(), destination: String
  ) {
    self.options = options
    self.destination = destination
  }

  package func run(_ source: Source) throws -> LegacyReport {
    let job = OutputJob(
      destination: Destination(destination), isUnchecked: isUnchecked, check: check)
    return try job.run(source) { sink in
      guard let sink else { throw XensaveError(.usage, "a conversion needs a destination") }
      return try LegacyConverter(source, options: options).run(to: sink)
    }
  }
}

/// The bytes of a small file, for example a configuration.
package func readSmallFile(_ path: String) throws -> [UInt8] {
  let limit = StreamReader.Limit.head
  let bytes = try Source(opening: path).read(limit)
  guard bytes.count < limit else {
    throw XensaveError(.findings, "\(path): longer than \(limit >> 20) MiB")
  }
  return bytes
}

/// Writes a small file whole; "-" is standard output.
package func writeSmallFile(_ bytes: [UInt8], to path: String) throws {
  if path == "-" { return try writeOut(bytes) }
  try OutputFile.write(path, .text, bytes: bytes)
}
