// Packed files of others, unpacked while they are read.

import Bytes
import SystemIO
import TestKit
import Testing

@testable import Unpack

@Suite struct UnpackTests {
  /// What the files hold.
  private static let plain = [UInt8](
    String(repeating: "abcabcabd", count: 40).utf8)
  /// As gzip -9, xz -0 and zstd -19 write it.
  private static let files: [Packing: [UInt8]] = [
    .gzip: hex(
      "1f8b08000000000002034b4c4a4e04a194c451062d190066b58cee68010000"),
    .xz: hex(
      """
      fd377a585a000004e6d6b446020021010c0000008f98419ce00167000e5d00309888a5836e0e016066a5600000
      0000005eeef465521eb60300012ae80200000018b6cfd7b1c467fb020000000004595a
      """),
    .zstd: hex("28b52ffd04688500004861626361626361626401005c54cb11758d5ba9"),
  ]

  /// What unpacking `bytes` gives; an error's text where it fails.
  private func unpacked(
    _ bytes: [UInt8], _ packing: Packing, step: Int = 1000, inSingleBytes: Bool = false
  ) throws -> Result<[UInt8], SystemError> {
    let source: Source
    let file = TemporaryFile(bytes)
    if inSingleBytes {
      let number = pipe(feeding: bytes, inSingleBytes: true)
      source = try Source(Descriptor(taking: number, path: "packed"), path: "packed")
    } else {
      source = try Source(opening: file.path)
    }
    let stream = try UnpackedStream(source, packing)
    let buffer = PageAlignedBuffer(capacity: step)
    var out: [UInt8] = []
    do throws(SystemError) {
      while true {
        let got = try stream.read(into: buffer, 0..<step)
        if got == 0 { return .success(out) }
        out += buffer.copy(0..<got)
      }
    } catch { return .failure(error) }
  }

  @Test(arguments: Packing.allCases) func whatIsPackedComesOut(packing: Packing) throws {
    let bytes = try #require(UnpackTests.files[packing])
    for step in [1, 7, 360, 5000] {
      #expect(try unpacked(bytes, packing, step: step) == .success(UnpackTests.plain))
    }
    #expect(try unpacked(bytes, packing, inSingleBytes: true) == .success(UnpackTests.plain))
    #expect(
      try unpacked(bytes + bytes, packing) == .success(UnpackTests.plain + UnpackTests.plain))
  }

  @Test(arguments: Packing.allCases) func whatIsCutIsSaid(packing: Packing) throws {
    let bytes = try #require(UnpackTests.files[packing])
    for count in 1..<bytes.count {
      let result = try unpacked(Array(bytes.prefix(count)), packing)
      #expect("\(result)".contains("\(packing) data before byte"), "\(count): \(result)")
    }
    for more in [[1], Array("more".utf8), [UInt8](repeating: 0xFF, count: 500)] {
      let result = try unpacked(bytes + more, packing)
      guard case .failure = result else {
        Issue.record("\(packing), \(more.count): \(result)")
        continue
      }
    }
  }

  /// Whatever a byte is made, there is an end: the same contents, others, or an error.
  @Test(arguments: Packing.allCases) func damageHasAnEnd(packing: Packing) throws {
    let bytes = try #require(UnpackTests.files[packing])
    var failed = 0
    for place in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[place] ^= 1 << bit
        if case .failure = try unpacked(damaged, packing) { failed += 1 }
      }
    }
    #expect(failed > bytes.count * 4)
  }

  /// Padding of a tape, and of xz.
  @Test func zerosAfterTheEndAreNothing() throws {
    let zeros = [UInt8](repeating: 0, count: 512)
    for packing in [Packing.gzip, .xz] {
      let bytes = try #require(UnpackTests.files[packing])
      #expect(try unpacked(bytes + zeros, packing) == .success(UnpackTests.plain))
    }
  }

  @Test func skippableFramesArePassed() throws {
    let bytes = try #require(UnpackTests.files[.zstd])
    let skipped: [UInt8] = [0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]
    #expect(try unpacked(skipped + bytes + skipped, .zstd) == .success(UnpackTests.plain))
  }
}
