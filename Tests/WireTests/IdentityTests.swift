// What goes into one end of a wire comes out of the other.

import Bytes
import Glibc
import SystemIO
import TestKit
import Testing

@testable import Wire

@Suite struct IdentityTests {
  private static func file(_ path: String) throws -> [UInt8] {
    try Source(opening: fixtures + path).read(64 << 20)
  }

  private func check(_ bytes: [UInt8], _ way: Way, _ name: String) throws {
    let (frames, totals) = try way.sent(bytes)
    #expect(totals.restored == UInt64(bytes.count))
    #expect(totals.sent == UInt64(frames.count))
    let (out, problem) = try way.restored(frames)
    #expect(problem == nil, "\(name): \(String(describing: problem))")
    let isSame = out == bytes
    #expect(isSame, "\(name): \(out.count) of \(bytes.count) bytes")
  }

  @Test(arguments: Way.all) func builtStreams(way: Way) throws {
    var pages = Pages(seed: 7)
    for (name, bytes) in [
      ("nothing", []), ("one byte", [1]), ("text", Array("no image at all\n".utf8)),
      ("hvm", StreamBuilder.hvm().bytes), ("hvm v2", StreamBuilder.hvm(version: 2).bytes),
      ("pv", StreamBuilder.pv().bytes), ("remus", StreamBuilder.remus(checkpoints: 4).bytes),
      ("migration", pages.migration(300, rounds: 3)),
      ("random", (0..<300_000).map { _ in UInt8.random(in: 0...255) }),
    ] as [(String, [UInt8])] { try check(bytes, way, name) }
  }

  @Test(arguments: [("pv-4m-1v-tiny.xlsave", 1024), ("pvh-4m-1v-tiny.xlsave", 1041)])
  func realImages(name: String, pageCount: UInt64) throws {
    let bytes = try Self.file(name)
    let way = Way(threads: 2)
    let (frames, totals) = try way.sent(bytes)
    let (out, problem) = try way.restored(frames)
    #expect(problem == nil)
    let isSame = out == bytes
    #expect(isSame)
    // Pages are seen as such, but for those in whose middle the writer paused.
    let seen = totals.zeroPages + totals.packedPages
    #expect(totals.zeroPages > 300 && seen > pageCount / 2 && seen <= pageCount, "\(totals)")
    #expect(frames.count < bytes.count * 3 / 10)
  }

  /// Streams in other layers, and all other files that tests have: whatever they are.
  @Test func otherFixtures() throws {
    for folder in ["containers", "records", "releases", "helper-traffic", "judged"] {
      let names = (FileSystem.names(in: fixtures + folder) ?? []).sorted()
      #expect(!names.isEmpty)
      for name in names.prefix(12) {
        guard let bytes = try? Self.file("\(folder)/\(name)"), bytes.count < 1 << 20 else {
          continue
        }
        try check(bytes, Way(), "\(folder)/\(name)")
      }
    }
  }

  @Test func singleBytes() throws {
    let way = Way(isSingleBytes: true)
    try check(StreamBuilder.hvm().bytes, way, "hvm")
  }

  /// Two parts, with a pause between them at every byte of the headers, and near the ends of pages.
  @Test func fragments() throws {
    var pages = Pages(seed: 3)
    var image = StreamBuilder.hvm()
    image.replace(
      "PAGE_DATA", Pages.record([(5, pages.page(1)), (9, pages.page(2)), (9, pages.page(3))]))
    let bytes = image.bytes
    let start = image.offset(of: "PAGE_DATA") + 40
    let places = (0...bytes.count).filter { place in
      guard place > start, place < start + 3 * 4096 else { return true }
      let inside = (place - start) % 4096
      return inside < 3 || inside > 4093 || inside % 97 == 0
    }
    let file = TemporaryFile(bytes)
    for place in places {
      var scanner = StreamScanner()
      let (cache, other) = (PageCache(byteCount: 1 << 17), PageCache(byteCount: 1 << 17))
      var totals = WireTotals()
      let frame = try OutgoingFrame()
      var out: [UInt8] = []
      for (number, range) in [0..<place, place..<bytes.count].enumerated() {
        file.poke(0, Array(bytes[range]))
        file.truncate(range.count)
        let source = try Source(opening: file.path)
        frame.removeAll()
        while try frame.fill(from: source) { frame.scan(&scanner, cache, &totals) }
        frame.scan(&scanner, cache, &totals, isFlushed: true)
        guard !frame.isEmpty else { continue }
        frame.seal(sequence: UInt32(number), level: 1)
        out += try restored(frame, other)
      }
      #expect(out == bytes, "cut at \(place)")
      let seen = totals.zeroPages + totals.packedPages + totals.storedPages + totals.changedPages
      #expect(seen >= 2, "cut at \(place): \(seen) pages seen")
    }
  }

  private func restored(_ frame: OutgoingFrame, _ cache: PageCache) throws -> [UInt8] {
    let file = TemporaryFile()
    var totals = WireTotals()
    try frame.write(
      to: Sink(Descriptor.open(file.path, isWritable: true), path: file.path), &totals)
    let source = try Source(opening: file.path)
    let incoming = try IncomingFrame()
    let head = try source.read(FrameHeader.byteCount)
    let header = try FrameHeader(parsing: head, sequence: head.load(4, as: UInt32.self))
    incoming.begin(header)
    while !incoming.isComplete { #expect(try incoming.fill(from: source)) }
    incoming.unpack()
    let out = PageAlignedBuffer(capacity: header.restored)
    try incoming.restore(into: out, cache)
    return out.copy(0..<header.restored)
  }

  /// Pages that come again are sent as differences or not at all, as long as the cache has them.
  @Test func repeatedPages() throws {
    var pages = Pages(seed: 11)
    let bytes = pages.migration(400, rounds: 6)
    let (frames, totals) = try Way(cacheByteCount: 4 << 20).sent(bytes)
    #expect(totals.changedPages > 300)
    #expect(totals.samePages > 40)
    let (without, none) = try Way(cacheByteCount: 0).sent(bytes)
    #expect(none.changedPages == 0 && none.samePages == 0)
    // A quarter of the pages cannot be packed: only the cache makes them small when they come again.
    #expect(frames.count < without.count * 6 / 10, "\(frames.count) of \(without.count)")
  }
}

@Suite struct PauseTests {
  /// What was written comes out while the writer waits: record by record, and in the middle of one.
  @Test func nothingIsHeldBack() throws {
    let image = StreamBuilder.remus(checkpoints: 3)
    let stream = try Pipe()
    let wire = try Pipe()
    let out = try Pipe()
    let sender = TestThread {
      [a = stream.reading.fileDescriptor, b = wire.writing.fileDescriptor] in
      guard
        let source = try? Source(Descriptor(taking: a, path: "a", isOwned: false), path: "a"),
        let sink = try? Sink(Descriptor(taking: b, path: "b", isOwned: false), path: "b"),
        let sender = try? WireSender(source, sink, cacheByteCount: 1 << 20, threads: 2, level: nil)
      else { return }
      _ = try? sender.run()
      sink.cut()
    }
    let receiver = TestThread { [a = wire.reading.fileDescriptor, b = out.writing.fileDescriptor] in
      guard
        let source = try? Source(Descriptor(taking: a, path: "a", isOwned: false), path: "a"),
        let sink = try? Sink(Descriptor(taking: b, path: "b", isOwned: false), path: "b"),
        let receiver = try? WireReceiver(source, sink, cacheByteCount: 1 << 20, threads: 2)
      else { return }
      _ = try? receiver.run()
      sink.cut()
    }
    // Each part is read before the next one is written: the pipes hold nothing else.
    for chunk in image.chunks {
      let half = chunk.bytes.count / 2
      for part in [chunk.bytes[..<half], chunk.bytes[half...]] {
        for piece in stride(from: part.startIndex, to: part.endIndex, by: 4096) {
          let bytes = Array(part[piece..<min(piece + 4096, part.endIndex)])
          let written = bytes.withUnsafeBytes {
            write(stream.writing.fileDescriptor, $0.baseAddress, $0.count)
          }
          #expect(written == bytes.count)
          var got: [UInt8] = []
          var buffer = [UInt8](repeating: 0, count: 4096)
          while got.count < bytes.count {
            let count = read(out.reading.fileDescriptor, &buffer, bytes.count - got.count)
            guard count > 0 else { break }
            got += buffer[..<count]
          }
          #expect(got == bytes, "\(chunk.name)")
        }
      }
    }
    // The end passes, too.
    _ = fcntl(stream.writing.fileDescriptor, F_GETFD)
    let null = open("/dev/null", O_WRONLY)
    dup2(null, stream.writing.fileDescriptor)
    close(null)
    sender.join()
    receiver.join()
  }
}
