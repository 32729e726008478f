// Images that lie on servers: what reads and writes them is brought in by the program.

public import Bytes
internal import Synchronization

/// What opens images by URL. This layer knows no protocol: the program registers one at its start, and
/// where none is registered a URL is an error.
public protocol RemoteStore: Sendable {
  /// The image at a URL, from its start.
  func open(_ url: String) throws(SystemError) -> any RemoteReader
  /// A new object, which replaces what has the name when it is complete; with `isNew` it does not.
  func create(_ url: String, isNew: Bool) throws(SystemError) -> any RemoteWriter
  /// The URLs of all objects whose URLs begin so, sorted.
  func list(_ prefix: String) throws(SystemError) -> [String]
  /// Removes an object; one that is not there is no error.
  func remove(_ url: String) throws(SystemError)
  /// What tells two URLs of one object from those of two.
  func identity(of url: String) throws(SystemError) -> FileIdentity
}

/// An object of a server that is read at any offset. What it holds does not change: that it did is an
/// error of a read.
public protocol RemoteReader: AnyObject {
  /// The URL as messages show it, without what is secret.
  var name: String { get }
  var byteCount: UInt64 { get }
  var identity: FileIdentity { get }
  /// Reads into `range` of `buffer`: at least one byte, or 0 at the end.
  func read(
    into buffer: PageAlignedBuffer, _ range: Range<Int>, at offset: UInt64
  ) throws(SystemError) -> Int
  /// All of these bytes will be read, in their order.
  func expect(_ range: Range<UInt64>)
  /// Another reader of the same object, for any thread.
  func duplicate() throws(SystemError) -> any RemoteReader
}

/// An object of a server that is written from its start to its end. Nothing is to be seen of it before
/// `commit`, and nothing is left of it without.
public protocol RemoteWriter: AnyObject {
  /// The URL as messages show it, without what is secret.
  var name: String { get }
  @unsafe func write(_ bytes: UnsafeRawBufferPointer) throws(SystemError)
  /// Whether ranges of this object can become parts of the new one on the server.
  func canTake(from reader: any RemoteReader) -> Bool
  /// Bytes that have to be written before a range can be taken: a part on the server has at least so many.
  var byteCountUntilTake: Int { get }
  /// Takes bytes `range` of the object as they are. How many, from the first one on: 0 where that cannot
  /// be done, or is not worth it.
  func take(_ range: Range<UInt64>, of reader: any RemoteReader) throws(SystemError) -> UInt64
  func commit() throws(SystemError)
  /// Takes back what was sent; says what could not be.
  func abandon() -> String?
}

public enum RemoteFiles {
  private static let store = Mutex<(any RemoteStore)?>(nil)

  /// From now on URLs are opened by `store`.
  public static func register(_ store: any RemoteStore) { self.store.withLock { $0 = store } }

  /// Whether a path is a URL of what `RemoteStore` may open.
  public static func isRemote(_ path: String) -> Bool {
    let start = path.prefix { $0 != "/" }.lowercased()
    return ["s3:", "http:", "https:"].contains(start)
      && path.utf8.dropFirst(start.utf8.count).starts(with: "//".utf8)
  }

  /// Whether a path names several objects of a store: s3://BUCKET, a prefix that ends with "/", or a
  /// pattern with "*".
  public static func isPattern(_ path: String) -> Bool {
    path.lowercased().hasPrefix("s3://")
      && (path.hasSuffix("/") || path.contains("*") || !path.dropFirst(5).contains("/"))
  }

  /// The URLs of the objects that such a path names, sorted. "*" does not go over a "/".
  public static func matches(_ pattern: String) throws(SystemError) -> [String] {
    let fixed = String(pattern.prefix { $0 != "*" })
    let found = try store(for: pattern).list(fixed)
    guard fixed != pattern else { return found }
    let parts = pattern.split(separator: "/", omittingEmptySubsequences: false)
    return found.filter { url in
      let words = url.split(separator: "/", omittingEmptySubsequences: false)
      return words.count == parts.count && zip(words, parts).allSatisfy { fits($0, $1) }
    }
  }

  /// Removes the object at a URL; one that is not there is no error.
  public static func remove(_ url: String) throws(SystemError) {
    try store(for: url).remove(url)
  }

  /// Whether a word fits a pattern, in which "*" stands for any letters.
  static func fits(_ word: Substring, _ pattern: Substring) -> Bool {
    let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    guard parts.count > 1, let first = parts.first, let last = parts.last else {
      return word == pattern
    }
    guard word.hasPrefix(first) else { return false }
    var rest = word.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let place = rest.firstRange(of: part) else { return false }
      rest = rest[place.upperBound...]
    }
    return rest.hasSuffix(last)
  }

  /// What opens this URL.
  static func store(for url: String) throws(SystemError) -> any RemoteStore {
    guard let store = store.withLock({ $0 }) else {
      throw SystemError("open", unsupported, url, "no URLs are opened here")
    }
    return store
  }

  /// The errno of what a server or this program does not do.
  public static let unsupported: Int32 = 95  // EOPNOTSUPP

  /// Throws where a path is a URL, and `work` needs a file: "an edit in place".
  public static func refuse(
    _ path: String, for work: String, _ hint: String = "copy it first"
  ) throws {
    guard isRemote(path) else { return }
    throw XensaveError(.usage, "\(path): \(work) needs a file, not a URL: \(hint)")
  }
}
