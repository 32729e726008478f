import Pages
import SystemIO
import Testing

@Suite struct DeltaTests {
  func make(
    _ base: String, _ new: String, level: Int = 1
  ) throws -> (TemporaryFile, PageDelta.Report) {
    let out = TemporaryFile()
    let file = try OutputFile(out.path, .memory)
    let report = try PageDelta.make(
      from: PageImage(opening: base), to: PageImage(opening: new), file.sink, level: level)
    try file.commit()
    return (out, report)
  }

  func apply(_ delta: String, _ base: String) throws -> [UInt8] {
    let out = TemporaryFile()
    let file = try OutputFile(out.path, .memory)
    _ = try PageDelta.apply(Source(opening: delta), to: Source(opening: base), file.sink)
    try file.commit()
    return out.bytes
  }

  @Test(arguments: [0, 1, 3, 19]) func randomPairs(level: Int) throws {
    var random = SeededGenerator(printedSeed())
    for _ in 0..<5 {
      var a = randomEntries(&random, count: 200, below: 400)
      let base = TemporaryFile(xl(hvm([Array(a[..<90]), Array(a[90...])])))
      var changed: Set<UInt64> = []
      for _ in 0..<5 {
        let index = Int.random(in: 0..<a.count, using: &random)
        guard a[index].contents != nil else { continue }
        let contents = (0..<512).flatMap { _ in le64(random.next()) }
        a[index].contents = contents
        changed.insert(a[index].pfn)
      }
      let new = TemporaryFile(xl(hvm([Array(a[..<90]), Array(a[90...])])))
      let (delta, report) = try make(base.path, new.path, level: level)
      #expect(report.changedPages == UInt64(changed.count))
      #expect(report.bytesWritten < UInt64(changed.count) * 4096 + 8000)
      #expect(try apply(delta.path, base.path) == new.bytes)
    }
  }

  @Test func unrelatedImages() throws {
    let base = TemporaryFile(hvm([[Entry(1, page(1))]]))
    let new = TemporaryFile(xl(pv([[Entry(7, page(7)), Entry(8, type: 0xF)]], p2m: 7)))
    let (delta, _) = try make(base.path, new.path)
    #expect(try apply(delta.path, base.path) == new.bytes)
  }

  @Test func wrongBaseIsNamed() throws {
    let base = TemporaryFile(hvm([[Entry(1, page(1))]]))
    let other = TemporaryFile(hvm([[Entry(1, page(2))]]))
    let (delta, _) = try make(base.path, other.path)
    let error = #expect(throws: XensaveError.self) { try self.apply(delta.path, other.path) }
    #expect(error?.description.contains("is not the image that") == true)
  }

  /// Every truncation and every changed byte outside the contents gives one clear line, or the
  /// right image.
  @Test(arguments: [0, 1]) func damagedDeltas(level: Int) throws {
    let base = TemporaryFile(hvm([[Entry(1, page(1)), Entry(2, page(2)), Entry(3, page(3))]]))
    let new = TemporaryFile(hvm([[Entry(1, page(1)), Entry(2, page(9)), Entry(3, page(3))]]))
    let (delta, _) = try make(base.path, new.path, level: level)
    let good = delta.bytes
    for count in Array(0..<min(120, good.count)) + Array(stride(from: 120, to: good.count, by: 61))
    {
      let cut = TemporaryFile(Array(good.prefix(count)))
      let error = #expect(throws: XensaveError.self) { try self.apply(cut.path, base.path) }
      #expect(error?.description.contains("\n") == false)
    }
    for offset in Array(0..<min(110, good.count)) + Array(stride(from: 110, to: good.count, by: 53))
    {
      var changed = good
      changed[offset] ^= 0x41
      let file = TemporaryFile(changed)
      // The reserved bytes of the padding are not looked at.
      if let out = try? apply(file.path, base.path) { #expect(out == new.bytes) }
    }
  }
}
