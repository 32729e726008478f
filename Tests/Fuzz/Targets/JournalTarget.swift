// The journal of an edit in place, as any program may have left it beside an image.

import Bytes
import CSystem
import Glibc
@testable import SystemIO
import TestKit

let journalTarget = FuzzTarget("journal", limit: 1024, seeds: { JournalSeeds.all }, journal)

private enum JournalSeeds {
  nonisolated(unsafe) static let directory = FuzzDirectory()
  /// What the image holds before each run.
  static let contents = Array(Seeds.base.prefix(1024))

  /// A journal of two ranges, its header and checksum still to be made; and one of version 0.1.0. The
  /// last byte says what is mended and how far the edit had come.
  static let all: [[UInt8]] = {
    var new = Array("XSUNDO2\n".utf8) + le64(0, 2, 1024, 1024, 0, 0, 0)
    for (offset, count) in [(8, 4), (700, 9)] {
      new += le64(1, UInt64(32 + 2 * count), UInt64(offset), UInt64(count))
      new += contents[offset..<offset + count] + zeros(count)
    }
    let old = Array("XSUNDO1\n".utf8) + le64(1024, 1, 8, 4) + contents[8..<12]
    // With a block of 512 bytes at the front, which no file system takes away again.
    var block = Array("XSUNDO2\n".utf8) + le64(0, 2, 512, 1024, 0, 0, 0)
    block += le64(2, 56, 0, 512, 1 << 63 | 1, 0, 512)
    block += le64(1, 40, 520, 4) + contents[520..<524] + zeros(4)
    return [new + zeros(8) + [0], new + zeros(8) + [1], new + zeros(8) + [2], old + zeros(8) + [0]]
      + [block + zeros(8) + [0], block + zeros(8) + [2]]
  }()
}

private struct Operation {
  var offset: Int
  var before: [UInt8]
  var after: [UInt8]
}

/// The operations of a journal that lie within the image, as far as they can be read.
private func operations(_ bytes: [UInt8]) -> [Operation] {
  var out: [Operation] = []
  var place = 64
  let limit = UInt64(JournalSeeds.contents.count)
  while place + 32 <= bytes.count - 8 {
    let offset = bytes.load(place + 16, as: UInt64.self)
    let count = bytes.load(place + 24, as: UInt64.self)
    guard count <= limit, offset <= limit - count, place + 32 + 2 * Int(count) <= bytes.count - 8
    else { break }
    let middle = place + 32 + Int(count)
    out.append(
      Operation(
        offset: Int(offset), before: Array(bytes[place + 32..<middle]),
        after: Array(bytes[middle..<middle + Int(count)])))
    place = middle + Int(count)
  }
  return out
}

/// Recovering never changes the image's length, nor any byte that the journal does not name; what it
/// wrote back is what the journal says, and a journal that was undone is gone.
private func journal(_ input: [UInt8]) throws {
  guard let choice = input.last else { return }
  var bytes = Array(input.dropLast())
  let directory = JournalSeeds.directory
  var image = JournalSeeds.contents
  let known = bytes.count >= 72 ? operations(bytes) : []
  // Some of the edit has been done.
  for (number, operation) in known.enumerated() where choice >> (number & 3) & 1 != 0 {
    image.replaceSubrange(
      operation.offset..<operation.offset + operation.after.count, with: operation.after)
  }
  directory.write(image, "img")
  let path = directory.path + "/img"
  if bytes.count >= 32, choice & 128 == 0 {
    let isNew = bytes[6] != UInt8(ascii: "1")
    bytes.replaceSubrange(0..<8, with: Array((isNew ? "XSUNDO2\n" : "XSUNDO1\n").utf8))
    if isNew, bytes.count >= 72 { try mend(&bytes, known, path) }
    var sum = FNV()
    sum.add(bytes.dropLast(8))
    bytes.put(bytes.count - 8, sum.value)
  }
  directory.write(bytes, ".img.undo")
  let recovery = try? FileEdit.recover(path)
  let after = directory.read("img") ?? []
  if bytes.count >= 96, bytes[6] == UInt8(ascii: "2"), bytes.load(64, as: UInt32.self) == 2 {
    // What was inserted is taken away, and no more.
    let block = bytes.load(88, as: UInt64.self)
    return try demand(
      after.count == image.count
        || after.count < image.count && UInt64(image.count - after.count) == block,
      "\(after.count) bytes of \(image.count)")
  }
  try demand(after.count == image.count, "\(after.count) bytes of \(image.count)")
  guard recovery == .undone else {
    return try demand(after == image, "not undone, and yet the image has changed")
  }
  try demand(directory.names == ["img"], "left: \(directory.names)")
  guard bytes[6] == UInt8(ascii: "2") else { return }
  for operation in known {
    let range = operation.offset..<operation.offset + operation.before.count
    try demand(Array(after[range]) == operation.before, "bytes \(range) were not written back")
    image.replaceSubrange(range, with: operation.before)
  }
  try demand(after == image, "bytes were changed that the journal does not name")
}

/// Makes the header fit the image and itself.
private func mend(_ bytes: inout [UInt8], _ operations: [Operation], _ path: String) throws {
  var status = stat()
  let descriptor = try Descriptor.open(path)
  guard fstat(descriptor.fileDescriptor, &status) == 0 else { return }
  var birth: UInt64 = 0
  _ = csystem_birth(descriptor.fileDescriptor, &birth)
  bytes.put(8, UInt64(bytes.count))
  bytes.put(40, UInt64(status.st_ino))
  bytes.put(48, birth)
  let ranges = operations.map {
    EditedRange(offset: UInt64($0.offset), count: UInt64($0.before.count))
  }
  let isAscending = zip(ranges, ranges.dropFirst()).allSatisfy { $0.end <= $1.offset }
  if isAscending {
    bytes.put(
      56,
      try EditedRange.hash(
        around: ranges, in: FileView(descriptor.fileDescriptor, path, 0, .after),
        UInt64(status.st_size)))
  }
}
