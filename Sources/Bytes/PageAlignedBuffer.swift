// Owned page-aligned memory for bulk bytes: windows, page payloads, copy buffers.

#if canImport(Glibc)
  internal import Glibc
#endif

/// Page-aligned memory that lends spans of itself. Freed with its last reference; not zeroed.
@safe
public final class PageAlignedBuffer {
  /// Bytes that the memory holds.
  public private(set) var capacity: Int
  private var base: UnsafeMutableRawPointer

  /// Memory for at least `capacity` bytes.
  public init(capacity: Int) {
    self.capacity = max(capacity, 4096)
    unsafe base = PageAlignedBuffer.allocate(self.capacity)
  }

  deinit { unsafe free(base) }

  private static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
    guard let memory = unsafe aligned_alloc(4096, (count + 4095) & ~4095) else {
      fatalError("out of memory: \(count) bytes")
    }
    return unsafe memory
  }

  /// Makes room for `count` bytes; what was there stays.
  public func reserve(_ count: Int) {
    guard count > capacity else { return }
    let larger = unsafe PageAlignedBuffer.allocate(count)
    // Safety: both blocks hold at least `capacity` bytes, the smaller of the two.
    unsafe larger.copyMemory(from: base, byteCount: capacity)
    unsafe free(base)
    unsafe base = larger
    capacity = count
  }

  /// Bytes `range` of the memory. They are valid until the buffer grows or goes.
  public func withBytes<R, E: Error>(
    _ range: Range<Int>, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
    // Safety: the precondition keeps the range inside the block, which outlives the call.
    let buffer = unsafe UnsafeRawBufferPointer(
      start: base + range.lowerBound, count: range.count)
    return try body(unsafe RawSpan(_unsafeBytes: buffer))
  }

  /// The address of byte `offset`, for system calls. Valid until the buffer grows or goes.
  @unsafe
  public func pointer(_ offset: Int = 0) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && offset <= capacity)
    return unsafe base + offset
  }

  /// Whether bytes `range` are those of `other` at the same place.
  public func isEqual(to other: PageAlignedBuffer, _ range: Range<Int>) -> Bool {
    precondition(range.lowerBound >= 0 && range.upperBound <= min(capacity, other.capacity))
    // Safety: the range lies inside both.
    return unsafe memcmp(base + range.lowerBound, other.base + range.lowerBound, range.count) == 0
  }

  /// A copy of bytes `range`.
  public func copy(_ range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
    // Safety: as in withBytes.
    return unsafe [UInt8](
      UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Writes the bytes of `value` in `order` at `offset`; traps outside the memory.
  @inline(__always)
  public func store<T: LoadableInteger>(_ offset: Int, _ value: T, _ order: ByteOrder = .little) {
    precondition(offset >= 0 && capacity - offset >= MemoryLayout<T>.size)
    // Safety: the precondition holds all of T's bytes inside the block.
    unsafe (base + offset).storeBytes(of: value.ordered(order), as: T.self)
  }

  /// Writes `words`, little-endian, from byte `offset` on; traps outside the memory.
  public func store(_ offset: Int, words: [UInt64]) {
    precondition(offset >= 0 && (capacity - offset) / 8 >= words.count)
    let start = unsafe base + offset
    for index in words.indices {
      // Safety: the precondition holds all words inside the block.
      unsafe (start + 8 * index).storeBytes(of: words[index].littleEndian, as: UInt64.self)
    }
  }

  /// Copies `bytes` to `offset`, making room for them.
  public func store(_ offset: Int, _ bytes: RawSpan) {
    reserve(offset + bytes.byteCount)
    // Safety: the block has room for all of them, and a span's bytes are never its own buffer's
    // that has just grown: `withBytes` borrows them for a closure in which nothing may grow.
    unsafe bytes.withUnsafeBytes { source in
      guard let start = source.baseAddress else { return }
      unsafe (base + offset).copyMemory(from: start, byteCount: source.count)
    }
  }

  /// Fills bytes `range` with `byte`.
  public func fill(_ range: Range<Int>, _ byte: UInt8) {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
    // Safety: the precondition keeps the range inside the block.
    unsafe memset(base + range.lowerBound, Int32(byte), range.count)
  }

  /// Moves bytes `range` to the start.
  public func moveToStart(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity)
    // Safety: as in withBytes; memmove allows overlap.
    unsafe memmove(base, base + range.lowerBound, range.count)
  }
}
