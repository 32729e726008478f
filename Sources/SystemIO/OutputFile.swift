// A file that appears whole or not at all.

internal import CSystem
internal import Glibc

/// A new file in the folder of its final name, without a name until it is complete.
///
/// Order of the end: verify (the caller's), fsync of the file, a temporary name, rename, fsync of the
/// folder. Before the rename nothing of it can be seen under the final name; without `commit()` it is
/// gone with its descriptor, even where the process is killed. File systems without O_TMPFILE have
/// it under its temporary name from the start.
public final class OutputFile {
  /// The name that the file gets.
  public let path: String
  /// The name that it has before that, once it has one.
  private let temporaryPath: String
  public let sink: Sink
  private var isNamed: Bool
  private var isDone = false

  /// Where the file can be opened for reading until `commit()`.
  public var readingPath: String { "/proc/\(getpid())/fd/\(sink.number)" }

  /// Creates the temporary file. Its mode is that of `like` (a file that it will stand for), or
  /// 0600: images hold a guest's memory.
  public init(creating path: String, like: String? = nil) throws(SystemError) {
    self.path = path
    var mode: mode_t = 0o600
    var status = stat()
    if let like, unsafe stat(like, &status) == 0 { mode = status.st_mode & 0o777 }
    let (folder, name) = splitPath(path)
    temporaryPath = folder + "." + name + "." + OutputFile.suffix()
    var number = unsafe csystem_create_unnamed(folder.isEmpty ? "." : folder, mode)
    isNamed = false
    if number < 0, [EOPNOTSUPP, EISDIR, EINVAL, ENOENT].contains(errno) {
      number = unsafe csystem_create(temporaryPath, mode)
      isNamed = true
    }
    guard number >= 0 else { throw SystemError("open", errno, path) }
    // The umask may have taken bits that the file it stands for has.
    if like != nil { _ = fchmod(number, mode) }
    sink = Sink(try Descriptor(taking: number, path: path), path: path)
    sink.synchronizeFromNowOn()
  }

  /// Puts the file under its final name, replacing what was there. Without `isDurable` it is whole
  /// for everybody who looks, but a crash of the machine may take it.
  public func commit(isDurable: Bool = true) throws(SystemError) {
    if isDurable { try synchronize() }
    if !isNamed {
      guard unsafe csystem_name(sink.number, temporaryPath) == 0 else {
        throw SystemError("linkat", errno, path)
      }
      isNamed = true
    }
    guard unsafe rename(temporaryPath, path) == 0 else { throw SystemError("rename", errno, path) }
    isDone = true
    if isDurable { try synchronizeFolder(of: path) }
  }

  private func synchronize() throws(SystemError) {
    try Progress.phase("bringing to the disk", of: nil, done: { 0 }) { () throws(SystemError) in
      try sink.synchronize()
    }
  }

  deinit {
    if isNamed, !isDone { unsafe unlink(temporaryPath) }
  }

  private static func suffix() -> String {
    var random = SystemRandomNumberGenerator()
    return "xs" + String(random.next() & 0xFFFF_FFFF, radix: 16)
  }
}

/// The folder of a path with its last "/", or "", and the name behind it.
func splitPath(_ path: String) -> (folder: String, name: String) {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
  let next = path.utf8.index(after: slash)
  return (String(path[..<next]), String(path[next...]))
}

/// The path with its symbolic links followed, so that replacing it replaces what they point to.
/// The path itself where that fails.
public func resolvedPath(_ path: String) -> String {
  guard let resolved = unsafe realpath(path, nil) else { return path }
  // Safety: realpath returns a NUL-terminated string that is ours to free.
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}

/// Opens `path` for writing if it is a FIFO, socket or device, which must not be replaced; nil if it
/// is a regular file or does not exist.
public func openIfSpecial(_ path: String) throws(SystemError) -> Int32? {
  var status = stat()
  guard unsafe stat(path, &status) == 0 else { return nil }
  switch status.st_mode & S_IFMT {
  case S_IFREG: return nil
  case S_IFDIR: throw SystemError("open", EISDIR, path)
  default:
    return try Waiting.open(path, O_WRONLY)
  }
}
