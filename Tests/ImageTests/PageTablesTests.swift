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

  // MARK: - Small guests

  /// A guest of few pages: start info (1), GDT (2), p2m (4), xenstore (5), console (6), and tables:
  /// of levels 4 to 1 (8 to 11), or in a 32-bit guest of level 3 (8), two of level 2 in its slots 0
  /// (9) and 3 (10), and of level 1 (11). That one maps all of them.
  private struct Small {
    var image: StreamBuilder
    var pages: [(pfn: UInt64, type: UInt64)]
    /// What is in the pages: words of 8 bytes by their number.
    var words: [UInt64: [Int: UInt64]] = [:]

    init(width: Int = 8) {
      image = .pv(width: width)
      image.replace("X86_PV_P2M_FRAMES", StreamBuilder.p2m(start: 0, end: 15, [4]))
      if width == 8 {
        image.poke("X86_PV_VCPU_BASIC", 16 + 4992, le64(8 << 12 | 1))
        image.poke("X86_PV_VCPU_BASIC", 16 + 5008, le64(8 << 12))
        pages = [
          (1, 0), (2, 0), (4, 0), (5, 0), (6, 0), (8, 0xC), (9, 3), (10, 2), (11, 1),
        ]
        words[1] = [7: 5, 9: 6]
        words[8] = [0: 9 << 12 | 0x67]
        words[9] = [0: 10 << 12 | 0x67]
        words[10] = [0: 11 << 12 | 0x67]
      } else {
        image.poke("X86_PV_VCPU_BASIC", 16 + 2728, le32(8 << 12))
        pages = [
          (1, 0), (2, 0), (4, 0), (5, 0), (6, 0), (8, 0xB), (9, 2), (10, 2), (11, 1),
        ]
        words[1] = [5: 5 << 32, 6: 6 << 32]
        words[8] = [0: 9 << 12 | 0x27, 3: 10 << 12 | 0x27]
        words[9] = [0: 11 << 12 | 0x67]
      }
      for (pfn, type) in pages { map(pfn, type != 0 || pfn == 2 ? 0x65 : 0x67) }
    }

    /// Maps a page; without flags it is not mapped.
    mutating func map(_ pfn: UInt64, _ flags: UInt64) {
      words[11, default: [:]][Int(pfn)] = flags == 0 ? 0 : pfn << 12 | flags
    }

    mutating func set(_ pfn: UInt64, _ word: Int, _ value: UInt64) {
      words[pfn, default: [:]][word] = value
    }

    mutating func setType(_ pfn: UInt64, _ type: UInt64) {
      for index in pages.indices where pages[index].pfn == pfn { pages[index].type = type }
    }

    mutating func drop(_ pfn: UInt64) { pages.removeAll { $0.pfn == pfn } }

    /// PAGE_DATA with one page.
    static func page(
      _ name: String, _ pfn: UInt64, _ type: UInt64, _ words: [Int: UInt64]
    ) -> StreamBuilder.Chunk {
      let contents = (0..<512).flatMap { le64(words[$0] ?? 0) }
      return StreamBuilder.record(name, 1, le32(1, 0) + le64(type << 60 | pfn) + contents)
    }

    func report() throws -> VerifyReport {
      var image = image
      var body = le32(UInt32(pages.count), 0) + pages.flatMap { le64($0.type << 60 | $0.pfn) }
      for (pfn, type) in pages where type < 0xD {
        body += (0..<512).flatMap { le64(words[pfn]?[$0] ?? 0) }
      }
      image.replace("PAGE_DATA", StreamBuilder.record("PAGE_DATA", 1, body))
      let file = TemporaryFile(image.bytes)
      return try Verifier(Source(opening: file.path), options: .init(readsPages: true)).run()
    }
  }

  @Test(arguments: [8, 4]) func aSmallGuestIsGood(width: Int) throws {
    let report = try Small(width: width).report()
    #expect(report.findings.isEmpty, "\(report.text)")
  }

  /// Xen has no memory for a page that did not come, unless a page table names it.
  @Test(
    arguments: [
      (1, ["vcpu-basic.absent"]), (2, ["vcpu-basic.absent"]), (4, ["p2m-frames.absent"]), (5, []),
      (6, []),
    ] as [(UInt64, [String])])
  func pagesThatDidNotCome(pfn: UInt64, warnings: [String]) throws {
    for width in [8, 4] {
      var guest = Small(width: width)
      guest.drop(pfn)
      let mapped = try guest.report()
      #expect(mapped.isGood && mapped.ids == warnings, "\(mapped.text)")
      guest.map(pfn, 0)
      let report = try guest.report()
      #expect(report.ids == warnings + ["page-table.populated"], "\(report.text)")
    }
  }

  @Test func aConsoleInAPageTable() throws {
    for width in [8, 4] {
      var guest = Small(width: width)
      guest.words[1, default: [:]][width == 8 ? 9 : 6] = width == 8 ? 11 : 11 << 32
      let report = try guest.report()
      #expect(report.ids == ["page-table.ring"], "\(report.text)")
    }
  }

  @Test func aConsoleWithoutMemory() throws {
    var guest = Small()
    guest.setType(6, 0xF)
    guest.map(6, 0)
    let report = try guest.report()
    #expect(report.ids == ["page-table.populated"], "\(report.text)")
    #expect(report.findings.first?.field == "console.domU.mfn")
  }

  @Test(
    arguments: [
      (8, 0x00CF_F300_0000_FFFF, true), (8, 0x0000_8900_0000_0067, false),
      (8, 0x0000_0900_0000_0067, true), (8, 0x0000_8200_0000_0067, false),
      (8, 0x0000_8000_0000_0067, true),
      (8, 0x00AF_FB00_0000_FFFF, true), (4, 0x00AF_FB00_0000_FFFF, false),
      // Call gates: of the guest, of Xen's kernel segment, of another of Xen's, of an LDT.
      (8, 0x0000_EC00_0010_0000, true), (8, 0x0000_EC00_E033_0000, true),
      (8, 0x0000_EC00_E008_0000, false), (8, 0x0000_EC00_E00C_0000, true),
      (4, 0x0000_EC00_E019_0000, true), (4, 0x0000_EC00_E033_0000, false),
      (8, 0x0000_EC01_0010_0000, false), (4, 0x0000_EC01_0010_0000, true),
      (4, 0x0000_EC20_0010_0000, false),
    ] as [(Int, UInt64, Bool)])
  func descriptors(width: Int, descriptor: UInt64, isGood: Bool) throws {
    var guest = Small(width: width)
    guest.set(2, 100, descriptor)
    let report = try guest.report()
    #expect(report.ids == (isGood ? [] : ["page-table.descriptor"]), "\(report.text)")
  }

  /// What Xen checks in the tables of a 32-bit guest: of a table an entry, its page and its flags.
  @Test(
    arguments: [
      (8, 3, 0, 0, ["pae-slot"]), (8, 2, 10, 0x27, ["pae-slot"]), (8, 0, 9, 0x2F, ["flags"]),
      (8, 0, 9, 0x8000_0000_0000_0027, ["flags"]), (9, 1, 11, 0xE7, ["flags"]),
      (11, 9, 9, 0x67, ["writable"]), (11, 8, 8, 0x67, ["writable"]),
      (11, 2, 2, 0x67, ["writable"]),
      (9, 1, 9, 0x65, []), (8, 1, 8, 0x25, ["type"]),
      // Slots that are Xen's, or that it clears.
      (8, 4, 4, 0x67, []), (10, 428, 4, 0x67, []), (10, 427, 4, 0x67, ["empty", "writable"]),
      (9, 428, 4, 0x67, ["empty", "writable"]),
    ] as [(UInt64, Int, UInt64, UInt64, [String])])
  func narrowTables(
    table: UInt64, slot: Int, pfn: UInt64, flags: UInt64, rules: [String]
  ) throws {
    var guest = Small(width: 4)
    guest.set(table, slot, pfn << 12 | flags)
    let report = try guest.report()
    #expect(report.ids == rules.map { "page-table." + $0 }, "\(report.text)")
  }

  @Test func aPinnedTableInSlot3() throws {
    var guest = Small(width: 4)
    guest.setType(10, 0xA)
    #expect(try guest.report().ids == ["page-table.pae-slot"])
    guest.setType(10, 2)
    guest.setType(9, 0xA)
    #expect(try guest.report().ids == [])
  }

  /// Xen makes a table of any page that has no entries.
  @Test func ordinaryPagesAsTables() throws {
    var guest = Small()
    guest.pages.append((12, 0))
    guest.set(10, 1, 12 << 12 | 0x67)
    let empty = try guest.report()
    #expect(empty.isGood && empty.ids == ["page-table.empty"], "\(empty.text)")
    guest.map(12, 0x67)
    #expect(try guest.report().ids == ["page-table.empty", "page-table.writable"])
    guest.map(12, 0x65)
    guest.set(12, 5, 1)
    #expect(try guest.report().ids == ["page-table.type"])
    guest.drop(12)
    #expect(try guest.report().ids == ["page-table.absent"])
  }

  @Test func flagsOfMappings() throws {
    var guest = Small()
    guest.map(5, 1 << 62 | 0x67)
    let granted = try guest.report()
    #expect(granted.isGood && granted.ids == ["page-table.granted"], "\(granted.text)")
    guest.map(5, 0x7F)
    #expect(try guest.report().ids == ["page-table.flags"])
    // xl gives a guest its devices after the restore.
    let config =
      #"{"c_info":{"type":"pv","name":"a"},"b_info":{"max_memkb":1048576,"type.pv":{},"#
      + #""ioports":[{"first":96,"number":1}]}}"#
    guest.image.replace("xl", StreamBuilder.xl(config: Array((config + "\0").utf8)))
    #expect(try guest.report().ids.contains("page-table.flags"))
    guest.map(5, 0x167)
    #expect(try guest.report().isGood)
  }

  /// Xen translates a table each time that it comes.
  @Test(arguments: [11, 12] as [UInt64]) func tablesThatCameBefore(pfn: UInt64) throws {
    var guest = Small()
    if pfn == 12 { guest.pages.append((12, 0)) }
    guest.image.insert(
      Small.page("first", pfn, 1, [7: 16 << 12 | 0x67]), before: "PAGE_DATA")
    let report = try guest.report()
    #expect(report.ids == ["page-table.pfn"], "\(report.text)")
    #expect(report.findings.first?.field == "pfn 0x\(String(pfn, radix: 16))[7]")
  }

  /// What a table names is made when it comes, and stays though a later one does not name it.
  @Test func pagesThatATableNamedBefore() throws {
    var guest = Small()
    guest.drop(5)
    guest.map(5, 0)
    guest.image.insert(
      Small.page("first", 11, 1, [0: 5 << 12 | 0x67]), before: "PAGE_DATA")
    let report = try guest.report()
    #expect(report.findings.isEmpty, "\(report.text)")
  }

  /// After VERIFY pages stay as they are.
  @Test func tablesThatAreCompared() throws {
    var guest = Small()
    guest.image.insert(
      Small.page("again", 11, 1, [0: 5 << 12 | 0x7F]), before: "X86_TSC_INFO")
    #expect(try guest.report().ids == ["page-table.flags"])
    guest.image.insert(StreamBuilder.record("VERIFY", 0x0D), before: "again")
    #expect(try guest.report().ids == [])
  }
}
