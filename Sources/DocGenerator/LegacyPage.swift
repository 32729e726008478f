// The page of the format of Xen 3.0 to 4.5.

internal import Bytes
internal import Format
internal import Legacy

extension FormatPage {
  static let legacy = FormatPage(
    name: "FormatLegacy", title: "The legacy stream",
    abstract: "What Xen 3.0 to 4.5 saved: chunks without lengths, in the words of the toolstack."
  ) { page in
    page.text(
      """
      There is no magic and no version. Numbers are little-endian; an `unsigned long` has the width
      of the toolstack that saved, 4 or 8 bytes, which only the first bytes betray: p2m_size is
      below 2^28, so the upper half of a 64-bit one is zero. The pictures are for 8 bytes.
      `xensave-lua convert` makes a stream of version 3 of it (<doc:FormatLibxc>).

      Before it an xl header without the flag `streamv2` (<doc:FormatXl>) may stand, or xend's front,
      whose magic is `LinuxGuestRecord`:
      """)
    page.rows(LegacyRows.xendFront + [.opaque("config")])
    page.heading(2, "Header")
    page.text(
      """
      All guests begin with p2m_size. In a PV guest's stream a signature and a length follow:
      """)
    page.rows(LegacyRows.head(.bits64) + LegacyRows.extendedHead(.bits64) + [.opaque("blocks")])
    page.heading(3, "A block")
    page.text(
      """
      `vcpu` holds the context of vCPU 0, whose length tells the guest's width; `extv` says that
      vCPUs have an extended context, `xcnt` how long their XSAVE state is.
      """)
    page.rows(LegacyRows.block + [.opaque("data")])
    page.text("After the blocks come the page numbers of the p2m table:")
    page.rows([.array("pfn", .rest, each: LegacyRows.pfn(.bits64))])
    page.heading(2, "Chunks")
    page.text(
      """
      A chunk begins with a signed number of 4 bytes. A positive one is a count of pages, at most
      1024; others are types:

      | number | name | what follows |
      |---|---|---|
      \(chunks)
      """)
    page.heading(3, "A batch of pages")
    page.text(
      """
      `count` entries of the toolstack's width, then the contents of the pages that have some. Bits
      31 to 28 of an entry are the type, bits 27 to 0 the page number; 0xF0000000 fills a place whose
      page could not be read.
      """)
    page.rows([
      Field("count", .signed(4)), .array("entry", .rest, each: LegacyRows.entry(.bits64)),
    ])
    page.pageTypes("The types are those of PAGE_DATA:")
    page.heading(3, "An HVM parameter")
    page.rows(LegacyRows.chunk + LegacyRows.hvmParam)
    page.heading(3, "TSC_INFO")
    page.rows(LegacyRows.chunk + LegacyRows.tscInfo)
    page.heading(3, "VCPU_INFO")
    page.text("One bit for each vCPU, in words of 64 bits.")
    page.rows(LegacyRows.chunk + LegacyRows.vcpuInfo + [LegacyRows.online])
    page.heading(3, "COMPRESSED_DATA")
    page.rows(LegacyRows.chunk + LegacyRows.compressedData(.bits64) + [.opaque("pages")])
    page.heading(3, "TOOLSTACK")
    page.rows(LegacyRows.chunk + LegacyRows.length + [.opaque("record")])
    page.heading(2, "Tail of a PV guest")
    page.text(
      """
      After END the pages that were not mapped:
      """)
    page.rows(
      LegacyRows.unmapped + [.array("pfn", .field("count"), each: LegacyRows.pfn(.bits64))])
    page.text(
      """
      For each online vCPU its context (5168 or 2800 bytes) and, where the header said that there are
      any, the extended context (128 bytes) and the XSAVE state:
      """)
    page.rows(LegacyRows.xsave + [.opaque("state")])
    page.text("Last comes the shared page. The structures: <doc:FormatPVState>.")
    page.heading(2, "Tail of an HVM guest")
    page.text("Three parameters, and the state that is HVM_CONTEXT now (<doc:FormatHVMContext>).")
    page.rows(LegacyRows.magicPFNs + LegacyRows.length + [.opaque("hvm_context")])
    page.text(
      """
      Then the device model's. The signature is one of these, and after the first of them no length
      stands: the state goes to the end of the file.
      \(LegacySignature.allCases.map { "`\($0.rawValue)`" }.joined(separator: ", ")).
      """)
    page.rows(LegacyRows.signature + LegacyRows.length + [.opaque("state")])
  }

  private static var chunks: String {
    (0...20).map { magnitude in
      let chunk = LegacyChunk(rawValue: -Int32(magnitude))
      return "| \(chunk.rawValue) | \(chunk.name) | \(contents(chunk)) |"
    }.joined(separator: "\n")
  }

  private static func contents(_ chunk: LegacyChunk) -> String {
    if let index = chunk.hvmParam {
      return "HVM parameter \(index)" + (HVMParams.names[index].map { ", \($0)" } ?? "")
    }
    switch chunk {
    case .end: return "nothing: the body ends, the tail follows"
    case .enableVerifyMode: return "nothing: from here on pages are compared"
    case .lastCheckpoint: return "nothing: no further checkpoint comes"
    case .enableCompression: return "nothing: pages of later checkpoints are compressed"
    case .compressedData: return "an unsigned long length; compressed pages"
    case .toolstack: return "u32 length; libxl's record of QEMU's memory map"
    case .vcpuInfo, .tscInfo: return "see below"
    case .tmem, .tmemExtra: return "transcendent memory; refused"
    default: return ""
    }
  }
}
