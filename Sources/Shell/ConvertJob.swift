// One conversion from a source to a place: nothing half-written is ever seen there.

internal import Bytes
internal import Convert
internal import Image
internal import Stream
internal import SystemIO

/// A conversion as the command line and `img:convert` run it.
struct ConvertJob {
  let conversion: Conversion
  /// A file, or "-" for standard output.
  let destination: String
  /// Leaves out the verification of what was written.
  var isUnchecked = false

  /// Runs the conversion. A file appears under its name only once it is complete, verified and on
  /// the disk.
  func run(_ source: Source) throws(RewriteError) -> ConversionReport {
    do {
      if destination == "-" {
        let sink = try Sink.standardOutput()
        guard sink.kind != .file || sink.identity != source.identity else {
          throw RewriteError(.usage, "\(source.path): standard output is the image itself")
        }
        return try convert(source, to: sink)
      }
      if let there = try? Source(opening: destination), there.isFile,
        there.identity == source.identity
      {
        throw RewriteError(.usage, "\(destination): the output is the image itself")
      }
      if let number = try openIfSpecial(destination) {
        let descriptor = try Descriptor(taking: number, path: destination)
        return try convert(source, to: Sink(descriptor, path: destination))
      }
      let output = try OutputFile(creating: destination)
      let report = try convert(source, to: output.sink)
      if !isUnchecked { try verify(output) }
      try output.commit()
      return report
    } catch let error as RewriteError {
      throw error
    } catch let error as SystemError {
      throw RewriteError(error)
    } catch {
      throw RewriteError(.usage, "\(error)")
    }
  }

  private func convert(_ source: Source, to sink: Sink) throws(RewriteError) -> ConversionReport {
    var converter = Converter(source, to: sink, conversion)
    return try converter.run()
  }

  /// Rules that say no more than that no Xen reads the format that was asked for.
  private static let expected: Set<String> = [
    "image-header.version", "image-header.endianness", "libxl-header.endianness",
  ]

  /// Reads what was written: its framing, and whether Xen would restore it where any Xen could.
  private func verify(_ output: OutputFile) throws(RewriteError) {
    let written: Source
    do { written = try Source(opening: output.readingPath) } catch { throw RewriteError(error) }
    let report: VerifyReport
    do { report = try Verifier(written).run() } catch { throw RewriteError(error) }
    guard
      let first = report.findings.first(where: {
        $0.severity == .error && !ConvertJob.expected.contains($0.ruleID)
      })
    else { return }
    throw RewriteError(
      .rejected(count: report.count(.error)),
      "\(output.path): not written: the result would not restore: \(first.description)"
        + "; --unchecked writes it all the same")
  }
}

/// The octets of a small file, for example a configuration.
func readSmallFile(_ path: String) throws(Failure) -> [UInt8] {
  let limit = StreamReader.Limit.head
  do {
    let octets = try Source(opening: path).read(limit)
    guard octets.count < limit else {
      throw Failure(ExitCode.findings, "\(path): longer than \(limit >> 20) MiB")
    }
    return octets
  } catch let error as SystemError {
    throw Failure(error)
  } catch let error as Failure {
    throw error
  } catch {
    throw Failure(ExitCode.fault, "\(error)")
  }
}

/// Writes a small file whole.
func writeSmallFile(_ octets: [UInt8], to path: String) throws(Failure) {
  if path == "-" { return try writeOut(octets) }
  do {
    let output = try OutputFile(creating: path)
    try output.sink.write(octets)
    try output.commit()
  } catch { throw Failure(error) }
}
