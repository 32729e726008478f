// Running conversions on octets and files.

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

/// A file with these octets, which goes with this value.
final class TemporaryFile {
  private let file: TestKit.TemporaryFile
  let sink: Sink
  var path: String { file.path }

  init(_ octets: [UInt8] = []) throws {
    file = TestKit.TemporaryFile()
    let descriptor = try Descriptor.open(file.path, isWritable: true)
    sink = Sink(descriptor, path: file.path)
    try sink.write(octets)
  }

  var octets: [UInt8] {
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
) throws -> (octets: [UInt8], report: ConversionReport) {
  let out = try TemporaryFile()
  var converter = Converter(source, to: out.sink, conversion)
  let report = try converter.run()
  return (try out.octets, report)
}

func convert(_ octets: [UInt8], _ conversion: Conversion) throws -> [UInt8] {
  let file = try TemporaryFile(octets)
  return try convert(Source(opening: file.path), conversion).octets
}

/// Converts what comes from a pipe.
func convertPiped(_ octets: [UInt8], _ conversion: Conversion) throws -> [UInt8] {
  let source = try Source(Descriptor(taking: pipe(feeding: octets), path: "pipe"), path: "pipe")
  return try convert(source, conversion).octets
}

/// The message that a conversion is refused with.
func refusal(_ octets: [UInt8], _ conversion: Conversion) -> String {
  do {
    _ = try convert(octets, conversion)
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
    let piece = Arena(capacity: 1 << 20)
    var out: [UInt8] = []
    while !reader.isAtEnd {
      let count = try reader.read(into: piece, 0..<piece.capacity)
      piece.withBytes(0..<count) { bytes in bytes.withUnsafeBytes { out += Array($0) } }
    }
    return out
  }
}
