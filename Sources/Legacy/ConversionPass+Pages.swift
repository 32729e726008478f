// Converting pages: whole ones move, compressed ones are put together.

internal import Bytes
internal import Format
internal import Stream
internal import SystemIO

extension ConversionPass {
  mutating func put(_ batch: LegacyBatch, _ item: LegacyItem) throws(StreamError) {
    if batch.isCompressed {
      try makeInflater()
      return try attempt(item) { inflater throws in try inflater.expect(batch) }
    }
    // A record without entries is refused by every reader.
    guard !batch.entries.isEmpty else { return }
    let byteCount = batch.dataCount * pageByteCount
    let table = pageTable(batch.entries, pageCount: batch.dataCount)
    report.pageCount += UInt64(batch.dataCount)
    guard plan?.usesCompression == true || inflater != nil, byteCount > 0 else {
      try writer.put(table)
      try reader.movePayload(to: writer.sink)
      return
    }
    try makeInflater()
    try reader.readPayload(byteCount, into: buffer)
    let pages = buffer
    try attempt(item) { inflater throws in try inflater.keep(batch, pages) }
    try writer.put(table, then: buffer, 0..<byteCount)
  }

  mutating func inflate(
    _ byteCount: UInt64, _ item: LegacyItem
  ) throws(StreamError) {
    try makeInflater()
    let input = buffer
    var left = byteCount
    while left > 0 {
      let chunk = Int(min(left, 65536))
      try reader.readPayload(chunk, into: input)
      var done = 0
      while done < chunk {
        done += try attempt(item) { inflater throws in
          try inflater.inflate(input, done..<chunk)
        }
        if inflater?.isFull == true { try putInflated() }
      }
      left -= UInt64(chunk)
    }
  }

  mutating func finishInflating(_ item: LegacyItem) throws(StreamError) {
    guard inflater != nil, reader.isCompressed else { return }
    while try attempt(item, { inflater throws in try inflater.finish() }) == false {
      try putInflated()
    }
    try putInflated()
  }

  private mutating func putInflated() throws(StreamError) {
    guard var current = inflater, !current.entries.isEmpty else { return }
    inflater = nil
    report.pageCount += UInt64(current.pageCount)
    try writer.put(
      pageTable(current.entries, pageCount: current.pageCount), then: current.pages,
      0..<current.pageCount * pageByteCount)
    current.beginRecord()
    inflater = current
  }

  mutating func makeInflater() throws(StreamError) {
    guard inflater == nil else { return }
    do { inflater = try PageInflater() } catch { throw StreamError(error, offset: reader.offset) }
  }

  /// Calls `body` with the inflater, and says where in the stream it failed.
  private mutating func attempt<R>(
    _ item: LegacyItem, _ body: (inout PageInflater) throws -> R
  ) throws(StreamError) -> R {
    guard var current = inflater else { fatalError("no inflater") }
    inflater = nil
    defer { inflater = current }
    do { return try body(&current) } catch let error as PageInflater.Failure {
      throw fail(error.isLimit ? .limit : .malformed, item, "compressed pages", error.problem)
    } catch let error as SystemError {
      throw StreamError(error, offset: reader.offset)
    } catch { fatalError("\(error)") }
  }

  private func pageTable(_ entries: [PageEntry], pageCount: Int) -> [UInt8] {
    var out = head(.pageData, UInt64(8 + 8 * entries.count + pageCount * pageByteCount))
    out.reserveCapacity(16 + 8 * entries.count)
    out.append(integer: UInt32(entries.count))
    out.append(integer: UInt32(0))
    for entry in entries { out.append(integer: entry.rawValue) }
    return out
  }

  mutating func putP2MFrames(_ count: Int) throws(StreamError) {
    var out = head(.x86PVP2MFrames, 8 + 8 * UInt64(count))
    out.append(integer: UInt32(0))
    out.append(integer: UInt32(reader.p2mSize - 1))
    let width = reader.width.rawValue
    var left = count
    while left > 0 {
      let chunk = min(left, 8192)
      try reader.readPayload(chunk * width, into: buffer)
      let words = buffer.copy(0..<chunk * width)
      for index in 0..<chunk {
        out.append(integer: words.unsigned(at: index * width, width: width))
      }
      try writer.put(out)
      out.removeAll(keepingCapacity: true)
      left -= chunk
    }
  }
}
