// Images that are packed and are read as they are.

public import Bytes
internal import Glibc
internal import Synchronization

/// By what a file is packed.
public enum Packing: String, Sendable, CaseIterable, CustomStringConvertible {
  case zstd, gzip, xz

  /// Bytes that tell.
  static let peekByteCount = 6

  /// By the first bytes of a file; nil where they are of none of these.
  public init?(_ first: [UInt8]) {
    switch first {
    case _ where first.starts(with: [0x28, 0xB5, 0x2F, 0xFD]): self = .zstd
    // A skippable frame, which others put before the first one.
    case _ where first.count >= 4 && first[0] & 0xF0 == 0x50 && first[1..<4] == [0x2A, 0x4D, 0x18]:
      self = .zstd
    case _ where first.starts(with: [0x1F, 0x8B, 8]): self = .gzip
    case _ where first.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0]): self = .xz
    default: return nil
    }
  }

  public var description: String { rawValue }
}

/// What a packed file holds, where that is read from its start only.
public protocol UnpackingReader: AnyObject {
  var name: String { get }
  var packing: Packing { get }
  var identity: FileIdentity { get }
  /// Reads into `range` of `buffer`: at least one byte, or 0 at the end.
  func read(into buffer: PageAlignedBuffer, _ range: Range<Int>) throws(SystemError) -> Int
}

/// What a packed file holds.
public enum PackedContents {
  /// It is read at any offset.
  case anywhere(any RemoteReader)
  case inOrder(any UnpackingReader)
}

/// What reads packed files. This layer unpacks nothing: the program registers what does.
public enum CompressedFiles {
  /// What reads the contents of a file or pipe.
  public typealias Opener = @Sendable (Source, Packing) throws(SystemError) -> PackedContents

  private static let opener = Mutex<Opener?>(nil)

  /// From now on packed files are opened by `opener`.
  public static func register(_ opener: @escaping Opener) { self.opener.withLock { $0 = opener } }

  /// What `source` holds, which stands at its start; nil where it is not packed.
  static func contents(_ source: Source) throws(SystemError) -> PackedContents? {
    guard let opener = opener.withLock({ $0 }), let packing = try packing(source) else {
      return nil
    }
    return try opener(source, packing)
  }

  /// Throws where a file is packed, and `work` needs one that is not: "an edit in place".
  static func refuse(_ path: String, for work: String, _ hint: String) throws {
    var status = stat()
    // A FIFO would wait for its writer.
    guard path != "-", unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      try packing(Source(opening: path)) != nil
    else { return }
    throw XensaveError(.usage, "\(path): \(work) needs a file that is not compressed: \(hint)")
  }

  private static func packing(_ source: Source) throws(SystemError) -> Packing? {
    source.hasShortReadAhead = true
    defer { source.hasShortReadAhead = false }
    return Packing(source.window(try source.peek(Packing.peekByteCount)))
  }
}

extension Source {
  /// Opens what is to be read as an image: a file or pipe, or what a packed one holds; "-" is standard
  /// input.
  public convenience init(contents path: String) throws(SystemError) {
    let source = try Source(opening: path)
    switch try CompressedFiles.contents(source) {
    case .anywhere(let contents)?: try self.init(contents)
    case .inOrder(let contents)?: try self.init(contents)
    case nil: try self.init(continuing: source)
    }
  }
}
