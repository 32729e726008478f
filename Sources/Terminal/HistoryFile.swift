// The history file: one block a line, appended under a lock, now and then rewritten as a whole.

internal import Glibc

/// The file of a `History`.
///
/// A line is a block with `\` written as `\\` and a line break as `\n`. Blocks are appended under
/// flock(2). When the file holds half as many lines again as the limit, it is replaced by a shorter
/// one through rename(2); a process that waited for the lock of the old file sees that and opens
/// the new one.
struct HistoryFile: Sendable {
  /// Bytes read from the end of a file that is larger.
  static let readLimit = 16 << 20
  /// Bytes of a block that is still worth a line in the file.
  static let blockLimit = 64 << 10

  let path: String
  let limit: Int
  private var lineCount = 0

  init(path: String, limit: Int) {
    self.path = path
    self.limit = limit
  }

  /// The blocks of the file, oldest first, without duplicates; none if there is no file.
  mutating func load() throws(TerminalError) -> [String] {
    do throws(TerminalError) {
      let file = try OpenFile(path, O_RDONLY)
      let blocks = Self.decode(try file.readEnd(limit: Self.readLimit))
      lineCount = blocks.count
      return History.distinct(blocks, limit: limit)
    } catch {
      if error.code == ENOENT { return [] }
      throw error
    }
  }

  /// Appends one block; blocks over `blockLimit` bytes are left out.
  mutating func append(_ block: String) throws(TerminalError) {
    guard block.utf8.count <= Self.blockLimit else { return }
    let file = try openLocked()
    var line = Self.encode(block)
    // A line that another process could not finish must not swallow this one.
    if let last = try file.lastByte(), last != 0x0A { line.insert(0x0A, at: 0) }
    try file.append(line)
    lineCount += 1
    if lineCount > limit + limit / 2 { try compact(file) }
  }

  /// Replaces the file by one with the last `limit` distinct blocks of all processes.
  private mutating func compact(_ locked: borrowing OpenFile) throws(TerminalError) {
    guard try locked.isRegular() else { return }
    let blocks = History.distinct(
      Self.decode(try locked.readEnd(limit: Self.readLimit)), limit: limit)
    let target = resolvedPath(path)
    let temporary = "\(target).\(getpid()).new"
    // Safety: both paths are strings that end in NUL for the time of the call.
    _ = unsafe unlink(temporary)
    do throws(TerminalError) {
      let file = try OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL)
      try file.append(blocks.flatMap(Self.encode))
      try file.synchronise()
      guard unsafe rename(temporary, target) == 0 else { throw .last("rename", path: path) }
    } catch {
      _ = unsafe unlink(temporary)
      throw error
    }
    lineCount = blocks.count
  }

  /// Opens the file for appending, makes it if need be, and locks it.
  private func openLocked() throws(TerminalError) -> OpenFile {
    // A file that was replaced while we waited for its lock is opened again.
    for _ in 0..<100 {
      let file = try openOrCreate()
      try file.restrictToOwner()
      try file.lock()
      if try file.isAt(path) { return file }
    }
    throw TerminalError(call: "flock", code: EBUSY, path: path)
  }

  private func openOrCreate() throws(TerminalError) -> OpenFile {
    let flags = O_RDWR | O_APPEND | O_CREAT
    do throws(TerminalError) {
      return try OpenFile(path, flags)
    } catch {
      guard error.code == ENOENT else { throw error }
      makeDirectories(for: path)
      return try OpenFile(path, flags)
    }
  }

  // MARK: Format

  static func encode(_ block: String) -> [UInt8] {
    var line: [UInt8] = []
    for byte in block.utf8 {
      switch byte {
      case 0x0A: line += "\\n".utf8
      case UInt8(ascii: "\\"): line += "\\\\".utf8
      default: line.append(byte)
      }
    }
    line.append(0x0A)
    return line
  }

  static func decode(_ bytes: [UInt8]) -> [String] {
    bytes.split(separator: 0x0A).map { line in
      var block: [UInt8] = []
      var isEscaped = false
      for byte in line {
        if isEscaped {
          isEscaped = false
          switch byte {
          case UInt8(ascii: "n"): block.append(0x0A)
          case UInt8(ascii: "\\"): block.append(byte)
          default: block += [UInt8(ascii: "\\"), byte]
          }
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else {
          block.append(byte)
        }
      }
      if isEscaped { block.append(UInt8(ascii: "\\")) }
      return String(decoding: block, as: UTF8.self).withUnixLineBreaks
    }
  }
}

/// Makes the directories above `path` that are missing, for the owner only; what cannot be made
/// shows when the file is opened.
private func makeDirectories(for path: String) {
  for (position, byte) in path.utf8.enumerated() where byte == UInt8(ascii: "/") && position > 0 {
    // Safety: the path is a string that ends in NUL for the time of the call.
    _ = unsafe mkdir(String(decoding: path.utf8.prefix(position), as: UTF8.self), 0o700)
  }
}

/// `path` with symbolic links followed, so that a link to the file is not replaced by a file.
private func resolvedPath(_ path: String) -> String {
  // Safety: realpath with a nil buffer returns nil or a string of its own, which is freed here.
  guard let resolved = unsafe realpath(path, nil) else { return path }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
