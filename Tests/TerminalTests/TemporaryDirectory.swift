// A directory for one test, and what tests ask of files in it.

import Glibc

/// A directory that is removed with everything in it.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/terminal-tests.XXXXXX".utf8CString)
    // Safety: the template ends in NUL; mkdtemp changes its last letters and returns it.
    guard let made = unsafe mkdtemp(&template) else { fatalError("mkdtemp: \(errno)") }
    path = unsafe String(cString: made)
  }

  deinit { Self.remove(path) }

  private static func remove(_ path: String) {
    // Safety: opendir's result is used until closedir only; names end in NUL.
    if let directory = unsafe opendir(path) {
      while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
          unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { remove(path + "/" + name) }
      }
      unsafe closedir(directory)
      _ = unsafe rmdir(path)
    } else {
      _ = unsafe unlink(path)
    }
  }
}

/// The whole file as bytes; nil if it cannot be read.
func contents(_ path: String) -> [UInt8]? {
  let descriptor = unsafe open(path, O_RDONLY)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    // Safety: at most `chunk.count` bytes are written, into the storage of `chunk`.
    let count = unsafe read(descriptor, &chunk, chunk.count)
    guard count > 0 else { return bytes }
    bytes += chunk[..<count]
  }
}

/// The lines of a text file.
func lines(_ path: String) -> [String] {
  (contents(path) ?? []).split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
}

/// Writes a file.
func write(_ text: String, to path: String, mode: mode_t = 0o600) {
  let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
  let bytes = Array(text.utf8)
  // Safety: exactly the bytes of the array are read.
  precondition(unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count)
  fchmod(descriptor, mode)
  close(descriptor)
}

/// The permissions of a file.
func permissions(_ path: String) -> mode_t {
  var status = stat()
  // Safety: stat writes one `stat`.
  _ = unsafe stat(path, &status)
  return status.st_mode & 0o777
}
