// A block that an edit inserts at the front of a file: nothing of what follows is moved on the disk.

internal import Bytes
internal import CSystem
internal import Glibc

/// How far the insertion of a block has come.
enum FrontStage: Equatable {
  /// Nothing has moved.
  case before
  /// The block is there, and all of the file lies after it.
  case after
  /// A power cut tore it: what lay before this offset is where it was, the rest has moved. File systems
  /// move extents from the last to the first, and each step may be the last that reached the disk.
  case torn(at: UInt64)
}

/// A file as it is with the block at its front, wherever the bytes are now. Of a block that is not there
/// yet it reads zeros.
struct FileView {
  let fileDescriptor: Int32
  let path: String
  /// Bytes of the block; 0 where the edit inserts none.
  let inserted: UInt64
  let stage: FrontStage

  init(_ fileDescriptor: Int32, _ path: String, _ inserted: UInt64, _ stage: FrontStage) {
    self.fileDescriptor = fileDescriptor
    self.path = path
    self.inserted = inserted
    self.stage = stage
  }

  /// Reads `count` bytes, or fewer at the end.
  func read(_ offset: UInt64, _ count: Int) throws(SystemError) -> [UInt8] {
    let end = offset + UInt64(count)
    // From here on (in the file before the edit) bytes have moved.
    let moved: UInt64 =
      switch stage {
      case .after: 0
      case .before: .max
      case .torn(let place): place
      }
    guard inserted > 0, moved > 0, offset < (moved == .max ? .max : moved + inserted) else {
      return try readFully(fileDescriptor, offset, count, path)
    }
    var out: [UInt8] = []
    out.reserveCapacity(count)
    var place = offset
    while place < end {
      if place < inserted {
        let next = min(end, inserted)
        out += [UInt8](repeating: 0, count: Int(next - place))
        place = next
        continue
      }
      let old = place - inserted
      let chunk = old < moved ? min(end - place, moved - old) : end - place
      let got = try readFully(fileDescriptor, old < moved ? old : place, Int(chunk), path)
      out += got
      if got.count < Int(chunk) { break }
      place += chunk
    }
    return out
  }
}

/// What the journal knows of the block.
struct FrontBlock {
  /// Where a file has data, between its holes.
  struct Data: Equatable {
    var start: UInt64
    var end: UInt64
  }

  /// Bytes of the block.
  let count: UInt64
  /// Where the data lay before the edit: the first of them.
  let data: [Data]
  /// Whether these are all.
  let isAll: Bool

  /// How many of them are looked for: half a millisecond of system calls.
  static let dataLimit = 512
  static let largest: UInt64 = 1 << 30

  init(count: UInt64, data: [Data], isAll: Bool) {
    self.count = count
    self.data = data
    self.isAll = isAll
  }

  /// A block for the front of a file that has none of it yet.
  init(_ count: UInt64, for fileDescriptor: Int32, _ size: UInt64, _ path: String)
    throws(SystemError)
  {
    self.count = count
    (data, isAll) = try FrontBlock.data(of: fileDescriptor, size, path, limit: FrontBlock.dataLimit)
  }

  /// Where a file has data.
  private static func data(
    of fileDescriptor: Int32, _ size: UInt64, _ path: String, limit: Int
  ) throws(SystemError) -> ([Data], Bool) {
    var out: [Data] = []
    var place: UInt64 = 0
    while place < size {
      let start = csystem_next_data(fileDescriptor, Int64(clamping: place))
      if start < 0 {
        guard errno == ENXIO else { throw SystemError("lseek", errno, path) }
        return (out, true)
      }
      guard out.count < limit else { return (out, false) }
      let end = csystem_next_hole(fileDescriptor, start)
      guard end > start else { throw SystemError("lseek", end < 0 ? errno : EIO, path) }
      out.append(Data(start: UInt64(start), end: min(UInt64(end), size)))
      place = UInt64(end)
    }
    return (out, true)
  }

  /// The operation in the journal.
  var operation: [UInt64] {
    let count = UInt64(UndoJournal.operationHeadCount + 8 + 16 * data.count)
    var words = [UInt64(UndoJournal.inserting), count, 0, self.count]
    words.append(UInt64(data.count) | (isAll ? 1 << 63 : 0))
    for one in data { words += [one.start, one.end] }
    return words
  }

  /// The operation of a journal; nil where it cannot be one. `bytes` are those after its header.
  init?(count: UInt64, _ bytes: [UInt8]) {
    guard count > 0, count <= FrontBlock.largest, bytes.count >= 8 else { return nil }
    let word = bytes.load(0, as: UInt64.self)
    let data = word & ~(1 << 63)
    guard data <= UInt64(FrontBlock.dataLimit), bytes.count == 8 + 16 * Int(data) else {
      return nil
    }
    self.count = count
    isAll = word != data
    self.data = (0..<Int(data)).map {
      Data(
        start: bytes.load(8 + 16 * $0, as: UInt64.self),
        end: bytes.load(16 + 16 * $0, as: UInt64.self))
    }
    var last: UInt64 = 0
    for one in self.data {
      guard one.start >= last, one.end > one.start, one.end < .max - 2 * FrontBlock.largest else {
        return nil
      }
      last = one.end
    }
  }

  /// Where a torn insertion stands: the offset from which on bytes have moved; nil where that cannot be
  /// told. `size` is that of the file before the edit.
  func tear(in fileDescriptor: Int32, _ size: UInt64, _ path: String) throws(SystemError) -> UInt64?
  {
    let (now, isAllNow) = try FrontBlock.data(
      of: fileDescriptor, size + count, path, limit: data.count + 1)
    // Data and holes are compared up to where they differ.
    for (index, before) in data.enumerated() {
      guard index < now.count else { return nil }
      // The last block is whole where the file does not end in it.
      let isEnd = before.end == size && now[index].end >= size
      if now[index].start == before.start, now[index].end == before.end || isEnd { continue }
      if now[index].start == before.start + count {
        // The hole in front of it has become longer: where, does not matter.
        return isMoved(now, from: index, isAllNow) ? before.start : nil
      }
      // In the middle of data, whose rest comes after a hole.
      let place = now[index].end
      guard now[index].start == before.start, place < before.end, index + 1 < now.count,
        now[index + 1] == Data(start: place + count, end: before.end + count)
      else { return nil }
      var others = now
      others.remove(at: index)
      return isMoved(others, from: index + 1, isAllNow) ? place : nil
    }
    return isAll && isAllNow && now.count == data.count ? size : nil
  }

  /// Whether the data from number `first` on have moved, as far as they are known.
  private func isMoved(_ now: [Data], from first: Int, _ isAllNow: Bool) -> Bool {
    guard !isAll || (isAllNow && now.count == data.count) else { return false }
    return (first..<max(first, min(now.count, data.count))).allSatisfy {
      now[$0] == Data(start: data[$0].start + count, end: data[$0].end + count)
    }
  }
}
