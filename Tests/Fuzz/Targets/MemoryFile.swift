// Files in memory that every input uses anew: a target makes thousands of sources a second.

import Bytes
import CSystem
import Glibc
@testable import SystemIO

/// A file without a name.
final class MemoryFile {
  let number: Int32

  init(_ name: String) {
    number = csystem_memory_file(name)
    precondition(number >= 0, "no file in memory: \(errno)")
  }

  deinit { close(number) }

  /// The files of the targets. One target is at work at a time.
  nonisolated(unsafe) static let input = MemoryFile("input")
  nonisolated(unsafe) static let second = MemoryFile("second")
  nonisolated(unsafe) static let output = MemoryFile("output")
  nonisolated(unsafe) static let other = MemoryFile("other")

  /// What the file holds from now on; whoever reads or writes begins at its start.
  func hold(_ bytes: [UInt8]) {
    let written = bytes.withUnsafeBytes { pwrite(number, $0.baseAddress, $0.count, 0) }
    precondition(written == bytes.count && ftruncate(number, bytes.count) == 0)
    lseek(number, 0, SEEK_SET)
  }

  /// What it holds.
  var bytes: [UInt8] {
    var status = stat()
    fstat(number, &status)
    let count = Int(status.st_size)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
      done = max(0, pread(number, buffer.baseAddress, count, 0))
    }
  }

  /// A source over `bytes`: as a file, or as a stream that is read once, as from a pipe.
  func source(_ bytes: [UInt8], isStream: Bool = false) throws -> Source {
    hold(bytes)
    return try source(isStream: isStream)
  }

  /// A source over what it holds.
  func source(isStream: Bool = false) throws -> Source {
    lseek(number, 0, SEEK_SET)
    return try Source(
      Descriptor(taking: number, path: "input", isOwned: false, isStream: isStream), path: "input")
  }

  /// An empty file to write to.
  func sink(isStream: Bool = false) throws -> Sink {
    hold([])
    return Sink(
      try Descriptor(taking: number, path: "output", isOwned: false, isStream: isStream),
      path: "output")
  }
}

/// The reading end of a pipe that holds `bytes`: at most what every pipe holds.
func pipeSource(_ bytes: [UInt8]) throws -> Source {
  precondition(bytes.count <= 4096)
  let pipe = try Pipe()
  _ = bytes.withUnsafeBytes { write(pipe.writing.fileDescriptor, $0.baseAddress, $0.count) }
  let number = fcntl(pipe.reading.fileDescriptor, F_DUPFD_CLOEXEC, 3)
  return try Source(Descriptor(taking: number, path: "input"), path: "input")
}

/// A directory of this process that goes at its end.
final class FuzzDirectory {
  let path: String

  init() {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/xensave-fuzz-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    FuzzDirectory.paths.append(path)
    if FuzzDirectory.paths.count == 1 { atexit { FuzzDirectory.removeAll() } }
  }

  nonisolated(unsafe) private static var paths: [String] = []

  private static func removeAll() {
    for path in paths {
      for name in names(path) { unlink("\(path)/\(name)") }
      rmdir(path)
    }
  }

  /// The names in a directory, sorted.
  static func names(_ path: String) -> [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var out: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { out.append(name) }
    }
    return out.sorted()
  }

  var names: [String] { FuzzDirectory.names(path) }

  func write(_ bytes: [UInt8], _ name: String) {
    let number = open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    precondition(number >= 0)
    let written = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
    precondition(written == bytes.count)
    close(number)
  }

  func read(_ name: String) -> [UInt8]? {
    guard let source = try? Source(opening: "\(path)/\(name)") else { return nil }
    return try? source.read(Int(clamping: source.byteCount ?? 0))
  }
}
