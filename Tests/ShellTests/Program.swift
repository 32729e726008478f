// Running the program that was built beside the tests.

import Glibc
import Synchronization
import TestKit
import Testing

/// What a run of the program gave.
struct Outcome {
  let exitCode: Int32
  /// The signal that ended it, or 0.
  let signal: Int32
  let output: [UInt8]
  let errors: String

  /// The output as text; where it is none, its ASCII.
  var text: String { TestKit.text(of: output) }
}

private let sampleFolders = Mutex<[String]>([])

enum Program {
  /// The checkout, found from this file's place.
  static let checkout = #filePath.replacing("/Tests/ShellTests/Program.swift", with: "")
  static let fixtures = checkout + "/Tests/Fixtures/"

  /// The program, in the folder of the test bundle.
  static let path = BuiltPrograms.path("xensave-lua")

  /// A new empty folder; the caller removes it with `remove`.
  static func temporaryFolder() -> String {
    var template = Array("/tmp/xensave-test-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A folder in which a shell command has made the files that several tests read; it is removed when the
  /// program ends.
  static func samples(_ command: String) -> String {
    let folder = temporaryFolder()
    sampleFolders.withLock { folders in
      if folders.isEmpty { atexit { sampleFolders.withLock { $0.forEach(Program.remove) } } }
      folders.append(folder)
    }
    let made = shell("cd '\(folder)' || exit 9; \(command)")
    #expect(made.exitCode == 0, "\(made.errors)\(made.text)")
    return folder
  }

  /// A new folder with the files of another, as further links to them.
  static func temporaryFolder(linking samples: String) -> String {
    let folder = temporaryFolder()
    let linked = shell("cp -rl '\(samples)'/* '\(folder)'")
    #expect(linked.exitCode == 0, "\(linked.errors)")
    return folder
  }

  static func remove(_ folder: String) { _ = shell("rm -rf '\(folder)'") }

  /// Runs the program with these words; `input` is its standard input.
  static func run(_ words: [String], input: [UInt8] = []) -> Outcome {
    let quoted = ([path] + words).map { "'" + $0.replacing("'", with: "'\\''") + "'" }
    return shell(quoted.joined(separator: " "), input: input)
  }

  /// Runs the generator of documents, which is built beside the program.
  static func documents(_ words: [String]) -> Outcome {
    shell((["DocGenerator"] + words).joined(separator: " "))
  }

  /// What limits the memory of the commands after it, in KiB: nothing with a sanitizer, which maps
  /// terabytes.
  static func memoryLimit(_ size: Int) -> String {
    isSanitized ? "" : "ulimit -v \(size); "
  }

  /// Whether the program was built with a sanitizer.
  static var isSanitized: Bool { getenv("XENSAVE_SANITIZED") != nil }

  /// Runs a shell command with the program's folder in PATH.
  static func shell(_ command: String, input: [UInt8] = []) -> Outcome {
    let folder = temporaryFolder()
    defer { removeFiles(folder) }
    write(input, to: folder + "/in")
    let status = runShell(
      "PATH='\(BuiltPrograms.directory)':\"$PATH\"; export PATH; cd '\(checkout)'; exec <'\(folder)/in' "
        + ">'\(folder)/out' 2>'\(folder)/err'; \(command)")
    let signal = status & 0x7F
    return Outcome(
      exitCode: signal == 0 ? status >> 8 & 0xFF : -1, signal: signal,
      output: read(folder + "/out"), errors: TestKit.text(of: read(folder + "/err")))
  }

  private static func removeFiles(_ folder: String) {
    for name in ["in", "out", "err"] { unlink(folder + "/" + name) }
    rmdir(folder)
  }

  static func read(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { return [] }
    defer { fclose(file) }
    var out: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let got = chunk.withUnsafeMutableBytes { raw in
        fread(raw.baseAddress, 1, raw.count, file)
      }
      if got == 0 { return out }
      out += chunk.prefix(got)
    }
  }

  static func write(_ bytes: [UInt8], to path: String) {
    guard let file = fopen(path, "wb") else { return }
    defer { fclose(file) }
    _ = bytes.withUnsafeBytes { raw in
      fwrite(raw.baseAddress, 1, raw.count, file)
    }
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The names in a folder, hidden ones too.
  static func names(in folder: String) -> [String] {
    shell("ls -A '\(folder)'").text.split(separator: "\n").map(String.init)
  }
}
