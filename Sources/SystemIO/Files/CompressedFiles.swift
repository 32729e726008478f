// Images that are compressed and are read as they are.

internal import CSystem
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
    guard let opener = opener.withLock({ $0 }), isCompressed(path) else { return nil }
    return try opener(Source(opening: path))
  }

  /// Throws where a file is compressed, and `work` needs one that is not: "an edit in place".
  static func refuse(_ path: String, for work: String, _ hint: String) throws {
    guard isCompressed(path) else { return }
    throw XensaveError(.usage, "\(path): \(work) needs a file that is not compressed: \(hint)")
  }

  /// Whether a file begins with a frame of zstd.
  private static func isCompressed(_ path: String) -> Bool {
    var status = stat()
    // A FIFO would wait for its writer.
    guard path != "-", unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      let descriptor = try? Descriptor.open(path)
    else { return false }
    var bytes: [UInt8] = [0, 0, 0, 0]
    let count = unsafe pread(descriptor.fileDescriptor, &bytes, bytes.count, 0)
    return count == bytes.count && bytes == [0x28, 0xB5, 0x2F, 0xFD]
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
