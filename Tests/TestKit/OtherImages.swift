// Small whole images of other toolstacks: libvirt's and xenopsd's.

extension StreamBuilder {
  /// libvirt's header and XML.
  public static func libvirt(
    xml: [UInt8] = Array("\(domainXML)\0".utf8), count: UInt32? = nil
  ) -> Chunk {
    Chunk(
      "libvirt",
      Array("libvirt-xml\n \0 \r".utf8) + le32(2, count ?? UInt32(xml.count)) + zeros(40) + xml)
  }

  /// What libvirt says of a domain.
  public static let domainXML = """
    <domain type='xen'>
      <name>web</name>
      <uuid>c4bf5566-ae09-448b-a079-4fd1ea2a4fc8</uuid>
      <memory unit='KiB'>262144</memory>
      <vcpu placement='static'>2</vcpu>
      <os><type arch='x86_64' machine='xenfv'>hvm</type></os>
      <devices>
        <disk type='block' device='disk'><source dev='/dev/old/a'/><target dev='xvda'/></disk>
        <disk type='file' device='disk'><source file='/old/b'/><target dev='xvdb'/></disk>
        <interface type='bridge'>
          <mac address='00:16:3e:00:00:01'/>
          <source bridge='br0'/>
        </interface>
      </devices>
    </domain>

    """

  /// An HVM guest as `virsh save` writes it.
  public static func virsh() -> StreamBuilder {
    var image = hvm()
    image.replace("xl", libvirt())
    return image
  }

  /// A record of xenopsd's: its header has 16 bytes, and there is no padding.
  public static func xenopsd(
    _ name: String, _ type: UInt64, _ body: [UInt8] = [], length: UInt64? = nil
  ) -> Chunk {
    Chunk(name, le64(type, length ?? UInt64(body.count)) + body)
  }

  /// What xenopsd says of a domain.
  public static let xenopsRecord =
    #"((time 20261128T12:00:00Z)(word_size 64)(vm_str"((id c4bf5566-ae09-448b-a079-4fd1ea2a4fc8)"#
    + #"(name web)(ty(HVM((hap true))))(memory_static_max 268435456)(vcpu_max 2))")(xs_subtree()))"#

  /// A UEFI variable as varstored writes it.
  public static func variable(_ name: String, _ data: [UInt8], tail: Int = 68) -> [UInt8] {
    let utf16 = name.utf16.flatMap { le16($0) }
    return le64(UInt64(utf16.count)) + utf16 + le64(UInt64(data.count)) + data
      + [UInt8](repeating: 0xAB, count: 16) + le32(7) + zeros(tail - 20)
  }

  /// varstored's list of variables.
  public static func variables(_ all: [[UInt8]], version: UInt32 = 1) -> [UInt8] {
    let data = all.flatMap { $0 }
    return Array("VARS".utf8) + le32(version) + le64(UInt64(all.count), UInt64(data.count)) + data
  }

  /// A UEFI guest with a TPM, suspended by XAPI.
  public static func suspendImage() -> StreamBuilder {
    let inside = hvm()
    var image = StreamBuilder()
    image.add("signature", Array("XenSavedDomv2-\n".utf8))
    image.add(xenopsd("Xenops", 0xF, Array(xenopsRecord.utf8)))
    image.add(xenopsd("Libxc", 0xF0))
    for chunk in inside.chunks
    where ![
      "xl", "libxl", "LIBXC_CONTEXT", "EMULATOR_XENSTORE_DATA", "EMULATOR_CONTEXT", "libxl END",
    ]
    .contains(chunk.name) {
      image.add(chunk)
    }
    image.add(
      xenopsd(
        "Varstored", 0xF11, variables([variable("SecureBoot", [1]), variable("Boot0000", [1, 2])])))
    image.add(xenopsd("Swtpm", 0xF13, Array("AAAA BBBB".utf8)))
    image.add(xenopsd("Qemu_trad", 0xF00, Array("QEVM".utf8) + be32(3) + [0]))
    image.add(xenopsd("End_of_image", 0xFFFF))
    return image
  }
}
