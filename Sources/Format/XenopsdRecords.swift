// All records of xenopsd's suspend image. xenopsd: doc/suspend-image-framing-format and
// lib/suspend_image.ml (XenServer, XCP-ng).

/// The record types of a suspend image. To add one, add its row here.
public enum XenopsdRecords {
  public static let all: [RecordSchema] = [
    row(
      .xenops, "Xenops",
      "What xenopsd knows of the domain, as an S-expression; `xenops` in paths and scripts.",
      Field.opaque("data").asText),
    row(.xenopsdLibxc, "Libxc", "A libxc stream follows, without a length."),
    row(.libxlOfXenopsd, "Libxl", "A libxl stream follows (never implemented)."),
    row(.libxcLegacy, "Libxc_legacy", "A legacy libxc stream follows, without a length."),
    row(
      .qemuTrad, "Qemu_trad",
      "State of QEMU, whichever it is: upstream's begins with QEVM. A restore refuses more than 1 MiB.",
      Field("data", .qemu)),
    row(
      .qemuXen, "Qemu_xen", "State of upstream QEMU: never written, and refused by a restore.",
      Field("data", .qemu)),
    row(
      .demu, "Demu",
      "The state of the emulator of a virtual GPU follows, without a length: what comes after it "
        + "cannot be found."),
    row(
      .varstored, "Varstored", "State of the store of UEFI variables.",
      Field("variables", .uefiVariables), isKeyed: true),
    row(.swtpm0, "Swtpm0", "State of the TPM emulator: its bytes.", .opaque("data")),
    row(
      .swtpm, "Swtpm",
      "State of the TPM emulator: one or more texts of base64 with spaces between.",
      Field.opaque("data").asText),
    row(.endOfImage, "End_of_image", "End of the suspend image."),
  ]

  /// Records whose stated length means nothing: a stream of unknown length follows, or nothing does.
  public static let markers: Set<RecordType> = [.xenopsdLibxc, .demu, .endOfImage]

  private static func row(
    _ type: RecordType, _ name: String, _ doc: String, _ body: Field? = nil, isKeyed: Bool = false
  ) -> RecordSchema {
    RecordSchema(
      type, name, doc, isKeyed: isKeyed, length: body == nil ? .exactly(0) : .atLeast(0),
      body.map { [$0] } ?? [])
  }
}

extension RecordType {
  public static let xenops = RecordType(.xenopsd, 0x000F)
  public static let xenopsdLibxc = RecordType(.xenopsd, 0x00F0)
  public static let libxlOfXenopsd = RecordType(.xenopsd, 0x00F1)
  public static let libxcLegacy = RecordType(.xenopsd, 0x00F2)
  public static let qemuTrad = RecordType(.xenopsd, 0x0F00)
  public static let qemuXen = RecordType(.xenopsd, 0x0F01)
  public static let demu = RecordType(.xenopsd, 0x0F10)
  public static let varstored = RecordType(.xenopsd, 0x0F11)
  public static let swtpm0 = RecordType(.xenopsd, 0x0F12)
  public static let swtpm = RecordType(.xenopsd, 0x0F13)
  public static let endOfImage = RecordType(.xenopsd, 0xFFFF)
}
