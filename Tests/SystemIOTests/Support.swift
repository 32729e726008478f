// Files, pipes and sockets of every kind as sources and sinks, and system calls that fail.

import CSystemCalls
import Glibc
import SystemIO
import TestKit
import Testing

/// Bytes that no shift by less than 64 KiB makes equal to themselves.
func pattern(_ count: Int) -> [UInt8] {
  (0..<count).map { (index: Int) -> UInt8 in
    UInt8(truncatingIfNeeded: index ^ index >> 8 &* 31 ^ index >> 16 &* 17)
  }
}

/// What is in a file.
func contents(_ path: String) -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return [] }
  defer { close(descriptor) }
  var out: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 1 << 20)
  while case let got = read(descriptor, &buffer, buffer.count), got > 0 { out += buffer[..<got] }
  return out
}

/// A directory that goes with the value, and all in it.
final class TemporaryDirectory {
  let path: String

  init() {
    var template = Array("/tmp/xensave-test-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The names in it, hidden ones too.
  var names: [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var out: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { out.append(name) }
    }
    return out.sorted()
  }

  deinit {
    for name in names where unlink(path + "/" + name) != 0 { rmdir(path + "/" + name) }
    rmdir(path)
  }
}

/// Where bytes come from.
enum Origin: String, CaseIterable, Sendable {
  case file, fileFromTheMiddle, pipe, singleBytePipe, socket

  /// A source whose bytes are `bytes`. What it holds lives as long as `keep`.
  func source(_ bytes: [UInt8], _ keep: inout [AnyObject]) throws -> Source {
    switch self {
    case .file:
      let file = TemporaryFile(bytes)
      keep.append(file)
      return try Source(opening: file.path)
    case .fileFromTheMiddle:
      let file = TemporaryFile(pattern(5000) + bytes)
      keep.append(file)
      let descriptor = try Descriptor.open(file.path)
      precondition(lseek(descriptor.fileDescriptor, 5000, SEEK_SET) == 5000)
      return try Source(descriptor, path: file.path)
    case .pipe, .singleBytePipe:
      let end = TestKit.pipe(feeding: bytes, inSingleBytes: self == .singleBytePipe)
      return try Source(Descriptor(taking: end, path: "pipe"), path: "pipe")
    case .socket:
      signal(SIGPIPE, SIG_IGN)
      var ends: [Int32] = [-1, -1]
      precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      let writing = ends[1]
      keep.append(
        TestThread {
          var done = 0
          while done < bytes.count {
            let put = bytes.withUnsafeBytes {
              write(writing, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if put <= 0 { break }
            done += put
          }
          close(writing)
        })
      return try Source(Descriptor(taking: ends[0], path: "socket"), path: "socket")
    }
  }
}

/// Where bytes go.
enum Destination: String, CaseIterable, Sendable {
  case file, appendedFile, oldFile, pipe, socket, null

  /// Runs `body` with a sink, and gives what came out at its end: nil where nobody can say.
  func collect(_ body: (Sink) throws -> Void) throws -> [UInt8]? {
    switch self {
    case .file, .appendedFile, .oldFile:
      let file = TemporaryFile(self == .file ? [] : pattern(3000))
      do {
        let flags = self == .appendedFile ? O_WRONLY | O_APPEND : O_RDWR
        let descriptor = open(file.path, flags | O_CLOEXEC)
        try body(Sink(Descriptor(taking: descriptor, path: file.path), path: file.path))
      }
      let all = contents(file.path)
      if self == .file { return all }
      // What was there before stays where it is, or is written over.
      guard self == .appendedFile else { return all }
      #expect(all.starts(with: pattern(3000)))
      return Array(all.dropFirst(3000))
    case .pipe:
      let collector = PipeCollector()
      try body(Sink(Descriptor(taking: collector.writing, path: "pipe"), path: "pipe"))
      return collector.join()
    case .socket:
      var ends: [Int32] = [-1, -1]
      precondition(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
      let reading = ends[0]
      let box = Box()
      let thread = TestThread {
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let got = read(reading, &buffer, buffer.count), got > 0 {
          box.bytes += buffer[..<got]
        }
        close(reading)
      }
      defer { thread.join() }
      try body(Sink(Descriptor(taking: ends[1], path: "socket"), path: "socket"))
      thread.join()
      return box.bytes
    case .null:
      try body(Sink(Descriptor.open("/dev/null", isWritable: true), path: "/dev/null"))
      return nil
    }
  }

  private final class Box: @unchecked Sendable { var bytes: [UInt8] = [] }
}

/// What happens to system calls while `body` runs on this thread: to call `at`, or to all from it on.
struct Fault: Sendable, CustomTestStringConvertible {
  enum Effect: Sendable {
    case error(Int32)
    /// It moves so many bytes at most.
    case short(Int)
    /// It is not made and gives this.
    case result(Int)
  }

  var calls: calls_set
  var effect: Effect
  /// 1: the first call.
  var at = 1
  /// To how many calls from there on; 0: to all.
  var times = 1

  var testDescription: String { "\(effect) at \(at), \(times) times, of calls \(calls.rawValue)" }

  /// Runs `body`; how many calls something happened to.
  func during(files: [Int32] = [], _ body: () throws -> Void) rethrows -> Int {
    let (kind, value): (calls_effect, Int) =
      switch effect {
      case .error(let number): (calls_fail, Int(number))
      case .short(let count): (calls_short, count)
      case .result(let result): (calls_give, result)
      }
    let plan = calls_begin(Int32(bitPattern: calls.rawValue), kind, at, times, value)
    for file in files { calls_add_file(plan, file) }
    var hits = 0
    defer { calls_end(plan) }
    do {
      defer { hits = calls_hits(plan) }
      try body()
    }
    return hits
  }

  /// How many of `calls` a run of `body` makes.
  static func count(
    _ calls: calls_set = calls_all, files: [Int32] = [], _ body: () throws -> Void
  ) rethrows -> Int {
    let plan = calls_begin(Int32(bitPattern: calls.rawValue), calls_count, 1, 0, 0)
    for file in files { calls_add_file(plan, file) }
    var count = 0
    do {
      defer { count = calls_end(plan) }
      try body()
    }
    return count
  }
}
