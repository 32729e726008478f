// A file and a pipe are the same to a verifier, however the pipe's bytes come.

import Glibc
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct PipeTests {
  /// Bytes come one by one of every eighth image: that takes two context switches each.
  @Test(arguments: Example.all.indices)
  func sameFindings(_ index: Int) throws {
    let bytes = Example.all[index].bad.bytes
    let expected = try verify(bytes)
    let isInSingleBytes = index.isMultiple(of: 8) && bytes.count < 200_000
    for way in isInSingleBytes ? [Way.pipe, .singleBytes] : [.pipe] {
      let report = try verify(bytes, by: way)
      #expect(report.findings == expected.findings, "\(way)")
      #expect(report.imageSummary.byteCount == expected.imageSummary.byteCount)
      #expect(report.imageSummary.trailing == expected.imageSummary.trailing)
      #expect(report.imageSummary.ending == expected.imageSummary.ending)
    }
  }

  @Test(arguments: ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"])
  func fixture(name: String) throws {
    let source = try Source(opening: fixtures + name)
    let report = try verify(try source.read(Int(source.byteCount ?? 0)), by: .pipe)
    #expect(report.findings.isEmpty, "\(report.text)")
  }

  /// Cuts inside headers, pages and large headers, of plain and of checkpointed streams.
  @Test func sameCuts() throws {
    let big = StreamBuilder.record("big", 0x8000_0001, zeros(20_000))
    var plain = StreamBuilder.pv()
    plain.insert(big, before: "END")
    var remus = StreamBuilder.remus(guest: 1)
    remus.add(big)
    for image in [plain, remus] {
      let bytes = image.bytes
      for count in stride(from: bytes.count - 1, to: 0, by: -1009) {
        let cut = Array(bytes.prefix(count))
        let expected = try verify(cut)
        let report = try verify(cut, by: .pipe)
        #expect(report.findings == expected.findings, "cut at \(count)")
        #expect(report.imageSummary.byteCount == expected.imageSummary.byteCount, "cut at \(count)")
        #expect(report.imageSummary.byteCount <= UInt64(count))
      }
    }
  }

  /// A file that another program still appends to: what was there when it was opened counts.
  @Test func growingFile() throws {
    let bytes = StreamBuilder.pv().bytes
    for count in stride(from: 100, to: bytes.count, by: 2003) {
      let file = TemporaryFile(Array(bytes.prefix(count)))
      let source = try Source(opening: file.path)
      file.poke(count, Array(bytes.dropFirst(count)))
      let report = try Verifier(source).run()
      #expect(report.findings.map(\.ruleID) == ["stream.truncated"], "\(count): \(report.text)")
      #expect(report.findings.first?.offset == UInt64(count))
    }
  }

  @Test func systemErrorsAreThrown() throws {
    // A folder can be opened for reading, but not read.
    let number = unsafe open("/tmp", O_RDONLY)
    let source = try Source(Descriptor(taking: number, path: "/tmp"), path: "/tmp")
    #expect(throws: StreamError.self) { try Verifier(source).run() }
  }
}
