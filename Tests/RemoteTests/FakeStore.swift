// The object store of Tests/Fixtures/fake-s3.py, and what programs do with it.

import Glibc
import JSON
import TestKit

/// A run of a program with the store in its environment, and what is in the store after it.
struct StoreRun {
  struct Request {
    let kind: String
    let path: String
    let status: Int
    let byteCount: Int
    let isSigned: Bool
    let range: String?
    let match: String?
  }

  let exitCode: Int32
  let output: String
  let errors: String
  let requests: [Request]
  /// By key: length and SHA-256.
  let objects: [String: (byteCount: Int, hash: String, file: String)]
  /// Names of uploads that are neither complete nor aborted.
  let uploads: [String]
  /// Bytes of all answers, without their headers.
  let byteCount: Int

  func count(_ kind: String) -> Int { requests.count { $0.kind == kind } }

  /// Whether standard error has one line, of letters that a terminal shows.
  var hasOneError: Bool {
    errors.hasPrefix("xensave-lua: ") && errors.hasSuffix("\n")
      && errors.utf8.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }
}

enum FakeStore {
  static let checkout = #filePath.replacing("/Tests/RemoteTests/FakeStore.swift", with: "")
  static let fixtures = checkout + "/Tests/Fixtures/"
  static let image = fixtures + "pv-4m-1v-tiny.xlsave"

  /// The release of libcurl, by its first two numbers; nil where there is none, and nothing to be tested.
  static let release: (Int, Int)? = {
    typealias Version = @convention(c) () -> UnsafePointer<CChar>?
    let name = getenv("XENSAVE_LIBCURL").map { String(cString: $0) } ?? "libcurl.so.4"
    guard let library = dlopen(name, RTLD_NOW), let symbol = dlsym(library, "curl_version"),
      let text = unsafeBitCast(symbol, to: Version.self)()
    else { return nil }
    // "libcurl/7.88.1 OpenSSL/3.0.19 ..."
    let numbers = String(cString: text).drop { $0 != "/" }.dropFirst().split(separator: ".")
      .prefix(2).compactMap { Int($0) }
    return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
  }()

  static var isPossible: Bool { release != nil }
  /// Runs `body` with a new folder, which is gone afterwards.
  static func inFolder(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/xensave-test-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { runShell("rm -rf '\(folder)'") }
    try body(folder)
  }

  /// Runs a script of the shell beside a store with these options. `environment` comes on top of what
  /// leads to the store.
  static func run(
    _ folder: String, _ options: [String], _ script: String, _ environment: [String: String] = [:]
  ) throws -> StoreRun {
    let words =
      [
        "python3", "-B", fixtures + "fake-s3.py",
      ] + options + [folder, "--", "sh", "-c", script]
    let quoted = words.map { "'" + $0.replacing("'", with: "'\\''") + "'" }
    let variables = environment.map { "TEST_\($0.key)='\($0.value)'; export TEST_\($0.key); " }
    let status = runShell(
      "PATH='\(BuiltPrograms.directory)':\"$PATH\"; export PATH; cd '\(folder)'; exec </dev/null "
        + ">'\(folder)/out' 2>'\(folder)/err'; " + variables.joined()
        + quoted.joined(separator: " ")
    )
    let errors = text(folder + "/err")
    let state: JSONValue
    do { state = try JSONValue(parsing: text(folder + "/state.json")) } catch {
      throw Problem(text: "no state of the store (\(status)): \(errors)")
    }
    func number(_ value: JSONValue?) -> Int { Int(value?.numberValue?.int64 ?? -1) }
    var objects: [String: (byteCount: Int, hash: String, file: String)] = [:]
    for member in state["objects"]?.objectValue?.members ?? [] {
      objects[member.name] = (
        number(member.value["bytes"]), member.value["sha256"]?.stringValue ?? "",
        member.value["file"]?.stringValue ?? ""
      )
    }
    return StoreRun(
      exitCode: status >> 8 & 0xFF, output: text(folder + "/out"), errors: errors,
      requests: (state["requests"]?.arrayValue ?? []).map {
        StoreRun.Request(
          kind: $0["kind"]?.stringValue ?? "", path: $0["path"]?.stringValue ?? "",
          status: number($0["status"]), byteCount: number($0["bytes"]),
          isSigned: $0["signed"]?.boolValue ?? false, range: $0["range"]?.stringValue,
          match: $0["match"]?.stringValue)
      },
      objects: objects, uploads: (state["uploads"]?.arrayValue ?? []).compactMap(\.stringValue),
      byteCount: number(state["bytes"]))
  }

  struct Problem: Error { let text: String }

  static func bytes(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "rb") else { return [] }
    defer { fclose(file) }
    var out: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let got = chunk.withUnsafeMutableBytes { fread($0.baseAddress, 1, $0.count, file) }
      if got == 0 { return out }
      out += chunk.prefix(got)
    }
  }

  static func text(_ path: String) -> String { TestKit.text(of: bytes(path)) }

  static func write(_ text: String, to path: String) {
    guard let file = fopen(path, "wb") else { return }
    defer { fclose(file) }
    let bytes = Array(text.utf8)
    fwrite(bytes, 1, bytes.count, file)
  }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
