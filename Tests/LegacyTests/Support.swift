// What the tests of this target share: converting bytes, reading the result, and Xen's programs.

import Glibc
import Stream
import SystemIO
import TestKit
import Testing

@testable import Legacy

/// The checkout, found from this file's place.
let checkout = #filePath.replacing("/Tests/LegacyTests/Support.swift", with: "")

/// A folder that goes with this object.
final class Folder {
  let path: String

  init() {
    path = "/tmp/xensave-legacy-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
    #expect(mkdir(path, 0o700) == 0)
  }

  deinit { _ = shell("rm -rf '\(path)'") }

  func file(_ name: String) -> String { path + "/" + name }

  /// Writes a file and gives its path.
  @discardableResult
  func write(_ bytes: [UInt8], _ name: String = "in") -> String {
    let number = open(file(name), O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer { close(number) }
    let count = bytes.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
    #expect(count == bytes.count)
    return self.file(name)
  }
}

func readFile(_ path: String) throws -> [UInt8] {
  let source = try Source(opening: path)
  return try source.read(Int(source.byteCount ?? 0))
}

/// Runs a shell command in the checkout: its exit status, and what it said in both ways.
func shell(_ command: String) -> (status: Int32, text: String) {
  guard let pipe = popen("cd '\(checkout)'; { \(command)\n} 2>&1 </dev/null", "r") else {
    return (-1, "popen")
  }
  var out: [UInt8] = []
  var piece = [UInt8](repeating: 0, count: 65536)
  while true {
    let got = piece.withUnsafeMutableBytes { fread($0.baseAddress, 1, $0.count, pipe) }
    if got == 0 { break }
    out += piece.prefix(got)
  }
  let status = pclose(pipe)
  return (status & 0x7F == 0 ? status >> 8 & 0xFF : -1, String(decoding: out, as: UTF8.self))
}

/// Xen's own programs, where they can be had.
enum Oracle {
  static let verify = program("verify-stream-v2")
  static let convert = program("convert-legacy-stream")

  private static func program(_ name: String) -> String? {
    let result = shell("scripts/fetch-verify-stream \(name)")
    let path = result.text.split(separator: "\n").last.map(String.init) ?? ""
    return result.status == 0 ? path : nil
  }
}

/// Converts a file's bytes into a file's bytes.
func convert(
  _ bytes: [UInt8], _ options: LegacyConverter.Options = LegacyConverter.Options()
) throws -> (bytes: [UInt8], report: LegacyReport) {
  let folder = Folder()
  let out = try OutputFile(folder.file("out"), .memory)
  let source = try Source(opening: folder.write(bytes))
  let report = try LegacyConverter(source, options: options).run(to: out.sink)
  let result = try readFile(#require(out.readingPath))
  #expect(UInt64(result.count) == report.byteCount)
  return (result, report)
}

/// Converts from a pipe into a pipe; what is in the pipe behind the stream comes back too.
func convertThroughPipes(
  _ bytes: [UInt8], _ options: LegacyConverter.Options = LegacyConverter.Options()
) throws -> (bytes: [UInt8], report: LegacyReport, rest: [UInt8]) {
  let source = try Source(Descriptor(taking: pipe(feeding: bytes), path: "in"), path: "in")
  let collector = PipeCollector()
  let report: LegacyReport
  do {
    let sink = Sink(try Descriptor(taking: collector.writing, path: "out"), path: "out")
    report = try LegacyConverter(source, options: options).run(to: sink)
  }
  return (collector.join(), report, try source.read(1 << 20))
}

/// The error of a conversion; nil if it went well.
func conversionError(
  _ bytes: [UInt8], _ options: LegacyConverter.Options = LegacyConverter.Options()
) throws -> StreamError? {
  do { _ = try convert(bytes, options) } catch let error as StreamError { return error }
  return nil
}

/// A record of either layer, as the test reads it.
struct Parsed: Equatable, CustomStringConvertible {
  let isLibxl: Bool
  let type: UInt32
  var body: [UInt8]

  var description: String {
    "\(isLibxl ? "libxl" : "libxc") \(type) of \(body.count): \(body.prefix(24))"
  }
}

/// A stream taken apart by hand.
struct ParsedStream {
  var xl: [UInt8] = []
  var libxl: [UInt8] = []
  var image: [UInt8] = []
  var domain: [UInt8] = []
  var records: [Parsed] = []
  var rest: [UInt8] = []

  init(_ bytes: [UInt8]) throws {
    var here = 0
    func u32(_ at: Int) throws -> Int {
      try #require(bytes.count >= at + 4)
      return Int(bytes[at]) | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2]) << 16
        | Int(bytes[at + 3]) << 24
    }
    func take(_ count: Int) throws -> [UInt8] {
      try #require(bytes.count - here >= count)
      here += count
      return Array(bytes[here - count..<here])
    }
    if bytes.starts(with: "Xen saved domain".utf8) { xl = try take(48 + u32(44)) }
    var isLibxl = bytes[here...].starts(with: "LibxlFmt".utf8)
    let isWrapped = isLibxl
    if isLibxl {
      libxl = try take(16)
    } else {
      image = try take(24)
      domain = try take(16)
    }
    while true {
      let type = UInt32(try u32(here))
      let count = try u32(here + 4)
      _ = try take(8)
      let body = try take(count)
      #expect(try take((8 - count % 8) % 8).allSatisfy { $0 == 0 })
      records.append(Parsed(isLibxl: isLibxl, type: type, body: body))
      if isLibxl, type == 1 {
        image = try take(24)
        domain = try take(16)
        isLibxl = false
      } else if type == 0 {
        if isLibxl || !isWrapped { break }
        isLibxl = true
      }
    }
    rest = Array(bytes[here...])
  }

  func bodies(_ type: UInt32, libxl: Bool = false) -> [[UInt8]] {
    records.filter { $0.type == type && $0.isLibxl == libxl }.map(\.body)
  }

  /// What the pages are in the end: type and contents by pfn. Pages after VERIFY do not count.
  func pages() -> [UInt64: (type: UInt8, contents: [UInt8])] {
    var out: [UInt64: (type: UInt8, contents: [UInt8])] = [:]
    for record in records where !record.isLibxl {
      if record.type == 0x0D { break }
      guard record.type == 1 else { continue }
      let body = record.body
      let count = body[0..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
      var page = 8 + 8 * count
      for index in 0..<count {
        let at = 8 + 8 * index
        let word = body[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let type = UInt8(word >> 60)
        var contents: [UInt8] = []
        if type < 0xD {
          contents = Array(body[page..<page + 4096])
          page += 4096
        }
        out[word & 0xF_FFFF_FFFF_FFFF] = (type, contents)
      }
      #expect(page == body.count)
    }
    return out
  }
}

/// The integers of 8 bytes in a body, from `start` on.
func words(_ body: [UInt8], from start: Int = 0) -> [UInt64] {
  stride(from: start, to: body.count - 7, by: 8).map { at in
    body[at..<at + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
  }
}
