// Real images that are too large to be fixtures: those in the folder of XENSAVE_TEST_IMAGES.

import Glibc
import ImageCheck
import Stream
import SystemIO
import TestKit
import Testing

private let folder = unsafe getenv("XENSAVE_TEST_IMAGES").map { unsafe String(cString: $0) }

@Suite struct RealImageTests {
  @Test(.enabled(if: folder != nil, "needs XENSAVE_TEST_IMAGES=FOLDER"))
  func verifyAll() throws {
    for path in try #require(folder.map(images)) {
      let report = try Verifier(Source(opening: path)).run()
      print(path, report.counts.map { "\($0.rule.id) \($0.count)" })
      for finding in report.findings.prefix(10) { print("  \(finding)") }
      // Images of which only some pages were kept (".thin") lack pages of the p2m.
      let allowed = path.contains(".thin") ? ["p2m-frames.absent", "vcpu-basic.absent"] : []
      let wrong = report.counts.filter { $0.rule.severity > .note }.map(\.rule.id)
      #expect(wrong.filter { !allowed.contains($0) }.isEmpty, "\(path): \(report.text)")
    }
  }

  /// The files of a folder, by name.
  private func images(_ folder: String) -> [String] {
    guard let directory = unsafe opendir(folder) else { return [] }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
      // Safety: d_name is NUL-terminated and read before the next readdir.
      let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name.contains(".xls") { names.append("\(folder)/\(name)") }
    }
    return names.sorted()
  }
}
