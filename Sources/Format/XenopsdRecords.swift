// All records of xenopsd's suspend image. xenopsd: doc/suspend-image-framing-format and
// lib/suspend_image.ml (XenServer, XCP-ng).

/// The record types of a suspend image. To add one, add its row here.
public enum XenopsdRecords {
  public static let all: [Layout] = [
    row(.xenops, "Xenops", "What xenopsd knows of the domain, as S-expressions.", "data"),
    row(.xenopsdLibxc, "Libxc", "A libxc stream follows, without a length."),
    row(.libxlOfXenopsd, "Libxl", "A libxl stream follows (never implemented)."),
    row(.libxcLegacy, "Libxc_legacy", "A legacy libxc stream follows, without a length."),
    row(.qemuTrad, "Qemu_trad", "State of qemu-traditional.", "data"),
    row(.qemuXen, "Qemu_xen", "State of upstream QEMU.", "data"),
    row(RecordType(.xenopsd, 0xF10), "Demu", "State of the emulator of a virtual GPU.", "data"),
    row(RecordType(.xenopsd, 0xF11), "Varstored", "State of the store of UEFI variables.", "data"),
    row(RecordType(.xenopsd, 0xF12), "Swtpm0", "State of the TPM emulator.", "data"),
    row(RecordType(.xenopsd, 0xF13), "Swtpm", "State of the TPM emulator.", "data"),
    row(.endOfImage, "End_of_image", "End of the suspend image."),
  ]

  private static func row(
    _ type: RecordType, _ name: String, _ doc: String, _ body: String? = nil
  ) -> Layout {
    Layout(
      type, name, doc, length: body == nil ? .exactly(0) : .atLeast(0),
      body.map { [.opaque($0)] } ?? [])
  }
}

extension RecordType {
  public static let xenops = RecordType(.xenopsd, 0x000F)
  public static let xenopsdLibxc = RecordType(.xenopsd, 0x00F0)
  public static let libxlOfXenopsd = RecordType(.xenopsd, 0x00F1)
  public static let libxcLegacy = RecordType(.xenopsd, 0x00F2)
  public static let qemuTrad = RecordType(.xenopsd, 0x0F00)
  public static let qemuXen = RecordType(.xenopsd, 0x0F01)
  public static let endOfImage = RecordType(.xenopsd, 0xFFFF)
}
