// Examples for the rules of records in general and of their order.

import TestKit

extension Example {
  private static func unknown(_ type: UInt32, _ body: [UInt8] = []) -> StreamBuilder.Chunk {
    StreamBuilder.record("unknown", type, body)
  }

  static let records = [
    Example("record.length", .hvm(), at: "X86_TSC_INFO", 4) {
      $0.replace("X86_TSC_INFO", StreamBuilder.record("X86_TSC_INFO", 8, zeros(23)))
    },
    Example("record.excess", .hvm(), at: "END", 4) {
      $0.replace("END", StreamBuilder.record("END", 0, zeros(8)))
    },
    Example("record.excess", .pv(), at: "X86_PV_INFO", 4) {
      $0.replace("X86_PV_INFO", StreamBuilder.record("X86_PV_INFO", 2, [8, 4] + zeros(14)))
    },
    Example("record.empty", .pv(), at: "X86_PV_VCPU_MSRS", 4) {
      $0.replace(
        "X86_PV_VCPU_MSRS", StreamBuilder.record("X86_PV_VCPU_MSRS", 0x0C, zeros(8)))
    },
    Example("record.reserved", .hvm(), at: "X86_TSC_INFO", 28) {
      $0.poke("X86_TSC_INFO", 31, [1])
    },
    Example("record.padding", .pv(), at: "X86_PV_VCPU_EXTENDED", 8 + 65) {
      $0.replace(
        "X86_PV_VCPU_EXTENDED",
        StreamBuilder.record("X86_PV_VCPU_EXTENDED", 5, zeros(65), padding: 1))
    },
    Example("record.long", .hvm(), at: "unknown", 4) {
      $0.insert(unknown(0x8000_0001, zeros(8 << 20 + 8)), before: "END")
    },
    Example("record.unknown-mandatory", .hvm(), at: "unknown") {
      $0.insert(unknown(0x13), before: "END")
    },
    Example("record.unknown-optional", .hvm(), at: "unknown") {
      $0.insert(unknown(0x8000_0000, zeros(5)), before: "END")
    },
    Example("record.guest", .pv(), at: "HVM_PARAMS") {
      $0.insert(StreamBuilder.params([(1, 1)]), before: "END")
    },
    Example("record.version", .hvm(version: 2), at: "STATIC_DATA_END") {
      $0.insert(StreamBuilder.record("STATIC_DATA_END", 0x10), before: "PAGE_DATA")
    },
    Example("record.toolstack", .hvm(), at: "unknown") { $0.insert(unknown(0x0B), before: "END") },
    Example("record.back-channel", .hvm(), at: "unknown") {
      $0.insert(unknown(0x0F, le64(1)), before: "END")
    },
    Example("libxl-record.unknown", .hvm(), at: "unknown") {
      $0.insert(unknown(0x8000_0000), before: "libxl END")
    },
  ]

  static let order = [
    Example("static-data-end.missing", .hvm(), at: "PAGE_DATA") { $0.remove("STATIC_DATA_END") },
    Example("static-data-end.late", .hvm(), at: "STATIC_DATA_END") {
      $0.move("STATIC_DATA_END", before: "X86_TSC_INFO")
    },
    Example("static-data-end.duplicate", .hvm(), at: "PAGE_DATA", -8) {
      $0.double("STATIC_DATA_END")
    },
    Example("static-data.late", .hvm(), at: "X86_CPUID_POLICY") {
      $0.move("X86_CPUID_POLICY", before: "PAGE_DATA")
    },
    Example("static-data.duplicate", .hvm(), at: "STATIC_DATA_END", -24) {
      $0.double("X86_MSR_POLICY")
    },
    Example("x86-pv-info.duplicate", .pv(), at: "X86_CPUID_POLICY", -16) {
      $0.double("X86_PV_INFO")
    },
    Example("x86-pv-info.late", .pv(), at: "X86_PV_P2M_FRAMES") {
      $0.move("X86_PV_P2M_FRAMES", before: "X86_PV_INFO")
    },
    Example("x86-pv-info.late", .pv(), at: "SHARED_INFO") {
      $0.move("SHARED_INFO", before: "X86_PV_INFO")
    },
    Example("x86-pv-info.width-late", .pv(width: 4), at: "X86_PV_INFO") {
      $0.insert(
        StreamBuilder.record("wide", 4, le32(0, 0) + StreamBuilder.vcpu(width: 8)),
        before: "X86_PV_INFO")
    },
    Example("x86-pv-info.order", .pv(), at: "X86_PV_VCPU_BASIC") {
      $0.move("X86_PV_VCPU_BASIC", before: "X86_PV_INFO")
    },
    Example("x86-pv-info.order", .pv(width: 4), at: "X86_PV_VCPU_EXTENDED") {
      $0.move("X86_PV_VCPU_EXTENDED", before: "X86_PV_INFO")
    },
    Example("p2m-frames.late", .pv(), at: "PAGE_DATA") {
      $0.move("X86_PV_P2M_FRAMES", before: "X86_TSC_INFO")
    },
    Example("page-data.late", .pv(), at: "PAGE_DATA") { $0.move("PAGE_DATA", before: "END") },
    Example("checkpoint.optional", .remus(checkpoints: 1), at: "second") {
      $0.add(unknown(0x8000_0013))
      $0.add("second", StreamBuilder.record("CHECKPOINT", 0x0E).bytes)
      $0.add(StreamBuilder.record("CHECKPOINT_END", 4))
    },
    Example("verify.duplicate", .hvm(), at: "X86_TSC_INFO", -8) {
      $0.insert(StreamBuilder.record("VERIFY", 0x0D), before: "X86_TSC_INFO")
      $0.double("VERIFY")
    },
    Example("record.duplicate", .pv(), at: "X86_PV_VCPU_XSAVE", -72) {
      $0.double("X86_PV_VCPU_EXTENDED")
    },
    Example("record.duplicate", .hvm(), at: "HVM_CONTEXT", -32) { $0.double("X86_TSC_INFO") },
    Example("x86-pv-info.missing", .pv(), at: "END") { $0.remove("X86_PV_INFO") },
    Example("p2m-frames.missing", .pv(), at: "END") { $0.remove("X86_PV_P2M_FRAMES") },
    Example("shared-info.missing", .pv(), at: "END") { $0.remove("SHARED_INFO") },
    Example("x86-tsc-info.missing", .pv(), at: "END") { $0.remove("X86_TSC_INFO") },
    Example("hvm-context.missing", .hvm(), at: "END") { $0.remove("HVM_CONTEXT") },
    Example("hvm-params.missing", .hvm(), at: "END") { $0.remove("HVM_PARAMS") },
    Example("x86-cpuid-policy.missing", .hvm(), at: "END") { $0.remove("X86_CPUID_POLICY") },
    Example("page-data.missing", .hvm(), at: "END") {
      $0.replace("PAGE_DATA", StreamBuilder.pages([0xF << 60 | 1]))
    },
    Example("vcpu.first", .pv(), at: "END") { $0.remove("X86_PV_VCPU_BASIC") },
    Example("vcpu.basic", .pv(), at: "END") { $0.poke("X86_PV_VCPU_XSAVE", 8, le32(1)) },
  ]
}
