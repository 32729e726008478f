// Where every output of the program is opened: what stands at its path decides how.

internal import CSystem
internal import Glibc

/// What a command or a script writes.
///
/// | at the path there is | |
/// |---|---|
/// | nothing, or a file | a new file without a name, which gets this one when it is complete |
/// | a symbolic link | followed: the file that it points to is replaced, or made where it dangles |
/// | a FIFO, a socket, a device | written to, and never replaced; what was written stays |
/// | a folder | an error |
/// | a URL (s3://) | a new object, which is to be seen when it is complete |
///
/// Order of the end of a new file: verify (the caller's), fsync of the file, the name, fsync of the
/// folder. Before that nothing of it can be seen; without `commit()` it is gone with its descriptor,
/// even where the process is killed. File systems without O_TMPFILE have it under a hidden temporary
/// name from the start.
public final class OutputFile {
  /// What it holds, which decides who may read a file that is new.
  public enum Content: Sendable {
    /// A guest's memory: its owner alone (0600).
    case memory
    /// Anything else: as the umask has it.
    case text
  }

  /// What becomes of a file that is there.
  public enum Rule: Sendable {
    /// It is replaced; its mode and owner stay where we may give them.
    case replacing
    /// It is replaced, and owner, group, mode and extended attributes must stay: else nothing is done.
    case inPlace
    /// It stays, and is an error.
    case new
    /// As `replacing`, but nothing except a file is written to: for what nobody named.
    case fileOnly
  }

  /// Writes an output: what `body` writes is there when this returns, and nothing of it is where
  /// anything throws (FIFOs, sockets and devices keep what was written). `isDurable`: whether it is
  /// on the disk by then.
  public static func write<R>(
    _ path: String, _ content: Content, _ rule: Rule = .replacing, isDurable: Bool = true,
    _ body: (OutputFile) throws -> R
  ) throws -> R {
    let output = try OutputFile(path, content, rule)
    do {
      let result = try body(output)
      try output.commit(isDurable: isDurable)
      return result
    } catch {
      guard let rest = output.abandon() else { throw error }
      var error = XensaveError(error)
      error.aftermath.append(rest)
      throw error
    }
  }

  /// The same with contents that are in memory.
  public static func write(
    _ path: String, _ content: Content, _ rule: Rule = .replacing, isDurable: Bool = true,
    bytes: [UInt8]
  ) throws(SystemError) {
    let output = try OutputFile(path, content, rule)
    try output.sink.write(bytes)
    try output.commit(isDurable: isDurable)
  }

  private enum State {
    /// A new file without a name.
    case unnamed
    /// A new file with its temporary name.
    case named
    /// Something that was there before, and is written to.
    case special
    /// A new object of a server.
    case remote
    case done
  }

  /// The name that the user gave.
  public let path: String
  public let sink: Sink
  /// Where what was written can be read; nil for what cannot be read again.
  public let readingPath: String?
  /// A block device: what was on it after our bytes is still there.
  public let isBlockDevice: Bool
  /// Whether somebody may read it while it is written.
  public var isStream: Bool { state == .special && !isBlockDevice }

  /// Whether it is an object of a server.
  public var isRemote: Bool { remote != nil }
  private let remote: (any RemoteWriter)?

  /// The path with its links followed.
  private let target: String
  private let temporaryPath: String
  private let rule: Rule
  private var state: State

  public init(
    _ path: String, _ content: Content, _ rule: Rule = .replacing
  ) throws(SystemError) {
    self.path = path
    self.rule = rule
    if RemoteFiles.isRemote(path) {
      guard rule == .replacing || rule == .new else {
        throw SystemError("open", EINVAL, path, "a file is needed here, and this is a URL")
      }
      let writer = try RemoteFiles.store(for: path).create(path, isNew: rule == .new)
      remote = writer
      sink = try Sink(writer)
      readingPath = nil
      isBlockDevice = false
      target = path
      temporaryPath = ""
      state = .remote
      return
    }
    remote = nil
    let place = rule == .new ? Place(name: path) : try Place(following: path)
    target = place.name
    var status = stat()
    let exists = unsafe place.descriptor != nil || lstat(target, &status) == 0
    if exists, rule == .new { throw SystemError("open", EEXIST, path) }
    if exists, place.descriptor != nil || status.st_mode & S_IFMT != S_IFREG {
      let opened = try OutputFile.openSpecial(place, status, path, rule)
      sink = Sink(try Descriptor(taking: opened.fileDescriptor, path: path), path: path)
      isBlockDevice = opened.isBlockDevice
      readingPath = opened.isReadable ? OutputFile.readingPath(of: opened.fileDescriptor) : nil
      temporaryPath = ""
      state = .special
      return
    }
    let (folder, name) = splitPath(target)
    guard !name.isEmpty else {
      throw SystemError("open", target.isEmpty ? ENOENT : EISDIR, path)
    }
    var random = SystemRandomNumberGenerator()
    temporaryPath = folder + ".xensave-" + String(random.next(), radix: 36)
    let mode: mode_t = content == .memory ? 0o600 : 0o666
    var fileDescriptor = unsafe csystem_create_unnamed(folder.isEmpty ? "." : folder, mode)
    state = .unnamed
    if fileDescriptor < 0, [EOPNOTSUPP, EISDIR, EINVAL].contains(errno) {
      fileDescriptor = unsafe csystem_create(temporaryPath, mode)
      state = .named
    }
    guard fileDescriptor >= 0 else { throw SystemError("open", errno, path) }
    sink = Sink(try Descriptor(taking: fileDescriptor, path: path), path: path)
    sink.synchronizeFromNowOn()
    isBlockDevice = false
    readingPath = OutputFile.readingPath(of: fileDescriptor)
    if exists, rule == .inPlace || !place.isStrangers(status) { try keep(status) }
  }

  private static func readingPath(of fileDescriptor: Int32) -> String {
    "/proc/\(getpid())/fd/\(fileDescriptor)"
  }

  /// Gives the new file what the one that it stands for has.
  private func keep(_ status: stat) throws(SystemError) {
    let fileDescriptor = sink.fileDescriptor
    let isStrict = rule == .inPlace
    func failed(_ what: String) -> SystemError {
      SystemError("\(what) cannot be kept", errno, path)
    }
    if fchown(fileDescriptor, status.st_uid, status.st_gid) != 0 {
      if isStrict { throw failed("its owner and group") }
      // Whose the new file is, nobody else gets rights to it.
      return
    }
    var name = [CChar](repeating: 0, count: 256)
    func copy(_ which: csystem_attributes) throws(SystemError) {
      // Safety: the name has the room that is told.
      if unsafe csystem_copy_attributes(target, fileDescriptor, which, &name, name.count) != 0,
        isStrict
      {
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        throw failed("its attribute \(String(decoding: bytes, as: UTF8.self))")
      }
    }
    try copy(csystem_plain_attributes)
    // After the owner, which takes bits away, and before access lists, which are a part of the mode.
    if fchmod(fileDescriptor, status.st_mode & 0o7777) != 0, isStrict { throw failed("its mode") }
    try copy(csystem_access_lists)
  }

  /// From now on ranges of `source` that are written are taken by the server that has both; false where it
  /// cannot.
  public func compose(from source: Source) throws(SystemError) -> Bool {
    try sink.compose(from: source)
  }

  /// What reads an object as it will be, where it is composed; nil else.
  public func composedSource() throws(SystemError) -> Source? { try sink.composedSource() }

  /// Ends the output: what is special reaches its device, a new file gets its name and replaces what
  /// was there. Without `isDurable` it is whole for everybody who looks, but a crash of the machine
  /// may take it.
  public func commit(isDurable: Bool = true) throws(SystemError) {
    if isDurable {
      try Progress.phase("bringing to the disk", of: nil, done: { 0 }) { () throws(SystemError) in
        try sink.synchronize()
      }
    }
    switch state {
    case .special, .done: return
    case .remote:
      sink.mirror = nil
      try remote?.commit()
      state = .done
      return
    case .unnamed:
      // Safety: the paths are NUL-terminated for the time of the call.
      var result = unsafe csystem_name(sink.fileDescriptor, target)
      if result != 0, errno == EEXIST, rule != .new {
        result = unsafe csystem_replace(sink.fileDescriptor, temporaryPath, target)
      }
      guard result == 0 else { throw SystemError("linkat", errno, path) }
    case .named:
      let result =
        rule == .new
        ? unsafe csystem_rename_to_new(temporaryPath, target)
        : unsafe rename(temporaryPath, target)
      guard result == 0 else {
        throw SystemError("rename", errno, path)
      }
    }
    state = .done
    if isDurable { try synchronizeFolder(of: target) }
  }

  deinit {
    if state == .named { unsafe unlink(temporaryPath) }
    if let rest = abandon() { EditNotices.post("\(path): \(rest)") }
  }

  /// Takes back what a server was sent of an object that is not complete; says what could not be.
  private func abandon() -> String? {
    guard state == .remote else { return nil }
    state = .done
    return remote?.abandon()
  }

  // MARK: - What is no file

  private struct Opened {
    let fileDescriptor: Int32
    var isBlockDevice = false
    var isReadable = false
  }

  private static func openSpecial(
    _ place: Place, _ status: stat, _ path: String, _ rule: Rule
  ) throws(SystemError) -> Opened {
    func refused(_ errno: Int32) -> SystemError { SystemError("open", errno, path) }
    if let descriptor = place.descriptor {
      return Opened(fileDescriptor: try Descriptor.duplicate(descriptor, path: path))
    }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR { throw refused(EISDIR) }
    if rule == .fileOnly { throw SystemError("it is no file: open", EEXIST, path) }
    if rule == .inPlace, kind != S_IFBLK { throw SystemError("it is no file: open", EINVAL, path) }
    let name = place.name
    func opening(_ flags: Int32) throws(SystemError) -> Int32 {
      try Waiting.call(path) { unsafe open(name, flags | O_CLOEXEC | O_NOCTTY) }
    }
    switch kind {
    case S_IFSOCK:
      let fileDescriptor = unsafe csystem_connect(name)
      guard fileDescriptor >= 0 else { throw SystemError("connect", errno, path) }
      return Opened(fileDescriptor: fileDescriptor)
    case S_IFIFO:
      // Waits until somebody reads it.
      let fileDescriptor = try opening(O_WRONLY)
      guard fileDescriptor >= 0 else { throw refused(errno) }
      return Opened(fileDescriptor: fileDescriptor)
    case S_IFBLK:
      // With O_EXCL one that is mounted, or in other hands, is EBUSY.
      var fileDescriptor = try opening(O_RDWR | O_EXCL)
      let isReadable = fileDescriptor >= 0
      if fileDescriptor < 0, errno == EACCES { fileDescriptor = try opening(O_WRONLY | O_EXCL) }
      guard fileDescriptor >= 0 else { throw refused(errno) }
      return Opened(fileDescriptor: fileDescriptor, isBlockDevice: true, isReadable: isReadable)
    default:
      let fileDescriptor = try opening(O_WRONLY)
      guard fileDescriptor >= 0 else { throw refused(errno) }
      return Opened(fileDescriptor: fileDescriptor)
    }
  }

  // MARK: - Inputs

  /// Whether an output to `path` would be written over one of these inputs.
  public static func isSame(_ path: String, as inputs: [FileIdentity]) -> Bool {
    if RemoteFiles.isRemote(path) {
      guard let identity = try? RemoteFiles.store(for: path).identity(of: path) else {
        return false
      }
      return inputs.contains(identity)
    }
    var status = stat()
    guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFCHR else { return false }
    return inputs.contains(FileIdentity(status))
  }

  /// Whether two outputs would be the same file.
  public static func isSame(_ path: String, as other: String) -> Bool {
    if RemoteFiles.isRemote(other) {
      guard let identity = try? RemoteFiles.store(for: other).identity(of: other) else {
        return false
      }
      return isSame(path, as: [identity])
    }
    if RemoteFiles.isRemote(path) { return false }
    var (status, others) = (stat(), stat())
    guard unsafe stat(path, &status) == 0, unsafe stat(other, &others) == 0 else {
      guard let a = try? Place(following: path), let b = try? Place(following: other) else {
        return false
      }
      return a.absoluteName == b.absoluteName
    }
    return status.st_mode & S_IFMT != S_IFCHR && FileIdentity(status) == FileIdentity(others)
  }
}

extension FileIdentity {
  /// What a path or descriptor refers to: block devices are the same under any name.
  init(_ status: stat) {
    if status.st_mode & S_IFMT == S_IFBLK {
      self.init(device: .max, inode: UInt64(status.st_rdev))
    } else {
      self.init(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }
  }
}

/// Where a path leads.
private struct Place {
  /// The path with the links of its last part followed; what stands there is no link.
  let name: String
  /// A descriptor of this process, for /dev/stdout, /dev/fd/N and /proc/self/fd/N.
  var descriptor: Int32?

  init(name: String) { self.name = name }

  init(following path: String) throws(SystemError) {
    var name = path
    for _ in 0..<40 {
      var status = stat()
      guard unsafe lstat(name, &status) == 0 else {
        guard errno == ENOENT else { throw SystemError("open", errno, path) }
        break
      }
      guard status.st_mode & S_IFMT == S_IFLNK else { break }
      let folder = splitPath(name).folder
      // As fs.protected_symlinks: in a folder like /tmp only one's own links are followed.
      if Place.isStrangers(status, in: folder) { throw SystemError("open", EACCES, path) }
      if let fileDescriptor = Place.ownDescriptor(name) {
        self.init(name: name)
        descriptor = fileDescriptor
        return
      }
      var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
      // Safety: the buffer has the room that is told.
      let count = unsafe readlink(name, &bytes, bytes.count)
      guard count > 0, count < bytes.count else { throw SystemError("readlink", errno, path) }
      let link = String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      name = link.hasPrefix("/") ? link : folder + link
    }
    var status = stat()
    if unsafe lstat(name, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
      throw SystemError("open", ELOOP, path)
    }
    self.init(name: name)
  }

  /// The name with the links of its folder followed.
  var absoluteName: String {
    let (folder, name) = splitPath(name)
    return resolvedPath(folder.isEmpty ? "." : folder) + "/" + name
  }

  /// Whether a file of somebody else lies here in a folder like /tmp: he gets nothing of ours.
  func isStrangers(_ status: stat) -> Bool {
    Place.isStrangers(status, in: splitPath(name).folder)
  }

  private static func isStrangers(_ status: stat, in folder: String) -> Bool {
    var parent = stat()
    guard status.st_uid != geteuid(), unsafe stat(folder.isEmpty ? "." : folder, &parent) == 0
    else {
      return false
    }
    let sticky = mode_t(S_ISVTX) | mode_t(S_IWOTH)
    return parent.st_mode & sticky == sticky && parent.st_uid != status.st_uid
  }

  /// The number N of a link /proc/PID/fd/N of this process.
  private static func ownDescriptor(_ path: String) -> Int32? {
    let (folder, name) = splitPath(path)
    guard let fileDescriptor = Int32(name), !folder.isEmpty,
      resolvedPath(folder) == "/proc/\(getpid())/fd"
    else { return nil }
    return fileDescriptor
  }
}

/// The folder of a path with its last "/", or "", and the name after it.
func splitPath(_ path: String) -> (folder: String, name: String) {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
  let next = path.utf8.index(after: slash)
  return (String(path[..<next]), String(path[next...]))
}

/// The path with its symbolic links followed. The path itself where that fails.
public func resolvedPath(_ path: String) -> String {
  guard let resolved = unsafe realpath(path, nil) else { return path }
  // Safety: realpath returns a NUL-terminated string that is ours to free.
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
