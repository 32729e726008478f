// The kernel's log: what dmesg(1) prints.

internal import Bytes
internal import Pages

/// A record of the kernel's log.
public struct LogLine: Sendable, Equatable {
  public let sequence: UInt64
  /// Nanoseconds since the start, by the clock of the log.
  public let time: UInt64
  /// 0 (emergency) to 7 (debug).
  public let level: Int
  public let facility: Int
  /// Its text; several lines are separated by "\n".
  public let text: String
}

extension LinuxGuest {
  /// The log, the oldest line first.
  public func log() throws -> Listing<LogLine> {
    try memory.question {
      if symbols["prb"] != nil { return try ringLog() }
      return try bufferLog()
    }
  }

  // MARK: - From 5.10 on

  /// Most lines of a ring buffer: its size is at most 2^31 bytes, which nobody has.
  private static let lineBitLimit: UInt64 = 20

  /// Linux: kernel/printk/printk_ringbuffer.c.
  private func ringLog() throws -> Listing<LogLine> {
    let ring = try memory.word(symbol("prb"))
    func ringField(_ name: String) throws -> UInt64 {
      try field("printk_ringbuffer", name).offset
    }
    func descField(_ name: String, width: Int = 8) throws -> UInt64 {
      let offset = try ringField("desc_ring")
      let field = try field("prb_desc_ring", name, width: width)
      return try memory.value(ring &+ offset, field)
    }
    func dataField(_ name: String, width: Int = 8) throws -> UInt64 {
      let offset = try ringField("text_data_ring")
      return try memory.value(ring &+ offset, field("prb_data_ring", name, width: width))
    }
    let countBits = try descField("count_bits", width: 4)
    let sizeBits = try dataField("size_bits", width: 4)
    guard countBits <= Self.lineBitLimit, sizeBits >= 4, sizeBits <= 26 else {
      throw invalid(
        "the kernel's log: expected at most 2^\(Self.lineBitLimit) lines in 2^26 bytes, got "
          + "2^\(countBits) in 2^\(sizeBits)")
    }
    let descs = try descField("descs")
    let infos = try descField("infos")
    let head = try descField("head_id")
    let tail = try descField("tail_id")
    let data = try dataField("data")
    let descSize = try size("prb_desc")
    let infoSize = try size("printk_info")
    let layout = try RingLayout(self)
    let mask = UInt64(1) << countBits - 1
    var out = Listing<LogLine>()
    var id = tail & RingLayout.idMask
    // Each descriptor once, whatever the numbers say.
    for _ in 0...mask {
      do {
        if let line = try line(
          id, descs &+ (id & mask) &* UInt64(descSize), infos &+ (id & mask) &* UInt64(infoSize),
          data, sizeBits, layout)
        {
          out.items.append(line)
        }
      } catch { out.problem = out.problem ?? "the kernel's log: \(error)" }
      if id == head & RingLayout.idMask { break }
      id = (id &+ 1) & RingLayout.idMask
    }
    return out
  }

  private struct RingLayout {
    let state, begin, next, sequence, time, length: Field
    let facility, level: Field?
    /// The upper two bits of an identifier are the state.
    static let idMask = UInt64.max >> 2

    init(_ guest: LinuxGuest) throws {
      state = try guest.field("prb_desc", "state_var")
      let position = try guest.field("prb_desc", "text_blk_lpos").offset
      func place(_ name: String) throws -> Field {
        var field = try guest.field("prb_data_blk_lpos", name)
        field.offset = field.offset.addingSaturated(position)
        return field
      }
      begin = try place("begin")
      next = try place("next")
      sequence = try guest.field("printk_info", "seq")
      time = try guest.field("printk_info", "ts_nsec")
      length = try guest.field("printk_info", "text_len", width: 2)
      facility = guest.optionalField("printk_info", "facility", width: 1)
      level = guest.optionalField("printk_info", "level", width: 1)
    }
  }

  private func line(
    _ id: UInt64, _ desc: UInt64, _ info: UInt64, _ data: UInt64, _ sizeBits: UInt64,
    _ layout: RingLayout
  ) throws -> LogLine? {
    let state = try memory.value(desc, layout.state)
    // 1 committed, 2 finalized; others hold nothing, or nothing yet.
    guard state & RingLayout.idMask == id, state >> 62 == 1 || state >> 62 == 2 else { return nil }
    let begin = try memory.value(desc, layout.begin)
    let next = try memory.value(desc, layout.next)
    let length = Int(truncatingIfNeeded: try memory.value(info, layout.length))
    var text: [UInt8] = []
    // Odd positions are those of lines without text.
    if begin & 1 == 0, next & 1 == 0, length > 0 {
      let size = UInt64(1) << sizeBits
      // A block that would lie across the end begins at the start of the buffer.
      let wraps = begin >> sizeBits != (next &- 1) >> sizeBits
      let start = wraps ? 0 : begin & (size - 1)
      let end = wraps ? next & (size - 1) : start &+ (next &- begin)
      guard !wraps || begin >> sizeBits &+ 1 == (next &- 1) >> sizeBits, end > start, end <= size,
        end - start >= 8
      else {
        throw invalid("line \(id.hex()): its text lies at \(begin.hex())..\(next.hex())")
      }
      text = try memory.read(data &+ start &+ 8, min(length, Int(end - start) - 8))
    }
    return LogLine(
      sequence: try memory.value(info, layout.sequence), time: try memory.value(info, layout.time),
      level: Int(try layout.level.map { (f) in try memory.value(info, f) } ?? 6),
      facility: Int(
        try layout.facility.map { (f) in try memory.value(info, f) } ?? 0),
      text: String(decoding: text, as: UTF8.self))
  }

  // MARK: - Before 5.10

  /// Linux 3.5 to 5.9: kernel/printk/printk.c, struct printk_log (before 3.11, struct log).
  private func bufferLog() throws -> Listing<LogLine> {
    let buffer = try memory.word(symbol("log_buf"))
    let size = try memory.load(symbol("log_buf_len"), as: UInt32.self)
    var place = try memory.load(symbol("log_first_idx"), as: UInt32.self)
    let end = try memory.load(symbol("log_next_idx"), as: UInt32.self)
    guard size >= 4096, size <= 64 << 20, place < size, end <= size else {
      throw invalid("the kernel's log: expected at most 64 MiB, got \(size) bytes")
    }
    let time = optionalField("printk_log", "ts_nsec")?.offset ?? 0
    let lengthAt = optionalField("printk_log", "len")?.offset ?? 8
    let textLengthAt = optionalField("printk_log", "text_len")?.offset ?? 10
    let header = UInt64((try? self.size("printk_log")) ?? 16)
    let bytes = try memory.read(buffer, Int(size))
    var out = Listing<LogLine>()
    var sequence = (try? memory.word(symbol("log_first_seq"))) ?? 0
    var left = Int(size) / 16
    while place != end, left > 0 {
      left -= 1
      let at = Int(place)
      guard at + Int(header) <= bytes.count, header >= 16, time <= 8, lengthAt <= 14,
        textLengthAt <= 14
      else { break }
      let length = UInt32(bytes.load(at + Int(lengthAt), as: UInt16.self))
      // A length of 0: the buffer continues at its start.
      if length == 0 {
        if place == 0 { break }
        place = 0
        continue
      }
      let count = Int(bytes.load(at + Int(textLengthAt), as: UInt16.self))
      let start = at + Int(header)
      guard UInt64(length) >= header, at + Int(length) <= bytes.count,
        count <= Int(length) - Int(header)
      else {
        out.problem = "the kernel's log: the line at offset \(at) does not lie inside of it"
        break
      }
      // struct printk_log: text_len, dict_len, facility, then flags and level in 5 and 3 bits.
      let facility = Int(bytes[at + 14])
      let level = Int(bytes[at + 15] >> 5)
      out.items.append(
        LogLine(
          sequence: sequence, time: bytes.load(at + Int(time), as: UInt64.self), level: level,
          facility: facility, text: String(decoding: bytes[start..<start + count], as: UTF8.self)))
      sequence &+= 1
      place += length
      if place >= size { place = 0 }
    }
    return out
  }
}
