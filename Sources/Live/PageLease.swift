// Memory of a domain, lent for a while.

public import Bytes
internal import SystemIO
internal import Format

/// Pages of a domain that are mapped here. Goes with its scope, and gives them back.
@safe
public struct PageLease: ~Copyable {
  private let addresses: [UnsafeMutableRawPointer]
  private let release: () -> Void

  /// A lease of the pages at `addresses`. `release` is called once, when it goes.
  @unsafe
  public init(_ addresses: [UnsafeMutableRawPointer], release: @escaping () -> Void) {
    unsafe self.addresses = addresses
    self.release = release
  }

  deinit { release() }

  /// How many pages there are.
  public var count: Int { unsafe addresses.count }

  /// Appends all pages to what is written next. Valid until the lease goes.
  func append(to vectors: WriteVectors) {
    unsafe vectors.append(addresses, each: pageByteCount)
  }

  /// Appends page `index` to what is written next. Valid until the lease goes.
  @inline(__always)
  func append(_ index: Int, to vectors: WriteVectors) {
    unsafe vectors.append(UnsafeRawPointer(addresses[index]), pageByteCount)
  }

  /// The bytes of page `index`, for the time of the call.
  public func withPage<R, E: Error>(
    _ index: Int, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    // Safety: each address is that of a whole page, as whoever made the lease has promised.
    let buffer = unsafe UnsafeRawBufferPointer(start: addresses[index], count: pageByteCount)
    return try body(unsafe RawSpan(_unsafeBytes: buffer))
  }

  /// Fills page `index` from byte `offset` of `buffer`. The lease must be one for writing.
  public func fill(_ index: Int, from buffer: PageAlignedBuffer, at offset: Int) {
    precondition(offset >= 0 && buffer.capacity - offset >= pageByteCount)
    // Safety: both are whole pages.
    unsafe addresses[index].copyMemory(from: buffer.pointer(offset), byteCount: pageByteCount)
  }

  /// Whether page `index` holds the bytes at `offset` of `buffer`.
  public func isEqual(_ index: Int, to buffer: PageAlignedBuffer, at offset: Int) -> Bool {
    withPage(index) { page in
      buffer.withBytes(offset..<offset + pageByteCount) { other in
        for place in stride(from: 0, to: pageByteCount, by: 8)
        where page.load(place, as: UInt64.self) != other.load(place, as: UInt64.self) {
          return false
        }
        return true
      }
    }
  }
}
