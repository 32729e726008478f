// What a verifier does with findings, and streams that single rules do not cover.

import Format
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct VerifierTests {
  private func changed(
    _ image: StreamBuilder, _ change: (inout StreamBuilder) -> Void
  ) -> StreamBuilder {
    var image = image
    change(&image)
    return image
  }

  // MARK: - Findings

  @Test func oneLine() throws {
    let image = changed(.hvm()) { $0.poke("X86_TSC_INFO", 8, le32(4)) }
    let report = try verify(image)
    let offset = String(image.offset(of: "X86_TSC_INFO") + 8, radix: 16)
    #expect(
      report.findings.map(\.description) == [
        "offset 0x\(offset): record 6 (X86_TSC_INFO): mode: expected 0 to 2, got 4 [tsc-info.mode]"
      ])
  }

  @Test func textOfTheImageIsEscaped() throws {
    let key = "\u{1B}[2J\n" + String(repeating: "x", count: 5000)
    let report = try verify(
      changed(.hvm()) {
        $0.replace("EMULATOR_XENSTORE_DATA", StreamBuilder.xenstore([key, "v"]))
      })
    let text = try #require(report.findings.first).description
    #expect(text.contains("\\x1b[2J\\x0a"))
    #expect(text.utf8.allSatisfy { (0x20...0x7E).contains($0) })
    #expect(text.utf8.count < 400)
  }

  @Test func strictness() throws {
    let image = changed(.hvm()) { $0.poke("xl", 40, [1]) }
    #expect(try verify(image.bytes).isGood)
    #expect(try !verify(image.bytes, isStrict: true).isGood)
    let note = changed(.hvm()) { $0.poke("libxl", 12, be32(2)) }
    #expect(try verify(note.bytes, isStrict: true).isGood)
  }

  /// A flood of findings is counted, and kept only as far as there is room; others still get in.
  @Test func flood() throws {
    var image = StreamBuilder.hvm()
    let wrong = StreamBuilder.record("wrong", 1, le32(1, 1) + le64(0xF << 60 | 1))
    let flood = [[UInt8]](repeating: wrong.bytes, count: 5000).flatMap { $0 }
    image.insert(.init("flood", flood), before: "X86_TSC_INFO")
    image.poke("X86_TSC_INFO", 8, le32(4))
    let report = try verify(image)
    #expect(report.findings.count == 101)
    #expect(report.count(.warning) == 5000)
    #expect(
      report.counts.map { [$0.rule.id: $0.count] } == [
        ["record.reserved": 5000], ["tsc-info.mode": 1],
      ])
    #expect(report.findings.last?.ruleID == "tsc-info.mode")
  }

  @Test func floodOfManyRules() throws {
    var image = StreamBuilder.hvm()
    var flood: [UInt8] = []
    for _ in 0..<200 {
      flood += StreamBuilder.record("", 0x13).bytes + StreamBuilder.record("", 0x8000_0000).bytes
      flood += StreamBuilder.record("", 0x0B).bytes + StreamBuilder.record("", 0x0F).bytes
      flood += StreamBuilder.record("", 0x02, [1]).bytes + StreamBuilder.record("", 0x04).bytes
      flood += StreamBuilder.record("", 0x08, [9, 0, 0, 0], padding: 1).bytes
      flood += StreamBuilder.pages([1 << 52 | 5 << 60 | 3, 3]).bytes.prefix(24)
      flood += zeros(8 + 4096 * 2)
      flood += StreamBuilder.record("", 0x10).bytes + StreamBuilder.record("", 0x0D).bytes
      flood += StreamBuilder.record("", 0x0A, le32(5, 5)).bytes
    }
    image.insert(.init("flood", flood), before: "END")
    image.add("cut", [1])
    let report = try verify(image)
    #expect((1000 - Rule.all.count...1000).contains(report.findings.count))
    #expect(report.findings.last?.ruleID == "trailing.octets")
  }

  // MARK: - Streams

  @Test func contextBeforeParametersAndAfter() throws {
    let image = changed(.hvm()) { $0.move("HVM_PARAMS", before: "HVM_CONTEXT") }
    #expect(try verify(image).findings.isEmpty)
  }

  @Test func endWithABody() throws {
    let image = changed(.hvm()) { $0.replace("END", StreamBuilder.record("END", 0, zeros(8))) }
    #expect(try verify(image).ids == ["record.excess"])
  }

  /// Xen 4.6 to 4.8.
  @Test func emptyRecordsOfOldReleases() throws {
    let image = changed(.pv(version: 2)) {
      $0.poke("domain", 12, le32(6))
      for (name, type) in [("EXTENDED", 5), ("XSAVE", 6), ("MSRS", 12)] as [(String, UInt32)] {
        $0.replace("X86_PV_VCPU_\(name)", StreamBuilder.record("empty", type, zeros(8)))
      }
    }
    let report = try verify(image.bytes, isStrict: true)
    #expect(report.isGood && report.ids == ["record.empty"], "\(report.text)")
    #expect(report.count(.note) == 3)
  }

  @Test func convertedStream() throws {
    let image = changed(.hvm(version: 2)) {
      $0.poke("domain", 8, le32(0, 1))
      $0.poke("EMULATOR_CONTEXT", 8, le32(0))
      $0.replace("PAGE_DATA", StreamBuilder.pages([1, 0xE << 60 | 2, 0xFEFFC]))
    }
    let report = try verify(image.bytes, isStrict: true)
    #expect(report.isGood && report.ids == ["domain-header.converted"], "\(report.text)")
  }

  @Test func colo() throws {
    let image = changed(.remus()) {
      $0.insert(StreamBuilder.record("NEW", 5, le32(0)), after: "CHECKPOINT_END")
    }
    #expect(try verify(image).findings.isEmpty)
  }

  /// No Xen writes one; what it says is understood all the same.
  @Test func bigEndianStream() throws {
    var image = StreamBuilder()
    image.add("image", be32(0xFFFF_FFFF, 0xFFFF_FFFF, 0x5845_4E46, 3) + be16(1, 0) + be32(0))
    image.add("domain", be32(2) + be16(12, 0) + be32(4, 17))
    image.add("STATIC_DATA_END", be32(0x10, 0))
    image.add("PAGE_DATA", be32(1, 16 + 4096, 1, 0) + be32(0, 0x10) + zeros(4096))
    image.add("X86_TSC_INFO", be32(8, 24, 0, 1, 0, 1, 0, 0))
    let context = StreamBuilder.context()
    image.add("HVM_CONTEXT", be32(9, UInt32(context.count)) + context)
    image.add("HVM_PARAMS", be32(0xA, 24, 1, 0, 0, 1, 0, 0x10))
    image.add("END", be32(0, 0))
    let report = try verify(image)
    #expect(
      report.ids == ["image-header.endianness", "x86-cpuid-policy.missing"], "\(report.text)")
  }

  @Test func paddingOfALargeBlob() throws {
    for (padding, isGood) in [(0, true), (1, false)] as [(UInt8, Bool)] {
      let blob = Array("QEVM".utf8) + be32(3) + zeros(2 << 20 + 1)
      let image = changed(.hvm()) {
        $0.replace(
          "EMULATOR_CONTEXT",
          StreamBuilder.record("EMULATOR_CONTEXT", 3, le32(2, 0) + blob, padding: padding))
      }
      for way in [Way.file, .pipe] {
        let report = try verify(image.bytes, by: way, isStrict: true)
        #expect(report.isGood == isGood, "\(report.text)")
        let found = report.findings.first
        #expect(
          found.map { Int($0.offset) }
            == (isGood ? nil : image.offset(of: "EMULATOR_CONTEXT") + 16 + blob.count))
      }
    }
  }

  /// xl refuses a key that is empty or no relative path, and xenstore what is no name.
  @Test(arguments: [
    ("a", ""), ("physmap/f0/name", ""), ("a-b_c@1", ""), ("", "key"), ("/a", "key"),
    ("a//b", "name"), ("a/", "name"), ("..", "name"), ("a/../b", "name"), ("a.b", "name"),
    ("a b", "name"), ("é", "name"), (String(repeating: "k", count: 2048), ""),
    (String(repeating: "k", count: 2049), "name"),
  ])
  func xenstoreKey(key: String, problem: String) throws {
    let report = try verify(
      changed(.hvm()) {
        $0.replace("EMULATOR_XENSTORE_DATA", StreamBuilder.xenstore([key, "v"]))
      })
    #expect(
      report.ids == (problem.isEmpty ? [] : ["emulator-xenstore." + problem]), "\(report.text)")
    #expect(report.isGood == (problem != "key"))
  }

  @Test func emptyXenstoreData() throws {
    let report = try verify(
      changed(.hvm()) { $0.replace("EMULATOR_XENSTORE_DATA", StreamBuilder.xenstore([])) })
    #expect(report.findings.isEmpty, "\(report.text)")
  }

  // MARK: - The p2m

  /// Pages with these pfns, and the p2m's in page 4, and what verify says.
  private func p2m(_ pages: [StreamBuilder.Chunk]) throws -> [String] {
    try verify(
      changed(.pv()) {
        for page in pages { $0.insert(page, before: "X86_TSC_INFO") }
        $0.remove("PAGE_DATA")
      }
    ).ids.filter { $0.hasPrefix("p2m") }
  }

  @Test func lastTypeOfAPageCounts() throws {
    let wrong = ["p2m-frames.page"]
    let absent = ["p2m-frames.absent"]
    let page = StreamBuilder.pages
    #expect(try p2m([page([1, 4], nil)]) == [])
    #expect(try p2m([page([1, 4], nil), page([1 << 60 | 4], nil)]) == wrong)
    #expect(try p2m([page([1 << 60 | 4], nil), page([4], nil)]) == [])
    #expect(try p2m([page([0xF << 60 | 4], nil), page([3], nil)]) == wrong)
    #expect(try p2m([page([3], nil)]) == absent)
    // Not ascending: the slow way.
    #expect(try p2m([page([5, 4, 1], nil)]) == [])
    #expect(try p2m([page([5, 0xA << 60 | 4, 1], nil)]) == wrong)
    #expect(try p2m([page([5, 3, 1], nil)]) == absent)
  }

  /// Xen looks at the p2m's pages at the end: records that list them come in any order.
  @Test func listedInTwoParts() throws {
    let report = try verify(
      changed(.pv()) {
        $0.replace("X86_PV_P2M_FRAMES", StreamBuilder.p2m(start: 512, end: 1030, [5, 1024]))
        $0.insert(
          .init("first", StreamBuilder.p2m(start: 0, end: 511, [4]).bytes), before: "PAGE_DATA")
        $0.insert(StreamBuilder.pages([5, 1024]), before: "X86_TSC_INFO")
      })
    #expect(report.isGood && report.ids == ["p2m-frames.shrunk"], "\(report.text)")
  }

  @Test func grownGuest() throws {
    // The second record lists pages that were sent before it was there, too.
    let report = try verify(
      changed(.pv()) {
        $0.insert(StreamBuilder.pages([5]), before: "X86_TSC_INFO")
        $0.insert(
          StreamBuilder.p2m(start: 0, end: 1030, [4, 5, 1024]), before: "X86_TSC_INFO")
        $0.insert(StreamBuilder.pages([1024]), before: "X86_TSC_INFO")
      })
    #expect(report.findings.isEmpty, "\(report.text)")
    #expect(report.imageSummary.maxPFN == 1030)
  }

  @Test func grownGuestWithOnlyTheNewFrames() throws {
    let report = try verify(
      changed(.pv()) {
        $0.insert(StreamBuilder.pages([5]), before: "X86_TSC_INFO")
        $0.insert(StreamBuilder.p2m(start: 512, end: 1030, [5, 1024]), before: "X86_TSC_INFO")
        $0.insert(StreamBuilder.pages([1 << 60 | 1024]), before: "X86_TSC_INFO")
      })
    #expect(report.ids == ["p2m-frames.page"], "\(report.text)")
    #expect(report.findings.first?.field == "p2m_pfn[1]")
  }

  /// What comes before the first CHECKPOINT is passed over where it is optional, and so is what
  /// comes after the last.
  @Test func optionalRecordsOfACheckpointedStream() throws {
    let optional = StreamBuilder.record("optional", 0x8000_0013)
    let between = try verify(changed(.remus()) { $0.insert(optional, after: "CHECKPOINT_END") })
    #expect(!between.isGood && between.ids.contains("checkpoint.optional"), "\(between.text)")
    let before = try verify(changed(.remus()) { $0.insert(optional, before: "X86_TSC_INFO") })
    #expect(before.isGood, "\(before.text)")
    let after = try verify(changed(.remus()) { $0.add(optional) })
    #expect(after.isGood, "\(after.text)")
  }

  /// Xen looks at the pages that contexts name when it has all of the stream.
  @Test func contextsBeforePages() throws {
    for place in ["PAGE_DATA", "X86_PV_P2M_FRAMES", "X86_PV_INFO"] {
      let early = try verify(changed(.pv()) { $0.move("X86_PV_VCPU_BASIC", before: place) })
      #expect(early.isGood, "\(early.text)")
    }
  }

  /// What `size` leaves out of the extended context does not count.
  @Test func shortExtendedContext() throws {
    let state = le32(0, 0, 0, 32) + zeros(24) + le64(1 << 30) + zeros(24)
    let report = try verify(
      changed(.pv()) {
        $0.replace("X86_PV_VCPU_EXTENDED", StreamBuilder.record("X86_PV_VCPU_EXTENDED", 5, state))
      })
    #expect(report.isGood, "\(report.text)")
  }

  /// Of several HVM_CONTEXT Xen reads the last.
  @Test func theLastContextCounts() throws {
    let broken = StreamBuilder.record("HVM_CONTEXT", 9, le32(0x10E, 8) + zeros(8))
    let before = try verify(changed(.hvm()) { $0.insert(broken, before: "HVM_CONTEXT") })
    #expect(before.isGood && before.ids == ["record.duplicate"], "\(before.text)")
    #expect(before.findings.count == 1)
    let after = try verify(changed(.hvm()) { $0.insert(broken, after: "HVM_CONTEXT") })
    #expect(!after.isGood && after.ids.contains("hvm-context.header"), "\(after.text)")
  }

  /// Xen loads the last state of each kind of each vCPU; of what it looks at as it comes, every one counts.
  @Test(arguments: [
    ("X86_PV_VCPU_EXTENDED", UInt32(5), le32(0, 31) + zeros(56), true),
    ("X86_PV_VCPU_EXTENDED", 5, le32(0, 0) + zeros(128), false),
    ("X86_PV_VCPU_XSAVE", 6, le64(1, 0), true),
    ("X86_PV_VCPU_MSRS", 0xC, le32(0x1234, 0) + le64(0), true),
  ])
  func theLastStateOfAVCPUCounts(
    name: String, type: UInt32, state: [UInt8], isReplaced: Bool
  ) throws {
    let broken = StreamBuilder.Chunk(
      "broken", StreamBuilder.record(name, type, le32(0, 0) + state).bytes)
    let before = try verify(changed(.pv()) { $0.insert(broken, before: name) })
    #expect(before.isGood == isReplaced, "\(before.text)")
    #expect(before.ids.contains("record.duplicate"))
    if isReplaced { #expect(before.findings.count == 1, "\(before.text)") }
    let after = try verify(changed(.pv()) { $0.insert(broken, after: name) })
    #expect(!after.isGood, "\(after.text)")
    // An empty one replaces nothing.
    let empty = StreamBuilder.Chunk(
      "empty", StreamBuilder.record(name, type, le32(0, 0)).bytes)
    let kept = try verify(
      changed(.pv()) {
        $0.insert(empty, after: name)
        $0.insert(broken, before: "empty")
      })
    #expect(!kept.isGood, "\(kept.text)")
  }
}
