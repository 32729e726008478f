import Format
import Glibc
import Pages
import SystemIO
import Testing

@Suite struct GuestMemoryTests {
  /// HVM_CONTEXT with one CPU.
  func context(
    cr0: UInt64 = 0x8000_0001, cr3: UInt64, cr4: UInt64, efer: UInt64
  ) -> [UInt8] {
    var cpu = [UInt8](repeating: 0, count: 1032)
    for (offset, value) in [(656, cr0), (672, cr3), (680, cr4), (992, efer), (640, 0x1234)] {
      cpu.replaceSubrange(offset..<offset + 8, with: le64(value))
    }
    func entry(_ type: Int, _ data: [UInt8]) -> [UInt8] {
      [UInt8(type), 0, 0, 0] + le32(data.count) + data
    }
    return record(
      0x09, entry(1, [UInt8](repeating: 0, count: 24)) + entry(2, cpu) + entry(0, []))
  }

  /// A page table with entries of 8 (or 4) bytes.
  func table(_ entries: [Int: UInt64], width: Int = 8) -> [UInt8] {
    var out = page(0)
    for (index, value) in entries {
      out.replaceSubrange(index * width..<index * width + width, with: le64(value).prefix(width))
    }
    return out
  }

  func memory(_ entries: [Entry], _ context: [UInt8]) throws -> GuestMemory {
    let file = TemporaryFile(hvm([entries], tail: context))
    return try GuestMemory(PageImage(opening: file.keptPath()))
  }

  func counted() -> [UInt8] { (0..<4096).map { UInt8(truncatingIfNeeded: $0 / 16) } }

  @Test func fourLevels() throws {
    let memory = try memory(
      [
        Entry(1, table([0: 0x2003, 511: 0x2003, 256: 0x1003])),
        Entry(2, table([0: 0x3003, 1: 0x4000_0083])), Entry(3, table([0: 0x4003, 1: 0x20_0083])),
        Entry(4, table([5: 0x8000_0000_0000_5003, 6: 0x6001, 7: 0x7000_7003])), Entry(5, counted()),
        Entry(6, page(6)), Entry(0x200, page(0x20)), Entry(0x201, page(0x21)),
        Entry(0x4_0123, page(0x41)),
      ], context(cr3: 0x1000, cr4: 0x20, efer: 0x500))
    #expect(memory.vcpus.first?.mode == .fourLevel)
    #expect(memory.vcpus.first?.registers["rip"] == 0x1234)
    #expect(try memory.physical(0x5010, 2) == [1, 1])
    #expect(try memory.virtual(0, 0x5FFE, 4) == [255, 255, 6, 6])
    #expect(try memory.virtual(0, 0x20_0FFF, 2) == [0x20, 0x21])
    #expect(try memory.virtual(0, 0x4012_3000, 1) == [0x41])
    #expect(try memory.virtual(0, 0xFFFF_FF80_0000_5010, 1) == [1])
    let translation = try memory.translate(memory.vcpu(0), 0x6000)
    #expect(!translation.isWritable && translation.physical == 0x6000)
    for (address, words) in [
      (UInt64(0x8000), "not present: entry 8 of the level 1 table is 0x0"),
      (0x1_0000_0000_0000, "is not canonical"), (0x7000, "0x70007"),
      (0x80_0000_0000, "not present: entry 1 of the level 4 table"),
    ] {
      let error = #expect(throws: XensaveError.self) { try memory.virtual(0, address, 1) }
      #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
    // Entry 256 refers to the table itself: the walk ends like any other.
    #expect(try memory.virtual(0, 0xFFFF_8040_2010_0000, 8) == le64(0x2003))
    #expect(throws: XensaveError.self) { try memory.virtual(1, 0, 1) }
    let found = memory.mappings(try memory.vcpu(0), limit: 100_000, tableLimit: 1000)
    #expect(found.mappings.contains { $0.virtual == 0x20_0000 && $0.byteCount == 2 << 20 })
  }

  /// A table all of whose entries lead to itself: every walk ends after its levels, and of what maps
  /// one page over and over the first 16 ranges are kept, without looking at the others.
  @Test(arguments: [UInt64(0x20), 0x1020]) func tablesThatLoop(cr4: UInt64) throws {
    let loop = table(Dictionary(uniqueKeysWithValues: (0..<512).map { ($0, 0x1003) }))
    let memory = try memory([Entry(1, loop)], context(cr3: 0x1000, cr4: cr4, efer: 0x500))
    let vcpu = try memory.vcpu(0)
    #expect(try memory.translate(vcpu, 0x1234_5678).physical == 0x1678)
    #expect(try memory.virtual(0, 0xFFFF_FFFF_FFFF_FFF8, 8) == le64(0x1003))
    #expect(throws: XensaveError.self) { try memory.virtual(0, 0xFFFF_FFFF_FFFF_FFF8, 9) }
    let found = memory.mappings(vcpu, limit: 1000, tableLimit: 200)
    #expect(found.isComplete)
    #expect(found.mappings.map(\.virtual) == (0..<16).map { $0 << 12 })
    #expect(found.mappings.allSatisfy { $0.physical == 0x1000 && $0.byteCount == 4096 })
    #expect(!memory.mappings(vcpu, limit: 1000, tableLimit: 20).isComplete)
  }

  @Test func fiveLevels() throws {
    let memory = try memory(
      [
        Entry(1, table([1: 0x2003])), Entry(2, table([0: 0x3003])), Entry(3, table([0: 0x4003])),
        Entry(4, table([0: 0x5003])), Entry(5, table([0: 0x6003])), Entry(6, page(6)),
      ], context(cr3: 0x1000, cr4: 0x1020, efer: 0x500))
    #expect(memory.vcpus.first?.mode == .fiveLevel)
    #expect(try memory.virtual(0, 0x1_0000_0000_0000, 1) == [6])
  }

  @Test func threeAndTwoLevels() throws {
    let pae = try memory(
      [
        Entry(1, table([7: 0x2001])), Entry(2, table([0: 0x3003, 1: 0x20_0083])),
        Entry(3, table([1: 0x4003])), Entry(4, page(4)), Entry(0x200, page(0x20)),
      ], context(cr3: 0x1020, cr4: 0x20, efer: 0))
    #expect(pae.vcpus.first?.mode == .pae)
    #expect(try pae.virtual(0, 0xC000_1000, 1) == [4])
    #expect(try pae.virtual(0, 0xC020_0000, 1) == [0x20])
    #expect(throws: XensaveError.self) { try pae.virtual(0, 0x1_0000_0000, 1) }
    let legacy = try memory(
      [
        Entry(1, table([1: 0x2003, 2: 0x40_0083], width: 4)),
        Entry(2, table([3: 0x4003], width: 4)), Entry(4, page(4)), Entry(0x400, page(0x40)),
      ], context(cr3: 0x1000, cr4: 0x10, efer: 0))
    #expect(legacy.vcpus.first?.mode == .legacy)
    #expect(try legacy.virtual(0, 0x40_3000, 1) == [4])
    #expect(try legacy.virtual(0, 0x80_0000, 1) == [0x40])
    let none = try memory([Entry(4, page(4))], context(cr0: 1, cr3: 0, cr4: 0, efer: 0))
    #expect(try none.virtual(0, 0x4000, 1) == [4])
  }

  @Test func fixtures() throws {
    let pv = try GuestMemory(
      PageImage(opening: CompactionTests.fixtures + "pv-4m-1v-tiny.xlsave"))
    let vcpu = try pv.vcpu(0)
    #expect(vcpu.mode == .fourLevel)
    let rip = try #require(vcpu.registers["rip"])
    // The guest counts in a loop: dec %rax; jne.
    #expect(try pv.virtual(0, rip, 5) == [0x48, 0xFF, 0xC8, 0x75, 0xF9])
    let pvh = try GuestMemory(
      PageImage(opening: CompactionTests.fixtures + "pvh-4m-1v-tiny.xlsave"))
    #expect(try pvh.vcpu(0).mode == .none)
  }
}

@Suite struct ExportTests {
  func export(_ path: String, _ format: ExportFormat) throws -> (TemporaryFile, ExportReport) {
    let out = TemporaryFile()
    let file = try OutputFile(out.path, .memory)
    let report = try GuestMemory(PageImage(opening: path)).export(format, to: file.sink)
    try file.commit()
    return (out, report)
  }

  let path = TemporaryFile(
    hvm([[Entry(1, page(1)), Entry(2, page(0)), Entry(5, page(5)), Entry(6, page(0))]])
  ).keptPath()

  @Test func raw() throws {
    let (out, _) = try export(path, .raw)
    #expect(
      out.bytes == page(0) + page(1) + page(0) + page(0) + page(0) + page(5) + page(0))
  }

  @Test func lime() throws {
    let (out, report) = try export(path, .lime)
    func head(_ first: UInt64, _ last: UInt64) -> [UInt8] {
      le32(0x4C69_4D45) + le32(1) + le64(first) + le64(last) + le64(0)
    }
    #expect(report.rangeCount == 2)
    #expect(
      out.bytes
        == head(0x1000, 0x2FFF) + page(1) + page(0) + head(0x5000, 0x6FFF) + page(5) + page(0))
  }

  /// The sections of a core by their names.
  func sections(_ bytes: [UInt8]) -> [String: ArraySlice<UInt8>] {
    func number(_ offset: Int, _ count: Int) -> Int {
      (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
    }
    let (start, count) = (number(40, 8), number(60, 2))
    let names = number(start + 64 * number(62, 2) + 24, 8)
    var out: [String: ArraySlice<UInt8>] = [:]
    for index in 1..<count {
      let head = start + 64 * index
      let name = String(
        decoding: bytes[(names + number(head, 4))...].prefix { $0 != 0 }, as: UTF8.self)
      let offset = number(head + 24, 8)
      out[name] = bytes[offset..<offset + number(head + 32, 8)]
    }
    return out
  }

  @Test func xenCore() throws {
    let parts = sections(try export(path, .xenCore).0.bytes)
    #expect(parts[".xen_pfn"].map(Array.init) == le64(1) + le64(2) + le64(5) + le64(6))
    #expect(parts[".xen_pages"].map(Array.init) == page(1) + page(0) + page(5) + page(0))
    let pv = sections(
      try export(CompactionTests.fixtures + "pv-4m-1v-tiny.xlsave", .xenCore).0.bytes)
    #expect(pv[".xen_prstatus"]?.count == 5168)
    #expect(pv[".xen_shared_info"]?.count == 4096)
    #expect(pv[".xen_p2m"]?.count == 16 * 1024)
    // Notes: NONE, HEADER with its magic and counts, XEN_VERSION, FORMAT_VERSION.
    #expect(
      pv[".note.Xen"].map { Array($0.dropFirst(16 + 16).prefix(32)) }
        == le64(0xF00F_EBED) + le64(1) + le64(1024) + le64(4096))
  }

  /// The note that a Linux kernel has for crash: it begins a page and may continue in the next. What is
  /// too long, or does not begin with the release, is none.
  @Test func kernelNote() throws {
    func noted(_ count: Int, _ text: String) -> [UInt8] {
      Array(
        (le32(11) + le32(count) + le32(0) + Array("VMCOREINFO\0\0".utf8) + Array(text.utf8)
          + [UInt8](repeating: 0x41, count: 4096)).prefix(4096))
    }
    let release = "OSRELEASE=6.1.0\n"
    let path = TemporaryFile(
      hvm([
        [
          Entry(1, noted(5000, release)), Entry(2, noted(100, "OSRELEASES=6\n")),
          Entry(3, noted(0xFFFF_FFFF, release)), Entry(4, noted(4090, release)),
          Entry(5, page(0x42)), Entry(6, noted(40, release)),
        ]
      ])
    ).keptPath()
    let core = try export(path, .elfCore).0.bytes
    let note =
      le32(11) + le32(4090) + le32(0) + Array("VMCOREINFO\0\0".utf8) + Array(release.utf8)
      + [UInt8](repeating: 0x41, count: 4072 - release.utf8.count)
      + [UInt8](repeating: 0x42, count: 18) + [0, 0]
    // The first segment is PT_NOTE; its offset is at 8 of it, its length at 32.
    func word(_ offset: Int) -> Int {
      (0..<8).reduce(0) { $0 | Int(core[offset + $1]) << (8 * $1) }
    }
    #expect(Array(core[word(72)..<word(72) + word(96)]) == note)
    let none = try export(self.path, .elfCore).0.bytes
    #expect(!String(decoding: none.prefix(4096), as: UTF8.self).contains("VMCOREINFO"))
  }

  /// gdb opens the core and reads registers and memory.
  @Test(.enabled(if: access("/usr/bin/gdb", X_OK) == 0, "gdb is not installed"))
  func gdbOpensTheELFCore() throws {
    for (name, line) in [
      ("pv-4m-1v-tiny", "0x10455:\tdec    %rax"), ("pvh-4m-1v-tiny", "0x1000c9:\tsub    %esi,%eax"),
    ] {
      let (core, report) = try export(CompactionTests.fixtures + name + ".xlsave", .elfCore)
      #expect(report.hasAllMappings)
      let out = TemporaryFile()
      Feeder(
        "gdb -batch -nx -ex 'core-file \(core.path)' -ex 'x/i $rip' > \(out.path) 2>&1"
      ).wait()
      #expect(String(decoding: out.bytes, as: UTF8.self).contains(line))
    }
  }
}
