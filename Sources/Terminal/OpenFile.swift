// An open file, as the history needs it.

internal import Glibc

/// Owns a descriptor of a file; closing it also ends its lock.
struct OpenFile: ~Copyable {
  private let descriptor: CInt
  private let path: String

  /// Opens `path` with open(2)'s `flags`; a new file is for the owner only.
  init(_ path: String, _ flags: CInt) throws(TerminalError) {
    // A pipe or device in the place of the file must not block or become our terminal.
    let flags = flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK
    // Safety: the path is a string that ends in NUL for the time of the call.
    descriptor = unsafe open(path, flags, 0o600)
    self.path = path
    guard descriptor >= 0 else { throw .last("open", path: path) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  private func status() throws(TerminalError) -> stat {
    var status = stat()
    // Safety: fstat writes one `stat`, and `status` is one.
    guard unsafe fstat(descriptor, &status) == 0 else { throw .last("fstat", path: path) }
    return status
  }

  func isRegular() throws(TerminalError) -> Bool {
    try status().st_mode & S_IFMT == S_IFREG
  }

  /// Whether `path` still names this file.
  func isAt(_ path: String) throws(TerminalError) -> Bool {
    let mine = try status()
    var named = stat()
    // Safety: the path ends in NUL, and stat writes one `stat`.
    guard unsafe stat(path, &named) == 0 else { return false }
    return mine.st_dev == named.st_dev && mine.st_ino == named.st_ino
  }

  /// Takes the permissions of group and others away from a regular file.
  func restrictToOwner() throws(TerminalError) {
    let mode = try status().st_mode
    guard mode & S_IFMT == S_IFREG, mode & 0o077 != 0 else { return }
    guard fchmod(descriptor, 0o600) == 0 else { throw .last("fchmod", path: path) }
  }

  /// Locks the file for this descriptor alone; gives up after a second.
  func lock() throws(TerminalError) {
    for _ in 0..<100 {
      if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return }
      guard errno == EWOULDBLOCK || errno == EINTR else { break }
      usleep(10_000)
    }
    throw .last("flock", path: path)
  }

  /// The last byte of the file; nil if it is empty.
  func lastByte() throws(TerminalError) -> UInt8? {
    try readEnd(limit: 1).last
  }

  /// The last `limit` bytes of the file; a cut first line is left out if there are more lines.
  func readEnd(limit: Int) throws(TerminalError) -> [UInt8] {
    let size = Int(try status().st_size)
    var position = max(0, size - limit)
    let isCut = position > 0
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    // Devices and pipes have no size; nothing is read from them.
    while position < size {
      // Safety: at most `chunk.count` bytes are written, into the storage of `chunk`.
      let count = unsafe pread(descriptor, &chunk, min(chunk.count, size - position), position)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .last("read", path: path) }
      if count == 0 { break }
      bytes += chunk[..<count]
      position += count
    }
    if isCut, let lineBreak = bytes.dropLast().firstIndex(of: 0x0A) {
      bytes.removeFirst(lineBreak + 1)
    }
    return bytes
  }

  /// Writes `bytes` at the end of the file, all or nothing: what could be written in part (on a
  /// full disk) is cut off again.
  func append(_ bytes: [UInt8]) throws(TerminalError) {
    let before = try status().st_size
    do throws(TerminalError) {
      try writeAll(bytes, to: descriptor)
    } catch {
      _ = ftruncate(descriptor, before)
      throw TerminalError(call: error.call, code: error.code, path: path)
    }
  }

  func synchronise() throws(TerminalError) {
    guard fsync(descriptor) == 0 else { throw .last("fsync", path: path) }
  }
}

/// Writes all of `bytes` to `descriptor`, also if it is in non-blocking mode. Where a signal ends a
/// wait, `isInterrupted` tells whether there is to be no other one.
func writeAll(
  _ bytes: [UInt8], to descriptor: CInt, unless isInterrupted: () -> Bool = { false }
) throws(TerminalError) {
  var written = 0
  while written < bytes.count {
    let rest = bytes[written...]
    // Safety: `rest` is the storage of the array, and no more than its length is read.
    let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    if count >= 0 {
      written += count
    } else if errno == EAGAIN {
      var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      // Safety: poll is told of one `pollfd`, and `wanted` is one.
      let count = unsafe poll(&wanted, 1, -1)
      if count < 0, isInterrupted() { throw .last("poll") }
    } else if errno != EINTR || isInterrupted() {
      throw .last("write")
    }
  }
}
