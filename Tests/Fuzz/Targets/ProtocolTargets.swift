// Targets over what other programs send and what is kept in files: traces, the helper's messages,
// live streams, packed frames, undo journals.

import Bytes
import Format
import Glibc
@testable import HelperProtocol
import Live
import SimDomain
import Stream
@testable import SystemIO
import TestKit
import Unpack
import Zstd

let protocolTargets: [FuzzTarget] = [
  FuzzTarget("trace", limit: 2048, seeds: { traces.map { Array($0.utf8) } }, trace),
  FuzzTarget("helper-message", limit: 512, seeds: { messages }, helperMessage),
  FuzzTarget("helper-channel", limit: 1024, seeds: { conversations }, helperChannel),
  FuzzTarget(
    "helper-arguments", limit: 256,
    seeds: {
      [
        "--save-domain 3 4 5 1 63 0", "--restore-domain 3 4 5 1 0 2 0 31 0",
        "--save-domain 3 -1 5 0 0 1 1 7 0",
      ].map { Array($0.utf8) }
    }, helperArguments),
  FuzzTarget("restore", limit: 16384, seeds: { Seeds.images.map { $0 + [0] } }, restore),
  FuzzTarget("zstd", limit: 1024, seeds: { packed }, zstd),
  FuzzTarget("unpack", limit: 1024, seeds: { foreign }, unpack),
  FuzzTarget("seekable-zstd", limit: 1024, seeds: { seekable }, seekableZstd),
  journalTarget,
]

// MARK: - Traces

private let traces = [
  """
  xensave-trace 1
  domain guest=x86_hvm frames=100 pages=90
  round kind=live number=0 dirty=100 digest=1 sent=90 octets=368640 begin=0 end=1000000
  round kind=live number=1 dirty=10 digest=2 sent=10 octets=40960 begin=1000000 end=1200000
  suspend begin=1200000 end=1300000
  round kind=final number=2 dirty=5 digest=3 sent=5 octets=20480 begin=1300000 end=1400000
  end outcome=complete time=1500000
  """,
  "xensave-trace 1\ndomain guest=x86_pv frames=1 pages=1\nend outcome=none time=0\n",
]

/// A trace that is written reads back as the same, and any policy's replay of it ends.
private func trace(_ bytes: [UInt8]) throws {
  guard let trace = try? Trace(parsing: bytes.text) else { return }
  let text = trace.description
  guard let again = try? Trace(parsing: text) else {
    throw Violation("does not read back: \(text)")
  }
  try demand(again.description == text, "\(text) reads back as \(again)")
  _ = trace.downtime
  for rate in [1, 125_000_000, UInt64.max] as [UInt64] {
    guard let replay = Replay(trace, bytesPerSecond: rate) else { continue }
    let policies: [any Policy] = [
      StopAfter(rounds: 0), StopAfter(rounds: 3), XenDefaultPolicy(), DowntimePolicy(budget: 1000),
    ]
    for policy in policies {
      let result = replay.run(policy)
      _ = (result.sentRatio, result.dirtyCounts)
    }
  }
}

// MARK: - The helper

private let messages: [[UInt8]] = HelperRelease.allCases.enumerated().flatMap { index, release in
  [
    HelperMessage.log(.info, context: "xc", "text"), .progress("pages", done: 1, total: 2),
    .suspend, .switchQEMULogDirty(domain: 3, isOn: true), .restoreResults(store: 1, console: 2),
    .staticDataDone(missing: 3), .complete(result: 0, errno: 0),
  ].compactMap { message in
    message.encoded(release).map { [UInt8(index)] + $0.dropFirst(2) }
  }
}

/// A message that is decoded and encoded is the same.
private func helperMessage(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let body = Array(input.dropFirst())
  let releases = HelperRelease.allCases
  let release = releases[Int(first) % releases.count]
  guard let message = try? HelperMessage(decoding: body, release) else { return }
  guard let encoded = message.encoded(release) else { return }
  // Text that is no UTF-8 is repaired; a second time nothing is left to repair.
  let again = try HelperMessage(decoding: Array(encoded.dropFirst(2)), release)
  try demand(again == message, "\(message) becomes \(again)")
}

private let conversations: [[UInt8]] = [0, 1, 2, 3].map { index in
  messages.filter { $0[0] == UInt8(index) }.reduce([UInt8(index)]) {
    $0 + le16(UInt16($1.count - 1)) + $1.dropFirst()
  }
}

/// A helper's output, as libxl reads it; and as what answers a helper.
private func helperChannel(_ input: [UInt8]) throws {
  guard let first = input.first else { return }
  let body = Array(input.dropFirst())
  let releases = HelperRelease.allCases
  let release = releases[Int(first) % releases.count]
  let peer = HelperPeer(
    input: try MemoryFile.input.source(body, isStream: true), output: try MemoryFile.output.sink(),
    release: release)
  var count = 0
  while count < 2000, (try? peer.next()) != nil { count += 1 }
  try demand(count < 2000, "more messages than bytes")
}

private func helperArguments(_ bytes: [UInt8]) throws {
  let words = bytes.split(separator: 32, omittingEmptySubsequences: false).map { Array($0).text }
  for release in [nil] + HelperRelease.allCases.map(Optional.some) {
    guard let parsed = try? HelperArguments(parsing: words, release: release) else { continue }
    let again = try? HelperArguments(parsing: parsed.strings, release: parsed.release)
    try demand(again == parsed, "\(parsed.strings) reads back as \(String(describing: again))")
    let flags = HelperArguments.flags(parsed.callbacks, parsed.release)
    try demand(
      HelperArguments.callbacks(flags, parsed.side, parsed.release) == parsed.callbacks,
      "callbacks \(parsed.callbacks) do not read back")
    _ = (parsed.isLive, parsed.isDebug)
  }
}

// MARK: - Live

/// Any stream into a simulated domain: it is restored or refused, and then destroyed.
private func restore(_ input: [UInt8]) throws {
  let (bytes, choices) = input.splitting(last: 1)
  var configuration = SimDomain.Configuration(frameCount: 64)
  configuration.guest = choices[0] & 1 == 0 ? .x86HVM : .x86PV
  // HVM streams name pages up to 4 GiB; what is beyond the domain has to be refused.
  let domain = try SimDomain(blank: configuration)
  let restore = Restore(
    try MemoryFile.input.source(bytes, isStream: choices[0] & 2 != 0), into: domain,
    isCheckpointed: choices[0] & 4 != 0)
  do {
    let result = try restore.run()
    try demand(result.checkpointCount >= 0, "\(result)")
    for page in 0..<64 where domain.hasPage(page) { _ = domain.type(of: page) }
  } catch let error as XensaveError { _ = error.description }
}

// MARK: - Packed frames

private let packed: [[UInt8]] = [
  // Frames as zstd writes them: raw, of one repeated byte, empty.
  [0x28, 0xB5, 0x2F, 0xFD, 0x04, 0x00, 0x19, 0x00, 0x00, 0x61, 0x62, 0x63, 0xB2, 0x45, 0x7B, 0x3A],
  [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x58, 0x03, 0x01, 0x00, 0x61],
  [0x28, 0xB5, 0x2F, 0xFD, 0x20, 0x00, 0x01, 0x00, 0x00],
]

/// As gzip, xz and zstd pack "abc".
private let foreign: [[UInt8]] = [
  [31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 75, 76, 74, 6, 0, 194, 65, 36, 53, 3, 0, 0, 0],
  packed[0],
  [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0, 0, 4, 0xE6, 0xD6, 0xB4, 0x46, 2, 0, 0x21, 1, 0x0C, 0, 0, 0],
]

/// What looks packed, by whatever: it has an end, and no more comes out than its length allows.
private func unpack(_ bytes: [UInt8]) throws {
  guard let packing = Packing(bytes),
    case .inOrder(let stream)? = try? PackedFile.open(MemoryFile.input.source(bytes), packing)
  else { return }
  let buffer = PageAlignedBuffer(capacity: 65536)
  var count = 0
  while count < 64 << 20 {
    guard let got = try? stream.read(into: buffer, 0..<65536) else { return }
    if got == 0 { break }
    count += got
  }
  try demand(count <= max(1, bytes.count) * 32768, "\(count) bytes of \(bytes.count)")
}

/// Files of frames with a table, as this program and others write them.
private let seekable: [[UInt8]] = {
  let plain = [[], [UInt8](repeating: 7, count: 3000), Array("abcabcabd".utf8)]
  return plain.compactMap { bytes in
    guard let sink = try? MemoryFile.output.sink(),
      let writer = try? SeekableZstdWriter(sink, level: 1, jobs: 1),
      (try? Sink(writer).write(bytes)) != nil, (try? writer.commit()) != nil
    else { return nil }
    return MemoryFile.output.bytes
  }
}()

/// A file with a table, read from its start and from its end: both say the same.
private func seekableZstd(_ bytes: [UInt8]) throws {
  guard let reader = try? SeekableZstdReader(MemoryFile.input.source(bytes)) else { return }
  try demand(reader.byteCount <= UInt64(bytes.count) << 20, "\(reader.byteCount) bytes")
  let count = Int(min(reader.byteCount, 1 << 20))
  let source = try Source(reader)
  guard let whole = try? source.read(count), !whole.isEmpty else { return }
  try demand(whole.count == count, "\(whole.count) bytes of \(count)")
  let half = whole.count / 2
  source.seek(UInt64(half))
  try demand((try? source.read(count - half)) == Array(whole[half...]), "another end")
}

/// One frame, read in chunks: what comes out is at most what its length allows.
private func zstd(_ bytes: [UInt8]) throws {
  guard let reader = try? ZstdReader(MemoryFile.input.source(bytes)) else { return }
  let buffer = PageAlignedBuffer(capacity: 8192)
  var count = 0
  while !reader.isAtEnd, count < 64 << 20 {
    guard let got = try? reader.read(into: buffer, 0..<8192) else { return }
    if got == 0, !reader.isAtEnd { throw Violation("no progress") }
    count += got
  }
  try demand(count <= max(1, bytes.count) * 32768, "\(count) bytes of \(bytes.count)")
}
