// Maps of memory: against counts that are made page by page.

import Format
import Pages
import SystemIO
import Testing

@Suite struct MemoryMapTests {
  /// Every page has a cell, cells do not overlap, and there are never too many.
  @Test func theLineHoldsEveryPage() {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<200 {
      var ranges: [Range<UInt64>] = []
      var next = UInt64.random(in: 0..<5000, using: &random)
      for _ in 0..<Int.random(in: 1..<60, using: &random) {
        let end = next + UInt64.random(in: 1..<3000, using: &random)
        ranges.append(next..<end)
        next = end + (1 << UInt64.random(in: 0..<34, using: &random))
      }
      let limit = Int.random(in: 1..<500, using: &random)
      let axis = MapAxis(ranges, limit: limit)
      #expect(axis.cellCount <= limit)
      #expect(axis.stretches.count <= MapAxis.stretchLimit)
      #expect(axis.pagesPerCell.nonzeroBitCount == 1)
      for (one, next) in zip(axis.stretches, axis.stretches.dropFirst()) {
        #expect(one.pfns.upperBound < next.pfns.lowerBound)
        #expect(one.firstCell + one.cellCount == next.firstCell)
      }
      for range in ranges {
        for pfn in [range.lowerBound, range.upperBound - 1] {
          let cell = axis.cell(of: pfn)
          #expect(cell.map { axis.pfns(of: $0).contains(pfn) } == true)
        }
        var covered: [Range<UInt64>] = []
        axis.forEachCell(of: range) { cell, pfns in
          #expect(axis.pfns(of: cell).contains(pfns.lowerBound))
          #expect(axis.pfns(of: cell).contains(pfns.upperBound - 1))
          covered.append(pfns)
        }
        #expect(covered.first?.lowerBound == range.lowerBound)
        #expect(covered.last?.upperBound == range.upperBound)
        #expect(covered.reduce(0) { $0 + $1.count } == range.count)
      }
    }
  }

  /// The hole below 4 GiB costs nothing; one of a few pages is drawn.
  @Test func largeGapsAreLeftOut() {
    let axis = MapAxis(
      [0..<0xA0, 0xC0..<0x1000, 0xFEFFC..<0xFF000, 0x100000..<0x100800], limit: 8192)
    #expect(axis.stretches.map(\.pfns) == [0..<0x1000, 0xFEFFC..<0xFF000, 0x100000..<0x100800])
    #expect(axis.pagesPerCell == 1)
    #expect(axis.cell(of: 0x1000) == nil)
    #expect(axis.cell(of: 0xB0) == 0xB0)
    #expect(axis.cell(of: 0xFEFFD) == 0x1001)
    #expect(MapAxis([Range<UInt64>](), limit: 10).cellCount == 0)
  }

  @Test func countsAreThoseOfThePages() throws {
    var random = SeededGenerator(printedSeed())
    for round in 0..<8 {
      let entries = randomEntries(&random, count: 150, below: 700)
      let file = TemporaryFile(hvm([entries]))
      let image = try PageImage(opening: file.path)
      let map = try image.memoryMap(
        [.zeros, .copies, .entropy], cellLimit: round % 2 == 0 ? 32 : 1024)
      var seen: Set<[UInt8]> = []
      var left: UInt64 = 0
      var expected: [Int: (zero: UInt64, copies: UInt64, entropy: UInt64, types: [UInt64])] = [:]
      for entry in entries {
        guard let cell = map.axis.cell(of: entry.pfn) else {
          #expect(entry.type == 0xF)
          left += 1
          continue
        }
        var counts = expected[cell] ?? (0, 0, 0, [UInt64](repeating: 0, count: 16))
        counts.types[Int(entry.type)] += 1
        if let contents = entry.contents {
          if contents.allSatisfy({ $0 == 0 }) {
            counts.zero += 1
          } else {
            if !seen.insert(contents).inserted { counts.copies += 1 }
            counts.entropy += 1
          }
        }
        expected[cell] = counts
      }
      for (index, cell) in map.cells.enumerated() {
        let counts = expected[index] ?? (0, 0, 0, [UInt64](repeating: 0, count: 16))
        #expect(cell.zeroCount == counts.zero)
        #expect(cell.copyCount == counts.copies)
        #expect(cell.entropyCount == counts.entropy)
        #expect((0..<16).map { cell.types[$0] } == counts.types)
      }
      #expect(map.total.pageCount == 150 - left)
      #expect(map.absentLeftOut == left)
    }
  }

  /// The saver of an HVM guest lists the hole below 4 GiB as absent: it is left out all the same.
  @Test func absentPagesAreNoMemory() throws {
    let file = TemporaryFile(
      hvm([
        [Entry(0, page(1)), Entry(1, type: 0xF), Entry(2, page(1))]
          + (3..<3000).map { Entry($0, type: 0xF) } + [Entry(3000, page(1))]
      ]))
    let map = try PageImage(opening: file.path).memoryMap([], cellLimit: 100)
    #expect(map.axis.stretches.map(\.pfns) == [0..<3, 3000..<3001])
    #expect(map.absentLeftOut == 2997)
    #expect(map.cells.map { $0.types[0xF] } == [0, 1, 0, 0])
    let nothing = TemporaryFile(hvm([[Entry(5, type: 0xF)]]))
    #expect(try PageImage(opening: nothing.path).memoryMap([], cellLimit: 9).total.pageCount == 1)
  }

  @Test func whatNobodyAskedForIsNotRead() throws {
    let file = TemporaryFile(hvm([[Entry(1, page(0)), Entry(2, page(1)), Entry(3, page(1))]]))
    let image = try PageImage(opening: file.path)
    let types = try image.memoryMap([], cellLimit: 10).total
    #expect(types.dataCount == 3)
    #expect((types.zeroCount, types.copyCount, types.entropyCount) == (0, 0, 0))
    let zeros = try image.memoryMap(.zeros, cellLimit: 10).total
    #expect((zeros.zeroCount, zeros.copyCount, zeros.entropyCount) == (1, 0, 0))
  }

  /// Of a cell no more pages than asked for are measured.
  @Test func entropyIsSampled() throws {
    let entries = (0..<64).map { Entry(UInt64($0), page(UInt8($0 + 1))) }
    let file = TemporaryFile(hvm([entries]))
    let image = try PageImage(opening: file.path)
    let map = try image.memoryMap(.entropy, cellLimit: 2, entropySamples: 4)
    #expect(map.axis.pagesPerCell == 32)
    #expect(map.entropyStep == 8)
    #expect(map.cells.map(\.entropyCount) == [4, 4])
    #expect(map.cells.map(\.entropy) == [0, 0])
  }

  // MARK: - Histories

  private func history(_ bytes: [UInt8]) throws -> SendHistory {
    let file = TemporaryFile(bytes)
    return try SendHistory(Source(opening: file.path))
  }

  @Test func roundsAndWhatCameAgain() throws {
    let found = try history(
      hvm([
        [Entry(1, page(1)), Entry(2, page(1))], [Entry(3, page(1)), Entry(4, type: 0xF)],
        [Entry(2, page(2)), Entry(3, page(2))], [Entry(3, page(3))],
      ]))
    #expect(found.rounds.map(\.entryCount) == [3, 2, 1])
    #expect(found.rounds.map(\.absentCount) == [1, 0, 0])
    #expect(found.rounds.map(\.pageCount) == [3, 2, 1])
    #expect(found.rounds.map(\.againCount) == [0, 2, 1])
    #expect(found.timesSent[1...4] == [1, 1, 1, 0])
    let heat = found.heat(cellLimit: 100)
    #expect(heat.axis.pfns(of: 0) == 1..<2)
    #expect(heat.cells.map(\.sendCount) == [1, 2, 3])
    #expect(heat.cells.map(\.most) == [1, 2, 3])
    #expect(found.checkpointCount == 0)
  }

  /// A checkpoint begins a round; what VERIFY compares was not sent again.
  @Test func checkpointsAndPagesToCompare() throws {
    let found = try history(
      headers(2) + staticDataEnd + pageData([Entry(1, page(1))]) + checkpoint
        + pageData([Entry(2, page(1))]) + checkpoint + pageData([Entry(1, page(2))]) + verify
        + pageData([Entry(2, page(1))]) + end)
    #expect(found.rounds.map(\.checkpoint) == [0, 1, 2, 2])
    #expect(found.rounds.map(\.isVerifying) == [false, false, false, true])
    #expect(found.rounds.map(\.againCount) == [0, 0, 1, 0])
    #expect(found.checkpointCount == 2)
    #expect(found.timesSent[1...2] == [1, 1])
  }

  /// A stream that names a page of every gigabyte makes no endless tables.
  @Test func farPagesAreBounded() throws {
    let entries = (0..<20_000).map { Entry(UInt64($0) << 24, type: 0xE) }
    let found = try history(headers(2) + staticDataEnd + pageData(entries) + end)
    #expect(found.rounds.map(\.entryCount) == [20_000])
    let heat = found.heat(cellLimit: 64)
    #expect(heat.cells.count <= 64)
    #expect(heat.cells.reduce(0) { $0 + $1.pageCount } == 20_000)
  }
}
