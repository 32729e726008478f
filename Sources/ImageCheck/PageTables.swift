// The page tables and the start info of a PV guest, held against what a restore checks in them.

internal import Bytes
internal import Format
internal import JSON
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
      "page-table.type", .error,
      "A page table's entries name tables of the next level, and each table has one level.",
      promote, .framing),
    Rule(
      "page-table.absent", .error,
      "The tables that page tables name have come: Xen takes one of zeros, and the guest faults on its pages.",
      localise + "; xl of 4.17", .framing),
    Rule(
      "page-table.writable", .error, "No page table and no page of a GDT is mapped writable.",
      promote + "; get_page_from_l1e", .framing),
    Rule(
      "start-info.pfn", .error, "The start info names pages of the guest.",
      "Xen: tools/libs/guest/xg_sr_restore_x86_pv.c, process_start_info", .framing),
  ]
}

/// Reads the pages of a PV guest that a restore looks into. Memory grows with the number of its page
/// tables, about one page in 500.
struct PageTableCheck {
  private let inspection: VerificationContext
  private let source: Source
  private let limit: UInt64

  /// The last time that a page table or the start info came: where its contents are.
  private struct Place {
    let offset: UInt64
    let type: PageType
    let record: Int
  }

  /// Flags that no entry of a page has.
  private let notInPages: UInt64
  private var places: [UInt64: Place] = [:]
  private var contexts: [UInt32: PVContext] = [:]
  /// The tables that Xen will look into, with their levels.
  private var levels: [UInt64: Int] = [:]
  /// The pages of GDTs.
  private var descriptors: Set<UInt64> = []
  /// Tables that are mapped writable, with a table that does it.
  private var writable: [UInt64: (table: UInt64, slot: Int)] = [:]

  init?(_ inspection: VerificationContext, _ source: Source) {
    guard inspection.libxc.guest == .x86PV, let limit = inspection.libxc.maxPFN else { return nil }
    self.inspection = inspection
    self.source = source
    self.limit = limit
    // Without a configuration nobody knows whether it has devices of the machine.
    let root = inspection.configuration?.root
    let devices = [
      root?["pcidevs"], root?["dtdevs"], root?["b_info"]?["iomem"], root?["b_info"]?["ioports"],
    ]
    let hasDevices = root == nil || devices.contains { !($0?.arrayValue ?? []).isEmpty }
    notInPages = PageTableEntry.granted | (hasDevices ? 0 : PageTableEntry.cacheBits)
  }

  mutating func run(from start: UInt64) throws {
    try walk(from: start) { (check: inout PageTableCheck, record) in
      guard record.type.hasPVRegisters, let id = record.vcpuID,
        let context = PVContext(record)
      else { return }
      check.contexts[id] = context
    }
    let startInfo = contexts[0]?.startInfo.pfn
    try walk(from: start) { (check: inout PageTableCheck, record) in
      if record.type == .pageData { check.locate(record, startInfo) }
    }
    for (pfn, place) in places.sorted(by: { $0.value.offset < $1.value.offset })
    where place.type.isPageTable {
      try checkTargets(pfn, place)
    }
    if let startInfo, let place = places[startInfo], !place.type.isPageTable {
      try checkStartInfo(place)
    }
    guard contexts.values.contains(where: { $0.isWide }) else { return }
    descriptors = Set(contexts.values.flatMap(\.gdtFrames))
    try checkLevels()
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

  /// Notes where the contents of page tables and of the start info are.
  private mutating func locate(_ record: Record, _ startInfo: UInt64?) {
    guard let pages = RecordContents(record).pages else { return }
    let count = pages.counts.reduce(0, +)
    var offset = record.bodyOffset + 8 + 8 * UInt64(count)
    for entryIndex in 0..<count {
      let entry = record.pageEntry(entryIndex)
      if entry.type.isPageTable || entry.pfn == startInfo {
        places[entry.pfn] = Place(offset: offset, type: entry.type, record: record.index)
      } else if !places.isEmpty {
        places[entry.pfn] = nil
      }
      if entry.type.hasData { offset += UInt64(pageByteCount) }
    }
  }

  private func contents(_ place: Place) throws -> [UInt8]? {
    source.seek(place.offset)
    let bytes = try source.read(pageByteCount)
    return bytes.count == pageByteCount ? bytes : nil
  }

  private func report(
    _ rule: String, _ place: Place, _ offset: Int, _ field: String, _ problem: String
  ) {
    inspection.report(
      rule: rule, offset: place.offset + UInt64(offset),
      place: "record \(place.record) (PAGE_DATA)", field, problem)
  }

  // MARK: - Checks

  /// Every page that an entry names has to be one of the guest: once a table, its entries are
  /// translated, whether Xen will use it or not.
  private func checkTargets(_ pfn: UInt64, _ place: Place) throws {
    guard let bytes = try contents(place) else { return }
    for (slot, entry) in PageTableEntry.all(in: bytes) where entry.pfn > limit {
      report(
        "page-table.pfn", place, 8 * slot, "pfn \(pfn.hex())[\(slot)]",
        "expected a pfn of at most \(limit.hex()), got \(entry.pfn.hex())")
    }
  }

  private func checkStartInfo(_ place: Place) throws {
    guard let bytes = try contents(place), let context = contexts[0] else { return }
    for (name, wide, narrow) in [("store_mfn", 56, 44), ("console.domU.mfn", 72, 52)] {
      let offset = context.isWide ? wide : narrow
      let pfn =
        context.isWide
        ? bytes.load(offset, as: UInt64.self) : UInt64(bytes.load(offset, as: UInt32.self))
      guard pfn > limit else { continue }
      report(
        "start-info.pfn", place, offset, name,
        "expected a pfn of at most \(limit.hex()), got \(pfn.hex())")
    }
  }

  /// Walks from the tables that vCPUs use and from those that are pinned.
  private mutating func checkLevels() throws {
    var open: [(pfn: UInt64, level: Int)] = []
    for (_, context) in contexts.sorted(by: { $0.key < $1.key }) {
      open += context.pageTables.map { ($0.pfn, 4) }
    }
    for (pfn, place) in places where place.type.isPinned {
      open.append((pfn, Int(place.type.rawValue & 7)))
    }
    open.sort { ($0.level, $1.pfn) > ($1.level, $0.pfn) }
    open = open.filter { root in
      if levels[root.pfn] != nil { return false }
      levels[root.pfn] = root.level
      return true
    }
    while let (pfn, level) = open.popLast() {
      guard let place = places[pfn], place.type.isPageTable, let bytes = try contents(place) else {
        continue
      }
      for (slot, entry) in PageTableEntry.all(in: bytes)
      where level < 4 || !PageTableEntry.slotsOfXen.contains(slot) {
        checkFlags(pfn, place, slot, entry, level)
        guard entry.pfn <= limit else { continue }
        if level > 1 {
          if let next = child(of: pfn, place, slot, entry, level) { open.append((next, level - 1)) }
        } else if entry.isWritable,
          places[entry.pfn]?.type.isPageTable == true || descriptors.contains(entry.pfn)
        {
          writable[entry.pfn] = (pfn, slot)
        }
      }
    }
    reportWritable()
  }

  /// The table that an entry names, if it has not been seen yet.
  private mutating func child(
    of pfn: UInt64, _ place: Place, _ slot: Int, _ entry: PageTableEntry, _ level: Int
  ) -> UInt64? {
    let isTable = places[entry.pfn]?.type.isPageTable == true
    // A table may name one of its own level to read it.
    if isTable, levels[entry.pfn] == level, !entry.isWritable { return nil }
    if isTable, levels[entry.pfn] ?? (level - 1) == level - 1 {
      defer { levels[entry.pfn] = level - 1 }
      return levels[entry.pfn] == nil ? entry.pfn : nil
    }
    let field = "pfn \(pfn.hex())[\(slot)]"
    if let type = inspection.libxc.pageTypes.type(of: entry.pfn), !type.hasData {
      report(
        "page-table.absent", place, 8 * slot, field,
        "expected a table of level \(level - 1), got no contents (pfn \(entry.pfn.hex()))")
      return nil
    }
    let got = levels[entry.pfn].map { "one of level \($0)" } ?? "another page"
    report(
      "page-table.type", place, 8 * slot, field,
      "expected a table of level \(level - 1), got \(got) (pfn \(entry.pfn.hex()))")
    return nil
  }

  private func checkFlags(
    _ pfn: UInt64, _ place: Place, _ slot: Int, _ entry: PageTableEntry, _ level: Int
  ) {
    let wrong = entry.value & (level > 1 ? PageTableEntry.notInTables : notInPages)
    guard wrong != 0 else { return }
    report(
      "page-table.flags", place, 8 * slot, "pfn \(pfn.hex())[\(slot)]",
      "expected none of the flags \(wrong.hex()), got \(entry.value.hex())")
  }

  private func reportWritable() {
    for (target, from) in writable.sorted(by: { $0.key < $1.key }) {
      guard levels[target] != nil || descriptors.contains(target), let place = places[from.table]
      else { continue }
      report(
        "page-table.writable", place, 8 * from.slot, "pfn \(from.table.hex())[\(from.slot)]",
        "expected a read-only entry, got a writable one of "
          + "\(levels[target] != nil ? "the page table" : "the GDT's page") \(target.hex())")
    }
  }
}

extension PageType {
  fileprivate var isPinned: Bool { isPageTable && rawValue & 8 != 0 }
}

/// A present entry of a page table, with pfns in the place of frames.
private struct PageTableEntry {
  let value: UInt64

  var pfn: UInt64 { (value & 0x000F_FFFF_FFFF_F000) >> 12 }
  var isWritable: Bool { value & 2 != 0 }

  /// PWT, PCD, PSE and GLOBAL.
  static let notInTables: UInt64 = 0x198
  /// What marks a granted page.
  static let granted: UInt64 = 1 << 62
  /// PWT, PCD and PAT: only guests with devices of the machine choose how memory is cached.
  static let cacheBits: UInt64 = 0x98
  /// The entries of a 64-bit top-level table that are Xen's own.
  static let slotsOfXen = 256...271

  static func all(in bytes: [UInt8]) -> [(slot: Int, entry: PageTableEntry)] {
    (0..<bytes.count / 8).compactMap { slot in
      let value = bytes.load(8 * slot, as: UInt64.self)
      return value & 1 != 0 ? (slot, PageTableEntry(value: value)) : nil
    }
  }
}
