// The parts of ELF files that dumps are made of.

internal import SystemIO
internal import Bytes
internal import Format

/// ELF64, little-endian. System V ABI; e_type is ET_CORE.
enum ELF {
  static let headerByteCount = 64
  static let segmentByteCount = 56
  static let sectionByteCount = 64
  static let machineX86_64: UInt16 = 62
  static let machine386: UInt16 = 3

  static func header(
    machine: UInt16, segments: Int = 0, sections: Int = 0, sectionOffset: Int = 0, names: Int = 0
  ) -> [UInt8] {
    var out: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
    out.append(integer: UInt16(4))
    out.append(integer: machine)
    out.append(integer: UInt32(1))
    out.append(integer: UInt64(0))
    out.append(integer: UInt64(segments > 0 ? headerByteCount : 0))
    out.append(integer: UInt64(sectionOffset))
    out.append(integer: UInt32(0))
    out.append(integer: UInt16(headerByteCount))
    out.append(integer: UInt16(segments > 0 ? segmentByteCount : 0))
    out.append(integer: UInt16(segments))
    out.append(integer: UInt16(sections > 0 ? sectionByteCount : 0))
    out.append(integer: UInt16(sections))
    out.append(integer: UInt16(names))
    return out
  }

  /// A program header: type 1 is PT_LOAD, 4 is PT_NOTE.
  static func segment(
    type: UInt32, flags: UInt32, offset: UInt64, virtual: UInt64, physical: UInt64, count: UInt64,
    alignment: UInt64
  ) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: type)
    out.append(integer: flags)
    for word in [offset, virtual, physical, count, count, alignment] { out.append(integer: word) }
    return out
  }

  /// A section header: type 1 is PROGBITS, 3 STRTAB, 7 NOTE.
  static func section(
    name: UInt32, type: UInt32, offset: UInt64, count: UInt64, alignment: UInt64,
    entryByteCount: UInt64
  ) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: name)
    out.append(integer: type)
    out.append(integer: UInt64(0))
    out.append(integer: UInt64(0))
    out.append(integer: offset)
    out.append(integer: count)
    out.append(integer: UInt32(0))
    out.append(integer: UInt32(0))
    out.append(integer: alignment)
    out.append(integer: entryByteCount)
    return out
  }

  /// A note with its name and contents padded to 4.
  static func note(_ name: String, _ type: UInt32, _ contents: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    let bytes = Array(name.utf8) + [0]
    out.append(integer: UInt32(bytes.count))
    out.append(integer: UInt32(contents.count))
    out.append(integer: type)
    for part in [bytes, contents] {
      out += part + [UInt8](repeating: 0, count: (4 - part.count % 4) % 4)
    }
    return out
  }
}

extension GuestMemory {
  /// Segments that an ELF file counts in 16 bits, with some room.
  private static let segmentLimit = 60000

  /// Writes header, notes and pages. Returns how many segments, and whether all mappings are in it.
  ///
  /// The mappings of the lowest vCPU that has page tables come first, with their virtual addresses;
  /// then what none of them maps, with p_vaddr = p_paddr. All segments share one copy of the pages,
  /// which lie in the order of their pfns.
  func writeELFCore(
    _ out: DumpWriter, _ ranges: [Range<UInt64>], _ kernelNote: [UInt8]?
  ) throws -> (segments: Int, hasAll: Bool) {
    guard ranges.count < GuestMemory.segmentLimit / 2 else {
      throw XensaveError(
        .refused, "\(image.path): \(ranges.count) ranges of memory are too many for an ELF core")
    }
    var segments: [(virtual: UInt64, pfn: UInt64, count: UInt64)] = []
    var mapped = PageSet()
    var hasAll = true
    if let vcpu = vcpus.first(where: { $0.mode != .none }) {
      let found = mappings(vcpu, limit: GuestMemory.segmentLimit / 2)
      hasAll = found.isComplete
      let memory = PageSet.ascending(ranges)
      for mapping in found.mappings {
        let pfns = mapping.physical >> 12..<(mapping.physical + mapping.byteCount) >> 12
        for part in memory.intersection(PageSet(pfns)).ranges {
          guard segments.count < GuestMemory.segmentLimit / 2 else {
            hasAll = false
            break
          }
          segments.append(
            (
              mapping.virtual &+ (part.lowerBound - pfns.lowerBound) << 12, part.lowerBound,
              part.upperBound - part.lowerBound
            ))
          mapped.insert(part)
        }
      }
    }
    for range in PageSet.ascending(ranges).subtracting(mapped).ranges {
      segments.append(
        (range.lowerBound << 12, range.lowerBound, range.upperBound - range.lowerBound))
      guard segments.count < GuestMemory.segmentLimit else {
        throw XensaveError(.refused, "\(image.path): too many ranges of memory for an ELF core")
      }
    }
    var notes: [UInt8] = []
    for vcpu in vcpus { notes += ELF.note("CORE", 1, vcpu.prstatus) }
    if let kernelNote { notes += ELF.note("VMCOREINFO", 0, kernelNote) }
    let notesOffset = ELF.headerByteCount + ELF.segmentByteCount * (segments.count + 1)
    let data = UInt64(notesOffset + notes.count + 4095) & ~4095
    // The number of pages before each range.
    var before: [UInt64] = []
    var sum: UInt64 = 0
    for range in ranges {
      before.append(sum)
      sum += range.upperBound - range.lowerBound
    }
    let memory = PageSet.ascending(ranges)
    var head = ELF.header(machine: ELF.machineX86_64, segments: segments.count + 1)
    head += ELF.segment(
      type: 4, flags: 0, offset: UInt64(notesOffset), virtual: 0, physical: 0,
      count: UInt64(notes.count), alignment: 4)
    for segment in segments {
      let index = memory.index(of: segment.pfn)
      let page = before[index] + segment.pfn - ranges[index].lowerBound
      head += ELF.segment(
        type: 1, flags: 7, offset: data + page << 12, virtual: segment.virtual,
        physical: segment.pfn << 12, count: segment.count << 12, alignment: 4096)
    }
    try out.put(head + notes)
    out.align(4096)
    for range in ranges { try out.pages(range) }
    return (segments.count, hasAll)
  }
}

extension PageSet {
  /// A set of ranges that are ascending and disjoint already.
  static func ascending(_ ranges: [Range<UInt64>]) -> PageSet {
    var set = PageSet()
    for range in ranges { set.append(range) }
    return set
  }
}

extension VCPU {
  /// struct elf_prstatus of x86-64: 336 bytes, general registers at 112.
  var prstatus: [UInt8] {
    var out = [UInt8](repeating: 0, count: 336)
    // A thread's number, from 1: what an image says of a vCPU may be greater than any.
    out.store(32, UInt32(clamping: id + 1))
    let names = [
      "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
      "rsi", "rdi", "", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs",
      "gs",
    ]
    for (index, name) in names.enumerated() {
      let value = name.isEmpty ? UInt64.max : registers[name] ?? segments[name] ?? 0
      out.store(112 + 8 * index, value)
    }
    return out
  }

  /// struct vcpu_guest_context of a 64-bit guest, with what an HVM guest's record has of it.
  var guestContext: [UInt8] {
    var out = [UInt8](repeating: 0, count: 5168)
    for (name, place) in VCPU.places64 { out.store(520 + place, registers[name] ?? 0) }
    for (name, place) in VCPU.segments64 {
      out.store(520 + place, UInt16(truncatingIfNeeded: segments[name] ?? 0))
    }
    for (slot, value) in [(0, cr0), (2, cr2), (3, cr3), (4, cr4)] {
      out.store(4984 + 8 * slot, value)
    }
    out.store(5144, segments["fs_base"] ?? 0)
    out.store(5152, segments["gs_base"] ?? 0)
    return out
  }
}
