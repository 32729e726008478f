// Rules for the headers of the three layers.

internal import Bytes
internal import Format
internal import ImageEdit
internal import JSON
internal import Stream

extension Rule {
  private static let xlReader = "Xen: tools/xl/xl_vmcontrol.c, create_domain"
  private static let imageReader = "Xen: tools/libs/guest/xg_sr_restore.c, read_headers"

  static let xlHeader: [Rule] = [
    Rule(
      "xl-header.byteorder", .error,
      "The byte order mark is 0x01020304 to a little-endian reader.", xlReader,
      .header(.xl) { look, header in
        let mark = header.bytes.load(32, as: UInt32.self)
        guard mark != Magic.xlByteOrder else { return }
        look.report(
          header, "byteorder", at: 32, "expected \(Magic.xlByteOrder.hex(8)), got \(mark.hex(8))")
      }),
    Rule(
      "xl-header.mandatory-flags", .error,
      "Only the flags json (bit 0) and streamv2 (bit 1) are mandatory.", xlReader,
      .header(.xl) { look, header in
        let flags = header.bytes.load(36, as: UInt32.self, header.order)
        guard flags & ~3 != 0 else { return }
        look.report(
          header, "mandatory_flags", at: 36,
          "expected no bits but 0x3, got \(flags.hex()): readers refuse what they do not know")
      }),
    Rule(
      "xl-header.stream-flag", .error,
      "The flag for libxl's stream is set where one follows: without it, xl reads a legacy stream.",
      "Xen: tools/xl/xl.h, XL_MANDATORY_FLAG_STREAMv2",
      .header(.libxl) { look, _ in
        guard let xl = look.imageSummary.headers[.xl], let flags = xl.unsigned("mandatory_flags"),
          flags & 2 == 0
        else { return }
        look.report(
          xl, "mandatory_flags", at: 36,
          "expected bit 1 (a libxl stream follows), got \(flags.hex())")
      }),
    Rule(
      "xl-header.not-json", .note, "The configuration is JSON since Xen 4.5.",
      "Xen: tools/xl/xl.h, XL_MANDATORY_FLAG_JSON",
      .header(.xl) { look, header in
        let flags = header.bytes.load(36, as: UInt32.self, header.order)
        guard flags & 1 == 0, header.bytes.count > HeaderKind.xl.byteCount else { return }
        look.report(
          header, "mandatory_flags", at: 36,
          "expected bit 0 (json), got \(flags.hex()): the configuration is read as xl.cfg text")
      }),
    Rule(
      "xl-header.text", .error,
      "A configuration that is JSON is said to be: xl reads others as xl.cfg.",
      xlReader,
      .header(.xl) { look, header in
        let flags = header.bytes.load(36, as: UInt32.self, header.order)
        guard flags & 1 == 0, let config = ConfigData(header),
          let first = config.text.first(where: { $0 > 0x20 }), "{[\"".utf8.contains(first)
        else { return }
        look.report(
          header, "mandatory_flags", at: 36,
          "expected bit 0 (json) with a configuration that begins with "
            + "\(Character(Unicode.Scalar(first))), got \(flags.hex())")
      }),
    Rule(
      "xl-header.optional-flags", .warning, "No optional flag is defined.",
      "Xen: tools/xl/xl.h, struct save_file_header",
      .header(.xl) { look, header in
        let flags = header.bytes.load(40, as: UInt32.self, header.order)
        guard flags != 0 else { return }
        look.report(header, "optional_flags", at: 40, "expected 0, got \(flags.hex())")
      }),
    Rule(
      "xl-header.optional-data", .error,
      "Optional data, where there are any, begin with the 4 bytes of config_len.", xlReader,
      .header(.xl) { look, header in
        let count = header.bytes.count - HeaderKind.xl.byteCount
        guard (1..<4).contains(count) else { return }
        look.report(
          header, "optional_data_len", at: 44, "expected 0 or at least 4 (config_len), got \(count)"
        )
      }),
    Rule(
      "xl-header.config-length", .error, "The configuration lies in the optional data.", xlReader,
      .header(.xl) { look, header in
        guard let config = ConfigData(header), config.claimed > config.text.count else { return }
        look.report(
          header, "config_len", at: 48,
          "expected at most \(config.text.count), got \(config.claimed)")
      }),
    Rule(
      "xl-header.config-end", .error,
      "The configuration ends with a NUL: xl parses it as a C string.", xlReader,
      .header(.xl) { look, header in
        // The text of an older xl (without the JSON flag) has none.
        guard XLConfig.isJSON(header), let config = ConfigData(header),
          config.claimed <= config.text.count, let last = config.text.prefix(config.claimed).last,
          !config.text.prefix(config.claimed).contains(0)
        else { return }
        look.report(
          header, "config", at: 52 + config.claimed - 1,
          "expected a NUL at the end, got \(last.hex(2)): xl reads after it")
      }),
    Rule(
      "xl-header.config-nul", .error,
      "A configuration of an older xl, which is no JSON, holds no NUL but its last byte.",
      "Xen: tools/libs/util/libxlu_cfg_l.l",
      .header(.xl) { look, header in
        guard !XLConfig.isJSON(header), let config = ConfigData(header),
          let place = config.firstNUL, place < min(config.claimed, config.text.count) - 1
        else { return }
        look.report(header, "config", at: 52 + place, "expected text, got a NUL")
      }),
    Rule(
      "xl-header.config-rest", .warning,
      "Nothing but zeros follows the NUL that ends the configuration: xl does not see it.",
      xlReader,
      .header(.xl) { look, header in
        guard XLConfig.isJSON(header), let config = ConfigData(header),
          let place = config.firstNUL,
          let rest = config.text.prefix(config.claimed).dropFirst(place).firstIndex(where: {
            $0 != 0
          })
        else { return }
        look.report(
          header, "config", at: 52 + rest - config.text.startIndex,
          "expected zeros after the NUL at \(place), got \(config.text[rest].hex(2))")
      }),
    Rule(
      "xl-header.config-json", .error,
      "The configuration is one JSON object, nested no deeper than 512.",
      "Xen: tools/libs/light/libxl_json.c; the depth is ours",
      .header(.xl) { look, header in
        guard XLConfig.isJSON(header), let text = XLConfig.text(header), !text.isEmpty else {
          return
        }
        do throws(JSONError) {
          let document = try JSONDocument(text, options: DomainConfiguration.options)
          if case .object = document.root { return }
          look.report(header, "config", at: 52, "expected a JSON object")
        } catch {
          look.report(header, "config", at: 52 + error.offset, "\(error)")
        }
      }),
    Rule(
      "xl-header.config-tail", .warning,
      "Nothing follows the configuration's object: xl passes over it.",
      "Xen: tools/libs/light/libxl_json.c, libxl__json_parse; xl of 4.17",
      .header(.xl) { look, header in
        guard XLConfig.isJSON(header), let text = XLConfig.text(header), !text.isEmpty else {
          return
        }
        var options = DomainConfiguration.options
        options.trailingText = .reject
        do throws(JSONError) {
          _ = try JSONDocument(text, options: options)
        } catch  where error.kind == .trailingText {
          look.report(header, "config", at: 52 + error.offset, "expected the end, got more text")
        } catch {}
      }),
    Rule(
      "xl-header.no-config", .warning,
      "The image says the domain's configuration: without it, restore asks for one.", xlReader,
      .header(.xl) { look, header in
        let config = ConfigData(header)
        let isEmpty = config.map { $0.claimed == 0 || $0.text.first == 0 }
        guard isEmpty ?? (header.bytes.count == HeaderKind.xl.byteCount) else { return }
        look.report(
          header, config == nil ? "optional_data_len" : "config_len", at: config == nil ? 44 : 48,
          "expected a configuration, got none")
      }),
    Rule(
      "xl-header.excess", .note,
      "Nothing follows the configuration in the optional data but zeros, which are room for it.",
      xlReader,
      .header(.xl) { look, header in
        guard let config = ConfigData(header), config.claimed < config.text.count,
          config.text.dropFirst(config.claimed).contains(where: { $0 != 0 })
        else { return }
        look.report(
          header, "optional_data_len", at: 44,
          "expected \(4 + config.claimed), got \(4 + config.text.count): readers skip the rest")
      }),
  ]

  /// The rules of a header's options, which are big-endian: bit 0 says that what follows is too, and
  /// bits that are not in `known` are reserved.
  private static func options(
    of kind: HeaderKind, _ id: String, at offset: Int, width: Int, known: UInt64,
    _ order: String, _ reader: String, _ section: String
  ) -> [Rule] {
    [
      Rule(
        "\(id).endianness", .error, order, reader,
        .header(kind) { look, header in
          let options = header.bytes.unsigned(at: offset, width: width, .big)
          guard options & 1 != 0 else { return }
          look.report(
            header, "options", at: offset,
            "expected bit 0 to be 0 (little-endian), got \(options.hex())")
        }),
      Rule(
        "\(id).reserved-options", .warning,
        "Reserved bits of options are zero: Xen passes over them.", section,
        .header(kind) { look, header in
          let options = header.bytes.unsigned(at: offset, width: width, .big)
          guard options & ~known != 0 else { return }
          look.report(
            header, "options", at: offset,
            "expected no bits but \(known.hex()), got \(options.hex())")
        }),
    ]
  }

  static let libxlHeader: [Rule] =
    options(
      of: .libxl, "libxl-header", at: 12, width: 4, known: 3,
      "Records are little-endian: no Xen reads the others.",
      "Xen: tools/libs/light/libxl_stream_read.c, stream_header_done",
      "Spec: libxl-migration-stream, Header") + [
      Rule(
        "libxl-header.legacy", .note, "The stream was written as it is, not converted.",
        "Spec: libxl-migration-stream, Header, options bit 1",
        .header(.libxl) { look, header in
          guard header.bytes.load(12, as: UInt32.self, .big) & 2 != 0 else { return }
          look.report(
            header, "options", at: 12,
            "expected bit 1 to be 0, got 1: converted from a legacy stream"
          )
        })
    ]

  static let libxcHeaders: [Rule] =
    [
      Rule(
        "image-header.version", .error, "The version is 2 or 3: no release reads draft B (1).",
        imageReader,
        .header(.image) { look, header in
          let version = header.bytes.load(12, as: UInt32.self, .big)
          guard version < 2 else { return }
          look.report(
            header, "version", at: 12,
            "expected 2 or 3, got \(version): convert it to version 3 first")
        })
    ]
    + options(
      of: .image, "image-header", at: 16, width: 2, known: 1,
      "The stream is little-endian: no Xen reads the others.", imageReader,
      "Spec: libxc-migration-stream, Image Header") + [
      Rule(
        "image-header.reserved", .warning, "Reserved bytes are zero.",
        "Spec: libxc-migration-stream, Image Header",
        .header(.image) { look, header in look.reportReserved(header) }),
      Rule(
        "domain-header.type", .error, "The guest is x86 PV (1) or x86 HVM (2).",
        "Xen: tools/libs/guest/xg_sr_restore_x86_{pv,hvm}.c, setup",
        .header(.domain) { look, header in
          let type = header.bytes.load(0, as: UInt32.self, header.order)
          guard type != 1 && type != 2 else { return }
          look.report(header, "type", at: 0, "expected 1 (x86 PV) or 2 (x86 HVM), got \(type)")
        }),
      Rule(
        "domain-header.config-type", .error,
        "The configuration's type is the stream's: an HVM stream restores into an HVM or PVH domain.",
        "Xen: tools/libs/guest/xg_sr_restore_x86_{pv,hvm}.c, setup",
        .header(.domain) { look, header in
          guard let type = look.configuration?.type else { return }
          let guest = GuestType(rawValue: header.bytes.load(0, as: UInt32.self, header.order))
          let isHVM = type == "hvm" || type == "pvh"
          guard (guest == .x86HVM && type == "pv") || (guest == .x86PV && isHVM) else { return }
          look.report(
            header, "type", at: 0,
            "expected the type of config.c_info.type, \"\(type)\", got \(guest.name)")
        }),
      Rule(
        "domain-header.page-shift", .error, "Pages have 4096 bytes.",
        "Xen: tools/libs/guest/xg_sr_restore_x86_{pv,hvm}.c, setup",
        .header(.domain) { look, header in
          let shift = header.bytes.load(4, as: UInt16.self, header.order)
          guard shift != 12 else { return }
          look.report(header, "page_shift", at: 4, "expected 12, got \(shift)")
        }),
      Rule(
        "domain-header.reserved", .warning, "Reserved bytes are zero.",
        "Spec: libxc-migration-stream, Domain Header",
        .header(.domain) { look, header in look.reportReserved(header) }),
      Rule(
        "domain-header.converted", .note, "A Xen wrote the stream.",
        "Spec: libxc-migration-stream, Domain Header, xen_major",
        .header(.domain) { look, header in
          guard header.bytes.load(8, as: UInt32.self, header.order) == 0 else { return }
          look.report(
            header, "xen_major", at: 8, "expected a release, got 0: converted from a legacy stream")
        }),
      Rule(
        "domain-header.release", .note,
        "Releases since 4.14 write version 3 of the stream, older ones version 2.",
        "Spec: libxc-migration-stream, Image Header, version",
        .header(.domain) { look, header in
          let major = header.bytes.load(8, as: UInt32.self, header.order)
          let minor = header.bytes.load(12, as: UInt32.self, header.order)
          guard major != 0, let version = look.libxc.version else { return }
          let expected = (major, minor) < (4, 14) ? 2 : 3
          guard version != expected else { return }
          look.report(
            header, "xen_minor", at: 12,
            "expected a release that writes version \(version), got \(major).\(minor)")
        }),
    ]
}

extension VerificationContext {
  /// Reports the reserved bytes of a header that are not zero.
  func reportReserved(_ header: Header) {
    guard let wrong = nonZeroReserved(header.kind.fields, in: header.bytes) else { return }
    report(
      header, wrong.path, at: wrong.offset, "expected zero, got 0x\(wrong.bytes.hexDigits)")
  }
}

/// The configuration in the optional data of an xl header.
private struct ConfigData {
  /// config_len.
  let claimed: Int
  /// All optional data after config_len.
  let text: ArraySlice<UInt8>

  init?(_ header: Header) {
    let start = HeaderKind.xl.byteCount
    guard header.bytes.count >= start + 4 else { return nil }
    claimed = Int(header.bytes.load(start, as: UInt32.self, header.order))
    text = header.bytes[(start + 4)...]
  }

  /// How many bytes stand before its first NUL.
  var firstNUL: Int? {
    text.prefix(claimed).firstIndex(of: 0).map { $0 - text.startIndex }
  }
}

/// Reserved bytes of a table that are not zero: the first field of them. Chains are not looked into.
func nonZeroReserved(
  _ fields: some Sequence<Field>, in body: [UInt8]
) -> (path: String, offset: Int, bytes: ArraySlice<UInt8>)? {
  var offset = 0
  for field in fields {
    if case .array(let element, _) = field.kind {
      if let wrong = nonZeroReserved(element, of: field.name, from: offset, in: body) {
        return wrong
      }
    }
    guard let count = field.fixedByteCount, body.count - offset >= count else { return nil }
    let bytes = body[offset..<offset + count]
    if case .reserved = field.kind, bytes.contains(where: { $0 != 0 }) {
      return (field.name, offset, bytes)
    }
    offset += count
  }
  return nil
}

/// The same for the elements of an array from `start` to the end of the body.
private func nonZeroReserved(
  _ element: Field, of name: String, from start: Int, in body: [UInt8]
) -> (path: String, offset: Int, bytes: ArraySlice<UInt8>)? {
  guard case .group(let fields) = element.kind, let stride = element.fixedByteCount, stride > 0
  else { return nil }
  var reserved: [(name: String, offset: Int, count: Int)] = []
  var offset = 0
  for field in fields {
    let count = field.fixedByteCount ?? 0
    if case .reserved = field.kind { reserved.append((field.name, offset, count)) }
    offset += count
  }
  guard !reserved.isEmpty else { return nil }
  var base = start
  while body.count - base >= stride {
    for row in reserved {
      let bytes = body[(base + row.offset)..<(base + row.offset + row.count)]
      if bytes.contains(where: { $0 != 0 }) {
        return ("\(name)[\((base - start) / stride)].\(row.name)", base + row.offset, bytes)
      }
    }
    base += stride
  }
  return nil
}
