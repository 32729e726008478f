// The walk that converts: what each item of a legacy stream becomes.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream
internal import SystemIO

/// One conversion under way.
///
///     legacy                    version 3
///     extended info             X86_PV_INFO, STATIC_DATA_END
///     p2m frames                X86_PV_P2M_FRAMES
///     batch                     PAGE_DATA, without fillers; nothing if nothing is left
///     ENABLE_VERIFY_MODE        VERIFY
///     chunks of the guest       kept until the last tail: each counts from its last time on
///     tail of PV                X86_TSC_INFO, X86_PV_VCPU_*, SHARED_INFO, END
///     tail of HVM               X86_TSC_INFO, HVM_PARAMS, HVM_CONTEXT, END
///     TOOLSTACK, device model   EMULATOR_XENSTORE_DATA, EMULATOR_CONTEXT
struct ConversionPass {
  var reader: LegacyReader
  var writer: StreamWriter
  private let options: LegacyConverter.Options
  var report = LegacyReport()

  var plan: LegacyPlan?
  private var isInLibxl = false
  private var isVerifying = false
  private var isDone = false
  private var tsc: LegacyTSCInfo?
  private var params: [UInt64: UInt64] = [:]
  private var toolstack: (offset: UInt64, bytes: [UInt8])?
  var inflater: PageInflater?
  let buffer = PageAlignedBuffer(capacity: 4096)

  init(_ source: Source, _ options: LegacyConverter.Options, _ sink: Sink) {
    reader = LegacyReader(
      source, width: options.width, guest: options.guest,
      skipsDeviceModel: options.skipsDeviceModel)
    writer = StreamWriter(sink)
    self.options = options
  }

  mutating func run() throws(StreamError) -> LegacyReport {
    let start = writer.sink.position
    let source = reader.source
    if source.isFile { try scan() }
    try Progress.phase("converting", of: source.byteCount, done: { source.position }) {
      () throws(StreamError) in
      while !isDone, let item = try reader.next() { try take(item) }
    }
    try writer.finish()
    report.byteCount = writer.sink.position - start
    noteRest()
    return report
  }

  /// Walks over what is left of the source, which can be read again, and comes back.
  private mutating func scan() throws(StreamError) {
    let here = reader.source.position
    plan = try LegacyPlan(scanning: reader)
    reader.source.seek(here)
  }

  private mutating func take(_ item: LegacyItem) throws(StreamError) {
    switch item.content {
    case .xlHeader(let header): try put(header, item)
    case .xendConfig:
      report.front = .xend
      note(item, "xend's configuration (SXP) was left out: restore asks for a new one")
    case .start(let p2mSize): try begin(p2mSize)
    case .extendedInfo(let info): try put(info, item)
    case .p2mFrames(let count): try putP2MFrames(count)
    case .pages(let batch): try put(batch, item)
    case .compressedPages(let count): try inflate(count, item)
    case .enableVerify:
      try put(.verify, [])
      isVerifying = true
    case .enableCompression: try makeInflater()
    case .lastCheckpoint, .vcpuInfo: break  // the reader follows them
    case .hvmParam(let index, let value): params[index] = value
    case .tscInfo(let info): tsc = info
    case .toolstack(let bytes): toolstack = (item.offset, bytes)
    case .endOfBody: try endBody(item)
    case .endOfCheckpoint(let index): try endCheckpoint(index, item)
    case .unmappedPFNs, .vcpuBasic, .vcpuExtended, .vcpuXsave, .sharedInfo, .hvmMagic, .hvmContext,
      .deviceModel:
      if reader.checkpointCount == plan?.last { try takeTail(item) }
    }
  }

  // MARK: - Headers

  private mutating func put(_ header: Header, _ item: LegacyItem) throws(StreamError) {
    report.front = .xl
    guard options.wrapping == .asInput else {
      let count = header.bytes.count - HeaderKind.xl.byteCount
      if count > 0 { note(item, "xl header: left out with its \(count) bytes of configuration") }
      return
    }
    var header = header
    // xl reads JSON as a C string; the text of older releases has no NUL and needs none.
    if XLConfig.isJSON(header), let text = XLConfig.text(header), !text.isEmpty,
      header.bytes.count == HeaderKind.xl.byteCount + 4 + text.count
    {
      XLConfig.setText(text, in: &header)
    }
    header.bytes.store(36, header.bytes.load(36, as: UInt32.self) | 2)
    try writer.put(header.bytes)
  }

  private mutating func begin(_ p2mSize: UInt64) throws(StreamError) {
    report.width = reader.width
    report.guest = reader.guest
    report.p2mSize = p2mSize
    isInLibxl =
      switch options.wrapping {
      case .libxc: false
      case .libxl: true
      case .asInput:
        report.front == .xl
          || reader.guest == .x86HVM
            && (report.front == .xend || plan.map { $0.hasDeviceModel || $0.hasToolstack } ?? true)
      }
    if isInLibxl {
      var header: [UInt8] = []
      header.append(integer: Magic.libxl, .big)
      header.append(integer: UInt32(2), .big)
      // Options: little-endian, converted from a legacy stream.
      header.append(integer: UInt32(2), .big)
      try writer.put(header)
      try put(.libxcContext, [])
    }
    var image: [UInt8] = [UInt8](repeating: 0xFF, count: 8)
    image.append(integer: Magic.image, .big)
    image.append(integer: UInt32(3), .big)
    image += [UInt8](repeating: 0, count: 8)
    image.append(integer: reader.guest.rawValue)
    image.append(integer: UInt32(12))
    image.append(integer: options.xenVersion?.major ?? 0)
    image.append(integer: options.xenVersion?.minor ?? 1)
    try writer.put(image)
    if reader.guest == .x86HVM { try put(.staticDataEnd, []) }
  }

  private mutating func put(
    _ info: LegacyExtendedInfo, _ item: LegacyItem
  ) throws(StreamError) {
    report.guestWidth = info.guestWidth
    for block in info.unknownBlocks {
      note(item, "extended info: the unknown block \"\(block)\" was left out")
    }
    try put(.x86PVInfo, [UInt8(info.guestWidth), info.guestWidth == 8 ? 4 : 3, 0, 0, 0, 0, 0, 0])
    try put(.staticDataEnd, [])
  }

  // MARK: - Checkpoints

  private mutating func endBody(_ item: LegacyItem) throws(StreamError) {
    try finishInflating(item)
    guard plan == nil else { return }
    if reader.isLastCheckpoint {
      plan = LegacyPlan(last: reader.checkpointCount)
      return
    }
    // This tail counts unless another checkpoint comes, and that one only if it is complete.
    try reader.spool(into: scratchFile())
    try scan()
  }

  private mutating func endCheckpoint(_ index: Int, _ item: LegacyItem) throws(StreamError) {
    report.checkpointCount = index + 1
    guard index == plan?.last else {
      guard !isVerifying else {
        throw fail(
          .unsupported, item, "checkpoint \(index + 1)",
          "expected no checkpoint after ENABLE_VERIFY_MODE: its pages would not count")
      }
      return
    }
    if isInLibxl {
      try checkDeviceModel(item)
      try putXenstoreData()
      try put(.libxlEnd, [])
    } else if let toolstack {
      self.note(
        LegacyNote(
          offset: toolstack.offset,
          text: "libxl's toolstack record was left out: a libxc stream has no place for it"))
    }
    isDone = true
  }

  /// libxl starts no device model without its state.
  private func checkDeviceModel(_ item: LegacyItem) throws(StreamError) {
    guard reader.guest == .x86HVM, !report.hasDeviceModel, !options.skipsDeviceModel else { return }
    let got = try reader.peek(LegacySignature.byteCount)
    throw fail(
      got.isEmpty ? .truncated : .malformed, item, "device model",
      "expected \"\(LegacySignature.record.rawValue)\", got "
        + (got.isEmpty ? "the end of the stream" : "\"\(got.printable)\""))
  }

  private func scratchFile() throws(StreamError) -> ScratchFile {
    do { return try ScratchFile() } catch { throw StreamError(error, offset: reader.offset) }
  }

  // MARK: - Tails

  private mutating func takeTail(_ item: LegacyItem) throws(StreamError) {
    switch item.content {
    case .unmappedPFNs(let count):
      if count > 0 { note(item, "the list of \(count) unmapped pfns was left out") }
      try putTSC()
    case .vcpuBasic(let id, let body):
      report.vcpuCount += 1
      try put(.x86PVVCPUBasic, vcpu(id) + body)
    case .vcpuExtended(let id, let body): try put(.x86PVVCPUExtended, vcpu(id) + body)
    case .vcpuXsave(let id, _, let state):
      if !state.isEmpty { try put(.x86PVVCPUXsave, vcpu(id) + state) }
    case .sharedInfo(let page):
      try put(.sharedInfo, page)
      try put(.end, [])
    case .hvmMagic(let ioreq, let bufioreq, let store):
      (params[5], params[6], params[1]) = (ioreq, bufioreq, store)
      try putTSC()
      try putParams()
    case .hvmContext(let count):
      try writer.put(head(.hvmContext, count))
      try movePayload(count)
      try put(.end, [])
    case .deviceModel(let signature, let count): try putDeviceModel(signature, count, item)
    default: break
    }
  }

  private mutating func putTSC() throws(StreamError) {
    guard let tsc else { return }
    var body: [UInt8] = []
    body.append(integer: tsc.mode)
    body.append(integer: tsc.khz)
    body.append(integer: tsc.nsec)
    body.append(integer: tsc.incarnation)
    body.append(integer: UInt32(0))
    try put(.x86TSCInfo, body)
  }

  /// All parameters that are not zero, as every saver since 4.6 writes them.
  private mutating func putParams() throws(StreamError) {
    let pairs = params.filter { $0.value != 0 }.sorted { $0.key < $1.key }
    guard !pairs.isEmpty else { return }
    var body: [UInt8] = []
    body.append(integer: UInt32(pairs.count))
    body.append(integer: UInt32(0))
    for (index, value) in pairs {
      body.append(integer: index)
      body.append(integer: value)
    }
    try put(.hvmParams, body)
  }

  private mutating func putDeviceModel(
    _ signature: LegacySignature, _ count: UInt64?, _ item: LegacyItem
  ) throws(StreamError) {
    report.hasDeviceModel = true
    guard isInLibxl, !options.skipsDeviceModel else {
      let reason = isInLibxl ? "as asked for" : "a libxc stream has no place for it"
      return note(item, "the device model's record was left out: \(reason)")
    }
    var byteCount = count ?? 0
    if count == nil {
      byteCount = try reader.spoolPayload(into: scratchFile())
      try reader.checkDeviceModel(byteCount, item.offset)
    }
    try putXenstoreData()
    // Only xend's signature tells which device model it is: qemu-traditional.
    try writer.put(head(.emulatorContext, 8 + byteCount) + emulator(signature == .untilEnd ? 1 : 0))
    try movePayload(byteCount)
  }

  private mutating func putXenstoreData() throws(StreamError) {
    guard let toolstack else { return }
    self.toolstack = nil
    let physmap: LegacyPhysmap
    do { physmap = try LegacyPhysmap(toolstack.bytes, width: reader.width) } catch {
      throw StreamError(
        .malformed, path: reader.source.path,
        offset: toolstack.offset + 8 + UInt64(error.offset ?? 0), place: "TOOLSTACK",
        error.field.isEmpty ? error.problem : "\(error.field): \(error.problem)")
    }
    guard !physmap.entries.isEmpty else { return }
    guard reader.guest == .x86HVM else {
      return note(
        LegacyNote(
          offset: toolstack.offset,
          text: "libxl's toolstack record was left out: a PV guest has no device model"))
    }
    try put(.emulatorXenstoreData, emulator(0) + physmap.xenstoreData)
  }

  // MARK: - Records

  func head(_ type: RecordType, _ byteCount: UInt64) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: type.wireValue)
    out.append(integer: UInt32(byteCount))
    return out
  }

  private mutating func put(_ type: RecordType, _ body: [UInt8]) throws(StreamError) {
    try writer.put(Record(type, body: body, context: BodyContext()))
  }

  /// Moves a payload that ends a record of any length.
  private mutating func movePayload(_ count: UInt64) throws(StreamError) {
    try reader.movePayload(to: writer.sink)
    let padding = paddedTo8(count) - count
    if padding > 0 { try writer.put([UInt8](repeating: 0, count: Int(padding))) }
  }

  private func vcpu(_ id: UInt32) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: id)
    out.append(integer: UInt32(0))
    return out
  }

  private func emulator(_ id: UInt32) -> [UInt8] { vcpu(id) }

  // MARK: - Saying

  private mutating func noteRest() {
    if let cut = plan?.cut {
      report.isCut = true
      note(
        LegacyNote(
          offset: cut.offset,
          text: "checkpoint \(report.checkpointCount) counts, the one after it was left out: "
            + (cut.place.isEmpty ? "" : "\(cut.place): ") + cut.problem))
    } else if let byteCount = reader.source.byteCount, byteCount > reader.source.position,
      !options.skipsDeviceModel
    {
      let rest = byteCount - reader.source.position
      note(LegacyNote(offset: reader.offset, text: "\(rest) bytes follow the stream"))
    }
  }

  private mutating func note(_ item: LegacyItem, _ text: String) {
    note(LegacyNote(offset: item.offset, text: text))
  }

  private mutating func note(_ note: LegacyNote) {
    if report.notes.count < 100 { report.notes.append(note) }
  }

  func fail(
    _ kind: StreamError.Kind, _ item: LegacyItem, _ place: String, _ problem: String
  ) -> StreamError {
    StreamError(
      kind, path: reader.source.path, offset: item.offset, place: place, problem)
  }
}
