// Xen's own core format.

internal import Bytes
internal import Format
internal import Stream

extension GuestMemory {
  /// Writes an ELF file of sections only, as `xl dump-core` does. Frames are pfns throughout: page
  /// tables of a saved PV guest hold pfns, so they fit. Returns how many vCPUs are in it.
  /// Xen: docs/misc/dump-core-format.txt; tools/libs/guest/xg_core.c.
  func writeXenCore(_ out: DumpWriter, _ ranges: [Range<UInt64>]) throws -> Int {
    let index = image.index
    let isPV = index.guest == .x86PV
    var contexts: [[UInt8]] = []
    if isPV {
      for spot in index.records where spot.type.hasPVRegisters {
        contexts.append(Array(try index.body(of: spot, image.source).dropFirst(8)))
      }
    } else {
      contexts = vcpus.map(\.guestContext)
    }
    // The sections are arrays: contexts of one length.
    let contextByteCount = contexts.map(\.count).max() ?? 5168
    contexts.removeAll { $0.count != contextByteCount }
    let shared = try index.last(.sharedInfo).map { spot in
      try index.body(of: spot, image.source)
    }
    let pageCount = index.dataCount
    var sections: [(name: String, type: UInt32, bytes: [UInt8], count: UInt64, each: UInt64)] = []
    let notes = xenNotes(isPV: isPV, vcpuCount: contexts.count, pageCount: pageCount)
    sections.append((".note.Xen", 7, notes, UInt64(notes.count), 0))
    let status = contexts.flatMap { $0 }
    sections.append((".xen_prstatus", 1, status, UInt64(status.count), UInt64(contextByteCount)))
    if let shared { sections.append((".xen_shared_info", 1, shared, UInt64(shared.count), 4096)) }
    let entryByteCount: UInt64 = isPV ? 16 : 8
    sections.append(
      (isPV ? ".xen_p2m" : ".xen_pfn", 1, [], pageCount * entryByteCount, entryByteCount))
    sections.append((".xen_pages", 1, [], pageCount << 12, 4096))
    var names: [UInt8] = [0]
    var nameOffsets: [UInt32] = []
    for name in [".shstrtab"] + sections.map(\.name) {
      nameOffsets.append(UInt32(names.count))
      names += Array(name.utf8) + [0]
    }
    // Header, section headers, names, then the sections, pages last and aligned.
    let count = sections.count + 2
    let namesOffset = UInt64(ELF.headerByteCount + count * ELF.sectionByteCount)
    var offset = namesOffset + UInt64(names.count)
    var headers = [UInt8](repeating: 0, count: ELF.sectionByteCount)
    headers += ELF.section(
      name: nameOffsets[0], type: 3, offset: namesOffset, count: UInt64(names.count), alignment: 1,
      entryByteCount: 0)
    for (sectionIndex, section) in sections.enumerated() {
      let alignment: UInt64 = section.name == ".xen_pages" ? 4096 : 8
      offset = (offset + alignment - 1) & ~(alignment - 1)
      headers += ELF.section(
        name: nameOffsets[sectionIndex + 1], type: section.type, offset: offset,
        count: section.count,
        alignment: section.type == 7 ? 4 : alignment, entryByteCount: section.each)
      offset += section.count
    }
    let machine = isPV && index.context.guestWidth == 4 ? ELF.machine386 : ELF.machineX86_64
    try out.put(
      ELF.header(
        machine: machine, sections: count, sectionOffset: ELF.headerByteCount, names: 1)
        + headers + names)
    for section in sections {
      out.align(section.name == ".xen_pages" ? 4096 : 8)
      switch section.name {
      case ".xen_p2m", ".xen_pfn":
        for range in ranges {
          // In chunks: the table of a large guest is large.
          var first = range.lowerBound
          while first < range.upperBound {
            let end = min(range.upperBound, first + 4096)
            var bytes: [UInt8] = []
            for pfn in first..<end {
              bytes.append(integer: pfn)
              if isPV { bytes.append(integer: pfn) }
            }
            try out.put(bytes)
            first = end
          }
        }
      case ".xen_pages": for range in ranges { try out.pages(range) }
      default: try out.put(section.bytes)
      }
    }
    return contexts.count
  }

  /// The four notes that readers want. Xen: public/elfnote.h, XEN_ELFNOTE_DUMPCORE_*.
  private func xenNotes(isPV: Bool, vcpuCount: Int, pageCount: UInt64) -> [UInt8] {
    func words(_ values: UInt64...) -> [UInt8] {
      var out: [UInt8] = []
      for value in values { out.append(integer: value) }
      return out
    }
    let domain = image.index.headers.first { $0.kind == .domain }
    var version = words(domain?.unsigned("xen_major") ?? 0, domain?.unsigned("xen_minor") ?? 0)
    // extraversion, compile_info (compiler, by, domain, date), capabilities, changeset: not known.
    version += [UInt8](repeating: 0, count: 16 + 64 + 16 + 32 + 32 + 1024 + 64)
    version += words(0, 4096)
    return ELF.note("Xen", 0x200_0000, [])
      + ELF.note(
        "Xen", 0x200_0001,
        words(isPV ? 0xF00F_EBED : 0xF00F_EBEE, UInt64(vcpuCount), pageCount, 4096))
      + ELF.note("Xen", 0x200_0002, version) + ELF.note("Xen", 0x200_0003, words(1))
  }
}
