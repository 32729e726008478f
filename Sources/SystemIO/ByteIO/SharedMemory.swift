// Memory that has a descriptor: pages that a program can lend, and another one can map.

public import Bytes
internal import CSystem
internal import Glibc

/// Zeroed memory in a memfd, mapped once. Pages that nobody has touched take no room.
@safe
public final class SharedMemory {
  public let byteCount: Int
  private let base: UnsafeMutableRawPointer
  private let descriptor: Descriptor

  /// `byteCount` bytes of zeros. `name` is what /proc shows.
  public init(byteCount: Int, name: String) throws(SystemError) {
    let fileDescriptor = unsafe csystem_memory_file(name)
    guard fileDescriptor >= 0 else { throw SystemError("memfd_create", errno, name) }
    descriptor = try Descriptor(taking: fileDescriptor, path: name)
    guard ftruncate(fileDescriptor, byteCount) == 0 else {
      throw SystemError("ftruncate", errno, name)
    }
    let protection = PROT_READ | PROT_WRITE
    guard
      let start = unsafe mmap(nil, max(byteCount, 1), protection, MAP_SHARED, fileDescriptor, 0),
      unsafe start != MAP_FAILED
    else { throw SystemError("mmap", errno, name) }
    self.byteCount = byteCount
    unsafe base = start
  }

  deinit { unsafe munmap(base, max(byteCount, 1)) }

  /// Bytes `range`, for the time of the call.
  public func withBytes<R, E: Error>(
    _ range: Range<Int>, _ body: (RawSpan) throws(E) -> R
  ) throws(E) -> R {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    // Safety: the precondition keeps the range inside the mapping, which outlives the call.
    let buffer = unsafe UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
    return try body(unsafe RawSpan(_unsafeBytes: buffer))
  }

  /// The address of byte `offset`; valid as long as the object.
  @unsafe
  @inline(__always)
  public func pointer(_ offset: Int) -> UnsafeMutableRawPointer {
    precondition(offset >= 0 && offset <= byteCount)
    return unsafe base + offset
  }

  /// Writes the bytes of `value` at `offset`; traps outside the memory.
  public func store<T: LoadableInteger>(_ offset: Int, _ value: T) {
    precondition(offset >= 0 && byteCount - offset >= MemoryLayout<T>.size)
    // Safety: the precondition holds all of T's bytes inside the mapping.
    unsafe (base + offset).storeBytes(of: value.littleEndian, as: T.self)
  }

  /// Fills bytes `range` with `byte`.
  public func fill(_ range: Range<Int>, _ byte: UInt8) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    unsafe memset(base + range.lowerBound, Int32(byte), range.count)
  }

  /// Whether bytes `range` of both are the same.
  public func isEqual(_ range: Range<Int>, to other: SharedMemory) -> Bool {
    precondition(range.lowerBound >= 0 && range.upperBound <= min(byteCount, other.byteCount))
    // Safety: the precondition keeps the range inside both mappings.
    return unsafe memcmp(base + range.lowerBound, other.base + range.lowerBound, range.count) == 0
  }

  /// Gives the room of bytes `range` back (whole pages); they are zero from now on.
  public func punch(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount)
    unsafe madvise(base + range.lowerBound, range.count, MADV_REMOVE)
  }
}

/// Nanoseconds of a clock that only goes forward; its zero means nothing.
public func monotonicNanoseconds() -> UInt64 { csystem_monotonic_nanoseconds() }

/// Blocks for about this long; returns early on a signal.
public func sleep(nanoseconds: UInt64) {
  var time = timespec(
    tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  unsafe nanosleep(&time, nil)
}
