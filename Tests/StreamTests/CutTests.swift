// Streams that end anywhere, and streams that come byte by byte.

import Bytes
import Format
import Stream
import SystemIO
import TestKit
import Testing

/// What a pass over a stream has seen.
private struct Pass {
  /// A header, a record or what belongs to none, with sums of the bytes that it has in memory.
  struct Seen: Equatable {
    let what: String
    let offset: UInt64
    var bytes: UInt32 = 0
    var padding: UInt32 = 0
    var payloadByteCount: UInt64 = 0
    var checkpoint = 0
  }

  var parts: [Seen] = []
  var ending: StreamReader.EndReason?
  var error: StreamError?

  init(_ source: Source) throws {
    func sum(_ bytes: [UInt8]) -> UInt32 {
      var checksum = CRC32()
      checksum.update(bytes)
      return checksum.value &+ UInt32(bytes.count)
    }
    var reader = StreamReader(source)
    do throws(StreamError) {
      while let part = try reader.next() {
        switch part {
        case .header(let header):
          parts.append(
            Seen(what: header.kind.rawValue, offset: header.offset, bytes: sum(header.bytes)))
        case .record(let record):
          parts.append(
            Seen(
              what: record.type.name, offset: record.offset, bytes: sum(record.body),
              padding: sum(record.padding), payloadByteCount: record.payloadByteCount,
              checkpoint: record.checkpoint))
        case .trailing(let trailing):
          parts.append(
            Seen(what: "\(trailing.kind)", offset: trailing.offset, bytes: sum(trailing.first)))
        }
      }
    } catch { self.error = error }
    ending = reader.ending
  }

  /// Parts that do not depend on where the stream was cut.
  var whole: [Seen] { parts.filter { $0.what != "cutRecord" } }

  func isSame(as other: Pass) -> Bool {
    parts == other.parts && ending == other.ending && error?.kind == other.error?.kind
      && error?.offset == other.error?.offset && error?.problem == other.error?.problem
  }
}

@Suite struct CutTests {
  struct Sample: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let image: StreamBuilder
    var isCheckpointed = false

    static let all = [
      Sample(testDescription: "HVM in xl", image: .hvm()),
      Sample(testDescription: "PV, version 2", image: .pv(version: 2)),
      Sample(testDescription: "libxc alone", image: StreamBuilder.pv().libxc),
      Sample(
        testDescription: "checkpoints", image: StreamBuilder.remus().libxl, isCheckpointed: true),
      Sample(testDescription: "PV checkpoints", image: .remus(guest: 1), isCheckpointed: true),
    ]

    /// Places to cut at: all near the edge of a record, and some of the rest. Page contents are long and
    /// all alike.
    var cuts: [Int] {
      var out: Set<Int> = []
      var offset = 0
      for piece in image.chunks {
        let head = min(piece.headByteCount, 64)
        out.formUnion(offset...(offset + head))
        for place in stride(from: 0, to: piece.bytes.count, by: 1021) { out.insert(offset + place) }
        offset += piece.bytes.count
        out.formUnion((max(0, offset - 17)...offset))
      }
      return out.sorted()
    }
  }

  private static func pipe(_ bytes: [UInt8], single: Bool = false) throws -> Source {
    try Source(
      Descriptor(taking: TestKit.pipe(feeding: bytes, inSingleBytes: single), path: "stream"),
      path: "stream")
  }

  /// Wherever it is cut: what comes before is read as from the whole, a file and a pipe agree, and the
  /// error says what is missing, at the end of what is there.
  @Test(arguments: Sample.all) func cutAtEveryByte(sample: Sample) throws {
    let bytes = sample.image.bytes
    let whole = try Pass(Self.pipe(bytes))
    #expect(whole.error == nil)
    #expect(whole.ending == (sample.isCheckpointed ? .checkpoint : .end))
    var endings: [StreamReader.EndReason: Int] = [:]
    for count in sample.cuts where count < bytes.count {
      let part = Array(bytes[..<count])
      let scratch = try ScratchFile()
      try scratch.sink(as: "stream").write(part)
      let pass = try Pass(scratch.source(as: "stream"))
      let fromPipe = try Pass(Self.pipe(part))
      let agree = pass.isSame(as: fromPipe)
      #expect(agree, "\(count): \(pass.error as Any), \(fromPipe.error as Any)")
      let isPrefix = whole.parts.starts(with: pass.whole)
      #expect(isPrefix, "\(count)")
      if let error = pass.error {
        #expect(error.kind == .truncated && error.offset == UInt64(count), "\(count): \(error)")
        #expect(error.problem.contains("expected") || error.problem.contains("missing"), "\(error)")
        #expect(pass.ending == nil)
      } else {
        endings[try #require(pass.ending), default: 0] += 1
      }
    }
    // Without checkpoints a stream that is cut is an error, with them only before the first is complete.
    #expect(endings.isEmpty != sample.isCheckpointed, "\(endings)")
  }

  /// Byte by byte a stream is the same, and no more is asked for than there is before the sender waits
  /// for an answer.
  @Test(arguments: Sample.all) func byteByByte(sample: Sample) throws {
    let bytes = sample.image.bytes
    let whole = try Pass(Self.pipe(bytes))
    let single = try Pass(Self.pipe(bytes, single: true))
    let isSame = whole.isSame(as: single)
    #expect(isSame)
    // With something of another program after the end.
    guard !sample.isCheckpointed else { return }
    let more = try Pass(Self.pipe(bytes + [1, 2, 3], single: true))
    #expect(more.parts.last?.what == "afterEnd" && more.parts.last?.offset == UInt64(bytes.count))
    #expect(Array(more.parts.dropLast()) == whole.parts)
  }
}
