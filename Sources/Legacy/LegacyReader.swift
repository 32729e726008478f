// Pulling items from a legacy save: the front, the stream's header, and what readers do with payloads.

public import Bytes
public import Format
public import Stream
public import SystemIO

/// Reads what Xen 3.0 to 4.5 saved, item by item. Xen: RELEASE-4.5.0 tools/libxc/xc_domain_restore.c.
///
///     [xl header | xend front] > p2m_size > PV: extended info, p2m frames
///       > { chunks > END > tail > [HVM: device model] } ...
///
/// Everything is little-endian and packed. A plain save has one body and one tail; Remus repeats
/// both until the bytes end. Items are small and in memory; payloads (pages, blobs, lists) stay in
/// the source until they are moved or read, and the next call of `next()` passes over the rest.
/// Lost framing, limits and the system throw; nothing traps, whatever the bytes are.
public struct LegacyReader {
  public private(set) var source: Source
  /// What is taken for granted instead of being told from the stream.
  public let knownWidth: ToolstackWidth?
  public let knownGuest: GuestType?
  /// Whether the stream of an HVM guest ends with its tail: what follows is not looked at.
  public let skipsDeviceModel: Bool

  /// Known once `.start` came.
  public internal(set) var width = ToolstackWidth.bits64
  public internal(set) var guest = GuestType.x86HVM
  public internal(set) var p2mSize: UInt64 = 0
  /// Known once `.extendedInfo` came.
  public internal(set) var extendedInfo = LegacyExtendedInfo()
  /// Whether LAST_CHECKPOINT came: the next tail is the last one.
  public internal(set) var isLastCheckpoint = false
  /// Tails that are complete.
  public internal(set) var checkpointCount = 0

  enum State {
    case front, stream, extendedInfo, p2mFrames, chunks, pvTail, vcpus, hvmMagic, hvmContext
    case deviceModel, endOfCheckpoint, done
  }
  /// The records of one vCPU.
  enum VCPUPart { case basic, extended, xsave }

  var state = State.front
  /// Bytes of the stream before the source's position 0.
  private var base: UInt64 = 0
  /// Bytes of the payload that are still in the source; nil: all to its end.
  private var waiting: UInt64? = 0
  private var place = ""
  private var compressesNext = false
  private(set) var isCompressed = false
  /// Whether a batch came: a body without any is no guest's, but a stream read wrongly.
  var hasBatches = false
  /// The vCPUs of the tail, and the next one. Without VCPU_INFO it is vCPU 0.
  var online: [UInt32] = [0]
  var vcpuIndex = 0
  var vcpuPart = VCPUPart.basic

  public init(
    _ source: Source, width: ToolstackWidth? = nil, guest: GuestType? = nil,
    skipsDeviceModel: Bool = false
  ) {
    self.source = source
    knownWidth = width
    knownGuest = guest
    self.skipsDeviceModel = skipsDeviceModel
  }

  /// The next item, or nil at the end.
  public mutating func next() throws(StreamError) -> LegacyItem? {
    try skipPayload()
    let start = offset
    switch state {
    case .front: return try front()
    case .stream: return item(start, try begin())
    case .extendedInfo: return item(start, try readExtendedInfo())
    case .p2mFrames: return item(start, p2mFrames())
    case .chunks:
      guard let content = try chunk() else {
        state = .done
        return nil
      }
      return item(start, content)
    case .pvTail: return item(start, try unmapped())
    case .vcpus: return item(start, try vcpu())
    case .hvmMagic: return item(start, try magic())
    case .hvmContext: return item(start, try context())
    case .deviceModel:
      if let content = try deviceModel() { return item(start, content) }
      return item(start, endOfCheckpoint())
    case .endOfCheckpoint: return item(start, endOfCheckpoint())
    case .done: return nil
    }
  }

  private func item(_ offset: UInt64, _ content: LegacyItem.Content) -> LegacyItem {
    LegacyItem(offset: offset, content: content)
  }

  /// Bytes from the start of the stream to the next one.
  public var offset: UInt64 { base + source.position }

  /// Continues in a copy of what the source still has, so that it can be read twice.
  mutating func spool(into scratch: ScratchFile) throws(StreamError) {
    precondition(waiting == 0)
    let here = offset
    do { source = try scratch.source(ofRestOf: source) } catch { throw wrap(error) }
    base = here
  }

  /// Finds out the length of a payload that goes to the end of a pipe, by the same means.
  mutating func spoolPayload(into scratch: ScratchFile) throws(StreamError) -> UInt64 {
    waiting = 0
    try spool(into: scratch)
    let count = source.byteCount ?? 0
    waiting = count
    return count
  }

  // MARK: - Payload

  /// Bytes of the current item's payload that are still in the source; nil: all to its end.
  public var payloadByteCount: UInt64? { waiting }

  /// Moves the payload to `sink`. Returns how many bytes it had.
  @discardableResult
  public mutating func movePayload(to sink: Sink) throws(StreamError) -> UInt64 {
    let count = waiting
    waiting = 0
    let moved: UInt64
    do { moved = try source.move(count ?? .max, to: sink) } catch { throw wrap(error) }
    try check(moved, of: count ?? moved)
    return moved
  }

  /// Reads `count` bytes of the payload into `buffer` at 0.
  public mutating func readPayload(_ count: Int, into buffer: PageAlignedBuffer) throws(StreamError)
  {
    precondition(waiting.map { UInt64(count) <= $0 } ?? true)
    buffer.reserve(count)
    waiting? -= UInt64(count)
    let got: Int
    do { got = try source.read(into: buffer, 0..<count) } catch { throw wrap(error) }
    try check(UInt64(got), of: UInt64(count))
  }

  /// Passes over what is left of the payload.
  public mutating func skipPayload() throws(StreamError) {
    guard waiting != 0 else { return }
    let count = waiting
    waiting = 0
    let skipped: UInt64
    do { skipped = try source.skip(count ?? .max) } catch { throw wrap(error) }
    try check(skipped, of: count ?? skipped)
  }

  mutating func setPayload(_ count: UInt64?, _ place: String) {
    waiting = count
    self.place = place
  }

  private func check(_ got: UInt64, of count: UInt64) throws(StreamError) {
    guard got < count else { return }
    throw fail(.truncated, at: offset, place, "the stream ends: \(count - got) bytes are missing")
  }

  // MARK: - The header

  private mutating func front() throws(StreamError) -> LegacyItem? {
    let first = try peek(LegacyForm.peekByteCount)
    let start = offset
    state = .stream
    if first.starts(with: Magic.xl) { return item(start, try xlHeader()) }
    if first.starts(with: xendMagic.utf8) { return item(start, try xendConfig()) }
    return item(start, try begin())
  }

  private mutating func xlHeader() throws(StreamError) -> LegacyItem.Content {
    let place = HeaderKind.xl.title
    let start = offset
    let fixed = try read(HeaderKind.xl.byteCount, place)
    let mark = fixed.load(32, as: UInt32.self)
    guard mark == Magic.xlByteOrder else {
      throw fail(
        .malformed, at: start + 32, place,
        "byteorder: expected \(Magic.xlByteOrder.hex(8)), got \(mark.hex(8))")
    }
    let flags = fixed.load(36, as: UInt32.self)
    guard flags & 2 == 0 else {
      throw fail(
        .unsupported, at: start + 36, place,
        "mandatory_flags: expected bit 1 (streamv2) to be 0, got \(flags.hex()): this is not a "
          + "legacy stream")
    }
    guard flags & ~1 == 0 else {
      throw fail(
        .unsupported, at: start + 36, place,
        "mandatory_flags: expected no bits but 0x1, got \(flags.hex())")
    }
    let count = fixed.load(44, as: UInt32.self)
    guard count <= LegacyLimit.xlData else {
      throw fail(
        .limit, at: start + 44, place,
        "optional_data_len: expected at most \(LegacyLimit.xlData), got \(count)")
    }
    let data = try read(Int(count), place)
    return .xlHeader(Header(.xl, offset: start, bytes: fixed + data, order: .little))
  }

  private mutating func xendConfig() throws(StreamError) -> LegacyItem.Content {
    let place = "xend header"
    let start = offset
    let front = try read(LegacyRows.xendFront, place)
    let count = Int64(bitPattern: front["config_length"])
    guard count >= 0, count <= LegacyLimit.xlData else {
      throw fail(
        .limit, at: start + 16, place,
        "config length: expected 0 to \(LegacyLimit.xlData), got \(count)")
    }
    return .xendConfig(try read(Int(count), place))
  }

  private mutating func begin() throws(StreamError) -> LegacyItem.Content {
    let start = offset
    let first = try peek(16)
    guard first.count == 16 else {
      throw truncated(start, 16, first.count, "p2m_size")
    }
    guard let width = knownWidth ?? ToolstackWidth(p2mSize: first) else {
      throw fail(
        .malformed, at: start, "p2m_size",
        "expected 1 to \(LegacyLimit.p2mSize - 1) and a chunk, got 0x\(first.hexDigits) (in the "
          + "stream's order): not a legacy stream")
    }
    self.width = width
    p2mSize = first.unsigned(at: 0, width: width.rawValue)
    guard p2mSize > 0, p2mSize < LegacyLimit.p2mSize else {
      throw fail(
        .malformed, at: start, "p2m_size",
        "expected 1 to \(LegacyLimit.p2mSize - 1), got \(p2mSize.hex()) as a number of "
          + "\(8 * width.rawValue) bits")
    }
    let hasSignature = first[width.rawValue..<2 * width.rawValue].allSatisfy { $0 == 0xFF }
    guest = knownGuest ?? (hasSignature ? .x86PV : .x86HVM)
    if guest == .x86PV {
      guard hasSignature else {
        let got = first.unsigned(at: width.rawValue, width: width.rawValue)
        throw fail(
          .unsupported, at: start + UInt64(width.rawValue), "extended info",
          "expected its signature (all ones), got \(got.hex()): PV streams from before Xen 3.0.3 "
            + "are not read")
      }
      state = .extendedInfo
    } else {
      let chunk = first.load(width.rawValue, as: Int32.self)
      guard LegacyChunk(rawValue: chunk).isKnown else {
        throw fail(
          .malformed, at: start + UInt64(width.rawValue), "first chunk",
          "expected the signature of extended info (PV) or a chunk (HVM), got \(chunk): not a "
            + "legacy stream, or one from before Xen 3.0.3")
      }
      state = .chunks
    }
    _ = try read(LegacyRows.head(width), "p2m_size")
    return .start(p2mSize: p2mSize)
  }

  private mutating func readExtendedInfo() throws(StreamError) -> LegacyItem.Content {
    let place = "extended info"
    let head = try read(LegacyRows.extendedHead(width), place)
    let start = offset
    let total = Int(head["extended_length"])
    guard total <= LegacyLimit.extendedInfo else {
      throw fail(
        .limit, at: start - 4, place,
        "length: expected at most \(LegacyLimit.extendedInfo), got \(total)")
    }
    let blocks = try read(total, place)
    var info = LegacyExtendedInfo()
    var here = 0
    while here < total {
      let headCount = LegacyRows.block.fixedByteCount
      guard total - here >= headCount else {
        throw fail(
          .malformed, at: start + UInt64(here), place,
          "expected a block of at least \(headCount) bytes, got \(total - here) bytes")
      }
      let head = LegacyPart(LegacyRows.block, [UInt8](blocks[here..<here + headCount]))
      let id = head.body[..<4].printable
      let count = Int(head["size"])
      let at = start + UInt64(here + 4)
      guard count <= total - here - headCount else {
        throw fail(
          .malformed, at: at, "\(place), block \(id)",
          "size: expected at most \(total - here - headCount), got \(count)")
      }
      try take(id, count, blocks, here + headCount, at, into: &info)
      here += headCount + count
    }
    guard info.guestWidth != 0 else {
      throw fail(
        .malformed, at: start, place, "expected a block \"vcpu\": it tells the guest's width")
    }
    extendedInfo = info
    state = .p2mFrames
    return .extendedInfo(info)
  }

  private func take(
    _ id: String, _ count: Int, _ blocks: [UInt8], _ data: Int, _ at: UInt64,
    into info: inout LegacyExtendedInfo
  ) throws(StreamError) {
    let place = "extended info, block \(id)"
    switch id {
    case "vcpu":
      let width = count == 5168 ? 8 : count == 2800 ? 4 : 0
      guard width != 0, info.guestWidth == 0 || info.guestWidth == width else {
        throw fail(
          .malformed, at: at, place,
          "size: expected 5168 (64-bit guest) or 2800 (32-bit guest), got \(count)")
      }
      info.guestWidth = width
    case "extv": info.hasExtended = true
    case "xcnt":
      guard count == 4 else {
        throw fail(.malformed, at: at, place, "size: expected 4, got \(count)")
      }
      let total = UInt64(blocks.load(data, as: UInt32.self))
      // The two words are the mask and the size before the state.
      guard total == 16 || (32...LegacyLimit.xsave).contains(total) else {
        throw fail(
          .malformed, at: at + 4, place,
          "expected 16, or 32 to \(LegacyLimit.xsave) bytes a vCPU, got \(total)")
      }
      info.xsaveByteCount = total - 16
    default:
      if info.unknownBlocks.count < 16 { info.unknownBlocks.append(id) }
    }
  }

  private mutating func p2mFrames() -> LegacyItem.Content {
    let each = UInt64(pageByteCount / extendedInfo.guestWidth)
    let count = Int((p2mSize - 1) / each + 1)
    setPayload(UInt64(count * width.rawValue), "p2m frames")
    state = .chunks
    return .p2mFrames(count: count)
  }

  // MARK: - Rounds

  /// The item after the last one of a tail.
  private mutating func endOfCheckpoint() -> LegacyItem.Content {
    let index = checkpointCount
    checkpointCount += 1
    state = isLastCheckpoint ? .done : .chunks
    isCompressed = compressesNext
    return .endOfCheckpoint(index: index)
  }

  /// ENABLE_COMPRESSION speaks of the checkpoints after the one that it comes in.
  mutating func enableCompression() { compressesNext = true }

  // MARK: - Reading

  func peek(_ count: Int) throws(StreamError) -> [UInt8] {
    do { return source.window(try source.peek(count)) } catch { throw wrap(error) }
  }

  mutating func read(_ rows: [Field], _ place: String) throws(StreamError) -> LegacyPart {
    LegacyPart(rows, try read(rows.fixedByteCount, place))
  }

  mutating func read(_ count: Int, _ place: String) throws(StreamError) -> [UInt8] {
    let start = offset
    let bytes: [UInt8]
    do { bytes = try source.read(count) } catch { throw wrap(error) }
    guard bytes.count == count else { throw truncated(start, count, bytes.count, place) }
    return bytes
  }

  private func truncated(
    _ start: UInt64, _ count: Int, _ got: Int, _ place: String
  ) -> StreamError {
    fail(
      .truncated, at: start + UInt64(got), place,
      "the stream ends: expected \(count) bytes from \(start.hex()), got \(got)")
  }

  func fail(
    _ kind: StreamError.Kind, at offset: UInt64, _ place: String, _ problem: String
  ) -> StreamError {
    StreamError(kind, path: source.path, offset: offset, place: place, problem)
  }

  private func wrap(_ error: SystemError) -> StreamError { StreamError(error, offset: offset) }
}
