// Finding a Linux kernel in a guest's memory.

internal import SystemIO
internal import Bytes
internal import Pages

/// A kernel that was found: the memory as it sees it, and its symbols.
struct FoundKernel {
  let memory: KernelMemory
  let symbols: SymbolTable
}

/// Looks through the kernel's mapping, which the page tables tell, and not through all memory.
struct KernelFinder {
  let paged: PagedMemory
  let vcpus: [VCPU]

  /// Where Linux maps its kernel. Linux: Documentation/arch/x86/x86_64/mm.rst.
  static let mapping: ClosedRange<UInt64> = 0xFFFF_FFFF_8000_0000...0xFFFF_FFFF_BFFF_FFFF
  private static let rangeLimit = 1 << 14

  /// Page tables that may be the kernel's: a vCPU in user mode has others where page-table isolation
  /// is on, which lie one page after the kernel's. Linux: arch/x86/entry/calling.h.
  var spaces: [AddressSpace] {
    var out: [AddressSpace] = []
    for vcpu in vcpus where vcpu.mode == .fourLevel || vcpu.mode == .fiveLevel {
      for cr3 in [vcpu.cr3, vcpu.cr3 & ~0x1000] {
        let space = AddressSpace(name: "the kernel", mode: vcpu.mode, cr3: cr3)
        if !out.contains(space) { out.append(space) }
      }
    }
    return out
  }

  func find(_ note: () throws -> [UInt8]?) throws -> FoundKernel {
    let spaces = spaces
    guard !spaces.isEmpty else {
      throw XensaveError(
        .notFound,
        "\(paged.source.path): no kernel was found: no vCPU is in 64-bit mode (expected a Linux "
          + "guest for x86-64)")
    }
    var problem: (any Error)?
    var hasMapping = false
    let limits = KallsymsFinder.Limits()
    for space in spaces {
      let memory = KernelMemory(paged, space)
      let all = paged.mappedRanges(space, in: KernelFinder.mapping, limit: KernelFinder.rangeLimit)
      hasMapping = hasMapping || !all.isEmpty
      // The tables are among the data that is neither written nor executed; early in the boot, and
      // in kernels without that protection, anywhere.
      let likely = all.filter { !$0.isWritable && !$0.isExecutable }
      for ranges in [likely, all.filter { $0.isWritable || $0.isExecutable }] {
        for range in ranges where range.byteCount >= 64 << 10 {
          guard let places = KallsymsFinder(memory: memory, limits: limits).find(in: range) else {
            continue
          }
          do {
            return FoundKernel(memory: memory, symbols: try SymbolTable(memory, places))
          } catch { problem = error }
        }
      }
    }
    guard hasMapping else {
      throw XensaveError(
        .notFound,
        "\(paged.source.path): no kernel was found: no vCPU's page tables map anything at "
          + "\(KernelFinder.mapping.lowerBound.hex()) (expected a Linux guest for x86-64)")
    }
    // What has another shape may still say where it is.
    if let text = try note() {
      let info = VMCoreInfo(text)
      for space in spaces {
        let memory = KernelMemory(paged, space)
        guard let places = KallsymsPlaces(info, memory) else { continue }
        do {
          return FoundKernel(memory: memory, symbols: try SymbolTable(memory, places))
        } catch { problem = error }
      }
      throw problem
        ?? XensaveError(
          .notFound,
          "\(paged.source.path): Linux \(info.release ?? "of unknown release"): its table of "
            + "symbols (kallsyms) was not found; "
            + "pages that the image lacks, or a kernel without CONFIG_KALLSYMS, are possible reasons"
        )
    }
    throw problem
      ?? XensaveError(
        .notFound,
        "\(paged.source.path): no Linux kernel was found in the kernel's mapping (it has no table "
          + "of symbols, or the image lacks its pages)")
  }
}
