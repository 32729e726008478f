// Files and directories by their names.

internal import CSystem
internal import Glibc

/// The file system, in the few questions that the program has.
public enum FileSystem {
  /// Paths that match a pattern of the shell, sorted; none where nothing matches.
  public static func matches(_ pattern: String) -> [String] {
    var found = unsafe glob_t()
    defer { unsafe globfree(&found) }
    guard unsafe glob(pattern, GLOB_TILDE | GLOB_MARK, nil, &found) == 0 else { return [] }
    // Safety: glob has put gl_pathc strings there, which end in NUL.
    return unsafe (0..<Int(found.gl_pathc)).compactMap { index in
      unsafe found.gl_pathv[index].map { unsafe String(cString: $0) }
    }
  }

  /// The names in a folder, sorted, without "." and ".."; nil where it cannot be read.
  public static func names(in folder: String) -> [String]? {
    guard let directory = unsafe opendir(folder.isEmpty ? "." : folder) else { return nil }
    defer { unsafe closedir(directory) }
    var out: [String] = []
    while let entry = unsafe readdir(directory) {
      // Safety: d_name ends in NUL.
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
        unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { out.append(name) }
    }
    return out.sorted()
  }

  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  public static func isFile(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  public static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  /// Writes a new file, whole or not at all; one that is there already is an error (EEXIST).
  public static func create(
    _ path: String, _ text: String, mode: UInt32? = nil
  ) throws {
    try OutputFile.write(path, .text, .new, isDurable: false) { output in
      if let mode, fchmod(output.sink.fileDescriptor, mode) != 0 {
        throw SystemError("fchmod", errno, path)
      }
      try output.sink.write(Array(text.utf8))
    }
  }

  /// Makes a folder; one that is there already is an error (EEXIST).
  public static func createFolder(_ path: String) throws(SystemError) {
    guard unsafe mkdir(path, 0o777) == 0 else { throw SystemError("mkdir", errno, path) }
  }

  /// A new empty folder for temporary files, only for this user.
  public static func temporaryFolder() throws(SystemError) -> String {
    let base = Environment.variable("TMPDIR") ?? "/tmp"
    var template = Array((base + "/xensave-lua-XXXXXX").utf8CString)
    // Safety: the template ends in NUL; mkdtemp changes its last letters.
    guard unsafe mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno, base) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  public static func remove(_ path: String) { _ = unsafe Glibc.remove(path) }

  /// Removes a file; one that is not there is no error.
  public static func removeFile(_ path: String) throws(SystemError) {
    guard unsafe unlink(path) == 0 || errno == ENOENT else {
      throw SystemError("unlink", errno, path)
    }
  }
}
