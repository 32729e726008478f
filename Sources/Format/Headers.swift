// The headers that a saved domain can begin with, as rows like any record.

internal import Bytes

/// A header of one of the layers.
public enum HeaderKind: String, Sendable, Hashable, CaseIterable {
  /// The xl header with its optional data. Xen: tools/xl/xl.h, struct save_file_header.
  case xl
  /// The libxl stream header. Spec: libxl-migration-stream, Stream Header.
  case libxl
  /// The libxc image header. Spec: libxc-migration-stream, Image Header.
  case image
  /// The libxc domain header. Spec: libxc-migration-stream, Domain Header.
  case domain
  /// libvirt's header of a saved domain, with its XML. libvirt: src/libxl/libxl_conf.h,
  /// struct _libxlSavefileHeader.
  case libvirt
  /// The signature of xenopsd's suspend image. xenopsd: doc/suspend-image-framing-format.
  case xenopsd
  /// The domain header of draft B: arch and type from its text, the rest inferred from the final
  /// one.
  case draftDomain = "draft_domain"

  /// "image header", for messages.
  public var title: String {
    self == .draftDomain ? "domain header of draft B" : "\(rawValue) header"
  }

  /// Bytes of the fixed part.
  public var byteCount: Int {
    switch self {
    case .xl: 48
    case .libxl, .domain: 16
    case .image: 24
    case .libvirt: 64
    case .xenopsd: 15
    case .draftDomain: 8
    }
  }

  /// The rows. The xl header's optional data and libvirt's XML follow their rows.
  public var fields: [Field] {
    switch self {
    case .xl: HeaderKind.xlFields
    case .libxl: HeaderKind.libxlFields
    case .image: HeaderKind.imageFields
    case .domain: HeaderKind.domainFields
    case .libvirt: HeaderKind.libvirtFields
    case .xenopsd: [.bytes("signature", 15)]
    case .draftDomain: HeaderKind.draftDomainFields
    }
  }

  ///      0     1     2     3     4     5     6     7 byte
  ///     +-------------------------------------------------+
  ///     | magic, 32 bytes                                |
  ///     +-----------------------+-------------------------+
  ///     | byteorder             | mandatory_flags         |
  ///     +-----------------------+-------------------------+
  ///     | optional_flags        | optional_data_len       |
  ///     +-----------------------+-------------------------+
  ///     | config_len (of JSON and its NUL)  | config ...  |
  private static let xlFields: [Field] = [
    .bytes("magic", 32), .x32("byteorder").doc("0x01020304 as the saver's CPU writes it."),
    .x32("mandatory_flags").bits([.init("json", 0), .init("streamv2", 1)])
      .doc("What a reader must understand."),
    .x32("optional_flags"), .u32("optional_data_len").unit("bytes"),
    .opaque("optional_data"),
  ]

  ///     +-------------------------------------------------+
  ///     | ident "LibxlFmt"                                |
  ///     +-----------------------+-------------------------+
  ///     | version               | options                 |
  ///     +-----------------------+-------------------------+
  private static let libxlFields: [Field] = [
    .x64("ident"), .u32("version"),
    .x32("options").bits([.init("endianness", 0), .init("legacy", 1)]),
  ]

  ///     +-------------------------------------------------+
  ///     | marker 0xFFFFFFFFFFFFFFFF                       |
  ///     +-----------------------+-------------------------+
  ///     | id "XENF"             | version                 |
  ///     +-----------+-----------+-------------------------+
  ///     | options   | (reserved)                          |
  ///     +-----------+-------------------------------------+
  private static let imageFields: [Field] = [
    .x64("marker"), .x32("id"), .u32("version"),
    .x16("options").bits([.init("endianness", 0)]), .reserved(6),
  ]

  ///     +-----------------------+-----------+-------------+
  ///     | type                  | page_shift| (reserved)  |
  ///     +-----------------------+-----------+-------------+
  ///     | xen_major             | xen_minor               |
  ///     +-----------------------+-------------------------+
  private static let domainFields: [Field] = [
    .u32("type").enumeration([1: "x86_pv", 2: "x86_hvm"]), .u16("page_shift"), .reserved(2),
    .u32("xen_major").doc("Release of the saver's Xen; 0 where a converter made the stream."),
    .u32("xen_minor"),
  ]

  ///     +-----------------------+-----------+-------------+
  ///     | magic, 16 bytes                                |
  ///     +-----------------------+-------------------------+
  ///     | version               | xml_len                 |
  ///     +-----------------------+-------------------------+
  ///     | unused, 40 bytes                               |
  ///     +-------------------------------------------------+
  ///     | XML and its NUL ...                             |
  private static let libvirtFields: [Field] = [
    .bytes("magic", 16), .u32("version").doc("1: a legacy stream follows; 2: a libxl stream."),
    .u32("xml_len").unit("bytes").doc("With the NUL at its end."), .reserved(40, "unused"),
    Field.opaque("xml").asText.doc(
      "The domain as libvirt describes it; `xml` in paths and scripts."),
  ]

  ///     +-----------+-----------+-----------+-------------+
  ///     | arch      | type      | page_shift| (reserved)  |
  ///     +-----------+-----------+-----------+-------------+
  private static let draftDomainFields: [Field] = [
    .u16("arch").enumeration([1: "x86", 2: "arm"]),
    .u16("type").enumeration([1: "x86_pv", 2: "x86_hvm"]).doc("x86_hvm is inferred."),
    .u16("page_shift"), .reserved(2),
  ]
}

/// The numbers that tell the formats apart.
public enum Magic {
  /// "Xen saved domain, xl format\n \0 \r".
  public static let xl: [UInt8] = Array("Xen saved domain, xl format\n \0 \r".utf8)
  public static let xlByteOrder: UInt32 = 0x0102_0304
  /// "LibxlFmt", big-endian.
  public static let libxl: UInt64 = 0x4C69_6278_6C46_6D74
  /// "XENF", big-endian.
  public static let image: UInt32 = 0x5845_4E46
  /// "libvirt-xml\n \0 \r".
  public static let libvirt: [UInt8] = Array("libvirt-xml\n \0 \r".utf8)
  /// "XenSavedDomv2-\n".
  public static let xenopsd: [UInt8] = Array("XenSavedDomv2-\n".utf8)
}

/// What the first bytes of a file or pipe say it is.
public enum Container: Sendable, Equatable {
  case xl, libxl, libxc, libvirt, xenopsd
  /// A format that is recognised but not read: its name for the message.
  case other(String)
  /// Too few bytes to be anything.
  case tooShort

  /// Bytes that detection wants to see.
  public static let peekByteCount = 32

  /// Spec: none covers all of them; each test is the first bytes that its writer puts there.
  public init(_ first: [UInt8]) {
    func begins(_ text: String) -> Bool { first.starts(with: text.utf8) }
    if first.starts(with: Magic.xl) {
      self = .xl
    } else if begins("LibxlFmt") {
      self = .libxl
    } else if first.count >= 12, first[0..<8].allSatisfy({ $0 == 0xFF }) {
      let id = first.load(8, as: UInt32.self, .big)
      self = id == Magic.image ? .libxc : .other("an image header with id \(id.hex(8))")
    } else if first.starts(with: Magic.libvirt) {
      self = .libvirt
    } else if first.starts(with: Magic.xenopsd) {
      self = .xenopsd
    } else if begins("XenSavedDomain\n") {
      self = .other("a xenopsd legacy suspend image")
    } else if begins("QEVM") {
      self = .other("bare QEMU device state")
    } else if begins("xenstore") {
      self = .other("a xenstore migration stream")
    } else if first.count < 12 || Magic.xl.starts(with: first) {
      self = .tooShort
    } else if begins("Xen saved domain") {
      self = .other("an xl header with an unknown tail of its magic")
    } else if first.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
      self = .other("zstd-compressed data (decompress it first: zstd -d)")
    } else if first.starts(with: [0x1F, 0x8B]) {
      self = .other("gzip-compressed data (decompress it first: gzip -d)")
    } else if let name = Container.foreign(first) {
      self = .other(name)
    } else if let legacy = Container.legacy(first) {
      self = .other(legacy)
    } else {
      self = .other(Container.unknownName)
    }
  }

  /// What `Container` calls bytes that are nothing it knows.
  public static let unknownName = "no format of saved domains"

  /// Formats that people mistake for saved domains, by the magic at the start of the file.
  private static func foreign(_ first: [UInt8]) -> String? {
    foreignMagics.first { first.starts(with: $0.magic) }?.name
  }

  /// The name of a disk image, which holds what it holds in blocks.
  private static func disk(_ format: String) -> String {
    "a \(format) disk image (make it a raw one first: qemu-img convert -O raw)"
  }

  private static let foreignMagics: [(magic: [UInt8], name: String)] = [
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], "xz-compressed data (decompress it first: xz -d)"),
    (Array("BZh".utf8), "bzip2-compressed data (decompress it first: bzip2 -d)"),
    ([0x04, 0x22, 0x4D, 0x18], "lz4-compressed data (decompress it first: lz4 -d)"),
    ([0x89, 0x4C, 0x5A, 0x4F], "lzop-compressed data (decompress it first: lzop -d)"),
    ([0x50, 0x4B, 0x03, 0x04], "a zip archive (unpack it first)"),
    ([0x7F, 0x45, 0x4C, 0x46], "an ELF file (a core dump or a program)"),
    ([0x45, 0x4D, 0x69, 0x4C], "a LiME memory dump"),
    (Array("QFI\u{FB}".unicodeScalars.map { UInt8($0.value) }), disk("qcow2")),
    (Array("conectix".utf8), disk("VHD")), (Array("cxsparse".utf8), disk("VHD")),
    (Array("vhdxfile".utf8), disk("VHDX")), (Array("KDMV".utf8), disk("VMDK")),
    // VirtualBox's, which XAPI's VDIs have only the name in common with.
    (Array("<<< Oracle VM VirtualBox".utf8), disk("VDI")),
    (Array("<<< QEMU VM Virtual Disk".utf8), disk("VDI")),
    // The first file in the archive that an XVA is.
    (
      Array("ova.xml\0".utf8),
      "an XVA export of XAPI, whose disks are in chunks (xe vdi-export format=raw gives one whole)"
    ),
    (Array("LibvirtQemudSave".utf8), "a save file of libvirt's QEMU driver"),
    (Array("LibvirtQemudPart".utf8), "an unfinished save file of libvirt's QEMU driver"),
  ]

  /// Whether the bytes are printable ASCII or white space.
  public static func isText(_ bytes: [UInt8]) -> Bool {
    bytes.allSatisfy { (0x20...0x7E).contains($0) || (0x09...0x0D).contains($0) }
  }

  /// Where in `bytes` a header of a saved domain begins, and its name; nil where none does. For
  /// images after text that another program wrote before them.
  public static func search(_ bytes: [UInt8]) -> (offset: Int, name: String)? {
    let image: [UInt8] = [UInt8](repeating: 0xFF, count: 8) + Array("XENF".utf8)
    let magics: [(magic: [UInt8], name: String)] = [
      (Magic.xl, "an xl header"), (Array("LibxlFmt".utf8), "a libxl header"),
      (image, "a libxc header"), (Magic.libvirt, "a libvirt header"),
      (Magic.xenopsd, "a xenopsd signature"),
    ]
    for offset in bytes.indices {
      let rest = bytes[offset...]
      if let found = magics.first(where: { rest.starts(with: $0.magic) }) {
        return (offset, found.name)
      }
    }
    return nil
  }

  /// A legacy libxc stream begins with p2m_size, an unsigned long of the toolstack: small, so its
  /// upper bytes are zero. Xen: RELEASE-4.5.0 tools/libxc/xc_domain_restore.c.
  private static func legacy(_ first: [UInt8]) -> String? {
    let low = first.load(0, as: UInt32.self)
    guard low != 0, low < 1 << 28 else { return nil }
    let high = first.load(4, as: UInt32.self)
    if high == 0 {
      return
        "a legacy libxc stream (Xen 4.5 or older, 64-bit toolstack; xensave-lua convert makes a version 3 stream of it)"
    }
    // 32-bit toolstack: the next word is a chunk: a page count of 1..1024, or a negative marker.
    if (1...1024).contains(high) || high >= 0xFFFF_FFE0 {
      return
        "a legacy libxc stream (Xen 4.5 or older, 32-bit toolstack; xensave-lua convert makes a version 3 stream of it)"
    }
    return nil
  }
}
