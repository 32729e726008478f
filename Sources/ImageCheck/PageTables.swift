// The page tables, the GDTs and the start info of a PV guest, held against what a restore checks in
// them.

internal import Bytes
internal import Format
internal import Stream
internal import SystemIO

extension Rule {
  private static let localise = "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, x86_pv_localise_page"
  private static let promote = "Xen: xen/arch/x86/mm.c, promote_l1_table to promote_l4_table"

  /// Those of `verify --pages`.
  static let pages: [Rule] = [
    Rule(
      "page-table.pfn", .error, "Entries of page tables name pages of the guest.", localise,
      .framing),
    Rule(
      "page-table.flags", .error, "Entries of page tables have only flags that Xen allows.",
      promote, .framing),
    Rule(
      "page-table.granted", .warning,
      "No entry of a page has bit 62, which marks granted pages: debug builds of Xen refuse it.",
      "Xen: xen/arch/x86/include/asm/page.h, _PAGE_GNTTAB", .framing),
    Rule(
      "page-table.type", .error,
      "A page table's entries name tables of the next level, and each table has one level.",
      promote, .framing),
    Rule(
      "page-table.empty", .warning,
      "What page tables name as tables came as such: Xen takes any page that has no entries.",
      promote, .framing),
    Rule(
      "page-table.absent", .error,
      "The tables that page tables name have come: Xen takes one of zeros, and the guest faults on its pages.",
      localise + "; xl of 4.17", .framing),
    Rule(
      "page-table.pae-slot", .error,
      "Slot 3 of a 32-bit guest's top table names a table that nothing else names.",
      "Xen: xen/arch/x86/mm.c, promote_l3_table and pae_xen_mappings_check", .framing),
    Rule(
      "page-table.writable", .error, "No page table and no page of a GDT is mapped writable.",
      promote + "; get_page_from_l1e", .framing),
    Rule(
      "page-table.descriptor", .error,
      "The present descriptors in a GDT's pages are of code and data segments and of call gates.",
      "Xen: xen/arch/x86/pv/descriptor-tables.c, validate_segdesc_page", .framing),
    Rule(
      "page-table.populated", .error,
      "The pages of the start info, the GDTs, the p2m, xenstore and the console came, or a table "
        + "names them.",
      "Xen: tools/libs/guest/xg_sr_common_x86_pv.c, mfn_in_pseudophysmap", .framing),
    Rule(
      "page-table.ring", .error,
      "The pages of xenstore and the console are no page tables: dom0 writes to them.",
      "Xen: tools/console/daemon/io.c, domain_create_ring; xl of 4.17", .framing),
    Rule(
      "start-info.pfn", .error, "The start info names pages of the guest.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, process_start_info", .framing),
  ]
}

/// Reads the pages of a PV guest that a restore looks into. Memory grows with the number of its
/// page tables, about one page in 500, and with how often they came.
struct PageTableCheck {
  private let inspection: VerificationContext
  private let source: Source
  private let contexts: [UInt32: PVContext]
  private let isWide: Bool
  /// The guest's greatest pfn: at the end, and as far as the walk has come.
  private let limit: UInt64
  private var limitSoFar: UInt64 = 0
  /// VERIFY came: pages are compared, and stay as they are.
  private var isComparing = false

  /// A page of PAGE_DATA, and where its contents are.
  private struct Place {
    let pfn: UInt64
    var type: PageType
    let offset: UInt64
    let record: Int
  }

  /// Every time that a page table came, with the greatest pfn of that time.
  private var sent: [(place: Place, limit: UInt64)] = []
  /// The page tables, the start info and the pages of GDTs, as they came last.
  private var places: [UInt64: Place] = [:]
  /// The tables that Xen will look into, with their levels.
  private var levels: [UInt64: Int] = [:]
  /// The pages of GDTs.
  private let descriptors: Set<UInt64>

  /// Where a page is named.
  private struct Spot {
    let offset: UInt64
    let place: String
    let field: String
  }

  /// Pages that Xen has to have and that did not come.
  private var missing: [UInt64: Spot] = [:]

  /// An entry that names a page as a table of a level.
  private struct Name {
    let place: Place
    let slot: Int
    let level: Int

    var field: String { "pfn \(place.pfn.hex())[\(slot)]" }
  }

  /// What is named as a table and is of another type, with an entry that does it.
  private var others: [UInt64: Name] = [:]
  /// The tables in slot 3 of a 32-bit guest's top tables, where Xen's own mappings are, too.
  private var tablesOfXen: Set<UInt64> = []

  init?(_ inspection: VerificationContext, _ source: Source) {
    guard inspection.libxc.guest == .x86PV, let limit = inspection.libxc.maxPFN else { return nil }
    let contexts = inspection.libxc.contexts
    self.inspection = inspection
    self.source = source
    self.contexts = contexts
    self.limit = limit
    isWide = contexts.values.contains { $0.isWide }
    descriptors = Set(contexts.values.flatMap(\.gdtFrames))
  }

  mutating func run(from start: UInt64) throws {
    try walk(from: start) { (check: inout PageTableCheck, record) in check.locate(record) }
    noteMissing()
    try checkStartInfo()
    for (place, limit) in sent { try checkTargets(place, limit) }
    for (pfn, spot) in missing.sorted(by: { $0.value.offset < $1.value.offset }) {
      inspection.report(
        rule: "page-table.populated", offset: spot.offset, place: spot.place, spot.field,
        "expected a page that came or that a page table names, got neither (pfn \(pfn.hex()))")
    }
    try checkDescriptors()
    try checkLevels(from: start)
  }

  /// Shows each record to `visit`, without its contents.
  private mutating func walk(
    from start: UInt64, _ visit: (inout PageTableCheck, Record) -> Void
  ) throws {
    source.seek(start)
    var reader = StreamReader(source)
    while let part = try reader.next() {
      if case .record(let record) = part { visit(&self, record) }
    }
  }

  /// Shows the pages of PAGE_DATA to `visit`, those without contents, too.
  private static func forEachPage(of record: Record, _ visit: (Place) -> Void) {
    guard let count = record.pageEntryCount else { return }
    var offset = record.bodyOffset + 8 + 8 * UInt64(count)
    for index in 0..<count {
      let entry = record.pageEntry(index)
      visit(Place(pfn: entry.pfn, type: entry.type, offset: offset, record: record.index))
      if entry.type.hasData { offset += UInt64(pageByteCount) }
    }
  }

  /// Notes where the contents of the pages are that are looked into.
  private mutating func locate(_ record: Record) {
    switch record.type {
    case .verify: isComparing = true
    case .x86PVP2MFrames: limitSoFar = max(limitSoFar, record.p2mBounds?.end ?? 0)
    case .pageData:
      let startInfo = contexts[0]?.startInfo.pfn
      PageTableCheck.forEachPage(of: record) { page in
        if page.type.isPageTable { sent.append((page, limitSoFar)) }
        if isComparing {
          places[page.pfn]?.type = page.type
        } else if page.type.isPageTable || page.pfn == startInfo
          || descriptors.contains(page.pfn)
        {
          places[page.pfn] = page
        } else if !places.isEmpty {
          places[page.pfn] = nil
        }
      }
    default: break
    }
  }

  private func contents(_ place: Place) throws -> [UInt8]? {
    guard place.type.hasData else { return nil }
    source.seek(place.offset)
    let bytes = try source.read(pageByteCount)
    return bytes.count == pageByteCount ? bytes : nil
  }

  /// The contents of a page table; nil where the page is none.
  private func table(_ pfn: UInt64) throws -> (place: Place, entries: [PageTableEntry])? {
    guard let place = places[pfn], place.type.isPageTable, let bytes = try contents(place)
    else { return nil }
    return (place, PageTableEntry.all(in: bytes))
  }

  private func report(
    _ rule: String, _ place: Place, _ offset: Int, _ field: String, _ problem: String
  ) {
    inspection.report(
      rule: rule, offset: place.offset + UInt64(offset),
      place: "record \(place.record) (PAGE_DATA)", field, problem)
  }

  private func report(_ rule: String, _ name: Name, _ problem: String) {
    report(rule, name.place, 8 * name.slot, name.field, problem)
  }

  // MARK: - What has to be there

  /// Notes the pages that Xen looks for and that did not come: only a page table can make them.
  private mutating func noteMissing() {
    for (vcpu, context) in contexts.sorted(by: { $0.key < $1.key }) {
      for (name, pfn, offset) in context.ordinaryPages(of: vcpu)
      where inspection.libxc.isAbsent(pfn) {
        note(
          pfn,
          Spot(
            offset: context.bodyOffset + UInt64(offset), place: context.record.name, field: name))
      }
    }
    let p2m = inspection.libxc.p2m
    for index in p2m.pfns.indices where p2m.isMissing(index) {
      guard let (record, offset, field) = p2m.spot(of: index) else { continue }
      note(p2m.pfns[index], Spot(offset: offset, place: record.name, field: field))
    }
  }

  private mutating func note(_ pfn: UInt64, _ spot: Spot) {
    if pfn <= limit, missing[pfn] == nil { missing[pfn] = spot }
  }

  private mutating func checkStartInfo() throws {
    guard let context = contexts[0], let place = places[context.startInfo.pfn],
      !place.type.isPageTable, let bytes = try contents(place)
    else { return }
    for (name, wide, narrow) in [("store_mfn", 56, 44), ("console.domU.mfn", 72, 52)] {
      let offset = context.isWide ? wide : narrow
      let pfn =
        context.isWide
        ? bytes.load(offset, as: UInt64.self) : UInt64(bytes.load(offset, as: UInt32.self))
      if pfn > limit {
        report(
          "start-info.pfn", place, offset, name,
          "expected a pfn of at most \(limit.hex()), got \(pfn.hex())")
      } else if let type = places[pfn]?.type, type.isPageTable {
        report(
          "page-table.ring", place, offset, name,
          "expected a page of its own, got pfn \(pfn.hex()), which is \(type.name)")
      } else if inspection.libxc.populated.contains(pfn) == false {
        note(
          pfn,
          Spot(
            offset: place.offset + UInt64(offset), place: "record \(place.record) (PAGE_DATA)",
            field: name))
      }
    }
  }

  /// Every page that an entry names has to be one of the guest: once a table, its entries are
  /// translated, whether Xen will use it or not. Those that did not come are made.
  private mutating func checkTargets(_ place: Place, _ limit: UInt64) throws {
    guard let bytes = try contents(place) else { return }
    for entry in PageTableEntry.all(in: bytes) {
      if entry.pfn > limit {
        report(
          "page-table.pfn", place, 8 * entry.slot, "pfn \(place.pfn.hex())[\(entry.slot)]",
          "expected a pfn of at most \(limit.hex()), got \(entry.pfn.hex())")
      } else if !missing.isEmpty {
        missing[entry.pfn] = nil
      }
    }
  }

  // MARK: - GDTs

  /// Xen looks at all descriptors of a page, whatever the number of entries is.
  private func checkDescriptors() throws {
    for pfn in descriptors.sorted() {
      guard let place = places[pfn], place.type == .notab, let bytes = try contents(place)
      else { continue }
      let wrong = (0..<512).filter {
        !isAllowed(
          bytes.load(8 * $0, as: UInt32.self), bytes.load(8 * $0 + 4, as: UInt32.self))
      }
      guard let first = wrong.first else { continue }
      report(
        "page-table.descriptor", place, 8 * first, "pfn \(pfn.hex())[\(first)]",
        "expected a segment, a call gate or one that is not present, got "
          + bytes.load(8 * first, as: UInt64.self).hex(16)
          + (wrong.count > 1 ? " (and \(wrong.count - 1) more like it)" : ""))
    }
  }

  /// Whether Xen takes a descriptor. Xen: check_descriptor.
  private func isAllowed(_ low: UInt32, _ high: UInt32) -> Bool {
    let isPresent = high & 1 << 15 != 0
    let isSegment = high & 1 << 12 != 0
    let is64Bit = high & 1 << 21 != 0
    guard isPresent else { return true }
    if isSegment { return isWide || !is64Bit }
    switch high >> 8 & 0xF {
    case 0: return true
    case 0xC:
      // Of the guest's GDT, of its LDT, or the segment that Xen has for a kernel's code.
      let selector = low >> 16
      let kernel: UInt32 = isWide ? 0xE033 : 0xE019
      guard selector >> 3 < 7168 || selector & 4 != 0 || selector == kernel else { return false }
      let reserved: UInt32 = isWide ? 0xFF : 0xE0
      return high & reserved == 0
    default: return false
    }
  }

  // MARK: - Levels

  /// Goes from the tables that vCPUs use, and from those that are pinned, down to those of level 1:
  /// at these all tables are known.
  private mutating func checkLevels(from start: UInt64) throws {
    guard !contexts.isEmpty else { return }
    let top = isWide ? 4 : 3
    var tables = [[UInt64]](repeating: [], count: top + 1)
    var roots: [(pfn: UInt64, level: Int)] = []
    for (_, context) in contexts.sorted(by: { $0.key < $1.key }) {
      roots += context.pageTables.map { ($0.pfn, top) }
    }
    for place in places.values.filter(\.type.isPinned).sorted(by: { $0.pfn < $1.pfn }) {
      // Xen passes over a pin of a level that the guest does not have.
      if let level = place.type.tableLevel, level <= top { roots.append((place.pfn, level)) }
    }
    for (pfn, level) in roots where levels[pfn] == nil {
      levels[pfn] = level
      tables[level].append(pfn)
    }
    for level in stride(from: top, to: 1, by: -1) {
      if level == 2, !isWide { try checkTopSlots(of: tables[3]) }
      for pfn in tables[level] {
        guard let (place, entries) = try table(pfn) else { continue }
        for entry in entries where isGuests(entry.slot, of: pfn, level) {
          checkFlags(place, entry, level)
          guard entry.pfn <= limit, let next = child(of: place, entry, level) else { continue }
          tables[level - 1].append(next)
        }
      }
    }
    try checkOthers(from: start)
    try checkMappings(tables[1])
  }

  /// Whether an entry is the guest's and not Xen's.
  private func isGuests(_ slot: Int, of pfn: UInt64, _ level: Int) -> Bool {
    switch level {
    case 4: !PageTableEntry.slotsOfXen.contains(slot)
    case 3: isWide || slot < 4
    default: slot < PageTableEntry.firstNarrowSlotOfXen || !tablesOfXen.contains(pfn)
    }
  }

  /// The table that an entry names, if it has not been seen yet.
  private mutating func child(
    of place: Place, _ entry: PageTableEntry, _ level: Int
  ) -> UInt64? {
    let name = Name(place: place, slot: entry.slot, level: level - 1)
    guard places[entry.pfn]?.type.isPageTable == true else {
      if let before = others[entry.pfn], before.level != name.level {
        reportLevel(name, entry.pfn, before.level)
      } else {
        others[entry.pfn] = name
      }
      return nil
    }
    guard let known = levels[entry.pfn] else {
      levels[entry.pfn] = name.level
      return entry.pfn
    }
    // A table may name one of its own level to read it, but for the top one of a 32-bit guest.
    let isToBeRead = known == level && !entry.isWritable && (isWide || level < 3)
    if known != name.level, !isToBeRead { reportLevel(name, entry.pfn, known) }
    return nil
  }

  private func reportLevel(_ name: Name, _ pfn: UInt64, _ known: Int) {
    report(
      "page-table.type", name,
      "expected a table of level \(name.level), got one of level \(known) (pfn \(pfn.hex()))")
  }

  /// Slot 3 of a 32-bit guest's top table is for Xen's mappings, too: its table is not shared.
  private mutating func checkTopSlots(of tops: [UInt64]) throws {
    var uses: [UInt64: Int] = [:]
    var names: [(name: Name, pfn: UInt64)] = []
    for pfn in tops {
      guard let (place, entries) = try table(pfn) else { continue }
      for entry in entries where entry.slot < 4 { uses[entry.pfn, default: 0] += 1 }
      let name = Name(place: place, slot: 3, level: 2)
      if let entry = entries.first(where: { $0.slot == 3 }) {
        names.append((name, entry.pfn))
        tablesOfXen.insert(entry.pfn)
      } else {
        report("page-table.pae-slot", name, "expected a table of level 2, got none")
      }
    }
    for (name, pfn) in names where uses[pfn] != 1 || places[pfn]?.type.isPinned == true {
      report(
        "page-table.pae-slot", name,
        "expected a table that nothing else names or pins, got one that is shared "
          + "(pfn \(pfn.hex()))")
    }
  }

  /// Looks at what is named as a table and came as another page, or not at all: Xen makes a table
  /// of one without entries.
  private mutating func checkOthers(from start: UInt64) throws {
    guard !others.isEmpty else { return }
    var found: [UInt64: Place] = [:]
    var isOver = false
    try walk(from: start) { (check: inout PageTableCheck, record) in
      isOver = isOver || record.type == .verify
      guard record.type == .pageData, !isOver else { return }
      PageTableCheck.forEachPage(of: record) { page in
        if check.others[page.pfn] != nil { found[page.pfn] = page }
      }
    }
    let ordered = others.sorted {
      ($0.value.place.offset, $0.value.slot) < ($1.value.place.offset, $1.value.slot)
    }
    for (pfn, name) in ordered {
      guard let place = found[pfn], let bytes = try contents(place) else {
        report(
          "page-table.absent", name,
          "expected a table of level \(name.level), got no contents (pfn \(pfn.hex()))")
        continue
      }
      if let known = levels[pfn], known != name.level {
        reportLevel(name, pfn, known)
      } else if PageTableEntry.all(in: bytes).isEmpty {
        levels[pfn] = name.level
        report(
          "page-table.empty", name,
          "expected a table of level \(name.level), got a page of type \(place.type.name) "
            + "without entries (pfn \(pfn.hex()))")
      } else {
        report(
          "page-table.type", name,
          "expected a table of level \(name.level), got another page (pfn \(pfn.hex()))")
      }
    }
  }

  /// Looks at tables of level 1.
  private func checkMappings(_ tables: [UInt64]) throws {
    var writable: Set<UInt64> = []
    for pfn in tables {
      guard let (place, entries) = try table(pfn) else { continue }
      for entry in entries {
        checkFlags(place, entry, 1)
        let isTable = levels[entry.pfn] != nil
        guard entry.pfn <= limit, entry.isWritable, isTable || descriptors.contains(entry.pfn),
          writable.insert(entry.pfn).inserted
        else { continue }
        report(
          "page-table.writable", Name(place: place, slot: entry.slot, level: 0),
          "expected a read-only entry, got a writable one of "
            + "\(isTable ? "the page table" : "the GDT's page") \(entry.pfn.hex())")
      }
    }
  }

  private func checkFlags(_ place: Place, _ entry: PageTableEntry, _ level: Int) {
    let refused =
      switch level {
      case 1: PageTableEntry.notInPages
      case 3 where !isWide: PageTableEntry.notInNarrowTop
      default: PageTableEntry.notInTables
      }
    let name = Name(place: place, slot: entry.slot, level: level)
    if entry.value & refused != 0 {
      report(
        "page-table.flags", name,
        "expected none of the flags \((entry.value & refused).hex()), got \(entry.value.hex())")
    }
    if level == 1, entry.value & PageTableEntry.granted != 0 {
      report(
        "page-table.granted", name,
        "expected no bit 62 (\(PageTableEntry.granted.hex())), got \(entry.value.hex())")
    }
  }
}

extension PageType {
  fileprivate var isPinned: Bool { isPageTable && rawValue & 8 != 0 }
}

/// A present entry of a page table, with pfns in the place of frames.
private struct PageTableEntry {
  let slot: Int
  let value: UInt64

  var pfn: UInt64 { (value & 0x000F_FFFF_FFFF_F000) >> 12 }
  var isWritable: Bool { value & 2 != 0 }

  /// PWT, PCD, PSE and GLOBAL.
  static let notInTables: UInt64 = 0x198
  /// Besides these the bits above the address.
  static let notInNarrowTop: UInt64 = 0xFFF0_0000_0000_0198
  /// PWT, PCD and PAT: only guests with devices of the machine choose how memory is cached, and xl
  /// gives them those after the restore.
  static let notInPages: UInt64 = 0x98
  /// What marks a granted page.
  static let granted: UInt64 = 1 << 62
  /// The entries of a 64-bit top-level table that are Xen's own.
  static let slotsOfXen = 256...271
  /// The first that is Xen's own of the table in slot 3 of a 32-bit guest's top table: that of
  /// address 0xF5800000.
  static let firstNarrowSlotOfXen = 428

  static func all(in bytes: [UInt8]) -> [PageTableEntry] {
    (0..<bytes.count / 8).compactMap { slot in
      let value = bytes.load(8 * slot, as: UInt64.self)
      return value & 1 != 0 ? PageTableEntry(slot: slot, value: value) : nil
    }
  }
}
