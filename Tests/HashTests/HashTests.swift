// SHA-256 and HMAC against published values, with and without the processor's instructions.

import Bytes
import CHash
import Hash
import Testing

/// Whether instructions are used is one setting of the process, so no two of these run at once.
@Suite(.serialized) struct HashTests {
  /// Runs `body` with the processor's instructions, where it has them, and without.
  private func onBothPaths(_ body: (_ path: String) throws -> Void) rethrows {
    defer { chash_sha256_portable_only(false) }
    for isPortable in [false, true] {
      chash_sha256_portable_only(isPortable)
      try body(chash_has_instructions() ? "by instructions" : "portable")
    }
  }

  /// Bytes without a pattern that a block or a page repeats.
  private func sample(_ count: Int) -> [UInt8] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  @Test func instructionsAreLeftOut() {
    chash_sha256_portable_only(true)
    #expect(!chash_has_instructions())
    chash_sha256_portable_only(false)
    #if !arch(x86_64)
      #expect(!chash_has_instructions())
    #endif
  }

  /// FIPS 180-4, and NIST's examples for it.
  @Test func publishedHashes() {
    onBothPaths { path in
      for (text, hash) in [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
          "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
          "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
            + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
          "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        (
          String(repeating: "a", count: 1_000),
          "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"
        ),
        (
          String(repeating: "a", count: 1_000_000),
          "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
      ] { #expect(SHA256.hash(Array(text.utf8)).hexDigits == hash, "\(path), \(text.prefix(60))") }
    }
  }

  /// The lengths at which the padding needs another block, too.
  @Test func lengthsAreThoseOfPython() {
    // hashlib.sha256(b"".join(hashlib.sha256(bytes(range(n))).digest() for n in range(256)))
    let hash = "b93dd1116d1648691c732d2011543b161309b842afef7ecb6f17adf2ebbd3426"
    onBothPaths { path in
      let hashes = (0..<256).flatMap { count in SHA256.hash((0..<count).map { UInt8($0) }) }
      #expect(SHA256.hash(hashes).hexDigits == hash, "\(path)")
    }
  }

  @Test func piecesAreAsTheWhole() {
    let bytes = sample(10_007)
    let buffer = PageAlignedBuffer(capacity: 1 + bytes.count)
    buffer.store(1, bytes.span.bytes)
    let whole = SHA256.hash(bytes)
    onBothPaths { path in
      #expect(SHA256.hash(bytes) == whole, "\(path)")
      for length in [1, 3, 55, 63, 64, 65, 127, 129, 1_000, 4_096, 5_001] {
        var (ofArrays, ofMemory) = (SHA256(), SHA256())
        for place in stride(from: 0, to: bytes.count, by: length) {
          let range = place..<min(place + length, bytes.count)
          ofArrays.add(Array(bytes[range]))
          ofArrays.add([])
          ofMemory.add(buffer, range.lowerBound + 1..<range.upperBound + 1)
          ofMemory.add(buffer, 0..<0)
        }
        #expect(ofArrays.finish() == whole, "\(path), \(length)")
        #expect(ofMemory.finish() == whole, "\(path), \(length)")
      }
    }
  }

  @Test func aCopyIsAHashOfItsOwn() {
    var first = SHA256()
    first.add(Array("ab".utf8))
    var second = first
    first.add(Array("c".utf8))
    second.add(Array("d".utf8))
    #expect(first.finish() == SHA256.hash(Array("abc".utf8)))
    #expect(second.finish() == SHA256.hash(Array("abd".utf8)))
    // What is finished can be added to.
    let before = first.finish()
    #expect(first.finish() == before)
    first.add(Array("e".utf8))
    #expect(first.finish() == SHA256.hash(Array("abce".utf8)))
  }

  @Test func pagesAreHashedOneByOne() {
    let count = 7
    let bytes = sample(count * 4096 + 3)
    let buffer = PageAlignedBuffer(capacity: bytes.count)
    buffer.store(0, bytes.span.bytes)
    onBothPaths { path in
      for start in [0, 3, 4096] {
        for pages in 0..<count {
          let range = start..<start + pages * 4096
          let hashes = stride(from: start, to: range.upperBound, by: 4096).flatMap { place in
            SHA256.hash(Array(bytes[place..<place + 4096]))
          }
          #expect(SHA256.pages(buffer, range) == hashes, "\(path), \(range)")
        }
      }
      // hashlib.sha256(bytes(4096))
      buffer.fill(0..<4096, 0)
      #expect(
        SHA256.pages(buffer, 0..<4096).hexDigits
          == "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7", "\(path)")
      buffer.store(0, bytes.span.bytes)
    }
  }

  /// RFC 4231, but for its case 5, which is cut.
  @Test func publishedCodes() {
    let longKey = [UInt8](repeating: 0xAA, count: 131)
    onBothPaths { path in
      for (key, text, code) in [
        (
          [UInt8](repeating: 0x0B, count: 20), Array("Hi There".utf8),
          "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        ),
        (
          Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        ),
        (
          [UInt8](repeating: 0xAA, count: 20), [UInt8](repeating: 0xDD, count: 50),
          "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
        ),
        (
          Array(1...25), [UInt8](repeating: 0xCD, count: 50),
          "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
        ),
        (
          longKey, Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
          "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        ),
        (
          longKey,
          Array(
            ("This is a test using a larger than block-size key and a larger than block-size data. "
              + "The key needs to be hashed before being used by the HMAC algorithm.").utf8),
          "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
        ),
      ] as [([UInt8], [UInt8], String)] {
        #expect(SHA256.authenticate(text, key: key).hexDigits == code, "\(path), \(code)")
      }
    }
  }
}
