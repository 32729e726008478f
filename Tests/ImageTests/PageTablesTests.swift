// verify --pages: what a restore looks into of a PV guest's memory, in a real image.

import ImageCheck
import ImageEdit
import Stream
import SystemIO
import TestKit
import Testing

@Suite struct PageTablesTests {
  /// The fixture's bytes, and where its pages lie: in one record, after their entries.
  private struct Guest {
    var bytes: [UInt8]
    let first: Int

    init() throws {
      let whole = try Source(opening: fixtures + "pv-4m-1v-tiny.xlsave").read(8 << 20)
      let type = le32(1)
      let count = le32(1024, 0)
      let at = try #require(
        (0..<0x1000).first {
          whole[$0..<$0 + 4].elementsEqual(type) && whole[$0 + 8..<$0 + 16].elementsEqual(count)
        })
      bytes = whole
      first = at + 16
    }

    func offset(_ pfn: Int, _ slot: Int) -> Int { first + 8 * 1024 + 4096 * pfn + 8 * slot }

    mutating func set(_ pfn: Int, _ slot: Int, _ value: UInt64) {
      bytes.replaceSubrange(offset(pfn, slot)..<offset(pfn, slot) + 8, with: le64(value))
    }

    mutating func setType(_ pfn: Int, _ type: UInt8) {
      bytes[first + 8 * pfn + 7] = type << 4
    }

    /// The table of a level that the walk from the top comes by first.
    func table(_ level: Int) -> Int {
      (0..<1024).first { bytes[first + 8 * $0 + 7] >> 4 & 7 == UInt8(level) } ?? 0
    }

    func report() throws -> VerifyReport {
      let file = TemporaryFile(bytes)
      return try Verifier(Source(opening: file.path), options: .init(readsPages: true)).run()
    }
  }

  @Test func aRealGuestIsGood() throws {
    let report = try Guest().report()
    #expect(report.isGood(isStrict: true), "\(report.text)")
  }

  @Test func entriesBeyondTheGuest() throws {
    var guest = try Guest()
    let table = guest.table(1)
    guest.set(table, 3, 0x400 << 12 | 0x67)
    let report = try guest.report()
    let found = try #require(report.findings.first)
    #expect(report.ids == ["page-table.pfn"], "\(report.text)")
    #expect(found.offset == UInt64(guest.offset(table, 3)))
    #expect(found.description.contains("0x400"))
    // Nothing is looked into without being asked to, nor in a pipe.
    #expect(try verify(guest.bytes).isGood)
    // What is not present names nothing.
    guest.set(table, 3, 0x400 << 12 | 0x66)
    #expect(try guest.report().isGood)
  }

  @Test func tablesOfAnotherLevel() throws {
    var guest = try Guest()
    guest.set(guest.table(4), 1, UInt64(guest.table(1)) << 12 | 0x67)
    #expect(try guest.report().ids.contains("page-table.type"))
    var other = try Guest()
    other.set(other.table(2), 300, 0x10 << 12 | 0x67)
    #expect(try other.report().ids == ["page-table.type"])
    // A top-level table has entries that are Xen's own.
    var own = try Guest()
    own.set(own.table(4), 256, 0x10 << 12 | 0x67)
    #expect(try own.report().isGood)
  }

  /// A table that was sent and is gone at the end: Xen takes a page of zeros for it, and the guest dies.
  @Test func tablesWithoutContents() throws {
    var guest = try Guest()
    let end = guest.first + 8 * 1024 + 4096 * 1024
    let gone = le32(1, 16, 1, 0) + le64(0xF << 60 | UInt64(guest.table(1)))
    guest.bytes.insert(contentsOf: gone, at: end)
    let report = try guest.report()
    #expect(!report.isGood && report.ids.contains("page-table.absent"), "\(report.text)")
  }

  @Test func flagsThatXenRefuses() throws {
    var guest = try Guest()
    guest.set(guest.table(2), 300, UInt64(guest.table(1)) << 12 | 0xE7)
    #expect(try guest.report().ids == ["page-table.flags"])
  }

  @Test func tablesThatAreMappedWritable() throws {
    var guest = try Guest()
    guest.set(guest.table(1), 400, UInt64(guest.table(2)) << 12 | 0x67)
    #expect(try guest.report().ids == ["page-table.writable"])
    guest.set(guest.table(1), 400, UInt64(guest.table(2)) << 12 | 0x65)
    #expect(try guest.report().isGood)
  }

  @Test func aStartInfoThatNamesOthersPages() throws {
    var guest = try Guest()
    let startInfo = try #require(
      (0..<1024).first {
        Array(guest.bytes[guest.offset($0, 0)..<guest.offset($0, 1)]) == Array("xen-3.0-".utf8)
      })
    guest.set(startInfo, 56 / 8, 0x400)
    #expect(try guest.report().ids == ["start-info.pfn"])
  }
}
