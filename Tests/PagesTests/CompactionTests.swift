import Format
import Glibc
import ImageCheck
import Pages
import Stream
import Synchronization
import SystemIO
import Testing

@Suite struct CompactionTests {
  static let fixtures = #filePath.replacing("PagesTests/CompactionTests.swift", with: "Fixtures/")

  func compact(_ path: String, _ layout: PageLayout = .plain) throws -> TemporaryFile {
    let out = TemporaryFile()
    let file = try OutputFile(out.path, .memory)
    _ = try PageImage(opening: path).compact(to: file.sink, layout: layout)
    try file.commit()
    return out
  }

  @Test(
    arguments: ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"], [PageLayout.plain, .aligned])
  func fixtures(name: String, layout: PageLayout) throws {
    let path = CompactionTests.fixtures + name
    let out = try compact(path, layout)
    let report = try Verifier(Source(opening: out.path)).run()
    #expect(report.isGood)
    var differences = 0
    let image = try PageImage(opening: out.path)
    try PageImage(opening: path).forEachDifference(to: image) { _ in differences += 1 }
    #expect(differences == 0)
    if layout == .aligned {
      var unaligned: UInt64 = 0
      for run in image.index.runs where run.hasData && run.offset % 4096 != 0 {
        unaligned += UInt64(run.pageCount)
      }
      #expect(unaligned < 510)
      #expect(unaligned * 4 < image.index.dataCount)
    }
  }

  @Test func randomRoundsBecomeOne() throws {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<2 {
      var last: [UInt64: Entry] = [:]
      var batches: [[Entry]] = []
      for _ in 0..<6 {
        let batch = randomEntries(&random, count: 700, below: 2500)
        for entry in batch { last[entry.pfn] = entry }
        batches.append(batch)
      }
      let input = TemporaryFile(xl(hvm(batches)))
      let sorted = last.values.sorted { $0.pfn < $1.pfn }
      let expected = stride(from: 0, to: sorted.count, by: 1024).map {
        Array(sorted[$0..<min($0 + 1024, sorted.count)])
      }
      #expect(try compact(input.path).bytes == xl(hvm(expected)))
    }
  }

  @Test func checkpointsBecomeTheLastCompleteOne() throws {
    let later = record(0x08, [1] + [UInt8](repeating: 0, count: 23))
    let bytes =
      headers(2) + staticDataEnd + pageData([Entry(1, page(1)), Entry(2, page(1))]) + tscInfo
      + checkpoint + pageData([Entry(1, page(2))]) + later + checkpoint
      + pageData([Entry(1, page(3))])
    let out = try compact(TemporaryFile(bytes).keptPath())
    #expect(
      out.bytes
        == headers(2) + staticDataEnd + pageData([Entry(1, page(2)), Entry(2, page(1))]) + later
        + end)
  }

  @Test func verifyIsDropped() throws {
    let bytes =
      headers(2) + staticDataEnd + pageData([Entry(1, page(1))]) + verify
      + pageData([Entry(1, page(7))]) + tscInfo + end
    #expect(try compact(TemporaryFile(bytes).keptPath()).bytes == hvm([[Entry(1, page(1))]]))
  }

  /// What a toolstack has around the libxc stream stays.
  @Test func otherToolstacksKeepTheirRecords() throws {
    let rounds = [[Entry(1, page(1)), Entry(2, page(2))], [Entry(2, page(3))]]
    let expected = [[Entry(1, page(1)), Entry(2, page(3))]]
    for around in [suspended, libvirt] as [([UInt8]) -> [UInt8]] {
      #expect(
        try compact(TemporaryFile(around(hvm(rounds))).keptPath()).bytes == around(hvm(expected)))
    }
  }

  @Test func alignedNeedsAnXLHeader() throws {
    let path = TemporaryFile(hvm([[Entry(1, page(1))]])).keptPath()
    #expect(throws: XensaveError.self) { try self.compact(path, .aligned) }
  }
}

extension TemporaryFile {
  private static let kept = Mutex<[String]>([])

  /// The path of a file that stays until the tests end.
  func keptPath() -> String {
    let copy = TemporaryFile(bytes)
    _ = Unmanaged.passRetained(copy)
    TemporaryFile.kept.withLock { paths in
      if paths.isEmpty {
        atexit { TemporaryFile.kept.withLock { for path in $0 { unlink(path) } } }
      }
      paths.append(copy.path)
    }
    return copy.path
  }
}

extension CompactionTests {
  /// What stands before STATIC_DATA_END stays there, whatever it is: readers ignore an optional record
  /// anywhere, but whoever put it there meant it to come before the pages.
  @Test func optionalRecordsStayBeforeTheEndOfStaticData() throws {
    let optional = record(0x8000_0063, [1, 2, 3])
    let late = record(0x8000_0064, [4])
    let plain =
      headers(2) + optional + staticDataEnd + pageData([Entry(1, page(1))]) + tscInfo + late + end
    #expect(try compact(TemporaryFile(plain).keptPath()).bytes == plain)
    let remus =
      headers(2) + optional + staticDataEnd + pageData([Entry(1, page(1))]) + tscInfo
      + checkpoint + pageData([Entry(1, page(2))]) + tscInfo + late + checkpoint
    #expect(
      try compact(TemporaryFile(remus).keptPath()).bytes
        == headers(2) + optional + staticDataEnd + pageData([Entry(1, page(2))]) + tscInfo + late
        + end)
  }
}

/// Numbers of an image that no saver writes.
@Suite struct OddNumbersTests {
  private func export(_ bytes: [UInt8], _ format: ExportFormat) throws -> [UInt8] {
    let out = TemporaryFile()
    let file = try OutputFile(out.path, .memory)
    _ = try GuestMemory(PageImage(opening: TemporaryFile(bytes).keptPath()))
      .export(format, to: file.sink)
    try file.commit()
    return out.bytes
  }

  @Test func aCoreTakesAnyVCPUNumber() throws {
    for number in [0, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFF] {
      let vcpu = record(0x04, le32(number) + le32(0) + [UInt8](repeating: 0, count: 5168))
      let image =
        headers(1) + record(0x02, [8, 4, 0, 0, 0, 0, 0, 0]) + staticDataEnd
        + record(0x03, le32(0) + le32(511) + le64(1)) + pageData([Entry(1, page(1))]) + vcpu + end
      let core = try export(image, .elfCore)
      // pr_pid, after the headers of the file, of its two segments and of the note.
      let place = 64 + 2 * 56 + 20 + 32
      #expect(Array(core[place..<place + 4]) == le32(min(number + 1, 0xFFFF_FFFF)))
    }
  }

  @Test(arguments: ExportFormat.allCases)
  func theGreatestPageIsExportedOrRefused(format: ExportFormat) throws {
    let image = hvm([[Entry((1 << 40) - 1, page(1))]])
    if format == .raw {
      #expect(throws: XensaveError.self) { _ = try self.export(image, format) }
    } else {
      #expect(try !export(image, format).isEmpty)
    }
  }

  /// Ranges that come from the highest to the lowest: 200,000 of them are sorted once.
  @Test func descendingRangesMakeASet() throws {
    let lines = (0..<200_000).reversed().map { "\(2 * $0)" }.joined(separator: "\n")
    let set = try PageSet(text: lines)
    #expect(set.count == 200_000)
    #expect(set.ranges.count == 200_000)
    #expect(set.ranges.first == 0..<1)
  }
}
