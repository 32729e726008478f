import Format
import Pages
import Stream
import SystemIO
import Testing

@Suite struct PageIndexTests {
  func image(_ bytes: [UInt8], history: Bool = false) throws -> (PageImage, TemporaryFile) {
    let file = TemporaryFile(bytes)
    return (
      try PageImage(opening: file.path, options: PageIndex.Options(keepsHistory: history)), file
    )
  }

  @Test func lastOccurrenceWins() throws {
    let (image, _) = try image(
      hvm([
        [Entry(1, page(1)), Entry(2, page(2)), Entry(3, page(3))],
        [Entry(2, page(9)), Entry(3, type: 0xF)],
      ]), history: true)
    #expect(try image.contents(of: 1) == page(1))
    #expect(try image.contents(of: 2) == page(9))
    #expect(image.index.page(3)?.type == .xtab)
    #expect(throws: XensaveError.self) { try image.contents(of: 3) }
    #expect(image.index.page(4) == nil)
    #expect(image.index.dataCountInFile - image.index.dataCount == 2)
    let history = image.index.history(of: 2)
    #expect(history.map(\.round) == [0, 1])
    #expect(history.map(\.isLast) == [false, true])
    #expect(try image.contents(at: #require(history[0].offset)) == page(2))
  }

  @Test func pagesAfterVerifyDoNotCount() throws {
    let bytes =
      headers(2) + staticDataEnd + pageData([Entry(1, page(1))]) + verify
      + pageData([Entry(1, page(7))]) + tscInfo + end
    let (image, _) = try image(bytes, history: true)
    #expect(try image.contents(of: 1) == page(1))
    #expect(image.index.hasVerify)
    #expect(image.index.history(of: 1).map(\.isLast) == [true, false])
  }

  @Test(arguments: [false, true]) func onlyCompleteCheckpointsCount(endsWithEnd: Bool) throws {
    let bytes =
      headers(2) + staticDataEnd + pageData([Entry(1, page(1)), Entry(2, page(1))]) + tscInfo
      + checkpoint + pageData([Entry(1, page(2))]) + tscInfo + checkpoint
      + pageData([Entry(1, page(3)), Entry(5, page(3))]) + (endsWithEnd ? end : [])
    let (image, _) = try image(bytes, history: true)
    #expect(try image.contents(of: 1) == page(2))
    #expect(try image.contents(of: 2) == page(1))
    #expect(image.index.page(5) == nil)
    #expect(image.index.checkpointCount == 2)
    #expect(image.index.history(of: 1).map(\.isLast) == [false, true, false])
    #expect(image.index.records.filter { $0.type == .x86TSCInfo }.count == 1)
  }

  @Test func hostilePFNIsRefused() throws {
    let bytes = hvm([[Entry(1, page(1)), Entry((1 << 52) - 1, page(2))]])
    let error = #expect(throws: XensaveError.self) { try self.image(bytes) }
    #expect(error?.description.contains("0xfffffffffffff") == true)
  }

  @Test func scatteredPFNsTakeOneRunEach() throws {
    let entries = (0..<2000).map { Entry(UInt64($0) << 28, type: 0xF) }
    let (image, _) = try image(hvm([entries]))
    #expect(image.index.runs.count == 2000)
    #expect(image.index.byteCount < 2000 * 32 + 1000)
  }

  @Test func twiceInARecordTheLaterCounts() throws {
    let (image, _) = try image(
      hvm([[Entry(5, page(5)), Entry(3, page(3)), Entry(5, page(6)), Entry(4, type: 0xF)]]))
    #expect(try image.contents(of: 5) == page(6))
    #expect(try image.contents(of: 3) == page(3))
    #expect(image.index.pageCount == 3)
  }

  /// Against a dictionary.
  @Test func randomRounds() throws {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<30 {
      var last: [UInt64: Entry] = [:]
      var batches: [[Entry]] = []
      for _ in 0..<Int.random(in: 1..<12, using: &random) {
        var batch = randomEntries(
          &random, count: Int.random(in: 1..<60, using: &random), below: 150)
        if Int.random(in: 0..<4, using: &random) == 0 { batch.shuffle(using: &random) }
        for entry in batch { last[entry.pfn] = entry }
        batches.append(batch)
      }
      let (image, _) = try image(hvm(batches))
      #expect(image.index.pageCount == UInt64(last.count))
      var previousEnd: UInt64 = 0
      for run in image.index.runs {
        #expect(run.pfn >= previousEnd)
        previousEnd = run.end
      }
      for (pfn, entry) in last {
        #expect(image.index.page(pfn)?.type.rawValue == UInt8(entry.type))
        if let contents = entry.contents { #expect(try image.contents(of: pfn) == contents) }
      }
    }
  }

  @Test func cutStreamIsAnError() throws {
    let bytes = hvm([[Entry(1, page(1))]])
    for count in [0, 10, 30, 60, bytes.count / 2, bytes.count - 9] {
      #expect(throws: StreamError.self) { try self.image(Array(bytes.prefix(count))) }
    }
  }
}
