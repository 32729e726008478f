// The journal beside a file that is edited in place: what its bytes were and what they become.

internal import Bytes
internal import CSystem
internal import Glibc

/// The journal `.NAME.undo` beside NAME.
///
///      0     1     2     3     4     5     6     7 byte
///     +-------------------------------------------------+
///     | magic "XSUNDO2\n"                               |
///     +-------------------------------------------------+
///     | bytes of the journal, checksum included         |
///     +-------------------------------------------------+
///     | operations                                      |
///     +-------------------------------------------------+
///     | bytes of the file before the edit, and after it |
///     +-------------------------------------------------+
///     | inode of the file                               |
///     +-------------------------------------------------+
///     | its time of birth in nanoseconds, 0: unknown    |
///     +-------------------------------------------------+
///     | hash of bytes that the edit leaves alone        |
///     +-------------------------------------------------+
///     | operations: kind (4), 0 (4), bytes of it all,   |
///     | offset, count, bytes before, bytes after        |
///     +-------------------------------------------------+
///     | checksum of all before it                       |
///     +-------------------------------------------------+
///
/// Little-endian words of 64 bits where nothing else is said. The kinds: 1 writes bytes over others;
/// 2 inserts a block of zeros at the front of the file (offset 0), and only the first operation is
/// one: all other offsets are those of the file with it. In the place of bytes before and after it
/// has where the data of the file lay (`FrontBlock.Data`). Offsets ascend and ranges do not meet. The
/// device is not in it: its number may be another one after the machine was started anew.
///
/// Order: the journal gets its name only as a whole and on the disk, then its folder reaches the
/// disk, then the block is inserted and that reaches the disk, then the file is written, then it
/// reaches the disk, then the journal goes. A journal that is not whole was never followed by a write.
/// Whether the block is there the file's length tells. Whoever writes or removes a journal holds its lock
/// (flock), so that nobody takes away one that is another's.
final class UndoJournal {
  static let magic = Array("XSUNDO2\n".utf8)
  /// What version 0.1.0 wrote: size, count and bytes before only.
  static let oldMagic = Array("XSUNDO1\n".utf8)
  static let headCount = 64
  static let operationHeadCount = 32
  /// Operations of one edit: what has to be known of them fits into 16 MiB.
  static let operationLimit = 1 << 20
  static let overwriting: UInt32 = 1
  static let inserting: UInt32 = 2

  let path: String
  let descriptor: Descriptor
  let byteCount: UInt64

  init(_ descriptor: consuming Descriptor, path: String, byteCount: UInt64) {
    self.path = path
    self.byteCount = byteCount
    self.descriptor = descriptor
  }

  /// What is beside a file.
  enum Found {
    case none
    /// A journal that says nothing of this file: it may be removed.
    case void(UndoJournal, String)
    /// Something that is not ours: neither believed nor touched. Its path, and why.
    case foreign(String, String)
    /// A journal that may be of this file, but cannot be read or understood. Its path, and why.
    case unclear(String, String)
    case unfinished(UndoJournal)
  }

  /// Where the file of a descriptor lies; `path`, with symbolic links followed, where the kernel does
  /// not say.
  static func place(of fileDescriptor: Int32, _ path: String) -> String {
    var buffer = [UInt8](repeating: 0, count: 4097)
    // Safety: no more is written than the buffer holds.
    let count = unsafe buffer.withUnsafeMutableBytes { raw in
      unsafe readlink(
        "/proc/self/fd/\(fileDescriptor)",
        raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self), raw.count)
    }
    guard count > 0, count < buffer.count, buffer[0] == UInt8(ascii: "/") else {
      return SystemIO.resolvedPath(path)
    }
    return String(decoding: buffer.prefix(count), as: UTF8.self)
  }

  /// The journal's path: hidden, beside the file at `place`.
  static func path(for place: String) -> String {
    let (folder, name) = splitPath(place)
    return "\(folder).\(name).undo"
  }

  // MARK: - Finding

  /// What is beside the file that is open as `fileDescriptor`.
  static func find(for fileDescriptor: Int32, _ path: String) throws(SystemError) -> Found {
    let name = UndoJournal.path(for: place(of: fileDescriptor, path))
    var image = stat()
    let journal = unsafe csystem_open_strictly(name)
    guard journal >= 0 else {
      switch errno {
      case ENOENT, ENOTDIR, ENAMETOOLONG: return .none
      case ELOOP: return .foreign(name, "is a symbolic link")
      case ENXIO: return .foreign(name, "is no regular file")
      case EACCES, EPERM:
        var status = stat()
        guard unsafe lstat(name, &status) == 0 else { return .none }
        guard unsafe fstat(fileDescriptor, &image) == 0 else {
          throw SystemError("fstat", errno, path)
        }
        if let problem = distrust(status, image) { return .foreign(name, problem) }
        return .unclear(name, "cannot be read (permission denied)")
      default: throw SystemError("open", errno, name)
      }
    }
    let opened = try Descriptor(taking: journal, path: name)
    guard unsafe fstat(fileDescriptor, &image) == 0 else { throw SystemError("fstat", errno, path) }
    var status = stat()
    guard unsafe fstat(journal, &status) == 0 else { throw SystemError("fstat", errno, name) }
    if let problem = distrust(status, image) { return .foreign(name, problem) }
    let head = try readFully(journal, 0, headCount, name)
    let found = UndoJournal(opened, path: name, byteCount: UInt64(max(0, status.st_size)))
    return try found.judge(head, status, fileDescriptor, image, path)
  }

  /// Why a file beside an image is not what somebody with a right to the image has written.
  private static func distrust(_ journal: stat, _ image: stat) -> String? {
    guard journal.st_mode & S_IFMT == S_IFREG else { return "is no regular file" }
    guard [0, geteuid(), image.st_uid].contains(journal.st_uid) else {
      return "belongs to another user (\(journal.st_uid))"
    }
    return journal.st_mode & 0o022 == 0 ? nil : "can be written by others"
  }

  /// What a journal that is ours says of the file.
  private func judge(
    _ head: [UInt8], _ status: stat, _ fileDescriptor: Int32, _ image: stat, _ imagePath: String
  ) throws(SystemError) -> Found {
    guard head.count >= 32, head.starts(with: "XSUNDO".utf8) else {
      return .void(self, "is not whole")
    }
    var birth: UInt64 = 0
    _ = unsafe csystem_birth(fileDescriptor, &birth)
    let isRegular = image.st_mode & S_IFMT == S_IFREG
    func isSize(_ size: UInt64) -> Bool { !isRegular || size == UInt64(max(0, image.st_size)) }
    if head.starts(with: UndoJournal.oldMagic) {
      let written = nanoseconds(status.st_mtim)
      guard isSize(head.load(8, as: UInt64.self)), birth <= written else {
        return .void(self, "is of another file that had this name")
      }
      return .unfinished(self)
    }
    guard head.starts(with: UndoJournal.magic) else {
      return .unclear(path, "was written by another version of xensave-lua")
    }
    guard head.count == UndoJournal.headCount, head.load(8, as: UInt64.self) == byteCount else {
      return .void(self, "is not whole")
    }
    let (inode, born) = (head.load(40, as: UInt64.self), head.load(48, as: UInt64.self))
    guard inode == UInt64(image.st_ino), born == 0 || birth == 0 || born == birth,
      isSize(head.load(24, as: UInt64.self)) || isSize(head.load(32, as: UInt64.self))
    else { return .void(self, "is of another file that had this name") }
    return .unfinished(self)
  }

  // MARK: - Writing and removing

  /// Writes the journal of an edit and brings it to the disk. It is locked.
  static func write(
    _ patches: [Patch], inserting block: FrontBlock?, for edit: FileEdit
  ) throws -> UndoJournal {
    guard patches.count <= operationLimit else {
      throw XensaveError(
        .usage,
        "\(edit.path): \(patches.count) ranges are too many for an edit in place (write it with -o)"
      )
    }
    let path = path(for: edit.resolvedPath)
    var isUnnamed = true
    var fileDescriptor = unsafe csystem_create_unnamed(splitFolder(of: path), 0o600)
    if fileDescriptor < 0, [EOPNOTSUPP, EISDIR, EINVAL, ENOENT].contains(errno) {
      isUnnamed = false
      fileDescriptor = unsafe csystem_create(path, 0o600)
    }
    guard fileDescriptor >= 0 else { throw inTheWay(errno, "open", path, edit) }
    do {
      let opened = try Descriptor(taking: fileDescriptor, path: path)
      // A file that nobody else has seen yet: nobody else has its lock.
      _ = csystem_lock(fileDescriptor)
      let size = try write(patches, block, fileDescriptor, edit, path)
      guard try Waiting.synchronize(fileDescriptor, path) == 0 else {
        throw SystemError("fsync", errno, path)
      }
      if isUnnamed, unsafe csystem_name(fileDescriptor, path) != 0 {
        throw inTheWay(errno, "linkat", path, edit)
      }
      isUnnamed = false
      try synchronizeFolder(of: path)
      return UndoJournal(opened, path: path, byteCount: size)
    } catch {
      // Nothing was written to the file yet.
      if !isUnnamed { unsafe unlink(path) }
      throw error
    }
  }

  private static func splitFolder(of path: String) -> String {
    let folder = splitPath(path).folder
    return folder.isEmpty ? "." : folder
  }

  private static func inTheWay(
    _ errno: Int32, _ call: String, _ path: String, _ edit: FileEdit
  ) -> any Error {
    guard errno == EEXIST else { return SystemError(call, errno, path) }
    return XensaveError(.busy, "\(edit.path): another edit is under way (\(path) is there)")
  }

  /// Writes the contents; returns how many bytes they are.
  private static func write(
    _ patches: [Patch], _ block: FrontBlock?, _ fileDescriptor: Int32, _ edit: FileEdit,
    _ path: String
  ) throws(SystemError) -> UInt64 {
    let size = try edit.descriptor.byteCount(path: edit.path)
    let longer = size + (block?.count ?? 0)
    var status = stat()
    guard unsafe fstat(edit.descriptor.fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, edit.path)
    }
    var birth: UInt64 = 0
    _ = unsafe csystem_birth(edit.descriptor.fileDescriptor, &birth)
    let ranges = patches.map { EditedRange(offset: $0.offset, count: UInt64($0.after.count)) }
    let insertion = block.map { $0.operation } ?? []
    let bytes = patches.reduce(UInt64(headCount + 8 + 8 * insertion.count)) {
      $0 + UInt64(operationHeadCount + 2 * $1.after.count)
    }
    let view = FileView(edit.descriptor.fileDescriptor, edit.path, block?.count ?? 0, .before)
    var writer = ChecksummedWriter(fileDescriptor, path)
    try writer.add(magic)
    for word in [
      bytes, UInt64(patches.count + (block == nil ? 0 : 1)), size, longer, UInt64(status.st_ino),
      birth, try EditedRange.hash(around: ranges, in: view, longer),
    ] { try writer.add(word) }
    for word in insertion { try writer.add(word) }
    for patch in patches {
      let count = UInt64(patch.after.count)
      for word in [
        UInt64(overwriting), UInt64(operationHeadCount) + 2 * count, patch.offset, count,
      ] { try writer.add(word) }
      try writer.add(patch.before)
      try writer.add(patch.after)
    }
    try writer.finish()
    return bytes
  }

  /// Takes the journal away, which is ours or void. One that another has put there stays.
  func remove() throws(SystemError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0,
      FileIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        == descriptor.identity
    else { return }
    guard unsafe unlink(path) == 0 else { throw SystemError("unlink", errno, path) }
    try synchronizeFolder(of: path)
  }

  /// Takes a void journal away, unless it is that of an edit that continues.
  func removeVoid(of file: String) throws {
    guard csystem_lock(descriptor.fileDescriptor) == 0 else {
      guard errno == EWOULDBLOCK else { throw SystemError("flock", errno, path) }
      throw FileEdit.busy(file)
    }
    try remove()
  }
}

/// Where an edit writes.
struct EditedRange {
  let offset: UInt64
  let count: UInt64
  var end: UInt64 { offset + count }

  private static let edge: UInt64 = 4096
  private static let margin: UInt64 = 512
  private static let neighbours = 16

  /// A hash of bytes that an edit of `ranges` (in order) leaves alone, and that another image would
  /// have otherwise: the first and the last 4 KiB, and 512 bytes on both sides of the first ranges.
  /// The offsets are those of the file with the block that the edit inserts.
  static func hash(
    around ranges: [EditedRange], in file: FileView, _ size: UInt64
  ) throws(SystemError) -> UInt64 {
    var windows = [(start: UInt64(0), end: min(edge, size))]
    for range in ranges.prefix(neighbours) {
      windows.append(
        (range.offset - min(margin, range.offset), min(size, range.end + min(margin, size))))
    }
    windows.append((size - min(edge, size), size))
    var sum = FNV()
    var place: UInt64 = 0
    var next = 0
    for window in windows.sorted(by: { $0.start < $1.start }) {
      place = max(place, window.start)
      while place < window.end {
        while next < ranges.count, ranges[next].end <= place { next += 1 }
        var end = window.end
        if next < ranges.count {
          if ranges[next].offset <= place {
            place = ranges[next].end
            continue
          }
          end = min(end, ranges[next].offset)
        }
        let count = min(end - place, 64 << 10)
        sum.add(place)
        sum.add(try file.read(place, Int(count)))
        place += count
      }
    }
    return sum.value
  }
}

func nanoseconds(_ time: timespec) -> UInt64 {
  UInt64(clamping: time.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: time.tv_nsec)
}

/// FNV-1a of 64 bits: it is to find a journal that is cut off or damaged; a forged one is found by
/// its owner.
struct FNV {
  private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    var sum = value
    for byte in bytes { sum = (sum ^ UInt64(byte)) &* 0x100_0000_01B3 }
    value = sum
  }

  mutating func add(_ word: UInt64) {
    for shift in stride(from: UInt64(0), to: 64, by: 8) {
      value = (value ^ (word >> shift & 0xFF)) &* 0x100_0000_01B3
    }
  }
}

/// Writes a file from its start, a chunk at a time, and its checksum after it.
private struct ChecksummedWriter {
  private let fileDescriptor: Int32
  private let path: String
  private var buffer: [UInt8] = []
  private var position: UInt64 = 0
  private var sum = FNV()
  private static let chunk = 64 << 10

  init(_ fileDescriptor: Int32, _ path: String) {
    self.fileDescriptor = fileDescriptor
    self.path = path
  }

  mutating func add(_ bytes: [UInt8]) throws(SystemError) {
    sum.add(bytes)
    buffer += bytes
    if buffer.count >= Self.chunk { try flush() }
  }

  mutating func add(_ word: UInt64) throws(SystemError) {
    sum.add(word)
    buffer.append(integer: word)
    if buffer.count >= Self.chunk { try flush() }
  }

  mutating func finish() throws(SystemError) {
    buffer.append(integer: sum.value)
    try flush()
  }

  private mutating func flush() throws(SystemError) {
    try writeFully(buffer, fileDescriptor, position, path)
    position += UInt64(buffer.count)
    buffer.removeAll(keepingCapacity: true)
  }
}
