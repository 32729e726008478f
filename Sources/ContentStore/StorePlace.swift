// Where a store lies: a folder, or what begins alike in a bucket.

internal import Bytes
internal import SystemIO

/// The objects of a store, by names such as "packs/0f3a": files of a folder, or objects of a bucket.
struct StorePlace: Sendable {
  /// The folder or URL, without a "/" at its end.
  let root: String

  init(_ root: String) {
    var text = Substring(root)
    while text.count > 1, text.hasSuffix("/"), !text.hasSuffix("://") { text.removeLast() }
    self.root = String(text)
  }

  var isRemote: Bool { RemoteFiles.isRemote(root) }

  func path(_ name: String) -> String { root + "/" + name }

  /// Whether a file or object lies in the store.
  func contains(_ other: String) -> Bool {
    if isRemote { return other.hasPrefix(root + "/") }
    let store = resolvedPath(root) + "/"
    // What is not there yet has a folder.
    let folder = other.lastIndex(of: "/").map { String(other[...$0]) } ?? "."
    return [resolvedPath(folder) + "/", resolvedPath(other)].contains { $0.hasPrefix(store) }
  }

  /// The names of all objects in `folder`, sorted.
  func names(in folder: String) throws -> [String] {
    let begin = path(folder) + "/"
    if isRemote {
      // A server may list one twice.
      return Set(try RemoteFiles.matches(begin).map { String($0.dropFirst(begin.count)) }).sorted()
    }
    guard let names = FileSystem.names(in: begin) else {
      throw XensaveError(.notFound, "\(root): no store of images: it has no folder \(folder)")
    }
    // A write that was killed on a file system without O_TMPFILE leaves a hidden name.
    return names.filter { !$0.hasPrefix(".") }.sorted()
  }

  func exists(_ name: String) throws -> Bool {
    do {
      _ = try Source(opening: path(name))
      return true
    } catch  where error.errno == 2 { return false }
  }

  /// All bytes of an object.
  ///
  /// - Throws: `invalid` where it has more than `limit`.
  func read(_ name: String, limit: Int) throws -> [UInt8] {
    let source = try Source(opening: path(name))
    guard let count = source.byteCount, count <= UInt64(limit) else {
      throw XensaveError(.invalid, "\(path(name)): expected at most \(limit) bytes")
    }
    let bytes = try source.read(Int(count))
    guard bytes.count == Int(count) else {
      throw XensaveError(.changed, "\(path(name)): it became shorter while it was read")
    }
    return bytes
  }

  func write(_ name: String, _ bytes: [UInt8], _ rule: OutputFile.Rule) throws {
    try OutputFile.write(path(name), .memory, rule, bytes: bytes)
  }

  /// Removes an object; one that is not there is no error.
  func remove(_ name: String) throws {
    if isRemote { return try RemoteFiles.remove(path(name)) }
    try FileSystem.removeFile(path(name))
  }
}
