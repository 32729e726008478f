// Seeds: small images of every container and guest, made by the tests' own builders.

import Bytes
import Convert
import ImageCheck
import ImageEdit
import SystemIO
import TestKit

enum Seeds {
  /// Images of a few hundred bytes to some KiB.
  static let images: [[UInt8]] = {
    var out: [StreamBuilder] = []
    for version in [2, 3] as [UInt32] {
      out.append(.hvm(version: version))
      out.append(.pv(version: version))
      out.append(StreamBuilder.hvm(version: version).libxc)
    }
    out.append(.pv(width: 4))
    out.append(StreamBuilder.hvm().libxl)
    // Without page contents most of an image is structure.
    let small = out.map { image in
      var image = image
      let isPV = image.chunks.contains { $0.name == "X86_PV_INFO" }
      let broken: UInt64 = 0xE000_0000_0000_0000
      image["PAGE_DATA"] =
        StreamBuilder.pages(isPV ? [broken | 1, broken | 2] : [0xF000_0000_0000_0010, 0x11]).bytes
      return image.bytes
    }
    var empty = StreamBuilder.hvm()
    empty["PAGE_DATA"] = StreamBuilder.pages([0xF000_0000_0000_0010]).bytes
    var fields = StreamBuilder.hvm()
    fields["PAGE_DATA"] = StreamBuilder.pages([0x10, 0xE000_0000_0000_0012]).bytes
    fields["HVM_CONTEXT"] = StreamBuilder.record("HVM_CONTEXT", 0x09, devices).bytes
    return small + [empty.bytes, fields.bytes] + others
  }()

  /// HVM_CONTEXT with one entry of every device.
  static let devices = StreamBuilder.context(
    [
      (3, 8), (4, 400), (5, 32), (7, 16), (8, 8), (9, 8), (10, 56), (11, 24), (13, 8), (14, 240),
      (15, 32), (16, 600), (17, 216), (18, 32), (19, 8), (20, 24),
    ].map { StreamBuilder.entry($0.0, 0, zeros($0.1)) })

  /// Containers that the builders do not make, and streams of checkpoints.
  private static let others: [[UInt8]] = {
    // A page is enough: the longer an image, the fewer of them in a second.
    var checkpoints = StreamBuilder.remus(guest: 2)
    for index in checkpoints.chunks.indices where checkpoints.chunks[index].name == "PAGE_DATA" {
      checkpoints.chunks[index].bytes =
        StreamBuilder.pages([0xF000_0000_0000_0010, 0xF000_0000_0000_0011]).bytes
    }
    var out = [checkpoints.bytes]
    var hvm = StreamBuilder.hvm(version: 3)
    hvm["PAGE_DATA"] = StreamBuilder.pages([0x10]).bytes
    let small = hvm.bytes
    for formats in [["libvirt"], ["xenopsd"], ["draft-b", "libxc"], ["v2", "libxl"]] {
      var conversion = Conversion()
      for name in formats { _ = conversion.add(format: name) }
      conversion.isLossy = true
      conversion.config = formats == ["libvirt"] ? Array("<domain/>".utf8) : nil
      if let image = converted(small, conversion) { out.append(image) }
    }
    out += [StreamBuilder.virsh().bytes, StreamBuilder.suspendImage().bytes]
    var swapped = Conversion()
    swapped.order = .big
    if let image = converted(small, swapped) { out.append(image) }
    return out
  }()

  private static func converted(_ image: [UInt8], _ conversion: Conversion) -> [UInt8]? {
    guard let source = try? MemoryFile.input.source(image),
      let sink = try? MemoryFile.output.sink()
    else { return nil }
    var converter = Converter(source, to: sink, conversion)
    guard (try? converter.run()) != nil else { return nil }
    return MemoryFile.output.bytes
  }

  /// A small image of two pages that deltas, indices and diffs take as their base.
  static let base: [UInt8] = {
    var image = StreamBuilder.hvm()
    image["PAGE_DATA"] = StreamBuilder.pages([0x10, 0x11]).bytes
    return image.bytes
  }()
}

extension Seeds {
  /// Images with page tables: a PV guest of 5 pages, and an HVM one whose vCPU pages.
  static let memory: [[UInt8]] = {
    var pv = StreamBuilder.pv()
    pv["PAGE_DATA"] =
      StreamBuilder.record(
        "PAGE_DATA", 1,
        le32(1, 0) + le64(0xC000_0000_0000_0003) + le64(0x3067, 0x3067) + zeros(4080)
      ).bytes
    var hvm = StreamBuilder.hvm()
    hvm["PAGE_DATA"] =
      StreamBuilder.record(
        "PAGE_DATA", 1, le32(1, 0) + le64(0x10) + le64(0x10067, 0x10067) + zeros(4080)
      ).bytes
    var cpu = zeros(1032)
    // CR0.PG and PE, CR3, CR4.PAE, EFER.LMA: where struct hvm_hw_cpu has them.
    for (offset, value) in [(8 * 17, 0x8000_0001), (8 * 19, 0x10000), (8 * 20, 0x20)]
      as [(Int, UInt64)]
    {
      cpu.put(512 + offset, value)
    }
    hvm["HVM_CONTEXT"] =
      StreamBuilder.record(
        "HVM_CONTEXT", 9,
        StreamBuilder.entry(1, 0, le32(0x5438_1286, 1) + le64(.max) + le32(0x306A9, 2_000_000))
          + StreamBuilder.entry(2, 0, cpu) + StreamBuilder.entry(0, 0, [])
      ).bytes
    return [pv.bytes, hvm.bytes, StreamBuilder.pv(width: 4).libxc.bytes]
  }()
}
