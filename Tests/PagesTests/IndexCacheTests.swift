// The index kept beside an image: it gives the same answers, or is ignored.

import Bytes
import Format
import Glibc
import Stream
import SystemIO
import Testing

@testable import Pages

@Suite struct IndexCacheTests {
  /// An image whose index was written, and the cache's path; gone with this object.
  final class Kept {
    let file: TemporaryFile
    let cache: String
    let original: [UInt8]

    init(_ bytes: [UInt8]) throws {
      file = TemporaryFile(bytes)
      cache = IndexCache(of: file.path).path
      usleep(60_000)
      _ = try PageImage(caching: file.path) { Issue.record("\($0)") }
      original = Kept.read(cache)
      #expect(!original.isEmpty)
    }

    deinit { unlink(cache) }

    static func read(_ path: String) -> [UInt8] {
      guard let source = try? Source(opening: path) else { return [] }
      return (try? source.read(Int(source.byteCount ?? 0))) ?? []
    }

    func write(_ bytes: [UInt8]) {
      let number = open(cache, O_WRONLY | O_TRUNC)
      _ = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
      close(number)
    }

    /// A forged cache: its words changed, and a hash that fits.
    func forge(_ change: (inout [UInt64]) -> Void) {
      var words = stride(from: 0, to: original.count - 8, by: 8).map {
        original.load($0, as: UInt64.self)
      }
      change(&words)
      var bytes: [UInt8] = []
      for word in words { bytes += le64(word) }
      write(bytes + le64(PageDelta.hash(bytes)))
    }

    /// Opens the image: the notes that this gave. The index must be right whatever the cache was.
    func notes() throws -> [String] {
      var notes: [String] = []
      let image = try PageImage(caching: file.path) { notes.append($0) }
      let true_ = try PageImage(opening: file.path)
      #expect(image.index.runs == true_.index.runs)
      #expect(image.index.records == true_.index.records)
      #expect(image.index.headers.map(\.bytes) == true_.index.headers.map(\.bytes))
      #expect(image.index.ending == true_.index.ending)
      #expect(image.index.context == true_.index.context)
      #expect(image.index.container == true_.index.container)
      #expect(image.index.dataCountInFile == true_.index.dataCountInFile)
      #expect(image.index.checkpointCount == true_.index.checkpointCount)
      #expect(image.index.roundCount == true_.index.roundCount)
      #expect(image.index.hasVerify == true_.index.hasVerify)
      for note in notes { #expect(!note.contains("\n")) }
      return notes
    }
  }

  static let plain = xl(
    hvm([
      [Entry(1, page(1)), Entry(2, page(2)), Entry(3, type: 0xF), Entry(7, page(0))],
      [Entry(9, page(4)), Entry(10, page(5))],
    ]))
  static let checkpointed =
    headers(2) + staticDataEnd + pageData([Entry(1, page(1)), Entry(2, page(1))]) + tscInfo
    + checkpoint + pageData([Entry(1, page(2))]) + tscInfo + checkpoint
    + pageData([Entry(1, page(3))])
  static let verified =
    headers(2) + staticDataEnd + pageData([Entry(1, page(1))]) + verify
    + pageData([Entry(1, page(7))]) + tscInfo + end

  static let few = [[Entry(1, page(1)), Entry(2, page(2))]]

  @Test(arguments: [
    plain, checkpointed, verified, hvm([]), xl(pv([[Entry(7, page(7))]], p2m: 7)),
    suspended(hvm(few)), libvirt(hvm(few)),
  ])
  func theSecondTimeItIsRead(bytes: [UInt8]) throws {
    let kept = try Kept(bytes)
    #expect(try IndexCache(of: kept.file.path).read(for: Source(opening: kept.file.path)) != nil)
    #expect(try kept.notes() == [])
    #expect(Kept.read(kept.cache) == kept.original)
  }

  /// On a disk more comes after the image: the index fits it all the same.
  @Test func whatFollowsTheImage() throws {
    let rest = [UInt8](repeating: 0, count: 5000)
    let kept = try Kept(suspended(hvm(IndexCacheTests.few)) + rest)
    #expect(try kept.notes() == [])
    // Records that are said to be of another layer, or to have another length.
    let runCount = Int(kept.original.load(8 * 5, as: UInt64.self))
    let records = IndexCache.headWords + 3 * runCount
    for (word, change) in [
      (records, 1 << 63), (records + 2, 8), (records + 2, .max),
    ] as [(Int, UInt64)] {
      kept.forge { $0[word] ^= change }
      #expect(try kept.notes().count == 1)
    }
  }

  /// The records after the pages are given where they are a chain to the end, and only there.
  @Test func recordsAfterPages() throws {
    let plain = try Kept(IndexCacheTests.plain)
    let cache = IndexCache(of: plain.file.path)
    let source = try Source(opening: plain.file.path)
    let index = try PageImage(opening: plain.file.path).index
    let tail = try #require(try cache.recordsAfterPages(of: source))
    #expect(tail == Array(index.records.suffix(tail.count)))
    #expect(tail.first?.index == (index.records.last?.index ?? 0) - tail.count + 1)
    #expect(tail.last.map { $0.offset + $0.byteCount } == source.byteCount)
    // Forged: records left out, or pages that end elsewhere. Never anything else than the truth.
    for word in 0..<(plain.original.count / 8 - 1) {
      for delta: UInt64 in [1, 8, .max] {
        plain.forge { $0[word] = $0[word] &+ delta }
        let found = try? cache.recordsAfterPages(of: source)
        if let found { #expect(found == tail, "word \(word)") }
      }
    }
    for bytes in [
      IndexCacheTests.checkpointed, IndexCacheTests.verified, IndexCacheTests.plain + [1, 2, 3],
    ] {
      let kept = try Kept(bytes)
      let source = try Source(opening: kept.file.path)
      #expect(try IndexCache(of: kept.file.path).recordsAfterPages(of: source) == nil)
    }
  }

  /// After an edit that moves nothing the index fits again, and only to that image.
  @Test func renewed() throws {
    let kept = try Kept(IndexCacheTests.plain)
    let cache = IndexCache(of: kept.file.path)
    let source = try Source(opening: kept.file.path)
    let spot = try #require(try cache.recordsAfterPages(of: source)?.first)
    let before = kept.file.bytes[Int(spot.offset) + 8]
    try FileEdit(kept.file.path).apply(
      [Patch(offset: spot.offset + 8, before: [before], after: [9])])
    #expect(throws: XensaveError.self) { try cache.read(for: source) }
    try cache.renew(for: source)
    #expect(try cache.read(for: source) != nil)
    #expect(try kept.notes() == [])
    usleep(20_000)
    try FileEdit(kept.file.path).apply(
      [Patch(offset: spot.offset + 8, before: [9], after: [8])])
    #expect(throws: XensaveError.self) { try cache.read(for: source) }
  }

  @Test func realImages() throws {
    for name in ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"] {
      let kept = try Kept(Kept.read(CompactionTests.fixtures + name))
      #expect(try IndexCache(of: kept.file.path).read(for: Source(opening: kept.file.path)) != nil)
      #expect(try kept.notes() == [])
    }
  }

  /// Every byte changed, every length: ignored with one line, and made anew.
  @Test func damagedCachesAreIgnored() throws {
    let kept = try Kept(IndexCacheTests.plain)
    for offset in kept.original.indices {
      var bytes = kept.original
      bytes[offset] ^= 0x20
      kept.write(bytes)
      #expect(try kept.notes().count == 1, "byte \(offset)")
      #expect(Kept.read(kept.cache) == kept.original)
    }
    for count in stride(from: 0, to: kept.original.count, by: 5) {
      kept.write(Array(kept.original.prefix(count)))
      #expect(try kept.notes().count == 1, "\(count) bytes")
    }
    kept.write(kept.original + [UInt8](repeating: 0, count: 8))
    #expect(try kept.notes().count == 1)
  }

  /// Caches whose hash fits, but which do not tell of this image.
  @Test func forgedCachesAreIgnored() throws {
    let kept = try Kept(IndexCacheTests.plain)
    let runs = IndexCache.headWords
    let runCount = Int(kept.original.load(8 * 5, as: UInt64.self))
    let records = runs + 3 * runCount
    var forgeries: [(String, (inout [UInt64]) -> Void)] = [
      (
        "no runs",
        {
          $0.removeSubrange(runs..<records); $0[5] = 0
        }
      ),
      ("more runs than words", { $0[5] = 1 << 61 }),
      ("many records", { $0[6] = .max }),
      ("many records of pages", { $0[7] = 1 << 62 }),
      ("version", { $0[1] = 3 }),
      ("ending", { $0[12] = 5 }),
      ("more pages than the image", { $0[10] = 1 << 40 }),
      (
        "a run less",
        {
          $0.removeSubrange(records - 3..<records); $0[5] -= 1
        }
      ),
      ("pfns that go back", { $0.swapAt(runs, runs + 3) }),
      ("a giant run", { $0[runs + 2] |= 0xFFFF_FFFF << 32 }),
      ("an empty run", { $0[runs + 2] &= 0xFFFF_FFFF }),
      ("pages after the end", { $0[runs + 1] = 1 << 50 }),
      ("pages that wrap", { $0[runs + 1] = .max - 10 }),
      ("pfn 2^52-1", { $0[records - 3] |= (1 << 52) - 1 }),
      ("a reserved type", { $0[runs] |= 5 << 60 }),
      ("another type", { $0[runs] |= 0xE << 60 }),
      ("contents of another page", { $0[runs + 1] += 4096 }),
      ("another pfn", { $0[records - 3] += 1 }),
      ("a record after the end", { $0[records + 1] = 1 << 60 }),
      ("a record of another length", { $0[records + 2] += 8 }),
      ("a record of another layer", { $0[records + 3] ^= 1 << 63 }),
      ("a record of pages elsewhere", { $0[$0.count - 1] -= 8 }),
      ("a record of pages after the end", { $0[$0.count - 1] = .max }),
    ]
    forgeries.append(
      (
        "no records of pages",
        {
          $0.removeLast(Int($0[7])); $0[7] = 0
        }
      ))
    for (name, change) in forgeries {
      kept.forge(change)
      let notes = try kept.notes()
      #expect(notes.count == 1, "\(name)")
      #expect(notes.first?.contains(".index: ignored: ") == true, "\(name): \(notes)")
    }
  }

  @Test func aChangedImageIsIndexedAnew() throws {
    let kept = try Kept(IndexCacheTests.plain)
    var status = stat()
    stat(kept.file.path, &status)
    // One byte of the last page, and the time of change put back.
    let number = open(kept.file.path, O_WRONLY)
    pwrite(number, "x", 1, 300)
    var times = [status.st_atim, status.st_mtim]
    futimens(number, &times)
    close(number)
    #expect(try kept.notes().count == 1)
    // Only another time of change.
    kept.write(kept.original)
    utimensat(AT_FDCWD, kept.file.path, nil, 0)
    #expect(try kept.notes().count == 1)
  }

  @Test func anImageThatChangedThisMomentIsNotKept() throws {
    let file = TemporaryFile(IndexCacheTests.plain)
    utimensat(AT_FDCWD, file.path, nil, 0)
    _ = try PageImage(caching: file.path) { _ in }
    #expect(access(IndexCache(of: file.path).path, F_OK) != 0)
  }

  @Test func whatOthersMayWriteIsIgnored() throws {
    let kept = try Kept(IndexCacheTests.plain)
    chmod(kept.cache, 0o666)
    let notes = try kept.notes()
    #expect(notes.count == 1)
    #expect(notes.first?.contains("only we can have written") == true)
  }

  @Test func aFolderThatCannotBeWrittenIsOnlyANote() throws {
    let kept = try Kept(IndexCacheTests.plain)
    unlink(kept.cache)
    mkdir(kept.cache, 0o700)
    #expect(try kept.notes().count >= 1)
    rmdir(kept.cache)
  }
}
