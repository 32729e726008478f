// A nameless file for what is too much for memory.

public import Bytes
internal import CSystem
internal import Glibc

/// A temporary file without a name: its space is free again once nobody holds it.
///
/// It lies in $TMPDIR, or in /var/tmp: /tmp may be memory.
public final class ScratchFile {
  private let descriptor: Descriptor
  private let path: String

  public init() throws(SystemError) {
    var folder = "/var/tmp"
    // Safety: getenv returns a NUL-terminated string that is copied at once.
    if let value = unsafe getenv("TMPDIR") { folder = unsafe String(cString: value) }
    // Without a name from the start, where the file system can: a kill leaves nothing.
    let unnamed = unsafe csystem_create_unnamed(folder, 0o600)
    if unnamed >= 0 {
      path = "scratch file in " + folder
      descriptor = try Descriptor(taking: unnamed, path: path)
      return
    }
    var random = SystemRandomNumberGenerator()
    var attempt = 0
    while true {
      let name = folder + "/.xensave-" + String(random.next(), radix: 16)
      let fileDescriptor = unsafe csystem_create(name, 0o600)
      if fileDescriptor >= 0 {
        unsafe unlink(name)
        path = "scratch file in " + folder
        descriptor = try Descriptor(taking: fileDescriptor, path: path)
        return
      }
      attempt += 1
      guard errno == EEXIST, attempt < 100 else { throw SystemError("open", errno, folder) }
    }
  }

  /// For a program that writes into it. It is this object's.
  var fileDescriptor: Int32 { descriptor.fileDescriptor }

  /// What writes into the file from its start; `name` is for messages.
  public func sink(as name: String) throws(SystemError) -> Sink {
    try Sink(duplicate(name), path: name)
  }

  /// What reads the file from its start; it holds the file by itself.
  public func source(as name: String) throws(SystemError) -> Source {
    try Source(duplicate(name), path: name)
  }

  private func duplicate(_ name: String) throws(SystemError) -> Descriptor {
    guard lseek(descriptor.fileDescriptor, 0, SEEK_SET) == 0 else {
      throw SystemError("lseek", errno, name)
    }
    return try descriptor.duplicate(path: name)
  }

  /// Writes bytes `range` of `buffer` at `offset`.
  public func write(
    _ buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    var done = 0
    while done < range.count {
      // Safety: the range lies inside the buffer.
      let result = unsafe pwrite(
        descriptor.fileDescriptor, buffer.pointer(range.lowerBound + done), range.count - done,
        Int(clamping: offset) + done)
      if result > 0 { done += result } else { try check(result, "pwrite") }
    }
  }

  /// Reads into bytes `range` of `buffer` what stands at `offset`; what was never written is zero.
  public func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) {
    precondition(range.lowerBound >= 0 && range.upperBound <= buffer.capacity)
    var done = 0
    while done < range.count {
      // Safety: the range lies inside the buffer.
      let result = unsafe pread(
        descriptor.fileDescriptor, buffer.pointer(range.lowerBound + done), range.count - done,
        Int(clamping: offset) + done)
      if result == 0 {
        unsafe memset(buffer.pointer(range.lowerBound + done), 0, range.count - done)
        return
      }
      if result > 0 { done += result } else { try check(result, "pread") }
    }
  }

  /// Takes all that `source` still has, and gives it as a source of its own whose position 0 is
  /// what was `source`'s position. Its name in messages is that of `source`.
  public func source(ofRestOf source: Source) throws(SystemError) -> Source {
    let sink = Sink(try descriptor.duplicate(path: path), path: path)
    _ = try source.move(.max, to: sink)
    guard lseek(descriptor.fileDescriptor, 0, SEEK_SET) == 0 else {
      throw SystemError("lseek", errno, path)
    }
    return try Source(descriptor.duplicate(path: source.path), path: source.path)
  }

  private func check(_ result: Int, _ call: String) throws(SystemError) {
    guard result == 0 || errno == EINTR else { throw SystemError(call, errno, path) }
    try Interrupt.check(path)
  }
}
