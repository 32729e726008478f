// QEMU's record of xenopsd's in both directions, and a virtual GPU's stream without a length.

import Convert
import Format
import ImageCheck
import ImageEdit
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct XenopsdTests {
  static let image = StreamBuilder.suspendImage()

  /// libxl's stream with the state of a QEMU.
  static func libxl(id: UInt32, state: [UInt8]) -> [UInt8] {
    var image = StreamBuilder.hvm()
    image.remove("xl")
    image.remove("EMULATOR_XENSTORE_DATA")
    image.replace(
      "EMULATOR_CONTEXT", StreamBuilder.record("EMULATOR_CONTEXT", 3, le32(id, 0) + state))
    return image.bytes
  }

  /// Whatever the QEMU, xenopsd has it in Qemu_trad, and its first bytes say which one it is.
  @Test(
    arguments: [
      (0, "QEVM", 2), (1, "QEVM", 2), (2, "QEVM", 2), (1, "old ", 1), (2, "old ", 1),
    ] as [(UInt32, String, UInt32)])
  func qemuIsInOneRecord(id: UInt32, magic: String, back: UInt32) throws {
    let state = Array(magic.utf8) + be32(3) + [0, 0, 0, 0, 0, 0, 0, 0]
    let suspended = try convert(Self.libxl(id: id, state: state), asking("xenopsd"))
    let record = le64(0xF00, UInt64(state.count)) + state
    #expect(suspended.suffix(record.count + 16).starts(with: record))
    #expect(!suspended.contains(le64(0xF01)))
    #expect(
      try convert(suspended, asking("libxl")) == Self.libxl(id: back, state: state))
  }

  @Test func qemuHasALimit() throws {
    let longest = Self.libxl(id: 2, state: Array("QEVM".utf8) + zeros((1 << 20) - 4))
    let suspended = try convert(longest, asking("xenopsd"))
    #expect(try verified(suspended).isEmpty)
    #expect(try convert(suspended, asking("libxl")) == longest)
    let longer = Self.libxl(id: 2, state: Array("QEVM".utf8) + zeros((1 << 20) - 3))
    #expect(refusal(longer, asking("xenopsd")).contains("xenopsd restores at most 1048576 bytes"))
    #expect(try !convert(longer, asking("xenopsd", isLossy: true)).contains(le64(0xF00)))
  }

  /// A record that a restore refuses is read, but verify and compat say no.
  @Test func qemuXenIsRefused() throws {
    var image = Self.image
    image.poke("Qemu_trad", 0, le64(0xF01))
    #expect(try verified(image.bytes) == ["xenopsd.qemu-xen"])
    let file = try TemporaryFile(image.bytes)
    let reasons = Compat.check(
      try CompatSummary(Source(opening: file.path)), for: XenRelease(4, 17))
    #expect(!Compat.isCompatible(reasons))
    #expect(reasons.contains { $0.text.contains("a restore refuses it") })
  }

  /// The state of a virtual GPU and what follows it stays as it is; nowhere else is a place for it.
  @Test func demuHasNoLength() throws {
    for length: UInt64 in [0, 1 << 40] {
      var image = Self.image
      image.insert(StreamBuilder.xenopsd("Demu", 0xF10, [], length: length), before: "Varstored")
      image.insert(.init("gpu", (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }), after: "Demu")
      let bytes = image.bytes
      #expect(try convert(bytes, asking("xenopsd")).count == bytes.count)
      if length == 0 {
        #expect(try convert(bytes, asking("xenopsd")) == bytes)
        #expect(try convertPiped(bytes, asking("xenopsd")) == bytes)
      }
      #expect(try verified(bytes) == ["xenopsd.demu"])
      #expect(refusal(bytes, asking("libxl")).contains("record"))
      let lossy = try convert(bytes, asking("libxl", isLossy: true))
      #expect(lossy.suffix(8) == ArraySlice(zeros(8)))
      // Cut after its header there is nothing of it.
      let cut = Array(bytes.prefix(image.offset(of: "gpu")))
      #expect(refusal(cut, asking("xenopsd")).contains("the state of a virtual GPU"))
    }
  }

  @Test func unknownRecordsStay() throws {
    var image = Self.image
    image.insert(StreamBuilder.xenopsd("more", 0xF77, [1, 2, 3]), before: "End_of_image")
    #expect(try convert(image.bytes, asking("xenopsd")) == image.bytes)
    #expect(try verified(image.bytes) == ["xenopsd.unknown"])
  }

  /// On its disk an image is followed by zeros or by older data, which are no part of it.
  @Test func aDiskIsLongerThanItsImage() throws {
    let bytes = Self.image.bytes
    let libxl = try convert(bytes, asking("libxl", isLossy: true))
    for rest in [
      zeros(1), zeros(100_000), [UInt8](repeating: 0xFF, count: 700), Array(bytes.dropFirst(900)),
      bytes,
    ] {
      #expect(try convert(bytes + rest, asking("xenopsd")) == bytes)
      #expect(try convert(bytes + rest, asking("libxl", isLossy: true)) == libxl)
    }
  }

  /// What was never written of an image is zeros on its disk. They are no records, of which there would
  /// be one for each 16 bytes up to the end of the disk.
  @Test func zerosAreNoRecords() throws {
    var image = Self.image
    image.remove("End_of_image")
    let problem = "expected a record or End_of_image, got zeros"
    for bytes in [image.bytes, Array(image.bytes.prefix(image.offset(of: "Varstored")))] {
      for count in [16, 100_000] {
        let disk = bytes + zeros(count)
        #expect(refusal(disk, asking("xenopsd")).contains(problem))
        let file = try TemporaryFile(disk)
        let findings = try Verifier(Source(opening: file.path)).run().findings
        #expect(findings.contains { $0.ruleID == "stream.truncated" })
        #expect(findings.count < 10, "\(findings)")
      }
    }
  }

  private func verified(_ bytes: [UInt8]) throws -> [String] {
    let file = try TemporaryFile(bytes)
    let report = try Verifier(Source(opening: file.path)).run()
    return report.findings.map(\.ruleID).filter {
      $0.hasPrefix("xenopsd") || Rule.named($0)?.severity == .error
    }
  }
}
