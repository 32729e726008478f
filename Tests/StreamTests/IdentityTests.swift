// A stream that is read and kept comes out as it went in.

import Format
import Stream
import SystemIO
import TestKit
import Testing

/// The folder of the fixtures, found from this file's place.
let fixtures = #filePath.replacing("StreamTests/IdentityTests.swift", with: "Fixtures/")

@Suite struct IdentityTests {
  @Test(arguments: ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"])
  func fileToFile(name: String) throws {
    let source = try Source(opening: fixtures + name)
    let temporary = TemporaryFile()
    let out = try OutputFile(temporary.path, .memory)
    var reader = StreamReader(source)
    var writer = StreamWriter(out.sink, keepingFrom: source)
    while let part = try reader.next() {
      switch part {
      case .header(let header): try writer.keep(header)
      case .record(let record): try writer.keep(record, from: &reader)
      case .trailing: try writer.keepRest(from: &reader)
      }
    }
    try writer.finish()
    #expect(reader.ending == .end)
    let before = try Source(opening: fixtures + name).read(Int(source.byteCount ?? 0))
    let after = try Source(opening: #require(out.readingPath)).read(Int(out.sink.position))
    #expect(before == after)
  }
}
