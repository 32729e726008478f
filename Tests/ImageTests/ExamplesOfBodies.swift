// Examples for the rules of record bodies.

import TestKit

extension Example {
  static let pages = [
    Example("page-data.count", .hvm(), at: "wrong", 8) {
      $0.insert(StreamBuilder.record("wrong", 1, zeros(16)), before: "PAGE_DATA")
    },
    Example("page-data.table", .hvm(), at: "PAGE_DATA", 8) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([0xF << 60], count: 2))
    },
    Example("page-data.length", .hvm(), at: "wrong", 4) {
      $0.insert(
        StreamBuilder.record("wrong", 1, le32(1, 0) + le64(1) + zeros(4088)), before: "PAGE_DATA")
    },
    Example("page-data.type", .hvm(), at: "PAGE_DATA", 24) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1, 6 << 60 | 2]))
    },
    Example("page-data.reserved-bits", .hvm(), at: "PAGE_DATA", 16) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1 << 52 | 1]))
    },
    Example("page-data.pfn-limit", .hvm(), at: "PAGE_DATA", 24) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1 << 40 - 1, 1 << 40]))
    },
    Example("page-data.max-pfn", .pv(), at: "PAGE_DATA", 16) {
      $0.insert(StreamBuilder.pages([6]), before: "PAGE_DATA")
    },
    Example("page-data.duplicate", .hvm(), at: "PAGE_DATA", 32) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([5, 4, 0xF << 60 | 5]))
    },
    Example("verify.first-contents", .hvm(), at: "after", 24) {
      $0.insert(StreamBuilder.record("VERIFY", 0x0D), after: "PAGE_DATA")
      $0.insert(
        .init("after", StreamBuilder.pages([0x10, 0x13]).bytes), before: "X86_TSC_INFO")
    },
    // A page that has none before is not loaded either.
    Example("verify.first-contents", .pv(), at: "PAGE_DATA", 16) {
      $0.insert(StreamBuilder.record("VERIFY", 0x0D), before: "PAGE_DATA")
    },
    Example("page-data.xalloc", .hvm(), at: "PAGE_DATA", 24) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1, 0xE << 60 | 2]))
    },
    Example("page-data.broken", .hvm(), at: "PAGE_DATA", 24) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1, 0xD << 60 | 2]))
    },
    Example("page-data.hvm-type", .hvm(), at: "PAGE_DATA", 24) {
      $0.replace("PAGE_DATA", StreamBuilder.pages([1, 0x9 << 60 | 2]))
    },
    Example("page-data.batch", .hvm(), at: "wrong", 8) {
      let many = StreamBuilder.pages((0..<1025).map { 0xF << 60 | 0x1000 + $0 })
      $0.insert(.init("wrong", many.bytes), before: "PAGE_DATA")
    },
  ]

  private static func basic(_ offset: Int, _ bytes: [UInt8], _ image: inout StreamBuilder) {
    image.poke("X86_PV_VCPU_BASIC", 16 + offset, bytes)
  }

  static let pv = [
    Example("x86-pv-info.width", .pv(), at: "X86_PV_INFO", 8) { $0.poke("X86_PV_INFO", 9, [3]) },
    Example("p2m-frames.range", .pv(), at: "X86_PV_P2M_FRAMES", 8) {
      $0.poke("X86_PV_P2M_FRAMES", 8, le32(6))
    },
    Example("p2m-frames.count", .pv(), at: "X86_PV_P2M_FRAMES", 4) {
      $0.poke("X86_PV_P2M_FRAMES", 12, le32(512))
    },
    Example("p2m-frames.hole", .pv(), at: "X86_PV_P2M_FRAMES") {
      $0.replace("X86_PV_P2M_FRAMES", StreamBuilder.p2m(start: 512, end: 600, [4]))
    },
    Example("p2m-frames.shrunk", .pv(), at: "wrong", 12) {
      let smaller = StreamBuilder.p2m(start: 0, end: 4, [4])
      $0.insert(.init("wrong", smaller.bytes), after: "X86_PV_P2M_FRAMES")
    },
    Example("p2m-frames.pfn", .pv(), at: "X86_PV_P2M_FRAMES", 16) {
      $0.poke("X86_PV_P2M_FRAMES", 16, le64(6))
    },
    Example("p2m-frames.page", .pv(), at: "X86_PV_P2M_FRAMES", 16) {
      $0.poke("X86_PV_P2M_FRAMES", 16, le64(3))
    },
    // Listed again when the pages are there.
    Example("p2m-frames.page", .pv(), at: "again", 16) {
      $0.insert(
        .init("again", StreamBuilder.p2m(start: 0, end: 5, [3]).bytes), after: "PAGE_DATA")
    },
    Example("p2m-frames.absent", .pv(), at: "X86_PV_P2M_FRAMES", 16) {
      $0.poke("X86_PV_P2M_FRAMES", 16, le64(0))
    },
    Example("p2m-frames.absent", .pv(), at: "again", 24) {
      $0.insert(
        .init("again", StreamBuilder.p2m(start: 0, end: 600, [4, 600]).bytes), after: "PAGE_DATA")
    },
    Example("vcpu.id", .pv(), at: "X86_PV_VCPU_MSRS", 8) {
      $0.poke("X86_PV_VCPU_MSRS", 8, le32(8192))
    },
    Example("vcpu-basic.size", .pv(), at: "X86_PV_VCPU_BASIC", 4) {
      $0.replace(
        "X86_PV_VCPU_BASIC", StreamBuilder.record("X86_PV_VCPU_BASIC", 4, zeros(8 + 2800)))
    },
    Example("vcpu-basic.gdt", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 4960) {
      basic(4960, le64(7169), &$0)
    },
    Example("vcpu-basic.gdt", .pv(width: 4), at: "X86_PV_VCPU_BASIC", 16 + 2644) {
      basic(2704, le32(513), &$0)
      basic(2644, le32(6), &$0)
    },
    Example("vcpu-basic.gdt-entries", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 4960) {
      basic(4960, le64(1 << 32), &$0)
    },
    Example("vcpu-basic.page-tables", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 5008) {
      basic(5008, le64(6 << 12), &$0)
    },
    // The greatest pfn is what it is at the end.
    Example("vcpu-basic.page-tables", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 5008) {
      basic(5008, le64(6 << 12), &$0)
      $0.move("X86_PV_VCPU_BASIC", before: "X86_PV_P2M_FRAMES")
    },
    Example("vcpu-basic.page-tables", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 4992) {
      basic(4992, le64(6 << 12 | 1), &$0)
    },
    Example("vcpu-basic.page-tables", .pv(width: 4), at: "X86_PV_VCPU_BASIC", 16 + 2728) {
      // Folded: bit 0 of cr3 is bit 20 of the frame.
      basic(2728, le32(3 << 12 | 1), &$0)
    },
    Example("vcpu-basic.start-info", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 616) {
      basic(616, le64(6), &$0)
    },
    Example("vcpu-basic.start-info", .pv(), at: "X86_PV_VCPU_BASIC", 16 + 616) {
      basic(616, le64(6), &$0)
      $0.move("X86_PV_VCPU_BASIC", before: "X86_PV_INFO")
    },
    Example("vcpu-extended.size", .pv(), at: "X86_PV_VCPU_EXTENDED", 4) {
      $0.replace(
        "X86_PV_VCPU_EXTENDED", StreamBuilder.record("X86_PV_VCPU_EXTENDED", 5, zeros(8 + 129)))
    },
    Example("vcpu-xsave.size", .pv(), at: "X86_PV_VCPU_XSAVE", 4) {
      $0.replace("X86_PV_VCPU_XSAVE", StreamBuilder.record("X86_PV_VCPU_XSAVE", 6, zeros(23)))
    },
    Example("vcpu-msrs.reserved", .pv(), at: "X86_PV_VCPU_MSRS", 20) {
      $0.poke("X86_PV_VCPU_MSRS", 20, [1])
    },
    Example("tsc-info.mode", .pv(), at: "X86_TSC_INFO", 8) { $0.poke("X86_TSC_INFO", 8, [4]) },
    Example("tsc-info.mode", .pv(), at: "X86_TSC_INFO", 8) { $0.poke("X86_TSC_INFO", 8, [3]) },
    Example("tsc-info.pvrdtscp", .pv(version: 2), at: "X86_TSC_INFO", 8) {
      $0.poke("X86_TSC_INFO", 8, [3])
    },
  ]

  /// An HVM guest with another context.
  private static func context(_ bytes: [UInt8], _ image: inout StreamBuilder) {
    image.replace("HVM_CONTEXT", StreamBuilder.record("HVM_CONTEXT", 9, bytes))
  }

  private static let entry = StreamBuilder.entry(19, 0, zeros(8))

  static let hvm = [
    Example("hvm-context.header", .hvm(), at: "HVM_CONTEXT", 8) {
      context(Array(StreamBuilder.context().dropFirst(32)), &$0)
    },
    Example("hvm-context.header", .hvm(), at: "HVM_CONTEXT", 16) {
      $0.poke("HVM_CONTEXT", 16, [0])
    },
    Example("hvm-context.header", .hvm(), at: "HVM_CONTEXT", 20) {
      $0.poke("HVM_CONTEXT", 20, [2])
    },
    Example("hvm-context.overrun", .hvm(), at: "HVM_CONTEXT", 44) {
      $0.poke("HVM_CONTEXT", 44, le32(1041))
    },
    Example("hvm-context.end", .hvm(), at: "HVM_CONTEXT", 8 + 32 + 1040) {
      context(Array(StreamBuilder.context().dropLast(8)), &$0)
    },
    Example("hvm-context.excess", .hvm(), at: "HVM_CONTEXT", 8 + 32 + 1040 + 8) {
      context(StreamBuilder.context() + [0], &$0)
    },
    Example("hvm-context.excess", .hvm(), at: "HVM_CONTEXT", 8 + 32 + 1040 + 4) {
      $0.poke("HVM_CONTEXT", 8 + 32 + 1040 + 4, [0, 0, 0, 0x80])
    },
    Example("hvm-context.duplicate", .hvm(), at: "HVM_CONTEXT", 8 + 32 + 16) {
      context(StreamBuilder.context([entry, entry]), &$0)
    },
    Example("hvm-context.type", .hvm(), at: "HVM_CONTEXT", 8 + 32) {
      context(StreamBuilder.context([StreamBuilder.entry(21, 0, [])]), &$0)
    },
    Example("hvm-context.type", .hvm(), at: "HVM_CONTEXT", 8 + 32) {
      let header = StreamBuilder.context().prefix(32)
      context(header + StreamBuilder.context(), &$0)
    },
    Example("hvm-context.entry-length", .hvm(), at: "HVM_CONTEXT", 8 + 32 + 4) {
      context(StreamBuilder.context([StreamBuilder.entry(2, 0, zeros(1040))]), &$0)
    },
    Example("hvm-context.cpu", .hvm(), at: "HVM_CONTEXT") {
      context(Array(StreamBuilder.context().prefix(32)) + zeros(8), &$0)
    },
    Example("hvm-params.count", .hvm(), at: "HVM_PARAMS", 8) { $0.poke("HVM_PARAMS", 8, [3]) },
    Example("hvm-params.index", .hvm(), at: "HVM_PARAMS", 32) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 1), (39, 1)]))
    },
    Example("hvm-params.page", .hvm(), at: "END") {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 0xFEFFC), (17, 0xFEFFF)]))
    },
    // None of the guest's last pages came.
    Example("hvm-params.page", .hvm(), at: "END") {
      $0.replace("PAGE_DATA", StreamBuilder.pages([0x10, 0x11]))
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 0x10), (17, 0xFEFFF)]))
    },
    Example("hvm-params.pvh", .hvm(), at: "HVM_PARAMS", 32) {
      $0.replace(
        "xl", StreamBuilder.xl(config: Array(#"{"c_info":{"type":"pvh"}}"#.utf8) + [0]))
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 1), (19, 0)]))
    },
    Example("hvm-params.duplicate", .hvm(), at: "HVM_PARAMS", 32) {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(1, 1), (1, 2)]))
    },
    Example("hvm-params.store-pfn", .hvm(), at: "END") {
      $0.replace("HVM_PARAMS", StreamBuilder.params([(17, 1)]))
    },
  ]
}
