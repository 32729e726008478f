// Targets over the wire: frames that nobody sent, and streams that nobody wrote.

import Bytes
import SystemIO
import TestKit

@testable import Wire

let wireTargets: [FuzzTarget] = [
  FuzzTarget("wire-frames", limit: 8192, seeds: { frames }, wireFrames),
  FuzzTarget("wire-stream", limit: 16384, seeds: { Seeds.images.map { $0 + [0] } }, wireStream),
]

private let frames: [[UInt8]] = [
  // A page of zeros with a key, a stored one, the same again, a difference to it.
  [2, 0, 0, 0, 0, 16, 0x2E, 0x09],
  [2, 0, 0, 0, 0, 16, 0x0E, 0x0D] + [UInt8](repeating: 7, count: 4096)
    + [2, 0, 0, 0, 0, 16, 0x0E, 0x0A] + [2, 12, 0, 0, 0, 16, 0x0E, 0x0B]
    + [1, 1, 9, 9, 9, 9, 9, 9, 9, 9, 0xFE, 0x03],
  // Bytes of both sections.
  [2, 3, 0, 0, 5, 0, 0x18, 0x17, 1, 2, 3, 4, 5],
]

/// What frames are read into: to make it anew for each input takes longer than all else.
nonisolated(unsafe) private let incoming = try? IncomingFrame()

/// Frames with headers that are right, whatever is in them: six bytes of lengths each, then the sections.
/// The cache stays, though no frame has the right checksum.
private func wireFrames(_ input: [UInt8]) throws {
  let cache = PageCache(byteCount: 1 << 16)
  guard let frame = incoming else { throw Violation("no memory") }
  let out = PageAlignedBuffer(capacity: 1 << 16)
  var place = 0
  while place + 6 <= input.count {
    var header = FrameHeader(.data, sequence: 0)
    header.isPacked = input[place + 3] & 1 != 0
    header.restored = Int(input[place + 4]) | Int(input[place + 5]) << 8
    header.commands = Int(input[place])
    header.packed = Int(input[place + 1])
    header.unpacked = header.packed + (header.isPacked ? Int(input[place + 3]) << 4 : 0)
    place += 6
    // The stored section is all pages that are left, or what its length says.
    let rest = input.count - place - header.commands - header.packed
    header.stored = min(Int(input[place - 4]), max(0, rest))
    if header.stored == 0, rest >= 4096, header.restored == 4096, header.packed == 0 {
      header.stored = 4096
    }
    guard header.bodyByteCount <= input.count - place,
      (try? FrameHeader(parsing: header.bytes, sequence: 0)) == header
    else { continue }
    frame.begin(header)
    let source = try MemoryFile.input.source(
      Array(input[place..<place + header.bodyByteCount]), isStream: true)
    while !frame.isComplete {
      guard try frame.fill(from: source) else { throw Violation("a body is too short") }
    }
    place += header.bodyByteCount
    frame.unpack()
    try? frame.restore(into: out, cache)
    try demand(out.capacity == 1 << 16, "a frame took \(out.capacity) bytes")
  }
}

/// Whatever a stream is, it comes out as it went in; the last byte chooses how.
private func wireStream(_ input: [UInt8]) throws {
  guard let choice = input.last else { return }
  let bytes = Array(input.dropLast())
  let cacheByteCount = UInt64(choice & 3) << 15
  let sender = try WireSender(
    MemoryFile.input.source(bytes + bytes, isStream: true), MemoryFile.output.sink(isStream: true),
    cacheByteCount: cacheByteCount, threads: 0, level: 1,
    frameByteCount: choice & 4 == 0 ? 16 << 10 : 256 << 10)
  try demand(try sender.run() == .complete, "the sender does not end")
  let sent = MemoryFile.output.bytes
  let receiver = try WireReceiver(
    MemoryFile.second.source(sent, isStream: true), MemoryFile.other.sink(isStream: true),
    cacheByteCount: cacheByteCount, threads: 0)
  try demand(try receiver.run() == .complete, "the receiver does not end")
  try demand(MemoryFile.other.bytes == bytes + bytes, "other bytes come out")
}
