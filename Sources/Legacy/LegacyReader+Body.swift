// The chunks of a body, and the tails after it.

internal import Bytes
internal import Format
internal import Stream
internal import SystemIO

extension LegacyReader {
  /// The next chunk; nil where the bytes end between two checkpoints.
  mutating func chunk() throws(StreamError) -> LegacyItem.Content? {
    if checkpointCount > 0, try peek(1).isEmpty { return nil }
    let start = offset
    let type = LegacyChunk(
      rawValue: Int32(bitPattern: try read(LegacyRows.chunk, "chunk").word("type")))
    if let index = type.hvmParam {
      guard guest == .x86HVM else {
        throw fail(.malformed, at: start, type.name, "an HVM parameter in the stream of a PV guest")
      }
      return .hvmParam(index: index, value: try read(LegacyRows.hvmParam, type.name)["value"])
    }
    switch type {
    case .end:
      guard hasBatches else {
        throw fail(
          .malformed, at: start, type.name,
          "expected pages before the end of the body, got none: the stream holds no guest, or its "
            + "toolstack was not of \(8 * width.rawValue) bits")
      }
      state = guest == .x86PV ? .pvTail : .hvmMagic
      return .endOfBody
    case .enableVerifyMode: return .enableVerify
    case .lastCheckpoint:
      isLastCheckpoint = true
      return .lastCheckpoint
    case .enableCompression:
      enableCompression()
      return .enableCompression
    case .compressedData: return try compressedData(start, type.name)
    case .vcpuInfo: return try vcpuInfo(type.name)
    case .tscInfo:
      let part = try read(LegacyRows.tscInfo, type.name)
      return .tscInfo(
        LegacyTSCInfo(
          mode: part.word("mode"), nsec: part["nsec"], khz: part.word("khz"),
          incarnation: part.word("incarnation")))
    case .toolstack:
      let count = try read(LegacyRows.length, type.name)["length"]
      guard count <= LegacyLimit.toolstack else {
        throw fail(
          .limit, at: start + 4, type.name,
          "length: expected at most \(LegacyLimit.toolstack), got \(count)")
      }
      return .toolstack(try read(Int(count), type.name))
    case .tmem, .tmemExtra:
      throw fail(
        .unsupported, at: start, type.name,
        "the guest keeps pages in transcendent memory, which no Xen since 4.13 has: without them "
          + "it cannot run")
    default:
      guard type.rawValue > 0, type.isKnown else {
        throw fail(
          .malformed, at: start, "chunk",
          "expected a count of pages up to \(LegacyLimit.batch) or a type from -20 to 0, got "
            + "\(type.rawValue)")
      }
      hasBatches = true
      return .pages(try batch(Int(type.rawValue), type.name))
    }
  }

  private mutating func batch(
    _ count: Int, _ place: String
  ) throws(StreamError) -> LegacyBatch {
    let start = offset
    let width = self.width.rawValue
    let table = try read(count * width, place)
    var entries: [PageEntry] = []
    entries.reserveCapacity(count)
    var dataCount = 0
    var isAscending = true
    for index in 0..<count {
      let raw =
        width == 8
        ? table.load(8 * index, as: UInt64.self) : UInt64(table.load(4 * index, as: UInt32.self))
      let at = start + UInt64(index * width)
      guard raw >> 32 == 0 else {
        throw fail(
          .malformed, at: at, "\(place), entry \(index)",
          "expected 32 bits of type and pfn, got \(raw.hex())")
      }
      // A filler: the saver could not map a page here.
      if raw == LegacyRows.filler { continue }
      let type = PageType(rawValue: UInt8(raw >> UInt64(LegacyRows.typeBits.low)))
      let entry = PageEntry(type, pfn: raw & LegacyRows.pfnBits.mask)
      guard !type.isReserved else {
        throw fail(
          .malformed, at: at, "\(place), entry \(index)",
          "expected a type of 0 to 4 or 9 to 15, got \(type.rawValue)")
      }
      guard guest != .x86PV || entry.pfn < p2mSize else {
        throw fail(
          .malformed, at: at, "\(place), entry \(index)",
          "pfn: expected less than p2m_size (\(p2mSize.hex())), got \(entry.pfn.hex())")
      }
      if let last = entries.last, last.pfn >= entry.pfn { isAscending = false }
      if type.hasData { dataCount += 1 }
      entries.append(entry)
    }
    if !isAscending { try checkDuplicates(entries, start, place) }
    setPayload(isCompressed ? 0 : UInt64(dataCount * pageByteCount), place)
    return LegacyBatch(
      entries: entries, fillerCount: count - entries.count, dataCount: dataCount,
      isCompressed: isCompressed)
  }

  /// A page twice in one batch: readers disagree on which of the two counts.
  private func checkDuplicates(
    _ entries: [PageEntry], _ start: UInt64, _ place: String
  ) throws(StreamError) {
    let pfns = entries.map(\.pfn).sorted()
    for (a, b) in zip(pfns, pfns.dropFirst()) where a == b {
      throw fail(.malformed, at: start, place, "pfn \(a.hex()) stands twice in it")
    }
  }

  private mutating func compressedData(
    _ start: UInt64, _ place: String
  ) throws(StreamError) -> LegacyItem.Content {
    let count = try read(LegacyRows.compressedData(width), place)["length"]
    guard isCompressed else {
      throw fail(
        .malformed, at: start, place,
        "expected ENABLE_COMPRESSION in an earlier checkpoint, got compressed pages without it")
    }
    // All pages that may wait, at their longest.
    let limit = UInt64(LegacyLimit.pendingPages) * 4105
    guard count <= limit else {
      throw fail(.limit, at: start + 4, place, "length: expected at most \(limit), got \(count)")
    }
    setPayload(count, place)
    return .compressedPages(byteCount: count)
  }

  private mutating func vcpuInfo(_ place: String) throws(StreamError) -> LegacyItem.Content {
    let start = offset
    let max = Int64(bitPattern: try read(LegacyRows.vcpuInfo, place)["max_vcpu_id"])
    guard max >= 0, max < LegacyLimit.vcpus else {
      throw fail(
        .malformed, at: start, place,
        "max_vcpu_id: expected 0 to \(LegacyLimit.vcpus - 1), got \(max)")
    }
    let words = Int(max) / 64 + 1
    let map = try read(8 * words, place)
    // Bits above max_vcpu_id have no vCPU in the tail: savers stop there.
    let ids = (0...UInt32(max)).filter { id in
      map[Int(id) / 8] >> UInt8(id % 8) & 1 != 0
    }
    guard guest != .x86PV || ids.first == 0 else {
      throw fail(
        .malformed, at: start + 4, place,
        "expected vCPU 0 among those online: no guest runs without")
    }
    online = ids
    return .vcpuInfo(maxID: UInt32(max), online: ids)
  }

  // MARK: - PV tail

  mutating func unmapped() throws(StreamError) -> LegacyItem.Content {
    let place = "PV tail, unmapped pfns"
    let start = offset
    let count = try read(LegacyRows.unmapped, place)["count"]
    guard count <= p2mSize else {
      throw fail(
        .malformed, at: start, place, "count: expected at most \(p2mSize), got \(count)")
    }
    setPayload(count * UInt64(width.rawValue), place)
    vcpuIndex = 0
    vcpuPart = .basic
    state = .vcpus
    return .unmappedPFNs(count: count)
  }

  /// The next part of the next vCPU, or the shared info page after all of them.
  mutating func vcpu() throws(StreamError) -> LegacyItem.Content {
    guard vcpuIndex < online.count else {
      state = .endOfCheckpoint
      return .sharedInfo(try read(pageByteCount, "PV tail, shared info"))
    }
    let id = online[vcpuIndex]
    let place = "PV tail, vCPU \(id)"
    switch vcpuPart {
    case .basic:
      let body = try read(extendedInfo.contextByteCount, place)
      nextVCPUPart()
      return .vcpuBasic(id: id, body)
    case .extended:
      let body = try read(128, place)
      nextVCPUPart()
      return .vcpuExtended(id: id, body)
    case .xsave:
      let start = offset
      let head = try read(LegacyRows.xsave, place)
      let expected = extendedInfo.xsaveByteCount ?? 0
      let size = head["size"]
      guard size == expected else {
        throw fail(
          .malformed, at: start + 8, place,
          "xsave size: expected \(expected), as block xcnt says, got \(size)")
      }
      let body = try read(Int(expected), place)
      nextVCPUPart()
      return .vcpuXsave(id: id, mask: head["xfeature_mask"], state: body)
    }
  }

  private mutating func nextVCPUPart() {
    if vcpuPart == .basic, extendedInfo.hasExtended {
      vcpuPart = .extended
    } else if vcpuPart != .xsave, extendedInfo.xsaveByteCount != nil {
      vcpuPart = .xsave
    } else {
      vcpuPart = .basic
      vcpuIndex += 1
    }
  }

  // MARK: - HVM tail

  mutating func magic() throws(StreamError) -> LegacyItem.Content {
    let part = try read(LegacyRows.magicPFNs, "HVM tail, magic pfns")
    state = .hvmContext
    return .hvmMagic(
      ioreq: part["ioreq_pfn"], bufioreq: part["bufioreq_pfn"], store: part["store_pfn"])
  }

  mutating func context() throws(StreamError) -> LegacyItem.Content {
    let place = "HVM tail, context"
    let start = offset
    let count = try read(LegacyRows.length, place)["length"]
    guard count > 0 else {
      throw fail(.malformed, at: start, place, "length: expected at least 1, got 0")
    }
    guard count <= LegacyLimit.hvmContext else {
      throw fail(
        .limit, at: start, place,
        "length: expected at most \(LegacyLimit.hvmContext), got \(count)")
    }
    setPayload(count, place)
    state = .deviceModel
    return .hvmContext(byteCount: count)
  }

  /// The device model's record; nil where none follows: another checkpoint does, or the end.
  mutating func deviceModel() throws(StreamError) -> LegacyItem.Content? {
    state = .endOfCheckpoint
    if isLastCheckpoint, skipsDeviceModel { return nil }
    let place = "device model"
    let start = offset
    // 4 bytes tell a signature from a chunk: as a number it is far above any count of pages.
    let first = try peek(4)
    guard !first.isEmpty,
      LegacySignature.allCases.contains(where: { $0.rawValue.utf8.starts(with: first) })
    else { return nil }
    let text = try read(LegacyRows.signature, place).body
    guard let signature = LegacySignature(rawValue: text.printable) else {
      throw fail(
        .malformed, at: start, place,
        "expected one of \(LegacySignature.allCases.map(\.rawValue).joined(separator: ", ")), got "
          + text.printable)
    }
    if signature == .untilEnd {
      let rest = source.byteCount.map { $0 > source.position ? $0 - source.position : 0 }
      try checkDeviceModel(rest ?? 0, start, place)
      setPayload(rest, place)
      isLastCheckpoint = true
      return .deviceModel(signature, byteCount: rest)
    }
    let count = try read(LegacyRows.length, place)["length"]
    try checkDeviceModel(count, start + UInt64(LegacySignature.byteCount), place)
    setPayload(count, place)
    return .deviceModel(signature, byteCount: count)
  }

  func checkDeviceModel(
    _ count: UInt64, _ offset: UInt64, _ place: String = "device model"
  ) throws(StreamError) {
    guard count > LegacyLimit.deviceModel else { return }
    throw fail(
      .limit, at: offset, place,
      "length: expected at most \(LegacyLimit.deviceModel), got \(count)")
  }
}
