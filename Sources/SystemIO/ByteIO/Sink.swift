// Where a stream is written to.

public import Bytes
internal import CSystem
internal import Glibc

/// A stream of bytes into a file or a pipe. Nothing is held back: what `write` took has been
/// given to the kernel, so that a filter in a pipe never keeps its reader waiting.
public final class Sink {
  /// The name that messages use.
  public let path: String
  /// Bytes written.
  public private(set) var position: UInt64 = 0

  let descriptor: Descriptor
  /// What is written to where it is no file or pipe: an object of a server. The descriptor is of nothing
  /// then.
  private let remote: (any RemoteWriter)?
  /// What the object consists of, where its server may take ranges of another one.
  private var composition: Composition?
  /// Where the same bytes go, of an object of a server; nil once nobody reads there.
  public var mirror: Sink?
  /// Bytes that make it worth to tell the disk: some milliseconds of its work.
  private static let synchronizedChunk: UInt64 = 8 << 20
  /// From where on the kernel was not yet asked to write to the disk; nil where it is not asked.
  private var unsynchronized: UInt64?

  /// A sink over `descriptor`, from its current position on.
  public init(_ descriptor: consuming Descriptor, path: String) {
    self.path = path
    remote = nil
    if descriptor.kind == .pipe {
      _ = csystem_set_pipe_capacity(descriptor.fileDescriptor, Transfer.pipeCapacity)
    }
    self.descriptor = descriptor
  }

  /// A sink that makes an object of a server, or packs what is written to it.
  public init(_ remote: any RemoteWriter) throws(SystemError) {
    path = remote.name
    descriptor = try Descriptor.ofNothing()
    self.remote = remote
  }

  /// Standard output.
  public static func standardOutput() throws(SystemError) -> Sink {
    let name = "standard output"
    return Sink(try Descriptor(taking: 1, path: name, isOwned: false), path: name)
  }

  /// Whether it is an object of a server.
  public var isRemote: Bool { remote != nil }
  public var kind: DescriptorKind { descriptor.kind }
  public var identity: FileIdentity { descriptor.identity }
  public var fileDescriptor: Int32 { descriptor.fileDescriptor }
  /// Bytes before the place in a file where the next one goes, whoever wrote them; 0 for pipes.
  public var fileByteCount: UInt64 { kind == .file ? UInt64(fileOffset()) : 0 }
  /// Where in a file the next byte goes.
  func fileOffset() -> Int { max(0, lseek(descriptor.fileDescriptor, 0, SEEK_CUR)) }

  /// Writes all of `bytes`.
  public func write(_ bytes: [UInt8]) throws(SystemError) {
    // Safety: the buffer is used only inside the closure.
    try unsafe bytes.withUnsafeBufferPointer { buffer throws(SystemError) in
      try unsafe writeAll(UnsafeRawBufferPointer(buffer))
    }
  }

  /// Writes bytes `range` of `buffer`.
  public func write(_ buffer: PageAlignedBuffer, _ range: Range<Int>) throws(SystemError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    // Safety: the range lies inside the buffer.
    try unsafe writeAll(
      UnsafeRawBufferPointer(start: buffer.pointer(range.lowerBound), count: range.count))
  }

  /// Writes `header` and then bytes `range` of `buffer`, in one system call where the kernel allows.
  public func write(
    _ head: [UInt8], then buffer: PageAlignedBuffer, _ range: Range<Int>
  ) throws(SystemError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    if remote != nil {
      try write(head)
      return try write(buffer, range)
    }
    // Safety: `start` is used only inside the closure, the range lies inside the buffer.
    let done = try unsafe head.withUnsafeBufferPointer { start throws(SystemError) -> Int in
      let raw = UnsafeRawBufferPointer(start)
      // writev does not write through the base addresses, whatever its C type says.
      var vectors = unsafe [
        iovec(iov_base: UnsafeMutableRawPointer(mutating: raw.baseAddress), iov_len: raw.count),
        iovec(iov_base: buffer.pointer(range.lowerBound), iov_len: range.count),
      ]
      return try retrying { unsafe writev(descriptor.fileDescriptor, &vectors, 2) }
    }
    advance(UInt64(done))
    if done < head.count {
      try write([UInt8](head[done...]))
      try write(buffer, range)
    } else if done < head.count + range.count {
      try write(buffer, (range.lowerBound + done - head.count)..<range.upperBound)
    }
  }

  /// Writes all chunks of `vectors` in their order, as few system calls as the kernel allows.
  public func write(_ vectors: WriteVectors) throws(SystemError) {
    if remote != nil {
      for index in 0..<vectors.count { try unsafe writeAll(vectors.chunk(index)) }
      return
    }
    var first = 0
    var skipped = 0
    while first < vectors.count {
      let done = try retrying {
        unsafe vectors.withVectors(from: first, skipping: skipped, isPipe: kind == .pipe) {
          unsafe writev(descriptor.fileDescriptor, $0, $1)
        }
      }
      advance(UInt64(done))
      (first, skipped) = vectors.advance(first, skipped, by: done)
    }
  }

  private func writeAll(_ raw: UnsafeRawBufferPointer) throws(SystemError) {
    if let remote {
      try unsafe remote.write(raw)
      advance(UInt64(raw.count))
      try unsafe composition?.append(raw)
      try unsafe reflect(raw)
      return
    }
    let limit = kind == .pipe ? Transfer.pipeChunk : .max
    var done = 0
    while done < raw.count {
      // Safety: done stays below the count.
      let written = try retrying {
        unsafe Glibc.write(
          descriptor.fileDescriptor, raw.baseAddress.unsafelyUnwrapped + done,
          min(raw.count - done, limit))
      }
      done += written
      advance(UInt64(written))
    }
  }

  /// Writes bytes in memory.
  @unsafe
  func write(_ raw: UnsafeRawBufferPointer) throws(SystemError) { try unsafe writeAll(raw) }

  /// Has the server take ranges of `source` from now on, where it is an object of the same one; whether
  /// that is so.
  func compose(from source: Source) throws(SystemError) -> Bool {
    guard let remote, let reader = source.remote, remote.canTake(from: reader) else { return false }
    composition = try Composition(of: reader)
    return true
  }

  /// Whether ranges of `source` are taken where they are.
  public func takesRanges(of source: Source) -> Bool {
    guard composition != nil, let remote, let reader = source.remote else { return false }
    return remote.canTake(from: reader)
  }

  /// Bytes that have to be written before a range can be taken.
  public var byteCountUntilRange: Int { remote?.byteCountUntilTake ?? 0 }

  /// Has the server take `count` bytes of `source` from `offset` on; how many it took.
  func takeRange(of source: Source, _ offset: UInt64, _ count: UInt64) throws(SystemError) -> UInt64
  {
    guard let composition, let remote, let reader = source.remote, count > 0 else { return 0 }
    let taken = try remote.take(offset..<offset + count, of: reader)
    composition.append(from: offset, taken)
    advance(taken)
    return taken
  }

  /// What reads the object as it will be; nil where nothing of it is composed.
  func composedSource() throws(SystemError) -> Source? {
    guard let composition else { return nil }
    return try Source(CompositionReader(composition))
  }

  /// Gives the mirror what was written.
  private func reflect(_ raw: UnsafeRawBufferPointer) throws(SystemError) {
    guard let mirror else { return }
    do throws(SystemError) { try unsafe mirror.writeAll(raw) } catch {
      guard error.isBrokenPipe else { throw error }
      self.mirror = nil
    }
  }

  /// Repeats a write that a signal or a full non-blocking pipe stopped.
  private func retrying(_ call: () -> Int) throws(SystemError) -> Int {
    while true {
      Progress.beat()
      let result = call()
      if result >= 0 { return result }
      switch errno {
      case EINTR: try Interrupt.check(path)
      case EAGAIN: try Waiting.untilReady(descriptor.fileDescriptor, forWriting: true, path)
      default: throw SystemError("write", errno, path)
      }
    }
  }

  /// Leaves `count` zeros: as a hole, which takes no space, where a file has nothing yet, and written
  /// over what is there (in a file that somebody else opened, or on a device). Something has to be
  /// written after them.
  public func writeHole(_ count: UInt64) throws(SystemError) {
    let hole = kind == .file ? try byteCountOfHole(count) : 0
    var left = count - hole
    let zeros = [UInt8](repeating: 0, count: Int(min(left, 1 << 16)))
    while left > 0 {
      let chunk = min(left, UInt64(zeros.count))
      try write(chunk == zeros.count ? zeros : Array(zeros[..<Int(chunk)]))
      left -= chunk
    }
    guard hole > 0 else { return }
    guard lseek(descriptor.fileDescriptor, off_t(clamping: hole), SEEK_CUR) >= 0 else {
      throw SystemError("lseek", errno, path)
    }
    advance(hole)
  }

  /// How much of the next `count` bytes lies after the end of a file.
  private func byteCountOfHole(_ count: UInt64) throws(SystemError) -> UInt64 {
    // A new file is ours alone, and its end is where we are.
    if unsynchronized != nil { return count }
    var status = stat()
    guard unsafe fstat(descriptor.fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    // What is appended goes to the end, wherever the position is.
    guard status.st_mode & S_IFMT == S_IFREG,
      fcntl(descriptor.fileDescriptor, F_GETFL) & O_APPEND == 0
    else { return 0 }
    let left = UInt64(max(0, Int(status.st_size) - fileOffset()))
    return count - min(count, left)
  }

  /// Lets the descriptor go before the sink does: whoever reads sees the end, and writes fail.
  public func cut() { _ = csystem_divert(descriptor.fileDescriptor) }

  /// Counts bytes that were written, here or inside the kernel.
  func advance(_ count: UInt64) {
    position += count
    if let begin = unsynchronized, position - begin >= Sink.synchronizedChunk {
      // A block that is not whole yet would be written twice.
      let end = position - position % UInt64(Transfer.block)
      csystem_begin_synchronizing(fileDescriptor, begin, end - begin)
      unsynchronized = end
    }
  }

  /// Has the disk begin with what is written while more of it comes, because somebody will wait for
  /// all of it: `synchronize()` at the end of a new file, which the sink has from its first byte on.
  func synchronizeFromNowOn() { unsynchronized = position }

  /// Forces the bytes of a file to the disk.
  public func synchronize() throws(SystemError) { try descriptor.synchronize(path: path) }
}
