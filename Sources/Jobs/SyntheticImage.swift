// Small saved domains of guests that never ran, for tests of scripts.

internal import Bytes
package import Format
internal import ImageEdit
package import JSON
package import Stream
package import SystemIO

/// What a synthetic image holds. Every record is as a saver of Xen 4.17 would write it, so that it
/// passes the verification; memory is what the test says.
package struct SyntheticImage {
  package static let pageByteCount = 4096
  /// Pages at most: the image is for tests.
  package static let pageLimit = 16384
  /// HVM pages for Xen and the device model.
  private static let special: Range<UInt64> = 0xFEFF8..<0xFF000
  /// A PV guest's pages that the synthesis itself uses.
  package static let firstFreePVPage: UInt64 = 16

  package var guest = GuestType.x86HVM
  package var name = "synthetic"
  package var vcpuCount = 1
  package var layer = Container.xl
  package var version = 3
  /// The saver's release; nil for one that writes this version.
  package var xen: (major: UInt64, minor: UInt64)?
  /// Contents by pfn, a page each.
  package var pages: [UInt64: [UInt8]] = [:]
  /// Pages of zeros from pfn 0 on.
  package var pageCount: UInt64 = 32
  package var config = JSONObject()
  /// Records before END, after the guest's state.
  package var extra: [Record] = []
  /// Record types that are left out.
  package var omitted: Set<RecordType> = []

  package init() {}

  private var context: BodyContext {
    BodyContext(guestWidth: guest == .x86PV ? 8 : 0)
  }

  // MARK: - Writing

  package func write(to sink: Sink) throws {
    var writer = StreamWriter(sink)
    for header in try headers() { try writer.put(header) }
    if layer != .libxc { try writer.put(record(.libxcContext)) }
    try writer.put(imageHeader())
    for record in try records() where !omitted.contains(record.type) { try writer.put(record) }
    try writer.put(record(.end))
    if layer != .libxc {
      if guest == .x86HVM {
        let state: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0] + Array("QEVM".utf8) + [0, 0, 0, 3, 0]
        try writer.put(record(.emulatorContext, state))
      }
      try writer.put(record(.libxlEnd))
    }
    try writer.finish()
  }

  private func record(_ type: RecordType, _ body: [UInt8] = []) -> Record {
    Record(type, body: body, context: context)
  }

  private func headers() throws -> [[UInt8]] {
    var out: [[UInt8]] = []
    if layer == .xl {
      let fixed = try BodySchema.body(
        of: HeaderKind.xl.fields,
        .group([
          ("magic", .bytes(Magic.xl)), ("byteorder", .unsigned(UInt64(Magic.xlByteOrder))),
          ("mandatory_flags", .unsigned(3)),
        ]))
      var header = Header(.xl, offset: 0, bytes: fixed, order: .little)
      XLConfig.setText(JSONValue.object(fullConfig).text(.libxl), in: &header)
      out.append(header.bytes)
    }
    if layer != .libxc {
      out.append(
        try BodySchema.body(
          of: HeaderKind.libxl.fields,
          .group([("ident", .unsigned(Magic.libxl)), ("version", .unsigned(2))]),
          BodyContext(order: .big)))
    }
    return out
  }

  private func imageHeader() throws -> [UInt8] {
    let image = try BodySchema.body(
      of: HeaderKind.image.fields,
      .group([
        ("marker", .unsigned(UInt64.max)), ("id", .unsigned(UInt64(Magic.image))),
        ("version", .unsigned(UInt64(version))),
      ]), BodyContext(order: .big))
    let domain = try BodySchema.body(
      of: HeaderKind.domain.fields,
      .group([
        ("type", .unsigned(UInt64(guest.rawValue))), ("page_shift", .unsigned(12)),
        ("xen_major", .unsigned(xen?.major ?? 4)),
        ("xen_minor", .unsigned(xen?.minor ?? (version >= 3 ? 17 : 12))),
      ]))
    return image + domain
  }

  private var fullConfig: JSONObject {
    let kind = guest == .x86PV ? "pv" : "hvm"
    func number(_ value: Int) -> JSONValue { .number(JSONNumber(Int64(value))) }
    let memory = number(Int(pageCount) * 4)
    var create = JSONObject()
    create["type"] = .string(kind)
    create["name"] = .string(name)
    create["uuid"] = .string("00000000-0000-4000-8000-000000000001")
    create["run_hotplug_scripts"] = .string("True")
    var build = JSONObject()
    build["max_vcpus"] = number(vcpuCount)
    build["avail_vcpus"] = .array((0..<vcpuCount).map(number))
    build["max_memkb"] = memory
    build["target_memkb"] = memory
    build["type.\(kind)"] = .object(JSONObject())
    var all = JSONObject()
    all["c_info"] = .object(create)
    all["b_info"] = .object(build)
    for member in config.members {
      if case .object(let given) = member.value, case .object(var there)? = all[member.name] {
        for inner in given.members { there[inner.name] = inner.value }
        all[member.name] = .object(there)
      } else {
        all[member.name] = member.value
      }
    }
    return all
  }

  // MARK: - Records

  private func records() throws -> [Record] {
    var out: [Record] = []
    if guest == .x86PV { out.append(record(.x86PVInfo, [8, 4] + [UInt8](repeating: 0, count: 6))) }
    if version >= 3 {
      out.append(record(.x86CPUIDPolicy, cpuidPolicy))
      out.append(record(.x86MSRPolicy, integers([(0xCE, 4), (0, 4), (1 << 31, 8)])))
      out.append(record(.staticDataEnd))
    }
    if guest == .x86PV {
      out.append(
        record(.x86PVP2MFrames, integers([(0, 4), (pvPageCount - 1, 4), (8, 8)])))
    }
    out += pageRecords
    out.append(
      record(
        .x86TSCInfo, integers([(0, 4), (2_596_097, 4), (79_333_777_815, 8), (1, 4), (0, 4)])))
    out += try guest == .x86PV ? pvRecords() : hvmRecords()
    return out + extra
  }

  /// PV guests have at most what one p2m page describes.
  private var pvPageCount: UInt64 { min(512, max(pageCount, (pages.keys.max() ?? 0) + 1, 32)) }

  private var pageRecords: [Record] {
    var entries: [(entry: PageEntry, contents: [UInt8])] = []
    let zero = [UInt8](repeating: 0, count: Self.pageByteCount)
    let count = guest == .x86PV ? pvPageCount : pageCount
    var pfns = Set(0..<count).union(pages.keys)
    if guest == .x86HVM { pfns.formUnion(Self.special) }
    for pfn in pfns.sorted() {
      var type = PageType(name: "NOTAB")
      var contents = pages[pfn] ?? zero
      if guest == .x86PV, let table = pageTable(pfn) { (type, contents) = table }
      guard let type else { continue }
      entries.append((PageEntry(type, pfn: pfn), contents))
    }
    return stride(from: 0, to: entries.count, by: 1024).map { start in
      let batch = entries[start..<min(start + 1024, entries.count)]
      var body = self.integers([(UInt64(batch.count), 4), (0, 4)])
      for item in batch { body.append(integer: item.entry.rawValue, .little) }
      for item in batch { body += item.contents }
      return record(.pageData, body)
    }
  }

  /// Pages 1 to 5 of a PV guest: page tables that map its first pages, and start_info.
  private func pageTable(_ pfn: UInt64) -> (type: PageType?, contents: [UInt8])? {
    var page = [UInt8](repeating: 0, count: Self.pageByteCount)
    switch pfn {
    case 1...3:
      page.store(0, (pfn + 1) << 12 | 0x67, .little)
      return (PageType(name: ["L4TAB", "L3TAB", "L2TAB"][Int(pfn) - 1]), page)
    case 4:
      for index in 0..<512 {
        let flags: UInt64 = (1...4).contains(index) ? 0x65 : 0x67
        if index < pvPageCount { page.store(8 * index, UInt64(index) << 12 | flags, .little) }
      }
      return (PageType(name: "L1TAB"), page)
    case 5:
      page.replaceSubrange(0..<14, with: Array("xen-3.0-x86_64".utf8))
      for (offset, value) in [(32, pvPageCount), (56, 6), (72, 7), (96, 4)] {
        page.store(offset, value, .little)
      }
      page.store(88, 0xFFFF_8000_0000_1000 as UInt64, .little)
      return (PageType(name: "NOTAB"), page)
    default: return nil
    }
  }

  private func pvRecords() throws -> [Record] {
    var shared = [UInt8](repeating: 0, count: 4096)
    shared.store(3088, pvPageCount, .little)
    var out = [record(.sharedInfo, shared)]
    for vcpu in 0..<UInt64(vcpuCount) {
      var basic = [UInt8](repeating: 0, count: 8 + 5168)
      // The pfn of start_info is in edx of vCPU 0. Xen: tools/libs/guest/xg_sr_save_x86_pv.c.
      try set(
        .x86PVVCPUBasic, &basic,
        [
          ("vcpu_id", vcpu), ("flags", 1 << 2 | 1 << 5), ("ctrlreg[3]", 1 << 12),
          ("user_regs.rdx", vcpu == 0 ? 5 : 0),
        ])
      basic.replaceSubrange(8..<8 + 512, with: Self.fxsave)
      out.append(record(.x86PVVCPUBasic, basic))
      let head = integers([(vcpu, 4), (0, 4)])
      out.append(
        record(
          .x86PVVCPUExtended,
          head + integers([(vcpu, 4), (64, 4)]) + [UInt8](repeating: 0, count: 56)))
      out.append(
        record(
          .x86PVVCPUXsave,
          head + integers([(3, 8), (3, 8)]) + Self.fxsave + integers([(3, 8)])
            + [UInt8](repeating: 0, count: 56)))
    }
    return out
  }

  private func hvmRecords() throws -> [Record] {
    var chain = entry(
      1, 0, integers([(0x5438_1286, 4), (1, 4), (UInt64.max, 8), (0x80_0F12, 4), (0, 4)]))
    for vcpu in 0..<vcpuCount {
      var cpu = [UInt8](repeating: 0, count: 1032)
      cpu.replaceSubrange(0..<512, with: Self.fxsave)
      try set(cpu: &cpu)
      chain += entry(2, vcpu, cpu)
    }
    for vcpu in 0..<vcpuCount { chain += entry(19, vcpu, integers([(0, 8)])) }
    chain += entry(0, 0, [])
    let first = Self.special.lowerBound
    let params: [(UInt64, UInt64)] = [
      (1, first + 4), (5, first + 5), (6, first + 3), (17, first + 7), (12, 0xFC00_8000),
    ]
    var body = integers([(UInt64(params.count), 4), (0, 4)])
    for (index, value) in params { body += integers([(index, 8), (value, 8)]) }
    return [record(.hvmContext, chain), record(.hvmParams, body)]
  }

  /// 32-bit protected mode with flat segments, at 1 MiB, interrupts off.
  private func set(cpu: inout [UInt8]) throws {
    let layout = BodySchema(
      HVMRecords.all.first { $0.name == "CPU" }?.fields ?? [], BodyContext())
    var values: [(String, UInt64)] = [
      ("rip", 0x10_0000), ("rflags", 2), ("cr0", 0x11), ("dr6", 0xFFFF_0FF0), ("dr7", 0x400),
      ("tr_limit", 0x67), ("tr_arbytes", 0x8B), ("ldtr_arbytes", 0x10082), ("flags", 1),
    ]
    for name in ["cs", "ds", "es", "fs", "gs", "ss"] {
      values.append((name + "_sel", name == "cs" ? 8 : 16))
      values.append((name + "_limit", 0xFFFF_FFFF))
      values.append((name + "_arbytes", name == "cs" ? 0xC9B : 0xC93))
    }
    for (path, value) in values {
      try layout.slot(path, in: cpu).set(.unsigned(value), in: &cpu)
    }
  }

  private func set(
    _ type: RecordType, _ body: inout [UInt8], _ values: [(path: String, value: UInt64)]
  ) throws {
    let layout = BodySchema(type, body: body, context)
    for (path, value) in values {
      try layout.slot(path, in: body).set(.unsigned(value), in: &body)
    }
  }

  private func entry(_ type: UInt64, _ instance: Int, _ data: [UInt8]) -> [UInt8] {
    integers([(type, 2), (UInt64(instance), 2), (UInt64(data.count), 4)]) + data
  }

  /// Little-endian integers one after the other: (value, bytes).
  private func integers(_ values: [(value: UInt64, byteCount: Int)]) -> [UInt8] {
    values.flatMap { item in
      (0..<item.byteCount).map { UInt8(truncatingIfNeeded: item.value >> UInt64(8 * $0)) }
    }
  }

  private static let fxsave: [UInt8] = {
    var area = [UInt8](repeating: 0, count: 512)
    area.store(0, 0x37F as UInt16, .little)
    area.store(24, 0x1F80 as UInt32, .little)
    return area
  }()

  /// The leaves of a plain processor.
  private var cpuidPolicy: [UInt8] {
    let none: UInt64 = 0xFFFF_FFFF
    let vendor: [UInt64] = [0x6874_7541, 0x444D_4163, 0x6974_6E65]
    var leaves: [[UInt64]] = [
      [0, none, 0xD, vendor[0], vendor[2], vendor[1]],
      [1, none, 0x80_0F12, 0x10800, 0xF6F8_3203, 0x178B_FBFF], [7, 0, 0, 0x9C_01A9, 0, 0],
      [13, 0, 3, 576, 576, 0], [13, 1, 0, 0, 0, 0], [0x4000_0000, none, 0, 0, 0, 0],
      [0x8000_0000, none, 0x8000_0008, vendor[0], vendor[2], vendor[1]],
      [0x8000_0008, none, 0x3030, 0, 0, 0],
    ]
    leaves.sort { ($0[0], $0[1]) < ($1[0], $1[1]) }
    return leaves.flatMap { integers($0.map { ($0, 4) }) }
  }
}
