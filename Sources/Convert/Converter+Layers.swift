// The outer layers: xl's and libvirt's headers, libxl's stream, xenopsd's image.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Stream

extension Converter {
  // MARK: - Headers

  mutating func convert(_ header: Header) throws {
    switch header.kind {
    case .xl: try begin(.xl, header)
    case .libvirt: try begin(.libvirt, header)
    case .xenopsd:
      try begin(.xenopsd, header)
      libxlOrder = conversion.order ?? .little
      try writeOuterHeaders()
    case .libxl:
      if outerHeader == nil { try begin(.libxl, nil) }
      libxlHeader = header
      libxlOrder = conversion.order ?? reader.libxlContext.order
      try writeOuterHeaders()
    case .image:
      if reader.container == .libxc { try begin(.libxc, nil) }
      if !hasBegun { libxlOrder = conversion.order ?? reader.libxcContext.order }
      try writeOuterHeaders()
      try writeLibxcMarker()
      try convertImage(header)
    case .domain, .draftDomain: try convertDomain(header)
    }
  }

  private mutating func begin(_ source: Wrapping, _ header: Header?) throws {
    self.source = source
    target = conversion.wrapping ?? source
    outerHeader = header
    guard let header, target != source || conversion.config != nil,
      header.bytes.count > header.kind.byteCount
    else { return }
    report.config =
      source == .xl
      ? XLConfig.text(header) : Array(header.bytes.dropFirst(64).prefix { $0 != 0 })
    guard target != source else { return }
    let text = "its \(header.bytes.count - header.kind.byteCount) bytes of configuration"
    // xl's file has a place for a configuration, but for one of its own.
    guard target == .xl, conversion.config == nil else {
      return report.note(header.kind.title, "left out with \(text)", isLoss: false)
    }
    try loseConfiguration(header.kind.title, text)
  }

  /// What libvirt and xenopsd say of the domain is not what xl reads.
  private mutating func loseConfiguration(
    _ place: String, _ text: String
  ) throws {
    guard conversion.isLossy else {
      throw refusal(
        place,
        "xl's header has no place for \(text): supply one of xl's (wrap --in xl --config FILE), or "
          + "give it to `xl restore CONFIG IMAGE` (a lossy conversion leaves it out)")
    }
    hasLostConfiguration = true
    report.note(
      place, "\(text) left out: `xl restore` has to be given one as a file", isLoss: true)
  }

  /// What the result does not have, though nothing of the source was lost.
  mutating func noteMissingConfiguration() {
    guard target == .xl, source != .xl, conversion.config == nil, !hasLostConfiguration else {
      return
    }
    report.note(
      "xl header", "it has no configuration: `xl restore` has to be given one as a file",
      isLoss: false)
  }

  /// Writes what stands before LIBXC_CONTEXT, or xenopsd's Libxc.
  private mutating func writeOuterHeaders() throws {
    guard !hasBegun else { return }
    hasBegun = true
    switch target {
    case .libxc: return
    case .libxl: break
    case .xl: try emitter.put(try xlHeader())
    case .libvirt: try emitter.put(try libvirtHeader())
    case .xenopsd:
      try emitter.put(Magic.xenopsd)
      if source != .xenopsd || conversion.config != nil { try putXenops(conversion.config ?? []) }
      return
    }
    var header: [UInt8] = []
    if let libxlHeader {
      header = libxlHeader.bytes
    } else {
      header.append(integer: Magic.libxl, .big)
      header.append(integer: UInt32(2), .big)
      header.append(integer: UInt32(0), .big)
    }
    header[15] = header[15] & ~1 | (libxlOrder == .big ? 1 : 0)
    try emitter.put(header)
  }

  /// The source's header, or one with the configuration that was supplied.
  private func xlHeader() throws -> [UInt8] {
    guard let config = conversion.config else {
      if let outerHeader, source == .xl { return outerHeader.bytes }
      return XLHeaderBytes.header(config: nil)
    }
    return XLHeaderBytes.header(config: config)
  }

  private func libvirtHeader() throws -> [UInt8] {
    if conversion.config == nil, source == .libvirt, let outerHeader { return outerHeader.bytes }
    guard let xml = conversion.config, !xml.isEmpty else {
      throw refusal(
        "libvirt header", "it holds the domain's XML, which is not in the source: supply it")
    }
    var out = Magic.libvirt
    out.append(integer: UInt32(2))
    out.append(integer: UInt32(xml.count + 1))
    return out + [UInt8](repeating: 0, count: 40) + xml + [0]
  }

  private mutating func putXenops(_ config: [UInt8]) throws {
    if config.isEmpty {
      return report.note(
        "Xenops", "not written: xenopsd's metadata are not in the source (supply them)",
        isLoss: false)
    }
    try emitter.put(Record(.xenops, body: config, context: BodyContext(), framing: .xenopsd))
  }

  /// Writes the record that says that a libxc stream follows, where the source has none to keep.
  private mutating func writeLibxcMarker() throws {
    guard !hasLibxcMarker else { return }
    switch target {
    case .libxc: break
    case .xenopsd:
      try emitter.put(Record(.xenopsdLibxc, body: [], context: BodyContext(), framing: .xenopsd))
    case .libxl, .xl, .libvirt: try putLibxl(.libxcContext)
    }
  }

  private mutating func putLibxl(_ type: RecordType) throws {
    try emitter.put(Record(type, body: [], context: BodyContext(order: libxlOrder)))
  }

  // MARK: - Records

  mutating func convertOuter(_ record: Record) throws {
    switch record.type {
    case .libxcContext, .xenopsdLibxc: hasLibxcMarker = try keepMarker(record)
    case .libxlEnd, .endOfImage:
      guard !hasEnded else { return }
      if try keepMarker(record) { hasEnded = true } else { try endOuter() }
    case .xenops:
      if target != .xenopsd || conversion.config != nil { report.config = record.body }
      if target == .xl, conversion.config == nil {
        try loseConfiguration(record.place, "what xenopsd says of the domain")
      } else if target != .xenopsd {
        report.note(record.place, "left out: xenopsd's metadata", isLoss: false)
      } else if conversion.config == nil {
        try emitter.keep(record, from: &reader)
      }
    case .checkpointEnd: if target.hasLibxl { try keepLibxl(record) }
    case .emulatorContext: try convertEmulator(record)
    case .qemuTrad, .qemuXen: try convertQEMU(record)
    default:
      switch (record.type.layer, target) {
      case (.xenopsd, .xenopsd): try emitter.keep(record, from: &reader)
      case (.libxl, .libxl), (.libxl, .xl), (.libxl, .libvirt): try keepLibxl(record)
      default: try lose(record.place, "\(target.rawValue) has no place for it")
      }
    }
  }

  /// Writes a record of libxl's in the byte order of the result.
  private mutating func keepLibxl(_ record: Record) throws {
    guard record.context.order != libxlOrder else {
      return try emitter.keep(record, from: &reader)
    }
    guard record.hasKnownFields else {
      return try lose(record.place, "its fields are not known, so its byte order cannot be turned")
    }
    try emitter.put(
      Record(
        record.type, body: record.body(in: libxlOrder), padding: record.padding,
        payloadByteCount: record.payloadByteCount, context: BodyContext(order: libxlOrder)),
      from: &reader)
  }

  /// Keeps a record that marks a place of its layer, with the bytes in it that readers pass over. False
  /// where the result has another record there, or these bytes cannot be kept.
  private mutating func keepMarker(_ record: Record) throws -> Bool {
    let isOfTarget = record.type.layer == .xenopsd ? target == .xenopsd : target.hasLibxl
    let isOfOrder = record.type.layer == .xenopsd || record.context.order == libxlOrder
    if isOfTarget, isOfOrder {
      try emitter.keep(record, from: &reader)
      return true
    }
    if record.length > 0 {
      try lose(record.place, "its \(record.length) bytes have no place in the result")
    }
    return false
  }

  /// The longest state of QEMU that xenopsd restores. xenopsd: xc/domain.ml, restore.
  private static let longestQEMU: UInt64 = 1 << 20

  private mutating func convertEmulator(_ record: Record) throws {
    if target.hasLibxl { return try keepLibxl(record) }
    guard target == .xenopsd, record.body.count >= 8 else {
      return try lose(record.place, "\(target.rawValue) has no place for a device model's state")
    }
    let id = record.body.load(0, as: UInt32.self, record.context.order)
    guard id <= 2 else {
      return try lose(record.place, "emulator_id: expected 0, 1 or 2, got \(id)")
    }
    guard record.length - 8 <= Converter.longestQEMU else {
      return try lose(
        record.place,
        "xenopsd restores at most \(Converter.longestQEMU) bytes of it, got \(record.length - 8)")
    }
    // xenopsd has one record for QEMU, whichever it is.
    try emitter.put(
      Record(
        .qemuTrad, body: Array(record.body.dropFirst(8)), payloadByteCount: record.payloadByteCount,
        context: BodyContext(), framing: .xenopsd),
      from: &reader)
  }

  private mutating func convertQEMU(_ record: Record) throws {
    if target == .xenopsd { return try emitter.keep(record, from: &reader) }
    guard target.hasLibxl else {
      return try lose(record.place, "\(target.rawValue) has no place for a device model's state")
    }
    var body: [UInt8] = []
    body.append(integer: record.qemuID, libxlOrder)
    body.append(integer: UInt32(0), libxlOrder)
    try emitter.put(
      Record(
        .emulatorContext, body: body + record.body, payloadByteCount: record.payloadByteCount,
        context: BodyContext(order: libxlOrder)),
      from: &reader)
  }

  /// Ends the outer layers of the result, once.
  mutating func endOuter() throws {
    guard !hasEnded else { return }
    hasEnded = true
    switch target {
    case .libxc: break
    case .xenopsd:
      try emitter.put(Record(.endOfImage, body: [], context: BodyContext(), framing: .xenopsd))
    case .libxl, .xl, .libvirt: try putLibxl(.libxlEnd)
    }
  }

  /// What libxl or xenopsd has after libxc's CHECKPOINT, where the source has nothing there.
  mutating func endCheckpoint() throws {
    if source == .libxc, target.hasLibxl { try putLibxl(.checkpointEnd) }
  }
}

extension Record {
  /// What libxl calls the QEMU of one of xenopsd's records: upstream's begins with its magic, and one
  /// that is too long to be looked at is upstream's, too.
  var qemuID: UInt32 {
    type == .qemuXen || payloadByteCount > 0 || body.starts(with: "QEVM".utf8) ? 2 : 1
  }
}

/// Making xl's header.
enum XLHeaderBytes {
  /// A header that says that libxl's stream follows, with `config` where there is one. Text that
  /// begins with a brace is JSON, other text is xl.cfg.
  static func header(config: [UInt8]?) -> [UInt8] {
    let isJSON = config?.first { $0 > 0x20 } == UInt8(ascii: "{")
    var out = Magic.xl
    out.append(integer: Magic.xlByteOrder)
    out.append(integer: UInt32(2 | (isJSON ? 1 : 0)))
    out.append(integer: UInt32(0))
    out.append(integer: UInt32(0))
    guard let config else { return out }
    var header = Header(.xl, offset: 0, bytes: out, order: .little)
    XLConfig.setText(config, in: &header)
    return header.bytes
  }
}
