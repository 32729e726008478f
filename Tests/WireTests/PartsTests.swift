// The parts of the wire: cache, differences, tests of pages, levels.

import Bytes
import TestKit
import Testing

@testable import Wire

@Suite struct PartsTests {
  private func buffer(_ bytes: [UInt8]) -> PageAlignedBuffer {
    let out = PageAlignedBuffer(capacity: max(bytes.count, 4096))
    for (place, byte) in bytes.enumerated() { out.store(place, byte) }
    return out
  }

  private func insert(_ key: UInt64, _ byte: UInt8, into cache: PageCache) {
    buffer([UInt8](repeating: byte, count: 4096)).withBytes(0..<4096) {
      cache.insert(key, $0, at: 0)
    }
  }

  private func first(_ key: UInt64, in cache: PageCache) -> UInt8? {
    cache.find(key).map { place in cache.withPage(place) { $0.load(0, as: UInt8.self) } }
  }

  /// One set of eight: who was asked for stays, of the others the first goes.
  @Test func oldPagesGo() {
    let cache = PageCache(byteCount: 8 << 12)
    for key in 0..<8 { insert(UInt64(key), UInt8(key), into: cache) }
    for key in [0, 2, 4] { #expect(first(UInt64(key), in: cache) == UInt8(key)) }
    insert(100, 100, into: cache)
    insert(101, 101, into: cache)
    for key in [0, 2, 4, 5, 6, 7] { #expect(first(UInt64(key), in: cache) == UInt8(key)) }
    for key in [1, 3] { #expect(first(UInt64(key), in: cache) == nil) }
    #expect(first(100, in: cache) == 100)
    cache.remove(100)
    #expect(first(100, in: cache) == nil)
    insert(0, 9, into: cache)
    #expect(first(0, in: cache) == 9)
  }

  @Test func cacheOfNothing() {
    let cache = PageCache(byteCount: 4096)
    insert(1, 1, into: cache)
    #expect(cache.find(1) == nil)
  }

  /// Two caches with the same history are the same, however full.
  @Test func equalHistories() {
    let (one, other) = (PageCache(byteCount: 1 << 18), PageCache(byteCount: 1 << 18))
    var state: UInt64 = 5
    for step in 0..<3000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1
      let key = state >> 33 % 150
      for cache in [one, other] {
        switch step % 5 {
        case 0: cache.remove(key)
        case 1: _ = cache.find(key)
        default: insert(key, UInt8(truncatingIfNeeded: step), into: cache)
        }
      }
    }
    var there = 0
    for key in 0..<UInt64(150) {
      let mine = first(key, in: one)
      #expect(mine == first(key, in: other))
      if mine != nil { there += 1 }
    }
    #expect(there > 30 && there <= 64)
  }

  @Test func differences() throws {
    let old = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let out = PageAlignedBuffer(capacity: 8192)
    for (places, expected) in [
      ([], 0), ([0], nil), ([4095], nil), ([8, 9, 16, 2000], nil), (Array(0..<1900), nil),
      (Array(stride(from: 0, to: 4096, by: 40)), nil),
    ] as [([Int], Int?)] {
      var new = old
      for place in places { new[place] ^= 0x55 }
      let length = buffer(new).withBytes(0..<4096) { mine in
        buffer(old).withBytes(0..<4096) {
          PageDifference.write(of: mine, at: 0, to: $0, into: out, at: 0)
        }
      }
      let count = try #require(length)
      if let expected { #expect(count == expected) }
      guard count > 0 else { continue }
      #expect(count <= WireFormat.differenceLimit)
      let page = buffer(old)
      var reader = VarintReader(0..<count)
      try out.withBytes(0..<count) { try PageDifference.apply($0, &reader, to: page, at: 0) }
      #expect(reader.isAtEnd)
      #expect(page.copy(0..<4096) == new)
    }
    // More than half of the page: not worth it.
    let length = buffer(old.map { $0 ^ 1 }).withBytes(0..<4096) { mine in
      buffer(old).withBytes(0..<4096) {
        PageDifference.write(of: mine, at: 0, to: $0, into: out, at: 0)
      }
    }
    #expect(length == nil)
  }

  @Test func pagesWorthPacking() {
    var pages = Pages(seed: 99)
    func isRandom(_ bytes: [UInt8]) -> Bool {
      buffer(bytes).withBytes(0..<4096) { Compressibility.isRandom($0, at: 0) }
    }
    for _ in 0..<200 { #expect(isRandom(pages.page(3))) }
    #expect(!isRandom(pages.page(0)) && !isRandom(pages.page(1)) && !isRandom(pages.page(2)))
    // Base64 has 64 letters.
    #expect(!isRandom(pages.page(3).map { 0x30 + $0 % 64 }))
    let zero = buffer(zeros(4096))
    #expect(zero.withBytes(0..<4096) { $0.isZeroPage(at: 0) })
    zero.store(4095, UInt8(1))
    #expect(!zero.withBytes(0..<4096) { $0.isZeroPage(at: 0) })
  }

  @Test func levelsFollowWhatIsWaitedFor() {
    var control = LevelControl(fixed: nil)
    #expect(control.level == 1)
    for _ in 0..<30 { control.note(link: 30_000_000, processor: 1_000_000) }
    #expect(control.level == LevelControl.levels.last)
    for _ in 0..<30 { control.note(link: 1_000_000, processor: 30_000_000) }
    #expect(control.level == LevelControl.levels.first)
    // Nobody waits: a little of the processor is enough.
    for _ in 0..<9 { control.note(link: 30_000_000) }
    for _ in 0..<30 { control.note(input: 30_000_000) }
    #expect(control.level == 1)
    var fixed = LevelControl(fixed: 5)
    for _ in 0..<30 { fixed.note(link: 30_000_000) }
    #expect(fixed.level == 5)
  }
}
