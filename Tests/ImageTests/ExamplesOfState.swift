// Examples for the rules of the state of vCPUs and devices, and of the policies.

import TestKit

extension Example {
  // MARK: - Policies

  /// A leaf of X86_CPUID_POLICY.
  private static func leaf(
    _ leaf: UInt32, _ subleaf: UInt32 = 0xFFFF_FFFF, a: UInt32 = 0, b: UInt32 = 0, c: UInt32 = 0,
    d: UInt32 = 0
  ) -> [UInt8] { le32(leaf, subleaf, a, b, c, d) }

  private static func policy(_ leaves: [UInt8]..., in image: inout StreamBuilder) {
    image.replace(
      "X86_CPUID_POLICY", StreamBuilder.record("X86_CPUID_POLICY", 0x11, leaves.flatMap { $0 }))
  }

  private static func msrs(_ body: [UInt8], in image: inout StreamBuilder) {
    image.replace("X86_MSR_POLICY", StreamBuilder.record("X86_MSR_POLICY", 0x12, body))
  }

  static let policies = [
    Example("cpuid-policy.count", .hvm(), at: "X86_CPUID_POLICY", 4) {
      let leaves = (0..<121).flatMap { _ in leaf(1) }
      $0.replace("X86_CPUID_POLICY", StreamBuilder.record("X86_CPUID_POLICY", 0x11, leaves))
    },
    Example("cpuid-policy.leaf", .hvm(), at: "X86_CPUID_POLICY", 8 + 24) {
      policy(leaf(0, a: 0xD), leaf(0xE), in: &$0)
    },
    Example("cpuid-policy.leaf", .hvm(), at: "X86_CPUID_POLICY", 8) {
      policy(leaf(7, 3), in: &$0)
    },
    Example("cpuid-policy.leaf", .hvm(), at: "X86_CPUID_POLICY", 8) {
      policy(leaf(1, 0), in: &$0)
    },
    Example("cpuid-policy.leaf", .pv(), at: "X86_CPUID_POLICY", 8) {
      policy(leaf(0x8000_0022), in: &$0)
    },
    Example("cpuid-policy.max-leaf", .hvm(), at: "X86_CPUID_POLICY", 8 + 8) {
      policy(leaf(0, a: 0xE), in: &$0)
    },
    Example("cpuid-policy.max-leaf", .hvm(), at: "X86_CPUID_POLICY", 8 + 8) {
      policy(leaf(7, 0, a: 3), in: &$0)
    },
    Example("msr-policy.count", .hvm(), at: "X86_MSR_POLICY", 4) {
      msrs(le32(0xCE, 0) + le64(0) + le32(0x10A, 0) + le64(0) + le32(0xCE, 0) + le64(0), in: &$0)
    },
    Example("msr-policy.msr", .hvm(), at: "X86_MSR_POLICY", 8) {
      msrs(le32(0x1A0, 0) + le64(0), in: &$0)
    },
    Example("msr-policy.msr", .hvm(), at: "X86_MSR_POLICY", 16) {
      msrs(le32(0xCE, 0) + le64(1), in: &$0)
    },
    Example("msr-policy.flags", .hvm(), at: "X86_MSR_POLICY", 12) {
      msrs(le32(0xCE, 1) + le64(0), in: &$0)
    },
  ]

  // MARK: - HVM_CONTEXT

  /// The CPU entry's data in the record of an image without further entries.
  private static let cpu = 8 + 32 + 8

  /// Puts a value into the CPU entry.
  private static func cpu(
    _ rule: String, _ offset: Int, _ bytes: [UInt8], at place: Int? = nil,
    _ change: (inout StreamBuilder) -> Void = { _ in }
  ) -> Example {
    Example(rule, .hvm(), at: "HVM_CONTEXT", cpu + (place ?? offset)) {
      $0.poke("HVM_CONTEXT", cpu + offset, bytes)
      change(&$0)
    }
  }

  /// An image with one more entry, whose data begin at `cpu` in the record.
  private static func entry(
    _ rule: String, _ type: UInt16, _ data: [UInt8], of instance: UInt16 = 0, at offset: Int,
    _ change: (inout StreamBuilder) -> Void = { _ in }
  ) -> Example {
    Example(rule, .hvm(), at: "HVM_CONTEXT", cpu + offset) {
      let entry = StreamBuilder.entry(type, instance, data)
      $0.replace(
        "HVM_CONTEXT", StreamBuilder.record("HVM_CONTEXT", 9, StreamBuilder.context([entry])))
      change(&$0)
    }
  }

  private static func config(_ text: String, in image: inout StreamBuilder) {
    image.replace("xl", StreamBuilder.xl(config: Array((text + "\0").utf8)))
  }

  private static func bytes(_ count: Int, _ values: [Int: [UInt8]]) -> [UInt8] {
    var out = zeros(count)
    for (offset, bytes) in values {
      out.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    }
    return out
  }

  private static func xsave(
    _ xcr0: UInt64, _ accumulated: UInt64, _ present: UInt64 = 0, count: Int = 600,
    also more: [Int: [UInt8]] = [:]
  ) -> [UInt8] {
    bytes(
      count,
      [8: le64(xcr0), 16: le64(accumulated), 536: le64(present)].merging(more) { $1 })
  }

  private static func msr(_ index: UInt32, _ value: UInt64, reserved: UInt32 = 0) -> [UInt8] {
    le32(1, 0) + le32(index, reserved) + le64(value)
  }

  private static let pic = bytes(8, [5: [0x40]])

  static let hvmState: [Example] = [
    entry("hvm-context.vcpu", 5, zeros(24), of: 5, at: -6),
    Example("hvm-context.vcpus", .hvm(), at: "HVM_CONTEXT") {
      let entries = [
        StreamBuilder.entry(14, 0, zeros(240)), StreamBuilder.entry(14, 1, zeros(240)),
        StreamBuilder.entry(19, 0, zeros(8)),
      ]
      $0.replace(
        "HVM_CONTEXT", StreamBuilder.record("HVM_CONTEXT", 9, StreamBuilder.context(entries)))
      config(#"{"b_info":{"max_vcpus":2}}"#, in: &$0)
    },
    entry("hvm-context.entry-short", 5, zeros(10), at: -4),
    entry("hvm-context.device", 13, zeros(8), at: -8) {
      config(#"{"c_info":{"type":"pvh"}}"#, in: &$0)
    },
    cpu("hvm-cpu.cr0", 656, le64(0)), cpu("hvm-cpu.cr0", 656, le64(1 << 20 | 0x10)),
    cpu("hvm-cpu.cr0", 656, le64(1 << 31 | 0x10)),
    cpu("hvm-cpu.cr4", 680, le64(1 << 12)),
    cpu("hvm-cpu.cr4", 680, le64(1 << 20)) {
      policy(leaf(0, a: 0xD), leaf(7, 0), in: &$0)
    },
    cpu("hvm-cpu.efer", 992, le64(1 << 40)), cpu("hvm-cpu.efer", 992, le64(1 << 10 | 1 << 8)),
    cpu("hvm-cpu.efer", 992, le64(1 << 11)) {
      policy(leaf(0, a: 0xD), leaf(0x8000_0001), in: &$0)
    },
    cpu("hvm-cpu.nested", 680, le64(1 << 13)), cpu("hvm-cpu.nested", 992, le64(1 << 12)),
    // SMAP is in the policy, and NX, which it needs, is not.
    cpu("hvm-cpu.cr4", 680, le64(1 << 21)) {
      policy(leaf(0, a: 0xD), leaf(7, 0, b: 1 << 20), leaf(0x8000_0001), in: &$0)
    },
    cpu("hvm-cpu.debug", 728, le64(1 << 40)), cpu("hvm-cpu.debug", 720, le64(1 << 32)),
    cpu("hvm-cpu.cr3", 672, le64(1 << 40)) {
      policy(leaf(0, a: 0xD), leaf(0x8000_0008, a: 39), in: &$0)
    },
    cpu("hvm-cpu.reserved", 1024, le32(4)), cpu("hvm-cpu.reserved", 1028, le32(1)),
    cpu("hvm-cpu.tsc-aux", 1000, le64(1 << 32)),
    cpu("hvm-cpu.event", 1016, le32(1 << 31 | 1 << 8)),
    cpu("hvm-cpu.event", 1016, le32(1 << 31 | 1 << 12)),
    cpu("hvm-cpu.event", 1016, le32(1 << 31 | 3 << 8 | 1 << 11, 0x10000), at: 1020),
    entry("hvm-xsave.size", 16, xsave(3, 3, count: 580), at: -4),
    entry("hvm-xsave.size", 16, xsave(7, 7), at: -4),
    entry("hvm-xsave.size", 16, xsave(3, 3, count: 728, also: [727: [1]]), at: 727),
    entry("hvm-xsave.components", 16, xsave(7, 3), at: 8),
    entry("hvm-xsave.components", 16, xsave(1, 6), at: 8),
    entry("hvm-xsave.components", 16, xsave(3, 3, 4), at: 536),
    entry("hvm-xsave.components", 16, xsave(7, 7, count: 856), at: 16) {
      policy(leaf(0, a: 0xD), leaf(1, c: 1 << 26), in: &$0)
    },
    entry("hvm-xsave.header", 16, xsave(3, 3, also: [544: le64(1 << 63)]), at: 544),
    entry("hvm-xsave.header", 16, xsave(3, 3, also: [560: [1]]), at: 560),
    entry("hvm-msr.count", 20, le32(0, 0), at: -4),
    entry("hvm-msr.count", 20, le32(9, 0) + le32(0x48, 0) + le64(1), at: 0),
    entry("hvm-msr.msr", 20, msr(0x1234, 5), at: 8),
    entry("hvm-msr.msr", 20, msr(0x48, 1, reserved: 1), at: 12),
    entry("hvm-msr.msr", 20, msr(0xDA0, 1), at: 16),
    entry("hvm-msr.msr", 20, msr(0x48, 1), at: 16) {
      policy(leaf(0, a: 0xD), leaf(7, 0), leaf(0x8000_0008), in: &$0)
    },
    entry("hvm-msr.msr", 20, msr(0xD90, 0x8000_0000_0000), at: 16),
    entry("hvm-pic.instance", 3, pic, of: 2, at: -6),
    entry("hvm-pic.state", 3, zeros(8), at: 5),
    entry("hvm-pic.state", 3, bytes(8, [5: [0x40], 7: [2]]), at: 7),
    entry("hvm-pic.state", 3, bytes(8, [5: [0x40], 6: [1]]), at: 6),
    entry("hvm-lapic.mode", 5, bytes(24, [0: le64(0x400)]), at: 0),
    entry("hvm-pci-link.route", 9, bytes(8, [1: [99]]), at: 1),
    entry("hvm-pci-link.reserved", 9, bytes(8, [6: [1]]), at: 6),
    entry("hvm-pit.state", 10, zeros(56), at: 15),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 32: le32(0x10001)]), at: 32),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 25: [5]]), at: 25),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 48: le32(2)]), at: 48),
    entry("hvm-mtrr.count", 14, bytes(240, [224: [9]]), at: 224),
    entry("hvm-vmce.caps", 18, bytes(32, [0: le64(1 << 40)]), at: 0),
    entry("hvm-vmce.caps", 18, bytes(32, [0: le64(1 << 24)]), at: 0) {
      policy(leaf(0, a: 0xD, b: 0x6874_7541, c: 0x444D_4163, d: 0x6974_6E65), in: &$0)
    },
    entry("hvm-viridian.reserved", 17, bytes(216, [12: [1]]), at: 12),
  ]

  // MARK: - PV vCPUs

  private static func basic(
    _ rule: String, _ offset: Int, _ bytes: [UInt8], width: Int = 8
  ) -> Example {
    Example(rule, .pv(width: width), at: "X86_PV_VCPU_BASIC", 16 + offset) {
      $0.poke("X86_PV_VCPU_BASIC", 16 + offset, bytes)
    }
  }

  /// A record of vCPU 0 with another state.
  private static func vcpu(
    _ rule: String, _ record: String, _ type: UInt32, _ state: [UInt8], at offset: Int
  ) -> Example {
    Example(rule, .pv(), at: record, offset) {
      $0.replace(record, StreamBuilder.record(record, type, le32(0, 0) + state))
    }
  }

  private static func pages(_ words: [UInt64], in image: inout StreamBuilder) {
    image.replace("PAGE_DATA", StreamBuilder.pages(words))
  }

  private static let top: UInt64 = 0xC << 60 | 3
  private static let context = 16

  static let pvState: [Example] = [
    Example("vcpu.domain", .pv(), at: "X86_PV_VCPU_MSRS", 8) {
      $0.poke("X86_PV_VCPU_MSRS", 8, le32(1))
    },
    Example("vcpu-basic.page-table-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 5008) {
      pages([1, 2, 3, 4], in: &$0)
    },
    Example("vcpu-basic.page-table-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 5008) {
      pages([1, 2, 0x3 << 60 | 3, 4], in: &$0)
    },
    Example(
      "vcpu-basic.page-table-type", .pv(width: 4), at: "X86_PV_VCPU_BASIC", context + 2728
    ) { pages([1, 2, 0x2 << 60 | 3, 4], in: &$0) },
    Example("vcpu-basic.gdt-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 4832) {
      pages([1, 0x1 << 60 | 2, top, 4], in: &$0)
    },
    Example("vcpu-basic.start-info-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 616) {
      pages([0x1 << 60 | 1, 2, top, 4], in: &$0)
    },
    // The last type counts.
    Example("vcpu-basic.start-info-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 616) {
      pages([1, 2, top, 4], in: &$0)
      $0.insert(StreamBuilder.pages([0xF << 60 | 1]), before: "X86_TSC_INFO")
    },
    basic("vcpu-basic.addresses", 648, le64(0x8000_0000_0000)),
    basic("vcpu-basic.addresses", 5160, le64(1 << 63)),
    basic("vcpu-basic.addresses", 720 + 16 * 14 + 8, le64(1 << 50)),
    basic("vcpu-basic.guest-addresses", 5056, le64(0xFFFF_8000_0000_0000)),
    basic("vcpu-basic.ldt-address", 4816, le64(0xFFFF_8300_0000_0000)),
    basic("vcpu-basic.user-tables", 4992, le64(0x1000)),
    basic("vcpu-basic.ldt", 4816, le64(1)), basic("vcpu-basic.ldt", 4824, le64(8193)),
    basic("vcpu-basic.ldt", 2632, le32(8), width: 4),
    basic("vcpu-basic.debug", 5048 + 56, le64(1 << 32)),
    basic("vcpu-basic.assist", 5136, le64(1 << 7)),
    basic("vcpu-basic.assist", 2796, le32(1 << 8), width: 4),
    Example("vcpu-basic.mode", .pv(), at: "X86_PV_VCPU_BASIC", context + 512) {
      $0.poke("X86_PV_VCPU_BASIC", context + 4992, le64(0))
    },
    vcpu("vcpu-extended.state", "X86_PV_VCPU_EXTENDED", 5, le32(0, 31) + zeros(56), at: 8 + 12),
    vcpu("vcpu-extended.state", "X86_PV_VCPU_EXTENDED", 5, le32(1, 64) + zeros(56), at: 8 + 8),
    vcpu(
      "vcpu-extended.state", "X86_PV_VCPU_EXTENDED", 5,
      le32(0, 64) + zeros(8) + le64(1 << 50) + zeros(40), at: 8 + 24),
    vcpu(
      "vcpu-extended.caps", "X86_PV_VCPU_EXTENDED", 5,
      le32(0, 64) + zeros(24) + le64(1 << 30) + zeros(24), at: 8 + 40),
    vcpu("vcpu-xsave.components", "X86_PV_VCPU_XSAVE", 6, le64(1, 0), at: 8 + 8),
    vcpu("vcpu-xsave.components", "X86_PV_VCPU_XSAVE", 6, le64(2, 3) + zeros(576), at: 8 + 8),
    vcpu("vcpu-xsave.area", "X86_PV_VCPU_XSAVE", 6, le64(7, 7) + zeros(576), at: 4),
    vcpu("vcpu-xsave.area", "X86_PV_VCPU_XSAVE", 6, le64(3, 3), at: 4),
    vcpu(
      "vcpu-xsave.area", "X86_PV_VCPU_XSAVE", 6,
      le64(3, 3) + zeros(520) + le64(1 << 63) + zeros(48), at: 8 + 24 + 520),
    vcpu(
      "vcpu-msrs.count", "X86_PV_VCPU_MSRS", 0xC,
      (0..<8).flatMap { _ in le32(0x48, 0) + le64(0) }, at: 4),
    vcpu("vcpu-msrs.msr", "X86_PV_VCPU_MSRS", 0xC, le32(0x1234, 0) + le64(0), at: 8 + 8),
    vcpu(
      "vcpu-msrs.msr", "X86_PV_VCPU_MSRS", 0xC, le32(0xC000_0103, 0) + le64(1 << 32), at: 8 + 16),
  ]

  // MARK: - HVM_PARAMS

  private static func params(
    _ rule: String, _ params: [(UInt64, UInt64)], at offset: Int
  ) -> Example {
    Example(rule, .hvm(), at: "HVM_PARAMS", 8 + offset) {
      $0.replace("HVM_PARAMS", StreamBuilder.params(params))
    }
  }

  static let params: [Example] = [
    params("hvm-params.index", [(1, 1), (24, 0)], at: 8 + 16),
    params("hvm-params.number", [(1, 1), (1 << 63, 0)], at: 8 + 16),
    params("hvm-params.value", [(1, 1), (9, 2)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (10, 4)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (33, 0)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (36, 5)], at: 16 + 16),
    params("hvm-params.once", [(1, 1), (5, 2), (5, 3)], at: 16 + 32),
  ]

  // MARK: - The configuration

  private static func config(_ rule: String, _ text: String) -> Example {
    Example(rule, .hvm(), at: "xl", 52) { config(text, in: &$0) }
  }

  /// The configuration of an HVM guest with `fields` in its type.hvm and `more` beside that.
  private static func hvm(_ rule: String, _ fields: String, _ more: String = "") -> Example {
    config(
      rule,
      #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"max_memkb":8192,\#(more)"type.hvm":{\#(fields)}}}"#
    )
  }

  static let hvmConfigs: [Example] = [
    hvm("config.device-model", "", #""device_model_version":"none","#),
    hvm("config.device-model", #""bios":"rombios""#),
    hvm(
      "config.device-model", #""bios":"seabios""#,
      #""device_model_version":"qemu_xen_traditional","#),
    hvm("config.direct-boot", "", #""cmdline":"quiet","#),
    hvm("config.video-memory", #""vga":{"kind":"std"}"#, #""video_memkb":8192,"#),
    hvm("config.video-memory", #""vga":{"kind":5}"#, #""video_memkb":8191,"#),
    // Where libxl stops, the rest is as if it was not there: the adapter is cirrus.
    hvm("config.video-memory", #""vga":{"kind":"1"}"#, #""video_memkb":4096,"#),
    hvm("config.video-memory", #""vga":{"kind":"qxl"}"#, #""video_memkb":65536,"#),
    hvm("config.usb", #""usb":"True","usbversion":2"#),
    hvm("config.usb", #""usbversion":4"#),
    hvm("config.usb", #""usbdevice":"tablet","usbdevice_list":["mouse"]"#),
    hvm("config.serial", #""serial":"pty","serial_list":["pty"]"#),
    hvm("config.vnc", #""vnc":{"listen":"127.0.0.1:1","display":2}"#),
    hvm("config.vnc", #""vnc":{"display":-1}"#),
    hvm("config.vnc", #""vnc":{"display":59636}"#),
    hvm("config.spice", #""spice":{"enable":"True"}"#),
    hvm("config.spice", #""spice":{"enable":"True","port":6000}"#),
    hvm("config.sound", #""soundhw":"drum""#),
    hvm("config.graphics", #""gfx_passthru":"True""#),
    hvm("config.boot", #""boot":"cc""#),
    hvm("config.boot", #""boot":"e""#),
    hvm("config.mca-capabilities", #""mca_caps":2"#),
    hvm("config.altp2m", "", #""altp2m":"mixed","nested_hvm":"True","#),
    hvm("config.altp2m", #""altp2m":"True""#, #""target_memkb":4096,"#),
    hvm("config.on-demand", "", #""target_memkb":4096,"vnuma_nodes":[{"pnode":0}],"#),
    Example("hvm-params.once", .hvm(), at: "HVM_PARAMS", 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(35, 2), (1, 1)]))
      config(
        #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"altp2m":"mixed","type.hvm":{}}}"#, in: &$0)
    },
    Example("hvm-params.once", .hvm(), at: "more", 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(5, 2), (1, 1)]))
      $0.insert(.init("more", StreamBuilder.params([(5, 3)]).bytes), after: "HVM_PARAMS")
    },
  ]

  /// A guest's configuration with `list` beside its parts.
  private static func device(_ rule: String, _ list: String, type: String = "hvm") -> Example {
    config(
      rule,
      #"{"c_info":{"type":"\#(type)","name":"a"},"b_info":{"type.\#(type)":{},"max_memkb":8192},\#(list)}"#
    )
  }

  static let deviceConfigs: [Example] = [
    device("config.disk-name", #""disks":[{"vdev":"nonsense"}]"#),
    device("config.disk-name", #""disks":[{"vdev":"xvda01"}]"#),
    device("config.disk-name", #""disks":[{}]"#),
    device("config.disk-twice", #""disks":[{"vdev":"xvdaa"},{"vdev":"xvdb"},{"vdev":"d26p0"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"empty"}]"#),
    device(
      "config.disk-format",
      #""disks":[{"vdev":"xvda","format":"empty","is_cdrom":1,"pdev_path":"/a"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"raw","backend":"tap"}]"#),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"qcow2","backend":"phy"}]"#),
    device(
      "config.disk-format", #""disks":[{"vdev":"hda","is_cdrom":1,"backend":"phy","format":"raw"}]"#
    ),
    device("config.disk-format", #""disks":[{"vdev":"xvda","format":"raw"}]"#),
    device(
      "config.disk-format", #""disks":[{"vdev":"xvda","pdev_path":"/a","transport":"mmio"}]"#),
    device(
      "config.disk-format",
      #""disks":[{"vdev":"xvda","pdev_path":"/a","format":"raw","backend":"standalone"}]"#),
    device("config.usb-controller", #""usbctrls":[{"type":"devicemodel"}]"#, type: "pvh"),
    device("config.usb-device", #""usbctrls":[{}],"usbdevs":[{"ctrl":1,"port":1}]"#),
    device("config.nic-type", #""nics":[{"nictype":"vif_ioemu"}]"#, type: "pvh"),
    device("config.channel", #""channels":[{"connection.pty":{}}]"#),
    device("config.channel", #""channels":[{"name":"a"}]"#),
    device("config.channel", #""channels":[{"name":"a","connection.socket":{}}]"#),
    device("config.usb-controller", #""usbctrls":[{"version":4}]"#),
    device("config.usb-controller", #""usbctrls":[{"version":1,"ports":3}]"#),
    device("config.usb-controller", #""usbctrls":[{"type":"qusb","version":3}]"#),
    device("config.passthrough", #""pcidevs":[{"dev":1}]"#, type: "pvh"),
    config(
      "config.passthrough",
      #"{"c_info":{"type":"hvm","name":"a","passthrough":"disabled"},"b_info":{"type.hvm":{}},"dtdevs":[{}]}"#
    ),
    hvm("config.available-vcpus", "", #""avail_vcpus":[0,1024],"#),
  ]

  static let configs: [Example] = [
    config("config.sched", #"{"b_info":{"sched_params":{"cap":101}}}"#),
    config("config.sched", #"{"b_info":{"sched_params":{"sched":"credit","weight":0}}}"#),
    config("config.shadow", #"{"c_info":{"type":"pvh"},"b_info":{"type.pvh":{}}}"#),
    config("config.grant-frames", #"{"b_info":{"max_grant_frames":0}}"#),
    config("config.grant-version", #"{"b_info":{"max_grant_version":3}}"#),
    config("config.event-channels", #"{"b_info":{"event_channels":1}}"#),
    config("config.tsc-mode", #"{"b_info":{"tsc_mode":"native_paravirt"}}"#),
    config("config.affinity", #"{"b_info":{"max_vcpus":2,"vcpu_hard_affinity":[[0],[]]}}"#),
    config("config.affinity", #"{"b_info":{"vcpu_soft_affinity":[[0],[0]]}}"#),
    config("config.ioports", #"{"b_info":{"ioports":[{"first":65535,"number":2}]}}"#),
    config(
      "config.vnuma", #"{"c_info":{"type":"pv","name":"a"},"b_info":{"vnuma_nodes":[{"pnode":0}]}}"#
    ),
    config("config.vmtrace", #"{"c_info":{"type":"hvm"},"b_info":{"vmtrace_buf_kb":12}}"#),
    config("config.own-name", #"{"c_info":{"type":"pv"}}"#),
    config("config.own-name", #"{"c_info":{"name":"Domain-0"}}"#),
    config("config.value", #"{"c_info":{"uuid":"nonsense"}}"#),
    config("config.value", #"{"c_info":{"type":"xen"}}"#),
    config("config.type", #"{"c_info":{"type":5},"b_info":{"type.hvm":{}}}"#),
    config("config.type", #"{"c_info":{"type":"hvm"},"b_info":{"type.hvm":[]}}"#),
    config("config.type", "{}"),
    config("config.types-differ", #"{"c_info":{"type":"pvh"},"b_info":{"type.hvm":{}}}"#),
    config("config.hvm-type", #"{"c_info":{"type":"hvm"},"b_info":{"type.pvh":{}}}"#),
    config("config.value", #"{"b_info":{"type.hvm":{},"avail_vcpus":[0,2147483647]}}"#),
    config("config.lost", #"{"b_info":{"type.hvm":{}},"on_crash":"explode"}"#),
    config("config.lost", #"{"b_info":{"type.hvm":{}},"nics":[{"mac":"00:16:3e"}]}"#),
    config("config.ignored", #"{"c_info":{"uuid":5}}"#),
    config("config.unknown", #"{"c_info":{"uid":"a"}}"#),
    config("config.duplicate", #"{"c_info":{"name":"a","name":"b"}}"#),
    config("config.name", #"{"c_info":{"name":""}}"#),
    config("config.uuid", #"{"c_info":{"name":"a"}}"#),
    config("config.paging-memory", #"{"c_info":{"type":"pvh"},"b_info":{"shadow_memkb":0}}"#),
    config("config.paging-memory", #"{"c_info":{"type":"pvh"},"b_info":{"max_memkb":4096}}"#),
    config("config.paging-pages", #"{"c_info":{"type":"pvh"},"b_info":{"shadow_memkb":1023}}"#),
    config("config.vcpu-limit", #"{"c_info":{"type":"pvh"},"b_info":{"max_vcpus":129}}"#),
    config("config.memory-order", #"{"b_info":{"max_memkb":4,"target_memkb":64}}"#),
    Example("config.memory", .pv(), at: "xl", 52) { image in
      let pages = (0x100..<0x240).map { UInt64($0) }
      image.replace("X86_PV_P2M_FRAMES", StreamBuilder.p2m(start: 0, end: 0x23F, [4, 0x100]))
      image.insert(StreamBuilder.pages(pages), after: "PAGE_DATA")
      config(
        #"{"c_info":{"type":"pv"},"b_info":{"type.pv":{},"max_memkb":65536,"target_memkb":256}}"#,
        in: &image)
    },
    Example("config.memory", .hvm(), at: "xl", 52) { image in
      image.insert(
        StreamBuilder.pages((0x100..<0x260).map { UInt64($0) }), before: "PAGE_DATA")
      config(
        #"{"c_info":{"type":"hvm"},"b_info":{"type.hvm":{},"max_memkb":65536,"target_memkb":256}}"#,
        in: &image)
    },
    Example("config.emulator", .hvm(), at: "EMULATOR_XENSTORE_DATA") {
      config(StreamBuilder.config("pvh"), in: &$0)
    },
  ]
}
