// The guest that does not exist, saved.

extension SyntheticLinux {
  /// An HVM image of it, with a vCPU that idles in `func_5`.
  public var image: [UInt8] {
    var stream = StreamBuilder()
    stream.addLibxcHeaders(guest: 2, version: 3)
    stream.add(StreamBuilder.record("STATIC_DATA_END", 0x10))
    let frames = memory.pages.keys.sorted()
    var start = 0
    while start < frames.count {
      let part = frames[start..<min(start + 1024, frames.count)]
      var body = le32(UInt32(part.count), 0)
      for frame in part { body += le64(frame) }
      for frame in part { body += memory.pages[frame] ?? [] }
      stream.add(StreamBuilder.record("PAGE_DATA", 0x01, body))
      start += part.count
    }
    var cpu = zeros(1032)
    for (offset, value) in [
      (512 + 128, (places["func_5"] ?? 0) + 4), (656, 0x8000_0011), (672, root),
      (680, options.levels == 5 ? 0x1020 : 0x20), (992, 0x500),
    ] as [(Int, UInt64)] { cpu.replaceSubrange(offset..<offset + 8, with: le64(value)) }
    let context =
      StreamBuilder.entry(1, 0, zeros(24)) + StreamBuilder.entry(2, 0, cpu)
      + StreamBuilder.entry(0, 0, [])
    stream.add(StreamBuilder.record("HVM_CONTEXT", 0x09, context))
    stream.add(StreamBuilder.params([(1, 0xFEFFC), (17, 0xFEFFF)]))
    stream.add(StreamBuilder.record("END", 0))
    return stream.bytes
  }
}
