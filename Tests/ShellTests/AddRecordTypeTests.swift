// A new record type is one row: everything that knows records knows it then.

import Bytes
import Format
import ImageCheck
import ImageEdit
import Stream
import SystemIO
import Testing

@testable import LuaAPI
@testable import LuaRuntime
@testable import REPL
@testable import Reports

@Suite struct AddRecordTypeTests {
  /// What somebody who adds X86_CACHE_INFO would write into `LibxcRecords`: this and no more.
  static let row = RecordSchema(
    RecordType(.libxc, 0x8000_0077), "X86_CACHE_INFO", "Caches that the guest was told of.",
    length: .elements(base: 8, step: 8, atLeast: 1),
    [
      .u32("count").doc("Entries of cache."), .reserved(4),
      .array(
        "cache", .field("count"),
        of: [
          .u32("level").enumeration([1: "L1", 2: "L2"]), .x32("size").unit("bytes"),
        ]),
    ])

  private let pv = Program.fixtures + "pv-4m-1v-tiny.xlsave"

  /// Runs Lua with the row there.
  private func run(_ code: String, _ arguments: [String]) throws {
    let shell = try ShellContext(SessionExplainer())
    defer { shell.state.close() }
    try shell.bind()
    try shell.state.load(Array(code.utf8), name: "=test")
    for argument in arguments { shell.state.frame.push(argument) }
    try shell.state.call(arguments.count)
  }

  @Test func oneRowIsEnough() throws {
    #expect(RecordSchemas.named("X86_CACHE_INFO") == nil)
    let folder = Program.temporaryFolder()
    defer { Program.remove(folder) }
    let (a, b) = (folder + "/a", folder + "/b")
    try RecordSchemas.$added.withValue([Self.row]) {
      // The builder, Lua's fields by name, and filters by the type's name.
      try run(
        """
        local xs = require "xensave"
        local pv, a, b = ...
        assert(xs.rewrite(pv, a, {
          STATIC_DATA_END = function(rec)
            local new = xs.record("X86_CACHE_INFO", { cache = { { level = "L2", size = 0x1000 } } })
            assert(new.count == 1 and new.length == 16 and new.cache[1].level == "L2")
            return new, rec
          end,
        }))
        assert(xs.rewrite(a, b, {
          X86_CACHE_INFO = function(rec) rec.cache[1].size = rec.cache[1].size * 2 end,
        }))
        local ok, err = pcall(xs.record, "X86_CACHE_INFO", { caches = {} })
        assert(not ok and err:find "no such field", err)
        """, [pv, a, b])

      // Reading by path, dump, set, diff.
      let document = try ImageDocument(try Source(opening: b))
      let number = try #require(document.indexes(of: Self.row.type).first)
      let record = try document.record(number)
      #expect(record.type.name == "X86_CACHE_INFO")
      #expect(record.body == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0x20, 0, 0])
      let dump = TextDumper.text(.record(record))
      #expect(
        dump.hasSuffix(
          """
          16 bytes
            count: 1
            cache:
              [0]:
                level: 2 (L2)
                size: 0x2000 bytes

          """), "\(dump)")
      var lines: [String] = []
      let other = try ImageDocument(try Source(opening: a))
      try ImageDiff(other, document).run { lines.append($0.description) }
      #expect(lines == ["X86_CACHE_INFO.cache[0].size: 0x1000 bytes -> 0x2000 bytes"])
      try document.set(ImagePath("X86_CACHE_INFO.cache[0].level"), text: "L1")
      #expect(try document.record(number).body[8] == 1)
      #expect(throws: (any Error).self) {
        try document.set(ImagePath("X86_CACHE_INFO.cache[0].size"), text: "0x100000000")
      }
      #expect(throws: (any Error).self) { try ImagePath("X86_CACHE_INF.count") }

      // Checks of length and reserved bytes.
      let report = try Verifier(try Source(opening: b)).run()
      #expect(report.count(.error) == 0, "\(report.findings)")
      for (offset, bytes) in [(UInt64(4), [UInt8(12)]), (12, [1])] {
        let bad = folder + "/bad"
        var image = Program.read(b)
        let place = Int(record.offset + offset)
        image.replaceSubrange(place..<place + bytes.count, with: bytes)
        if offset == 4 {
          // A body of 12 bytes, and its padding.
          image.replaceSubrange(place + 16..<place + 20, with: [0, 0, 0, 0])
        }
        Program.write(image, to: bad)
        let report = try Verifier(try Source(opening: bad)).run()
        #expect(
          report.findings.contains { $0.place.contains("X86_CACHE_INFO") },
          "\(report.findings)")
      }
    }
    // Without the row it is an unknown record with one opaque body.
    let plain = Program.run(["dump", b, "0x80000077"])
    #expect(plain.text.contains("body: 01000000000000000200000000200000"), "\(plain.errors)")
  }
}
