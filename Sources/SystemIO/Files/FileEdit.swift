// The right to edit a file in place: one place that locks, checks and writes.

internal import CSystem
internal import Glibc

/// A file that only we edit, for as long as this lives.
///
/// The lock (flock) is on the file itself. It is taken before anything of the file is read, so that
/// what an edit replaces is what it saw; nobody waits for it. Who dies loses it, and leaves a journal
/// where the file was written to: then only `recover` gets through. All ways into a file go through
/// here: patches, replacing it as a whole, and undoing.
public final class FileEdit {
  /// The file as the user named it.
  public let path: String
  /// Where it lies, with symbolic links followed.
  public let resolvedPath: String
  let descriptor: Descriptor
  /// Why it cannot be written to, where it can't: it may still be replaced.
  private let writingProblem: Int32
  private let status: stat
  /// A line for the user: a journal of another file was found beside it and is gone.
  public private(set) var note: String?

  /// Locks the file at `path` for an edit. Refused where another edit continues, or one was
  /// interrupted.
  public convenience init(_ path: String) throws {
    try self.init(locking: path)
    let found = try UndoJournal.find(for: descriptor.fileDescriptor, path)
    switch found {
    case .none: break
    case .void(let journal, let reason):
      try journal.removeVoid(of: path)
      note = "\(path): \(journal.path): \(reason): removed"
    case .foreign(let journal, let reason):
      throw XensaveError(
        .refused, "\(path): the journal of an edit has no place: \(journal) \(reason): remove it")
    case .unclear(let journal, let reason):
      throw XensaveError(
        .unfinished,
        "\(path): not edited: an edit before this is not finished: \(journal) \(reason)"
      )
    case .unfinished(let journal):
      throw XensaveError(
        .unfinished,
        "\(path): not edited: an edit before this was interrupted (\(journal.path))",
        hint: FileEdit.remedy(path))
    }
  }

  /// Locks the file, whatever is beside it.
  init(locking path: String) throws {
    try RemoteFiles.refuse(path, for: "an edit in place", "write a new image (-o)")
    guard path != "-" else {
      throw XensaveError(.usage, "standard input: only a file by its name can be edited in place")
    }
    try CompressedFiles.refuse(path, for: "an edit in place", "write a new image (-o)")
    self.path = path
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw SystemError("stat", errno, path) }
    let kind = status.st_mode & S_IFMT
    guard kind == S_IFREG || kind == S_IFBLK else {
      throw XensaveError(.usage, "\(path): only a file can be edited in place")
    }
    let flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY
    var problem: Int32 = 0
    var fileDescriptor = FileEdit.open(path, O_RDWR | flags)
    if fileDescriptor < 0, [EACCES, EPERM, EROFS, ETXTBSY].contains(errno) {
      problem = errno
      fileDescriptor = FileEdit.open(path, O_RDONLY | flags)
    }
    guard fileDescriptor >= 0 else { throw SystemError("open", errno, path) }
    writingProblem = problem
    let opened = try Descriptor(taking: fileDescriptor, path: path)
    guard unsafe fstat(fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    self.status = status
    resolvedPath = UndoJournal.place(of: fileDescriptor, path)
    descriptor = opened
    guard csystem_lock(fileDescriptor) == 0 else {
      guard errno == EWOULDBLOCK else { throw SystemError("flock", errno, path) }
      throw FileEdit.busy(path)
    }
    // Whoever had the lock before may have put another file there.
    try checkPlace()
  }

  private static func open(_ path: String, _ flags: Int32) -> Int32 {
    var fileDescriptor: Int32 = -1
    repeat {
      fileDescriptor = unsafe Glibc.open(path, flags)
    } while fileDescriptor < 0 && errno == EINTR
    return fileDescriptor
  }

  static func busy(_ path: String) -> XensaveError {
    XensaveError(.busy, "\(path): another edit is under way (its lock is held): try again after it")
  }

  /// Device and inode of the file.
  public var identity: FileIdentity { descriptor.identity }
  /// Whether it is a file and no block device.
  public var isRegular: Bool { status.st_mode & S_IFMT == S_IFREG }

  /// Throws where another file has the name now.
  public func checkPlace() throws {
    var here = stat()
    guard unsafe stat(resolvedPath, &here) == 0, here.st_dev == status.st_dev,
      here.st_ino == status.st_ino
    else { throw changed("another file has taken its place") }
  }

  func checkWritable() throws {
    guard writingProblem == 0 else { throw SystemError("open", writingProblem, path) }
  }

  private func changed(_ what: String) -> XensaveError {
    XensaveError(.changed, "\(path): not edited: \(what) while it was looked at")
  }

  // MARK: - Writing

  /// In what the file can be made longer at its front without a byte of it being moved; 0 where that
  /// cannot be done.
  public var frontUnit: UInt64 { isRegular ? csystem_front_unit(descriptor.fileDescriptor) : 0 }

  /// What came of an edit.
  public enum Outcome: Equatable {
    case done
    /// Nothing was changed: the file system inserts no block. Why.
    case cannotInsert(String)
  }

  /// Writes `patches` into the file. The bytes that they replace must be there. Before that a block of
  /// `count` zeros (a multiple of `frontUnit`) is inserted at its front: the patches are of the file with
  /// it.
  @discardableResult
  public func apply(
    _ patches: [Patch], inserting count: UInt64 = 0
  ) throws -> Outcome {
    guard !patches.isEmpty else { return .done }
    try checkWritable()
    let patches = patches.sorted { $0.offset < $1.offset }
    try checkPlace()
    let size = try descriptor.byteCount(path: path)
    try check(patches, count, size)
    var block: FrontBlock?
    if count > 0 {
      guard try isDistinguishableFromTorn(patches) else {
        return .cannotInsert("by its first bytes an interrupted edit could not be told")
      }
      block = try FrontBlock(count, for: descriptor.fileDescriptor, size, path)
    }
    let journal = try UndoJournal.write(patches, inserting: block, for: self)
    let refusal = try finishing { () throws(SystemError) -> SystemError? in
      guard count > 0, let refusal = try insert(count, size) else { return nil }
      try journal.remove()
      return refusal
    }
    if let refusal {
      guard [EOPNOTSUPP, EINVAL, ENOSYS, EPERM].contains(refusal.errno) else {
        throw refusal
      }
      return .cannotInsert(refusal.reason)
    }
    try finishing { () throws(SystemError) in
      for patch in patches {
        try writeFully(patch.after, descriptor.fileDescriptor, patch.offset, path)
      }
      // The kernel's own time of change is that of its last tick, which two writes may share.
      _ = csystem_stamp(descriptor.fileDescriptor)
      try descriptor.synchronize(path: path)
      try journal.remove()
    }
    return .done
  }

  /// Runs what comes after the journal is on the disk: what fails there leaves it.
  private func finishing<R>(_ body: () throws(SystemError) -> R) throws -> R {
    do throws(SystemError) { return try body() } catch {
      throw XensaveError(
        error, "\(error.description); the edit is not finished", hint: FileEdit.remedy(path))
    }
  }

  /// What undoes an edit that was not finished.
  static func remedy(_ path: String) -> String { "`xensave-lua recover \(path)` undoes it" }

  /// Inserts the block and brings that to the disk, before anything is written there: bytes that lie
  /// where others lay could not be told from these. Returns why it cannot be done, where the file is as
  /// it was.
  private func insert(_ count: UInt64, _ size: UInt64) throws(SystemError) -> SystemError? {
    while csystem_insert_front(descriptor.fileDescriptor, count) != 0 {
      let refusal = SystemError("fallocate", errno, path)
      guard try descriptor.byteCount(path: path) == size else { throw refusal }
      guard refusal.errno == EINTR else { return refusal }
      if Interrupt.isRequested { return .interrupted(path) }
    }
    try descriptor.synchronize(path: path)
    return nil
  }

  /// Whether one can tell by the bytes of the patches that the front has moved: some byte of the first
  /// block is neither what it is once a block is before it nor what it becomes.
  private func isDistinguishableFromTorn(_ patches: [Patch]) throws -> Bool {
    let block = 512
    for patch in patches where patch.offset < UInt64(block) {
      let count = min(patch.before.count, block - Int(patch.offset))
      let there = try readFully(descriptor.fileDescriptor, patch.offset, count, path)
      for (index, byte) in there.enumerated()
      where byte != patch.before[index] && byte != patch.after[index] { return true }
    }
    return false
  }

  private func check(
    _ patches: [Patch], _ inserted: UInt64, _ size: UInt64
  ) throws {
    let view = FileView(descriptor.fileDescriptor, path, inserted, .before)
    let size = size + inserted
    var end: UInt64 = 0
    for patch in patches {
      let count = UInt64(patch.before.count)
      guard patch.offset >= end, patch.offset <= size, count <= size - patch.offset else {
        throw changed("it became shorter")
      }
      end = patch.offset + count
      let there = try view.read(patch.offset, patch.before.count)
      guard there == patch.before else {
        throw changed("its bytes at \(patch.offset) changed")
      }
    }
  }
}

/// Reads `count` bytes at `offset`, or fewer at the end.
func readFully(
  _ fileDescriptor: Int32, _ offset: UInt64, _ count: Int, _ path: String
) throws(SystemError) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  var done = 0
  while done < count {
    // Safety: done stays below the count of the buffer.
    let got = unsafe bytes.withUnsafeMutableBytes { raw in
      unsafe pread(
        fileDescriptor, raw.baseAddress.unsafelyUnwrapped + done, count - done,
        Int(clamping: offset &+ UInt64(done)))
    }
    if got < 0, errno == EINTR { continue }
    guard got >= 0 else { throw SystemError("read", errno, path) }
    if got == 0 { return Array(bytes.prefix(done)) }
    done += got
  }
  return bytes
}

/// Writes all of `bytes` at `offset`.
func writeFully(
  _ bytes: [UInt8], _ fileDescriptor: Int32, _ offset: UInt64, _ path: String
) throws(SystemError) {
  var done = 0
  while done < bytes.count {
    // Safety: done stays below the count of the buffer.
    let put = unsafe bytes.withUnsafeBytes { raw in
      unsafe pwrite(
        fileDescriptor, raw.baseAddress.unsafelyUnwrapped + done, bytes.count - done,
        Int(clamping: offset &+ UInt64(done)))
    }
    if put < 0, errno == EINTR { continue }
    guard put > 0 else { throw SystemError("write", put < 0 ? errno : EIO, path) }
    done += put
  }
}
