// SHA-256 and HMAC: names of what a content store holds, signatures of object stores.

public import Bytes
internal import CHash

/// SHA-256, by the processor's instructions where it has them. A copy is a hash of its own. Source:
/// FIPS 180-4.
public struct SHA256: Sendable {
  private var state = chash_sha256()

  /// Bytes of a hash.
  public static let byteCount = 32
  private static let pageByteCount = 4096
  private static let blockByteCount = 64

  /// The hash of no bytes yet.
  public init() {
    // Safety: the pointer is used only inside the call, here and below.
    unsafe chash_sha256_begin(&state)
  }

  /// Adds `bytes` to what is hashed.
  public mutating func add(_ bytes: [UInt8]) {
    // Safety: the array holds its bytes during the call.
    unsafe chash_sha256_add(&state, bytes, bytes.count)
  }

  /// Adds bytes `range` of the memory to what is hashed.
  public mutating func add(_ buffer: PageAlignedBuffer, _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    // Safety: the precondition keeps the range inside the memory.
    unsafe chash_sha256_add(&state, buffer.pointer(range.lowerBound), range.count)
  }

  /// The hash of all that was added: 32 bytes.
  public consuming func finish() -> [UInt8] {
    var out = [UInt8](repeating: 0, count: SHA256.byteCount)
    // Safety: the array has room for the 32 bytes.
    unsafe chash_sha256_end(&state, &out)
    return out
  }

  /// The hash of `bytes`: 32 bytes.
  public static func hash(_ bytes: [UInt8]) -> [UInt8] {
    var hash = SHA256()
    hash.add(bytes)
    return hash.finish()
  }

  /// The hash of each page of 4096 bytes in bytes `range` of the memory: 32 bytes each, one after
  /// another. Faster than page by page, as pages are hashed side by side.
  ///
  /// - Precondition: The range has whole pages.
  public static func pages(_ buffer: PageAlignedBuffer, _ range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    precondition(range.count % pageByteCount == 0)
    let count = range.count / pageByteCount
    var out = [UInt8](repeating: 0, count: count * byteCount)
    // Safety: the pages lie inside the memory; the array has room for 32 bytes of each.
    unsafe chash_sha256_pages(
      buffer.pointer(range.lowerBound).assumingMemoryBound(to: UInt8.self), count, &out)
    return out
  }

  /// HMAC-SHA-256 of `text`: 32 bytes. The key may have any length. Source: RFC 2104.
  public static func authenticate(_ text: [UInt8], key: [UInt8]) -> [UInt8] {
    var key = key.count > blockByteCount ? hash(key) : key
    key += [UInt8](repeating: 0, count: blockByteCount - key.count)
    var inner = SHA256()
    inner.add(key.map { $0 ^ 0x36 })
    inner.add(text)
    var outer = SHA256()
    outer.add(key.map { $0 ^ 0x5C })
    outer.add(inner.finish())
    return outer.finish()
  }
}
