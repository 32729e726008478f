// An owned file descriptor and what kind of thing it is.

internal import CSystem
internal import Glibc

/// What a descriptor refers to; the fastest way to move bytes depends on it.
public enum DescriptorKind: Sendable, Equatable {
  /// A regular file or a block device: it has a size, and can be read at any offset.
  case file
  case pipe
  case socket
  /// Terminals and other character devices, such as /dev/null.
  case other
}

/// A file descriptor, closed once: when it goes, or before by `close()`.
public struct Descriptor: ~Copyable {
  /// The number of the descriptor.
  public let fileDescriptor: Int32
  public let kind: DescriptorKind
  /// Device and inode, to tell whether two descriptors are the same file.
  public let identity: FileIdentity
  private let isOwned: Bool

  /// Takes a descriptor that is open already. With `isOwned` false (0, 1 and 2, or one that
  /// another owns) it stays open when this value goes. With `isStream` a file is read from and
  /// written to where its own position is, as a pipe: others go on there. With `isCopied` bytes are
  /// moved by read(2) and write(2) alone, whatever it is.
  public init(
    taking fileDescriptor: Int32, path: String, isOwned: Bool = true, isStream: Bool = false,
    isCopied: Bool = false
  ) throws(SystemError) {
    var status = stat()
    guard unsafe fstat(fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    self.fileDescriptor = fileDescriptor
    self.isOwned = isOwned
    identity = FileIdentity(status)
    switch status.st_mode & S_IFMT {
    case _ where isCopied: kind = .other
    case S_IFREG, S_IFBLK: kind = isStream ? .other : .file
    case S_IFIFO: kind = .pipe
    case S_IFSOCK: kind = .socket
    default: kind = .other
    }
  }

  /// Opens a file for reading (or, with `isWritable`, for both). A folder is refused (EISDIR).
  public static func open(
    _ path: String, isWritable: Bool = false
  ) throws(SystemError) -> Descriptor {
    let fileDescriptor = try Waiting.open(path, isWritable ? O_RDWR : O_RDONLY)
    var status = stat()
    if unsafe fstat(fileDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      _ = Glibc.close(fileDescriptor)
      throw SystemError("open", EISDIR, path)
    }
    return try Descriptor(taking: fileDescriptor, path: path)
  }

  /// One for what has none: whatever is done to it does nothing.
  static func ofNothing() throws(SystemError) -> Descriptor {
    let path = "memory"
    // Safety: the name lives for the call.
    let fileDescriptor = unsafe csystem_memory_file(path)
    guard fileDescriptor >= 0 else { throw SystemError("memfd_create", errno, path) }
    return try Descriptor(taking: fileDescriptor, path: path, isCopied: true)
  }

  deinit {
    guard isOwned else { return }
    let isClosed = Glibc.close(fileDescriptor) == 0 || errno != EBADF
    // The other owner may have closed a file of a third one.
    assert(isClosed, "file descriptor \(fileDescriptor) has two owners")
  }

  /// Another descriptor of the same file, with a life of its own.
  public func duplicate(path: String) throws(SystemError) -> Descriptor {
    try Descriptor(taking: Descriptor.duplicate(fileDescriptor, path: path), path: path)
  }

  /// A copy of a file descriptor, which the caller closes: above the standard ones, and closed when
  /// another program is started.
  public static func duplicate(_ fileDescriptor: Int32, path: String) throws(SystemError) -> Int32 {
    let copy = fcntl(fileDescriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw SystemError("fcntl", errno, path) }
    return copy
  }

  /// The size of a file or block device in bytes, now.
  public func byteCount(path: String) throws(SystemError) -> UInt64 {
    var status = stat()
    guard unsafe fstat(fileDescriptor, &status) == 0 else {
      throw SystemError("fstat", errno, path)
    }
    if status.st_mode & S_IFMT == S_IFREG { return UInt64(status.st_size) }
    let here = lseek(fileDescriptor, 0, SEEK_CUR)
    let end = lseek(fileDescriptor, 0, SEEK_END)
    guard end >= 0, lseek(fileDescriptor, here, SEEK_SET) >= 0 else {
      throw SystemError("lseek", errno, path)
    }
    return UInt64(end)
  }

  /// Writes what the kernel holds of the file to the disk. Pipes have nothing to be written.
  public func synchronize(path: String) throws(SystemError) {
    guard kind == .file else { return }
    guard try Waiting.synchronize(fileDescriptor, path) == 0 else {
      throw SystemError("fsync", errno, path)
    }
  }
}

/// Device and inode of a file.
public struct FileIdentity: Sendable, Equatable, Hashable {
  public let device: UInt64
  public let inode: UInt64

  public init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}

/// Two ends of a new pipe. A struct, because tuples cannot hold noncopyable values.
public struct Pipe: ~Copyable {
  public var reading: Descriptor
  public var writing: Descriptor

  public init() throws(SystemError) {
    var ends: (Int32, Int32) = (-1, -1)
    let result = unsafe withUnsafeMutableBytes(of: &ends) { raw in
      // Safety: the tuple is two adjacent Int32, which is what pipe2 fills.
      unsafe csystem_pipe(raw.assumingMemoryBound(to: Int32.self).baseAddress)
    }
    guard result == 0 else { throw SystemError("pipe2", errno, "pipe") }
    let first = try Descriptor(taking: ends.0, path: "pipe")
    let second = try Descriptor(taking: ends.1, path: "pipe")
    reading = first
    writing = second
  }
}

/// Whether an end was asked for (SIGINT, SIGTERM, SIGHUP); long loops look at it between two chunks.
public enum Interrupt {
  /// From now on these signals set `isRequested` and call `handler` (which must be async-signal-safe)
  /// instead of ending the process; a second one ends it.
  public static func watch(_ handler: @escaping @convention(c) () -> Void) {
    csystem_on_interrupt(handler)
    csystem_watch_interrupts(false)
  }

  /// Takes the signals even where they were ignored when the program began: for sessions at a
  /// terminal, where Ctrl-C must work.
  public static func watchAtTerminal() { csystem_watch_interrupts(true) }

  /// From now on a request that has had no answer for a second is told of on standard error by `line`:
  /// what runs cannot be stopped.
  public static func explainWhenUnanswered(_ line: String) {
    // The handler reads it at any time: it stays for as long as the process.
    unsafe csystem_say_when_unanswered(strdup(line))
  }

  public static var isRequested: Bool { csystem_interrupted() != 0 }

  /// The number of the signal; 0 for none.
  public static var signal: Int32 { csystem_interrupted() }
  /// That of Ctrl-C.
  public static let fromKeyboard = SIGINT

  /// Runs `body`, which gives `fileDescriptor` to a library that knows nothing of requests to stop: a request
  /// makes the library's next write fail with EBADF, and wakes it where it waits.
  public static func diverting<R, E: Error>(
    _ fileDescriptor: Int32, _ body: () throws(E) -> R
  ) throws(E) -> R {
    csystem_divert_on_interrupt(fileDescriptor)
    defer { csystem_divert_on_interrupt(-1) }
    return try body()
  }

  /// Forgets the request: whoever asked has been answered.
  public static func clear() { csystem_clear_interrupted() }

  /// Throws where the user asked for an end. Called between any two chunks of work.
  public static func check(_ path: String) throws(SystemError) {
    Progress.beat()
    if csystem_interrupted() != 0 { throw SystemError.interrupted(path) }
  }
}

/// Makes a pipe whose reader is gone (EPIPE) and a file size limit (EFBIG) errors instead of signals.
public func ignoreWriteSignals() { csystem_ignore_write_signals() }

/// The most memory that this process has had, in KiB.
public var peakResidentKiB: Int { csystem_peak_resident_kib() }
