// Saves into pipes: slow ones, non-blocking ones, and pages that lie anywhere.

import Bytes
import Glibc
import Live
import SimDomain
import SystemIO
import TestKit
import Testing

@Suite struct PipeTests {
  /// A pipe that is read slowly, a few bytes at a time, and whose writer never blocks.
  @Test(arguments: [true, false]) func slowPipe(isBlocking: Bool) throws {
    var configuration = SimDomain.Configuration(frameCount: 1500)
    // Every third page is missing: each batch is hundreds of chunks.
    configuration.holes = stride(from: 0, to: 1500, by: 3).map { $0..<$0 + 1 }
    let domain = try SimDomain(configuration)
    let scratch = Scratch()
    _ = try Save(domain, to: scratch.sink(), mode: .nonLive, clock: domain.clock).run()
    try domain.resume()

    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    let collector = Collector(ends[0])
    if !isBlocking { _ = fcntl(ends[1], F_SETFL, O_NONBLOCK) }
    do {
      let sink = Sink(try Descriptor(taking: ends[1], path: "pipe"), path: "pipe")
      _ = fcntl(ends[1], 1031, 4096)
      let result = try Save(domain, to: sink, mode: .nonLive, clock: domain.clock).run()
      #expect(result.byteCount == sink.position)
    }
    #expect(collector.join() == (try scratch.bytes()))
  }

  /// Pieces that touch become one; more than one call takes are all written.
  @Test func vectors() throws {
    let buffer = PageAlignedBuffer(capacity: 1 << 16)
    for place in 0..<1 << 13 { buffer.store(place * 8, UInt64(place)) }
    let vectors = WriteVectors()
    vectors.append(buffer, 0..<100)
    vectors.append(buffer, 100..<200)
    vectors.append(buffer, 200..<200)
    #expect(vectors.count == 1 && vectors.byteCount == 200)
    var expected = buffer.copy(0..<200)
    for place in 0..<3000 {
      let start = place * 20 % 60_000 + 1000
      vectors.append(buffer, start..<start + 7)
      expected += buffer.copy(start..<start + 7)
    }
    #expect(vectors.count == 3001)
    let scratch = Scratch()
    let sink = try scratch.sink()
    try sink.write(vectors)
    #expect(try scratch.bytes() == expected)
    #expect(sink.position == UInt64(expected.count))
    vectors.removeAll()
    try sink.write(vectors)
    #expect(vectors.count == 0 && vectors.byteCount == 0)
  }

  /// Whole pages, parts of pages and odd bytes in any order, as a pipe takes them.
  @Test func vectorsIntoAPipe() throws {
    let pages = 200
    let buffer = PageAlignedBuffer(capacity: pages * 4096)
    for place in 0..<pages * 512 { buffer.store(place * 8, UInt64(place) &* 0x9E37_79B9) }
    let vectors = WriteVectors()
    var expected: [UInt8] = []
    var random = Seed(0x5EED_0019)
    for _ in 0..<600 {
      let page = Int.random(in: 0..<pages - 90, using: &random)
      let range =
        switch Int.random(in: 0..<4, using: &random) {
        case 0: page * 4096..<(page + Int.random(in: 1...90, using: &random)) * 4096
        case 1: page * 4096..<page * 4096 + Int.random(in: 1..<9000, using: &random)
        case 2: page * 4096 + 8..<page * 4096 + 8 + Int.random(in: 0..<9000, using: &random)
        default: page * 4096 + 4088..<(page + 2) * 4096
        }
      vectors.append(buffer, range)
      expected += buffer.copy(range)
    }
    var ends: [Int32] = [-1, -1]
    #expect(pipe(&ends) == 0)
    let collector = Collector(ends[0])
    do {
      let sink = Sink(try Descriptor(taking: ends[1], path: "pipe"), path: "pipe")
      try sink.write(vectors)
      #expect(sink.position == UInt64(expected.count))
    }
    let isSame = collector.join() == expected
    #expect(isSame)
  }

  /// In real time the guest works while it is saved.
  @Test func realTime() throws {
    var configuration = SimDomain.Configuration(frameCount: 4000)
    configuration.clock = .real
    configuration.workload = .steady(writesPerSecond: 1_000_000)
    let domain = try SimDomain(configuration)
    let scratch = Scratch()
    let result = try Save(
      domain, to: scratch.sink(), mode: .live(StopAfter(rounds: 3))
    ).run()
    #expect(domain.writeCount > 0)
    #expect(result.liveRoundCount >= 1 && result.downtime > 0)
    #expect(result.trace.rounds.allSatisfy { $0.end >= $0.begin })
    configuration.workload = .idle
    let copy = try SimDomain(restoring: scratch.source(), configuration)
    #expect(copy.differences(from: domain) == [])
  }
}

/// A thread that reads all of a pipe in small, uneven chunks.
final class Collector: @unchecked Sendable {
  private var thread = pthread_t()
  private let descriptor: Int32
  private var bytes: [UInt8] = []

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    let context = Unmanaged.passRetained(self).toOpaque()
    pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let this = Unmanaged<Collector>.fromOpaque(context).takeRetainedValue()
        var buffer = [UInt8](repeating: 0, count: 9001)
        var size = 1
        while true {
          let got = read(this.descriptor, &buffer, size)
          if got <= 0 { break }
          this.bytes += buffer[0..<got]
          size = size * 7 % 9001 + 1
        }
        close(this.descriptor)
        return nil
      }, context)
  }

  func join() -> [UInt8] {
    pthread_join(thread, nil)
    return bytes
  }
}
