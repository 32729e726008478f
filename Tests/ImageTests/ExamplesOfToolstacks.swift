// Examples for the rules of libvirt's header and of xenopsd's records.

import TestKit

extension Example {
  private static func xml(_ text: String, count: UInt32? = nil) -> StreamBuilder.Chunk {
    StreamBuilder.libvirt(xml: Array(text.utf8), count: count)
  }

  static let toolstacks = [
    Example("libvirt-header.xml-length", .virsh(), at: "libvirt", 20) {
      $0.replace("libvirt", xml(""))
    },
    Example("libvirt-header.xml-end", .virsh(), at: "libvirt", 64 + 8) {
      $0.replace("libvirt", xml("<domain/>"))
    },
    Example("libvirt-header.xml-nul", .virsh(), at: "libvirt", 64 + 10) {
      $0.replace("libvirt", xml("<domain/>\0a\0"))
    },
    Example("libvirt-header.xml", .virsh(), at: "libvirt", 64 + 7) {
      $0.replace("libvirt", xml("<domain=></domain>\0"))
    },
    Example("libvirt-header.xml", .virsh(), at: "libvirt", 64) {
      $0.replace("libvirt", xml("<domainsnapshot/>\0"))
    },
    Example("libvirt-header.name", .virsh(), at: "libvirt", 64) {
      $0.replace("libvirt", xml("<domain><name/></domain>\0"))
    },
    Example("libvirt-header.config-type", .virsh(), at: "domain", 0) {
      $0.replace(
        "libvirt", xml("<domain><name>a</name><os><type>linux</type></os></domain>\0"))
    },
    Example("libvirt-header.unused", .virsh(), at: "libvirt", 24) { $0.poke("libvirt", 63, [1]) },
    Example("xenopsd.unknown", .suspendImage(), at: "more", 0) {
      $0.insert(StreamBuilder.xenopsd("more", 0xF77, [1]), before: "End_of_image")
    },
    Example("xenopsd.qemu-xen", .suspendImage(), at: "Qemu_trad", 0) {
      $0.poke("Qemu_trad", 0, [1, 0xF])
    },
    Example("xenopsd.qemu-length", .suspendImage(), at: "Qemu_trad", 8) {
      $0.replace(
        "Qemu_trad",
        StreamBuilder.xenopsd("Qemu_trad", 0xF00, Array("QEVM".utf8) + zeros(1 << 20)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16) {
      $0.replace("Xenops", StreamBuilder.xenopsd("Xenops", 0xF, Array("((time 1)(vm_str a))".utf8)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16) {
      $0.replace(
        "Xenops",
        StreamBuilder.xenopsd("Xenops", 0xF, Array("((time 1)(word_size 64)(more a))".utf8)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16 + 3) {
      $0.replace("Xenops", StreamBuilder.xenopsd("Xenops", 0xF, Array("() )".utf8)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16) {
      $0.replace(
        "Xenops", StreamBuilder.xenopsd("Xenops", 0xF, Array("((time 1)(word_size 64.))".utf8)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16) {
      $0.replace(
        "Xenops",
        StreamBuilder.xenopsd("Xenops", 0xF, Array("((time 1)(word_size 64)(vm_str (a)))".utf8)))
    },
    Example("xenopsd.xenops", .suspendImage(), at: "Xenops", 16) {
      $0.replace(
        "Xenops",
        StreamBuilder.xenopsd("Xenops", 0xF, Array("((time 1)(word_size 64)(xs_subtree (a)))".utf8))
      )
    },
    Example("xenopsd.xenops-size", .suspendImage(), at: "Xenops", 8) {
      $0.replace(
        "Xenops", StreamBuilder.xenopsd("Xenops", 0xF, [UInt8](repeating: 0x20, count: 2 << 20)))
    },
    Example("xenopsd.second-libxc", .suspendImage(), at: "again", 0) { image in
      image.insert(StreamBuilder.xenopsd("again", 0xF0), before: "End_of_image")
      for name in ["image", "domain", "END"] {
        guard let chunk = image.chunks.first(where: { $0.name == name }) else { continue }
        image.insert(.init("\(name) again", chunk.bytes), before: "End_of_image")
      }
    },
    Example("xenopsd.varstored", .suspendImage(), at: "Varstored", 16) {
      $0.poke("Varstored", 16 + 8, [9])
    },
    Example("xenopsd.swtpm", .suspendImage(), at: "Swtpm", 16 + 2) { $0.poke("Swtpm", 18, [0]) },
    Example("xenopsd.demu", .suspendImage(), at: "gpu", 0) {
      $0.insert(StreamBuilder.xenopsd("Demu", 0xF10), before: "Varstored")
      $0.insert(.init("gpu", [1, 2, 3]), after: "Demu")
    },
    Example("xenopsd.no-libxc", .suspendImage(), at: "End_of_image", 16) { image in
      for chunk in image.chunks where !["signature", "Xenops", "End_of_image"].contains(chunk.name)
      {
        image.remove(chunk.name)
      }
    },
  ]
}
