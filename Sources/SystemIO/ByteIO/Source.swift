// Where a stream is read from: a window of bytes in memory, and the rest still in the kernel.

public import Bytes
internal import CSystem
internal import Glibc

/// A stream of bytes from a file or a pipe, of which a small window is in memory.
///
///      consumed | window (in memory) | not yet read, still in the kernel
///      ---------^--------------------^------------------------------------
///               position
///
/// From a file the window may hold more than was asked for. From a pipe it never does: what is not
/// read can still be spliced, and whoever reads after us finds all that is after our last byte.
public final class Source {
  /// The name that messages use.
  public let path: String
  /// Bytes consumed since the source was opened.
  public private(set) var position: UInt64 = 0
  /// Bytes in all, for a file; nil for a pipe.
  public private(set) var byteCount: UInt64?
  /// Bytes that were read into memory (not skipped, not moved inside the kernel).
  public private(set) var bytesRead: UInt64 = 0

  let descriptor: Descriptor
  /// What is read where it is no file or pipe: an object of a server. The descriptor is of nothing then.
  let remote: (any RemoteReader)?
  /// What is read where it is unpacked on the way. The descriptor is of nothing then.
  private let unpacker: (any UnpackingReader)?
  /// The right to edit the file, where it was opened for that.
  public internal(set) var edit: FileEdit?
  private let start: UInt64
  private var window = PageAlignedBuffer(capacity: Source.windowByteCount)
  private var windowStart = 0
  private var windowEnd = 0
  /// How far a file is read ahead: a record header, count and 1024 pfns (MAX_BATCH_SIZE).
  private static let readAhead = 8208
  /// How far one is read ahead that is sparing: a record header and a count, and some to spare.
  private static let shortReadAhead = 64
  /// Whether a file is read ahead by 64 bytes only: for passes over headers that leave the rest.
  public var hasShortReadAhead = false
  private var prefetcher = HeaderPrefetcher()
  /// Memory that a record no longer needs.
  private var recycled: PageAlignedBuffer?
  /// What the window holds normally; it grows for what is peeked at, and shrinks again after it.
  private static let windowByteCount = 16384

  /// Keeps memory that nobody else holds for who reads something of its size next.
  public func recycle(_ buffer: PageAlignedBuffer) { recycled = buffer }

  /// The memory that was kept, if it holds `count` bytes.
  public func takeRecycled(_ count: Int) -> PageAlignedBuffer? {
    guard let buffer = recycled, buffer.capacity >= count else { return nil }
    recycled = nil
    return buffer
  }

  /// A source over `descriptor`. A file is read from its current position on.
  public convenience init(
    _ descriptor: consuming Descriptor, path: String
  ) throws(SystemError) {
    let here = descriptor.kind == .file ? lseek(descriptor.fileDescriptor, 0, SEEK_CUR) : 0
    try self.init(descriptor, path: path, start: here > 0 ? UInt64(here) : 0)
  }

  private init(
    _ descriptor: consuming Descriptor, path: String, start: UInt64
  ) throws(SystemError) {
    self.path = path
    (remote, unpacker) = (nil, nil)
    if descriptor.kind == .file {
      self.start = start
      let size = try descriptor.byteCount(path: path)
      byteCount = size > start ? size - start : 0
      // Reads are short and far apart until pages are moved, which is done in large chunks.
      _ = posix_fadvise(descriptor.fileDescriptor, 0, 0, POSIX_FADV_RANDOM)
    } else {
      self.start = 0
      if descriptor.kind == .pipe {
        _ = csystem_set_pipe_capacity(descriptor.fileDescriptor, Transfer.pipeCapacity)
      }
    }
    self.descriptor = descriptor
  }

  /// A source over an object of a server, or over what a compressed file holds, from its start.
  public init(_ remote: any RemoteReader) throws(SystemError) {
    path = remote.name
    start = 0
    byteCount = remote.byteCount
    descriptor = try Descriptor.ofNothing()
    self.remote = remote
    unpacker = nil
  }

  /// A source over what a packed file holds, which is read from its start only.
  public init(_ unpacker: any UnpackingReader) throws(SystemError) {
    path = unpacker.name
    start = 0
    descriptor = try Descriptor.ofNothing()
    self.unpacker = unpacker
    remote = nil
  }

  /// A source that continues where `other` stands, which nobody reads any more.
  convenience init(continuing other: Source) throws(SystemError) {
    if let remote = other.remote {
      try self.init(remote)
    } else {
      try self.init(
        other.descriptor.duplicate(path: other.path), path: other.path, start: other.start)
    }
    position = other.position
    window = other.window
    (windowStart, windowEnd) = (other.windowStart, other.windowEnd)
  }

  /// Opens `path`, or a URL, for reading; "-" is standard input.
  public convenience init(opening path: String) throws(SystemError) {
    if RemoteFiles.isRemote(path) {
      try self.init(RemoteFiles.store(for: path).open(path))
    } else if path == "-" {
      let name = "standard input"
      try self.init(Descriptor(taking: 0, path: name, isOwned: false), path: name)
    } else {
      try self.init(Descriptor.open(path), path: path)
    }
  }

  /// Another source over the same file, from its start and with a position of its own.
  public func duplicate() throws(SystemError) -> Source {
    precondition(isFile, "a pipe has one reader")
    if let remote { return try Source(remote.duplicate()) }
    let copy = try Source(descriptor.duplicate(path: path), path: path, start: start)
    copy.edit = edit
    return copy
  }

  /// Whether any part can be read at any time.
  public var isFile: Bool { remote != nil || descriptor.kind == .file }
  /// Whether it is unpacked on the way, from its start only.
  public var isPacked: Bool { unpacker != nil }
  /// Whether it is an object of a server.
  public var isRemote: Bool { remote != nil }
  public var kind: DescriptorKind { descriptor.kind }
  /// Device and inode of what is read.
  public var identity: FileIdentity {
    remote?.identity ?? unpacker?.identity ?? descriptor.identity
  }
  /// What to say after a message that a file is needed: how to make one of what is packed. Empty where it
  /// is not.
  public var unpackingHint: String {
    guard let unpacker else { return "" }
    return
      "; what \(unpacker.packing) has packed is read from its start only (unpack it, or make it one "
      + "that is read anywhere: xensave-lua convert \(path) --zstd 3 -o NEW)"
  }
  /// Whether bytes are in memory already.
  var hasWindow: Bool { windowEnd > windowStart }
  /// The descriptor's number, for poll and for tests.
  public var fileDescriptor: Int32 { descriptor.fileDescriptor }

  /// Goes back (or forward) to `position`; only for files.
  public func seek(_ position: UInt64) {
    precondition(isFile, "a pipe cannot seek")
    self.position = position
    windowStart = 0
    windowEnd = 0
  }

  /// Brings up to `count` bytes into the window and says how many there are: fewer only at the end.
  public func peek(_ count: Int) throws(SystemError) -> Int {
    if windowEnd - windowStart >= count { return count }
    window.moveToStart(windowStart..<windowEnd)
    windowEnd -= windowStart
    windowStart = 0
    window.reserve(max(count, Self.readAhead))
    let goal = isFile ? max(count, hasShortReadAhead ? Self.shortReadAhead : Self.readAhead) : count
    let start =
      remote == nil && windowEnd == 0 && prefetcher.isToBeTimed(position)
      ? ContinuousClock.now : nil
    defer { if let start { prefetcher.note(start.duration(to: .now), self) } }
    while windowEnd < count {
      let got = try readSome(
        into: window, windowEnd..<goal, at: position + UInt64(windowEnd))
      if got == 0 { break }
      windowEnd += got
    }
    return min(windowEnd, count)
  }

  /// Lets the descriptor go before the source does: whoever writes into a pipe fails, and reads see the
  /// end after what is in the window.
  public func cut() { _ = csystem_divert(fileDescriptor) }

  /// Up to `count` bytes that are there now: waits for the first, not for all of them. Empty only
  /// at the end. For what another program sends and then waits for an answer to.
  public func peekAvailable(_ count: Int) throws(SystemError) -> [UInt8] {
    if windowEnd == windowStart { _ = try peekOnce(count) }
    return window(min(count, windowEnd - windowStart))
  }

  private func peekOnce(_ count: Int) throws(SystemError) -> Int {
    windowStart = 0
    windowEnd = try readSome(into: window, 0..<min(count, window.capacity), at: position)
    return windowEnd
  }

  /// The integer `offset` bytes after the position; must have been peeked at.
  public func integer<T: LoadableInteger>(
    _ offset: Int, as type: T.Type, _ order: ByteOrder
  ) -> T {
    precondition(windowEnd - windowStart - offset >= MemoryLayout<T>.size)
    return window.withBytes(windowStart..<windowEnd) { $0.load(offset, as: type, order) }
  }

  /// Copies of the `count` bytes at the position; must have been peeked at.
  public func window(_ count: Int) -> [UInt8] {
    precondition(count <= windowEnd - windowStart)
    return window.copy(windowStart..<windowStart + count)
  }

  /// Reads exactly `count` bytes, or fewer at the end, and consumes them.
  public func read(_ count: Int) throws(SystemError) -> [UInt8] {
    if count <= max(Self.readAhead, windowEnd - windowStart) {
      let have = try peek(count)
      let bytes = window(have)
      drop(have)
      return bytes
    }
    let buffer = PageAlignedBuffer(capacity: count)
    let got = try read(into: buffer, 0..<count)
    return buffer.copy(0..<got)
  }

  /// Reads into `range` of `buffer`; returns how many bytes, fewer only at the end.
  public func read(into buffer: PageAlignedBuffer, _ range: Range<Int>) throws(SystemError) -> Int {
    precondition(range.upperBound <= buffer.capacity)
    var filled = min(range.count, windowEnd - windowStart)
    remote?.expect(position..<position.addingSaturated(UInt64(range.count)))
    // Safety: both ranges were checked against their buffers' ends.
    unsafe buffer.pointer(range.lowerBound)
      .copyMemory(from: window.pointer(windowStart), byteCount: filled)
    drop(filled)
    while filled < range.count {
      let got = try readSome(
        into: buffer, (range.lowerBound + filled)..<range.upperBound, at: position)
      if got == 0 { break }
      filled += got
      position += UInt64(got)
    }
    return filled
  }

  /// Reads what is there now into `range` of `buffer`: waits for the first byte, not for all of them. 0 only
  /// at the end.
  public func readAvailable(
    into buffer: PageAlignedBuffer, _ range: Range<Int>
  ) throws(SystemError) -> Int {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    if hasWindow {
      let count = min(range.count, windowEnd - windowStart)
      return try read(into: buffer, range.lowerBound..<range.lowerBound + count)
    }
    let got = try readSome(into: buffer, range, at: position)
    position += UInt64(got)
    return got
  }

  /// The same as an array, of at most `count` bytes.
  public func readAvailable(_ count: Int) throws(SystemError) -> [UInt8] {
    let bytes = try peekAvailable(count)
    drop(bytes.count)
    return bytes
  }

  /// Passes over up to `count` bytes; returns how many there were. A file is not read.
  public func skip(_ count: UInt64) throws(SystemError) -> UInt64 {
    let first = Int(min(count, UInt64(windowEnd - windowStart)))
    drop(first)
    var rest = count - UInt64(first)
    if let byteCount {
      let there = byteCount > position ? byteCount - position : 0
      rest = min(rest, there)
      position += rest
      if remote == nil { prefetcher.note(rest, self) }
      return UInt64(first) + rest
    }
    guard rest > 0 else { return UInt64(first) }
    let scratch = PageAlignedBuffer(capacity: Int(min(rest, 1 << 20)))
    var skipped = UInt64(first)
    while rest > 0 {
      let got = try readSome(
        into: scratch, 0..<Int(min(rest, UInt64(scratch.capacity))), at: position)
      if got == 0 { break }
      position += UInt64(got)
      rest -= UInt64(got)
      skipped += UInt64(got)
    }
    return skipped
  }

  /// Forgets `count` bytes of the window, which the caller has taken.
  func drop(_ count: Int) {
    windowStart += count
    position += UInt64(count)
    if windowStart == windowEnd, window.capacity > 64 * Self.windowByteCount {
      window = PageAlignedBuffer(capacity: Self.windowByteCount)
      windowStart = 0
      windowEnd = 0
    }
  }

  /// What the window holds, for a move: its bytes go out before those in the kernel.
  func takeWindow(_ limit: Int) -> [UInt8] {
    let count = min(limit, windowEnd - windowStart)
    let bytes = window.copy(windowStart..<windowStart + count)
    drop(count)
    return bytes
  }

  /// Counts bytes that went past this object inside the kernel.
  func advance(_ count: UInt64) { position += count }

  /// The offset in the file that belongs to `position`.
  func fileOffset(_ position: UInt64) -> Int { Int(clamping: start + position) }

  /// One read: at least one byte, or 0 at the end. A file ends where it ended when it was opened,
  /// whatever is appended meanwhile.
  func readSome(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at position: UInt64
  ) throws(SystemError) -> Int {
    precondition(range.upperBound <= buffer.capacity)
    let rest = byteCount.map { $0 > position ? $0 - position : 0 } ?? .max
    let count = min(range.count, Int(clamping: rest))
    if let remote {
      let got = try remote.read(
        into: buffer, range.lowerBound..<range.lowerBound + count, at: position)
      bytesRead += UInt64(got)
      return got
    }
    if let unpacker {
      try Interrupt.check(path)
      let got = try unpacker.read(into: buffer, range.lowerBound..<range.lowerBound + count)
      bytesRead += UInt64(got)
      return got
    }
    while true {
      try Interrupt.check(path)
      // Safety: the range lies inside the buffer.
      let got =
        isFile
        ? unsafe pread(
          descriptor.fileDescriptor, buffer.pointer(range.lowerBound), count, fileOffset(position))
        : unsafe Glibc.read(descriptor.fileDescriptor, buffer.pointer(range.lowerBound), count)
      if got >= 0 {
        bytesRead += UInt64(got)
        return got
      }
      if errno == EINTR { continue }
      if errno == EAGAIN {
        try Waiting.untilReady(descriptor.fileDescriptor, forWriting: false, path)
        continue
      }
      throw SystemError("read", errno, path)
    }
  }

  /// When a file's contents last changed, in nanoseconds since 1970.
  public func modificationTime() throws(SystemError) -> UInt64 {
    var status = stat()
    guard unsafe fstat(fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    return UInt64(bitPattern: Int64(status.st_mtim.tv_sec)) &* 1_000_000_000
      &+ UInt64(bitPattern: Int64(status.st_mtim.tv_nsec))
  }

  /// Whether only this user (or root) can have written the file.
  public func isOwnedByUs() throws(SystemError) -> Bool {
    var status = stat()
    guard unsafe fstat(fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    return (status.st_uid == geteuid() || status.st_uid == 0) && status.st_mode & 0o022 == 0
  }

  /// Whether the file is still as long as when it was opened; pipes always are.
  public func isUnchanged() throws(SystemError) -> Bool {
    // What a server has is looked at with each read.
    guard let byteCount, remote == nil else { return true }
    return try descriptor.byteCount(path: path) == start + byteCount
  }
}
