// Rules for the bodies of PV records, and for X86_TSC_INFO.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let file = "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, "

  static let pv: [Rule] = [
    Rule(
      "x86-pv-info.width", .error, "A guest has words of 4 bytes and 3 table levels, or 8 and 4.",
      file + "valid_x86_pv_info_combination",
      .record([.x86PVInfo]) { look, record in
        guard record.body.count >= 2 else { return }
        let width = record.body[0]
        let levels = record.body[1]
        guard (width, levels) != (4, 3), (width, levels) != (8, 4) else { return }
        look.report(
          record, "guest_width", at: 0,
          "expected width 4 with 3 levels or 8 with 4, got \(width) with \(levels)")
      }),
    Rule(
      "p2m-frames.range", .error, "The p2m's first pfn is not greater than its last.",
      file + "handle_x86_pv_p2m_frames",
      .record([.x86PVP2MFrames]) { look, record in
        guard let (start, end) = record.p2mBounds, start > end else { return }
        look.report(
          record, "p2m_start_pfn", at: 0, "expected at most \(end.hex()), got \(start.hex())")
      }),
    Rule(
      "p2m-frames.count", .error,
      "Every page of the p2m from the first pfn's to the last's is listed.",
      file + "handle_x86_pv_p2m_frames",
      .record([.x86PVP2MFrames]) { look, record in
        guard let range = P2MFrames.range(of: record),
          record.length != 8 + 8 * UInt64(range.count)
        else { return }
        look.report(
          record, "length", at: -4,
          "expected \(8 + 8 * UInt64(range.count)) for \(range.count) frames, got \(record.length)")
      }),
    Rule(
      "p2m-frames.hole", .error, "The p2m begins at pfn 0 and has no holes.",
      file + "update_guest_p2m",
      .completion { look, record in
        guard look.p2mLimit(at: record) != nil, !look.libxc.p2m.isIncomplete else { return }
        look.reportFrames { index, pfn in
          pfn == P2MFrames.hole ? "expected the pfn of part \(index) of the p2m, got none" : nil
        }
      }),
    Rule(
      "p2m-frames.shrunk", .warning, "A further X86_PV_P2M_FRAMES says a greater last pfn.",
      "Spec: libxc-migration-stream, X86_PV_P2M_FRAMES",
      .record([.x86PVP2MFrames]) { look, record in
        guard let (_, end) = record.p2mBounds, let before = look.libxc.maxPFN, end < before
        else { return }
        look.report(
          record, "p2m_end_pfn", at: 4, "expected at least \(before.hex()), got \(end.hex())")
      }),
    Rule(
      "p2m-frames.pfn", .error, "The pages of the p2m are pages of the guest.",
      file + "update_guest_p2m",
      .completion { look, record in
        guard let limit = look.p2mLimit(at: record) else { return }
        look.reportFrames { _, pfn in
          pfn > limit && pfn != P2MFrames.hole
            ? "expected a pfn of at most \(limit.hex()), got \(pfn.hex())" : nil
        }
      }),
    Rule(
      "p2m-frames.page", .error, "The pages of the p2m are ordinary pages (NOTAB).",
      file + "update_guest_p2m",
      .completion { look, record in
        guard let limit = look.p2mLimit(at: record) else { return }
        look.reportFrames { index, pfn in
          guard pfn <= limit, let type = look.libxc.p2m.wrongType(index) else { return nil }
          return "pfn \(pfn.hex()): expected a page of type NOTAB, got \(type.name)"
        }
      }),
    Rule(
      "p2m-frames.absent", .warning,
      "The pages of the p2m came: others exist only where a page table names them.",
      file + "update_guest_p2m",
      .completion { look, record in
        guard let limit = look.p2mLimit(at: record) else { return }
        look.reportFrames { index, pfn in
          pfn <= limit && look.libxc.p2m.isMissing(index)
            ? "expected pfn \(pfn.hex()) in PAGE_DATA, got none" : nil
        }
      }),
    Rule(
      "vcpu.id", .error, "A vCPU's number is below \(ImageSummary.vcpuLimit).",
      file + "handle_x86_pv_vcpu_blob; xen/arch/x86/include/asm/config.h, MAX_VIRT_CPUS",
      .rows({ $0.isVCPUStateOfXen }) {
        look, record in
        guard let id = record.vcpuID, record.length > 8, id >= ImageSummary.vcpuLimit else {
          return
        }
        look.report(
          record, "vcpu_id", at: 0, "expected less than \(ImageSummary.vcpuLimit), got \(id)")
      }),
    Rule(
      "vcpu-basic.size", .error, "The context has the size of the guest's width.",
      file + "handle_x86_pv_vcpu_blob",
      .record([.x86PVVCPUBasic]) { look, record in
        let width = PVContext.width(at: record)
        guard let context = PVContext.byteCount(guestWidth: width), record.length > 8,
          record.length != UInt64(8 + context)
        else { return }
        look.report(
          record, "length", at: -4,
          "expected \(8 + context) for a guest of width \(width), got \(record.length)")
      }),
    Rule(
      "vcpu-basic.gdt", .error,
      "The GDT has at most 7168 entries, in pages of the guest.", file + "process_vcpu_basic",
      .contexts { look, _, context, limit in
        guard context.gdtEntryCount <= 7168 else {
          look.report(
            context, "gdt_ents", at: context.gdtEntriesOffset,
            "expected at most 7168, got \(context.gdtEntryCount)")
          return
        }
        for index in context.gdtFrames.indices {
          let (pfn, offset) = context.gdtFrame(index)
          guard pfn > limit else { continue }
          look.report(
            context, "gdt_frames[\(index)]", at: offset,
            "expected a pfn of at most \(limit.hex()), got \(pfn.hex())")
        }
      }),
    Rule(
      "vcpu-basic.gdt-entries", .error,
      "gdt_ents has 32 bits: Xen counts the pages of the GDT by 64, and takes 16 of them.",
      "Xen: xen/arch/x86/domain.c, arch_set_info_guest", since: 14,
      .contexts { look, _, context, _ in
        let pages = UInt32(truncatingIfNeeded: (context.gdtEntries &+ 511) / 512)
        guard context.gdtEntryCount <= 7168, pages > 16 else { return }
        look.report(
          context, "gdt_ents", at: context.gdtEntriesOffset,
          "expected at most 7168, got \(context.gdtEntries.hex())")
      }),
    Rule(
      "vcpu-basic.page-tables", .error, "cr3, and a 64-bit guest's user tables, are in its pages.",
      file + "process_vcpu_basic",
      .contexts { look, _, context, limit in
        for (name, pfn, offset) in context.pageTables where pfn > limit {
          look.report(
            context, name, at: offset,
            "expected a pfn of at most \(limit.hex()), got \(pfn.hex())")
        }
      }),
    Rule(
      "vcpu-basic.start-info", .error, "vCPU 0's edx is the pfn of the start info, a guest's page.",
      file + "process_start_info",
      .contexts { look, vcpu, context, limit in
        let (pfn, offset) = context.startInfo
        guard vcpu == 0, pfn > limit else { return }
        look.report(
          context, "user_regs.edx", at: offset,
          "expected a pfn of at most \(limit.hex()), got \(pfn.hex())")
      }),
    Rule(
      "vcpu-extended.size", .error, "The extended context has at most 128 bytes.",
      file + "handle_x86_pv_vcpu_blob",
      .record([.x86PVVCPUExtended]) { look, record in
        guard record.length > 8 + 128 else { return }
        look.report(record, "length", at: -4, "expected at most 136, got \(record.length)")
      }),
    Rule(
      "vcpu-xsave.size", .error, "The extended processor state has at least 16 bytes.",
      file + "handle_x86_pv_vcpu_blob",
      .record([.x86PVVCPUXsave]) { look, record in
        guard record.length > 8, record.length < 8 + 16 else { return }
        look.report(record, "length", at: -4, "expected 8 or at least 24, got \(record.length)")
      }),
    Rule(
      "vcpu-msrs.reserved", .error, "The reserved bytes of an MSR are zero: Xen refuses others.",
      "Xen: xen/arch/x86/domctl.c, XEN_DOMCTL_set_vcpu_msrs",
      .record([.x86PVVCPUMSRs]) { look, record in
        for offset in stride(from: 8, through: record.body.count - 16, by: 16) {
          let reserved = record.body.load(offset + 4, as: UInt32.self)
          guard reserved != 0 else { continue }
          look.report(
            record, "msr[\((offset - 8) / 16)].reserved", at: offset + 4,
            "expected 0, got \(reserved.hex())")
        }
      }),
  ]

  static let tsc: [Rule] = [
    Rule(
      "tsc-info.mode", .error, "The mode is one that Xen has: 0 to 2, and 3 before 4.12.",
      "Xen: xen/arch/x86/time.c, tsc_set_info", since: 12,
      .record([.x86TSCInfo]) { look, record in
        guard record.body.count >= 4 else { return }
        let mode = record.body.load(0, as: UInt32.self, record.context.order)
        // Version 3 came after the release that dropped mode 3.
        let greatest: UInt32 = look.libxc.version == 3 ? 2 : 3
        guard mode > greatest else { return }
        look.report(record, "mode", at: 0, "expected 0 to \(greatest), got \(mode)")
      }),
    Rule(
      "tsc-info.pvrdtscp", .error, "The mode is not 3 (PVRDTSCP): Xen refuses it since 4.12.",
      "Xen: xen/arch/x86/time.c, tsc_set_info", since: 12,
      .record([.x86TSCInfo]) { look, record in
        guard record.body.count >= 4, look.libxc.version != 3,
          record.body.load(0, as: UInt32.self, record.context.order) == 3
        else { return }
        look.report(record, "mode", at: 0, "expected 0 to 2, got 3")
      }),
  ]
}

extension Rule.Check {
  /// The last contexts of vCPUs, where a checkpoint or the stream ends: Xen looks only then at what
  /// they name. With a vCPU's number and the guest's greatest pfn.
  static func contexts(
    _ check: @escaping @Sendable (VerificationContext, UInt32, PVContext, UInt64) -> Void
  ) -> Rule.Check {
    .completion { look, _ in
      guard let limit = look.libxc.maxPFN else { return }
      for (vcpu, context) in look.libxc.newContexts { check(look, vcpu, context, limit) }
    }
  }
}

extension VerificationContext {
  /// The guest's greatest pfn, where it is time to look at the p2m; nil elsewhere.
  fileprivate func p2mLimit(at record: Record) -> UInt64? {
    guard libxc.guest == .x86PV, count == 0, libxc.p2m.isToBeChecked(at: record) else { return nil }
    return libxc.maxPFN
  }

  /// Reports the first page of the p2m that has a problem, and how many more have one.
  fileprivate func reportFrames(_ problem: (Int, UInt64) -> String?) {
    let wrong = libxc.p2m.pfns.indices.filter { problem($0, libxc.p2m.pfns[$0]) != nil }
    guard let index = wrong.first, let spot = libxc.p2m.spot(of: index),
      let text = problem(index, libxc.p2m.pfns[index])
    else { return }
    report(
      offset: spot.offset, place: spot.record.name, spot.field,
      text + (wrong.count > 1 ? " (and \(wrong.count - 1) more like it)" : ""))
  }
}
