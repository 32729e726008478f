// Where each page of a store lies, by its name.

import TestKit
import Testing

@testable import ContentStore

@Suite struct KnownPagesTests {
  private static let width = PageName.byteCount

  /// So many random names, one after another.
  private func names(_ count: Int, _ random: inout Seed) -> [UInt8] {
    var words = [UInt64](repeating: 0, count: (count * Self.width + 7) / 8)
    for index in words.indices { words[index] = random.next() }
    return words.withUnsafeBytes { Array($0.prefix(count * Self.width)) }
  }

  private func index(_ names: [UInt8]) -> PackIndex {
    var index = PackIndex()
    index.addPages(names)
    return index
  }

  @Test func thousandsOfNames() {
    var random = Seed()
    // The table begins with 4096 places and doubles where half of them are taken.
    let counts = [1000, 1047, 1, 1, 4000, 9000]
    let ids = counts.map { _ in PackID.random() }
    let all = counts.map { names($0, &random) }
    var known = KnownPages()
    var wrong = 0
    func check(_ packs: Range<Int>) {
      for pack in packs {
        for slot in 0..<counts[pack] {
          let name = all[pack][slot * Self.width..<(slot + 1) * Self.width]
          if known.place(of: name) != KnownPages.Place(pack: ids[pack], slot: slot) { wrong += 1 }
        }
      }
    }
    for pack in counts.indices {
      if pack % 2 == 0 {
        known.add(ids[pack], index(all[pack]))
      } else {
        // As pages of a pack that is being written come, one after another.
        for slot in 0..<counts[pack] {
          let name = all[pack][slot * Self.width..<(slot + 1) * Self.width]
          known.add(name, at: KnownPages.Place(pack: ids[pack], slot: slot))
        }
      }
      if pack < 4 { check(0..<pack + 1) }
    }
    check(counts.indices)
    #expect(wrong == 0)
    let others = names(2000, &random)
    let found = (0..<2000).count { slot in
      known.place(of: others[slot * Self.width..<(slot + 1) * Self.width]) != nil
    }
    #expect(found == 0)
  }

  /// What makes a name another one may be any byte of it.
  @Test func aPackThatComesTwice() {
    var random = Seed()
    let (id, all) = (PackID.random(), names(70, &random))
    var known = KnownPages()
    for _ in 0..<3 { known.add(id, index(all)) }
    let last = all[69 * Self.width..<70 * Self.width]
    #expect(known.place(of: last) == KnownPages.Place(pack: id, slot: 69))
  }

  @Test func namesThatBeginAlike() {
    var random = Seed()
    let start = random.bytes(8)
    let names = (0..<100).map { start + le32(UInt32($0)) + zeros(8) }
    let id = PackID.random()
    var known = KnownPages()
    known.add(id, index(names.flatMap { $0 }))
    for (slot, name) in names.enumerated() {
      #expect(known.place(of: name[...]) == KnownPages.Place(pack: id, slot: slot))
    }
    for place in 0..<Self.width {
      var other = names[0]
      other[place] ^= 0x80
      #expect(known.place(of: other[...]) == nil, "byte \(place)")
    }
  }

  @Test func extremeNames() {
    let all = [zeros(20), [UInt8](repeating: 0xFF, count: 20), zeros(19) + [1]]
    let id = PackID.random()
    var known = KnownPages()
    #expect(known.place(of: all[0][...]) == nil)
    known.add(id, index(all.flatMap { $0 }))
    for (slot, name) in all.enumerated() {
      #expect(known.place(of: name[...]) == KnownPages.Place(pack: id, slot: slot))
    }
  }

  /// A page that two packs have is taken from one of them.
  @Test func aNameOfTwoPacks() {
    var random = Seed()
    let name = random.bytes(20)
    let ids = [PackID.random(), PackID.random()]
    var known = KnownPages()
    for id in ids { known.add(id, index(name)) }
    #expect(ids.contains { known.place(of: name[...]) == KnownPages.Place(pack: $0, slot: 0) })
  }
}
