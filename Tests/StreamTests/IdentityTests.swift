// A stream that is read and kept comes out as it went in, whatever it comes from and goes to.

import Bytes
import Format
import Glibc
import Stream
import SystemIO
import TestKit
import Testing

/// The folder of the fixtures, found from this file's place.
let fixtures = #filePath.replacing("StreamTests/IdentityTests.swift", with: "Fixtures/")

@Suite struct IdentityTests {
  /// What a stream is read from and written to.
  enum Medium: String, CaseIterable, Sendable {
    case file, pipe, singleBytePipe, sparseFile
  }

  struct Pair: Sendable, CustomTestStringConvertible {
    let from: Medium
    let to: Medium
    var testDescription: String { "\(from) to \(to)" }
    static let all = Medium.allCases.flatMap { from in
      Medium.allCases.map { Pair(from: from, to: $0) }
    }
  }

  /// Small images, and the real ones, which a pipe of single bytes would take too long for.
  private static func images(_ pair: Pair) -> [(name: String, bytes: [UInt8])] {
    let hvm = StreamBuilder.hvm().bytes
    var out = [("hvm", hvm), ("rest", hvm + [7, 8, 9])]
    if pair.from == .singleBytePipe || pair.to == .singleBytePipe { return out }
    out += [("pv", StreamBuilder.pv().bytes), ("remus", StreamBuilder.remus().bytes)]
    let name = "pv-4m-1v-tiny.xlsave"
    out.append((name, (try? Source(opening: fixtures + name).read(64 << 20)) ?? []))
    return out
  }

  /// A file in which runs of zeros of whole blocks are holes.
  private static func sparse(_ bytes: [UInt8]) -> TemporaryFile {
    let file = TemporaryFile()
    for start in stride(from: 0, to: bytes.count, by: 4096) {
      let block = Array(bytes[start..<min(start + 4096, bytes.count)])
      if block.contains(where: { $0 != 0 }) { file.poke(start, block) }
    }
    file.truncate(bytes.count)
    return file
  }

  private func source(_ medium: Medium, _ bytes: [UInt8], _ keep: inout TemporaryFile?) throws
    -> Source
  {
    switch medium {
    case .file:
      keep = TemporaryFile(bytes)
      return try Source(opening: keep?.path ?? "")
    case .sparseFile:
      keep = Self.sparse(bytes)
      return try Source(opening: keep?.path ?? "")
    case .pipe, .singleBytePipe:
      let end = TestKit.pipe(feeding: bytes, inSingleBytes: medium == .singleBytePipe)
      return try Source(Descriptor(taking: end, path: "pipe"), path: "pipe")
    }
  }

  /// Runs `body` with a sink; what came out of it.
  private func collect(_ medium: Medium, _ body: (Sink) throws -> Void) throws -> [UInt8] {
    switch medium {
    case .file:
      let temporary = TemporaryFile()
      let output = try OutputFile(temporary.path, .memory)
      try body(output.sink)
      return try Source(opening: #require(output.readingPath)).read(64 << 20)
    case .sparseFile:
      // Over holes that are there, in a file that somebody else has made.
      let temporary = TemporaryFile()
      temporary.truncate(1 << 20)
      do {
        let sink = Sink(
          try Descriptor.open(temporary.path, isWritable: true), path: temporary.path)
        try body(sink)
        temporary.truncate(Int(sink.position))
      }
      return try Source(opening: temporary.path).read(64 << 20)
    case .pipe:
      let collector = PipeCollector()
      do {
        try body(Sink(Descriptor(taking: collector.writing, path: "pipe"), path: "pipe"))
      }
      return collector.join()
    case .singleBytePipe:
      // The reader takes one byte at a time.
      var ends: [Int32] = [-1, -1]
      precondition(Glibc.pipe(&ends) == 0)
      _ = fcntl(ends[1], 1031, 4096)
      final class Box: @unchecked Sendable { var bytes: [UInt8] = [] }
      let box = Box()
      let thread = TestThread { [reading = ends[0]] in
        var byte: UInt8 = 0
        while read(reading, &byte, 1) == 1 { box.bytes.append(byte) }
        close(reading)
      }
      do { try body(Sink(Descriptor(taking: ends[1], path: "pipe"), path: "pipe")) }
      thread.join()
      return box.bytes
    }
  }

  @Test(arguments: Pair.all) func everyPair(pair: Pair) throws {
    for (name, bytes) in Self.images(pair) {
      #expect(!bytes.isEmpty)
      var keep: TemporaryFile?
      let source = try source(pair.from, bytes, &keep)
      var reader = StreamReader(source)
      let got = try collect(pair.to) { sink in
        try keepAll(of: &reader, source, in: sink)
        #expect(sink.position == UInt64(bytes.count))
      }
      #expect(reader.ending == (name == "remus" ? .checkpoint : .end))
      let isSame = got == bytes
      #expect(isSame, "\(name): \(got.count) bytes of \(bytes.count)")
    }
  }

  /// Every other record's payload passes through memory: runs begin and end everywhere.
  @Test(arguments: Pair.all.filter { $0.from != .singleBytePipe && $0.to != .singleBytePipe })
  func everyPairByHand(pair: Pair) throws {
    for (name, bytes) in Self.images(pair) {
      var keep: TemporaryFile?
      let source = try source(pair.from, bytes, &keep)
      var reader = StreamReader(source)
      let got = try collect(pair.to) { sink in
        var writer = StreamWriter(sink, keepingFrom: source)
        while let part = try reader.next() {
          switch part {
          case .header(let header): try writer.put(header.bytes)
          case .record(let record) where record.index % 2 == 0 || record.payloadByteCount == 0:
            try writer.keep(record, from: &reader)
          case .record(let record):
            let memory = PageAlignedBuffer(capacity: Int(record.payloadByteCount))
            try reader.loadWholePayload(Int(record.payloadByteCount), into: memory)
            try writer.put(record, then: memory, from: &reader)
          case .trailing: try writer.keepRest(from: &reader)
          }
        }
        try writer.finish()
      }
      let isSame = got == bytes
      #expect(isSame, "\(name)")
    }
  }
}

/// Keeps every part of what `reader` reads from `source`.
func keepAll(of reader: inout StreamReader, _ source: Source, in sink: Sink) throws {
  var writer = StreamWriter(sink, keepingFrom: source)
  while let part = try reader.next() {
    switch part {
    case .header(let header): try writer.keep(header)
    case .record(let record): try writer.keep(record, from: &reader)
    case .trailing: try writer.keepRest(from: &reader)
    }
  }
  try writer.finish()
}
