// What a Linux guest uses each of its pages for: by its array of struct page.

internal import Bytes
internal import SystemIO

/// What a page of memory is used for.
public enum PageUse: UInt8, Sendable, CaseIterable {
  case free, pageCache, process, slab, pageTable, kernel

  /// As people read it.
  public var name: String {
    switch self {
    case .free: "free"
    case .pageCache: "page cache"
    case .process: "processes"
    case .slab: "slab"
    case .pageTable: "page tables"
    case .kernel: "kernel"
    }
  }
}

/// Where struct page keeps what tells its use. Linux: include/linux/mm_types.h, page-flags.h.
struct PageFields {
  let flags, count, type, mapping, compound: Int
  let byteCount: Int
  /// The bit of `flags` that says slab; nil where the type says it (from 6.11 on).
  var slabFlag: UInt64?
  /// Types are numbers in the highest byte (from 6.12 on), and not bits that are cleared.
  var slabType: UInt32?
  var tableType: UInt32?
  /// The bits that are cleared in the types of page tables and slabs, before there were numbers.
  var tableBit: UInt32 = 0x200
  var slabBit: UInt32?

  /// The address of the head of a compound page, in a page that is not the head; else nil.
  func head(_ bytes: [UInt8], at offset: Int) -> UInt64? {
    let word = bytes.load(offset + compound, as: UInt64.self)
    return word & 1 == 0 ? nil : word - 1
  }

  /// What a page is used for that is no tail of a compound page.
  func use(_ bytes: [UInt8], at offset: Int) -> PageUse {
    let word = bytes.load(offset + flags, as: UInt64.self)
    let kind = bytes.load(offset + type, as: UInt32.self)
    if let slabFlag, word & slabFlag != 0 { return .slab }
    if let slabType, kind >> 24 == slabType { return .slab }
    if let tableType {
      if kind >> 24 == tableType { return .pageTable }
    } else if kind >> 31 == 1 {
      if kind & tableBit == 0 { return .pageTable }
      if let slabBit, kind & slabBit == 0 { return .slab }
    }
    if bytes.load(offset + count, as: UInt32.self) == 0 { return .free }
    let owner = bytes.load(offset + mapping, as: UInt64.self)
    switch owner & 3 {
    // PAGE_MAPPING_ANON, and with the second bit that of pages which KSM shares.
    case 1, 3: return .process
    // PAGE_MAPPING_MOVABLE: of drivers.
    case 2: return .kernel
    default: return owner == 0 ? .kernel : .pageCache
    }
  }
}

extension PageFields {
  /// Those of a guest's kernel.
  init(_ guest: LinuxGuest) throws {
    let page = "page"
    byteCount = try guest.size(page)
    flags = Int(clamping: try guest.field(page, "flags").offset)
    count = Int(clamping: try guest.firstField(page, "_refcount", "_count").offset)
    type = Int(clamping: try guest.firstField(page, "page_type", "_mapcount").offset)
    mapping = Int(clamping: try guest.field(page, "mapping").offset)
    compound = Int(clamping: try guest.field(page, "compound_head").offset)
    guard (32...256).contains(byteCount),
      [flags, mapping, compound].allSatisfy({ $0 <= byteCount - 8 }),
      [count, type].allSatisfy({ $0 <= byteCount - 4 })
    else { throw guest.invalid("struct page makes no sense") }
    let types = try guest.types
    if let bit = types.enumerator("pageflags", "PG_slab"), (0..<64).contains(bit) {
      slabFlag = 1 << UInt64(bit)
    }
    if let value = types.enumerator("pagetype", "PGTY_slab") {
      slabType = UInt32(truncatingIfNeeded: value)
    }
    if let value = types.enumerator("pagetype", "PGTY_table") {
      tableType = UInt32(truncatingIfNeeded: value)
    }
    // Of 6.11 only.
    if let bit = types.enumerator("pagetype", "PG_table") {
      tableBit = UInt32(truncatingIfNeeded: bit)
      slabBit = types.enumerator("pagetype", "PG_slab").map { UInt32(truncatingIfNeeded: $0) }
    }
    let words = guest.release.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isNumber }) }
    if words.count == 2, let major = words[0], let minor = words[1], (major, minor) < (5, 11) {
      tableBit = 0x400
    }
  }
}

extension LinuxGuest {
  /// Structures that are read at once: a page of them.
  private static let pagesAtOnce: UInt64 = 64
  /// Where the array is in kernels that have it at one place. Linux: Documentation/arch/x86/x86_64/mm.rst.
  private static let fixedArray: UInt64 = 0xFFFF_EA00_0000_0000

  /// Calls `body` with the use of runs of pages in `ranges`, as far as the kernel tells: what cannot be
  /// read is passed over. Reads 64 bytes a page. Needs the kernel's types.
  public func forEachPageUse(
    of ranges: [Range<UInt64>], _ body: (_ pfns: Range<UInt64>, _ use: PageUse) -> Void
  ) throws {
    try memory.question {
      let fields = try PageFields(self)
      let array =
        symbols["vmemmap_base"].flatMap { try? memory.word($0) } ?? LinuxGuest.fixedArray
      let size = UInt64(fields.byteCount)
      for range in ranges {
        var first = range.lowerBound
        while first < range.upperBound {
          try Interrupt.check(path)
          let end = min(range.upperBound, (first | (LinuxGuest.pagesAtOnce - 1)) + 1)
          let count = Int(end - first)
          // A guest without this part of the array has no such memory.
          if let bytes = try structures(array &+ first &* size, count * fields.byteCount) {
            report(bytes, first, count, fields, body)
          }
          first = end
        }
      }
    }
  }

  /// What can be read at an address; nil for nothing. Throws where the question has become too long.
  private func structures(_ address: UInt64, _ count: Int) throws -> [UInt8]? {
    do { return try memory.read(address, count) } catch {
      let error = XensaveError(error)
      if error.code == .notFound { return nil }
      throw error
    }
  }

  private func report(
    _ bytes: [UInt8], _ first: UInt64, _ count: Int, _ fields: PageFields,
    _ body: (Range<UInt64>, PageUse) -> Void
  ) {
    var start = 0
    var current: PageUse?
    var head: (address: UInt64, use: PageUse?)?
    for index in 0...count {
      var use: PageUse?
      if index < count {
        let offset = index * fields.byteCount
        if let address = fields.head(bytes, at: offset) {
          if head?.address != address {
            let structure = try? memory.read(address, fields.byteCount)
            // A head that is a tail itself is a lie.
            let found = structure.flatMap {
              fields.head($0, at: 0) == nil ? fields.use($0, at: 0) : nil
            }
            head = (address, found)
          }
          use = head?.use
        } else {
          use = fields.use(bytes, at: offset)
        }
      }
      if index == count || use != current {
        if let current, index > start {
          body(first + UInt64(start)..<first + UInt64(index), current)
        }
        (start, current) = (index, use)
      }
    }
  }
}
