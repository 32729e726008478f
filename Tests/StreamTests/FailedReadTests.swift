// What has failed once stays failed: nothing after a lost place of the stream can be had.

import Bytes
import Format
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct FailedReadTests {
  /// Image header and domain header of an HVM guest; version 1 is draft B.
  private static func headers(version: UInt32) -> [UInt8] {
    let image = be32(0xFFFF_FFFF, 0xFFFF_FFFF, 0x5845_4E46, version) + zeros(8)
    return version == 1 ? image + le16(1, 2, 12, 0) : image + le32(2) + le16(12, 0) + le32(4, 17)
  }

  /// PAGE_DATA of one page, of which `count` bytes are there.
  private static func cut(version: UInt32, _ count: Int) -> [UInt8] {
    let head = le32(1, 16 + 4096) + (version == 1 ? le16(1) + zeros(6) : [])
    return headers(version: version) + head + le32(1, 0) + le64(7) + zeros(count)
  }

  private func reader(_ bytes: [UInt8], isPipe: Bool) throws -> (StreamReader, Record) {
    let source: Source
    if isPipe {
      // Less than any pipe holds.
      #expect(bytes.count < 4096)
      source = try Source(Descriptor(taking: pipe(feeding: bytes), path: "pipe"), path: "pipe")
    } else {
      let scratch = try ScratchFile()
      try scratch.sink(as: "cut").write(bytes)
      source = try scratch.source(as: "cut")
    }
    var reader = StreamReader(source)
    while let part = try reader.next() {
      if case .record(let record) = part, record.type == .pageData { return (reader, record) }
    }
    throw SystemError("no PAGE_DATA", 0, "test")
  }

  @Test(arguments: [1, 3] as [UInt32], [false, true])
  func aFailedLoadFailsAgain(version: UInt32, isPipe: Bool) throws {
    var (reader, record) = try reader(Self.cut(version: version, 100), isPipe: isPipe)
    let buffer = PageAlignedBuffer(capacity: 4096)
    let first = #expect(throws: StreamError.self) {
      try reader.loadPayload(Int(record.payloadByteCount), into: buffer)
    }
    #expect(first?.kind == .truncated)
    for _ in 0..<2 {
      let again = [
        #expect(throws: StreamError.self) {
          try reader.loadPayload(Int(record.payloadByteCount), into: buffer)
        },
        #expect(throws: StreamError.self) { try reader.skipPayload(1) },
        #expect(throws: StreamError.self) {
          try reader.movePayload(1, to: ScratchFile().sink(as: "out"))
        },
        #expect(throws: StreamError.self) { try reader.next() },
      ]
      for error in again { #expect(error?.description == first?.description) }
    }
  }

  @Test(arguments: [1, 3] as [UInt32])
  func aFailedStepFailsAgain(version: UInt32) throws {
    var (reader, _) = try reader(Self.cut(version: version, 100), isPipe: false)
    let first = #expect(throws: StreamError.self) { try reader.next() }
    for _ in 0..<3 {
      let again = #expect(throws: StreamError.self) { try reader.next() }
      #expect(again?.description == first?.description)
    }
  }

  /// A checkpoint that is cut ends the stream regularly: what is asked for after it is not there.
  @Test func nothingAfterACutCheckpoint() throws {
    let whole = StreamBuilder.remus().libxl.bytes
    let scratch = try ScratchFile()
    let at = StreamBuilder.remus().libxl
    // In the page contents of the second checkpoint.
    let second = at.chunks.lastIndex { $0.name == "PAGE_DATA" } ?? 0
    let count = at.chunks[..<second].reduce(0) { $0 + $1.bytes.count } + 100
    try scratch.sink(as: "cut").write(Array(whole.prefix(count)))
    var reader = StreamReader(try scratch.source(as: "cut"))
    let buffer = PageAlignedBuffer(capacity: 4096)
    var seen = 0
    while let part = try reader.next() {
      guard case .record(let record) = part, record.type == .pageData else { continue }
      seen += 1
      guard seen == 2 else { continue }
      let error = #expect(throws: StreamError.self) {
        try reader.loadWholePayload(Int(record.payloadByteCount), into: buffer)
      }
      #expect(error?.kind == .truncated)
    }
    #expect(seen == 2)
    #expect(reader.ending == .cutCheckpoint)
  }

  /// A checkpoint that is cut at any byte is written alike from a file, which is copied, and from a
  /// pipe, whose records are put together again.
  @Test(arguments: [1, 3] as [UInt32]) func aCutCheckpointIsWrittenAlike(version: UInt32) throws {
    func record(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
      let padded = body + zeros(-body.count & 7)
      guard version == 1 else { return le32(type, UInt32(body.count)) + padded }
      var checksum = CRC32()
      checksum.update(padded)
      return le32(type, UInt32(body.count), 1, 0) + padded + le32(checksum.value, 0)
    }
    let checkpoint = record(0xE, [])
    let page = record(1, le32(1, 0) + le64(7) + zeros(4096))
    let parts = [checkpoint, record(0xC, zeros(20)), record(0x8000_0001, [1]), page, checkpoint]
    let image = Self.headers(version: version) + parts.joined()
    let first = Self.headers(version: version).count + checkpoint.count
    // All that lie in the records before the page's contents and after them.
    let cuts = Array(first..<(first + 200)) + Array((image.count - 60)...image.count)
    for cut in cuts {
      let bytes = Array(image.prefix(cut))
      let whole = try ScratchFile()
      try whole.sink(as: "cut").write(bytes)
      let file = try whole.source(as: "cut")
      let pipe = try Source(Descriptor(taking: pipe(feeding: bytes), path: "pipe"), path: "pipe")
      for source in [file, pipe] {
        let output = try ScratchFile()
        var reader = StreamReader(source)
        try keepAll(of: &reader, source, in: try output.sink(as: "out"))
        let written = try output.source(as: "out").read(image.count + 1)
        #expect(written == bytes, "\(source.path): \(cut) of \(image.count)")
      }
    }
  }

  /// The record that is read again is not the one that was read before.
  @Test func moreThanThereIsIsAnError() throws {
    let image = Self.cut(version: 3, 4096)
    var (reader, record) = try reader(image, isPipe: false)
    let error = #expect(throws: StreamError.self) {
      try reader.loadPayload(
        Int(record.payloadByteCount) + 1, into: PageAlignedBuffer(capacity: 8192))
    }
    #expect(error?.kind == .malformed)
  }
}
