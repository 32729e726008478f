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

  /// Puts the vCPU into long mode.
  private static func enterLongMode(_ image: inout StreamBuilder) {
    for (offset, value) in [(656, 0x8000_0011), (680, 0x20), (992, 0x500)] as [(Int, UInt64)] {
      image.poke("HVM_CONTEXT", cpu + offset, le64(value))
    }
  }

  static func config(_ text: String, in image: inout StreamBuilder) {
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

  /// Leaf 0 of a processor of AMD.
  private static let amd = leaf(
    0, a: 0xD, b: 0x6874_7541, c: 0x444D_4163, d: 0x6974_6E65)

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
    // What the greatest leaf leaves out does not count, though it is there.
    cpu("hvm-cpu.efer", 992, le64(1 << 11)) {
      policy(
        leaf(0, a: 0xD), leaf(0x8000_0000, a: 0x8000_0000), leaf(0x8000_0001, d: 1 << 20), in: &$0)
    },
    cpu("hvm-cpu.cr4", 680, le64(1 << 20)) {
      policy(leaf(0, a: 6), leaf(7, 0, b: 1 << 7), in: &$0)
    },
    cpu("hvm-cpu.cr3", 672, le64(1 << 37)) {
      policy(
        leaf(0, a: 0xD), leaf(0x8000_0000, a: 0x8000_0007), leaf(0x8000_0008, a: 40), in: &$0)
    },
    // CET is in the policy, and no release gives it to a guest.
    cpu("hvm-cpu.cr4", 680, le64(1 << 23)) {
      policy(leaf(0, a: 0xD), leaf(7, 0, c: 1 << 7), in: &$0)
    },
    Example("hvm-cpu.entry", .hvm(), at: "HVM_CONTEXT", cpu + 680) {
      enterLongMode(&$0)
      $0.poke("HVM_CONTEXT", cpu + 680, le64(0))
    },
    cpu("hvm-cpu.entry", 888, le32(0xE9B)) { enterLongMode(&$0) },
    // As VMX has it.
    cpu("hvm-cpu.entry", 888, le32(0x609B)) { enterLongMode(&$0) },
    cpu("hvm-cpu.entry", 656, le64(1 << 29 | 0x11)) { policy(amd, in: &$0) },
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
    cpu("hvm-cpu.event", 1016, le32(1 << 31 | 3 << 8 | 32)),
    cpu("hvm-cpu.event", 1016, le32(1 << 31 | 3 << 8 | 2)) { policy(amd, in: &$0) },
    entry("hvm-xsave.size", 16, xsave(3, 3, count: 580), at: -4),
    entry("hvm-xsave.size", 16, xsave(7, 7), at: -4),
    entry("hvm-xsave.size", 16, xsave(3, 3, count: 728, also: [727: [1]]), at: 727),
    // The size of YMM is the processor's, whatever the policy says.
    entry("hvm-xsave.size", 16, xsave(7, 7, count: 24 + 704), at: -4) {
      policy(leaf(0, a: 0xD), leaf(0xD, 2, a: 0x80, b: 576), in: &$0)
    },
    entry("hvm-xsave.size", 16, xsave(7, 7, count: 856 + 256, also: [856: [255]]), at: 856) {
      policy(leaf(0, a: 0xD), leaf(0xD, 2, a: 0x200, b: 576), in: &$0)
    },
    entry("hvm-xsave.components", 16, xsave(7, 3), at: 8),
    entry("hvm-xsave.components", 16, xsave(1, 6), at: 8),
    entry("hvm-xsave.components", 16, xsave(3, 3, 4), at: 536),
    entry("hvm-xsave.components", 16, xsave(7, 7, count: 856), at: 16) {
      policy(leaf(0, a: 0xD), leaf(1, c: 1 << 26), in: &$0)
    },
    entry("hvm-xsave.components", 16, xsave(0x107, 0x107, count: 856), at: 16) {
      $0.remove("X86_CPUID_POLICY")
    },
    // AMX_TILE and LWP are in the policy, and no release that has policies gives them to a guest.
    entry("hvm-xsave.components", 16, xsave(0x60007, 0x60007, count: 11032), at: 16) {
      policy(leaf(0, a: 0xD), leaf(7, 0, d: 1 << 24), in: &$0)
    },
    entry("hvm-xsave.components", 16, xsave(1 << 62 | 7, 1 << 62 | 7, count: 984), at: 16) {
      policy(leaf(0, a: 0xD), leaf(0x8000_0001, c: 1 << 15), in: &$0)
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
    entry("hvm-msr.msr", 20, msr(0x48, 1), at: 16) {
      policy(
        leaf(0, a: 0xD), leaf(7, 0), leaf(0x8000_0000, a: 0x8000_0007),
        leaf(0x8000_0008, b: 1 << 14), in: &$0)
    },
    entry("hvm-msr.msr", 20, msr(0x140, 1), at: 16) {
      $0.remove("X86_CPUID_POLICY")
      msrs(le32(0xCE, 0) + le64(0), in: &$0)
    },
    entry("hvm-msr.bounds", 20, msr(0xD90, 1), at: 16),
    entry("hvm-pic.instance", 3, pic, of: 2, at: -6),
    entry("hvm-pic.state", 3, zeros(8), at: 5),
    entry("hvm-pic.state", 3, bytes(8, [5: [0x40], 7: [2]]), at: 7),
    entry("hvm-pic.state", 3, bytes(8, [5: [0x40], 6: [1]]), at: 6),
    entry("hvm-lapic.mode", 5, bytes(24, [0: le64(0x400)]), at: 0),
    entry("hvm-lapic.divisor", 5, bytes(24, [0: le64(0x900)]), at: 12),
    entry("hvm-lapic.divisor", 5, bytes(24, [0: le64(0x900), 12: le32(256)]), at: 12),
    entry("hvm-pci-link.route", 9, bytes(8, [1: [99]]), at: 1),
    entry("hvm-pci-link.reserved", 9, bytes(8, [6: [1]]), at: 6),
    entry("hvm-pit.state", 10, zeros(56), at: 15),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 32: le32(0x10001)]), at: 32),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 25: [5]]), at: 25),
    entry("hvm-pit.state", 10, bytes(56, [15: [1], 31: [1], 48: le32(2)]), at: 48),
    entry("hvm-mtrr.count", 14, bytes(240, [224: [9]]), at: 224),
    entry("hvm-vmce.caps", 18, bytes(32, [0: le64(1 << 40)]), at: 0),
    entry("hvm-vmce.caps", 18, bytes(32, [0: le64(1 << 24)]), at: 0) {
      policy(amd, in: &$0)
    },
    entry("hvm-viridian.reserved", 17, bytes(216, [12: [1]]), at: 12),
    entry("hvm-viridian.page", 15, bytes(32, [24: le64(0xFF_FFFF << 12 | 1)]), at: 24),
    entry("hvm-viridian.page", 17, bytes(216, [16: le64(0xFF_FFFF << 12 | 1)]), at: 16),
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
    Example("vcpu-basic.absent", .pv(), at: "X86_PV_VCPU_BASIC", context + 4832) {
      pages([1, top, 4], in: &$0)
    },
    Example("vcpu-basic.absent", .pv(width: 4), at: "X86_PV_VCPU_BASIC", context + 524) {
      pages([2, 0xB << 60 | 3, 4], in: &$0)
    },
    // The last type counts, whenever the context came.
    Example("vcpu-basic.page-table-type", .pv(), at: "X86_PV_VCPU_BASIC", context + 5008) {
      $0.insert(StreamBuilder.pages([3]), before: "X86_PV_VCPU_EXTENDED")
    },
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
    vcpu("vcpu-extended.short", "X86_PV_VCPU_EXTENDED", 5, le32(0, 64) + zeros(16), at: 8 + 12),
    basic("vcpu-basic.p2m", 4832, le64(4)),
    vcpu(
      "vcpu-extended.caps", "X86_PV_VCPU_EXTENDED", 5,
      le32(0, 64) + zeros(24) + le64(1 << 30) + zeros(24), at: 8 + 40),
    vcpu("vcpu-xsave.components", "X86_PV_VCPU_XSAVE", 6, le64(1, 0), at: 8 + 8),
    vcpu("vcpu-xsave.components", "X86_PV_VCPU_XSAVE", 6, le64(2, 3) + zeros(576), at: 8 + 8),
    // MPX and PKU are for HVM guests, whatever the policy says.
    vcpu("vcpu-xsave.components", "X86_PV_VCPU_XSAVE", 6, le64(3, 0x1B) + zeros(1088), at: 8 + 16),
    Example("vcpu-xsave.components", .pv(), at: "X86_PV_VCPU_XSAVE", 8 + 16) {
      policy(
        leaf(0, a: 0xD), leaf(1, c: 1 << 26, d: 0xBFFF_FFFF), leaf(7, 0, c: 1 << 3),
        leaf(0x8000_0001, d: 1 << 29), in: &$0)
      $0.replace(
        "X86_PV_VCPU_XSAVE",
        StreamBuilder.record("X86_PV_VCPU_XSAVE", 6, le32(0, 0) + le64(3, 0x203) + zeros(2696)))
    },
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
    // IPRED_CTRL, and IBRS as AMD has it.
    vcpu("vcpu-msrs.msr", "X86_PV_VCPU_MSRS", 0xC, le32(0x48, 0) + le64(8), at: 8 + 16),
    Example("vcpu-msrs.msr", .pv(), at: "X86_PV_VCPU_MSRS", 8 + 16) {
      policy(leaf(0, a: 0xD), leaf(7, 0), leaf(0x8000_0008, b: 1 << 14), in: &$0)
      $0.replace(
        "X86_PV_VCPU_MSRS",
        StreamBuilder.record("X86_PV_VCPU_MSRS", 0xC, le32(0, 0) + le32(0x48, 0) + le64(1)))
    },
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
    params("hvm-params.index", [(1, 1), (1 << 32 | 4, 1)], at: 8 + 16),
    params("hvm-params.number", [(1, 1), (1 << 63, 0)], at: 8 + 16),
    params("hvm-params.value", [(1, 1), (9, 2)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (10, 4)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (33, 0)], at: 16 + 16),
    params("hvm-params.value", [(1, 1), (36, 5)], at: 16 + 16),
    params("hvm-params.once", [(1, 1), (5, 2), (5, 3)], at: 16 + 32),
    params("hvm-params.once", [(1, 1), (5, 2), (1 << 32 | 5, 3)], at: 16 + 32),
    Example("hvm-params.value", .hvm(), at: "HVM_PARAMS", 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(35, 1), (1, 1)]))
      config(
        #"{"c_info":{"type":"hvm","name":"a"},"b_info":{"nested_hvm":"True","type.hvm":{}}}"#,
        in: &$0)
    },
    Example("hvm-params.pvh", .hvm(), at: "HVM_PARAMS", 8 + 8 + 16) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 1), (1 << 32 | 19, 0)]))
      config(#"{"c_info":{"type":"pvh"}}"#, in: &$0)
    },
    Example("hvm-params.suspended", .hvm(), at: "END") {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(14, 0), (14, 3)]))
    },
  ]
}
