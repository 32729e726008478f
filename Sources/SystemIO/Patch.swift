// Edits of a file in place that a kill at any instant leaves recoverable.

internal import Bytes
internal import CSystem
internal import Glibc

/// Octets to be written over others of the same number.
public struct Patch: Sendable, Equatable {
  /// Octets from the start of the file.
  public let offset: UInt64
  public let before: [UInt8]
  public let after: [UInt8]

  public init(offset: UInt64, before: [UInt8], after: [UInt8]) {
    precondition(before.count == after.count)
    self.offset = offset
    self.before = before
    self.after = after
  }

  /// The runs of octets in which two versions of a part at `offset` differ.
  public static func differences(
    _ before: [UInt8], _ after: [UInt8], at offset: UInt64
  ) -> [Patch] {
    precondition(before.count == after.count)
    var out: [Patch] = []
    var position = 0
    while position < before.count {
      guard before[position] != after[position] else {
        position += 1
        continue
      }
      var end = position + 1
      while end < before.count, before[end] != after[end] { end += 1 }
      out.append(
        Patch(
          offset: offset + UInt64(position), before: Array(before[position..<end]),
          after: Array(after[position..<end])))
      position = end
    }
    return out
  }
}

/// The journal beside a file that is being patched: what the octets were.
///
///      0         8          16         24                                     end - 8
///     +---------+----------+----------+--------------------------------------+----------+
///     | "XSUNDO1\n" | file size | patches | { offset, count, octets before }... | checksum |
///     +---------+----------+----------+--------------------------------------+----------+
///
/// All numbers are little-endian and of 64 bits. Order: the journal and its folder reach the disk,
/// then the file is written, then it reaches the disk, then the journal goes. A journal that is not
/// whole was never followed by a write: the file is as it was.
public enum PatchJournal {
  private static let magic = Array("XSUNDO1\n".utf8)

  /// The journal's path: hidden, beside the file.
  public static func path(for file: String) -> String {
    let (folder, name) = splitPath(resolvedPath(file))
    return "\(folder).\(name).undo"
  }

  /// Whether an edit of this file was interrupted.
  public static func exists(for file: String) -> Bool {
    unsafe access(path(for: file), F_OK) == 0
  }

  /// Writes `patches` into `file`. The octets that they replace must be there.
  public static func apply(_ patches: [Patch], to file: String) throws(SystemError) {
    guard !patches.isEmpty else { return }
    let descriptor = try Descriptor.open(file, isWritable: true)
    let size = try descriptor.byteCount(path: file)
    for patch in patches {
      let there = try read(descriptor, patch.offset, patch.before.count, file)
      // The file changed since it was looked at: EBUSY says best that another is at work on it.
      guard there == patch.before else { throw SystemError("edit in place", EBUSY, file) }
    }
    let journal = path(for: file)
    try write(encode(patches, size), toNewFile: journal)
    for patch in patches { try write(patch.after, descriptor, patch.offset, file) }
    // The kernel's own time of change is that of its last tick, which two writes may share.
    _ = csystem_stamp(descriptor.number)
    try descriptor.synchronize(path: file)
    try remove(journal)
  }

  /// Undoes an edit that was interrupted. Returns whether anything had to be written back.
  public static func recover(_ file: String) throws(SystemError) -> Bool {
    let journal = path(for: file)
    guard exists(for: file) else { return false }
    let source = try Source(opening: journal)
    let octets = try source.read(Int(clamping: source.byteCount ?? 0))
    let descriptor = try Descriptor.open(file, isWritable: true)
    guard let (patches, size) = decode(octets),
      try descriptor.byteCount(path: file) == size
    else {
      // Not whole: the file was not written to yet. Of another size: it is not the same file.
      try remove(journal)
      return false
    }
    for patch in patches { try write(patch.before, descriptor, patch.offset, file) }
    try descriptor.synchronize(path: file)
    try remove(journal)
    return true
  }

  // MARK: - Encoding

  static func encode(_ patches: [Patch], _ size: UInt64) -> [UInt8] {
    var out = magic
    out.append(integer: size)
    out.append(integer: UInt64(patches.count))
    for patch in patches {
      out.append(integer: patch.offset)
      out.append(integer: UInt64(patch.before.count))
      out += patch.before
    }
    out.append(integer: checksum(out))
    return out
  }

  static func decode(_ octets: [UInt8]) -> (patches: [Patch], size: UInt64)? {
    guard octets.count >= 32, octets.starts(with: magic),
      octets.load(octets.count - 8, as: UInt64.self) == checksum(Array(octets.dropLast(8)))
    else { return nil }
    let size = octets.load(8, as: UInt64.self)
    let count = octets.load(16, as: UInt64.self)
    var patches: [Patch] = []
    var position = 24
    let end = octets.count - 8
    for _ in 0..<count {
      guard end - position >= 16 else { return nil }
      let offset = octets.load(position, as: UInt64.self)
      let length = octets.load(position + 8, as: UInt64.self)
      position += 16
      guard length <= UInt64(end - position) else { return nil }
      let before = Array(octets[position..<position + Int(length)])
      patches.append(Patch(offset: offset, before: before, after: before))
      position += Int(length)
    }
    return position == end ? (patches, size) : nil
  }

  /// FNV-1a of 64 bits: it is to find a journal that is cut off, not one that is forged.
  private static func checksum(_ octets: [UInt8]) -> UInt64 {
    octets.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  // MARK: - Files

  private static func read(
    _ descriptor: borrowing Descriptor, _ offset: UInt64, _ count: Int, _ path: String
  ) throws(SystemError) -> [UInt8] {
    var octets = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let number = descriptor.number
      // Safety: done stays below the count of the buffer.
      let got = unsafe octets.withUnsafeMutableBytes { raw in
        unsafe pread(
          number, raw.baseAddress.unsafelyUnwrapped + done, count - done,
          Int(clamping: offset) + done)
      }
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw SystemError("read", errno, path) }
      if got == 0 { return Array(octets.prefix(done)) }
      done += got
    }
    return octets
  }

  private static func write(
    _ octets: [UInt8], _ descriptor: borrowing Descriptor, _ offset: UInt64, _ path: String
  ) throws(SystemError) {
    var done = 0
    while done < octets.count {
      let number = descriptor.number
      // Safety: done stays below the count of the buffer.
      let put = unsafe octets.withUnsafeBytes { raw in
        unsafe pwrite(
          number, raw.baseAddress.unsafelyUnwrapped + done, octets.count - done,
          Int(clamping: offset) + done)
      }
      if put < 0, errno == EINTR { continue }
      guard put > 0 else { throw SystemError("write", errno, path) }
      done += put
    }
  }

  private static func write(_ octets: [UInt8], toNewFile path: String) throws(SystemError) {
    let number = unsafe csystem_create(path, 0o600)
    guard number >= 0 else { throw SystemError("open", errno, path) }
    let sink = Sink(try Descriptor(taking: number, path: path), path: path)
    do {
      try sink.write(octets)
      try sink.synchronize()
      try synchronizeFolder(of: path)
    } catch {
      unsafe unlink(path)
      throw error
    }
  }

  private static func remove(_ path: String) throws(SystemError) {
    guard unsafe unlink(path) == 0 else { throw SystemError("unlink", errno, path) }
    try synchronizeFolder(of: path)
  }
}

/// Writes the folder of `path` to the disk, so that names in it last.
func synchronizeFolder(of path: String) throws(SystemError) {
  let given = splitPath(path).folder
  // Messages name it, also where the path has none.
  let folder = given.isEmpty ? "." : given
  let number = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard number >= 0 else { throw SystemError("open", errno, folder) }
  defer { _ = close(number) }
  // Some file systems cannot sync a folder (EINVAL); the names in it stand all the same.
  if fsync(number) != 0, errno != EINVAL { throw SystemError("fsync", errno, folder) }
}
