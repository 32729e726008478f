// A stream through both ends of a wire, in one process.

import Bytes
import Glibc
import SystemIO
import TestKit
import Testing

@testable import Wire

let fixtures = #filePath.replacing("WireTests/Support.swift", with: "Fixtures/")

/// How a stream goes through the wire.
struct Way: Sendable, CustomTestStringConvertible {
  var cacheByteCount: UInt64 = 1 << 20
  var threads = 0
  var level: Int? = 1
  var isSingleBytes = false
  var testDescription: String {
    "cache \(cacheByteCount), \(threads) threads, level \(level.map(String.init) ?? "auto")"
      + (isSingleBytes ? ", single bytes" : "")
  }

  static let all = [
    Way(), Way(cacheByteCount: 0), Way(cacheByteCount: 16 << 12, threads: 2, level: nil),
    Way(threads: 3, level: -7), Way(cacheByteCount: 1 << 30, threads: 1, level: 9),
  ]

  /// The frames for `bytes`, and what they carried.
  func sent(_ bytes: [UInt8]) throws -> (frames: [UInt8], totals: WireTotals) {
    let collector = PipeCollector()
    var sink: Sink? = Sink(try Descriptor(taking: collector.writing, path: "wire"), path: "wire")
    let number = pipe(feeding: bytes, inSingleBytes: isSingleBytes)
    let source = try Source(Descriptor(taking: number, path: "stream"), path: "stream")
    var totals = WireTotals()
    if let sink {
      let sender = try WireSender(
        source, sink, cacheByteCount: cacheByteCount, threads: threads, level: level)
      #expect(try sender.run() == .complete)
      totals = sender.totals
    }
    sink = nil
    return (collector.join(), totals)
  }

  /// What `frames` restore, and the error that ended it.
  func restored(_ frames: [UInt8]) throws -> (bytes: [UInt8], problem: (any Error)?) {
    let collector = PipeCollector()
    var problem: (any Error)?
    do {
      let sink = Sink(try Descriptor(taking: collector.writing, path: "out"), path: "out")
      let number = pipe(feeding: frames, inSingleBytes: isSingleBytes)
      let source = try Source(Descriptor(taking: number, path: "wire"), path: "wire")
      let receiver = try WireReceiver(
        source, sink, cacheByteCount: cacheByteCount, threads: threads)
      do { #expect(try receiver.run() == .complete) } catch { problem = error }
    }
    return (collector.join(), problem)
  }
}

/// Pages that look like those of a guest: numbers that count, text, and what cannot be packed.
struct Pages {
  private var random: UInt64

  init(seed: UInt64) { random = seed }

  private mutating func next() -> UInt64 {
    random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return random >> 20
  }

  mutating func page(_ pfn: UInt64) -> [UInt8] {
    switch pfn % 4 {
    case 0: [UInt8](repeating: 0, count: 4096)
    case 1: (0..<512).flatMap { (index: UInt64) in le64(pfn << 12 + index / 3) }
    case 2:
      (0..<4096).map { (index: Int) -> UInt8 in UInt8(0x20 + (index ^ index >> 5 &* Int(pfn)) % 60)
      }
    default: (0..<4096).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
  }

  /// PAGE_DATA with these pages.
  static func record(_ pages: [(UInt64, [UInt8])]) -> StreamBuilder.Chunk {
    var body = le32(UInt32(pages.count), 0)
    for (pfn, _) in pages { body += le64(pfn) }
    for (_, page) in pages { body += page }
    return StreamBuilder.record("PAGE_DATA", 0x01, body)
  }

  /// A migration of `count` pages: all once, then rounds in which every third has changed a little, one
  /// of them wholly and some not at all, and xl's last message.
  mutating func migration(_ count: UInt64, rounds: Int) -> [UInt8] {
    var image = StreamBuilder.hvm()
    var memory = (0..<count).map { ($0, page($0)) }
    var chunks = stride(from: 0, to: memory.count, by: 100).map {
      Self.record(Array(memory[$0..<min($0 + 100, memory.count)]))
    }
    for round in 0..<rounds {
      var dirty: [(UInt64, [UInt8])] = []
      for index in memory.indices where (index + round) % 3 == 0 {
        if index % 5 != 0 {
          for place in [0, 1000, 4088] { memory[index].1[place] &+= UInt8(round + 1) }
        }
        if index == 2 * round { memory[index].1 = page(3) }
        dirty.append(memory[index])
      }
      chunks.append(Self.record(dirty))
    }
    for chunk in chunks.reversed() { image.insert(chunk, after: "STATIC_DATA_END") }
    return image.bytes + Array("domain is yours, you are cleared to unpause\0".utf8)
  }
}
