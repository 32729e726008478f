// The pages of the formats: words by hand, pictures and tables from the rows that the program reads
// and writes by.

internal import Bytes
internal import Format
internal import Legacy
internal import LuaAPI

/// A page of the documents about one format.
struct FormatPage: Sendable {
  /// The file's name without ".md".
  let name: String
  let title: String
  /// One sentence under the title.
  let abstract: String
  let write: @Sendable (inout FormatSection) -> Void

  /// All pages, outer layers first.
  static let all: [FormatPage] = [
    xl, libxl, libxc, pvState, hvmContext, draftB, legacy, libvirt, xenopsd, wire,
  ]

  static func named(_ name: String) -> FormatPage? { all.first { $0.name == name } }

  var text: String {
    var section = FormatSection()
    write(&section)
    return """
      # \(title)

      \(abstract)

      ## Overview

      Pictures and tables on this page are made from the tables that the program reads and writes by
      (`scripts/docs`). Offsets and lengths are in bytes; `0x` marks hexadecimal.
      \(section.out)
      """
  }

  // MARK: - Outer layers

  static let xl = FormatPage(
    name: "FormatXl", title: "The xl header",
    abstract: "What `xl save` puts before the libxl stream: a magic and the domain's configuration."
  ) { page in
    page.text(
      """
      All numbers have the byte order of the saver's CPU; `byteorder` tells which it is. In
      `mandatory_flags` a reader must know every bit: without `streamv2` a legacy stream follows
      (<doc:FormatLegacy>), with it a libxl stream (<doc:FormatLibxl>). `xl migrate` sends the same
      header.
      """)
    page.header(.xl)
    page.heading(2, "Optional data")
    page.text(
      """
      `optional_data_len` bytes. xl writes the configuration into them: with the flag `json` as
      JSON with one NUL after it, else as the text of a configuration file. `config_len` counts the
      NUL. Scripts find the JSON as `img.config`; a change of a value changes its bytes only.
      """)
    page.rows([.u32("config_len").unit("bytes").doc("With the NUL."), .opaque("config")])
  }

  static let libvirt = FormatPage(
    name: "FormatLibvirt", title: "libvirt's header",
    abstract: "What `virsh save` with the libxl driver puts before the stream: the domain's XML."
  ) { page in
    page.text(
      """
      Little-endian on x86. The XML, `xml_len` bytes with its NUL, follows the rows; after it comes
      a libxl stream (`version` 2, see <doc:FormatLibxl>). There is no xl header and no JSON: the
      configuration that a restore takes is the XML. Paths and scripts find it as `xml`: `xml.name`,
      `xml.devices.disk[0].source@file`, `img.xml.name`; a change of a text changes its bytes and
      `xml_len` only. libvirt takes a `version` up to 2 and an `xml_len` of 1 at least, and reads the XML
      as a C string: its NUL counts. `convert --to xl` makes an image that `xl restore` takes, with a
      configuration of xl's (`wrap --in xl --config FILE`) or beside one.
      """)
    page.header(.libvirt)
  }

  static let xenopsd = FormatPage(
    name: "FormatXenopsd", title: "The suspend image of xenopsd",
    abstract: "XenServer's and XCP-ng's outer layer: records around a libxc stream."
  ) { page in
    page.text(
      """
      After the signature come records: two 64-bit little-endian integers, type and length, then the
      body without padding. The record Libxc is a marker: its length means nothing, and a libxc
      stream (<doc:FormatLibxc>) follows to its own END. There is no libxl stream: the state of the
      device model is a record of its own, Qemu_trad whichever QEMU it is. Demu is a marker, too, of a
      stream whose end only its emulator knows: what follows it is kept, but not looked at. Paths and
      scripts find what the Xenops record says as `xenops`: `xenops.vm_str.name`, `img.xenops.time`.
      UEFI variables are found by name: `Varstored.variables["SecureBoot"].data`.

      XAPI keeps it on a disk of its own, the VM's suspend-VDI, from the first byte on. That disk is larger
      (26 % more than the memory, and 100 MiB): after End_of_image come zeros, or what was there before, and
      readers stop there. Commands take the disk itself as dom0 has it attached, or a raw copy of it
      (`xe vdi-export format=raw`). What follows End_of_image is a note of `verify`, and left out of what is
      written; only a pipe is passed on whole. An image that a suspend did not finish ends in zeros, which is
      an error. An edit in place keeps the length of the copy, and on a disk itself only edits that change no
      length can be made. A VHD or qcow2 has to be made raw first (`qemu-img convert -O raw`), and an image
      that is to be imported (`xe vdi-import format=raw`) or attached has to be whole sectors long:
      `truncate -s %2M IMAGE`.
      """)
    page.header(.xenopsd)
    page.heading(2, "Records")
    page.framing(.xenopsd)
    for layout in XenopsdRecords.all { page.record(layout) }
  }

  // MARK: - Streams

  static let libxl = FormatPage(
    name: "FormatLibxl", title: "The libxl stream",
    abstract: "Version 2: a header, the libxc stream as one record, and the device model's state."
  ) { page in
    page.text(
      """
      The header is big-endian; `endianness` in its options says what the records are (0: little).
      A body is filled up with zeros to a multiple of 8 bytes. Records have numbers of their own:
      END is 0 here as in the libxc stream. A reader refuses records that it does not know, also
      those with bit 31 set.

      LIBXC_CONTEXT comes first and says that a libxc stream (<doc:FormatLibxc>) follows at once, to
      its own END. Then come the records of the emulator of an HVM guest, and END. In a checkpointed
      stream CHECKPOINT_END stands where END would; libxc's records of the next checkpoint follow it
      at once.
      """)
    page.header(.libxl)
    page.heading(2, "Records")
    page.framing(.plain)
    for layout in LibxlRecords.all { page.record(layout) }
    page.text(
      """
      The state in EMULATOR_CONTEXT belongs to QEMU: big-endian, `QEVM`, a version, then sections
      with the device's name, instance and version. How long a section is stands nowhere.
      """)
  }

  static let libxc = FormatPage(
    name: "FormatLibxc", title: "The libxc stream",
    abstract: "Versions 2 and 3 of the stream of records that holds memory and state of the guest."
  ) { page in
    page.text(
      """
      The image header is big-endian; `endianness` in its options says what all that follows is
      (0: little). State that is the guest's or Xen's own is little-endian in any case. A body is
      filled up with zeros to a multiple of 8 bytes.

      Version 3 (Xen 4.14) has STATIC_DATA_END and the policies before it; version 2 (Xen 4.6 to
      4.13) has none of the three. What xensave-lua checks of the order: `xensave-lua verify --rules`.
      """)
    page.header(.image)
    page.header(.domain)
    page.heading(2, "Records")
    page.framing(.plain)
    page.text(
      "Bit 31 of the type marks a record as optional: a reader that does not know it passes it over."
    )
    for layout in LibxcRecords.all {
      switch layout.type {
      case .hvmContext:
        page.record(layout, isBrief: true)
        page.text("Its entries have a page of their own: <doc:FormatHVMContext>.")
      case .x86PVVCPUBasic, .x86PVVCPUExtended, .x86PVVCPUXsave, .sharedInfo:
        page.record(layout, isBrief: true)
        page.text("Its rows are on the page of the state of PV guests: <doc:FormatPVState>.")
      case .pageData:
        page.record(layout)
        page.pageTypes(
          "The contents of the pages follow the entries, \(pageByteCount) bytes each, in their order:"
            + " none for BROKEN, XALLOC and XTAB.")
      default: page.record(layout)
      }
    }
  }

  static let pvState = FormatPage(
    name: "FormatPVState", title: "State of PV guests",
    abstract: "The bodies of the libxc records that hold a PV guest's vCPUs and its shared page."
  ) { page in
    page.text(
      """
      Structures of Xen's public headers with the padding of C, little-endian. Their form depends on
      the guest's width, which X86_PV_INFO says. Page-table addresses and frame lists hold page
      numbers of the guest, not of the machine. The records themselves: <doc:FormatLibxc>.
      """)
    for layout in LibxcRecords.all
    where [
      .x86PVVCPUBasic, .x86PVVCPUExtended, .x86PVVCPUXsave, .sharedInfo,
    ].contains(layout.type) { page.record(layout) }
    page.heading(3, "Start info, 64-bit guests")
    page.text("A page of memory and no record: register `rdx` of vCPU 0 names it.")
    page.rows(X86PVState.startInfo64)
    page.heading(3, "Start info, 32-bit guests")
    page.rows(X86PVState.startInfo32)
  }

  static let hvmContext = FormatPage(
    name: "FormatHVMContext", title: "HVM_CONTEXT",
    abstract: "Xen's own state of an HVM or PVH guest: entries for vCPUs and platform devices."
  ) { page in
    page.text(
      """
      The body of a libxc record (<doc:FormatLibxc>), little-endian. Each entry has a head; the next
      one follows its `length` bytes at once, without padding. The first is HEADER, the last END.
      An entry that is shorter than Xen's own structure comes from an older release: where Xen takes
      it, what is missing is zero.
      """)
    page.rows([
      .u16("typecode"), .u16("instance").doc("The vCPU or the device."),
      .u32("length").unit("bytes"),
      .opaque("data"),
    ])
    page.heading(2, "Entries")
    for entry in HVMRecords.all { page.entry(entry) }
  }

  static let draftB = FormatPage(
    name: "FormatDraftB", title: "Draft B",
    abstract: "Version 1 of the image header: the format as it was proposed in February 2014."
  ) { page in
    page.text(
      """
      No release of Xen wrote it. Of its text the image header, the domain header's first fields, the
      header and checksum of records, VCPU_INFO and the entries of PAGE_DATA are known; the rest is
      taken from the final specification (<doc:FormatLibxc>), and the table says which is which.
      Entries of PAGE_DATA have a page number of 60 bits.
      """)
    page.header(.image)
    page.header(.draftDomain)
    page.heading(2, "Records")
    page.framing(.draftB)
    page.text(
      """
      Bit 0 of `options` says that the checksum is valid: a CRC-32 of the body and its padding.

      | number | record | from |
      |---|---|---|
      \(DraftB.rows.map { "| \($0.wireValue.hex()) | \($0.type.name) | \($0.origin == .text ? "the draft" : "the final format") |" }.joined(separator: "\n"))
      """)
    for layout in DraftB.records {
      page.record(layout, isBrief: layout.type == .vcpuContext)
      if layout.type == .vcpuContext {
        page.text("The rows are those of X86_PV_VCPU_BASIC: <doc:FormatPVState>.")
      }
    }
  }
}

// MARK: - Parts of pages

extension FormatSection {
  mutating func header(_ kind: HeaderKind) {
    heading(2, kind.title.prefix(1).uppercased() + kind.title.dropFirst())
    text(
      "\(kind.byteCount) bytes\(kind == .xl || kind == .libvirt ? " and what follows them" : "").")
    rows(kind.fields)
  }

  /// The bytes around a body.
  mutating func framing(_ framing: RecordFraming) {
    func headField(_ name: String) -> Field {
      Field(name, .unsigned(framing.headFieldByteCount))
    }
    var fields = [
      headField("type").hex, headField("length").unit("bytes").doc("Of the body, without padding."),
    ]
    let rest = framing.headByteCount - 2 * framing.headFieldByteCount
    if rest > 0 { fields += [.x16("options"), .reserved(rest - 2)] }
    fields.append(.opaque("body"))
    rows(fields)
    if framing.alignment > 1 {
      text("Zeros fill the body up to a multiple of \(framing.alignment) bytes.")
    }
    if framing.hasChecksum {
      text("After them:")
      rows([.x32("checksum"), .reserved(framing.footerByteCount - 4)])
    }
  }

  mutating func record(_ layout: RecordSchema, isBrief: Bool = false) {
    heading(3, "\(layout.name) (\(layout.type.wireValue.hex()))")
    var facts = [layout.doc, "Body: \(layout.length.description)."]
    switch layout.guests {
    case .any: break
    case .pv: facts.append("PV guests only.")
    case .hvm: facts.append("HVM and PVH guests only.")
    }
    if layout.since > 2 { facts.append("Since version \(layout.since).") }
    if layout.mayBeEmpty { facts.append("Empty in streams of Xen 4.6 to 4.8: to be ignored.") }
    text(facts.joined(separator: " "))
    guard !isBrief else { return }
    for form in layout.forms {
      switch form.condition {
      case .always where layout.forms.count > 1: text("In all other bodies:")
      case .always: break
      case .bodyByteCount(let count): text("In a body of \(count) bytes:")
      case .guestWidth(let width): text("Where `guest_width` is \(width):")
      }
      rows(form.fields)
    }
  }

  mutating func entry(_ entry: EntrySchema) {
    heading(3, "\(entry.name) (\(entry.type))")
    var facts = [entry.doc]
    let lengths = entry.history.map { length in
      length.sinceMinor == 0
        ? "\(length.byteCount) bytes" : "\(length.byteCount) since Xen 4.\(length.sinceMinor)"
    }
    facts.append(
      lengths.isEmpty
        ? "The length varies." : "Length: \(lengths.joined(separator: ", ")).")
    if entry.mayBeShorter { facts.append("Xen takes shorter ones.") }
    text(facts.joined(separator: " "))
    rows(entry.fields)
    for (count, fields) in entry.forms.sorted(by: { $0.key < $1.key }) {
      text("In an entry of \(count) bytes:")
      rows(fields)
    }
  }

  mutating func pageTypes(_ note: String) {
    var lines = "| type | name | contents follow |\n|---|---|---|\n"
    for value in 0..<16 {
      let type = PageType(rawValue: UInt8(value))
      let data = type.isReserved ? "(refused)" : type.hasData ? "yes" : "no"
      lines += "| \(value) | \(type.name) | \(data) |\n"
    }
    text(note)
    text(lines)
  }
}
