// What the program asks of the system around it: environment, files by name, time, other programs.

// Both declare timespec, and which one the compiler takes depends on the files it compiles together.
internal import CSystem
internal import Glibc

/// The process, its user and the file system, in the few questions that the shell has.
public enum Surroundings {
  /// Processors that this process may use, by its affinity and the quotas of its control groups.
  public static var coreCount: Int { Int(csystem_core_count()) }

  /// The value of an environment variable; nil where it is not set or empty.
  public static func variable(_ name: String) -> String? {
    // Safety: getenv's result is nil or ends in NUL; it is copied at once.
    guard let value = unsafe getenv(name) else { return nil }
    let text = unsafe String(cString: value)
    return text.isEmpty ? nil : text
  }

  /// Whether an environment variable is there, also where it is empty.
  public static func isSet(_ name: String) -> Bool { unsafe getenv(name) != nil }

  /// Whether this process may do everything: then files that others may write are not trusted.
  public static var isRoot: Bool { geteuid() == 0 }

  public static func isTerminal(_ descriptor: Int32) -> Bool { isatty(descriptor) == 1 }

  /// The folder of a kind of user file: $variable, or `fallback` in the home; nil without either.
  public static func userFolder(_ variable: String, _ fallback: String) -> String? {
    if let folder = self.variable(variable), folder.hasPrefix("/") { return folder }
    return self.variable("HOME").map { $0 + "/" + fallback }
  }

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
  ) throws(SystemError) {
    let output = try OutputFile(path, .text, .new)
    if let mode, fchmod(output.sink.number, mode) != 0 { throw SystemError("fchmod", errno, path) }
    try output.sink.write(Array(text.utf8))
    try output.commit(isDurable: false)
  }

  /// Makes a folder; one that is there already is an error (EEXIST).
  public static func createFolder(_ path: String) throws(SystemError) {
    guard unsafe mkdir(path, 0o777) == 0 else { throw SystemError("mkdir", errno, path) }
  }

  /// A new empty folder for temporary files, only for this user.
  public static func temporaryFolder() throws(SystemError) -> String {
    let base = variable("TMPDIR") ?? "/tmp"
    var template = Array((base + "/xensave-lua-XXXXXX").utf8CString)
    // Safety: the template ends in NUL; mkdtemp changes its last letters.
    guard unsafe mkdtemp(&template) != nil else { throw SystemError("mkdtemp", errno, base) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  public static func remove(_ path: String) { _ = unsafe Glibc.remove(path) }

  /// Runs a command of the shell and waits for it; its exit code, or nil where it did not end so.
  public static func run(_ command: String) -> Int32? {
    let status = unsafe system(command)
    return status >= 0 && status & 0x7F == 0 ? status >> 8 & 0xFF : nil
  }

  /// Nanoseconds since 1970, as files have them.
  public static var nanosecondsSince1970: UInt64 {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  /// Nanoseconds of a clock that only goes forward.
  public static var nanoseconds: UInt64 {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }
}
