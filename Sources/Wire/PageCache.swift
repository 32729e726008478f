// Pages that both sides have seen. Equal commands leave equal caches.

internal import Bytes
internal import Glibc

/// The pages that went over the wire last, by key. Sets of eight; in a full one that page goes which was
/// not asked for since it came, and of several the first.
///
/// Whoever changes what this keeps changes the format: FormatWire.md describes it.
@safe
final class PageCache {
  private static let ways = 8
  /// MADV_HUGEPAGE, not in Swift's headers.
  private static let hugePages: Int32 = 14
  /// The age at which a page may go, and the age of a new page.
  private static let oldest: UInt8 = 3
  private static let new: UInt8 = 2

  private let setCount: UInt64
  private let pages: PageAlignedBuffer
  /// Key + 1 of each place; 0 where it is free.
  private var tags: [UInt64]
  private var ages: [UInt8]

  /// A cache of at most so many bytes of pages. Memory is taken when pages come.
  init(byteCount: UInt64) {
    setCount = byteCount / UInt64(PageCache.ways * WireFormat.pageByteCount)
    let count = Int(setCount) * PageCache.ways
    // Large blocks come from the kernel, which gives memory when it is touched.
    pages = PageAlignedBuffer(capacity: count * WireFormat.pageByteCount)
    // In steps of 2 MiB where the kernel has such pages: a fault for each of ours takes longer than its copy.
    // Safety: the range is the memory that was just made; a kernel that knows no such advice refuses it.
    unsafe madvise(pages.pointer(), pages.capacity & ~4095, PageCache.hugePages)
    tags = [UInt64](repeating: 0, count: count)
    ages = [UInt8](repeating: 0, count: count)
  }

  var isEmpty: Bool { setCount == 0 }

  private func firstPlace(_ key: UInt64) -> Int {
    let mixed = key &* 0x9E37_79B1_85EB_CA87
    return Int(mixed.multipliedFullWidth(by: setCount).high) * PageCache.ways
  }

  /// The place of a page, which is young again; nil where it is not there.
  func find(_ key: UInt64) -> Int? {
    guard setCount > 0 else { return nil }
    let first = firstPlace(key)
    for place in first..<first + PageCache.ways where tags[place] == key + 1 {
      ages[place] = 0
      return place
    }
    return nil
  }

  /// Forgets a page.
  func remove(_ key: UInt64) {
    guard setCount > 0 else { return }
    let first = firstPlace(key)
    for place in first..<first + PageCache.ways where tags[place] == key + 1 { tags[place] = 0 }
  }

  /// Takes a page in, in the place of the one that it had of this key, of none, or of an old one.
  func insert(_ key: UInt64, _ bytes: RawSpan, at offset: Int) {
    guard setCount > 0 else { return }
    store(find(key) ?? newPlace(key), bytes, at: offset)
  }

  private func newPlace(_ key: UInt64) -> Int {
    let first = firstPlace(key)
    let set = first..<first + PageCache.ways
    var found = set.first { tags[$0] == 0 } ?? set.first { ages[$0] == PageCache.oldest }
    while found == nil {
      for place in set { ages[place] += 1 }
      found = set.first { ages[$0] == PageCache.oldest }
    }
    let place = found ?? first
    tags[place] = key + 1
    ages[place] = PageCache.new
    return place
  }

  /// Gives a place other contents.
  func store(_ place: Int, _ bytes: RawSpan, at offset: Int) {
    precondition(offset >= 0 && bytes.byteCount - offset >= WireFormat.pageByteCount)
    // Safety: the page lies inside the span, its place inside the cache.
    unsafe bytes.withUnsafeBytes { raw in
      unsafe pages.pointer(place * WireFormat.pageByteCount).copyMemory(
        from: raw.baseAddress.unsafelyUnwrapped + offset, byteCount: WireFormat.pageByteCount)
    }
  }

  /// The bytes of a place, for the time of the call.
  func withPage<R, E: Error>(_ place: Int, _ body: (RawSpan) throws(E) -> R) throws(E) -> R {
    let start = place * WireFormat.pageByteCount
    return try pages.withBytes(start..<start + WireFormat.pageByteCount, body)
  }
}
