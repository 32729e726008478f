// Rules for PAGE_DATA. What is cheap comes from the summary of its table; the table is searched only
// where the summary says that there is something to find.

internal import Bytes
internal import Format
internal import Stream

extension Rule {
  private static let handler = "Xen: tools/libs/guest/xg_sr_restore.c, handle_page_data"
  private static let spec = "Spec: libxc-migration-stream, PAGE_DATA"

  static let pageData: [Rule] = [
    Rule(
      "page-data.count", .error, "A PAGE_DATA record has at least one entry.", handler,
      .record([.pageData]) { look, record in
        guard record.body.count >= 8, record.pageCountField == 0 else { return }
        look.report(record, "count", at: 0, "expected at least 1, got 0")
      }),
    Rule(
      "page-data.table", .error, "The whole pfn table lies in the body.", handler,
      .record([.pageData]) { look, record in
        guard record.body.count >= 8, let count = record.pageCountField,
          UInt64(count) > (record.length - 8) / 8
        else { return }
        look.report(
          record, "count", at: 0,
          "expected at most \((record.length - 8) / 8) in \(record.length) bytes, got \(count)")
      }),
    Rule(
      "page-data.length", .error,
      "The body is its header, the table and one page for each entry that has contents.", handler,
      .pages { look, record, pages in
        let count = pages.counts.reduce(0, +)
        let expected = UInt64(8 + 8 * count) + UInt64(pages.dataCount) * UInt64(pageByteCount)
        guard count > 0, record.length != expected else { return }
        look.report(
          record, "length", at: -4,
          "expected \(expected) for \(count) entries and \(pages.dataCount) pages, got "
            + "\(record.length)")
      }),
    Rule(
      "page-data.type", .error, "Page types 5 to 8 are reserved.", handler,
      .pages { look, record, pages in
        guard pages.hasReservedType else { return }
        look.reportFirst(record, pages, { $0.type.isReserved }) {
          "expected type 0 to 4 or 9 to 15, got \($0.type.rawValue)"
        }
      }),
    Rule(
      "page-data.reserved-bits", .warning,
      "Bits 59 to 52 of an entry are zero: Xen passes over them.", spec,
      .pages { look, record, pages in
        guard pages.reservedBits != 0 else { return }
        look.reportFirst(record, pages, { $0.reservedBits != 0 }) {
          "expected bits 59 to 52 to be zero, got \($0.reservedBits.hex(2))"
        }
      }),
    Rule(
      "page-data.pfn-limit", .error,
      "A pfn is less than 2^40: x86 has 52 bits of physical address, and readers allocate up to it.",
      "Xen: tools/libs/guest/xg_sr_restore.c, pfn_set_populated",
      .pages { look, record, pages in
        guard pages.highestPFN >= 1 << 40 else { return }
        look.reportFirst(record, pages, { $0.pfn >= 1 << 40 }) {
          "expected a pfn below \((UInt64(1) << 40).hex()), got \($0.pfn.hex())"
        }
      }),
    Rule(
      "page-data.max-pfn", .error,
      "A PV guest's pfns are at most the greatest that X86_PV_P2M_FRAMES says.", handler,
      .pages { look, record, pages in
        guard look.libxc.guest == .x86PV, let limit = look.libxc.maxPFN,
          pages.highestPFN > limit, pages.highestPFN >= pages.lowestPFN
        else { return }
        look.reportFirst(record, pages, { $0.pfn > limit }) {
          "expected a pfn of at most \(limit.hex()), got \($0.pfn.hex())"
        }
      }),
    Rule(
      "page-data.duplicate", .warning,
      "A pfn stands once in a record: of two, Xen takes the last.",
      "Rationale: no saver writes it, and which of the two counts depends on the reader",
      .pages { look, record, pages in
        guard !pages.isAscending else { return }
        let count = pages.counts.reduce(0, +)
        var sorted = (0..<count).map { record.pageEntry($0).pfn }
        sorted.sort()
        guard let twice = (1..<sorted.count).first(where: { sorted[$0] == sorted[$0 - 1] })
        else { return }
        let pfn = sorted[twice]
        let places = (0..<count).lazy.filter { record.pageEntry($0).pfn == pfn }.prefix(2)
        let positions = Array(places)
        look.report(
          record, "pfn[\(positions[1])]", at: 8 + 8 * positions[1],
          "expected a pfn that is not in the record yet, got \(pfn.hex()) as in pfn[\(positions[0])]"
        )
      }),
    Rule(
      "verify.first-contents", .error,
      "A page whose contents come after VERIFY has come before it, too: VERIFY only compares.",
      "Xen: tools/libs/guest/xg_sr_restore.c, process_page_data",
      .pages { look, record, pages in
        guard look.libxc.has(.verify) else { return }
        look.reportFirst(
          record, pages,
          { $0.type.hasData && look.libxc.populated.contains($0.pfn) == false }
        ) { "expected contents of page \($0.pfn.hex()) before VERIFY, got none" }
      }),
    Rule(
      "page-data.xalloc", .warning, "XALLOC stands only in converted streams.",
      "Xen: xen/include/public/domctl.h, XEN_DOMCTL_PFINFO_XALLOC (Xen 4.2 to 4.5 sent it)",
      .pages { look, record, pages in
        guard pages.counts[0xE] > 0, !look.imageSummary.isConverted else { return }
        look.reportFirst(record, pages, { $0.type == .xalloc }) { _ in
          "expected a type that this release writes, got XALLOC"
        }
      }),
    Rule(
      "page-data.broken", .note, "No page of the guest was lost to a memory error.", spec,
      .pages { look, record, pages in
        guard pages.counts[0xD] > 0 else { return }
        look.reportFirst(record, pages, { $0.type == .broken }) {
          "expected contents, got BROKEN: page \($0.pfn.hex()) was lost to a memory error"
        }
      }),
    Rule(
      "page-data.hvm-type", .warning, "An HVM guest's pages are NOTAB, XTAB or BROKEN.", spec,
      .pages { look, record, pages in
        guard look.libxc.guest == .x86HVM,
          pages.counts[1..<5].reduce(0, +) > 0
            || pages.counts[9..<13].reduce(0, +) > 0
        else { return }
        look.reportFirst(record, pages, { $0.type.isPageTable }) {
          "expected NOTAB, XTAB or BROKEN, got \($0.type.name)"
        }
      }),
    Rule(
      "page-data.batch", .note, "Savers put at most 1024 pages in a record.",
      "Xen: tools/libs/guest/xg_save_restore.h, MAX_BATCH_SIZE",
      .pages { look, record, pages in
        let count = pages.counts.reduce(0, +)
        guard count > 1024 else { return }
        look.report(record, "count", at: 0, "expected at most 1024, got \(count)")
      }),
  ]
}

extension Record {
  /// PAGE_DATA's count as it is written, if it is there.
  fileprivate var pageCountField: UInt32? {
    body.count >= 4 ? body.load(0, as: UInt32.self, context.order) : nil
  }
}

extension VerificationContext {
  /// Reports the first entry of a table that `isWrong`.
  fileprivate func reportFirst(
    _ record: Record, _ pages: PageTableSummary, _ isWrong: (PageEntry) -> Bool,
    _ problem: (PageEntry) -> String
  ) {
    let count = pages.counts.reduce(0, +)
    guard let index = (0..<count).first(where: { isWrong(record.pageEntry($0)) }) else { return }
    report(record, "pfn[\(index)]", at: 8 + 8 * index, problem(record.pageEntry(index)))
  }
}
