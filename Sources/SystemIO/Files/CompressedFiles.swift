// Images that are compressed and are read as they are.

internal import Glibc
internal import Synchronization

/// What reads compressed files. This layer unpacks nothing: the program registers what does.
public enum CompressedFiles {
  /// What reads the contents of a file at any offset; nil where it can only be read from its start.
  public typealias Opener = @Sendable (Source) throws(SystemError) -> (any RemoteReader)?

  private static let opener = Mutex<Opener?>(nil)

  /// From now on zstd files are opened by `opener`.
  public static func register(_ opener: @escaping Opener) { self.opener.withLock { $0 = opener } }

  /// The contents of a zstd file; nil where `path` is none, or one that is only read from its start.
  static func reader(_ path: String) throws(SystemError) -> (any RemoteReader)? {
    guard let opener = opener.withLock({ $0 }), let file = try compressed(path) else { return nil }
    return try opener(file)
  }

  /// Throws where a file is compressed, and `work` needs one that is not: "an edit in place".
  static func refuse(_ path: String, for work: String, _ hint: String) throws {
    guard try compressed(path) != nil else { return }
    throw XensaveError(.usage, "\(path): \(work) needs a file that is not compressed: \(hint)")
  }

  /// A file that begins with a frame of zstd; nil for others, and where there is none.
  private static func compressed(_ path: String) throws(SystemError) -> Source? {
    var status = stat()
    // A FIFO would wait for its writer.
    guard path != "-", unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      return nil
    }
    let source = try Source(opening: path)
    source.hasShortReadAhead = true
    guard try source.read(4) == [0x28, 0xB5, 0x2F, 0xFD] else { return nil }
    source.hasShortReadAhead = false
    return source
  }
}

extension Source {
  /// Opens what is to be read as an image: a file, or what a compressed file holds; "-" is standard input.
  public convenience init(contents path: String) throws(SystemError) {
    if let contents = try CompressedFiles.reader(path) {
      try self.init(contents)
    } else {
      try self.init(opening: path)
    }
  }
}
