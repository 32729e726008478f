// Pulling parts from a stream: the nesting of layers, and where each record begins and ends.

public import Bytes
public import Format
public import SystemIO

/// Reads a saved domain part by part.
///
///     xl header > libxl header > LIBXC_CONTEXT > image header > domain header > libxc records
///       > END > libxl records > END
///
/// libvirt's header may stand for xl's; xenopsd's suspend image has records of its own where libxl's
/// are. Draft B's records (version 1) have a longer header and a checksum, which is checked.
///
/// A checkpointed stream goes back and forth: libxc CHECKPOINT > libxl records > CHECKPOINT_END >
/// libxc records ..., and ends with its bytes, without END.
///
/// Headers are read into memory; page contents and large blobs stay in the source until `movePayload`
/// or `loadPayload`. The next call of `next()` passes over what is left of them. Only lost framing,
/// limits and the system throw: whether what is read makes sense is for `Verifier` to say.
public struct StreamReader {
  public let source: Source
  /// Which layer the source begins with.
  public internal(set) var container: Container?
  /// Byte order and guest width, as far as the stream has told them.
  public internal(set) var libxcContext = BodyContext()
  public internal(set) var libxlContext = BodyContext()
  /// The guest of the libxc stream, once its domain header was read.
  public internal(set) var guest: GuestType?
  /// The libxc stream's version, once its image header was read.
  public internal(set) var version: Int?
  /// How many records were read.
  public private(set) var recordCount = 0
  /// Checkpoints that are complete: libxc's CHECKPOINT, and CHECKPOINT_END where there is libxl.
  public private(set) var checkpointCount = 0
  /// How the stream ended, once `next()` has returned nil.
  public private(set) var ending: EndReason?
  /// What went wrong first: from then on nothing else can be had, however often it is asked for.
  private var failure: StreamError?

  enum State {
    case start, libxlHeader, imageHeader, domainHeader, trailing, opaque, done
    case libxlRecords, libxcRecords, xenopsdRecords
  }

  var state = State.start
  /// The layer around libxc's, if there is one.
  private var outer: Layer?
  /// The checksum of the record under way, where records have one.
  private var checksum: RecordChecksum?
  private var isAfterCheckpointEnd = false
  private var checkpoint = 0
  private var waiting: UInt64 = 0
  /// A record as messages name it: most are never named.
  private struct Place {
    let index: Int
    let type: RecordType
    var text: String { "record \(index) (\(type.name))" }
  }
  private var waitingPlace = Place(index: 0, type: .end)
  private var waitingOffset: UInt64 = 0

  /// Whether the tables of PAGE_DATA are payload and not header.
  private let skipsPageTables: Bool

  /// A reader from the source's position on, which is the start of a stream. With
  /// `skipsPageTables` the body of PAGE_DATA is its count alone: for passes that only ask where
  /// records lie.
  public init(_ source: Source, skipsPageTables: Bool = false) {
    self.source = source
    self.skipsPageTables = skipsPageTables
  }

  /// A reader that continues at a record that an earlier pass has found at `offset` (a byte of a
  /// file). `container`, `guest` and `version` are what that pass knew there.
  public init(
    _ source: Source, resumingAt offset: UInt64, index: Int, layer: Layer, checkpoint: Int,
    from earlier: StreamReader
  ) {
    self = StreamReader(replacing: source, in: earlier)
    source.seek(offset)
    switch layer {
    case .libxl: state = .libxlRecords
    case .xenopsd: state = .xenopsdRecords
    case .libxc, .draftB: state = .libxcRecords
    }
    switch earlier.container {
    case .libxc: outer = nil
    case .xenopsd: outer = .xenopsd
    default: outer = .libxl
    }
    recordCount = index - 1
    self.checkpoint = checkpoint
    checkpointCount = checkpoint
    isAfterCheckpointEnd = layer == .libxl
    waiting = 0
    ending = nil
  }

  private init(replacing source: Source, in earlier: StreamReader) {
    self.source = source
    skipsPageTables = false
    container = earlier.container
    libxcContext = earlier.libxcContext
    libxlContext = earlier.libxlContext
    guest = earlier.guest
    version = earlier.version
  }

  /// The next part, or nil at the end. Where it or a payload has failed, it fails again.
  public mutating func next() throws(StreamError) -> StreamElement? {
    try remembering { reader throws(StreamError) in try reader.readNext() }
  }

  /// Runs `body`, unless something has failed already; what fails is remembered.
  private mutating func remembering<R>(
    _ body: (inout StreamReader) throws(StreamError) -> R
  ) throws(StreamError) -> R {
    if let failure { throw failure }
    do throws(StreamError) { return try body(&self) } catch {
      failure = error
      throw error
    }
  }

  private mutating func readNext() throws(StreamError) -> StreamElement? {
    try passOverPayload()
    if checksum != nil { try readChecksum() }
    switch state {
    case .start: return try begin()
    case .libxlHeader: return try libxlHeader()
    case .imageHeader: return try imageHeader()
    case .domainHeader: return try domainHeader()
    case .libxlRecords: return try record(.libxl)
    case .libxcRecords: return try record(.libxc)
    case .xenopsdRecords: return try record(.xenopsd)
    case .trailing:
      state = .done
      let first: [UInt8]
      do { first = try source.peekAvailable(64) } catch { throw wrap(error) }
      if first.isEmpty { return nil }
      return .trailing(TrailingBytes(kind: .afterEnd, offset: source.position, first: first))
    case .opaque:
      state = .done
      let first: [UInt8]
      do { first = try source.peekAvailable(64) } catch { throw wrap(error) }
      guard !first.isEmpty else {
        throw fail(
          .truncated, at: source.position, waitingPlace.text,
          "the stream ends: expected the state of a virtual GPU, got nothing")
      }
      ending = .opaque
      return .trailing(TrailingBytes(kind: .opaque, offset: source.position, first: first))
    case .done: return nil
    }
  }

  // MARK: - Payload

  /// Bytes of the current record's body and padding that are still in the source.
  public var payloadAndPadding: UInt64 { waiting }

  /// Moves what is left of the current record to `sink`.
  public mutating func movePayload(to sink: Sink) throws(StreamError) {
    try movePayload(waiting, to: sink)
  }

  /// Moves up to `count` bytes of what is left of the current record to `sink`.
  public mutating func movePayload(_ count: UInt64, to sink: Sink) throws(StreamError) {
    try remembering { reader throws(StreamError) in try reader.move(count, to: sink) }
  }

  private mutating func move(_ count: UInt64, to sink: Sink) throws(StreamError) {
    guard try hasPayload(count) else { return }
    if checksum != nil { return try readPayload(count, to: sink) }
    let moved: UInt64
    do { moved = try source.move(count, to: sink) } catch { throw wrap(error) }
    waiting -= count
    try checkComplete(moved, of: count)
  }

  /// Whether `count` bytes of the record are still to come: none of a checkpoint that was cut, which
  /// `ending` says. More than there are is a record that is not the one that was read before.
  private func hasPayload(_ count: UInt64) throws(StreamError) -> Bool {
    if count <= waiting { return true }
    if ending == .cutCheckpoint { return false }
    throw fail(
      .malformed, at: source.position, waitingPlace.text,
      "expected \(count) bytes of it to be left, got \(waiting): the file has changed")
  }

  /// Reads `count` bytes of what is left of the current record into `buffer` at `offset`. Returns how
  /// many: fewer only where a checkpointed stream is cut in it, which `ending` says.
  @discardableResult
  public mutating func loadPayload(
    _ count: Int, into buffer: PageAlignedBuffer, at offset: Int = 0
  ) throws(StreamError) -> Int {
    try remembering { reader throws(StreamError) in
      guard try reader.hasPayload(UInt64(count)) else { return 0 }
      return try reader.load(count, into: buffer, at: offset)
    }
  }

  /// As `loadPayload`, for who cannot use a part of it: a stream that is cut in it throws.
  public mutating func loadWholePayload(
    _ count: Int, into buffer: PageAlignedBuffer
  ) throws(StreamError) {
    try loadPayload(count, into: buffer)
    guard ending == .cutCheckpoint else { return }
    throw fail(
      .truncated, at: source.position, waitingPlace.text,
      "the checkpoint is cut inside the record: the one before it counts")
  }

  private mutating func load(
    _ count: Int, into buffer: PageAlignedBuffer, at offset: Int
  ) throws(StreamError) -> Int {
    buffer.reserve(offset + count)
    let got: Int
    do { got = try source.read(into: buffer, offset..<offset + count) } catch { throw wrap(error) }
    waiting -= UInt64(count)
    if checksum != nil {
      buffer.withBytes(offset..<offset + got) { checksum?.crc.update($0) }
    }
    try checkComplete(UInt64(got), of: UInt64(count))
    return got
  }

  /// Passes over `count` bytes of what is left of the current record.
  public mutating func skipPayload(_ count: UInt64) throws(StreamError) {
    try remembering { reader throws(StreamError) in try reader.skip(count) }
  }

  private mutating func skip(_ count: UInt64) throws(StreamError) {
    guard try hasPayload(count) else { return }
    if checksum != nil { return try readPayload(count, to: nil) }
    waiting -= count
    let skipped: UInt64
    do { skipped = try source.skip(count) } catch { throw wrap(error) }
    try checkComplete(skipped, of: count)
  }

  /// Moves everything from here to the end of the source. Returns how many bytes.
  public mutating func moveRest(to sink: Sink) throws(StreamError) -> UInt64 {
    do { return try source.move(.max, to: sink) } catch { throw wrap(error) }
  }

  /// Reads bytes that a checksum covers, and writes them to `sink`.
  private mutating func readPayload(_ count: UInt64, to sink: Sink?) throws(StreamError) {
    let buffer = PageAlignedBuffer(capacity: Int(min(count, 1 << 20)))
    var rest = count
    while rest > 0, ending == nil {
      let chunk = Int(min(rest, UInt64(buffer.capacity)))
      let got = try load(chunk, into: buffer, at: 0)
      if let sink {
        do { try sink.write(buffer, 0..<got) } catch {
          throw StreamError(error, offset: sink.position)
        }
      }
      rest -= UInt64(chunk)
    }
  }

  /// Reads the bytes after a record's padding and compares its checksum.
  private mutating func readChecksum() throws(StreamError) {
    guard let checksum else { return }
    self.checksum = nil
    guard ending != .cutCheckpoint else { return }
    let offset = source.position
    let count = RecordFraming.draftB.footerByteCount
    if checkpointCount > 0, try peekCount(count) < count {
      state = .done
      ending = .cutCheckpoint
      return
    }
    let footer = try read(count, waitingPlace.text)
    guard checksum.isValid else { return }
    let stated = footer.load(0, as: UInt32.self, libxcContext.order)
    guard stated == checksum.crc.value else {
      throw fail(
        .malformed, at: offset, waitingPlace.text,
        "checksum: expected \(checksum.crc.value.hex(8)), got \(stated.hex(8))")
    }
  }

  /// How many bytes of the current record's checksum a checkpoint that is cut in it lacks: 0 where it
  /// is whole, where the record has none, and before the payload was passed.
  mutating func missingChecksumByteCount() throws(StreamError) -> Int {
    guard checksum != nil, waiting == 0, checkpointCount > 0 else { return 0 }
    let count = RecordFraming.draftB.footerByteCount
    return count - min(try peekCount(count), count)
  }

  private mutating func passOverPayload() throws(StreamError) {
    guard waiting > 0 else { return }
    try skip(waiting)
  }

  private mutating func checkComplete(_ got: UInt64, of count: UInt64) throws(StreamError) {
    guard got < count else { return }
    // Of all of the record, however much of it was asked for.
    let missing = waiting + count - got
    waiting = 0
    if checkpointCount > 0 {
      state = .done
      ending = .cutCheckpoint
      return
    }
    throw StreamError(
      .truncated, path: source.path, offset: source.position, place: waitingPlace.text,
      "the stream ends inside the record: \(missing) bytes are missing")
  }

  // MARK: - Records

  private mutating func record(_ expected: Layer) throws(StreamError) -> StreamElement? {
    let offset = source.position
    let framing = framing(expected)
    let front = framing.headByteCount
    let have = try peekCount(front)
    if have == 0 && canEnd(expected) {
      state = .done
      ending = .checkpoint
      return nil
    }
    guard have == front else { return try cut(offset, need: front, have, expected) }
    var layer = expected
    let context = context(expected)
    let order = context.order
    if framing == .xenopsd { try checkXenopsdHead(offset) }
    let wireValue = source.integer(0, as: UInt32.self, order)
    // xenopsd's Libxc, Demu and End_of_image say a length that means nothing.
    let isMarker =
      framing == .xenopsd && XenopsdRecords.markers.contains(RecordType(.xenopsd, wireValue))
    let length =
      isMarker ? 0 : source.integer(framing.headFieldByteCount, as: UInt32.self, order)
    // COLO: the primary's libxl writes CHECKPOINT_STATE where libxc's next checkpoint begins. Its
    // number is that of a PV vCPU's record in libxc, which an HVM stream cannot hold.
    if expected == .libxc, isAfterCheckpointEnd, wireValue == 5, length == 4, guest == .x86HVM {
      layer = .libxl
    }
    let type = framing == .draftB ? DraftB.type(wireValue) : RecordType(layer, wireValue)
    let place = Place(index: recordCount + 1, type: type)
    let limit = layer == .libxc ? Limit.libxcBody : Limit.libxlBody
    guard UInt64(length) <= limit else {
      throw fail(
        .limit, at: offset + UInt64(framing.headFieldByteCount), place.text,
        "length: \(length) bytes exceed the limit of \(limit >> 20) MiB")
    }
    let headCount = try headByteCount(type, Int(length), order, offset, front, place)
    let total = Int(length) + framing.paddingByteCount(UInt64(length))
    // The padding is loaded with a body that is loaded whole.
    let loaded = headCount == Int(length) ? total : headCount
    // All of the header is seen before any of it is taken, and what is in memory whole with its
    // checksum: a checkpoint that is cut in it stays whole for whoever keeps the rest, from a pipe as
    // from a file.
    let need = front + loaded + (loaded == total ? framing.footerByteCount : 0)
    let got = try peekCount(need)
    guard got == need else { return try cut(offset, need: need, got, expected, place) }
    let frontBytes = try read(front, place.text)
    let bytes = try read(loaded, place.text)
    if framing.hasChecksum {
      checksum = RecordChecksum(isValid: frontBytes.load(8, as: UInt16.self, order) & 1 != 0)
      checksum?.crc.update(bytes)
    }
    recordCount += 1
    waiting = UInt64(total - loaded)
    waitingPlace = place
    waitingOffset = offset
    let record = Record(
      type, index: recordCount, offset: offset,
      body: headCount == bytes.count ? bytes : Array(bytes.prefix(headCount)),
      padding: Array(bytes.dropFirst(headCount)),
      payloadByteCount: UInt64(Int(length) - headCount),
      context: self.context(layer), framing: framing, checkpoint: checkpoint,
      unusedLength: isMarker
        ? frontBytes.load(framing.headFieldByteCount, as: UInt64.self, order) : nil)
    follow(record)
    // What is in memory whole is not handed out before its checksum was looked at.
    if checksum != nil, waiting == 0 { try readChecksum() }
    return .record(record)
  }

  /// How much of a body is read into memory.
  private func headByteCount(
    _ type: RecordType, _ length: Int, _ order: ByteOrder, _ offset: UInt64, _ front: Int,
    _ place: Place
  ) throws(StreamError) -> Int {
    switch type {
    case .pageData:
      guard length >= 8, try peekCount(front + 4) == front + 4 else { return min(length, 8) }
      let count = Int(source.integer(front, as: UInt32.self, order))
      let table = min(8 + 8 * count, length)
      guard table <= Limit.pageTable else {
        throw fail(
          .limit, at: offset + UInt64(front), place.text,
          "count: expected at most \(Limit.pageTable / 8 - 1) entries, got \(count)")
      }
      return skipsPageTables ? 8 : table
    default:
      if length <= Limit.blob { return length }
      let layout = RecordSchemas.of(type)
      let fields = layout?.fields(byteCount: length, guestWidth: 0) ?? [.opaque("body")]
      switch fields.last?.kind {
      case .opaque?, .qemu?, .uefiVariables?:
        return Field.fixedByteCount(of: fields.dropLast()) ?? 0
      default: break
      }
      guard length <= Limit.head else {
        throw fail(
          .limit, at: offset + 4, place.text,
          "length: \(length) bytes exceed the limit of \(Limit.head >> 20) MiB for this type")
      }
      return length
    }
  }

  /// Follows a record to the layer that comes after it.
  private mutating func follow(_ record: Record) {
    isAfterCheckpointEnd = record.type == .checkpointEnd || record.type == .checkpointState
    switch record.type {
    case .libxcContext:
      outer = .libxl
      state = .imageHeader
    case .xenopsdLibxc:
      outer = .xenopsd
      state = .imageHeader
    case .demu: state = .opaque
    case .libxlEnd, .endOfImage: finish()
    case .checkpointEnd:
      if version != nil { state = .libxcRecords }
      checkpointCount += 1
      checkpoint += 1
    case .end:
      switch outer {
      case nil: finish()
      case .xenopsd: state = .xenopsdRecords
      default: state = .libxlRecords
      }
    case .checkpoint:
      if outer == .libxl {
        state = .libxlRecords
      } else {
        checkpointCount += 1
        checkpoint += 1
      }
    case .x86PVInfo:
      if let width = record.body.first, width == 4 || width == 8 {
        libxcContext.guestWidth = Int(width)
      }
    case .x86CPUIDPolicy:
      // The policy says where the components of an XSAVE area lie.
      libxcContext.xstate = CPUIDFeatures.xstateComponents(
        fromCPUIDLeaves: CPUIDLeaf.all(in: record.body, libxcContext))
    default: break
    }
  }

  /// What lies around the records of a layer.
  public func framing(_ layer: Layer) -> RecordFraming { .of(layer, version: version) }

  /// What is known for reading the bodies of a layer.
  public func context(_ layer: Layer) -> BodyContext {
    switch layer {
    case .libxc, .draftB: libxcContext
    case .libxl: libxlContext
    case .xenopsd: BodyContext()
    }
  }

  /// The header of a record of xenopsd's has 64-bit numbers, and streams where others have bodies.
  private func checkXenopsdHead(_ offset: UInt64) throws(StreamError) {
    let wireValue = source.integer(0, as: UInt64.self, .little)
    let length = source.integer(8, as: UInt64.self, .little)
    let type = RecordType(.xenopsd, UInt32(truncatingIfNeeded: wireValue))
    // A volume begins as zeros: read as empty records, what was never written of an image would go on
    // to the end of its disk.
    guard wireValue != 0 || length != 0 else {
      throw fail(
        .truncated, at: offset, "record \(recordCount + 1)",
        "the image ends: expected a record or End_of_image, got zeros")
    }
    let place = Place(index: recordCount + 1, type: type)
    guard wireValue < 1 << 32 else {
      throw fail(
        .malformed, at: offset, place.text, "type: expected less than 2^32, got \(wireValue.hex())")
    }
    guard length <= Limit.libxlBody || XenopsdRecords.markers.contains(type) else {
      throw fail(
        .limit, at: offset + 8, place.text,
        "length: \(length) bytes exceed the limit of \(Limit.libxlBody >> 20) MiB")
    }
    guard type != .libxcLegacy, type != .libxlOfXenopsd else {
      throw fail(.unsupported, at: offset, place.text, "a stream of this kind is not read here")
    }
  }

  private mutating func finish() {
    state = .trailing
    ending = .end
  }

  /// Whether the bytes may end before the next record of `layer`.
  private func canEnd(_ layer: Layer) -> Bool { checkpointCount > 0 }

  /// A record that the source ends in: an error, or the rest of a checkpointed stream.
  private mutating func cut(
    _ offset: UInt64, need: Int, _ have: Int, _ layer: Layer, _ place: Place? = nil
  ) throws(StreamError) -> StreamElement? {
    guard checkpointCount > 0 else {
      let place = place?.text ?? "record \(recordCount + 1)"
      throw StreamError(
        .truncated, path: source.path, offset: offset + UInt64(have), place: place,
        "the stream ends: expected \(need) bytes from \(offset.hex()), got \(have)")
    }
    state = .done
    ending = .cutCheckpoint
    return .trailing(
      TrailingBytes(kind: .cutRecord, offset: offset, first: try peek(min(have, 64))))
  }

  // MARK: - Reading

  private func peekCount(_ count: Int) throws(StreamError) -> Int {
    do { return try source.peek(count) } catch { throw wrap(error) }
  }

  func peek(_ count: Int) throws(StreamError) -> [UInt8] {
    source.window(try peekCount(count))
  }

  func read(_ count: Int, _ place: @autoclosure () -> String) throws(StreamError) -> [UInt8] {
    let start = source.position
    let bytes: [UInt8]
    do { bytes = try source.read(count) } catch { throw wrap(error) }
    guard bytes.count == count else {
      throw StreamError(
        .truncated, path: source.path, offset: start + UInt64(bytes.count), place: place(),
        "the stream ends: expected \(count) bytes from \(start.hex()), got \(bytes.count)")
    }
    return bytes
  }

  func fail(
    _ kind: StreamError.Kind, at offset: UInt64, _ place: String, _ problem: String
  ) -> StreamError {
    StreamError(kind, path: source.path, offset: offset, place: place, problem)
  }

  private func wrap(_ error: SystemError) -> StreamError {
    StreamError(error, offset: source.position)
  }
}
