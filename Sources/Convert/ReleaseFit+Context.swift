// HVM_CONTEXT for a release: entries as long as its own, and only the MSRs that it loads.

internal import Bytes
internal import Format
internal import Stream

extension ReleaseFit {
  private static let cpuType: UInt16 = 2
  private static let msrType: UInt16 = 20

  /// The body of HVM_CONTEXT. Its entries are little-endian always.
  mutating func context(_ record: Record) -> [UInt8] {
    var out: [UInt8] = []
    var end = 0
    for entry in Format.entries(of: HVMRecords.chain, in: record.body, 0..<record.body.count) {
      let data = Array(record.body[entry.offset..<(entry.offset + entry.byteCount)])
      end = entry.offset + entry.byteCount
      // An entry that is cut off is verify's to speak of.
      let fitted = UInt64(entry.claimed) > UInt64(data.count) ? data : fit(entry, data)
      guard let fitted else { continue }
      out.append(integer: entry.type)
      out.append(integer: entry.instance)
      out.append(
        integer: fitted.count == data.count
          ? entry.claimed : UInt32(truncatingIfNeeded: fitted.count))
      out += fitted
    }
    return out + record.body[end...]
  }

  /// The data of one entry; nil where it is left out.
  private mutating func fit(_ entry: ChainEntry, _ data: [UInt8]) -> [UInt8]? {
    guard let layout = HVMRecords.chain.layout(entry.type) else {
      let name = "entry type \(entry.type)[\(entry.instance)]"
      guard mayLose(name, "known to no release") else { return data }
      note(.dropped, name, "\(data.count) bytes, known to no release", isLoss: true)
      return nil
    }
    let name = "\(layout.name)[\(entry.instance)]"
    if entry.type == ReleaseFit.msrType { return msrs(data, name) }
    // Without a point release the shortest of the branch: all of it takes that.
    let minor = Int(release.minor)
    guard let own = layout.byteCount(xenMinor: minor, patch: Int(release.patch ?? 0)),
      data.count > own
    else { return data }
    let isAllowed = release.patch == nil && layout.byteCount(xenMinor: minor) == data.count
    let lengths = "\(data.count) bytes -> \(own)"
    let (kept, tail) = (Array(data[..<own]), data[own...])
    if entry.type == ReleaseFit.cpuType, own == 1024, data.count == 1032 {
      return cpu(kept, flags: data.load(own, as: UInt32.self), name, lengths)
    }
    guard tail.contains(where: { $0 != 0 }) else {
      note(.cut, name, lengths)
      return kept
    }
    // The newest point releases of the branch take it: `compat` says from which on.
    if isAllowed { return data }
    let fields = layout.lostFields(of: data, keeping: own)
    guard mayLose(name, "Xen \(release) has no place for \(fields)") else { return data }
    note(.cut, name, "\(lengths): \(fields) is lost", isLoss: true)
    return kept
  }

  /// Before 4.7 the registers of the FPU are loaded whether the guest has used it or not.
  private mutating func cpu(
    _ kept: [UInt8], flags: UInt32, _ name: String, _ lengths: String
  ) -> [UInt8] {
    note(.cut, name, lengths)
    guard flags & 1 == 0 else { return kept }
    var data = kept
    data.store(0, UInt16(0x37F))
    data.store(24, UInt32(0x1F80))
    note(.set, name, "the FPU, which the guest has not used, gets the values of a reset")
    return data
  }

  /// CPU_MSR: a count, 4 bytes of padding, and the MSRs.
  private mutating func msrs(_ data: [UInt8], _ name: String) -> [UInt8]? {
    guard data.count >= 8 else { return data }
    let count = min(Int(data.load(0, as: UInt32.self)), (data.count - 8) / 16)
    let kept = loaded(count, in: data, name)
    if kept.count == 16 * count { return data }
    // Xen refuses an entry without an MSR, and writes none.
    if kept.isEmpty { return nil }
    var out = Array(data.prefix(8)) + kept
    out.store(0, UInt32(kept.count / 16))
    return out
  }

  /// The body of X86_PV_VCPU_MSRS: the vCPU's number, 4 bytes of padding, and the MSRs. nil where
  /// none is left: old releases refuse a record without one.
  mutating func pvMSRs(_ record: Record) -> [UInt8]? {
    let data = record.body
    guard ReleaseFacts.loadsPVMSRs.holds(for: release), data.count >= 24, data.count % 16 == 8
    else { return data }
    let count = (data.count - 8) / 16
    let vcpu = data.load(0, as: UInt32.self, record.context.order)
    let kept = loaded(count, in: data, "vcpu[\(vcpu)]")
    return kept.isEmpty ? nil : Array(data.prefix(8)) + kept
  }

  /// Of so many MSRs after the first 8 bytes those that the release loads: index, padding and value
  /// of each.
  private mutating func loaded(_ count: Int, in data: [UInt8], _ name: String) -> [UInt8] {
    var out: [UInt8] = []
    for place in stride(from: 8, to: 8 + 16 * count, by: 16) {
      let index = data.load(place, as: UInt32.self)
      let value = data.load(place + 8, as: UInt64.self)
      if let since = ReleaseFacts.msrs.first(where: { $0.index == index })?.since,
        since.answer(for: release) == .no
      {
        let title = X86MSRs.names[UInt64(index)] ?? index.hex()
        let text = "\(value.hex()), which Xen loads from \(since.text) on"
        if value == 0 || mayLose("\(name).\(title)", text) {
          note(.dropped, "\(name).\(title)", text, isLoss: value != 0)
          continue
        }
      }
      out += data[place..<(place + 16)]
    }
    return out
  }
}

extension EntrySchema {
  /// The fields that are not zero beyond a length: "pending_esr 0x40".
  fileprivate func lostFields(of data: [UInt8], keeping length: Int) -> String {
    let layout = BodySchema(fields(byteCount: data.count), BodyContext())
    let lost = layout.slots(in: data).compactMap { slot -> String? in
      let end = min(data.count, slot.offset + slot.byteCount)
      guard slot.offset >= length, slot.offset < end,
        data[slot.offset..<end].contains(where: { $0 != 0 })
      else { return nil }
      switch slot.value(in: data) {
      case .unsigned(let value): return "\(slot.field.name) \(value.hex())"
      case .signed(let value): return "\(slot.field.name) \(value)"
      default: return slot.field.name
      }
    }
    return lost.isEmpty ? "what is not zero there" : lost.joined(separator: ", ")
  }
}
