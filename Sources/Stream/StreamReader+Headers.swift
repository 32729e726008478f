// Reading what comes before the records: which layers there are, in which order and byte order.

import Bytes
import Format
import SystemIO

extension StreamReader {
  mutating func begin() throws(StreamError) -> StreamElement? {
    let first = try peek(Container.peekByteCount)
    let container = Container(first)
    self.container = container
    switch container {
    case .xl: return try xlHeader()
    case .libxl: return try libxlHeader()
    case .libxc: return try imageHeader()
    case .libvirt: return try libvirtHeader()
    case .xenopsd:
      state = .xenopsdRecords
      let bytes = try head(.xenopsd)
      return .header(Header(.xenopsd, offset: 0, bytes: bytes, order: .little))
    case .other(let name):
      if name == Container.unknownName { throw try unknown(first) }
      throw fail(
        name.contains("header") ? .malformed : .unsupported, at: 0, "",
        "this is \(name), which is not read here")
    case .tooShort:
      throw fail(
        .truncated, at: UInt64(first.count), "",
        "expected a saved domain, got \(first.isEmpty ? "nothing" : "\(first.count) bytes")")
    }
  }

  /// The error for bytes that are no format: it names a tar archive, or where an image begins.
  private func unknown(_ first: [UInt8]) throws(StreamError) -> StreamError {
    // A pipe may have no more to give for long: what has come has to do.
    let more = source.isFile ? try peek(Limit.search) : first
    let tar = Array("ustar".utf8)
    if more.count >= 262, more[257..<262].elementsEqual(tar) {
      return fail(
        .unsupported, at: 0, "", "this is a tar archive (unpack it first), which is not read here")
    }
    let found = Container.search(more).map { found in
      "; \(found.name) begins at byte \(found.offset) (tail -c +\(found.offset + 1) cuts it out)"
    }
    return fail(
      .malformed, at: 0, "",
      "not a saved domain: expected an xl, libxl or libxc header, got "
        + (Container.isText(first)
          ? "\"\(first.prefix(16).printable)\"" : first.prefix(8).hexDigits)
        + (found ?? ""))
  }

  mutating func xlHeader() throws(StreamError) -> StreamElement {
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
    // The stream is what counts: xl would take one of libxl for a legacy one without the flag.
    if fixed.load(36, as: UInt32.self, order) & 2 == 0,
      try !peek(8).starts(with: "LibxlFmt".utf8)
    {
      throw fail(
        .unsupported, at: 36, kind.title,
        "this holds a legacy libxc stream (Xen 4.5 or older): xensave-lua convert makes a version 3 "
          + "stream of it")
    }
    state = .libxlHeader
    return .header(Header(kind, offset: 0, bytes: fixed + data, order: order))
  }

  mutating func libvirtHeader() throws(StreamError) -> StreamElement {
    let kind = HeaderKind.libvirt
    let fixed = try head(kind)
    // There is no mark of the order: versions are small numbers.
    let order: ByteOrder = fixed.load(16, as: UInt32.self) < 1 << 24 ? .little : .big
    let version = fixed.load(16, as: UInt32.self, order)
    guard version == 2 else {
      throw fail(
        .unsupported, at: 16, kind.title,
        version == 1
          ? "version 1: this holds a legacy libxc stream (Xen 4.5 or older), which is not read here"
          : "version: expected 2, got \(version)")
    }
    let count = fixed.load(20, as: UInt32.self, order)
    guard count <= Limit.head else {
      throw fail(
        .limit, at: 20, kind.title, "xml_len: expected at most \(Limit.head), got \(count)")
    }
    let xml = try read(Int(count), kind.title)
    state = .libxlHeader
    return .header(Header(kind, offset: 0, bytes: fixed + xml, order: order))
  }

  mutating func libxlHeader() throws(StreamError) -> StreamElement {
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

  mutating func imageHeader() throws(StreamError) -> StreamElement {
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
    guard (1...3).contains(version) else {
      let name = version > 3 && version < 256 ? " (from a newer release?)" : ""
      throw fail(
        .unsupported, at: offset + 12, kind.title,
        "version: expected 2 or 3, or 1 (draft B), got \(version)\(name)")
    }
    self.version = Int(version)
    let isBig = bytes.load(16, as: UInt16.self, .big) & 1 != 0
    libxcContext.order = isBig ? .big : .little
    state = .domainHeader
    return .header(Header(kind, offset: offset, bytes: bytes, order: .big))
  }

  mutating func domainHeader() throws(StreamError) -> StreamElement {
    let offset = source.position
    if version == DraftB.version {
      let bytes = try head(.draftDomain)
      let arch = UInt32(bytes.load(0, as: UInt16.self, libxcContext.order))
      let type = UInt32(bytes.load(2, as: UInt16.self, libxcContext.order))
      guest = GuestType(rawValue: arch == UInt32(DraftB.archX86) ? type : arch << 16 | type)
      state = .libxcRecords
      return .header(Header(.draftDomain, offset: offset, bytes: bytes, order: libxcContext.order))
    }
    let bytes = try head(.domain)
    guest = GuestType(rawValue: bytes.load(0, as: UInt32.self, libxcContext.order))
    state = .libxcRecords
    return .header(Header(.domain, offset: offset, bytes: bytes, order: libxcContext.order))
  }

  func head(_ kind: HeaderKind) throws(StreamError) -> [UInt8] {
    try read(kind.byteCount, kind.title)
  }
}
