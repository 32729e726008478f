// The address spaces of processes, and how the guest's memory is used.

internal import Bytes
internal import Pages

/// A range of a process's address space, as /proc/PID/maps shows it.
public struct LinuxMapping: Sendable, Equatable {
  public let range: Range<UInt64>
  public let flags: UInt64
  /// Where it begins in its file.
  public let offset: UInt64
  public let major: UInt32
  public let minor: UInt32
  public let inode: UInt64
  /// A path, or "[heap]", "[stack]", "[vdso]"; empty for memory of its own.
  public let name: String

  /// "r-xp".
  public var rights: String {
    let letters: [(UInt64, String)] = [(1, "r"), (2, "w"), (4, "x")]
    return letters.map { flags & $0.0 != 0 ? $0.1 : "-" }.joined() + (flags & 0x80 != 0 ? "s" : "p")
  }
}

extension LinuxGuest {
  /// Most ranges of a process. Linux: vm.max_map_count is 65530, or 1048576 in newer distributions.
  private static let mapLimit = MapleWalk.entryLimit

  /// The ranges of a process's address space, ascending.
  public func maps(of task: LinuxTask) throws -> Listing<LinuxMapping> {
    try memory.question {
      guard task.mm != 0 else { return Listing() }
      let areas: Listing<UInt64>
      if let tree = optionalField("mm_struct", "mm_mt") {
        areas = try mapleTree(task.mm &+ tree.offset).map(\.entry)
      } else {
        let first = try value(task.mm, "mm_struct", "mmap")
        areas = memory.chain(first, try field("vm_area_struct", "vm_next"), limit: Self.mapLimit)
      }
      return areas.reading("area") { try mapping($0, task.mm) }
    }
  }

  private func mapping(_ area: UInt64, _ mm: UInt64) throws -> LinuxMapping {
    let type = "vm_area_struct"
    let start = try value(area, type, "vm_start")
    let end = try value(area, type, "vm_end")
    guard start < end else { throw invalid("it ends at \(end.hex()) and begins at \(start.hex())") }
    let file = try value(area, type, "vm_file")
    var (device, inode, name): (UInt64, UInt64, String) = (0, 0, "")
    var offset: UInt64 = 0
    if file != 0 {
      name = try path(ofFile: file)
      let node = try value(file, "file", "f_inode")
      inode = try value(node, "inode", "i_ino")
      device = try value(try value(node, "inode", "i_sb"), "super_block", "s_dev")
      offset = try value(area, type, "vm_pgoff") &<< 12
    } else {
      name = try specialName(area, start..<end, mm)
    }
    return LinuxMapping(
      range: start..<end, flags: try value(area, type, "vm_flags"), offset: offset,
      major: UInt32(truncatingIfNeeded: device >> 20),
      minor: UInt32(truncatingIfNeeded: device & 0xF_FFFF), inode: inode, name: name)
  }

  /// Linux: fs/proc/task_mmu.c, get_vma_name.
  private func specialName(
    _ area: UInt64, _ range: Range<UInt64>, _ mm: UInt64
  ) throws -> String {
    if let special = symbols["special_mapping_vmops"],
      try value(area, "vm_area_struct", "vm_ops") == special
    {
      let mapping = try value(area, "vm_area_struct", "vm_private_data")
      return try memory.text(value(mapping, "vm_special_mapping", "name"), limit: 64)
    }
    let heap = try value(mm, "mm_struct", "start_brk")
    if range.lowerBound <= (try value(mm, "mm_struct", "brk")), range.upperBound >= heap {
      return "[heap]"
    }
    let stack = try value(mm, "mm_struct", "start_stack")
    return range.lowerBound <= stack && range.upperBound >= stack ? "[stack]" : ""
  }

  // MARK: - Memory

  /// How the guest uses its memory, in bytes, by the names of /proc/meminfo.
  public func memoryUse() throws -> [(name: String, bytes: UInt64)] {
    try memory.question {
      let types = try types
      var out: [(name: String, bytes: UInt64)] = []
      func pages(_ table: String, _ kind: String, _ names: String...) -> UInt64? {
        guard let place = symbols[table] else { return nil }
        for name in names {
          guard let index = types.enumerator(kind, name), index >= 0, index < 256,
            let word = try? memory.word(place &+ UInt64(8 * index))
          else { continue }
          return UInt64(max(0, Int64(bitPattern: word)))
        }
        return nil
      }
      func zone(_ names: String) -> UInt64? { pages("vm_zone_stat", "zone_stat_item", names) }
      func node(_ a: String, _ b: String = "") -> UInt64? {
        pages("vm_node_stat", "node_stat_item", a, b)
      }
      func add(_ name: String, _ pages: UInt64?) {
        if let pages { out.append((name, pages.multipliedSaturated(by: 4096))) }
      }
      add("MemTotal", symbols["_totalram_pages"].flatMap { try? memory.word($0) })
      add("MemFree", zone("NR_FREE_PAGES"))
      let files = node("NR_FILE_PAGES")
      let swapped = node("NR_SWAPCACHE")
      add("Cached", files.map { $0 - min($0, swapped ?? 0) })
      add("SwapCached", swapped)
      add("Active(anon)", node("NR_ACTIVE_ANON"))
      add("Inactive(anon)", node("NR_INACTIVE_ANON"))
      add("Active(file)", node("NR_ACTIVE_FILE"))
      add("Inactive(file)", node("NR_INACTIVE_FILE"))
      add("Unevictable", node("NR_UNEVICTABLE"))
      add("Dirty", node("NR_FILE_DIRTY"))
      add("Writeback", node("NR_WRITEBACK"))
      add("AnonPages", node("NR_ANON_MAPPED"))
      add("Mapped", node("NR_FILE_MAPPED"))
      add("Shmem", node("NR_SHMEM"))
      add("SReclaimable", node("NR_SLAB_RECLAIMABLE_B", "NR_SLAB_RECLAIMABLE"))
      add("SUnreclaim", node("NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE"))
      if let stacks = node("NR_KERNEL_STACK_KB") {
        out.append(("KernelStack", stacks.multipliedSaturated(by: 1024)))
      }
      add("PageTables", node("NR_PAGETABLE") ?? zone("NR_PAGETABLE"))
      guard !out.isEmpty else { throw missing("the kernel's counters of memory were not found") }
      return out
    }
  }
}
