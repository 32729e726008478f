// Stores in folders that go with their test, and images of any pages.

import Glibc
import SystemIO
import TestKit
import Testing

@testable import ContentStore

enum Fixture {
  static let names = ["pv-4m-1v-tiny.xlsave", "pvh-4m-1v-tiny.xlsave"]

  static func bytes(_ name: String) throws -> [UInt8] {
    try contents(#filePath.replacing("ContentStoreTests/Support.swift", with: "Fixtures/") + name)
  }
}

/// All bytes of a file.
func contents(_ path: String) throws -> [UInt8] {
  let source = try Source(opening: path)
  return try source.read(Int(source.byteCount ?? 0))
}

/// What kind of error `body` throws; nil where it throws none.
func code<R>(_ body: () throws -> R) -> ErrorCode? {
  do {
    _ = try body()
    return nil
  } catch { return XensaveError(error).code }
}

/// The objects of a store by their names: "packs/0f3a".
typealias Objects = [String: [UInt8]]

/// A folder with a store in it, which goes with the value.
final class TestStore {
  let folder: String
  var root: String { folder + "/store" }

  init() {
    var template = Array("/tmp/xensave-test-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A store of these objects.
  convenience init(_ objects: Objects) throws {
    self.init()
    try FileSystem.createFolder(root)
    for name in ImageStore.folders { try FileSystem.createFolder(root + "/" + name) }
    for (name, bytes) in objects { try write(name, bytes) }
  }

  deinit { TestStore.remove(folder) }

  private static func remove(_ path: String) {
    if FileSystem.isFolder(path) {
      for name in FileSystem.names(in: path) ?? [] { remove(path + "/" + name) }
    }
    FileSystem.remove(path)
  }

  /// The store, which is made where there is none.
  func open() throws -> ImageStore { try ImageStore(root, isNew: true) }

  /// A file of these bytes, as a source.
  func source(_ bytes: [UInt8]) throws -> Source {
    let path = folder + "/image"
    try OutputFile.write(path, .memory, .replacing, isDurable: false, bytes: bytes)
    return try Source(opening: path)
  }

  @discardableResult
  func put(
    _ bytes: [UInt8], as name: String, isReplacing: Bool = false, isUnchecked: Bool = false
  ) throws -> StoredImage {
    try open().adding().put(
      source(bytes), as: name, isReplacing: isReplacing, isUnchecked: isUnchecked)
  }

  /// How many pages all packs have.
  func pageCount() throws -> Int {
    let store = try open()
    return try store.indexes(store.packs()).reduce(0) { $0 + $1.pageCount }
  }

  /// All bytes of an image.
  func read(_ name: String) throws -> [UInt8] {
    let source = try open().open(name)
    return try source.read(Int(source.byteCount ?? 0))
  }

  // MARK: - Objects

  func names(_ folder: String) -> [String] { FileSystem.names(in: root + "/" + folder) ?? [] }

  /// Writes an object, or another in its place.
  func write(_ name: String, _ bytes: [UInt8]) throws {
    try OutputFile.write(root + "/" + name, .memory, .replacing, isDurable: false, bytes: bytes)
  }

  func remove(_ name: String) { FileSystem.remove(root + "/" + name) }

  /// All that the store consists of now.
  func objects() throws -> Objects {
    var out: Objects = ["format": try contents(root + "/format")]
    for folder in ImageStore.folders {
      for name in names(folder) {
        out[folder + "/" + name] = try contents("\(root)/\(folder)/\(name)")
      }
    }
    return out
  }

  /// Expects each image that the store lists to be byte for byte as it was put; gives their names.
  @discardableResult
  func check(
    _ images: [String: [UInt8]], _ comment: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> [String] {
    let names = try open().list().images.map(\.name)
    for name in names {
      let bytes = try #require(
        images[name], "\(comment): '\(name)' is listed", sourceLocation: sourceLocation)
      let isSame = hasSameBytes(try read(name), bytes)
      #expect(isSame, "\(comment): '\(name)'", sourceLocation: sourceLocation)
    }
    return names
  }
}

// MARK: - Images

/// Pages that are all different, and do not pack.
func randomPages(_ count: Int, _ random: inout Seed) -> [[UInt8]] {
  var out: [[UInt8]] = []
  for _ in 0..<count {
    var words = [UInt64](repeating: 0, count: 512)
    for index in words.indices { words[index] = random.next() }
    out.append(words.withUnsafeBytes { Array($0) })
  }
  return out
}

/// Pages that are all different, and pack well.
func plainPages(_ count: Int) -> [[UInt8]] {
  (0..<count).map { le64(UInt64($0) + 1) + zeros(4088) }
}

/// A good HVM image whose memory has exactly these pages.
func image(_ pages: [[UInt8]]) -> [UInt8] {
  var body = le32(UInt32(pages.count), 0)
  for index in 0..<pages.count - 1 { body += le64(0x100 + UInt64(index)) }
  // The page that HVM_PARAMS speaks of.
  body += le64(0xFEFFC)
  for page in pages { body += page }
  var image = StreamBuilder.hvm()
  image.replace("PAGE_DATA", StreamBuilder.record("PAGE_DATA", 0x01, body))
  return image.bytes
}
