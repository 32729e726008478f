// Rules for xenopsd's suspend images and for libvirt's header.

internal import Bytes
internal import Format
internal import ImageEdit
internal import Markup
internal import Stream

extension Rule {
  private static let restore = "xenopsd: xc/domain.ml, restore"
  private static let suspendImage = "xenopsd: lib/suspend_image.ml"
  private static let opening = "libvirt: src/libxl/libxl_domain.c, libxlDomainSaveImageOpen"

  static let xenopsd: [Rule] = [
    Rule(
      "xenopsd.unknown", .error, "A record of a suspend image is one that xenopsd knows.",
      suspendImage + ", header_type_of_int64: it refuses others",
      .layer(.xenopsd) { look, record in
        guard look.layout == nil else { return }
        look.report(
          record, "type", at: -16,
          "expected a record that xenopsd knows, got \(record.type.wireValue.hex()): it refuses others"
        )
      }),
    Rule(
      "xenopsd.qemu-xen", .error, "QEMU's state is in Qemu_trad, whichever QEMU it is.",
      restore + " (Qemu_xen is refused)",
      .record([.qemuXen]) { look, record in
        look.report(
          record, "type", at: -16,
          "expected Qemu_trad (0xf00), got Qemu_xen: a restore refuses it")
      }),
    Rule(
      "xenopsd.qemu-length", .error, "QEMU's state has 1 MiB at most.", restore,
      .record([.qemuTrad, .qemuXen]) { look, record in
        guard record.length > 1 << 20 else { return }
        look.report(
          record, "length", at: -8, "expected at most \(1 << 20) bytes, got \(record.length)")
      }),
    Rule(
      "xenopsd.xenops", .error, "The Xenops record is the S-expression of what xenopsd knows.",
      suspendImage + ", Xenops_record.of_string",
      .record([.xenops]) { look, record in
        guard let text = DomainText.text(record) else { return }
        do throws(MarkupError) {
          for problem in problems(inXenops: try SExpression(text)) {
            look.report(record, "data", at: 0, problem)
          }
        } catch {
          look.report(record, "data", at: error.offset, error.problem)
        }
      }),
    Rule(
      "xenopsd.xenops-size", .warning, "The Xenops record is short enough to be looked at.",
      "Rationale: the limit is ours; xenopsd writes a few KiB",
      .record([.xenops]) { look, record in
        guard record.payloadByteCount > 0 else { return }
        look.report(
          record, "length", at: -8,
          "expected a few KiB, got \(record.length) bytes: the text was not looked at")
      }),
    Rule(
      "xenopsd.varstored", .warning, "Varstored holds the list of a guest's UEFI variables.",
      "varstored: xapidb-lib.c, xapidb_parse_blob",
      .record([.varstored]) { look, record in
        guard record.payloadByteCount == 0, UEFIVariables(record.body) == nil else { return }
        look.report(
          record, "variables", at: 0,
          "expected VARS, a count and as many variables, got 0x\(record.body.prefix(24).hexDigits)")
      }),
    Rule(
      "xenopsd.swtpm", .warning, "Swtpm is base64, with spaces between its texts.",
      suspendImage + "i, Swtpm",
      .record([.swtpm]) { look, record in
        guard record.payloadByteCount == 0,
          let wrong = record.body.firstIndex(where: { !Rule.isBase64($0) })
        else { return }
        look.report(
          record, "data", at: wrong, "expected base64, got 0x\([record.body[wrong]].hexDigits)")
      }),
    Rule(
      "xenopsd.demu", .note, "What follows the state of a virtual GPU is not looked at.",
      "xenopsd: xc/domain.ml, suspend (Demu has no length, and its emulator alone knows its end)",
      .trailing { look, trailing in
        guard trailing.kind == .opaque else { return }
        look.report(
          offset: trailing.offset, place: "Demu", "",
          "expected what has a length, got the state of a virtual GPU: the rest was not looked at")
      }),
    Rule(
      "xenopsd.no-libxc", .error, "A suspend image holds a libxc stream.", restore,
      .image { look in
        guard look.imageSummary.headers[.xenopsd] != nil, look.imageSummary.ending == .end,
          look.imageSummary.count(.xenopsdLibxc) == 0
        else { return }
        look.report(offset: look.imageSummary.byteCount, place: "", "", "expected Libxc, got none")
      }),
    Rule(
      "xenopsd.second-libxc", .error, "A suspend image holds one libxc stream.",
      restore + " (emu-manager reads one and ends: the restore waits for ever)",
      .record([.xenopsdLibxc]) { look, record in
        guard look.imageSummary.count(.xenopsdLibxc) > 0 else { return }
        look.report(record, "type", at: -16, "expected one Libxc, got a second one")
      }),
  ]

  /// What xenopsd refuses in the text of a Xenops record: the type of the record there has these fields.
  private static func problems(inXenops said: SExpression) -> [String] {
    var problems: [String] = []
    let fields = said.children(of: MarkupPath([]))
    let vm = MarkupPath([.name("vm_str")])
    let store = MarkupPath([.name("xs_subtree")])
    for name in ["time", "word_size"] where said.text(at: name) == nil {
      problems.append("expected \(name), got none")
    }
    if let size = said.text(at: "word_size"), !isIntegerOfOCaml(size) {
      problems.append("word_size: expected an integer, got \(Array(size.utf8).printable)")
    }
    if said.isList(at: vm) { problems.append("vm_str: expected text, got a list") }
    if fields.contains(store), !said.isListOfPairs(at: store) {
      problems.append("xs_subtree: expected a list of pairs of texts, got something else")
    }
    for field in fields.map(\.description)
    where !["time", "word_size", "vm_str", "xs_subtree"].contains(field) {
      problems.append(
        "expected time, word_size, vm_str and xs_subtree only, got \(Array(field.utf8).printable)")
    }
    return problems
  }

  /// Whether OCaml's int_of_string takes the text: a sign, "0x", "0o", "0b" or "0u", then digits with "_"
  /// between them, in 63 bits. OCaml: runtime/ints.c, parse_intnat.
  static func isIntegerOfOCaml(_ text: String) -> Bool {
    var digits = text.utf8.dropFirst(0)
    let isNegative = digits.first == UInt8(ascii: "-")
    if isNegative || digits.first == UInt8(ascii: "+") { digits.removeFirst() }
    var (base, limit): (UInt64, UInt64) = (10, isNegative ? 1 << 62 : 1 << 62 - 1)
    if digits.first == UInt8(ascii: "0"), let letter = digits.dropFirst().first,
      let other = [
        UInt8(ascii: "x"): 16, UInt8(ascii: "o"): 8, UInt8(ascii: "b"): 2, UInt8(ascii: "u"): 10,
      ][
        letter | 0x20] as UInt64?
    {
      (base, limit) = (other, 1 << 63 - 1)
      digits = digits.dropFirst(2)
    }
    guard digits.first != UInt8(ascii: "_"), !digits.isEmpty else { return false }
    var value: UInt64 = 0
    for byte in digits where byte != UInt8(ascii: "_") {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, digit < base else {
        return false
      }
      let (product, isOver) = value.multipliedReportingOverflow(by: base)
      let (sum, isOverToo) = product.addingReportingOverflow(UInt64(digit))
      guard !isOver, !isOverToo else { return false }
      value = sum
    }
    return value <= limit
  }

  /// Letters, digits, "+", "/", "=" and white space.
  private static func isBase64(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2B, 0x2F, 0x3D, 0x20, 0x0A, 0x0D: true
    default: false
    }
  }

  static let libvirtHeader: [Rule] = [
    Rule(
      "libvirt-header.xml-length", .error, "The XML has a byte at least.", opening,
      .header(.libvirt) { look, header in
        guard header.bytes.load(20, as: UInt32.self, header.order) == 0 else { return }
        look.report(header, "xml_len", at: 20, "expected at least 1, got 0")
      }),
    Rule(
      "libvirt-header.xml-end", .error,
      "The XML ends with a NUL: libvirt parses it as a C string.", opening,
      .header(.libvirt) { look, header in
        guard header.bytes.count > 64, let last = header.bytes.last, last != 0 else { return }
        look.report(
          header, "xml", at: header.bytes.count - 1,
          "expected a NUL at the end, got \(last.hex(2)): libvirt reads after it")
      }),
    Rule(
      "libvirt-header.xml-nul", .warning,
      "Nothing follows the XML and its NUL but zeros, which are room for it.", opening,
      .header(.libvirt) { look, header in
        let xml = header.bytes.dropFirst(64)
        guard let first = xml.firstIndex(of: 0),
          let next = xml[first...].firstIndex(where: { $0 != 0 })
        else { return }
        look.report(
          header, "xml", at: next,
          "expected zeros after the NUL at \(first), got \(header.bytes[next].hex(2))")
      }),
    Rule(
      "libvirt-header.xml", .error, "The XML is that of a domain.",
      "libvirt: src/conf/domain_conf.c, virDomainDefParseString; the limits are ours",
      .header(.libvirt) { look, header in
        guard let text = DomainText.text(header) else { return }
        do throws(MarkupError) {
          let document = try XMLDocument(text)
          guard document.rootName != "domain" else { return }
          look.report(
            header, "xml", at: 64,
            "expected <domain>, got <\(Array(document.rootName.utf8).printable)>")
        } catch {
          look.report(header, "xml", at: 64 + error.offset, error.problem)
        }
      }),
    Rule(
      "libvirt-header.name", .warning, "The XML gives the domain a name.",
      "libvirt: src/conf/domain_conf.c, virDomainDefParseIDs",
      .header(.libvirt) { look, header in
        guard let text = DomainText.text(header), let document = try? XMLDocument(text),
          document.text(at: "name") ?? "" == ""
        else { return }
        look.report(header, "xml.name", at: 64, "expected a name, got none")
      }),
    Rule(
      "libvirt-header.config-type", .error,
      "The XML's type is the stream's: an HVM stream restores into an HVM or PVH domain.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_{pv,hvm}.c, setup",
      .header(.domain) { look, header in
        guard let text = look.imageSummary.texts[.xml]?.text,
          let type = DomainFacts(.xml, text)?.type
        else { return }
        let guest = GuestType(rawValue: header.bytes.load(0, as: UInt32.self, header.order))
        guard (guest == .x86HVM && type == "pv") || (guest == .x86PV && type != "pv") else {
          return
        }
        look.report(
          header, "type", at: 0, "expected the type of xml.os.type, \"\(type)\", got \(guest.name)")
      }),
    Rule(
      "libvirt-header.unused", .note, "Unused bytes are zero.",
      "libvirt: src/libxl/libxl_conf.h, struct _libxlSavefileHeader",
      .header(.libvirt) { look, header in look.reportReserved(header) }),
  ]
}
