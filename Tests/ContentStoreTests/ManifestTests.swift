// The object of an image: whatever is wrong with it is seen, and costs nothing.

import Bytes
import Hash
import SystemIO
import TestKit
import Testing

@testable import ContentStore

@Suite struct ManifestTests {
  private func head(_ byteCount: UInt64) -> StoredImage {
    StoredImage(
      name: "web \"1\"\u{E4}", byteCount: byteCount, time: 1_700_000_000, domain: "web",
      xen: "4.17", newPageCount: 3)
  }

  private func pack(_ byte: UInt8) -> Manifest.Pack {
    Manifest.Pack(
      id: PackID(bytes: [UInt8](repeating: byte, count: 16)),
      hash: [UInt8](repeating: ~byte, count: 32))
  }

  /// Two packs and pieces of each kind.
  private func small() throws -> Manifest {
    var manifest = Manifest(head(8 + 6 * 4096))
    try manifest.addLiteral([1, 2, 3])
    try manifest.addLiteral([4, 5])
    manifest.addZeroPage()
    manifest.addZeroPage()
    manifest.addPages(pack(1), slot: 7)
    manifest.addPages(pack(1), slot: 8)
    manifest.addPages(pack(2), slot: 9)
    manifest.addPages(pack(1), slot: 65_535)
    try manifest.addLiteral([6, 7, 8])
    return manifest
  }

  private func pieces(_ manifest: Manifest) -> [[Int]] {
    manifest.pieces.map { [Int($0.kind.rawValue), $0.count, $0.pack, $0.slot] }
  }

  private func expectSame(_ left: Manifest, _ right: Manifest) {
    #expect(left.head == right.head)
    #expect(left.packs == right.packs)
    #expect(pieces(left) == pieces(right))
    #expect(left.literals == right.literals)
  }

  @Test func neighboursBecomeOnePiece() throws {
    let manifest = try small()
    #expect(
      pieces(manifest) == [
        [0, 5, 0, 0], [1, 2, 0, 0], [2, 2, 0, 7], [2, 1, 1, 9], [2, 1, 0, 65_535], [0, 3, 0, 0],
      ])
    #expect(manifest.literals == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(manifest.packs == [pack(1), pack(2)])
    #expect(manifest.pieces.reduce(0) { $0 + $1.byteCount } == manifest.head.byteCount)
  }

  @Test func bytesAndBack() throws {
    let small = try small()
    expectSame(small, try Manifest(small.encoded(), path: "p"))
    // One that zstd packs.
    var random = Seed()
    var large = Manifest(head(0))
    var byteCount: UInt64 = 0
    for _ in 0..<3000 {
      switch random.below(3) {
      case 0:
        let bytes = [UInt8](repeating: UInt8(random.below(256)), count: 1 + random.below(300))
        try large.addLiteral(bytes)
        byteCount += UInt64(bytes.count)
      case 1:
        large.addZeroPage()
        byteCount += 4096
      default:
        let count = 1 + random.below(200)
        let slot = random.below(65_536 - count)
        large.addPages(pack(UInt8(random.below(20))), slot: slot, count: count)
        byteCount += 4096 * UInt64(count)
      }
    }
    large.head = head(byteCount)
    let encoded = try large.encoded()
    #expect(encoded.count < large.literals.count)
    expectSame(large, try Manifest(encoded, path: "p"))
    let start = Array(encoded.prefix(12 + Manifest.headLimit))
    #expect(try StoredImage(start, path: "p") == large.head)
    // No bytes at all.
    let none = Manifest(head(0))
    expectSame(none, try Manifest(none.encoded(), path: "p"))
  }

  @Test func packsGetTheirHashes() throws {
    var manifest = Manifest(head(4096))
    let id = pack(1).id
    manifest.addPages(Manifest.Pack(id: id, hash: []), slot: 0)
    manifest.complete(pack(2))
    manifest.complete(pack(1))
    #expect(manifest.packs == [pack(1)])
  }

  @Test func movedPages() throws {
    let old = try small()
    let moved = try old.moved { id, slot -> (pack: Manifest.Pack, slot: Int)? in
      guard id == pack(1).id else { return nil }
      return (pack(3), slot == 65_535 ? 2 : slot - 7)
    }
    #expect(
      pieces(moved) == [
        [0, 5, 0, 0], [1, 2, 0, 0], [2, 2, 0, 0], [2, 1, 1, 9], [2, 1, 0, 2], [0, 3, 0, 0],
      ])
    #expect(moved.packs == [pack(3), pack(2)])
    #expect(moved.literals == old.literals && moved.head == old.head)
    expectSame(old, try old.moved { _, _ in nil })
    #expect(try Manifest(moved.encoded(), path: "p").packs == moved.packs)
  }

  @Test func everyByteCounts() throws {
    let good = try small().encoded()
    var random = Seed()
    for place in good.indices {
      for change in [UInt8(1 << random.below(8)), 0xFF] {
        var bad = good
        bad[place] ^= change
        let error = #expect(throws: XensaveError.self, "byte \(place)") {
          _ = try Manifest(bad, path: "images/a")
        }
        #expect(error?.code == .invalid && error?.message.hasPrefix("images/a: ") == true)
      }
    }
    for count in good.indices {
      #expect(code { try Manifest(Array(good[..<count]), path: "p") } == .invalid, "\(count) bytes")
    }
    #expect(code { try Manifest(good + [0], path: "p") } == .invalid)
  }

  // MARK: - What somebody has made up

  /// A manifest whose SHA-256 is right, whatever else it says.
  private func sealed(
    head: String = #"{"name":"a","bytes":4096,"time":1}"#, headCount: UInt32? = nil,
    plain: UInt64? = nil, packed: UInt32? = nil, _ body: [UInt8]
  ) -> [UInt8] {
    let text = Array(head.utf8)
    var out = Manifest.magic + le32(headCount ?? UInt32(text.count)) + text
    out += le64(plain ?? UInt64(body.count)) + le32(packed ?? UInt32(body.count)) + body
    return out + SHA256.hash(out)
  }

  /// A number of 7 bits a byte.
  private func number(_ value: UInt64) -> [UInt8] {
    value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + number(value >> 7)
  }

  /// One page of zeros.
  private let onePage: [UInt8] = le32(0, 1) + [1, 1]

  @Test func whatIsSealedRightIsTaken() throws {
    #expect(try pieces(Manifest(sealed(onePage), path: "p")) == [[1, 1, 0, 0]])
    #expect(number(300) == [0xAC, 2])
    let pages = le32(1) + zeros(48) + le32(1) + [2] + number(1) + number(0) + number(65_535)
    #expect(try pieces(Manifest(sealed(pages), path: "p")) == [[2, 1, 0, 65_535]])
  }

  @Test func numbersThatNobodyMayBelieve() {
    let onePack = le32(1) + zeros(48) + le32(1)
    let most = number(1 << 49 - 1)
    let bodies: [(String, [UInt8])] = [
      ("nothing", []), ("no pieces", le32(0)), ("packs", le32(.max, 0)),
      ("packs without room", le32(1, 0) + zeros(43)), ("pieces", le32(0, .max)),
      ("pieces without room", le32(0, 2) + [1, 1, 1]), ("kind", le32(0, 1) + [3, 1]),
      ("count of 0", le32(0, 1) + [1, 0]), ("no count", le32(0, 1) + [1]),
      ("a number without end", le32(0, 1) + [1] + [UInt8](repeating: 0x80, count: 7) + [1]),
      ("a number that is cut", le32(0, 1) + [1, 0x81]),
      ("a pack that is not there", le32(0, 1) + [2, 1, 0, 0]),
      ("another pack", onePack + [2, 1, 1, 0]), ("no slot", onePack + [2, 1, 0]),
      ("slot", onePack + [2] + number(1) + number(0) + number(65_536)),
      ("slot and count", onePack + [2] + number(2) + number(0) + number(65_535)),
      ("pages", onePack + [2] + number(65_537) + number(0) + number(0)),
      ("pages, all of them", onePack + [2] + most + number(0) + most),
      ("pack", onePack + [2, 1] + most + [0]),
      ("literals that are not there", le32(0, 1) + [0] + number(4096) + zeros(4095)),
      ("literals, all of them", le32(0, 2) + [0] + most + [0] + most),
      ("literals too many", onePage + [7]), ("zeros", le32(0, 1) + [1] + most),
      ("two pages", le32(0, 1) + [1, 2]),
    ]
    for (what, body) in bodies {
      #expect(code { try Manifest(sealed(body), path: "p") } == .invalid, "\(what)")
    }
    let lengths: [(UInt64?, UInt32?)] = [
      (.max, nil), (1 << 30 + 1, nil), (1 << 30, nil), (9, nil), (11, nil), (0, nil), (nil, .max),
      (nil, 0), (.max, .max),
    ]
    for (plain, packed) in lengths {
      let bytes = sealed(plain: plain, packed: packed, onePage)
      #expect(code { try Manifest(bytes, path: "p") } == .invalid, "\(plain ?? 0) \(packed ?? 0)")
    }
  }

  /// Pieces of more bytes than a number can say are not an image of the greatest number.
  @Test func moreBytesThanNumbers() {
    let piece = [1] + number(1 << 49 - 1)
    let body = le32(0, 9) + [[UInt8]](repeating: piece, count: 9).flatMap { $0 }
    let head = #"{"name":"a","bytes":18446744073709551615,"time":1}"#
    #expect(code { try Manifest(sealed(head: head, body), path: "p") } == .invalid)
  }

  @Test func headsThatSayNothing() {
    let heads = [
      "", "{", "[]", "7", "{}", #"{"name":"a","bytes":4096}"#, #"{"name":"a","time":1}"#,
      #"{"bytes":4096,"time":1}"#, #"{"name":1,"bytes":4096,"time":1}"#,
      #"{"name":"a","bytes":-1,"time":1}"#, #"{"name":"a","bytes":4096.5,"time":1}"#,
      #"{"name":"a","bytes":"4096","time":1}"#, #"{"name":"a","bytes":1e30,"time":1}"#,
      #"{"name":"a","bytes":4096,"time":null}"#, #"{"name":"a","bytes":4097,"time":1}"#,
      #"{"name":"a","bytes":4096,"time":1} x"#,
    ]
    for head in heads {
      #expect(code { try Manifest(sealed(head: head, onePage), path: "p") } == .invalid, "\(head)")
    }
    for count in [0, 1, 35, 60, 65_536, 65_537, .max] as [UInt32] {
      let bytes = sealed(headCount: count, onePage)
      #expect(code { try Manifest(bytes, path: "p") } == .invalid, "\(count)")
    }
  }
}
