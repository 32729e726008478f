// Pulling parts from a stream: the nesting of layers, and where each record begins and ends.

public import Bytes
public import Format
public import SystemIO

/// Reads a saved domain part by part.
///
///     xl header > libxl header > LIBXC_CONTEXT > image header > domain header > libxc records
///       > END > libxl records > END
///
/// A checkpointed stream goes back and forth: libxc CHECKPOINT > libxl records > CHECKPOINT_END >
/// libxc records ..., and ends with its bytes, without END.
///
/// Heads are read into memory; page contents and large blobs stay in the source until `movePayload`
/// or `loadPayload`. The next call of `next()` passes over what is left of them. Only lost framing,
/// limits and the system throw: whether what is read makes sense is for `Verifier` to say.
public struct StreamReader {
  public let source: Source
  /// Which layer the source begins with.
  public private(set) var container: Container?
  /// Byte order and guest width, as far as the stream has told them.
  public private(set) var libxcContext = BodyContext()
  public private(set) var libxlContext = BodyContext()
  /// The guest of the libxc stream, once its domain header was read.
  public private(set) var guest: GuestType?
  /// The libxc stream's version, once its image header was read.
  public private(set) var version: Int?
  /// How many records were read.
  public private(set) var recordCount = 0
  /// Checkpoints that are complete: libxc's CHECKPOINT, and CHECKPOINT_END where there is libxl.
  public private(set) var checkpointCount = 0
  /// How the stream ended, once `next()` has returned nil.
  public private(set) var ending: Ending?

  public enum Ending: Sendable, Equatable {
    /// By the END record of the outermost layer.
    case end
    /// A checkpointed stream whose bytes ended between two records.
    case checkpoint
    /// A checkpointed stream that was cut inside a record: the last complete checkpoint counts.
    case cutCheckpoint
  }

  private enum State {
    case start, libxlHeader, libxlRecords, imageHeader, domainHeader, libxcRecords, trailing, done
  }

  private var state = State.start
  private var isNested = false
  private var isAfterCheckpointEnd = false
  private var checkpoint = 0
  private var waiting: UInt64 = 0
  private var waitingPlace = ""
  private var waitingOffset: UInt64 = 0

  /// A reader from the source's position on, which is the start of a stream.
  public init(_ source: Source) { self.source = source }

  /// A reader that goes on at a record that an earlier pass has found at `offset` (an octet of a
  /// file). `container`, `guest` and `version` are what that pass knew there.
  public init(
    _ source: Source, resumingAt offset: UInt64, index: Int, layer: Layer, checkpoint: Int,
    from earlier: StreamReader
  ) {
    self = StreamReader(replacing: source, in: earlier)
    source.seek(offset)
    state = layer == .libxl ? .libxlRecords : .libxcRecords
    isNested = earlier.container != .libxc
    recordCount = index - 1
    self.checkpoint = checkpoint
    checkpointCount = checkpoint
    isAfterCheckpointEnd = layer == .libxl
    waiting = 0
    ending = nil
  }

  private init(replacing source: Source, in earlier: StreamReader) {
    self.source = source
    container = earlier.container
    libxcContext = earlier.libxcContext
    libxlContext = earlier.libxlContext
    guest = earlier.guest
    version = earlier.version
  }

  /// Limits, in octets.
  public enum Limit {
    /// Longest libxc body. Xen: REC_LENGTH_MAX (128 MiB since 4.10; 8 MiB before).
    public static let libxcBody: UInt64 = 128 << 20
    /// Longest libxl body that is passed on; libxl itself states none.
    public static let libxlBody: UInt64 = 1 << 30
    /// Longest head that is read into memory: the p2m frames of a PV guest of 4 TiB.
    public static let head = 16 << 20
    /// Longest pfn table of one PAGE_DATA: 131,071 entries. Xen's savers batch 1,024, and no more
    /// than 32,704 with contents fit into a record.
    public static let pageTable = 1 << 20
    /// Blobs up to this length are read into memory, longer ones stay in the source.
    public static let blob = 1 << 20
  }

  /// The next part, or nil at the end.
  public mutating func next() throws(StreamError) -> Part? {
    try passOverPayload()
    switch state {
    case .start: return try begin()
    case .libxlHeader: return try libxlHeader()
    case .imageHeader: return try imageHeader()
    case .domainHeader: return try domainHeader()
    case .libxlRecords: return try record(.libxl)
    case .libxcRecords: return try record(.libxc)
    case .trailing:
      state = .done
      let first: [UInt8]
      do { first = try source.peekAvailable(64) } catch { throw wrap(error) }
      if first.isEmpty { return nil }
      return .trailing(Trailing(kind: .afterEnd, offset: source.position, first: first))
    case .done: return nil
    }
  }

  // MARK: - Payload

  /// Octets of the current record's body and padding that are still in the source.
  public var payloadAndPadding: UInt64 { waiting }

  /// Moves what is left of the current record to `sink`.
  public mutating func movePayload(to sink: Sink) throws(StreamError) {
    let count = waiting
    waiting = 0
    let moved: UInt64
    do { moved = try source.move(count, to: sink) } catch { throw wrap(error) }
    try checkComplete(moved, of: count)
  }

  /// Moves up to `count` octets of what is left of the current record to `sink`.
  public mutating func movePayload(_ count: UInt64, to sink: Sink) throws(StreamError) {
    precondition(count <= waiting)
    let moved: UInt64
    do { moved = try source.move(count, to: sink) } catch { throw wrap(error) }
    waiting -= count
    try checkComplete(moved, of: count)
  }

  /// Reads `count` octets of what is left of the current record into `arena` at `offset`.
  public mutating func loadPayload(
    _ count: Int, into arena: Arena, at offset: Int = 0
  ) throws(StreamError) {
    precondition(UInt64(count) <= waiting)
    arena.reserve(offset + count)
    let got: Int
    do { got = try source.read(into: arena, offset..<offset + count) } catch { throw wrap(error) }
    waiting -= UInt64(count)
    try checkComplete(UInt64(got), of: UInt64(count))
  }

  /// Passes over `count` octets of what is left of the current record.
  public mutating func skipPayload(_ count: UInt64) throws(StreamError) {
    precondition(count <= waiting)
    waiting -= count
    let skipped: UInt64
    do { skipped = try source.skip(count) } catch { throw wrap(error) }
    try checkComplete(skipped, of: count)
  }

  /// Moves everything from here to the end of the source. Returns how many octets.
  public mutating func moveRest(to sink: Sink) throws(StreamError) -> UInt64 {
    do { return try source.move(.max, to: sink) } catch { throw wrap(error) }
  }

  private mutating func passOverPayload() throws(StreamError) {
    guard waiting > 0 else { return }
    try skipPayload(waiting)
  }

  private mutating func checkComplete(_ got: UInt64, of count: UInt64) throws(StreamError) {
    guard got < count else { return }
    waiting = 0
    if checkpointCount > 0 {
      state = .done
      ending = .cutCheckpoint
      return
    }
    throw StreamError(
      .truncated, path: source.path, offset: source.position, place: waitingPlace,
      "the stream ends inside the record: \(count - got) octets are missing")
  }

  // MARK: - Headers

  private mutating func begin() throws(StreamError) -> Part? {
    let first = try peek(Container.peekByteCount)
    let container = Container(first)
    self.container = container
    switch container {
    case .xl: return try xlHeader()
    case .libxl: return try libxlHeader()
    case .libxc: return try imageHeader()
    case .other(let name):
      let isUnknown = name == "no format of saved domains"
      throw fail(
        isUnknown || name.contains("header") ? .malformed : .unsupported, at: 0, "",
        isUnknown
          ? "not a saved domain: expected an xl, libxl or libxc header, got "
            + first.prefix(8).hexDigits
          : "this is \(name), which is not read here")
    case .tooShort:
      throw fail(
        .truncated, at: UInt64(first.count), "",
        "expected a saved domain, got \(first.isEmpty ? "nothing" : "\(first.count) octets")")
    }
  }

  private mutating func xlHeader() throws(StreamError) -> Part {
    let kind = HeaderKind.xl
    let fixed = try head(kind)
    // The mark tells the order; a mark that is neither is for the verifier to complain about.
    let order: ByteOrder =
      fixed.load(32, as: UInt32.self, .big) == Magic.xlByteOrder ? .big : .little
    let optionalCount = fixed.load(44, as: UInt32.self, order)
    guard optionalCount <= Limit.head else {
      throw fail(
        .limit, at: 44, kind.title,
        "optional_data_len: expected at most \(Limit.head), got \(optionalCount)"
          + (order == .big ? " (big-endian, as the byte order mark says)" : ""))
    }
    let data = try read(Int(optionalCount), kind.title)
    if fixed.load(36, as: UInt32.self, order) & 2 == 0 {
      throw fail(
        .unsupported, at: 36, kind.title,
        "this holds a legacy libxc stream (Xen 4.5 or older), which is not read here")
    }
    state = .libxlHeader
    return .header(Header(kind, offset: 0, bytes: fixed + data, order: order))
  }

  private mutating func libxlHeader() throws(StreamError) -> Part {
    let kind = HeaderKind.libxl
    let offset = source.position
    let bytes = try head(kind)
    let ident = bytes.load(0, as: UInt64.self, .big)
    guard ident == Magic.libxl else {
      throw fail(
        .malformed, at: offset, kind.title,
        "ident: expected \(Magic.libxl.hex()), got \(ident.hex(16))")
    }
    let version = bytes.load(8, as: UInt32.self, .big)
    guard version == 2 else {
      throw fail(
        .unsupported, at: offset + 8, kind.title, "version: expected 2, got \(version)")
    }
    let isBig = bytes.load(12, as: UInt32.self, .big) & 1 != 0
    libxlContext.order = isBig ? .big : .little
    state = .libxlRecords
    return .header(Header(kind, offset: offset, bytes: bytes, order: .big))
  }

  private mutating func imageHeader() throws(StreamError) -> Part {
    let kind = HeaderKind.image
    let offset = source.position
    let bytes = try head(kind)
    let marker = bytes.load(0, as: UInt64.self, .big)
    guard marker == .max else {
      throw fail(
        .malformed, at: offset, kind.title,
        "marker: expected \(UInt64.max.hex()), got \(marker.hex(16))")
    }
    let id = bytes.load(8, as: UInt32.self, .big)
    guard id == Magic.image else {
      throw fail(
        .malformed, at: offset + 8, kind.title,
        "id: expected \(Magic.image.hex()), got \(id.hex(8))")
    }
    let version = bytes.load(12, as: UInt32.self, .big)
    guard version == 2 || version == 3 else {
      let name = version == 1 ? " (draft B, which is not read here)" : ""
      throw fail(
        .unsupported, at: offset + 12, kind.title,
        "version: expected 2 or 3, got \(version)\(name)")
    }
    self.version = Int(version)
    let isBig = bytes.load(16, as: UInt16.self, .big) & 1 != 0
    libxcContext.order = isBig ? .big : .little
    state = .domainHeader
    return .header(Header(kind, offset: offset, bytes: bytes, order: .big))
  }

  private mutating func domainHeader() throws(StreamError) -> Part {
    let offset = source.position
    let bytes = try head(.domain)
    guest = GuestType(rawValue: bytes.load(0, as: UInt32.self, libxcContext.order))
    state = .libxcRecords
    return .header(Header(.domain, offset: offset, bytes: bytes, order: libxcContext.order))
  }

  private func head(_ kind: HeaderKind) throws(StreamError) -> [UInt8] {
    try read(kind.byteCount, kind.title)
  }

  // MARK: - Records

  private mutating func record(_ expected: Layer) throws(StreamError) -> Part? {
    let offset = source.position
    let have = try peekCount(8)
    if have == 0 && mayEnd(expected) {
      state = .done
      ending = .checkpoint
      return nil
    }
    guard have == 8 else { return try cut(offset, need: 8, have, expected) }
    var layer = expected
    let order = (expected == .libxc ? libxcContext : libxlContext).order
    let number = source.integer(0, as: UInt32.self, order)
    let length = source.integer(4, as: UInt32.self, order)
    // COLO: the primary's libxl writes CHECKPOINT_STATE where libxc's next checkpoint begins. Its
    // number is that of a PV vCPU's record in libxc, which an HVM stream cannot hold.
    if expected == .libxc, isAfterCheckpointEnd, number == 5, length == 4, guest == .x86HVM {
      layer = .libxl
    }
    let type = RecordType(layer, number)
    let place = "record \(recordCount + 1) (\(type.name))"
    let limit = layer == .libxc ? Limit.libxcBody : Limit.libxlBody
    guard UInt64(length) <= limit else {
      throw fail(
        .limit, at: offset + 4, place,
        "length: \(length) octets exceed the limit of \(limit >> 20) MiB")
    }
    let headCount = try headByteCount(type, Int(length), order, offset, place)
    let total = Int(paddedTo8(UInt64(length)))
    // The padding is loaded with a body that is loaded whole.
    let loaded = headCount == Int(length) ? total : headCount
    // All of the head is seen before any of it is taken: a checkpoint that is cut in it stays whole
    // for whoever keeps the rest, from a pipe as from a file.
    let got = try peekCount(8 + loaded)
    guard got == 8 + loaded else {
      return try cut(offset, need: 8 + loaded, got, expected, place)
    }
    _ = try read(8, place)
    let bytes = try read(loaded, place)
    recordCount += 1
    waiting = UInt64(total - loaded)
    waitingPlace = place
    waitingOffset = offset
    let record = Record(
      type, index: recordCount, offset: offset,
      body: headCount == bytes.count ? bytes : Array(bytes.prefix(headCount)),
      padding: Array(bytes.dropFirst(headCount)),
      payloadByteCount: UInt64(Int(length) - headCount),
      context: layer == .libxc ? libxcContext : libxlContext, checkpoint: checkpoint)
    follow(record)
    return .record(record)
  }

  /// How much of a body is read into memory.
  private func headByteCount(
    _ type: RecordType, _ length: Int, _ order: ByteOrder, _ offset: UInt64, _ place: String
  ) throws(StreamError) -> Int {
    switch type {
    case .pageData:
      guard length >= 8, try peekCount(12) == 12 else { return min(length, 8) }
      let count = Int(source.integer(8, as: UInt32.self, order))
      let table = min(8 + 8 * count, length)
      guard table <= Limit.pageTable else {
        throw fail(
          .limit, at: offset + 8, place,
          "count: expected at most \(Limit.pageTable / 8 - 1) entries, got \(count)")
      }
      return table
    default:
      if length <= Limit.blob { return length }
      let layout = Layouts.of(type)
      let fields = layout?.fields(byteCount: length, guestWidth: 0) ?? [.opaque("body")]
      if case .opaque? = fields.last?.kind {
        return Field.fixedByteCount(of: fields.dropLast()) ?? 0
      }
      guard length <= Limit.head else {
        throw fail(
          .limit, at: offset + 4, place,
          "length: \(length) octets exceed the limit of \(Limit.head >> 20) MiB for this type")
      }
      return length
    }
  }

  /// Follows a record to the layer that comes behind it.
  private mutating func follow(_ record: Record) {
    isAfterCheckpointEnd = record.type == .checkpointEnd || record.type == .checkpointState
    switch record.type {
    case .libxcContext:
      isNested = true
      state = .imageHeader
    case .libxlEnd: finish()
    case .checkpointEnd:
      if version != nil { state = .libxcRecords }
      checkpointCount += 1
      checkpoint += 1
    case .end:
      if isNested { state = .libxlRecords } else { finish() }
    case .checkpoint:
      if isNested {
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

  private mutating func finish() {
    state = .trailing
    ending = .end
  }

  /// Whether the bytes may end before the next record of `layer`.
  private func mayEnd(_ layer: Layer) -> Bool { checkpointCount > 0 }

  /// A record that the source ends in: an error, or the rest of a checkpointed stream.
  private mutating func cut(
    _ offset: UInt64, need: Int, _ have: Int, _ layer: Layer, _ place: String? = nil
  ) throws(StreamError) -> Part? {
    guard checkpointCount > 0 else {
      let place = place ?? "record \(recordCount + 1)"
      throw StreamError(
        .truncated, path: source.path, offset: offset + UInt64(have), place: place,
        "the stream ends: expected \(need) octets from \(offset.hex()), got \(have)")
    }
    state = .done
    ending = .cutCheckpoint
    return .trailing(Trailing(kind: .cutRecord, offset: offset, first: try peek(min(have, 64))))
  }

  // MARK: - Reading

  private func peekCount(_ count: Int) throws(StreamError) -> Int {
    do { return try source.peek(count) } catch { throw wrap(error) }
  }

  private func peek(_ count: Int) throws(StreamError) -> [UInt8] {
    source.window(try peekCount(count))
  }

  private func read(_ count: Int, _ place: String) throws(StreamError) -> [UInt8] {
    let start = source.position
    let bytes: [UInt8]
    do { bytes = try source.read(count) } catch { throw wrap(error) }
    guard bytes.count == count else {
      throw StreamError(
        .truncated, path: source.path, offset: start + UInt64(bytes.count), place: place,
        "the stream ends: expected \(count) octets from \(start.hex()), got \(bytes.count)")
    }
    return bytes
  }

  private func fail(
    _ kind: StreamError.Kind, at offset: UInt64, _ place: String, _ problem: String
  ) -> StreamError {
    StreamError(kind, path: source.path, offset: offset, place: place, problem)
  }

  private func wrap(_ error: SystemError) -> StreamError {
    StreamError(error, offset: source.position)
  }
}
