// The fields of one entry of HVM_CONTEXT, as Xen's loaders see them.

internal import Bytes
internal import Format
internal import Stream

/// Reads fields of an entry by their offset in its data. What lies beyond a short entry reads as
/// zero: Xen extends entries that may be short so.
struct HVMEntryReader {
  let entry: ChainEntry
  private let body: [UInt8]

  init(_ entry: ChainEntry, _ body: [UInt8]) {
    self.entry = entry
    self.body = body
  }

  /// "CPU[0]".
  var name: String {
    "\(HVMRecords.chain.layout(entry.type)?.name ?? String(entry.type))[\(entry.instance)]"
  }

  func u64(_ offset: Int) -> UInt64 { UInt64(unsigned(offset, 8)) }
  func u32(_ offset: Int) -> UInt32 { UInt32(truncatingIfNeeded: unsigned(offset, 4)) }
  func u8(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: unsigned(offset, 1)) }

  /// The attributes of a segment as Xen takes them: old releases saved them with VMX's gap of 4
  /// bits. Xen: hvm_load_cpu_ctxt, UNFOLD_ARBYTES.
  func segmentAttributes(_ offset: Int) -> UInt32 {
    let saved = u32(offset)
    return saved & 0xF000 != 0 && saved & 0xF00 == 0 ? saved & 0xFF | saved >> 4 & 0xF00 : saved
  }

  /// The first byte from `start` on that is not zero; nil where all are.
  func firstNonZero(from start: Int, to end: Int? = nil) -> Int? {
    let last = min(end ?? entry.byteCount, entry.byteCount)
    return start < last ? (start..<last).first { body[entry.offset + $0] != 0 } : nil
  }

  private func unsigned(_ offset: Int, _ count: Int) -> UInt64 {
    (0..<count).reversed().reduce(0) { value, place in
      let there = offset + place < entry.byteCount
      return value << 8 | UInt64(there ? body[entry.offset + offset + place] : 0)
    }
  }
}

extension Rule.Check {
  /// A check of every entry of these types.
  static func entries(
    _ types: UInt16...,
    check: @escaping @Sendable (VerificationContext, Record, HVMEntryReader) -> Void
  ) -> Rule.Check {
    .context { look, record, entries in
      for entry in entries where types.contains(entry.type) {
        check(look, record, HVMEntryReader(entry, record.body))
      }
    }
  }
}

extension VerificationContext {
  /// Reports a field of an entry; `offset` is its place in the entry's data.
  func report(
    _ record: Record, _ entry: HVMEntryReader, _ field: String, at offset: Int,
    _ problem: @autoclosure () -> String, since: ReleaseSince? = nil
  ) {
    report(
      record, field.isEmpty ? entry.name : "\(entry.name).\(field)",
      at: entry.entry.offset + offset, problem(), since: since)
  }
}
