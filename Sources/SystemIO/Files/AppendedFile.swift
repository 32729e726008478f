// A file that only grows, by lines.

internal import Glibc

/// A text file to which several processes may add lines at once.
public final class AppendedFile {
  private let descriptor: Descriptor
  private let path: String

  /// Opens the file, or makes it. A last line that was cut off gets its end, so that it stays alone.
  ///
  /// - Throws: where it is no regular file, or cannot be opened. A symbolic link is refused (ELOOP).
  public init(path: String) throws(SystemError) {
    self.path = path
    let flags = O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
    let opened = unsafe Glibc.open(path, flags, 0o666)
    guard opened >= 0 else { throw SystemError("open", errno, path) }
    descriptor = try Descriptor(taking: opened, path: path)
    guard descriptor.kind == .file else { throw SystemError("open", EINVAL, path) }
    let count = try descriptor.byteCount(path: path)
    var last: UInt8 = 10
    if count > 0, unsafe pread(opened, &last, 1, Int(clamping: count - 1)) < 0 {
      throw SystemError("pread", errno, path)
    }
    if last != 10 { try add("") }
  }

  /// All lines that are whole.
  public func lines() throws(SystemError) -> [String] {
    guard lseek(descriptor.fileDescriptor, 0, SEEK_SET) == 0 else {
      throw SystemError("lseek", errno, path)
    }
    let source = try Source(descriptor.duplicate(path: path), path: path)
    let text = try source.read(Int(clamping: try descriptor.byteCount(path: path)))
    return text.split(separator: 10).map { String(decoding: $0, as: UTF8.self) }
  }

  /// Adds a line, which has no line break in it, in one call: lines of others are not torn.
  public func add(_ line: String) throws(SystemError) {
    let bytes = Array((line + "\n").utf8)
    let result = unsafe Glibc.write(descriptor.fileDescriptor, bytes, bytes.count)
    guard result == bytes.count else {
      throw SystemError("write", result < 0 ? errno : ENOSPC, path)
    }
  }
}
