// Rules for the order of the libxc records, and for what each stream must have.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let strictOrder = "Spec: libxc-migration-stream, Layout, x86 PV Guest"
  private static let vcpuStates: [RecordType] = [
    .x86PVVCPUBasic, .x86PVVCPUExtended, .x86PVVCPUXsave, .x86PVVCPUMSRs,
  ]

  static let staticData: [Rule] = [
    Rule(
      "static-data-end.missing", .error,
      "In version 3, STATIC_DATA_END comes before memory and the p2m.",
      "Xen: tools/libs/guest/xg_sr_restore.c, handle_page_data",
      .record([.pageData, .x86PVP2MFrames, .end, .checkpoint]) { look, record in
        guard look.libxc.version == 3, !look.libxc.has(.staticDataEnd), look.count == 0
        else { return }
        look.report(record, "", "expected STATIC_DATA_END before it, got none")
      }),
    Rule(
      "static-data-end.late", .error, "STATIC_DATA_END comes before memory and the p2m.",
      "Spec: libxc-migration-stream, STATIC_DATA_END",
      .record([.staticDataEnd]) { look, record in
        guard let place = look.libxc.first[.pageData] ?? look.libxc.first[.x86PVP2MFrames]
        else { return }
        look.report(record, "", "expected it before \(place.text)")
      }),
    Rule(
      "static-data-end.duplicate", .error, "There is one STATIC_DATA_END.",
      "Xen: tools/libs/guest/xg_sr_restore.c, handle_static_data_end",
      .record([.staticDataEnd]) { look, record in look.reportSecond(record) }),
    Rule(
      "static-data.late", .warning,
      "Static records come before STATIC_DATA_END: Xen never applies a later policy.",
      "Spec: libxc-migration-stream, STATIC_DATA_END",
      .rows({ $0.phase == .staticData && $0.type != .staticDataEnd }) { look, record in
        guard let place = look.libxc.first[.staticDataEnd] else { return }
        look.report(record, "", "expected it before \(place.text)")
      }),
    Rule(
      "static-data.duplicate", .warning, "Each policy comes once: a second replaces the first.",
      "Xen: tools/libs/guest/xg_sr_common_x86.c, handle_x86_cpuid_policy",
      // Those that are named have rules of their own, or are draft B's.
      .rows({
        $0.phase == .staticData && ![.x86PVInfo, .staticDataEnd, .xenVersion].contains($0.type)
      }) { look, record in look.reportSecond(record) }),
  ]

  static let order: [Rule] = [
    Rule(
      "x86-pv-info.duplicate", .error, "There is one X86_PV_INFO.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, handle_x86_pv_info",
      .record([.x86PVInfo]) { look, record in look.reportSecond(record) }),
    Rule(
      "x86-pv-info.late", .error,
      "X86_PV_INFO comes before every record that depends on the guest's width.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, handle_x86_pv_p2m_frames and "
        + "handle_shared_info",
      .rows({
        $0.guests == .pv && ($0.phase == .startOfStream || $0.phase == .endOfCheckpoint)
          && $0.type != .vcpuContext && !Rule.vcpuStates.contains($0.type)
      }) { look, record in
        guard look.libxc.guest == .x86PV, !look.libxc.has(.x86PVInfo) else { return }
        look.report(record, "", "expected X86_PV_INFO before it, got none")
      }),
    Rule(
      "x86-pv-info.width-late", .error,
      "X86_PV_INFO of a 32-bit guest comes before its vCPUs: Xen takes those for 64-bit ones.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, handle_x86_pv_vcpu_blob",
      .record([.x86PVInfo]) { look, record in
        guard look.libxc.guest == .x86PV, record.body.first == 4,
          let place = look.libxc.newContexts.first?.context.record
        else { return }
        look.report(record, "", "expected it before \(place.text)")
      }),
    Rule(
      "x86-pv-info.order", .warning,
      "X86_PV_INFO comes before all vCPUs: Xen takes those of 64 bits before it, too.", strictOrder,
      .record(vcpuStates) { look, record in
        guard look.libxc.guest == .x86PV, !look.libxc.has(.x86PVInfo) else { return }
        look.report(record, "", "expected X86_PV_INFO before it, got none")
      }),
    Rule(
      "p2m-frames.late", .error,
      "X86_PV_P2M_FRAMES comes before PAGE_DATA: it says which pfns there are.", strictOrder,
      .record([.pageData]) { look, record in
        guard look.libxc.guest == .x86PV, !look.libxc.has(.x86PVP2MFrames), look.count == 0
        else { return }
        look.report(record, "", "expected X86_PV_P2M_FRAMES before it, got none")
      }),
    Rule(
      "page-data.late", .warning, "The pages of a PV guest come before its vCPUs.", strictOrder,
      .record([.pageData]) { look, record in
        guard look.libxc.guest == .x86PV, look.count == 0,
          let place = look.libxc.checkpoint.firstOfVCPUs
        else { return }
        look.report(record, "", "expected it before \(place.text)")
      }),
    Rule(
      "checkpoint.optional", .error,
      "Between two CHECKPOINT records there is none of an optional type: Xen refuses the second.",
      "Xen: tools/libs/guest/xg_sr_restore.c, handle_checkpoint",
      .record([.checkpoint]) { look, record in
        // Before the first, Xen passes over such a record as it comes.
        guard look.libxc.has(.checkpoint), let place = look.libxc.checkpoint.unknown else { return }
        look.report(
          record, "", "expected only records that Xen knows since the last one, got \(place.text)")
      }),
    Rule(
      "verify.duplicate", .warning, "There is one VERIFY.",
      "Spec: libxc-migration-stream, VERIFY",
      .record([.verify]) { look, record in look.reportSecond(record) }),
    Rule(
      "record.duplicate", .warning,
      "State comes once in a checkpoint: a second record replaces the first.",
      "Xen: tools/libs/guest/xg_sr_common.h, update_blob",
      // Of HVM_PARAMS a second record adds to the first.
      .rows({
        $0.phase == .endOfCheckpoint && $0.type.layer == .libxc
          && ![.hvmParams, .vcpuContext].contains($0.type)
      }) { look, record in
        let checkpoint = look.libxc.checkpoint
        if RecordSchemas.of(record.type)?.perVCPU == true {
          guard let id = record.vcpuID, record.length > 8, checkpoint.has(record.type, vcpu: id)
          else { return }
          look.report(record, "vcpu_id", at: 0, "expected a vCPU that has none yet, got \(id)")
        } else if let place = checkpoint.first[record.type] {
          look.report(record, "", "expected one, got a second after \(place.text)")
        }
      }),
  ]

  /// What must have come by END or CHECKPOINT.
  static let completeness: [Rule] = [
    missing(
      .x86PVInfo, of: .x86PV, .error, "A PV stream has X86_PV_INFO.", strictOrder),
    missing(
      .x86PVP2MFrames, of: .x86PV, .error, "A PV stream has X86_PV_P2M_FRAMES.", strictOrder),
    missing(
      .sharedInfo, of: .x86PV, .error, "A PV stream has SHARED_INFO.", strictOrder,
      eachCheckpoint: true),
    missing(
      .x86TSCInfo, of: nil, .warning, "A stream has X86_TSC_INFO: else guest time jumps.",
      "Spec: libxc-migration-stream, Layout", eachCheckpoint: true),
    missing(
      .hvmContext, of: .x86HVM, .error, "An HVM stream has HVM_CONTEXT: Xen refuses to load none.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_hvm.c, x86_hvm_stream_complete",
      eachCheckpoint: true),
    missing(
      .hvmParams, of: .x86HVM, .error,
      "An HVM stream has HVM_PARAMS: else the guest has no xenstore and console.",
      "Spec: libxc-migration-stream, Layout, x86 HVM Guest", eachCheckpoint: true),
    Rule(
      "x86-cpuid-policy.missing", .note,
      "A stream of version 3 has X86_CPUID_POLICY: else the toolstack makes a new one.",
      "Xen: tools/libs/guest/xg_sr_restore.c, handle_static_data_end",
      .completion { look, record in
        guard look.libxc.version == 3, !look.libxc.has(.x86CPUIDPolicy), look.count == 0
        else { return }
        look.report(record, "", "expected X86_CPUID_POLICY before it, got none")
      }),
    Rule(
      "page-data.missing", .error, "A stream has pages with contents.",
      "Rationale: a guest without memory was never saved",
      .completion { look, record in
        guard !look.libxc.hasPages, look.count == 0 else { return }
        look.report(record, "", "expected PAGE_DATA with pages before it, got none")
      }),
    Rule(
      "vcpu.first", .error, "The state of a PV guest's vCPU 0 is in the stream.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, update_vcpu_context",
      .completion { look, record in
        guard look.libxc.guest == .x86PV, !look.libxc.checkpoint.has(.x86PVVCPUBasic, vcpu: 0)
        else { return }
        look.report(record, "", "expected X86_PV_VCPU_BASIC of vCPU 0 before it, got none")
      }),
    Rule(
      "vcpu.basic", .warning, "A vCPU with any state has X86_PV_VCPU_BASIC.", strictOrder,
      .completion { look, record in
        let vcpus = look.libxc.checkpoint.vcpus
        let basic = vcpus[.x86PVVCPUBasic] ?? []
        let other = vcpus.reduce(into: Set<UInt32>()) { all, item in
          if item.key != .x86PVVCPUBasic { all.formUnion(item.value) }
        }
        for id in other.subtracting(basic).sorted() where id != 0 {
          look.report(record, "", "expected X86_PV_VCPU_BASIC of vCPU \(id) before it, got none")
        }
      }),
  ]

  /// "hvm-params.missing" and so on: a rule that a record came.
  private static func missing(
    _ type: RecordType, of guest: GuestType?, _ severity: Severity, _ sentence: String,
    _ source: String, eachCheckpoint: Bool = false
  ) -> Rule {
    let name = type.name
    let id = String(name.lowercased().map { $0 == "_" ? "-" : $0 })
      .replacing("x86-pv-p2m", with: "p2m")
    return Rule(
      id + ".missing", severity, sentence, source,
      .completion { look, record in
        guard guest == nil || look.libxc.guest == guest else { return }
        let exists =
          eachCheckpoint ? look.libxc.checkpoint.has(type) : look.libxc.has(type)
        guard !exists, eachCheckpoint || look.count == 0 else { return }
        look.report(record, "", "expected \(name) before it, got none")
      })
  }
}

extension VerificationContext {
  /// Reports a record of a type that has come already.
  func reportSecond(_ record: Record) {
    guard let place = libxc.first[record.type] else { return }
    report(record, "", "expected one, got a second after \(place.text)")
  }
}
