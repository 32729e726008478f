// Pieces of memory that go out in one system call.

public import Bytes
internal import CSystem
internal import Glibc

/// A list of chunks of memory for `Sink.write(_:)`. Pieces that touch become one: Linux takes at
/// most 1024 in a call. Whoever appends a chunk keeps its memory alive until `removeAll()`.
@safe
public final class WriteVectors {
  /// Pieces that one call takes (IOV_MAX).
  static let limit = 1024

  private var chunks: [iovec] = unsafe []
  /// Those of one call.
  private var window: [iovec] = unsafe []
  /// Bytes of all chunks.
  public private(set) var byteCount = 0

  public init() {
    unsafe chunks.reserveCapacity(WriteVectors.limit + 1)
  }

  /// How many chunks there are, merged ones counted once.
  public var count: Int { unsafe chunks.count }

  /// Forgets all chunks.
  public func removeAll() {
    unsafe chunks.removeAll(keepingCapacity: true)
    byteCount = 0
  }

  /// Appends bytes `range` of `buffer`, which must not grow before they are written.
  public func append(_ buffer: PageAlignedBuffer, _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    // Safety: the range lies inside the buffer.
    unsafe append(UnsafeRawPointer(buffer.pointer(range.lowerBound)), range.count)
  }

  /// Appends `count` bytes at `start`.
  @unsafe
  @inline(__always)
  public func append(_ start: UnsafeRawPointer, _ count: Int) {
    guard count > 0 else { return }
    byteCount += count
    let last = unsafe chunks.count - 1
    if last >= 0 {
      let end = unsafe chunks[last].iov_base + chunks[last].iov_len
      if unsafe UnsafeRawPointer(end) == start {
        unsafe chunks[last].iov_len += count
        return
      }
    }
    // writev does not write through the addresses, whatever its C type says.
    unsafe chunks.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: start), iov_len: count))
  }

  /// Appends the `byteCount` bytes at each of `starts`.
  @unsafe
  public func append(_ starts: [UnsafeMutableRawPointer], each byteCount: Int) {
    // Taken out for the loop: appending to a local array is several times as fast.
    var local = unsafe chunks
    unsafe chunks = []
    var last = unsafe local.popLast() ?? iovec(iov_base: nil, iov_len: 0)
    for index in unsafe starts.indices {
      let start = unsafe starts[index]
      if let base = unsafe last.iov_base, unsafe base + last.iov_len == start {
        unsafe last.iov_len += byteCount
      } else {
        if unsafe last.iov_len > 0 { unsafe local.append(last) }
        unsafe last = iovec(iov_base: start, iov_len: byteCount)
      }
    }
    if unsafe last.iov_len > 0 { unsafe local.append(last) }
    unsafe chunks = local
    self.byteCount += byteCount * (unsafe starts.count)
  }

  /// The bytes of one chunk.
  @unsafe
  func chunk(_ index: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: chunks[index].iov_base, count: chunks[index].iov_len)
  }

  /// Calls `body` with what is left after byte `skipped` of chunk `first`: no more chunks than one
  /// call takes. With `isPipe` at most `Transfer.pipeChunk` bytes, and either whole pages that begin
  /// at a page's address or other bytes: then a pipe's pages are filled from pages, which copies up
  /// to three times as fast as across them.
  func withVectors(
    from first: Int, skipping skipped: Int, isPipe: Bool,
    _ body: (UnsafePointer<iovec>, Int32) -> Int
  ) -> Int {
    let page = Transfer.block
    var (index, skipped, left) = (first, skipped, isPipe ? Transfer.pipeChunk : .max)
    var arePages: Bool?
    unsafe window.removeAll(keepingCapacity: true)
    while index < count, left > 0, unsafe window.count < WriteVectors.limit {
      let chunk = unsafe chunks[index]
      // Safety: skipped is below the chunk's length.
      let (start, rest) = unsafe (chunk.iov_base + skipped, chunk.iov_len - skipped)
      var length = min(rest, left)
      if isPipe {
        let isPage = UInt(bitPattern: start) % UInt(page) == 0 && rest >= page
        guard arePages ?? isPage == isPage else { break }
        arePages = isPage
        if isPage { length -= length % page }
      }
      unsafe window.append(iovec(iov_base: start, iov_len: length))
      left -= length
      index += 1
      skipped = 0
      if length < rest { break }
    }
    return unsafe window.withUnsafeBufferPointer { buffer in
      guard let start = buffer.baseAddress else { return 0 }
      return unsafe body(start, Int32(buffer.count))
    }
  }

  /// Where `done` bytes after byte `skipped` of chunk `first` are.
  func advance(_ first: Int, _ skipped: Int, by done: Int) -> (Int, Int) {
    var (first, rest) = (first, skipped + done)
    while first < count, rest >= (unsafe chunks[first].iov_len) {
      rest -= unsafe chunks[first].iov_len
      first += 1
    }
    return (first, rest)
  }
}
