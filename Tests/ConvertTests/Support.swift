// Running conversions on bytes and files.

import Bytes
import Convert
import Glibc
import ImageCheck
import SystemIO
import TestKit
import Zstd

enum Fixture {
  static let folder = #filePath.replacing("ConvertTests/Support.swift", with: "Fixtures/")
  static let names = ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"]
}

/// A file with these bytes, which goes with this value.
final class TemporaryFile {
  private let file: TestKit.TemporaryFile
  let sink: Sink
  var path: String { file.path }

  init(_ bytes: [UInt8] = []) throws {
    file = TestKit.TemporaryFile()
    let descriptor = try Descriptor.open(file.path, isWritable: true)
    sink = Sink(descriptor, path: file.path)
    try sink.write(bytes)
  }

  var bytes: [UInt8] {
    get throws { try Source(opening: path).read(Int(sink.position)) }
  }
}

/// The conversion that these formats ask for.
func asking(
  _ formats: String..., isLossy: Bool = false, change: (inout Conversion) -> Void = { _ in }
) -> Conversion {
  var conversion = Conversion()
  for format in formats { precondition(conversion.add(format: format)) }
  conversion.isLossy = isLossy
  change(&conversion)
  return conversion
}

/// Converts a file; gives what came out and the report.
func convert(
  _ source: Source, _ conversion: Conversion
) throws -> (bytes: [UInt8], report: ConversionReport) {
  let out = try TemporaryFile()
  var converter = Converter(source, to: out.sink, conversion)
  let report = try converter.run()
  return (try out.bytes, report)
}

func convert(_ bytes: [UInt8], _ conversion: Conversion) throws -> [UInt8] {
  let file = try TemporaryFile(bytes)
  return try convert(Source(opening: file.path), conversion).bytes
}

/// Converts what comes from a pipe.
func convertPiped(_ bytes: [UInt8], _ conversion: Conversion) throws -> [UInt8] {
  let source = try Source(Descriptor(taking: pipe(feeding: bytes), path: "pipe"), path: "pipe")
  return try convert(source, conversion).bytes
}

/// The message that a conversion is refused with.
func refusal(_ bytes: [UInt8], _ conversion: Conversion) -> String {
  do {
    _ = try convert(bytes, conversion)
    return "converted"
  } catch {
    return "\(error)"
  }
}

/// The fixtures of several releases, packed by zstd.
enum ReleaseFixture {
  static let names = [
    "pv-4m-1v-tiny-4.14", "pv-4m-1v-tiny-4.20", "pvh-4m-1v-tiny-4.14", "pvh-4m-1v-tiny-4.20",
  ]

  static func read(_ name: String) throws -> [UInt8] {
    let path = Fixture.folder + "releases/\(name).xlsave.zst"
    let reader = try ZstdReader(Source(opening: path))
    let piece = PageAlignedBuffer(capacity: 1 << 20)
    var out: [UInt8] = []
    while !reader.isAtEnd {
      let count = try reader.read(into: piece, 0..<piece.capacity)
      piece.withBytes(0..<count) { bytes in bytes.withUnsafeBytes { out += Array($0) } }
    }
    return out
  }
}
