// Streams built byte by byte, without the code under test, and seeds that are printed.

import Glibc

/// A page with a given byte everywhere, or made from a seed.
func page(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 4096) }

func le32(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
func le64(_ value: UInt64) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}

/// A record with header and padding.
func record(_ type: Int, _ body: [UInt8] = []) -> [UInt8] {
  le32(type) + le32(body.count) + body + [UInt8](repeating: 0, count: (8 - body.count % 8) % 8)
}

/// One page of PAGE_DATA: without contents where `contents` is nil.
struct Entry: Equatable {
  var pfn: UInt64
  var type: UInt64 = 0
  var contents: [UInt8]?

  init(_ pfn: UInt64, _ contents: [UInt8]) { (self.pfn, self.contents) = (pfn, contents) }
  init(_ pfn: UInt64, type: UInt64, _ contents: [UInt8]? = nil) {
    (self.pfn, self.type, self.contents) = (pfn, type, contents)
  }
}

func pageData(_ entries: [Entry]) -> [UInt8] {
  var body = le32(entries.count) + le32(0)
  for entry in entries { body += le64(entry.type << 60 | entry.pfn) }
  for entry in entries { body += entry.contents ?? [] }
  return record(1, body)
}

/// Image header and domain header: guest 1 is PV, 2 HVM.
func headers(_ guest: Int) -> [UInt8] {
  [UInt8](repeating: 0xFF, count: 8) + Array("XENF".utf8) + [0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]
    + le32(guest) + [12, 0, 0, 0] + le32(4) + le32(17)
}

let staticDataEnd = record(0x10)
let end = record(0)
let tscInfo = record(0x08, [UInt8](repeating: 0, count: 24))
let checkpoint = record(0x0E)
let verify = record(0x0D)

/// A bare libxc stream of an HVM guest.
func hvm(_ batches: [[Entry]], tail: [UInt8] = []) -> [UInt8] {
  headers(2) + staticDataEnd + batches.flatMap(pageData) + tscInfo + tail + end
}

/// A bare libxc stream of a 64-bit PV guest with `maxPFN` and one page of p2m.
func pv(_ batches: [[Entry]], p2m: UInt64, maxPFN: Int = 511) -> [UInt8] {
  headers(1) + record(0x02, [8, 4, 0, 0, 0, 0, 0, 0]) + staticDataEnd
    + record(0x03, le32(0) + le32(maxPFN) + le64(p2m)) + batches.flatMap(pageData) + tscInfo + end
}

/// An xl header with an empty configuration, a libxl header, and the libxc stream inside.
func xl(_ inner: [UInt8]) -> [UInt8] {
  let config = Array("{}".utf8) + [0]
  return Array("Xen saved domain, xl format\n \0 \r".utf8) + [4, 3, 2, 1] + le32(3) + le32(0)
    + le32(4 + config.count) + le32(config.count) + config + Array("LibxlFmt".utf8)
    + [0, 0, 0, 2, 0, 0, 0, 0] + record(1) + inner + record(0)
}

/// A suspend image of xenopsd around the libxc stream. What its Libxc says of its length means nothing.
func suspended(_ inner: [UInt8]) -> [UInt8] {
  func record(_ type: UInt64, _ body: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
    le64(type) + le64(length ?? UInt64(body.count)) + body
  }
  var out = Array("XenSavedDomv2-\n".utf8) + record(0xF, Array("(a)".utf8))
  out += record(0xF0, length: 7) + inner
  out += record(0xF00, [1, 2, 3, 4, 5]) + record(0xFFFF)
  return out
}

/// libvirt's header before the libxl stream.
func libvirt(_ inner: [UInt8]) -> [UInt8] {
  let xml: [UInt8] = [0x3C, 0x61, 0x2F, 0x3E, 0]
  var out = Array("libvirt-xml\n \0 \r".utf8) + le32(2) + le32(xml.count)
  out += [UInt8](repeating: 0, count: 40) + xml
  // xl's header has 48 bytes, and 7 of configuration.
  return out + xl(inner).dropFirst(55)
}

/// A file in /tmp, gone with this object.
final class TemporaryFile {
  let path: String

  init(_ bytes: [UInt8] = []) {
    var template = Array("/tmp/xensave-pages-XXXXXX".utf8CString)
    let number = mkstemp(&template)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    var done = 0
    while done < bytes.count {
      done += bytes[done...].withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
    }
    close(number)
  }

  deinit { unlink(path) }

  var bytes: [UInt8] {
    let number = open(path, O_RDONLY)
    defer { close(number) }
    var status = stat()
    fstat(number, &status)
    var out = [UInt8](repeating: 0, count: Int(status.st_size))
    let got = out.withUnsafeMutableBytes { read(number, $0.baseAddress, $0.count) }
    return Array(out.prefix(max(0, got)))
  }
}

/// A generator that starts from a seed; `RandomSeed.next()` prints one that can be pasted back.
struct SeededGenerator: RandomNumberGenerator {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

func printedSeed(_ name: String = #function) -> UInt64 {
  let seed = UInt64.random(in: 0...UInt64.max)
  print("\(name): let seed: UInt64 = 0x\(String(seed, radix: 16))")
  return seed
}

/// A page that is zero, of one byte, or random, of few kinds so that repetitions happen.
func randomPage(_ random: inout SeededGenerator) -> [UInt8] {
  switch Int.random(in: 0..<4, using: &random) {
  case 0: return page(0)
  case 1: return page(UInt8.random(in: 0..<4, using: &random))
  default:
    var inner = SeededGenerator(UInt64.random(in: 0..<20, using: &random))
    return (0..<512).flatMap { _ in le64(inner.next()) }
  }
}

/// Entries with ascending pfns below `limit`.
func randomEntries(
  _ random: inout SeededGenerator, count: Int, below limit: UInt64
) -> [Entry] {
  var pfns: Set<UInt64> = []
  while pfns.count < count { pfns.insert(UInt64.random(in: 0..<limit, using: &random)) }
  return pfns.sorted().map { pfn in
    switch Int.random(in: 0..<6, using: &random) {
    case 0: Entry(pfn, type: 0xF)
    case 1: Entry(pfn, type: 0xD)
    default: Entry(pfn, randomPage(&random))
    }
  }
}
